//! Whether a flow has its share, by what it felt of late.
//!
//! At rest growth and decrease are even, and all who see the same congestion rest at the same rate. Who was to grow by more than it was to
//! shrink by, for many round trips, has less than that, and may move faster; who was to shrink, has more. What a probe adds is growth, too: the
//! law takes it back, and were it not counted, all would seem to have too much.

/// Round trips, and seconds, that are remembered.
const MEMORY: f64 = 32.0;
/// For [`MEMORY`]: near flows have seen few slices in those.
const MEMORY_TIME: f64 = 0.02;
/// So many times one is to be the other before it counts.
const UNEVEN: f64 = 1.2;
/// After a step by more than this much, what was felt before tells nothing of the new rate.
const ALIKE: f64 = 1.5;
/// Growth is this many times decrease where the line is not full. A hundredth of the share would grow by as many times what it shrinks by
/// where it is: the rate's square root.
const ROOM: f64 = 10.0;
/// Round trips of full congestion, or as many more of less, after a probe has found room, before anything tells of shares: all who found it come to
/// the line's end at once, and others' trains on the way there are a little congestion beside much growth.
const COMING: f64 = 1.2;
/// Who is said to be at rest is so for this many times as long as is remembered.
const FIRMLY: f64 = 3.0;
/// A flow moves faster by as many times more as that, but by no more than this.
const FASTEST: f64 = 3.0;

/// Growth and decrease of late, each as a part of the rate.
#[derive(Debug, Default)]
pub(super) struct Balance {
    growth: f64,
    decrease: f64,
    /// What is left of [`COMING`].
    coming: f64,
}

impl Balance {
    /// At rest, where both are this in each round trip of so many seconds: other than by [`Balance::default`], it takes long to tell otherwise.
    pub fn at_rest(each: f64, round_trip: f64) -> Self {
        let felt = FIRMLY * each * memory(round_trip);
        Balance {
            growth: felt,
            decrease: felt,
            coming: 0.0,
        }
    }

    /// Counts what a slice asked for, in a part of a round trip of so many seconds.
    pub fn count(&mut self, growth: f64, decrease: f64, part: f64, round_trip: f64) {
        let keep = (-part / memory(round_trip)).exp();
        self.growth = self.growth * keep + part * growth;
        self.decrease = self.decrease * keep + part * decrease;
    }

    /// The line was full for so many round trips; of less congestion, for as many less.
    pub fn fill(&mut self, trips: f64) {
        self.coming = (self.coming - trips).max(0.0);
    }

    /// The rate became so many times what it was, at once.
    pub fn step(&mut self, times: f64) {
        if (1.0..=ALIKE).contains(&times) {
            self.growth += times.ln();
        } else {
            *self = Balance::default();
        }
        if times > 1.0 {
            self.coming = COMING;
        }
    }

    /// How many times the one is the other, where both were felt.
    pub fn unevenness(&self) -> f64 {
        times(self.growth, self.decrease).max(times(self.decrease, self.growth))
    }

    /// How many times as fast to grow.
    pub fn growth(&self) -> f64 {
        haste(self.growth, self.decrease)
    }

    /// Whether the line has room for all, or had until just now: that tells nothing of shares.
    pub fn has_room(&self) -> bool {
        self.is_clear() || self.coming > 0.0
    }

    /// Whether there was hardly anything to shrink by.
    fn is_clear(&self) -> bool {
        self.growth > ROOM * self.decrease
    }

    /// How many times as fast to shrink.
    pub fn decrease(&self) -> f64 {
        haste(self.decrease, self.growth)
    }
}

/// Round trips of so many seconds that are remembered.
fn memory(round_trip: f64) -> f64 {
    MEMORY.max(MEMORY_TIME / round_trip)
}

fn haste(more: f64, less: f64) -> f64 {
    (times(more, less) / UNEVEN).clamp(1.0, FASTEST)
}

/// How many times the one is the other.
fn times(more: f64, less: f64) -> f64 {
    // Without any of the other nothing was compared.
    if less > 0.0 { more / less } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: f64 = 0.01;

    fn felt(slices: &[(f64, f64)]) -> [f64; 2] {
        let mut balance = Balance::default();
        for (growth, decrease) in slices {
            balance.count(*growth, *decrease, 1.0, TRIP);
        }
        [balance.growth(), balance.decrease()]
    }

    #[test]
    fn who_has_less_than_the_share_grows_faster_and_who_has_more_shrinks_faster() {
        assert_eq!(felt(&[(0.010, 0.009); 8]), [1.0, 1.0]);
        let [up, down] = felt(&[(0.012, 0.005); 8]);
        assert!((up - 2.0).abs() < 1e-9 && down == 1.0, "{up}");
        assert_eq!(felt(&[(0.001, 0.010); 8]), [1.0, FASTEST]);
    }

    #[test]
    fn without_congestion_or_growth_nothing_is_compared() {
        assert_eq!(felt(&[]), [1.0, 1.0]);
        assert_eq!(felt(&[(0.01, 0.0); 8]), [1.0, 1.0]);
        assert_eq!(felt(&[(0.0, 0.01); 8]), [1.0, 1.0]);
    }

    #[test]
    fn hardly_any_congestion_tells_of_room_and_not_of_a_share() {
        let mut balance = Balance::default();
        assert!(!balance.has_room(), "nothing is known");
        balance.count(0.010, 0.002, 1.0, TRIP);
        assert!(!balance.has_room() && balance.growth() > 1.0);
        balance.count(0.011, 0.0, 1.0, TRIP);
        assert!(balance.has_room());
    }

    #[test]
    fn room_that_a_probe_found_lasts_for_a_while_after_the_line_is_full() {
        let mut balance = Balance::default();
        balance.step(2.0);
        balance.count(0.010, 0.005, 1.0, TRIP);
        balance.fill(1.0);
        assert!(balance.has_room());
        balance.fill(0.5);
        assert!(!balance.has_room());
    }

    #[test]
    fn unevenness_is_the_same_both_ways_and_told_by_both() {
        let mut balance = Balance::default();
        assert_eq!(balance.unevenness(), 1.0);
        balance.count(0.01, 0.0, 1.0, TRIP);
        assert_eq!(balance.unevenness(), 1.0, "nothing was compared");
        balance.count(0.0, 0.02, 1.0, TRIP);
        assert!((balance.unevenness() - 2.0).abs() < 0.1);
        balance.count(0.03, 0.0, 1.0, TRIP);
        assert!((balance.unevenness() - 2.0).abs() < 0.1);
    }

    #[test]
    fn who_was_at_rest_takes_long_to_be_uneven() {
        let mut balance = Balance::at_rest(0.01, TRIP);
        balance.count(0.03, 0.0, 1.0, TRIP);
        assert_eq!([balance.growth(), balance.decrease()], [1.0, 1.0]);
        assert!(balance.unevenness() < 1.1);
        for _ in 0..64 {
            balance.count(0.03, 0.0, 1.0, TRIP);
        }
        assert!(balance.growth() > 2.0);
    }

    #[test]
    fn what_a_probe_adds_is_growth_and_a_large_step_begins_anew() {
        let after = |times: f64| {
            let mut balance = Balance::default();
            for _ in 0..8 {
                balance.count(0.001, 0.010, 1.0, TRIP);
            }
            balance.step(times);
            [balance.growth(), balance.decrease()]
        };
        assert_eq!(after(1.0), [1.0, FASTEST]);
        assert_eq!(
            after(1.07),
            [1.0, 1.0],
            "what was taken back was added before"
        );
        assert_eq!(after(2.0), [1.0, 1.0]);
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut slices = vec![(0.001, 0.010); 32];
        slices.extend([(0.010, 0.001); 128]);
        assert_eq!(felt(&slices), [FASTEST, 1.0]);
    }
}
