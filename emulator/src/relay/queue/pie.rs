//! Proportional integral controller enhanced (RFC 8033): strikes at random, with a probability that a controller
//! steers by the delay.
//!
//! Of what the RFC leaves open:
//! - The delay is the queue's length over the rate (Little's law, section 4.3). The rate of the line is known, so
//!   there is no need to estimate it from departures (section 5.2), and a change of it shows at once. What the line has
//!   been given no longer counts for it.
//! - Marks, up to 10 % (section 5.1), and the cap on adjustments (section 5.5) are in.
//! - There is no turning on and off (section 5.3): the burst allowance alone decides when it begins to strike.
//! - Strikes are independent: no derandomisation (section 5.4). With it the share that is struck is about half the
//!   probability which the controller means, as 0.85 / p packets pass before the next draw.

use std::time::Duration;

use longhaul_topologies::model::{Pie, Signal};
use longhaul_topologies::units::{ByteSize, Rate};
use rand::Rng;

use super::depth::Depth;
use super::ecn::Fate;
use super::ticks::Ticks;
use super::{Ecn, draw};
use crate::time::Time;

/// Above this probability ECN-capable packets are dropped like all others (`mark_ecnth`, section 5.1).
const MOST_MARKED: f64 = 0.1;

/// With no more than this before it a packet is let in, so that the line has something to do (section 4.1 has twice
/// the mean packet size in bytes).
const SAFE_PACKETS: u64 = 2;

/// Below this probability a delay of less than half the target is let be (section 4.1).
const SAFE_PROBABILITY: f64 = 0.2;

/// From this probability on, it rises by at most [`CAP`] at once (section 5.5).
const CAPPED_FROM: f64 = 0.1;
const CAP: f64 = 0.02;

/// What an idle queue leaves of the probability with each update (section 4.2).
const DECAY: f64 = 0.98;

/// PIE's parameters and the state of its controller.
#[derive(Clone, Debug)]
pub(super) struct PieControl {
    pie: Pie,
    rate: Option<Rate>,
    ticks: Ticks,
    probability: f64,
    /// The delay at the last update.
    delay: Duration,
    /// For how long all are still let in.
    allowance: Duration,
}

impl PieControl {
    pub(super) fn new(pie: Pie, rate: Option<Rate>) -> Self {
        PieControl {
            pie,
            rate,
            ticks: Ticks::new(pie.update),
            probability: 0.0,
            delay: Duration::ZERO,
            allowance: pie.burst,
        }
    }

    /// Goes on with other parameters.
    pub(super) fn set(&mut self, pie: Pie, rate: Option<Rate>) {
        self.ticks.set(pie.update);
        self.allowance = self.allowance.min(pie.burst);
        (self.pie, self.rate) = (pie, rate);
    }

    /// Makes the updates that are due by `now`; until then `waiting` was in the queue.
    pub(super) fn catch_up(&mut self, now: Time, waiting: Depth) {
        let bytes = ByteSize::from_bytes(waiting.bytes);
        while self.ticks.due(now).is_some() {
            let delay = self
                .rate
                .map_or(Duration::ZERO, |rate| rate.time_for(bytes));
            if self.is_at_rest(delay) {
                self.ticks.skip(now);
            } else {
                self.update(delay);
            }
        }
    }

    /// Whether nobody is struck as long as the queue does not grow beyond `depth`.
    pub(super) fn is_idle_up_to(&self, depth: Depth) -> bool {
        let calm = self.delay < self.pie.target / 2 && self.probability < SAFE_PROBABILITY;
        calm || self.probability == 0.0
            || self.allowance > Duration::ZERO
            || depth.packets <= SAFE_PACKETS
    }

    /// What becomes of a packet that finds `found` before it.
    pub(super) fn judge(&self, found: Depth, ecn: Ecn, rng: &mut impl Rng) -> Fate {
        if self.is_idle_up_to(found) || !draw(self.probability, rng) {
            return Fate::Pass;
        }
        if self.probability > MOST_MARKED {
            return ecn.struck(Signal::Drop);
        }
        ecn.struck(self.pie.signal)
    }

    /// Whether updates change nothing as long as the delay is that.
    fn is_at_rest(&self, delay: Duration) -> bool {
        delay.is_zero()
            && self.delay.is_zero()
            && self.probability == 0.0
            && self.allowance == self.pie.burst
    }

    /// Sections 4.2 and 4.4, in the order of appendix A.
    fn update(&mut self, delay: Duration) {
        let (now, before) = (delay.as_secs_f64(), self.delay.as_secs_f64());
        let deviation = now - self.pie.target.as_secs_f64();
        let step = self.pie.alpha * deviation + self.pie.beta * (now - before);
        let mut step = step * scale(self.probability);
        if self.probability >= CAPPED_FROM {
            step = step.min(CAP);
        }
        self.probability += step;
        if delay.is_zero() && self.delay.is_zero() {
            self.probability *= DECAY;
        }
        self.probability = self.probability.clamp(0.0, 1.0);

        self.allowance = self.allowance.saturating_sub(self.pie.update);
        let calm = self.pie.target / 2;
        if self.probability == 0.0 && delay < calm && self.delay < calm {
            self.allowance = self.pie.burst;
        }
        self.delay = delay;
    }
}

/// What the controller's step is scaled by: a small probability moves in small steps (section 4.2).
fn scale(probability: f64) -> f64 {
    let divisor = match probability {
        p if p < 0.000_001 => 2048.0,
        p if p < 0.000_01 => 512.0,
        p if p < 0.000_1 => 128.0,
        p if p < 0.001 => 32.0,
        p if p < 0.01 => 8.0,
        p if p < 0.1 => 2.0,
        _ => 1.0,
    };
    1.0 / divisor
}

#[cfg(test)]
mod tests;
