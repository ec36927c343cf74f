//! Senders in a closed loop with a queue, in virtual time: for what only shows in steady state.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::tests::{at, rng, traffic};
use super::*;

/// How long a sender hears nothing until it starts over.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The least window of a sender, in packets.
const LEAST_WINDOW: f64 = 2.0;

/// How a sender reacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Halves its window for a loss or a mark, once per round trip (RFC 5681): a window of √(3/2p).
    Reno,
    /// Gives up half a packet for each mark (as DCTCP and Prague do on average): a window of 2/p.
    Scalable,
}

/// What became of a sender after the warm-up.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// What it sent through the line.
    pub(super) bytes: u64,
    /// How long each of its packets waited, in milliseconds.
    pub(super) delays: Vec<f64>,
}

impl Outcome {
    /// That of several senders together.
    pub(super) fn of_all(outcomes: &[Outcome]) -> Self {
        Outcome {
            bytes: outcomes.iter().map(|outcome| outcome.bytes).sum(),
            delays: outcomes
                .iter()
                .flat_map(|outcome| &outcome.delays)
                .copied()
                .collect(),
        }
    }

    pub(super) fn mean_delay(&self) -> f64 {
        self.delays.iter().sum::<f64>() / self.delays.len() as f64
    }

    pub(super) fn delay_quantile(&self, share: f64) -> f64 {
        let mut sorted = self.delays.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * share) as usize]
    }
}

/// A queue, its line, and the senders that share it.
pub(super) struct Bottleneck {
    pub(super) discipline: QueueDiscipline,
    pub(super) rate: Rate,
    /// The round-trip time without waiting.
    pub(super) round_trip: Duration,
    pub(super) senders: Vec<(Control, Ecn)>,
}

impl Bottleneck {
    /// Lets the senders send and answers what became of each between `warm_up` and `end`.
    pub(super) fn run(&self, warm_up: Duration, end: Duration) -> Vec<Outcome> {
        let mut run = Run::new(self, warm_up);
        for sender in 0..self.senders.len() {
            let start = Duration::from_millis(37) * sender as u32;
            run.schedule(at(0) + start, Event::Check { sender });
        }
        while let Some(Reverse((now, _, event))) = run.events.pop() {
            if now > at(0) + end {
                break;
            }
            run.handle(now, event);
        }
        run.outcomes
    }
}

/// A packet: its sender and its number.
type Packet = (usize, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The line has sent a packet.
    Sent,
    /// An acknowledgement reaches the sender.
    Acknowledged { packet: Packet, marked: bool },
    /// A sender looks whether it still hears something.
    Check { sender: usize },
}

#[derive(Clone, Debug)]
struct Sender {
    window: f64,
    threshold: f64,
    in_flight: VecDeque<u64>,
    next: u64,
    /// What was sent before has been reacted to.
    recovered: u64,
    heard: u64,
    heard_before: u64,
}

struct Run<'a> {
    bottleneck: &'a Bottleneck,
    warm_up: Time,
    queue: Queue<Packet>,
    line: LineState,
    senders: Vec<Sender>,
    outcomes: Vec<Outcome>,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    scheduled: u64,
    rng: rand_chacha::ChaCha8Rng,
}

impl<'a> Run<'a> {
    fn new(bottleneck: &'a Bottleneck, warm_up: Duration) -> Self {
        let sender = Sender {
            window: 10.0,
            threshold: f64::INFINITY,
            in_flight: VecDeque::new(),
            next: 0,
            recovered: 0,
            heard: 0,
            heard_before: 0,
        };
        let count = bottleneck.senders.len();
        Run {
            bottleneck,
            warm_up: at(0) + warm_up,
            queue: Queue::new(&bottleneck.discipline, None, Some(bottleneck.rate)),
            line: LineState::Free,
            senders: vec![sender; count],
            outcomes: vec![Outcome::default(); count],
            events: BinaryHeap::new(),
            scheduled: 0,
            rng: rng(),
        }
    }

    fn schedule(&mut self, time: Time, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((time, self.scheduled, event)));
    }

    fn handle(&mut self, now: Time, event: Event) {
        match event {
            Event::Sent => self.transmit(now),
            Event::Acknowledged { packet, marked } => {
                self.react(packet, marked);
                self.send(now, packet.0);
            }
            Event::Check { sender } => {
                let state = &mut self.senders[sender];
                if state.heard == state.heard_before {
                    state.in_flight.clear();
                    state.window = state.window.min(10.0);
                }
                state.heard_before = state.heard;
                self.schedule(now + TIMEOUT, Event::Check { sender });
                self.send(now, sender);
            }
        }
    }

    fn send(&mut self, now: Time, sender: usize) {
        let ecn = self.bottleneck.senders[sender].1;
        while (self.senders[sender].in_flight.len() as f64) < self.senders[sender].window {
            let state = &mut self.senders[sender];
            let number = state.next;
            state.next += 1;
            state.in_flight.push_back(number);
            let traffic = traffic(1, ecn, sender as u32);
            self.queue.offer(
                &Arrival::whole(now, &(sender, number), traffic),
                self.line,
                &mut self.rng,
            );
            if self.line == LineState::Free {
                self.transmit(now);
            }
        }
    }

    fn transmit(&mut self, now: Time) {
        let Some(train) = self.queue.take(now, 1, &mut self.rng) else {
            self.line = LineState::Free;
            return;
        };
        self.line = tests::BUSY;
        let bytes = train.traffic.shape.bytes(&train.segments);
        let size = longhaul_topologies::units::ByteSize::from_bytes(bytes);
        let sent = now + self.bottleneck.rate.time_for(size);
        if now >= self.warm_up {
            let outcome = &mut self.outcomes[train.packet.0];
            outcome.bytes += bytes;
            let waited = now.since(train.arrival);
            outcome.delays.push(waited.as_secs_f64() * 1e3);
        }
        self.schedule(sent, Event::Sent);
        let acknowledged = Event::Acknowledged {
            packet: train.packet,
            marked: train.marking == Marking::Marked,
        };
        self.schedule(sent + self.bottleneck.round_trip, acknowledged);
    }

    fn react(&mut self, (sender, number): Packet, marked: bool) {
        let control = self.bottleneck.senders[sender].0;
        let state = &mut self.senders[sender];
        let mut lost = false;
        while state.in_flight.front().is_some_and(|&first| first < number) {
            state.in_flight.pop_front();
            lost = true;
        }
        if state.in_flight.front() == Some(&number) {
            state.in_flight.pop_front();
        }
        state.heard += 1;
        match control {
            Control::Scalable if marked => {
                state.window = (state.window - 0.5).max(LEAST_WINDOW);
                state.threshold = state.window;
            }
            Control::Reno | Control::Scalable if lost || marked => {
                if number >= state.recovered {
                    state.window = (state.window / 2.0).max(LEAST_WINDOW);
                    state.threshold = state.window;
                    state.recovered = state.next;
                }
            }
            Control::Reno | Control::Scalable if state.window < state.threshold => {
                state.window += 1.0;
            }
            Control::Reno | Control::Scalable => state.window += 1.0 / state.window,
        }
    }
}
