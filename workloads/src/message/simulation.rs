//! A queue pair over a link in virtual time, for tests.
//!
//! Each lane is a bottleneck with a rate and a queue, then a delay; a seeded generator decides what is lost, doubled and held
//! back. What comes back takes the same delay and suffers the same losses, without a bottleneck.

pub(crate) mod incast;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::{ByteSize, Rate};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::receiver::{Arrived, Receiver, Sink};
use super::sender::Sender;
use super::{Failure, Parameters, Seen, wire};

/// A link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// What each path has; a path beyond the last lane shares the first ones in turn.
    pub(crate) lanes: Vec<Lane>,
    pub(crate) seed: u64,
}

/// One of its lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) rate: Rate,
    /// One way.
    pub(crate) delay: Duration,
    /// Bytes that may wait.
    pub(crate) queue: u64,
    /// Bytes that wait when packets begin to be marked.
    pub(crate) mark_above: u64,
    /// Probabilities, either way.
    pub(crate) loss: f64,
    pub(crate) duplication: f64,
    pub(crate) reordering: f64,
    /// How much longer a reordered packet takes.
    pub(crate) held_back: Duration,
}

impl Lane {
    /// A clean lane with a queue of two bandwidth-delay products and no marks.
    pub(crate) fn new(rate: Rate, delay: Duration) -> Self {
        let queue = rate.size_in(delay * 4).bytes().max(64 << 10);
        Self {
            rate,
            delay,
            queue,
            mark_above: u64::MAX,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            held_back: delay,
        }
    }
}

/// Both ends and what is under way between them.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) now: Time,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    pub(crate) link: Link,
    /// Messages as they were handed over, in that order.
    pub(crate) received: Vec<(u64, Vec<u8>)>,
    /// How much later than it came each end looks at a datagram.
    pub(crate) late: Duration,
    /// Packets of data that were lost or found no room.
    pub(crate) dropped: u64,
    /// The most that the receiver ever remembered.
    pub(crate) most_remembered: usize,
    placed: Placed,
    rng: ChaCha8Rng,
    /// By lane; other pairs may share it.
    busy_until: Rc<RefCell<Vec<Time>>>,
    under_way: BTreeMap<(Time, u64), Datagram>,
    count: u64,
}

#[derive(Debug)]
struct Datagram {
    to_receiver: bool,
    marked: bool,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Placed(BTreeMap<u64, (Vec<u8>, BTreeSet<usize>)>);

impl Sink for Placed {
    fn place(&mut self, message: u64, length: usize, offset: usize, bytes: &[u8]) {
        let (whole, offsets) = self
            .0
            .entry(message)
            .or_insert_with(|| (vec![0; length], BTreeSet::new()));
        assert!(offsets.insert(offset), "{offset} of {message} came twice");
        whole[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

const KEY: u64 = 11;
const NONCE: u64 = 7;

impl Pair {
    pub(crate) fn new(parameters: &Parameters, link: Link) -> Self {
        let now = Time::from_nanos(1_000_000_000);
        Self {
            now,
            sender: Sender::new(now, parameters.clone(), 0, KEY, NONCE, None),
            receiver: Receiver::new(parameters.clone(), 1, KEY, NONCE),
            received: Vec::new(),
            late: Duration::ZERO,
            dropped: 0,
            most_remembered: 0,
            placed: Placed::default(),
            rng: ChaCha8Rng::seed_from_u64(link.seed),
            busy_until: Rc::new(RefCell::new(vec![now; link.lanes.len()])),
            under_way: BTreeMap::new(),
            count: 0,
            link,
        }
    }

    /// Sends these messages and runs until all have arrived and been told of, or `patience` has passed. Answers how long it
    /// took.
    pub(crate) fn transfer(
        &mut self,
        messages: &[Vec<u8>],
        patience: Duration,
    ) -> Result<Duration, Failure> {
        let (start, mut next) = (self.now, 0);
        let wanted = self.received.len() + messages.len();
        loop {
            while next < messages.len() && self.sender.has_room() {
                self.sender.push(self.now, &messages[next]);
                next += 1;
            }
            let done = self.received.len() >= wanted && self.sender.is_drained();
            let waited = self.now.since(start);
            if done || waited > patience {
                return Ok(waited);
            }
            self.step()?;
        }
    }

    /// Does all that is due, then moves on to the next moment at which something is.
    pub(crate) fn step(&mut self) -> Result<(), Failure> {
        self.act()?;
        let next = self.next();
        self.move_on(next)
    }

    /// Does all that is due.
    fn act(&mut self) -> Result<(), Failure> {
        self.sender.on_timer(self.now)?;
        self.exchange();
        while let Some(message) = self.receiver.poll_message(self.now) {
            let (bytes, _) = self.placed.0.remove(&message).unwrap_or_default();
            self.received.push((message, bytes));
            self.receiver.done(message);
        }
        self.exchange();
        self.most_remembered = self.most_remembered.max(self.receiver.remembered());
        Ok(())
    }

    /// The next moment at which something is due.
    fn next(&self) -> Time {
        let arrival = self.under_way.keys().next();
        let arrival = arrival.map(|(at, _)| *at + self.late);
        let next = [arrival, self.sender.timer(), self.receiver.timer()];
        let next = next.into_iter().flatten().min();
        // Time never stands still, or a mistake would be an endless loop.
        next.unwrap_or(self.now + Duration::from_millis(1))
            .max(self.now + Duration::from_nanos(1))
    }

    /// Makes it `now`, and delivers what has come.
    fn move_on(&mut self, now: Time) -> Result<(), Failure> {
        self.now = now;
        while let Some(entry) = self
            .under_way
            .first_entry()
            .filter(|entry| entry.key().0 + self.late <= self.now)
        {
            let ((came, _), datagram) = entry.remove_entry();
            self.deliver(came, &datagram)?;
        }
        Ok(())
    }

    /// Hands a datagram to the end it is for.
    fn deliver(&mut self, came: Time, datagram: &Datagram) -> Result<(), Failure> {
        let Some((telemetry, envelope, packet)) = wire::decode(&datagram.bytes) else {
            return Ok(());
        };
        let seen = Seen {
            came,
            now: self.now,
        };
        if !datagram.to_receiver {
            return self.sender.on_packet(seen, envelope, &packet);
        }
        let arrived = Arrived {
            seen,
            bytes: datagram.bytes.len() as u64,
            marked: datagram.marked,
            telemetry,
        };
        self.receiver
            .on_packet(arrived, envelope, &packet, &mut self.placed)
    }

    /// Hands the receiver bytes that nobody of this pair sent.
    pub(crate) fn inject(&mut self, to_receiver: bool, bytes: Vec<u8>) -> Result<(), Failure> {
        let datagram = Datagram {
            to_receiver,
            marked: false,
            bytes,
        };
        self.deliver(self.now, &datagram)
    }

    fn exchange(&mut self) {
        let mut bytes = Vec::new();
        while let Some(path) = self.sender.poll_transmit(self.now, &mut bytes) {
            self.carry(path, true, &bytes);
            bytes.clear();
        }
        while let Some(path) = self.receiver.poll_transmit(self.now, &mut bytes) {
            self.carry(path, false, &bytes);
            bytes.clear();
        }
    }

    fn carry(&mut self, path: u8, to_receiver: bool, bytes: &[u8]) {
        let index = usize::from(path) % self.link.lanes.len();
        let lane = self.link.lanes[index];
        let length = bytes.len() as u64;
        let mut at = self.now;
        let mut marked = false;
        if to_receiver {
            let busy_until = &mut self.busy_until.borrow_mut()[index];
            let waiting = lane.rate.size_in(busy_until.since(self.now)).bytes();
            marked = waiting > lane.mark_above;
            if waiting + length > lane.queue {
                self.dropped += 1;
                return;
            }
            at = (*busy_until).max(self.now) + lane.rate.time_for(ByteSize::from_bytes(length));
            *busy_until = at;
        }
        at = at + lane.delay;
        if self.chance(lane.loss) {
            self.dropped += u64::from(to_receiver);
            return;
        }
        let copies = if self.chance(lane.duplication) { 2 } else { 1 };
        for _ in 0..copies {
            let at = if self.chance(lane.reordering) {
                at + lane.held_back
            } else {
                at
            };
            self.count += 1;
            let datagram = Datagram {
                to_receiver,
                marked,
                bytes: bytes.to_vec(),
            };
            self.under_way.insert((at, self.count), datagram);
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random_bool(probability)
    }

    /// Bytes that look random, the same for the same seed.
    pub(crate) fn messages(seed: u64, lengths: &[usize]) -> Vec<Vec<u8>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let message = |&length: &usize| {
            let mut bytes = vec![0; length];
            rng.fill_bytes(&mut bytes);
            bytes
        };
        lengths.iter().map(message).collect()
    }
}
