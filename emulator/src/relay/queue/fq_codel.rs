//! Flow queues under CoDel (RFC 8290): packets are hashed to queues that take turns, new ones first, and each queue has
//! its own CoDel.
//!
//! The full queue makes room at the head of whatever flow holds the most bytes, not at the arriving packet's cost
//! (section 4.1). As in Linux a whole batch goes at once, half the flow's bytes but at most 64 wire packets.

use std::collections::VecDeque;

use longhaul_topologies::model::FqCoDel;

use super::codel::ControlLaw;
use super::depth::{Depth, Gate};
use super::fifo::{Fifo, Marking};
use super::{Arrival, QueueCounters, Traffic, Train};
use crate::time::Time;

/// The most wire packets that go in one batch (`drop_batch` of Linux' `sch_fq_codel`).
const BATCH: u64 = 64;

/// The least quantum, as in Linux' `sch_fq_codel`: less makes the scheduler go round and round for a single frame.
const LEAST_QUANTUM: u64 = 256;

/// The flow queues and their scheduler.
#[derive(Clone, Debug)]
pub(super) struct FqCoDelQueue<P> {
    fq_codel: FqCoDel,
    flows: Vec<Flow<P>>,
    /// Flows that have had no full turn since they began; they come first.
    new: VecDeque<u32>,
    old: VecDeque<u32>,
    depth: Depth,
    largest: u64,
}

#[derive(Clone, Debug)]
struct Flow<P> {
    fifo: Fifo<P>,
    law: ControlLaw,
    /// Bytes it may still send in this turn; below zero if it has sent more.
    deficit: i64,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In neither list.
    Idle,
    /// In one of them; possibly empty by now.
    Listed,
}

impl<P: Clone> FqCoDelQueue<P> {
    pub(super) fn new(fq_codel: FqCoDel) -> Self {
        let flow = || Flow {
            fifo: Fifo::new(),
            law: ControlLaw::default(),
            deficit: 0,
            place: Place::Idle,
        };
        FqCoDelQueue {
            fq_codel,
            flows: (0..fq_codel.flows.max(1)).map(|_| flow()).collect(),
            new: VecDeque::new(),
            old: VecDeque::new(),
            depth: Depth::default(),
            largest: 0,
        }
    }

    pub(super) fn offer(
        &mut self,
        arrival: &Arrival<'_, P>,
        gate: &mut Gate,
        counters: &mut QueueCounters,
    ) {
        let shape = arrival.traffic.shape;
        self.largest = self.largest.max(u64::from(shape.full));
        let index = self.enlist(arrival.traffic);
        let mut rest = arrival.segments.clone();
        while !rest.is_empty() {
            let mut admitted = rest.start + gate.admit_leading(shape, &rest);
            // The first that does not fit comes in nevertheless, and the fattest flow makes room.
            let excess = (admitted < rest.end).then(|| shape.length(admitted));
            if let Some(frame) = excess {
                gate.force(frame);
                admitted += 1;
            }
            let fifo = &mut self.flows[index].fifo;
            let before = fifo.depth();
            fifo.load(arrival)
                .add(rest.start..admitted, Marking::Unmarked);
            let mut added = fifo.depth();
            added -= before;
            self.depth += added;
            rest.start = admitted;
            if let Some(frame) = excess {
                counters.dropped_full += self.make_room(u64::from(frame), gate);
            }
        }
    }

    /// Section 4.2: a queue of the new ones, or else of the old ones, sends until its turn is used up.
    pub(super) fn take(&mut self, now: Time, counters: &mut QueueCounters) -> Option<Train<P>> {
        let quantum = self.quantum();
        loop {
            let list = if self.new.is_empty() {
                &mut self.old
            } else {
                &mut self.new
            };
            let index = *list.front()?;
            let flow = &mut self.flows[index as usize];
            if flow.deficit <= 0 {
                flow.deficit += quantum;
                list.pop_front();
                self.old.push_back(index);
                continue;
            }
            let before = flow.fifo.depth();
            let codel = &self.fq_codel.codel;
            let taken = flow
                .law
                .take(now, codel, self.largest, &mut flow.fifo, counters);
            let mut gone = before;
            gone -= flow.fifo.depth();
            self.depth -= gone;
            if let Some(train) = taken {
                flow.deficit -= train.traffic.shape.bytes(&train.segments) as i64;
                return Some(train);
            }
            if self.new.pop_front().is_some() {
                // Once through the old ones first, or a flow could stay new by sending little and often.
                self.old.push_back(index);
            } else {
                self.old.pop_front();
                flow.place = Place::Idle;
            }
        }
    }

    pub(super) fn depth(&self) -> Depth {
        self.depth
    }

    /// Goes on with other parameters, if the flows stay as many; answers whether they do.
    pub(super) fn adapt(&mut self, fq_codel: FqCoDel) -> bool {
        let same = self.fq_codel.flows == fq_codel.flows;
        if same {
            self.fq_codel = fq_codel;
        }
        same
    }

    pub(super) fn readmit(&mut self, train: Train<P>) {
        let shape = train.traffic.shape;
        self.largest = self.largest.max(u64::from(shape.full));
        self.depth += Depth::of(shape, &train.segments);
        let index = self.enlist(train.traffic);
        self.flows[index].fifo.push(train);
    }

    /// Everything that waits, flow by flow.
    pub(super) fn drain(&mut self) -> Vec<Train<P>> {
        self.depth = Depth::default();
        self.new.clear();
        self.old.clear();
        let drain = |flow: &mut Flow<P>| {
            flow.place = Place::Idle;
            flow.fifo.drain().collect::<Vec<_>>()
        };
        self.flows.iter_mut().flat_map(drain).collect()
    }

    /// The queue that a packet goes to, which gets a turn if it has none to wait for.
    fn enlist(&mut self, traffic: Traffic) -> usize {
        let index = traffic.flow % self.flows.len() as u32;
        let quantum = self.quantum();
        let flow = &mut self.flows[index as usize];
        if flow.place == Place::Idle {
            flow.place = Place::Listed;
            flow.deficit = quantum;
            self.new.push_back(index);
        }
        index as usize
    }

    /// Drops at least a wire packet and `frame` bytes from whatever flow is the fattest; answers how many wire packets.
    fn make_room(&mut self, frame: u64, gate: &mut Gate) -> u64 {
        let mut gone = Depth::default();
        while gone.packets == 0 || gone.bytes < frame {
            let listed = self.new.iter().chain(&self.old);
            let bytes = |index: u32| self.flows[index as usize].fifo.depth().bytes;
            let Some(fattest) = listed.copied().max_by_key(|&index| bytes(index)) else {
                break;
            };
            let half = bytes(fattest) / 2;
            let batch = self.flows[fattest as usize].fifo.shed(BATCH, half.max(1));
            if batch == Depth::default() {
                break;
            }
            gone += batch;
        }
        self.depth -= gone;
        gate.release(gone);
        gone.packets
    }

    fn quantum(&self) -> i64 {
        let quantum = self.fq_codel.quantum.bytes().max(LEAST_QUANTUM);
        i64::try_from(quantum).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests;
