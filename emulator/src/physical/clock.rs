//! How far another machine's clock is from this one's, told from exchanges over a connection. Pure.
//!
//! As NTP does it (RFC 5905, section 8): this side notes when it asks and when it hears, the other tells its time in between. The
//! true distance is that of the middle, give or take half of the round trip. Clocks drift, so an exchange says less the older it
//! is; the one that says most now counts.

use std::collections::VecDeque;
use std::time::Duration;

/// How many exchanges are kept: more add nothing, as the best are among them or have aged.
const KEPT: usize = 32;
/// What two clocks may drift apart, in nanoseconds a second: crystals are good for ±50 ppm each.
const DRIFT_PPB: u64 = 100_000;

/// One question for the time. All in nanoseconds of CLOCK_MONOTONIC, each side of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When this side asked.
    pub asked_ns: u64,
    /// What the other side told.
    pub told_ns: u64,
    /// When this side heard it.
    pub heard_ns: u64,
}

/// How far the other clock is, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distance {
    /// What is to be added to the other clock to have this one's time.
    pub behind_ns: i64,
    /// How far off that may be, either way.
    pub uncertainty: Duration,
}

/// What is known of another clock.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    exchanges: VecDeque<Exchange>,
}

impl Exchange {
    /// How long the answer took.
    pub fn round_trip(&self) -> Duration {
        Duration::from_nanos(self.heard_ns.saturating_sub(self.asked_ns))
    }

    fn distance(&self, now_ns: u64) -> Distance {
        let half = self.heard_ns.saturating_sub(self.asked_ns) / 2;
        let age = now_ns.saturating_sub(self.heard_ns);
        let drift = u128::from(age) * u128::from(DRIFT_PPB) / 1_000_000_000;
        Distance {
            behind_ns: (self.asked_ns + half)
                .wrapping_sub(self.told_ns)
                .cast_signed(),
            uncertainty: Duration::from_nanos(
                half.saturating_add(u64::try_from(drift).unwrap_or(u64::MAX)),
            ),
        }
    }
}

impl Comparison {
    /// Takes one more.
    pub fn add(&mut self, exchange: Exchange) {
        if self.exchanges.len() == KEPT {
            self.exchanges.pop_front();
        }
        self.exchanges.push_back(exchange);
    }

    /// The other clock shows `behind_ns` more from now on, and would have shown so much more before.
    pub fn corrected(&mut self, behind_ns: i64) {
        for exchange in &mut self.exchanges {
            exchange.told_ns = exchange.told_ns.saturating_add_signed(behind_ns);
        }
    }

    /// What the best of them tells at `now_ns`; `None` before the first.
    pub fn distance(&self, now_ns: u64) -> Option<Distance> {
        let told = self
            .exchanges
            .iter()
            .map(|exchange| exchange.distance(now_ns));
        told.min_by_key(|distance| distance.uncertainty)
    }
}

impl Distance {
    /// A moment of the other clock on this one.
    pub fn ours(&self, theirs_ns: u64) -> u64 {
        theirs_ns.saturating_add_signed(self.behind_ns)
    }

    /// A moment of this clock on the other one.
    pub fn theirs(&self, ours_ns: u64) -> u64 {
        ours_ns.saturating_add_signed(self.behind_ns.saturating_neg())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    proptest! {
        #[test]
        fn the_true_distance_lies_within_the_uncertainty_however_the_round_trip_is_shared(
            ahead in -1_000 * SECOND.cast_signed()..1_000 * SECOND.cast_signed(),
            drift_ppb in -100_000_i64..=100_000,
            ways in prop::collection::vec((0_u64..SECOND, 0_u64..SECOND, 0_u64..2 * SECOND), 1..40),
        ) {
            // The other clock at a moment of ours.
            let other = |now: u64| {
                let drifted = i128::from(now) * i128::from(drift_ppb) / 1_000_000_000;
                u64::try_from(i128::from(now) + i128::from(ahead) + drifted).unwrap()
            };
            let mut comparison = Comparison::default();
            let mut now = 10_000 * SECOND;
            for (there, back, pause) in ways {
                let (asked_ns, told_ns, heard_ns) = (now, other(now + there), now + there + back);
                comparison.add(Exchange { asked_ns, told_ns, heard_ns });
                now = heard_ns + pause;
                let distance = comparison.distance(now).unwrap();
                let off = distance.ours(other(now)).abs_diff(now);
                // While the exchange itself lasted, the clocks drifted, too.
                let slack = (there + back) / 10_000 + 2;
                prop_assert!(u128::from(off) <= distance.uncertainty.as_nanos() + u128::from(slack), "{off} {distance:?}");
                prop_assert_eq!(distance.theirs(distance.ours(other(now))), other(now));
            }
        }
    }

    #[test]
    fn a_short_round_trip_counts_until_it_is_old() {
        let mut comparison = Comparison::default();
        assert_eq!(comparison.distance(0), None);
        let exchange = |asked_ns, round_trip, told_ns| Exchange {
            asked_ns,
            told_ns,
            heard_ns: asked_ns + round_trip,
        };
        comparison.add(exchange(SECOND, 20_000, 10_000));
        comparison.add(exchange(2 * SECOND, 2_000_000, SECOND));
        let near = comparison.distance(2 * SECOND + 2_000_000).unwrap();
        assert_eq!(near.behind_ns, SECOND.cast_signed());
        // 10 µs, and a second of drift.
        assert!(near.uncertainty.abs_diff(Duration::from_micros(110)) < Duration::from_micros(1));
        comparison.add(exchange(20 * SECOND, 1_000_000, 19 * SECOND + 500_000));
        assert_eq!(
            comparison
                .distance(20 * SECOND + 1_000_000)
                .unwrap()
                .uncertainty,
            Duration::from_micros(500)
        );
    }
}
