//! A bottleneck in virtual time: flows with laws at work meet in lanes with a FIFO each. Deterministic by its seed.
//!
//! The whole way lies behind the bottleneck: what feedback sees is the round trip, not where it lies. Each packet is
//! acknowledged by itself, at once, without a queue on the way back; three later ones that arrive show a loss, and a timeout
//! the loss of all. What is lost is not repeated, as the data has no end: rates are of what arrived.
//!
//! - [`Scenario`]: what is tried. [`Scenario::run`] tries it.
//! - [`Outcome`]: what came of it.

mod outcome;
mod sender;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use longhaul_emulator::inband::Record;
use longhaul_emulator::time::Time;
use longhaul_topologies::model::Direction;
use longhaul_topologies::units::{ByteSize, Rate};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Law;
pub use outcome::Outcome;
use sender::{Acknowledged, Sender};

/// What is tried.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The lanes of the bottleneck.
    pub lanes: Vec<Lane>,
    /// Who sends over them.
    pub flows: Vec<Flow>,
    /// What happens meanwhile, by its time.
    pub changes: Vec<(Duration, Change)>,
    /// How long.
    pub length: Duration,
    /// The grain of what is measured.
    pub grain: Duration,
    /// Of losses and marks.
    pub seed: u64,
}

/// One lane.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// Its rate.
    pub rate: Rate,
    /// What it lets through at once after it was idle, as a token bucket does (tc-tbf(8)); nothing on a wire.
    pub bucket: ByteSize,
    /// What its queue holds.
    pub queue: ByteSize,
    /// Where it marks: none below the first, all from the second on, and between them ever more.
    pub marks: Option<(ByteSize, ByteSize)>,
    /// How many packets get lost behind it, 0 to 1.
    pub loss: f64,
    /// What the way behind it adds at most, evenly drawn; packets keep their order.
    pub jitter: Duration,
    /// Whether packets carry what they met.
    pub telemetry: bool,
}

/// One flow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its law.
    pub law: Law,
    /// Its round trip without queues.
    pub rtt: Duration,
    /// Its lane.
    pub lane: usize,
    /// When it begins.
    pub start: Duration,
    /// Its packets on the wire.
    pub packet: u64,
    /// Its interface's rate, where that tells it.
    pub line_rate: Option<Rate>,
    /// What it has to send.
    pub supply: Supply,
}

/// What there is to send.
#[derive(Clone, Copy, Debug)]
pub enum Supply {
    /// Always more.
    Endless,
    /// So many bytes each time.
    Bursts {
        /// Bytes.
        bytes: u64,
        /// From one beginning to the next.
        every: Duration,
    },
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// A flow's way becomes so long.
    RoundTrip(usize, Duration),
    /// A flow moves to another lane.
    Move(usize, usize),
    /// A lane is cut: what waits there is lost.
    Down(usize),
    /// It is back.
    Up(usize),
    /// A lane's rate changes.
    Rate(usize, Rate),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Change(usize),
    Start(usize),
    Burst(usize),
    Depart(usize, u64),
    Ack(usize),
    Wake(usize),
    Timer(usize),
    Timeout(usize),
    Sample,
}

struct Waiting {
    flow: usize,
    number: u64,
    bytes: u64,
    marked: bool,
}

struct LaneState {
    lane: Lane,
    up: bool,
    queue: VecDeque<Waiting>,
    bytes: u64,
    sent: u64,
    /// When its bucket is full, if nothing more comes.
    full: Time,
    /// What the packet in service met.
    record: Option<Record>,
    /// Departures announced before a cut do not count.
    generation: u64,
}

impl Scenario {
    /// Tries it.
    pub fn run(&self) -> Outcome {
        Run::new(self).run()
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    now: Time,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    lanes: Vec<LaneState>,
    senders: Vec<Sender>,
    random: ChaCha8Rng,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let lane = |lane: &Lane| LaneState {
            lane: *lane,
            up: true,
            queue: VecDeque::new(),
            bytes: 0,
            sent: 0,
            full: Time::default(),
            record: None,
            generation: 0,
        };
        let mut run = Run {
            scenario,
            now: Time::default(),
            events: BinaryHeap::new(),
            order: 0,
            lanes: scenario.lanes.iter().map(lane).collect(),
            senders: scenario.flows.iter().map(Sender::new).collect(),
            random: ChaCha8Rng::seed_from_u64(scenario.seed),
            outcome: Outcome::new(scenario),
        };
        for (index, (at, _)) in scenario.changes.iter().enumerate() {
            run.at(Time::default() + *at, Event::Change(index));
        }
        for (index, flow) in scenario.flows.iter().enumerate() {
            run.at(Time::default() + flow.start, Event::Start(index));
        }
        run.at(Time::default(), Event::Sample);
        run
    }

    fn at(&mut self, time: Time, event: Event) {
        self.order += 1;
        self.events
            .push(Reverse((time.as_nanos(), self.order, event)));
    }

    fn run(mut self) -> Outcome {
        let end = Time::default() + self.scenario.length;
        while let Some(Reverse((time, _, event))) = self.events.pop() {
            self.now = Time::from_nanos(time);
            if self.now >= end {
                break;
            }
            match event {
                Event::Change(index) => self.change(self.scenario.changes[index].1),
                Event::Start(flow) => self.start(flow),
                Event::Burst(flow) => self.burst(flow),
                Event::Depart(lane, generation) => self.depart(lane, generation),
                Event::Ack(flow) => self.acknowledge(flow),
                Event::Wake(flow) => {
                    if self.senders[flow].woken(self.now) {
                        self.send(flow);
                    }
                }
                Event::Timer(flow) => {
                    self.senders[flow].on_timer(self.now);
                    self.send(flow);
                }
                Event::Timeout(flow) => {
                    if self.senders[flow].on_timeout(self.now) {
                        self.outcome.timeouts += 1;
                    }
                    self.send(flow);
                }
                Event::Sample => self.sample(),
            }
        }
        self.outcome
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::RoundTrip(flow, rtt) => self.senders[flow].rtt = rtt,
            Change::Move(flow, lane) => self.senders[flow].lane = lane,
            Change::Down(lane) => {
                let lane = &mut self.lanes[lane];
                lane.up = false;
                lane.generation += 1;
                self.outcome.drops += lane.queue.len() as u64;
                lane.queue.clear();
                lane.bytes = 0;
            }
            Change::Up(lane) => self.lanes[lane].up = true,
            Change::Rate(lane, rate) => self.lanes[lane].lane.rate = rate,
        }
    }

    fn start(&mut self, flow: usize) {
        let lane = &self.lanes[self.senders[flow].lane];
        let packet = self.scenario.flows[flow].packet;
        let waited = lane
            .lane
            .rate
            .time_for(ByteSize::from_bytes(lane.bytes + packet));
        self.senders[flow].start(waited, self.now);
        match self.scenario.flows[flow].supply {
            Supply::Endless => self.send(flow),
            Supply::Bursts { .. } => self.burst(flow),
        }
    }

    fn burst(&mut self, flow: usize) {
        if let Supply::Bursts { bytes, every } = self.scenario.flows[flow].supply {
            self.senders[flow].supply(bytes, self.now);
            self.at(self.now + every, Event::Burst(flow));
            self.send(flow);
        }
    }

    /// Sends what a flow may, and sees to it that it is asked again.
    fn send(&mut self, flow: usize) {
        while let Some(number) = self.senders[flow].next(self.now) {
            self.enqueue(flow, number);
        }
        let sender = &mut self.senders[flow];
        let wanted = [
            (sender.wake(), Event::Wake(flow)),
            (sender.timer(), Event::Timer(flow)),
            (sender.timeout(), Event::Timeout(flow)),
        ];
        for (time, event) in wanted {
            if let Some(time) = time {
                self.at(time.max(self.now), event);
            }
        }
    }

    fn enqueue(&mut self, flow: usize, number: u64) {
        let (index, packet) = (self.senders[flow].lane, self.senders[flow].packet);
        let lane = &mut self.lanes[index];
        if !lane.up || lane.bytes + packet > lane.lane.queue.bytes().max(packet) {
            self.outcome.drops += 1;
            return;
        }
        let marked = lane.lane.marks.is_some_and(|(least, most)| {
            let (least, most) = (least.bytes() as f64, most.bytes() as f64);
            let over = lane.bytes as f64 - least;
            over >= 0.0
                && (least + over >= most || self.random.random::<f64>() < over / (most - least))
        });
        self.outcome.marks += u64::from(marked);
        lane.bytes += packet;
        lane.queue.push_back(Waiting {
            flow,
            number,
            bytes: packet,
            marked,
        });
        if lane.queue.len() == 1 {
            self.serve(index);
        }
    }

    /// The first packet of a lane's queue begins to leave.
    fn serve(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        let Some(first) = lane.queue.front() else {
            return;
        };
        lane.sent += first.bytes;
        lane.record = lane.lane.telemetry.then(|| Record {
            link: 0,
            lane: u16::try_from(index).unwrap_or(u16::MAX),
            direction: Direction::Forward,
            marked: first.marked,
            time_ns: self.now.as_nanos(),
            queue_packets: u32::try_from(lane.queue.len() - 1).unwrap_or(u32::MAX),
            queue_bytes: lane.bytes - first.bytes,
            sent_bytes: lane.sent,
            rate_bps: Some(lane.lane.rate.bits_per_second()),
        });
        let rate = lane.lane.rate;
        lane.full = self.now.max(lane.full) + rate.time_for(ByteSize::from_bytes(first.bytes));
        let wait = lane.full.since(self.now);
        let leaves = self.now + wait.saturating_sub(rate.time_for(lane.lane.bucket));
        let generation = lane.generation;
        self.at(leaves, Event::Depart(index, generation));
    }

    fn depart(&mut self, index: usize, generation: u64) {
        let lane = &mut self.lanes[index];
        if lane.generation != generation {
            return;
        }
        let Some(packet) = lane.queue.pop_front() else {
            return;
        };
        lane.bytes -= packet.bytes;
        let record = lane.record.take();
        let (loss, jitter) = (lane.lane.loss, lane.lane.jitter);
        if loss > 0.0 && self.random.random::<f64>() < loss {
            self.outcome.lost += 1;
        } else {
            self.outcome.arrived(self.now, packet.flow, packet.bytes);
            let acknowledged = Acknowledged {
                number: packet.number,
                marked: packet.marked,
                record,
            };
            let longer = if jitter.is_zero() {
                jitter
            } else {
                jitter.mul_f64(self.random.random())
            };
            let at = self.senders[packet.flow].travel(acknowledged, self.now + longer);
            if let Some(at) = at {
                self.at(at, Event::Ack(packet.flow));
            }
        }
        self.serve(index);
    }

    fn acknowledge(&mut self, flow: usize) {
        let next = self.senders[flow].on_ack(self.now);
        if let Some(at) = next {
            self.at(at, Event::Ack(flow));
        }
        self.send(flow);
    }

    fn sample(&mut self) {
        let delay = |lane: &LaneState| lane.lane.rate.time_for(ByteSize::from_bytes(lane.bytes));
        let queues = self.lanes.iter().map(delay).collect();
        self.outcome.sample(queues);
        self.at(self.now + self.scenario.grain, Event::Sample);
    }
}
