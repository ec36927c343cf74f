//! Controlled delay (RFC 8289): drops or marks at the head while the delay stays above a target for an interval, more
//! often the longer that lasts.
//!
//! The control law is that of section 5's pseudocode, in floating point instead of Linux' fixed-point square root.
//! Where an ECN-capable packet is struck it is marked and goes on, as in Linux' `codel_impl.h`: the next strike is
//! scheduled as after a drop, but no second packet is struck at the same instant.

use std::time::Duration;

use longhaul_topologies::model::{CoDel, Signal};

use super::depth::{Depth, Gate};
use super::ecn::Fate;
use super::fifo::{Fifo, Marking};
use super::{Arrival, QueueCounters, Train};
use crate::time::Time;

/// How many intervals after the last strike of an episode a new one starts from the old rate (RFC 8289 section 5.5).
const RECENTLY: u32 = 16;

/// A single queue under CoDel.
#[derive(Clone, Debug)]
pub(super) struct CoDelQueue<P> {
    fifo: Fifo<P>,
    codel: CoDel,
    law: ControlLaw,
    largest: u64,
}

impl<P: Clone> CoDelQueue<P> {
    pub(super) fn new(codel: CoDel) -> Self {
        CoDelQueue {
            fifo: Fifo::new(),
            codel,
            law: ControlLaw::default(),
            largest: 0,
        }
    }

    pub(super) fn offer(
        &mut self,
        arrival: &Arrival<'_, P>,
        gate: &mut Gate,
        counters: &mut QueueCounters,
    ) {
        self.largest = self.largest.max(u64::from(arrival.traffic.shape.full));
        counters.dropped_full += self.fifo.admit(arrival, gate);
    }

    pub(super) fn take(&mut self, now: Time, counters: &mut QueueCounters) -> Option<Train<P>> {
        let (law, fifo) = (&mut self.law, &mut self.fifo);
        law.take(now, &self.codel, self.largest, fifo, counters)
    }

    pub(super) fn depth(&self) -> Depth {
        self.fifo.depth()
    }

    pub(super) fn set(&mut self, codel: CoDel) {
        self.codel = codel;
    }

    pub(super) fn readmit(&mut self, train: Train<P>) {
        self.largest = self.largest.max(u64::from(train.traffic.shape.full));
        self.fifo.push(train);
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Train<P>> {
        self.fifo.drain()
    }
}

/// CoDel's state for one queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ControlLaw {
    /// When the delay will have been above the target for an interval; absent while it is not.
    first_above: Option<Time>,
    phase: Phase,
    /// When to strike next.
    next: Time,
    /// Strikes since the episode began.
    count: u32,
    /// What `count` began with.
    last_count: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// All pass.
    #[default]
    Passing,
    /// One is struck from time to time.
    Dropping,
}

/// A wire packet that has left the queue, and whether its delay gives a reason to strike.
type Candidate<P> = (Option<Train<P>>, Option<Excessive>);

/// The delay has been above the target for an interval.
#[derive(Clone, Copy, Debug)]
struct Excessive;

impl ControlLaw {
    /// The next wire packet that `fifo` gives at `now`; those struck on the way are counted. A queue that holds no more
    /// than the `largest` frame it has seen cannot be any shorter, so it is left alone.
    pub(super) fn take<P: Clone>(
        &mut self,
        now: Time,
        codel: &CoDel,
        largest: u64,
        fifo: &mut Fifo<P>,
        counters: &mut QueueCounters,
    ) -> Option<Train<P>> {
        let (mut train, mut excess) = self.candidate(now, codel, largest, fifo);
        match self.phase {
            Phase::Dropping => {
                if excess.is_none() {
                    self.phase = Phase::Passing;
                }
                while self.phase == Phase::Dropping && now >= self.next {
                    self.count = self.count.saturating_add(1);
                    if let Some(marked) = strike(train.take(), codel.signal, counters) {
                        self.next = self.after(self.next, codel.interval);
                        return Some(marked);
                    }
                    (train, excess) = self.candidate(now, codel, largest, fifo);
                    match excess {
                        None => self.phase = Phase::Passing,
                        Some(Excessive) => self.next = self.after(self.next, codel.interval),
                    }
                }
            }
            Phase::Passing if excess.is_some() => {
                train = strike(train, codel.signal, counters)
                    .or_else(|| self.candidate(now, codel, largest, fifo).0);
                self.phase = Phase::Dropping;
                // Soon after the last episode the rate that ended it is a good one to start from.
                let recent = now.since(self.next) < codel.interval.saturating_mul(RECENTLY);
                let grown = self.count.saturating_sub(self.last_count);
                self.count = if grown > 1 && recent { grown } else { 1 };
                self.last_count = self.count;
                self.next = self.after(now, codel.interval);
            }
            Phase::Passing => {}
        }
        train
    }

    /// Takes a wire packet and judges its delay.
    fn candidate<P: Clone>(
        &mut self,
        now: Time,
        codel: &CoDel,
        largest: u64,
        fifo: &mut Fifo<P>,
    ) -> Candidate<P> {
        let train = fifo.pop(1);
        let high = train
            .as_ref()
            .is_some_and(|train| now.since(train.arrival) >= codel.target)
            && fifo.depth().bytes > largest;
        if !high {
            self.first_above = None;
            return (train, None);
        }
        let first_above = *self.first_above.get_or_insert(now + codel.interval);
        (train, (now >= first_above).then_some(Excessive))
    }

    /// The control law: `interval / √count` after `time`.
    fn after(&self, time: Time, interval: Duration) -> Time {
        time + interval.div_f64(f64::from(self.count.max(1)).sqrt())
    }
}

/// Strikes a wire packet; answers it if it goes on.
fn strike<P>(
    train: Option<Train<P>>,
    signal: Signal,
    counters: &mut QueueCounters,
) -> Option<Train<P>> {
    let mut train = train?;
    match train.ecn().struck(signal) {
        Fate::Drop => {
            counters.dropped_early += 1;
            return None;
        }
        Fate::Mark => {
            counters.marked += 1;
            train.marking = Marking::Marked;
        }
        Fate::Pass => {}
    }
    Some(train)
}

#[cfg(test)]
mod tests;
