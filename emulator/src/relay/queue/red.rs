//! Random early detection (Floyd and Jacobson 1993, "Random Early Detection Gateways for Congestion Avoidance").
//!
//! Two algorithms go by that name, and the weight says which is meant:
//! - **Weight 1** is what data-centre switches do, and the HPCC and DCQCN simulators after them: each packet is struck
//!   with the plain probability of the queue as it is, independently of all others.
//! - **Below 1** it is that of the paper: a moving average that decays while the line is idle (section 4), and
//!   strikes that are spread evenly: the distance between two is uniform on 1 … 1/p instead of geometric (section 7,
//!   method 2).
//!
//! Above `max` every packet is struck, and with a mark where it can take one. The paper does the same; RFC 3168
//! section 7 would rather have it dropped there, which switches do not do.

use std::time::Duration;

use longhaul_topologies::model::Red;
use longhaul_topologies::units::{ByteSize, Rate};
use rand::Rng;

use super::depth::{Depth, amount};
use super::ecn::Fate;
use super::{Ecn, draw};
use crate::time::Time;

/// RED's parameters and what it has learnt.
#[derive(Clone, Debug)]
pub(super) struct RedControl {
    red: Red,
    rate: Option<Rate>,
    /// The moving average, in the unit of the thresholds.
    average: f64,
    /// From when on the line is idle, or has been looked at while idle; absent while something waits. It lies ahead while the line
    /// sends the last that waited.
    idle_since: Option<Time>,
    /// Packets since the last that was struck, while the average lies between the thresholds.
    spared: u64,
}

impl RedControl {
    pub(super) fn new(red: Red, rate: Option<Rate>) -> Self {
        RedControl {
            red,
            rate,
            average: 0.0,
            idle_since: None,
            spared: 0,
        }
    }

    /// Goes on with other parameters. The average is kept, unless its unit changes.
    pub(super) fn set(&mut self, red: Red, rate: Option<Rate>) {
        if std::mem::discriminant(&self.red.min) == std::mem::discriminant(&red.min) {
            (self.red, self.rate) = (red, rate);
        } else {
            *self = RedControl::new(red, rate);
        }
    }

    /// Whether nothing happens to packets as long as the queue stays within `depth`. An average has to see each.
    pub(super) fn is_idle_up_to(&self, depth: Depth) -> bool {
        self.is_instantaneous() && !depth.exceeds(self.red.min)
    }

    /// What becomes of a packet that finds `found` before it.
    pub(super) fn judge(
        &mut self,
        now: Time,
        found: Depth,
        frame: u32,
        ecn: Ecn,
        rng: &mut impl Rng,
    ) -> Fate {
        let length = found.in_unit_of(self.red.min) as f64;
        let struck = if self.is_instantaneous() {
            draw(self.chance(length), rng)
        } else {
            self.learn(now, length, frame);
            self.strikes_evenly(rng)
        };
        if struck {
            ecn.struck(self.red.signal)
        } else {
            Fate::Pass
        }
    }

    /// Nothing waits any more, and the line is idle from then on.
    pub(super) fn idle_from(&mut self, then: Time) {
        self.idle_since = Some(then);
    }

    /// A packet was let in.
    pub(super) fn admitted(&mut self) {
        self.idle_since = None;
    }

    fn is_instantaneous(&self) -> bool {
        self.red.weight >= 1.0
    }

    /// The paper's p_b, of a queue of `length`.
    fn chance(&self, length: f64) -> f64 {
        let (min, max) = (amount(self.red.min) as f64, amount(self.red.max) as f64);
        if length <= min {
            0.0
        } else if length > max {
            1.0
        } else {
            self.red.chance.fraction() * (length - min) / (max - min)
        }
    }

    /// Moves the average. For an idle line it falls as if empty queues had been seen by as many packets, of the length
    /// of the one that arrives, as could have been sent meanwhile.
    fn learn(&mut self, now: Time, length: f64, frame: u32) {
        let keep = 1.0 - self.red.weight;
        match (self.idle_since, self.rate) {
            (Some(idle_since), Some(rate)) if length == 0.0 && idle_since < now => {
                let each = rate.time_for(ByteSize::from_bytes(u64::from(frame)));
                let each = each.max(Duration::from_nanos(1));
                let missed = now.since(idle_since).as_secs_f64() / each.as_secs_f64();
                self.average *= keep.powf(missed);
                // If the packet is refused, it goes on from here.
                self.idle_since = Some(now);
            }
            _ => self.average = keep * self.average + self.red.weight * length,
        }
    }

    /// Strikes with p_b / (1 − count · p_b), so that the n-th packet after a strike is as likely to be the next one as
    /// any other up to the 1/p_b-th.
    fn strikes_evenly(&mut self, rng: &mut impl Rng) -> bool {
        let chance = self.chance(self.average);
        let left = 1.0 - self.spared as f64 * chance;
        let struck = if left <= chance {
            chance > 0.0
        } else {
            draw(chance / left, rng)
        };
        self.spared = if struck || chance == 0.0 {
            0
        } else {
            self.spared + 1
        };
        struck
    }
}

#[cfg(test)]
mod tests;
