//! The bottleneck queue: which packets wait, which are dropped or marked, and which is the next for the line.
//!
//! Each discipline is a state machine in a file of its own; the parameters are those of
//! [`longhaul_topologies::model`].
//! - Everything counts **wire packets**: a super-packet is admitted, marked and dropped segment by segment. Those that
//!   share a fate stay together as a [`Train`].
//! - **Drop-tail, RED, step marking and PIE** decide when a packet arrives (`early`), so a train may leave as a
//!   whole. **CoDel, FQ-CoDel and DualPI2** decide when it leaves, so they give one wire packet at a time, each with
//!   its own instant.
//! - **Time is logical** and may lie in the past of the machine's clock: `now` is when the packet arrived, or when the
//!   line got free. Timers of an algorithm are caught up with on the next call, as if they had fired in time.
//! - What a channel's random numbers decide here is drawn from the stream it is handed.
//!
//! `fifo` is what packets are kept in, `depth` how much that is and what the limit lets in, `ecn` the field that marks
//! go to, `ticks` the timers.

mod codel;
mod depth;
mod dualpi2;
mod early;
mod ecn;
mod fifo;
mod fq_codel;
mod pie;
mod red;
mod step;
mod ticks;

use std::ops::Range;

use longhaul_topologies::model::{QueueDiscipline, QueueLimit};
use longhaul_topologies::units::Rate;
use rand::{Rng, RngExt};

use self::codel::CoDelQueue;
pub(super) use self::depth::Depth;
use self::depth::Gate;
use self::dualpi2::DualPi2Queue;
use self::early::{EarlyQueue, Policy};
pub(super) use self::ecn::Ecn;
pub(super) use self::fifo::Marking;
use self::fq_codel::FqCoDelQueue;
use super::segment::PacketShape;
use crate::time::Time;

/// What a queue needs to know of a packet beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Its wire packets.
    pub(super) shape: PacketShape,
    /// Their ECN field.
    pub(super) ecn: Ecn,
    /// A hash of what makes up its flow (addresses, protocol and ports); all packets of a flow have the same.
    pub(super) flow: u32,
}

/// Consecutive wire packets of one packet that arrive at the same time.
#[derive(Clone, Debug)]
pub(super) struct Arrival<'a, P> {
    pub(super) now: Time,
    /// The packet.
    pub(super) packet: &'a P,
    /// What is known of it.
    pub(super) traffic: Traffic,
    /// Which of its wire packets.
    pub(super) segments: Range<u32>,
}

impl<'a, P> Arrival<'a, P> {
    /// All of a packet.
    pub(super) fn whole(now: Time, packet: &'a P, traffic: Traffic) -> Self {
        Arrival {
            now,
            packet,
            traffic,
            segments: 0..traffic.shape.segments,
        }
    }
}

/// What the line is doing when a packet arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineState {
    /// Nothing: if the queue is empty too, the first wire packet goes straight to the line and needs no room.
    Free,
    /// It is sending.
    Busy {
        /// What it has been given but has not begun to send. It counts as queued.
        unsent: Depth,
    },
}

/// Consecutive wire packets of one packet that share their fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Train<P> {
    /// The packet.
    pub(super) packet: P,
    /// What is known of it.
    pub(super) traffic: Traffic,
    /// Which of its wire packets.
    pub(super) segments: Range<u32>,
    /// When it arrived.
    pub(super) arrival: Time,
    /// Whether CE is to be set on them; only on what is ECN-capable and not CE already.
    pub(super) marking: Marking,
}

/// What a queue has done so far, in wire packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueCounters {
    /// Dropped because of the limit.
    pub(super) dropped_full: u64,
    /// Dropped by the discipline.
    pub(super) dropped_early: u64,
    /// Marked by the discipline.
    pub(super) marked: u64,
}

/// The queue of a channel. `P` is a cheap handle on a packet.
#[derive(Clone, Debug)]
pub(super) struct Queue<P> {
    discipline: Discipline<P>,
    limit: Option<QueueLimit>,
    waiting_since: Option<Time>,
    counters: QueueCounters,
}

#[derive(Clone, Debug)]
enum Discipline<P> {
    Early(EarlyQueue<P>),
    CoDel(CoDelQueue<P>),
    FqCoDel(FqCoDelQueue<P>),
    DualPi2(DualPi2Queue<P>),
}

impl<P: Clone> Queue<P> {
    /// An empty queue before a line of `rate`.
    pub(super) fn new(
        discipline: &QueueDiscipline,
        limit: Option<QueueLimit>,
        rate: Option<Rate>,
    ) -> Self {
        Queue {
            discipline: Discipline::new(discipline, rate),
            limit,
            waiting_since: None,
            counters: QueueCounters::default(),
        }
    }

    /// Wire packets arrive.
    pub(super) fn offer(&mut self, arrival: &Arrival<'_, P>, line: LineState, rng: &mut impl Rng) {
        let mut gate = Gate::new(self.limit, self.depth(), line);
        let counters = &mut self.counters;
        match &mut self.discipline {
            Discipline::Early(queue) => queue.offer(arrival, &mut gate, counters, rng),
            Discipline::CoDel(queue) => queue.offer(arrival, &mut gate, counters),
            Discipline::FqCoDel(queue) => queue.offer(arrival, &mut gate, counters),
            Discipline::DualPi2(queue) => queue.offer(arrival, &mut gate, counters),
        }
        if self.is_empty() {
            // To make room for a packet may take all there is.
            self.waiting_since = None;
        } else {
            self.waiting_since.get_or_insert(arrival.now);
        }
    }

    /// The next wire packets for the line, which gets free at `now`: consecutive ones of one packet, as many as `room` bytes
    /// hold (at least one) where all was decided when they arrived, otherwise one. `None` if none is left, be it that what
    /// waited was dropped. `now` is not before [`waiting_since`](Self::waiting_since).
    pub(super) fn take(&mut self, now: Time, room: u64, rng: &mut impl Rng) -> Option<Train<P>> {
        let counters = &mut self.counters;
        let taken = match &mut self.discipline {
            Discipline::Early(queue) => queue.take(now, room),
            Discipline::CoDel(queue) => queue.take(now, counters),
            Discipline::FqCoDel(queue) => queue.take(now, counters),
            Discipline::DualPi2(queue) => queue.take(now, counters, rng),
        };
        if self.is_empty() {
            self.waiting_since = None;
        }
        taken
    }

    /// Nothing waits any more, and the line has sent what it was given by `then`: what learns from idleness counts from
    /// then, unless something arrives before.
    pub(super) fn idle_from(&mut self, then: Time) {
        match &mut self.discipline {
            Discipline::Early(queue) => queue.idle_from(then),
            Discipline::CoDel(_) | Discipline::FqCoDel(_) | Discipline::DualPi2(_) => {}
        }
    }

    /// Whether it decides when wire packets leave, one by one.
    pub(super) fn decides_late(&self) -> bool {
        match &self.discipline {
            Discipline::Early(_) => false,
            Discipline::CoDel(_) | Discipline::FqCoDel(_) | Discipline::DualPi2(_) => true,
        }
    }

    /// What waits.
    pub(super) fn depth(&self) -> Depth {
        match &self.discipline {
            Discipline::Early(queue) => queue.depth(),
            Discipline::CoDel(queue) => queue.depth(),
            Discipline::FqCoDel(queue) => queue.depth(),
            Discipline::DualPi2(queue) => queue.depth(),
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.depth() == Depth::default()
    }

    /// Since when something has waited without a break; a line that was free then has been busy ever since.
    pub(super) fn waiting_since(&self) -> Option<Time> {
        self.waiting_since
    }

    /// What was dropped and marked so far.
    pub(super) fn counters(&self) -> QueueCounters {
        self.counters
    }

    /// Drops everything that waits, uncounted; answers how many wire packets that was.
    pub(super) fn clear(&mut self) -> u64 {
        let gone = self.depth().packets;
        self.discipline.drain();
        self.waiting_since = None;
        gone
    }

    /// Goes on as `discipline` says. What waits stays admitted, also where it is more than the new limit. A discipline
    /// of the same kind keeps its state; another one starts afresh, with what waits in the order of its arrival.
    pub(super) fn set(
        &mut self,
        discipline: &QueueDiscipline,
        limit: Option<QueueLimit>,
        rate: Option<Rate>,
    ) {
        self.limit = limit;
        if !self.discipline.adapt(discipline, rate) {
            let mut next = Discipline::new(discipline, rate);
            for train in self.discipline.drain() {
                next.readmit(train);
            }
            self.discipline = next;
        }
    }
}

impl<P: Clone> Discipline<P> {
    fn new(discipline: &QueueDiscipline, rate: Option<Rate>) -> Self {
        match discipline {
            QueueDiscipline::CoDel(codel) => Discipline::CoDel(CoDelQueue::new(*codel)),
            QueueDiscipline::FqCoDel(fq_codel) => Discipline::FqCoDel(FqCoDelQueue::new(*fq_codel)),
            QueueDiscipline::DualPi2(dualpi2) => Discipline::DualPi2(DualPi2Queue::new(*dualpi2)),
            QueueDiscipline::DropTail
            | QueueDiscipline::Red(_)
            | QueueDiscipline::Step(_)
            | QueueDiscipline::Pie(_) => {
                Discipline::Early(EarlyQueue::new(Policy::new(discipline, rate)))
            }
        }
    }

    /// Goes on with the parameters of `discipline`, if it is of the same kind; answers whether it is.
    fn adapt(&mut self, discipline: &QueueDiscipline, rate: Option<Rate>) -> bool {
        match (self, discipline) {
            (Discipline::Early(queue), _) => queue.adapt(discipline, rate),
            (Discipline::CoDel(queue), QueueDiscipline::CoDel(codel)) => {
                queue.set(*codel);
                true
            }
            (Discipline::FqCoDel(queue), QueueDiscipline::FqCoDel(fq_codel)) => {
                queue.adapt(*fq_codel)
            }
            (Discipline::DualPi2(queue), QueueDiscipline::DualPi2(dualpi2)) => {
                queue.set(*dualpi2);
                true
            }
            (Discipline::CoDel(_) | Discipline::FqCoDel(_) | Discipline::DualPi2(_), _) => false,
        }
    }

    /// Everything that waits, in the order of arrival; so that of a flow stays in its order.
    fn drain(&mut self) -> Vec<Train<P>> {
        let mut trains: Vec<_> = match self {
            Discipline::Early(queue) => queue.drain().collect(),
            Discipline::CoDel(queue) => queue.drain().collect(),
            Discipline::FqCoDel(queue) => queue.drain(),
            Discipline::DualPi2(queue) => queue.drain().collect(),
        };
        // Stable: wire packets of one packet, and of one flow, stay as they are.
        trains.sort_by_key(|train| train.arrival);
        trains
    }

    /// Takes over a train that another discipline let in.
    fn readmit(&mut self, train: Train<P>) {
        match self {
            Discipline::Early(queue) => queue.readmit(train),
            Discipline::CoDel(queue) => queue.readmit(train),
            Discipline::FqCoDel(queue) => queue.readmit(train),
            Discipline::DualPi2(queue) => queue.readmit(train),
        }
    }
}

/// Draws, unless the outcome is certain.
fn draw(chance: f64, rng: &mut impl Rng) -> bool {
    chance > 0.0 && (chance >= 1.0 || rng.random::<f64>() < chance)
}

impl<P> Train<P> {
    /// The ECN field as it leaves.
    fn ecn(&self) -> Ecn {
        match self.marking {
            Marking::Unmarked => self.traffic.ecn,
            Marking::Marked => Ecn::Ce,
        }
    }
}

#[cfg(test)]
mod closed_loop;
#[cfg(test)]
mod tests;
