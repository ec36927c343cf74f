//! Messages from one peer.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut, Read};
use std::net::TcpStream;
use std::ops::Range;

use super::frame::Header;
use super::memory::Memory;
use super::{TransportError, option, piece};

/// How many messages of a peer may be under way at once: connections of a pair need not stay in step, but what is
/// received ahead of its turn takes memory.
const WINDOW: usize = 4;

/// How many bytes a connection gathers before it wakes this thread: a packet at a time would cost more than its bytes. No
/// more than half of the smallest buffer that a connection starts with, so that the kernel need not enlarge it.
const GATHERED: usize = 64 << 10;

/// A message to receive.
pub(super) struct Message {
    /// The operation it is.
    pub(super) operation: usize,
    /// Where its bytes go in memory.
    pub(super) bytes: Range<usize>,
    /// Whether its bytes go there as they are.
    pub(super) stored: bool,
}

/// What comes from one peer, over all connections of the pair.
pub(super) struct Inbound<'a> {
    pub(super) peer: usize,
    exchange: u32,
    messages: Vec<Message>,
    /// Messages before this one are done with.
    first: usize,
    /// Those from `first` on that have begun to come.
    arriving: VecDeque<Arrival>,
    lanes: Vec<Lane<'a>>,
    /// Buffers to use again.
    spare: Vec<Memory>,
}

/// A message that is coming.
struct Arrival {
    /// Bytes that have not come.
    missing: usize,
    place: Place,
}

enum Place {
    /// Its bytes go where they belong at once.
    Direct,
    /// They wait to be reduced, or for what they replace to be sent.
    Staged(Memory),
    /// It was used.
    Done,
}

struct Lane<'a> {
    stream: &'a TcpStream,
    /// The message whose piece it receives.
    message: usize,
    header: [u8; Header::BYTES],
    /// Bytes of that piece's frame that have come, header included.
    got: usize,
    /// The kernel had less than was asked for; an event tells when there is more.
    blocked: bool,
    /// The peer has closed: there is no more to wait for.
    closing: bool,
    /// What the kernel gathers before it tells, as far as this knows.
    gathered: Option<usize>,
}

impl Lane<'_> {
    /// Waits until the `missing` bytes of the frame are there, or enough of them to be worth it.
    fn block(
        &mut self,
        missing: usize,
        listen: impl FnOnce(&TcpStream) -> io::Result<()>,
    ) -> io::Result<()> {
        let gathered = missing.clamp(1, GATHERED);
        self.blocked = true;
        if self.gathered != Some(gathered) {
            gather(self.stream, gathered)?;
            self.gathered = Some(gathered);
        }
        listen(self.stream)
    }
}

/// SO_RCVLOWAT of socket(7).
fn gather(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    option::set(
        stream,
        libc::SOL_SOCKET,
        libc::SO_RCVLOWAT,
        bytes as libc::c_int,
    )
}

impl<'a> Inbound<'a> {
    pub(super) fn new(
        peer: usize,
        exchange: u32,
        messages: impl Iterator<Item = Message>,
        streams: Vec<&'a TcpStream>,
    ) -> Self {
        let lane = |stream| Lane {
            stream,
            message: 0,
            header: [0; Header::BYTES],
            got: 0,
            blocked: false,
            closing: false,
            gathered: None,
        };
        Self {
            peer,
            exchange,
            messages: messages.collect(),
            first: 0,
            arriving: VecDeque::new(),
            lanes: streams.into_iter().map(lane).collect(),
            spare: Vec::new(),
        }
    }

    /// Whether there are bytes still to come.
    pub(super) fn is_waiting(&self) -> bool {
        self.arriving.iter().any(|arrival| arrival.missing > 0)
            || self.first + self.arriving.len() < self.messages.len()
    }

    /// There may be data again.
    pub(super) fn unblock(&mut self, lane: usize, closing: bool) {
        self.lanes[lane].blocked = false;
        self.lanes[lane].closing |= closing;
    }

    /// Receives what it can with one call per connection, and has `listen` tell once, by [`Self::unblock`], when there is more
    /// on one that had too little: one that is ahead of its turn would wake this thread for nothing. Tells whether anything moved.
    pub(super) fn pump(
        &mut self,
        memory: &mut Memory,
        is_ready: impl Fn(usize) -> bool,
        listen: impl Fn(usize, &TcpStream) -> io::Result<()>,
    ) -> Result<bool, TransportError> {
        let mut moved = false;
        for index in 0..self.lanes.len() {
            moved |= self.pump_lane(index, memory, &is_ready, |stream| listen(index, stream))?;
        }
        Ok(moved)
    }

    /// Hands every message that has come whole, and whose operation is ready, to `apply`: with its bytes if they are
    /// not in place yet. Tells whether there was one.
    pub(super) fn settle(
        &mut self,
        is_ready: impl Fn(usize) -> bool,
        mut apply: impl FnMut(usize, Option<&[u8]>),
    ) -> bool {
        let mut any = false;
        for (arrival, message) in self.arriving.iter_mut().zip(&self.messages[self.first..]) {
            if arrival.missing > 0
                || matches!(arrival.place, Place::Done)
                || !is_ready(message.operation)
            {
                continue;
            }
            match std::mem::replace(&mut arrival.place, Place::Done) {
                Place::Staged(staged) => {
                    apply(message.operation, Some(staged.bytes()));
                    self.spare.push(staged);
                }
                Place::Direct => apply(message.operation, None),
                Place::Done => unreachable!("skipped above"),
            }
            any = true;
        }
        while self
            .arriving
            .front()
            .is_some_and(|arrival| matches!(arrival.place, Place::Done))
        {
            self.arriving.pop_front();
            self.first += 1;
        }
        any
    }

    fn pump_lane(
        &mut self,
        index: usize,
        memory: &mut Memory,
        is_ready: impl Fn(usize) -> bool,
        listen: impl FnOnce(&TcpStream) -> io::Result<()>,
    ) -> Result<bool, TransportError> {
        let connections = self.lanes.len();
        let lane = &mut self.lanes[index];
        let piece = loop {
            if lane.blocked
                || lane.message == self.messages.len()
                || lane.message >= self.first + WINDOW
            {
                return Ok(false);
            }
            let piece = piece(self.messages[lane.message].bytes.len(), index, connections);
            if !piece.is_empty() {
                break piece;
            }
            lane.message += 1;
        };
        while self.first + self.arriving.len() <= lane.message {
            let message = &self.messages[self.first + self.arriving.len()];
            let place = if message.stored && is_ready(message.operation) {
                Place::Direct
            } else {
                let mut staged = self.spare.pop().unwrap_or_default();
                staged.resize(message.bytes.len());
                Place::Staged(staged)
            };
            self.arriving.push_back(Arrival {
                missing: message.bytes.len(),
                place,
            });
        }

        let message = &self.messages[lane.message];
        let arrival = &mut self.arriving[lane.message - self.first];
        let body = match &mut arrival.place {
            Place::Direct => &mut memory.bytes_mut()[message.bytes.clone()][piece.clone()],
            Place::Staged(staged) => &mut staged.bytes_mut()[piece.clone()],
            Place::Done => unreachable!("a message is used only when all its bytes have come"),
        };
        let in_header = lane.got.min(Header::BYTES);
        let in_body = lane.got - in_header;
        let rest = Header::BYTES - in_header + body.len() - in_body;
        let mut parts = [
            IoSliceMut::new(&mut lane.header[in_header..]),
            IoSliceMut::new(&mut body[in_body..]),
        ];
        let lost = |source| TransportError::Lost {
            peer: self.peer,
            source,
        };
        match lane.stream.read_vectored(&mut parts) {
            Ok(0) => Err(lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(got) => {
                lane.got += got;
                if got < rest && !lane.closing {
                    lane.block(rest - got, listen).map_err(lost)?;
                }
                if in_header < Header::BYTES && lane.got >= Header::BYTES {
                    let expected = Header {
                        exchange: self.exchange,
                        message: lane.message as u32,
                        length: piece.len() as u32,
                    };
                    check(self.peer, expected, lane.header)?;
                }
                if got == rest {
                    lane.message += 1;
                    lane.got = 0;
                    arrival.missing -= piece.len();
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                lane.block(rest, listen).map_err(lost)?;
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(source) => Err(lost(source)),
        }
    }
}

fn check(peer: usize, expected: Header, bytes: [u8; Header::BYTES]) -> Result<(), TransportError> {
    match Header::decode(bytes) {
        Some(header) if header == expected => Ok(()),
        Some(header) => Err(TransportError::OutOfStep {
            peer,
            expected: format!("{expected:?}"),
            got: format!("{header:?}"),
        }),
        None => Err(TransportError::OutOfStep {
            peer,
            expected: format!("{expected:?}"),
            got: format!("{bytes:02x?}"),
        }),
    }
}
