//! Which packets are lost in propagation.

use longhaul_topologies::model::Loss;
use rand::{Rng, RngExt};

/// A loss model and, for Gilbert–Elliott, the state it is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct LossModel {
    loss: Loss,
    state: State,
}

/// The states of the Gilbert–Elliott model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    Bad,
}

impl LossModel {
    /// Starts in the good state.
    pub(super) fn new(loss: Loss) -> Self {
        LossModel {
            loss,
            state: State::Good,
        }
    }

    /// Goes on with `loss`; one that did not change keeps its state.
    pub(super) fn set(&mut self, loss: Loss) {
        if self.loss != loss {
            *self = LossModel::new(loss);
        }
    }

    /// Whether the next packet is lost.
    pub(super) fn takes_next(&mut self, rng: &mut impl Rng) -> bool {
        match self.loss {
            Loss::None => false,
            Loss::Independent(chance) => rng.random::<f64>() < chance.fraction(),
            // As `loss_gilb_ell` in net/sched/sch_netem.c: the state before the transition decides.
            Loss::GilbertElliott {
                to_bad,
                to_good,
                loss_in_bad,
                loss_in_good,
            } => {
                let (leave, loss, other) = match self.state {
                    State::Good => (to_bad, loss_in_good, State::Bad),
                    State::Bad => (to_good, loss_in_bad, State::Good),
                };
                if rng.random::<f64>() < leave.fraction() {
                    self.state = other;
                }
                rng.random::<f64>() < loss.fraction()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::units::Probability;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const PACKETS: usize = 100_000;
    /// Two-sided 99 % quantile of the standard normal distribution.
    const Z99: f64 = 2.576;

    fn chance(fraction: f64) -> Probability {
        Probability::new(fraction).expect("a probability")
    }

    fn pattern(loss: Loss, packets: usize) -> Vec<bool> {
        let mut model = LossModel::new(loss);
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        (0..packets).map(|_| model.takes_next(&mut rng)).collect()
    }

    #[test]
    fn independent_loss_lies_within_its_99_percent_interval() {
        for share in [0.0001, 0.001, 0.02, 0.5] {
            let lost = pattern(Loss::Independent(chance(share)), PACKETS)
                .into_iter()
                .filter(|&lost| lost)
                .count();
            let expected = share * PACKETS as f64;
            let bound = Z99 * (expected * (1.0 - share)).sqrt();
            assert!(
                (lost as f64 - expected).abs() <= bound,
                "{lost} of {PACKETS} lost at {share}"
            );
        }
    }

    #[test]
    fn none_and_all_are_exact() {
        assert!(pattern(Loss::None, 1_000).iter().all(|&lost| !lost));
        assert!(
            pattern(Loss::Independent(chance(0.0)), 1_000)
                .iter()
                .all(|&lost| !lost)
        );
        assert!(
            pattern(Loss::Independent(chance(1.0)), 1_000)
                .iter()
                .all(|&lost| lost)
        );
    }

    #[test]
    fn gilbert_elliott_has_its_stationary_loss_and_mean_burst() {
        let (to_bad, to_good) = (0.01, 0.2);
        let loss = Loss::GilbertElliott {
            to_bad: chance(to_bad),
            to_good: chance(to_good),
            loss_in_bad: chance(1.0),
            loss_in_good: chance(0.0),
        };
        let pattern = pattern(loss, 1_000_000);
        let lost = pattern.iter().filter(|&&lost| lost).count() as f64;
        let bursts = pattern
            .windows(2)
            .filter(|pair| !pair[0] && pair[1])
            .count() as f64;
        // Hasslinger and Hohlfeld (2008): stationary share of the bad state p / (p + r), mean sojourn 1 / r. The
        // sojourns are geometric, so the mean of `bursts` of them has this deviation:
        let burst_deviation = ((1.0 - to_good) / (to_good * to_good) / bursts).sqrt();
        let mean_burst = lost / bursts;
        assert!(
            (mean_burst - 1.0 / to_good).abs() <= Z99 * burst_deviation,
            "bursts of {mean_burst}"
        );
        let stationary = to_bad / (to_bad + to_good);
        let share = lost / pattern.len() as f64;
        // Correlation between packets n apart is (1 − p − r)^n, which inflates the variance by (1 + c) / (1 − c).
        let correlation: f64 = 1.0 - to_bad - to_good;
        let inflation = (1.0 + correlation) / (1.0 - correlation);
        let deviation = (stationary * (1.0 - stationary) * inflation / pattern.len() as f64).sqrt();
        assert!(
            (share - stationary).abs() <= Z99 * deviation,
            "{share} lost instead of {stationary}"
        );
    }

    #[test]
    fn gilbert_elliott_loses_by_the_state_it_is_in() {
        let loss = Loss::GilbertElliott {
            to_bad: chance(0.05),
            to_good: chance(0.05),
            loss_in_bad: chance(0.3),
            loss_in_good: chance(0.1),
        };
        let share = pattern(loss, 1_000_000)
            .into_iter()
            .filter(|&lost| lost)
            .count() as f64
            / 1e6;
        assert!((share - 0.2).abs() < 0.003, "{share}");
    }
}
