//! The coupled dual queue of L4S (RFC 9332 appendix A): scalable senders (ECT(1), or CE) have a shallow queue of
//! their own, all others a classic one, and the two congestion signals are coupled so that a flow gets about as much
//! in either.
//!
//! A controller steers the base probability p' by the longer of the two delays. Classic packets are struck with p'²,
//! scalable ones marked with k · p', or if they waited longer than a step. The scheduler is a weighted round robin by
//! bytes, as in Linux' `sch_dualpi2`; the RFC leaves the choice.
//!
//! Where it is not the pseudocode to the letter:
//! - Strikes are random and independent, as in Linux, where the pseudocode's `recur` spaces them evenly.
//! - The native marking of scalable packets is a step, as in Linux, where the pseudocode has a ramp; as there, it
//!   leaves a packet alone behind which nothing waits (`Th_len`), as a slow line takes that long for one.

use std::time::Duration;

use longhaul_topologies::model::{DualPi2, Signal};
use rand::Rng;

use super::depth::{Depth, Gate};
use super::ecn::Fate;
use super::fifo::{Fifo, Marking};
use super::ticks::Ticks;
use super::{Arrival, Ecn, QueueCounters, Traffic, Train, draw};
use crate::time::Time;

/// The two queues, their scheduler and their controller.
#[derive(Clone, Debug)]
pub(super) struct DualPi2Queue<P> {
    dualpi2: DualPi2,
    scalable: Fifo<P>,
    classic: Fifo<P>,
    /// Bytes that the classic queue is owed; it is its turn while they are above zero.
    credit: f64,
    largest: u32,
    ticks: Ticks,
    /// p'.
    base: f64,
    /// The longer delay, at the last update.
    delay: Duration,
}

/// One of the two queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Scalable,
    Classic,
}

impl<P: Clone> DualPi2Queue<P> {
    pub(super) fn new(dualpi2: DualPi2) -> Self {
        DualPi2Queue {
            dualpi2,
            scalable: Fifo::new(),
            classic: Fifo::new(),
            credit: 0.0,
            largest: 0,
            ticks: Ticks::new(dualpi2.update),
            base: 0.0,
            delay: Duration::ZERO,
        }
    }

    pub(super) fn offer(
        &mut self,
        arrival: &Arrival<'_, P>,
        gate: &mut Gate,
        counters: &mut QueueCounters,
    ) {
        self.catch_up(arrival.now);
        let fifo = self.queue_for(arrival.traffic);
        counters.dropped_full += fifo.admit(arrival, gate);
    }

    pub(super) fn take(
        &mut self,
        now: Time,
        counters: &mut QueueCounters,
        rng: &mut impl Rng,
    ) -> Option<Train<P>> {
        self.catch_up(now);
        loop {
            let side = self.next_side()?;
            let (fifo, weight) = match side {
                Side::Scalable => (&mut self.scalable, self.dualpi2.classic_share.fraction()),
                Side::Classic => (
                    &mut self.classic,
                    self.dualpi2.classic_share.fraction() - 1.0,
                ),
            };
            let mut train = fifo.pop(1)?;
            let waited = now.since(train.arrival);
            match self.judge(side, waited, train.ecn(), rng) {
                Fate::Drop => {
                    counters.dropped_early += 1;
                    continue;
                }
                Fate::Mark => {
                    counters.marked += 1;
                    train.marking = Marking::Marked;
                }
                Fate::Pass => {}
            }
            self.credit += weight * train.traffic.shape.bytes(&train.segments) as f64;
            return Some(train);
        }
    }

    pub(super) fn depth(&self) -> Depth {
        self.scalable.depth() + self.classic.depth()
    }

    pub(super) fn set(&mut self, dualpi2: DualPi2) {
        self.ticks.set(dualpi2.update);
        self.dualpi2 = dualpi2;
    }

    pub(super) fn readmit(&mut self, train: Train<P>) {
        self.queue_for(train.traffic).push(train);
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Train<P>> {
        self.scalable.drain().chain(self.classic.drain())
    }

    /// RFC 9331 section 4.1: CE goes with ECT(1), since nobody can tell what it was.
    fn queue_for(&mut self, traffic: Traffic) -> &mut Fifo<P> {
        self.largest = self.largest.max(traffic.shape.full);
        if self.depth() == Depth::default() {
            self.settle();
        }
        match traffic.ecn {
            Ecn::Ect1 | Ecn::Ce => &mut self.scalable,
            Ecn::NotEct | Ecn::Ect0 => &mut self.classic,
        }
    }

    /// Whose turn it is.
    fn next_side(&mut self) -> Option<Side> {
        let only = match (self.scalable.is_empty(), self.classic.is_empty()) {
            (true, true) => return None,
            (false, true) => Side::Scalable,
            (true, false) => Side::Classic,
            (false, false) if self.credit > 0.0 => return Some(Side::Classic),
            (false, false) => return Some(Side::Scalable),
        };
        self.settle();
        Some(only)
    }

    /// While only one queue has packets nothing is owed; then the scalable one will be first, by as many frames as its
    /// weight is the greater.
    fn settle(&mut self) {
        let preference = 1.0 - 2.0 * self.dualpi2.classic_share.fraction();
        self.credit = -preference * f64::from(self.largest);
    }

    /// What becomes of a packet that has left its queue.
    fn judge(&self, side: Side, waited: Duration, ecn: Ecn, rng: &mut impl Rng) -> Fate {
        let coupled = self.dualpi2.coupling * self.base;
        // Marks cannot get any denser: from here on both queues drop (appendix A.2).
        let overload = coupled >= 1.0 || self.base >= 1.0;
        let squared = self.base * self.base;
        if (side == Side::Classic || overload) && draw(squared, rng) {
            let signal = if overload { Signal::Drop } else { Signal::Mark };
            return ecn.struck(signal);
        }
        let late = waited > self.dualpi2.step && !self.scalable.is_empty();
        if side == Side::Scalable && (late || draw(coupled, rng)) {
            return ecn.struck(Signal::Mark);
        }
        Fate::Pass
    }

    /// Makes the updates that are due by `now`.
    fn catch_up(&mut self, now: Time) {
        while let Some(tick) = self.ticks.due(now) {
            let of = |fifo: &Fifo<P>| {
                fifo.head_arrival()
                    .map_or(Duration::ZERO, |arrival| tick.since(arrival))
            };
            let delay = of(&self.scalable).max(of(&self.classic));
            let is_empty = self.scalable.is_empty() && self.classic.is_empty();
            if is_empty && self.delay.is_zero() && self.base == 0.0 {
                // Nothing changes until the next packet.
                self.ticks.skip(now);
            } else {
                self.update(delay);
            }
        }
    }

    /// The proportional integral controller.
    fn update(&mut self, delay: Duration) {
        let (now, before) = (delay.as_secs_f64(), self.delay.as_secs_f64());
        let deviation = now - self.dualpi2.target.as_secs_f64();
        let step = self.dualpi2.alpha * deviation + self.dualpi2.beta * (now - before);
        self.base = (self.base + step).clamp(0.0, 1.0);
        self.delay = delay;
    }
}

#[cfg(test)]
mod tests;
