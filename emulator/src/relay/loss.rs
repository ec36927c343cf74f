//! Which packets are lost in propagation.

use longhaul_topologies::model::{FourState, Loss};
use longhaul_topologies::units::Probability;
use rand::{Rng, RngExt};

/// A loss model and where it is.
#[derive(Clone, Debug)]
pub(super) struct LossModel {
    loss: Loss,
    state: State,
    /// Packets so far.
    packets: u64,
    /// How many of a list are behind.
    passed: usize,
}

/// The states of the models with a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Gilbert–Elliott's good state; state 1 of four.
    Good,
    /// Gilbert–Elliott's bad state; state 3 of four, lost within a burst.
    Bad,
    /// State 2 of four: received within a burst.
    Respite,
    /// State 4 of four: lost alone.
    Alone,
}

impl LossModel {
    /// Starts in the good state, before the first packet.
    pub(super) fn new(loss: Loss) -> Self {
        LossModel {
            loss,
            state: State::Good,
            packets: 0,
            passed: 0,
        }
    }

    /// Goes on with `loss`; one that did not change keeps its state.
    pub(super) fn set(&mut self, loss: &Loss) {
        if self.loss != *loss {
            *self = LossModel::new(loss.clone());
        }
    }

    /// Whether the next packet is lost.
    pub(super) fn takes_next(&mut self, rng: &mut impl Rng) -> bool {
        self.packets += 1;
        match &self.loss {
            Loss::None => false,
            Loss::Independent(chance) => strikes(*chance, rng),
            // As `loss_gilb_ell` in net/sched/sch_netem.c: the state before the transition decides.
            Loss::GilbertElliott {
                to_bad,
                to_good,
                loss_in_bad,
                loss_in_good,
            } => {
                let (leave, loss, other) = match self.state {
                    State::Bad => (to_good, loss_in_bad, State::Good),
                    State::Good | State::Respite | State::Alone => {
                        (to_bad, loss_in_good, State::Bad)
                    }
                };
                if strikes(*leave, rng) {
                    self.state = other;
                }
                strikes(*loss, rng)
            }
            Loss::FourState(states) => {
                self.state = after(self.state, states, rng);
                matches!(self.state, State::Bad | State::Alone)
            }
            Loss::Packets(numbers) => {
                let lost = numbers.get(self.passed) == Some(&self.packets);
                self.passed += usize::from(lost);
                lost
            }
            Loss::Trace(fates) => fates[((self.packets - 1) % fates.len() as u64) as usize],
        }
    }
}

/// The state after `state`: the one it leads to decides on the packet, as `loss_4state` in net/sched/sch_netem.c has it.
fn after(state: State, chances: &FourState, rng: &mut impl Rng) -> State {
    let draw: f64 = rng.random();
    let [p13, p31, p32, p23, p14] = [
        chances.p13,
        chances.p31,
        chances.p32,
        chances.p23,
        chances.p14,
    ]
    .map(Probability::fraction);
    match state {
        State::Good if draw < p14 => State::Alone,
        State::Good if draw < p14 + p13 => State::Bad,
        State::Good => State::Good,
        State::Respite if draw < p23 => State::Bad,
        State::Respite => State::Respite,
        State::Bad if draw < p32 => State::Respite,
        State::Bad if draw < p32 + p31 => State::Good,
        State::Bad => State::Bad,
        // netem lets the packet after a lone loss pass without a draw that could lose it.
        State::Alone => State::Good,
    }
}

fn strikes(chance: Probability, rng: &mut impl Rng) -> bool {
    rng.random::<f64>() < chance.fraction()
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
    fn four_states_have_their_stationary_loss() {
        let states = FourState {
            p13: chance(0.02),
            p31: chance(0.2),
            p32: chance(0.3),
            p23: chance(0.4),
            p14: chance(0.005),
        };
        // Solved by iterating the chain's own matrix, beside the closed form of the model.
        let mut share = [1.0, 0.0, 0.0, 0.0];
        for _ in 0..10_000 {
            let [one, two, three, four] = share;
            share = [
                one * (1.0 - 0.02 - 0.005) + three * 0.2 + four,
                two * 0.6 + three * 0.3,
                one * 0.02 + two * 0.4 + three * 0.5,
                one * 0.005,
            ];
        }
        let expected = share[2] + share[3];
        assert!((states.mean_loss() - expected).abs() < 1e-9);
        let lost = pattern(Loss::FourState(states), 1_000_000);
        let found = lost.iter().filter(|&&lost| lost).count() as f64 / 1e6;
        assert!(
            (found - expected).abs() < 0.003,
            "{found} instead of {expected}"
        );
    }

    #[test]
    fn a_lone_loss_is_alone() {
        let states = FourState {
            p13: chance(0.0),
            p31: chance(1.0),
            p32: chance(0.0),
            p23: chance(1.0),
            p14: chance(0.9),
        };
        let lost = pattern(Loss::FourState(states), 10_000);
        assert!(lost.windows(2).all(|pair| !(pair[0] && pair[1])));
    }

    #[test]
    fn a_list_loses_just_its_packets_and_a_trace_begins_again() {
        let lost_at = |loss, packets| -> Vec<usize> {
            let lost = pattern(loss, packets).into_iter().enumerate();
            lost.filter_map(|(at, lost)| lost.then_some(at + 1))
                .collect()
        };
        assert_eq!(lost_at(Loss::Packets([1, 2, 9, 12].into()), 11), [1, 2, 9]);
        let fates = [false, true, true].into();
        assert_eq!(lost_at(Loss::Trace(fates), 7), [2, 3, 5, 6]);
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
