//! The packets. All numbers are big-endian; those of transmissions are below 2^61.
//!
//! ```text
//! every packet, behind the room for in-band telemetry if it is asked for (data, probes, parity):
//!   0  magic "LM"         u16
//!   2  kind               u8
//!   3  path               u8
//!   4  from               u32, the rank that sends it
//!   8  key                u64, of the queue pair, drawn by its sending end
//! hello, from the sending end, and welcome, from the receiving one:
//!  16  nonce              u64, of the world: tells its packets from strangers'
//!  24  attempt            u32, which hello this is or answers
//!  28  settings           u64, a digest of what both ends must agree on
//!  36  granted            u64, messages before this may be sent (welcome)
//!  44  allowance          u64, bytes in flight at most (welcome)
//!  52  clock              u64, nanoseconds: when the hello left, or came
//!  60  held               u32, nanoseconds since it came (welcome)
//!  64  padding up to the largest packet, so that a path that cannot carry it shows at once (hello)
//! data:
//!  16  number             u64, on the path
//!  24  sent               u64, nanoseconds
//!  32  sequence           u64
//!  40  message            u64
//!  48  message length     u32
//!  52  offset             u32
//!  56  handed over        u64, nanoseconds
//!  64  bytes
//! probe: number and sent, as data
//! parity, of an erasure code's block: number and sent, as data
//!  32  first              u64, the sequence of the block's first piece
//!  40  count              u8, of its pieces
//!  41  index              u8, of the parity
//!  42  bytes
//! acknowledgement, of one path; all but its first byte are variable-length integers (RFC 9000, section 16), those marked ± with
//! the sign in the lowest bit:
//!  16  flags              u8, 1 if a piece was dropped because it was out of order (go-back-N), 2 if there is an allowance, 4 if
//!                          two packets met
//!      expected           every sequence before it has come
//!      granted            messages before this may be sent
//!      allowance          bytes in flight at most, if there is one
//!      newest             the number that came last
//!      way                ± nanoseconds it was under way by both ends' clocks
//!      way above          nanoseconds by which that exceeds the least of those acknowledged with it
//!      met                nanoseconds between the sendings of two packets that came at once, or the later one first; if any did
//!      held               nanoseconds since it came
//!      marked             bytes that came with "congestion experienced" on the path so far
//!      telemetry          how many bytes
//!      ranges             how many, of numbers that came, falling, not touching each other, as in RFC 9000, section 19.3.1:
//!        the first's      ± last less the newest, length less one
//!        each other's     missing before the one above less one, length less one
//!      bytes of what the newest's in-band telemetry was
//! bye, from the sending end, and farewell, from the receiving one: nothing more
//! ```

mod acknowledgement;
#[cfg(test)]
mod tests;
mod varint;

use std::time::Duration;

pub(crate) use acknowledgement::Acknowledgement;
pub(super) use acknowledgement::MOST_RANGES;
use longhaul_emulator::inband;
use longhaul_emulator::time::Time;

const MAGIC: [u8; 2] = *b"LM";
/// Bytes of what every packet has.
const COMMON: usize = 16;
/// Bytes of a hello or welcome.
const GREETING: usize = 64;
/// Bytes of a number and a time of sending.
const TRANSMISSION: usize = 16;
/// Bytes before those of the message.
pub(super) const DATA: usize = 64;
/// Bytes before the parity.
pub(super) const PARITY: usize = 42;

/// The greatest number of a transmission: the difference of two fits into an acknowledgement with its sign.
const MOST_NUMBER: u64 = varint::MOST >> 1;

/// Bytes that in-band telemetry of so many hops takes before a packet.
pub(super) const fn prefix(hops: u8) -> usize {
    match hops {
        0 => 0,
        hops => inband::room(hops),
    }
}

/// Which queue pair a packet is of, and how it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// The path it is about; data and probes are also sent on it.
    pub(crate) path: u8,
    /// The rank that sends the packet.
    pub(crate) from: u32,
    pub(crate) key: u64,
}

/// One packet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Packet<'a> {
    Hello(Greeting),
    Welcome(Greeting),
    Data {
        transmission: Transmission,
        piece: Piece<'a>,
    },
    Probe(Transmission),
    Parity {
        transmission: Transmission,
        parity: Parity<'a>,
    },
    Acknowledgement(Acknowledgement<'a>),
    Bye,
    Farewell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(super) nonce: u64,
    pub(super) attempt: u32,
    pub(super) settings: u64,
    pub(super) granted: u64,
    /// Bytes that may be in flight (welcome).
    pub(super) allowance: u64,
    /// When the hello left (hello), or came (welcome), by the clock there.
    pub(super) clock: Time,
    /// How long the hello had waited for its welcome (welcome).
    pub(super) held: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transmission {
    pub(super) number: u64,
    pub(super) sent: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(super) sequence: u64,
    pub(super) message: u64,
    pub(super) message_length: u32,
    pub(super) offset: u32,
    pub(super) handed_over: Time,
    pub(super) bytes: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parity<'a> {
    pub(super) first: u64,
    pub(super) count: u8,
    pub(super) index: u8,
    pub(super) bytes: &'a [u8],
}

impl Packet<'_> {
    /// Whether it goes from a receiving end to a sending one.
    pub(crate) fn is_answer(&self) -> bool {
        match self {
            Packet::Welcome(_) | Packet::Acknowledgement(_) | Packet::Farewell => true,
            Packet::Hello(_)
            | Packet::Data { .. }
            | Packet::Probe(_)
            | Packet::Parity { .. }
            | Packet::Bye => false,
        }
    }
}

/// What a datagram holds; `None` if it is none of ours. The in-band telemetry before it comes first.
pub(crate) fn decode(datagram: &[u8]) -> Option<(&[u8], Envelope, Packet<'_>)> {
    let telemetry = match datagram.get(..inband::HEADER) {
        Some(header) if header[..8] == inband::MAGIC => inband::room(header[9]),
        _ => 0,
    };
    let (telemetry, bytes) = datagram.split_at_checked(telemetry)?;
    let mut reader = Reader(bytes);
    if reader.array()? != MAGIC {
        return None;
    }
    let [kind, path] = reader.array()?;
    let envelope = Envelope {
        path,
        from: reader.u32()?,
        key: reader.u64()?,
    };
    let packet = match kind {
        0 => Packet::Hello(reader.greeting()?),
        1 => Packet::Welcome(reader.greeting()?),
        2 => Packet::Data {
            transmission: reader.transmission()?,
            piece: reader.piece()?,
        },
        3 => Packet::Probe(reader.transmission()?),
        4 => Packet::Acknowledgement(Acknowledgement::decode(&mut reader)?),
        5 => Packet::Bye,
        6 => Packet::Farewell,
        7 => Packet::Parity {
            transmission: reader.transmission()?,
            parity: reader.parity()?,
        },
        _ => return None,
    };
    Some((telemetry, envelope, packet))
}

/// Appends a packet to `out`, behind room for `hops` records of telemetry if it is one that is asked to carry them.
pub(crate) fn encode(out: &mut Vec<u8>, envelope: Envelope, hops: u8, packet: &Packet<'_>) {
    if hops > 0
        && matches!(
            packet,
            Packet::Data { .. } | Packet::Probe(_) | Packet::Parity { .. }
        )
    {
        let start = out.len();
        out.resize(start + inband::room(hops), 0);
        inband::prepare(&mut out[start..], hops).expect("the room is what it asks for");
    }
    let kind = match packet {
        Packet::Hello(_) => 0,
        Packet::Welcome(_) => 1,
        Packet::Data { .. } => 2,
        Packet::Probe(_) => 3,
        Packet::Acknowledgement(_) => 4,
        Packet::Bye => 5,
        Packet::Farewell => 6,
        Packet::Parity { .. } => 7,
    };
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind, envelope.path]);
    out.extend_from_slice(&envelope.from.to_be_bytes());
    out.extend_from_slice(&envelope.key.to_be_bytes());
    match packet {
        Packet::Hello(greeting) | Packet::Welcome(greeting) => greeting.encode(out),
        Packet::Data {
            transmission,
            piece,
        } => {
            transmission.encode(out);
            piece.encode(out);
        }
        Packet::Probe(transmission) => transmission.encode(out),
        Packet::Parity {
            transmission,
            parity,
        } => {
            transmission.encode(out);
            out.extend_from_slice(&parity.first.to_be_bytes());
            out.extend_from_slice(&[parity.count, parity.index]);
            out.extend_from_slice(parity.bytes);
        }
        Packet::Acknowledgement(acknowledgement) => acknowledgement.encode(out),
        Packet::Bye | Packet::Farewell => {}
    }
}

impl Greeting {
    /// Whether it is of that world.
    pub(crate) fn is_of(&self, nonce: u64) -> bool {
        self.nonce == nonce
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.nonce.to_be_bytes());
        out.extend_from_slice(&self.attempt.to_be_bytes());
        out.extend_from_slice(&self.settings.to_be_bytes());
        out.extend_from_slice(&self.granted.to_be_bytes());
        out.extend_from_slice(&self.allowance.to_be_bytes());
        out.extend_from_slice(&self.clock.as_nanos().to_be_bytes());
        out.extend_from_slice(&short(self.held).to_be_bytes());
    }
}

impl Transmission {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.sent.as_nanos().to_be_bytes());
    }
}

impl Piece<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.message.to_be_bytes());
        out.extend_from_slice(&self.message_length.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        out.extend_from_slice(&self.handed_over.as_nanos().to_be_bytes());
        out.extend_from_slice(self.bytes);
    }
}

/// Writes into a datagram that is to be sent now when that is, if it says so; answers its number on its path.
pub(super) fn restamp(datagram: &mut [u8], hops: u8, sent: Time) -> Option<u64> {
    let packet = datagram.get_mut(prefix(hops)..)?;
    let is_numbered = packet.get(..2)? == MAGIC && matches!(packet.get(2)?, 2 | 3 | 7);
    let transmission = packet.get_mut(COMMON..COMMON + TRANSMISSION)?;
    let (number, stamp) = transmission.split_first_chunk_mut::<8>()?;
    is_numbered.then(|| {
        stamp.copy_from_slice(&sent.as_nanos().to_be_bytes());
        u64::from_be_bytes(*number)
    })
}

/// Nanoseconds, up to 4.3 s: what is held longer is of no use as a sample.
fn short(span: Duration) -> u32 {
    u32::try_from(span.as_nanos()).unwrap_or(u32::MAX)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn greeting(&mut self) -> Option<Greeting> {
        Some(Greeting {
            nonce: self.u64()?,
            attempt: self.u32()?,
            settings: self.u64()?,
            granted: self.u64()?,
            allowance: self.u64()?,
            clock: Time::from_nanos(self.u64()?),
            held: Duration::from_nanos(self.u32()?.into()),
        })
    }

    /// Its number is one that an acknowledgement can tell of.
    fn transmission(&mut self) -> Option<Transmission> {
        Some(Transmission {
            number: self.u64().filter(|number| *number <= MOST_NUMBER)?,
            sent: Time::from_nanos(self.u64()?),
        })
    }

    /// A piece lies inside its message.
    fn piece(&mut self) -> Option<Piece<'a>> {
        let piece = Piece {
            sequence: self.u64()?,
            message: self.u64()?,
            message_length: self.u32()?,
            offset: self.u32()?,
            handed_over: Time::from_nanos(self.u64()?),
            bytes: std::mem::take(&mut self.0),
        };
        let end = u64::from(piece.offset) + piece.bytes.len() as u64;
        (end <= u64::from(piece.message_length)).then_some(piece)
    }

    fn parity(&mut self) -> Option<Parity<'a>> {
        let first = self.u64()?;
        let [count, index] = self.array()?;
        Some(Parity {
            first,
            count,
            index,
            bytes: std::mem::take(&mut self.0),
        })
    }
}

/// The least that a datagram must hold: a hello, and telemetry, header and some bytes of a message or of its parity.
pub(crate) fn least_datagram(hops: u8) -> usize {
    (COMMON + GREETING).max(prefix(hops) + 2 * DATA)
}
