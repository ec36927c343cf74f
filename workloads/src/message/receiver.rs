//! The receiving end of a queue pair.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;
use longhaul_emulator::time::Time;

use super::credits::Account;
use super::erasure::{Decoder, Recovered};
use super::greeting::settings;
use super::ranges::Ranges;
use super::wire::{self, Acknowledgement, Envelope, Greeting, MOST_RANGES, Piece, Transmission};
use super::{Failure, Parameters, Recovery, SINGLY, Seen};

/// Messages from one peer.
#[derive(Debug)]
pub(crate) struct Receiver {
    parameters: Parameters,
    rank: u32,
    key: u64,
    nonce: u64,
    paths: Vec<Path>,
    /// Sequences that have come.
    sequences: Ranges,
    decoder: Option<Decoder>,
    /// All sequences before this have come.
    expected: u64,
    /// Messages that have begun to come and are not whole.
    arriving: BTreeMap<u64, Arrival>,
    /// Messages that are whole, by when they may be handed over.
    whole: VecDeque<(Time, u64)>,
    /// Messages before this one are used, and those behind it that are.
    used_before: u64,
    used: BTreeSet<u64>,
    /// Messages from `used_before` on that are whole, used or not.
    complete: BTreeSet<u64>,
    /// Bytes that the peer may have in flight, of which it hears with the next acknowledgement, and what they are reckoned by.
    pub(super) allowance: u64,
    pub(super) account: Account,
    /// The peer must hear of more room, or of its welcome.
    news: bool,
    /// A hello to be answered, and when it came.
    greeted: Option<(u32, Time)>,
    /// The hole that the peer has been told of (go-back-N).
    told_hole: Option<u64>,
    ending: Ending,
    latencies: Histogram<u64>,
    /// Of the messages in there, how many were whole only after their playout.
    late: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    /// The peer has said bye, and has not been answered.
    Asked,
    Ended,
}

/// Where the bytes of messages go.
pub(crate) trait Sink {
    /// Bytes of a message of `length` bytes, from `offset` on.
    fn place(&mut self, message: u64, length: usize, offset: usize, bytes: &[u8]);
}

/// A datagram as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) seen: Seen,
    /// Its bytes, all of them.
    pub(crate) bytes: u64,
    /// With "congestion experienced".
    pub(crate) marked: bool,
    /// The in-band telemetry before the packet.
    pub(crate) telemetry: &'a [u8],
}

#[derive(Debug)]
struct Arrival {
    length: u32,
    missing: u32,
    handed_over: Time,
}

/// What came on one path.
#[derive(Debug, Default)]
struct Path {
    numbers: Ranges,
    marked: u64,
    newest: Option<Newest>,
    /// Something came that has not been acknowledged.
    pending: bool,
    out_of_order: bool,
    /// See [`Acknowledgement::met`](wire::Acknowledgement).
    met: Duration,
    telemetry: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    number: u64,
    at: Time,
    /// Its length, in parts of that of a full packet.
    fullness: f64,
    way: i64,
    least_way: i64,
}

/// Two packets came at once if they did within this part of the time between their sendings, and as much less as the shorter one is shorter
/// than a full packet: of those that left up to four packet times of a bottleneck apart, none do out of its queue. (A line sends the later one
/// for its own time; a token bucket lets it go once the earlier one has been paid for.)
const AT_ONCE: f64 = 0.125;

/// Holes in the sequences at most. What would make another is dropped as if it were lost: a peer or a network that makes
/// so many gets no memory for it.
const MOST_HOLES: usize = 1 << 14;

/// The longest latency that is told from longer ones.
const MOST_LATENCY: Duration = Duration::from_secs(3600);

/// Significant figures of the latencies: a thousandth of each is finer than any clock here.
const FIGURES: u8 = 3;

impl Receiver {
    /// At `rank`, from the peer whose hello came with `key`.
    pub(crate) fn new(parameters: Parameters, rank: u32, key: u64, nonce: u64) -> Self {
        Self {
            paths: (0..parameters.paths).map(|_| Path::default()).collect(),
            decoder: parameters.erasure.map(Decoder::new),
            parameters,
            rank,
            key,
            nonce,
            sequences: Ranges::default(),
            expected: 0,
            arriving: BTreeMap::new(),
            whole: VecDeque::new(),
            used_before: 0,
            used: BTreeSet::new(),
            complete: BTreeSet::new(),
            allowance: u64::MAX,
            account: Account::default(),
            news: false,
            greeted: None,
            told_hole: None,
            ending: Ending::Open,
            latencies: Histogram::new_with_bounds(1, MOST_LATENCY.as_nanos() as u64, FIGURES)
                .expect("the bounds are in order and the figures allowed"),
            late: 0,
        }
    }

    /// A packet came from the peer.
    ///
    /// # Errors
    /// If the peer began anew.
    pub(crate) fn on_packet(
        &mut self,
        arrived: Arrived<'_>,
        envelope: Envelope,
        packet: &wire::Packet<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        if envelope.key != self.key {
            return match packet {
                wire::Packet::Hello(greeting) if greeting.nonce == self.nonce => {
                    Err(Failure::Restarted)
                }
                _ => Ok(()),
            };
        }
        match packet {
            wire::Packet::Hello(greeting) if greeting.nonce == self.nonce => {
                self.greeted = Some((greeting.attempt, arrived.seen.came));
            }
            wire::Packet::Data {
                transmission,
                piece,
            } => {
                self.on_data(arrived, envelope.path.into(), *transmission, piece, sink);
            }
            wire::Packet::Probe(transmission) => {
                self.count(arrived, envelope.path.into(), *transmission);
            }
            wire::Packet::Parity {
                transmission,
                parity,
            } => {
                self.count(arrived, envelope.path.into(), *transmission);
                let decoder = self.decoder.as_mut();
                let recovered = decoder.map(|decoder| decoder.on_parity(parity));
                self.take_recovered(arrived.seen.now, &recovered.unwrap_or_default(), sink);
            }
            wire::Packet::Bye => self.ending = Ending::Asked,
            _ => {}
        }
        Ok(())
    }

    /// Appends the next packet to the peer to `out`, if there is one; answers the path whose source it goes to.
    pub(crate) fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<u8> {
        if let Some((attempt, clock)) = self.greeted.take() {
            let welcome = wire::Packet::Welcome(Greeting {
                nonce: self.nonce,
                attempt,
                settings: settings(&self.parameters),
                granted: self.granted(),
                allowance: self.allowance,
                clock,
                held: now.since(clock),
            });
            wire::encode(out, self.envelope(0), 0, &welcome);
            return Some(0);
        }
        if self.ending == Ending::Asked {
            self.ending = Ending::Ended;
            wire::encode(out, self.envelope(0), 0, &wire::Packet::Farewell);
            return Some(0);
        }
        let pending = self.paths.iter().position(|path| path.pending);
        // News go where the peer was last heard of.
        let newest = || {
            let paths = self.paths.iter().enumerate();
            let heard = paths.filter_map(|(index, path)| Some((path.newest?.at, index)));
            heard.max().map(|(_, index)| index)
        };
        let index = pending.or_else(|| self.news.then(newest).flatten())?;
        self.news = false;
        self.acknowledge(now, index, out);
        Some(index as u8)
    }

    /// Whether what it has to say is not to wait for what else has come.
    pub(crate) fn answers_at_once(&self) -> bool {
        let is_first = |path: &Path| path.newest.is_some_and(|newest| newest.number < SINGLY);
        self.paths.iter().any(|path| path.pending && is_first(path))
    }

    /// The next message that is whole and due to be handed over; [`Self::done`] makes room for another.
    pub(crate) fn poll_message(&mut self, now: Time) -> Option<u64> {
        let (due, message) = *self.whole.front()?;
        (due <= now).then(|| {
            self.whole.pop_front();
            message
        })
    }

    /// When [`Self::poll_message`] is to be called, whatever comes before.
    pub(crate) fn timer(&self) -> Option<Time> {
        self.whole.front().map(|(due, _)| *due)
    }

    /// A message that was handed over has been used.
    pub(crate) fn done(&mut self, message: u64) {
        self.used.insert(message);
        while self.used.remove(&self.used_before) {
            self.complete.remove(&self.used_before);
            self.used_before += 1;
            self.news = true;
        }
    }

    /// How many messages from the first on have been used.
    pub(crate) fn used(&self) -> u64 {
        self.used_before
    }

    /// All pieces before this have come.
    pub(crate) fn expected(&self) -> u64 {
        self.expected
    }

    /// Whether a message has begun to come and is not whole.
    pub(crate) fn is_receiving(&self) -> bool {
        !self.arriving.is_empty()
    }

    /// Whether a packet in that envelope is of this queue pair.
    pub(crate) fn is_from(&self, envelope: &Envelope) -> bool {
        envelope.key == self.key
    }

    /// Whether the peer has said bye.
    pub(crate) fn is_ended(&self) -> bool {
        self.ending != Ending::Open
    }

    /// Nanoseconds from a message's hand-over at the peer to its delivery here, where both read one clock.
    #[cfg(test)]
    pub(crate) fn latencies(&self) -> &Histogram<u64> {
        &self.latencies
    }

    /// Takes the latencies of the messages since the last call, from the hand-over at the peer to the delivery here: nanoseconds
    /// where both read one clock, each with its number; and how many of the messages were late for their playout.
    pub(crate) fn take_latencies(&mut self) -> (Vec<(u64, u64)>, u64) {
        let recorded = self.latencies.iter_recorded();
        let latencies = recorded
            .map(|value| (value.value_iterated_to(), value.count_at_value()))
            .collect();
        self.latencies.reset();
        (latencies, std::mem::take(&mut self.late))
    }

    /// Ranges and messages that it remembers.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.sequences.len() + self.arriving.len() + self.complete.len()
    }

    /// Messages before this may be sent.
    fn granted(&self) -> u64 {
        self.used_before.saturating_add(self.parameters.messages)
    }

    fn envelope(&self, path: usize) -> Envelope {
        Envelope {
            path: path as u8,
            from: self.rank,
            key: self.key,
        }
    }

    fn on_data(
        &mut self,
        arrived: Arrived<'_>,
        index: usize,
        transmission: Transmission,
        piece: &Piece<'_>,
        sink: &mut dyn Sink,
    ) {
        if index >= self.paths.len() {
            return;
        }
        let ahead = piece.sequence > self.expected;
        if ahead && self.parameters.recovery == Recovery::GoBackN {
            if self.told_hole != Some(self.expected) {
                self.told_hole = Some(self.expected);
                let path = &mut self.paths[index];
                path.pending = true;
                path.out_of_order = true;
                path.newest.get_or_insert(Newest::of(
                    arrived,
                    self.parameters.datagram,
                    transmission,
                ));
            }
            return;
        }
        let known = piece.sequence < self.expected || self.sequences.contains(piece.sequence);
        let taken = !known && self.take(arrived.seen.now, piece, sink);
        if known || taken {
            self.count(arrived, index, transmission);
        }
        if let Some(decoder) = self.decoder.as_mut().filter(|_| taken) {
            let recovered = decoder.on_piece(piece);
            self.take_recovered(arrived.seen.now, &recovered, sink);
        }
    }

    /// Takes pieces that were computed, those that have not come meanwhile.
    fn take_recovered(&mut self, now: Time, recovered: &[Recovered], sink: &mut dyn Sink) {
        for piece in recovered.iter().filter_map(Recovered::piece) {
            if piece.sequence >= self.expected && !self.sequences.contains(piece.sequence) {
                self.take(now, &piece, sink);
            }
        }
    }

    /// Takes a piece that has not come before; tells whether there was room for it.
    fn take(&mut self, now: Time, piece: &Piece<'_>, sink: &mut dyn Sink) -> bool {
        let fits = (self.used_before..self.granted()).contains(&piece.message)
            && piece.message_length as usize <= self.parameters.most_message
            && piece.sequence < u64::MAX
            && (piece.sequence == self.expected || self.sequences.len() < MOST_HOLES);
        if !fits || self.complete.contains(&piece.message) {
            return false;
        }
        let arrival = self.arriving.entry(piece.message).or_insert(Arrival {
            length: piece.message_length,
            missing: piece.message_length,
            handed_over: piece.handed_over,
        });
        let bytes = piece.bytes.len() as u32;
        if arrival.length != piece.message_length || bytes > arrival.missing {
            return false;
        }
        arrival.missing -= bytes;
        sink.place(
            piece.message,
            arrival.length as usize,
            piece.offset as usize,
            piece.bytes,
        );
        if arrival.missing == 0 {
            let handed_over = arrival.handed_over;
            self.arriving.remove(&piece.message);
            self.finish(now, piece.message, handed_over);
        }
        self.sequences
            .insert(piece.sequence..=piece.sequence, |_| {});
        if let Some(first) = self.sequences.first().filter(|first| *first.start() == 0) {
            self.expected = first.end() + 1;
        }
        true
    }

    /// A message is whole.
    fn finish(&mut self, now: Time, message: u64, handed_over: Time) {
        let due = match self.parameters.playout {
            // A peer whose clock is ahead cannot hold up more than the playout itself.
            Some(playout) => {
                let due = handed_over.min(now) + playout;
                self.late += u64::from(due < now);
                due.max(now)
            }
            None => now,
        };
        let latency = due.since(handed_over).as_nanos();
        self.latencies
            .saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
        let at = self.whole.partition_point(|(earlier, _)| *earlier <= due);
        self.whole.insert(at, (due, message));
        self.complete.insert(message);
    }

    /// A packet that came and is to be acknowledged.
    fn count(&mut self, arrived: Arrived<'_>, index: usize, transmission: Transmission) {
        let Some(path) = self.paths.get_mut(index) else {
            return;
        };
        self.account.fresh += arrived.bytes;
        let number = transmission.number;
        let mut is_new = false;
        path.numbers.insert(number..=number, |_| is_new = true);
        path.numbers.shorten(MOST_RANGES);
        if arrived.marked && is_new {
            path.marked += arrived.bytes;
        }
        let this = Newest::of(arrived, self.parameters.datagram, transmission);
        if let Some(newest) = path.newest.filter(|_| is_new) {
            path.met = path.met.max(this.met(newest));
        }
        let least_way = match path.newest {
            Some(newest) if path.pending => newest.least_way.min(this.way),
            _ => this.way,
        };
        if path
            .newest
            .is_none_or(|newest| newest.number <= number || !path.pending)
        {
            path.newest = Some(Newest { least_way, ..this });
            path.telemetry.clear();
            path.telemetry.extend_from_slice(arrived.telemetry);
        }
        path.pending = true;
    }

    fn acknowledge(&mut self, now: Time, index: usize, out: &mut Vec<u8>) {
        let (expected, granted, allowance) = (self.expected, self.granted(), self.allowance);
        let envelope = self.envelope(index);
        let path = &mut self.paths[index];
        let Some(newest) = path.newest else { return };
        let acknowledgement = Acknowledgement {
            expected,
            granted,
            allowance,
            newest: newest.number,
            way: newest.way,
            way_above: Duration::from_nanos(newest.way.abs_diff(newest.least_way)),
            met: std::mem::take(&mut path.met),
            held: now.since(newest.at),
            marked: path.marked,
            out_of_order: std::mem::take(&mut path.out_of_order),
            ranges: path
                .numbers
                .descending()
                .take(MOST_RANGES)
                .cloned()
                .collect(),
            telemetry: &path.telemetry,
        };
        wire::encode(
            out,
            envelope,
            0,
            &wire::Packet::Acknowledgement(acknowledgement),
        );
        path.pending = false;
    }
}

impl Newest {
    fn of(arrived: Arrived<'_>, full: usize, transmission: Transmission) -> Self {
        let came = arrived.seen.came;
        // Of two clocks, the sender's may be ahead.
        let way = came.as_nanos().wrapping_sub(transmission.sent.as_nanos()) as i64;
        Self {
            number: transmission.number,
            at: came,
            fullness: arrived.bytes as f64 / full as f64,
            way,
            least_way: way,
        }
    }

    /// How long apart it and `other`, the one sent before or after it, left, if they came at once; zero if not.
    fn met(self, other: Newest) -> Duration {
        if self.number.abs_diff(other.number) != 1 {
            return Duration::ZERO;
        }
        let (earlier, later) = if self.number < other.number {
            (self, other)
        } else {
            (other, self)
        };
        let came = later.at.as_nanos().wrapping_sub(earlier.at.as_nanos()) as i64;
        let left = came.saturating_sub(later.way.saturating_sub(earlier.way));
        let left = u64::try_from(left).unwrap_or_default();
        // The later one may have come first.
        let came = u64::try_from(came).unwrap_or_default();
        let at_once = (came as f64) < left as f64 * AT_ONCE * later.fullness.min(earlier.fullness);
        Duration::from_nanos(if at_once { left } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet that left and came at these microseconds; the sender's clock is ahead.
    fn packet(number: u64, left: i64, came: u64) -> Newest {
        let way = (came as i64 - left) * 1000 - 1_000_000;
        Newest {
            number,
            at: Time::from_nanos(came * 1000),
            fullness: 1.0,
            way,
            least_way: way,
        }
    }

    #[test]
    fn packets_that_left_apart_and_came_at_once_have_met() {
        let first = packet(7, 0, 500);
        let apart = |other: Newest| (first.met(other), other.met(first));
        let met = Duration::from_micros(24);
        assert_eq!(apart(packet(8, 24, 500)), (met, met));
        assert_eq!(apart(packet(8, 24, 502)), (met, met));
        // It overtook the first.
        assert_eq!(apart(packet(8, 24, 450)), (met, met));

        let not = (Duration::ZERO, Duration::ZERO);
        assert_eq!(apart(packet(8, 24, 506)), not);
        // A short one follows, or is followed, sooner out of a queue.
        let short = |packet| Newest {
            fullness: 0.25,
            ..packet
        };
        assert_eq!(apart(short(packet(8, 24, 502))), not);
        assert_eq!(short(first).met(packet(8, 24, 502)), Duration::ZERO);
        assert_eq!(apart(packet(8, 0, 500)), not);
        // Others may have come between.
        assert_eq!(apart(packet(9, 24, 500)), not);
    }
}
