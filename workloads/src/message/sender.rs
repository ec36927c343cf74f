//! The sending end of a queue pair.

use std::collections::BTreeSet;
use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;

use super::backlog::Backlog;
use super::erasure::Encoder;
use super::flow::Flow;
use super::greeting::Handshake;
use super::path::{Health, Packet, Path};
use super::wire::{self, Envelope};
use super::{Erasure, Failure, Parameters, PathChoice, SINGLY, Seen};
use crate::congestion::{Conditions, Loss};

/// Messages on their way to one peer.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(super) parameters: Parameters,
    rank: u32,
    key: u64,
    line_rate: Option<Rate>,
    pub(super) state: State,
    pub(super) backlog: Backlog,
    pub(super) encoder: Option<Encoder>,
    pub(super) paths: Vec<Path>,
    /// One for each path if they are adaptive, else one for all.
    pub(super) flows: Vec<Flow>,
    /// Messages before this may be sent.
    pub(super) granted: u64,
    /// Bytes that the receiver lets be in flight, on all paths together.
    pub(super) allowance: u64,
    /// The path after the last used one, when they are taken in turn.
    pub(super) turn: usize,
    /// Paths to be sent on whatever the window says: a timeout passed there.
    pub(super) probes: BTreeSet<usize>,
    /// When the peer was last heard, or something was first waited for.
    pub(super) heard: Time,
    pub(super) totals: Totals,
}

#[derive(Debug)]
pub(super) enum State {
    Greeting(Handshake),
    Open,
    /// Byes sent so far, and when the next is due.
    Closing {
        byes: u32,
        due: Time,
    },
    Closed,
}

/// What it counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Packets sent again, or sent to see whether a path lives.
    pub(crate) repeats: u64,
    /// Bytes that arrived.
    pub(crate) arrived: u64,
    /// Of those, with "congestion experienced".
    pub(crate) marked: u64,
}

/// What telemetry shows of one path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PathState {
    pub(crate) path: usize,
    pub(crate) rtt: Option<Duration>,
    pub(crate) window: u64,
    pub(crate) pacing_rate: Option<Rate>,
    pub(crate) delivery_rate: Option<Rate>,
}

/// Time between byes, and how many there are: the peer may be gone already.
const BYE_WAIT: Duration = Duration::from_millis(200);
const BYES: u32 = 3;

/// Round trips between a path's end and the first try whether it is back, and the bounds of that wait and of its doublings.
const SILENCE: u32 = 8;
const LEAST_SILENCE: Duration = Duration::from_millis(10);
pub(super) const MOST_SILENCE: Duration = Duration::from_secs(1);

/// Bytes that wait beyond what is in flight: enough for the next packets while the application looks elsewhere.
const LEAST_BACKLOG: u64 = 1 << 20;
/// Bytes that wait at most, however wide a window is.
const MOST_BACKLOG: u64 = 64 << 20;

impl Sender {
    /// From `rank`, to a peer that will know it by `key`. `nonce` is the world's.
    pub(crate) fn new(
        now: Time,
        parameters: Parameters,
        rank: u32,
        key: u64,
        nonce: u64,
        line_rate: Option<Rate>,
    ) -> Self {
        Self {
            rank,
            key,
            line_rate,
            state: State::Greeting(Handshake::new(now, nonce, &parameters)),
            backlog: Backlog::new(parameters.piece()),
            encoder: parameters
                .erasure
                .map(|erasure| Encoder::new(erasure, parameters.piece())),
            // What a block's parity gives need not be repeated.
            paths: (0..parameters.paths)
                .map(|_| Path::new(parameters.erasure.map_or(0, Erasure::packets)))
                .collect(),
            flows: Vec::new(),
            granted: 0,
            allowance: u64::MAX,
            turn: 0,
            probes: BTreeSet::new(),
            heard: now,
            totals: Totals::default(),
            parameters,
        }
    }

    /// Whether the handshake is done.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether it takes another message now: what waits is at most what the windows let be in flight, or a little.
    pub(crate) fn has_room(&self) -> bool {
        let windows: u64 = self
            .flows
            .iter()
            .fold(0, |sum, flow| sum.saturating_add(flow.controller.window()));
        self.backlog.waiting() < windows.clamp(LEAST_BACKLOG, MOST_BACKLOG)
    }

    /// Whether all messages have arrived.
    pub(crate) fn is_drained(&self) -> bool {
        self.backlog.is_empty()
    }

    /// All pieces before this have arrived.
    pub(crate) fn arrived_before(&self) -> u64 {
        self.backlog.floor()
    }

    /// Sends a copy of `message`; answers its number.
    ///
    /// # Panics
    /// If it is longer than the parameters say.
    pub(crate) fn push(&mut self, now: Time, message: &[u8]) -> u64 {
        assert!(
            message.len() <= self.parameters.most_message,
            "a message of {} B",
            message.len()
        );
        if self.backlog.is_empty() {
            self.heard = self.heard.max(now);
        }
        self.backlog.push(now, message)
    }

    /// Ends the queue pair once all has arrived.
    pub(crate) fn close(&mut self, now: Time) {
        if self.is_drained() && self.is_open() {
            self.state = State::Closing { byes: 0, due: now };
        }
    }

    /// Bytes of messages that have arrived, with the headers of the packets they need: neither repeats nor parity.
    pub(crate) fn delivered(&self) -> u64 {
        let (pieces, bytes) = self.backlog.delivered();
        let around = self.parameters.datagram - self.parameters.piece();
        bytes + pieces * around as u64
    }

    /// What it counted so far.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// What telemetry shows of each path.
    pub(crate) fn path_states(&self) -> impl Iterator<Item = PathState> + '_ {
        self.paths.iter().enumerate().filter_map(|(index, path)| {
            let flow = self.flows.get(self.flow_of(index))?;
            Some(PathState {
                path: index,
                rtt: path.round_trip.smoothed(),
                window: flow.controller.window(),
                pacing_rate: flow.controller.pacing_rate(),
                delivery_rate: flow.rate,
            })
        })
    }

    /// Appends the next packet to `out`, if one may leave now; answers the path it leaves on.
    pub(crate) fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>) -> Option<u8> {
        match &mut self.state {
            State::Greeting(handshake) if handshake.due() <= now => {
                let start = out.len();
                let hello = wire::Packet::Hello(handshake.hello(now));
                wire::encode(out, self.envelope(0), 0, &hello);
                out.resize(start + self.parameters.datagram, 0);
                Some(0)
            }
            State::Closing { byes, due } if *due <= now => {
                *byes += 1;
                *due = now + BYE_WAIT;
                if *byes > BYES {
                    self.state = State::Closed;
                    return None;
                }
                wire::encode(out, self.envelope(0), 0, &wire::Packet::Bye);
                Some(0)
            }
            State::Open => self.next_packet(now, out),
            State::Greeting(_) | State::Closing { .. } | State::Closed => None,
        }
    }

    /// Bytes that may leave as one super-packet on a path, behind what was written last.
    pub(crate) fn super_packet(&self, path: u8) -> u64 {
        let path = usize::from(path);
        match (self.paths.get(path), self.flows.get(self.flow_of(path))) {
            (Some(path), Some(flow)) if path.next_number() > SINGLY => flow.super_packet(),
            _ => 0,
        }
    }

    /// What was written for `path` is sent only now: `bytes` are datagrams of `segment` bytes each, the last of which may be shorter.
    /// Delay counts from here on; what they waited for the thread or the kernel is none of the way's.
    pub(crate) fn restamp(&mut self, now: Time, path: u8, bytes: &mut [u8], segment: usize) {
        let Some(path) = self.paths.get_mut(usize::from(path)) else {
            return;
        };
        for datagram in bytes.chunks_mut(segment) {
            if let Some(number) = wire::restamp(datagram, self.parameters.hops, now) {
                path.restamp(now, number);
            }
        }
    }

    /// When [`Self::on_timer`] and [`Self::poll_transmit`] are to be called next, whatever comes before.
    pub(crate) fn timer(&self) -> Option<Time> {
        let own = match &self.state {
            State::Greeting(handshake) => Some(handshake.due()),
            State::Closing { due, .. } => Some(*due),
            State::Open => self.open_timer(),
            State::Closed => None,
        };
        let given_up = self.waits().then(|| self.heard + self.parameters.patience);
        own.into_iter().chain(given_up).min()
    }

    /// Time has passed.
    ///
    /// # Errors
    /// If the peer has not been heard for longer than the parameters say.
    pub(crate) fn on_timer(&mut self, now: Time) -> Result<(), Failure> {
        if self.waits() && now >= self.heard + self.parameters.patience {
            return Err(Failure::Vanished(now.since(self.heard)));
        }
        if !self.is_open() {
            return Ok(());
        }
        for flow in &mut self.flows {
            if flow.controller.timer().is_some_and(|timer| timer <= now) {
                flow.controller.on_timer(now);
            }
        }
        for index in 0..self.paths.len() {
            if self.paths[index].late_at().is_some_and(|late| late <= now) {
                let lost = self.paths[index].find_lost(now);
                self.lose(now, index, &lost);
            }
            let waiting = self.waits_for_room(index);
            if self.paths[index].is_live()
                && self.paths[index]
                    .timeout_at(waiting)
                    .is_some_and(|at| at <= now)
            {
                self.time_out(now, index);
            }
        }
        Ok(())
    }

    /// A welcome came.
    pub(super) fn on_welcome(
        &mut self,
        seen: Seen,
        greeting: &wire::Greeting,
    ) -> Result<(), Failure> {
        let now = seen.now;
        let State::Greeting(handshake) = &mut self.state else {
            return Ok(());
        };
        let Some(measured) = handshake.welcome(seen, greeting) else {
            return Ok(());
        };
        let measured = measured?;
        let rtt = measured.round_trip;
        let conditions = Conditions {
            packet: self.parameters.datagram as u64,
            line_rate: self.line_rate,
            handshake: Some(rtt),
            measured: Some(measured),
        };
        let flows = match self.parameters.choice {
            PathChoice::Adaptive => self.paths.len(),
            PathChoice::Hash | PathChoice::Spray => 1,
        };
        self.flows = (0..flows)
            .map(|flow| Conditions {
                // It went over the first path.
                measured: conditions.measured.filter(|_| flow == 0),
                ..conditions
            })
            .map(|conditions| Flow::new(self.parameters.law.start(conditions, now)))
            .collect();
        // The first timeouts rest on it; that of another path may be longer, which its own packets will tell.
        for path in &mut self.paths {
            path.round_trip.sample(rtt, rtt);
        }
        self.granted = self.granted.max(greeting.granted);
        self.allowance = greeting.allowance;
        self.heard = now;
        self.state = State::Open;
        Ok(())
    }

    pub(super) fn envelope(&self, path: usize) -> Envelope {
        Envelope {
            path: path as u8,
            from: self.rank,
            key: self.key,
        }
    }

    /// The flow of a path.
    pub(super) fn flow_of(&self, path: usize) -> usize {
        path.min(self.flows.len().saturating_sub(1))
    }

    /// Whether the receiver allows another packet in flight.
    pub(super) fn is_allowed(&self) -> bool {
        let in_flight: u64 = self.flows.iter().map(|flow| flow.in_flight).sum();
        in_flight < self.allowance
    }

    /// Packets of a path are lost: they go again, and the congestion control hears of them.
    pub(super) fn lose(&mut self, now: Time, path: usize, lost: &[Packet]) {
        let Some(newest) = lost.last() else { return };
        let bytes = self.take_back(path, lost);
        let flow = self.flow_of(path);
        let flow = &mut self.flows[flow];
        flow.controller.on_loss(&Loss {
            now,
            bytes,
            packets: lost.len() as u32,
            sent: newest.sent,
            in_flight: flow.in_flight,
        });
    }

    /// Takes lost packets out of the flight and into the backlog; answers their bytes.
    fn take_back(&mut self, path: usize, lost: &[Packet]) -> u64 {
        for sequence in lost.iter().filter_map(|packet| packet.sequence) {
            self.backlog.lose(sequence);
        }
        let bytes = lost.iter().map(|packet| packet.bytes).sum();
        let flow = self.flow_of(path);
        self.flows[flow].in_flight -= bytes;
        bytes
    }

    /// Whether anything is expected of the peer.
    fn waits(&self) -> bool {
        match self.state {
            State::Greeting(_) => true,
            State::Open => !self.backlog.is_empty(),
            State::Closing { .. } | State::Closed => false,
        }
    }

    /// Whether this is the path to ask on whether the receiver has room again: its word may have been lost.
    fn waits_for_room(&self, path: usize) -> bool {
        Some(path) == self.paths.iter().position(Path::is_live)
            && self
                .paths
                .iter()
                .filter(|path| path.is_live())
                .all(|path| path.in_flight == 0)
            && self.backlog.is_held_back(self.granted)
    }

    /// Nothing was heard on a path for a timeout. The first time, one packet finds out whether the last ones are lost
    /// (RFC 8985's tail loss probe); then all of them are, and the path is left if there is another.
    fn time_out(&mut self, now: Time, index: usize) {
        self.paths[index].count_timeout(now);
        if self.paths[index].timeouts == 1 {
            self.probes.insert(index);
            return;
        }
        let lost = self.paths[index].lose_all();
        let others = (0..self.paths.len()).any(|other| {
            other != index && self.paths[other].is_live() && self.paths[other].timeouts == 0
        });
        if others {
            let rtt = self.paths[index].round_trip.smoothed().unwrap_or_default();
            let interval = (rtt * SILENCE).clamp(LEAST_SILENCE, MOST_SILENCE);
            self.paths[index].health = Health::Silent {
                again: now + interval,
                interval,
            };
        } else {
            self.probes.insert(index);
        }
        if others && self.flows.len() == 1 {
            // The other paths of the same control are heard.
            self.lose(now, index, &lost);
        } else {
            self.take_back(index, &lost);
            let flow = self.flow_of(index);
            self.flows[flow].controller.on_timeout(now);
        }
    }

    fn open_timer(&self) -> Option<Time> {
        let more = self.backlog.next(self.granted).is_some()
            || self.encoder.as_ref().is_some_and(Encoder::has_next);
        let more = more && self.is_allowed();
        let bytes = self.parameters.datagram as u64;
        let paths = self.paths.iter().enumerate().flat_map(|(index, path)| {
            let flow = &self.flows[self.flow_of(index)];
            let again = match path.health {
                Health::Silent { again, .. } => Some(again),
                Health::Live => path.timeout_at(self.waits_for_room(index)),
            };
            let paced = || flow.wait(Time::default(), bytes);
            let paced = (more && path.is_live() && flow.has_room())
                .then(paced)
                .flatten();
            [again, path.late_at(), paced]
        });
        let laws = self.flows.iter().map(|flow| flow.controller.timer());
        paths.chain(laws).flatten().min()
    }
}
