//! Tests of whether two sets of repeats differ, and how many repeats a test needs.
//!
//! Ranks, not means: times of a shared machine have a long tail, and the Mann–Whitney test asks nothing of their shape. Its
//! efficiency beside Student's t is 3/π for normal data, and better for tails.
//!
//! - Mann and Whitney, "On a test of whether one of two random variables is stochastically larger than the other", 1947.
//! - Hodges and Lehmann, "Estimates of location based on rank tests", 1963; the interval is Moses' (Hollander and Wolfe,
//!   *Nonparametric Statistical Methods*, section 4.3).
//! - Holm, "A simple sequentially rejective multiple test procedure", 1979.
//! - Noether, "Sample size determination for some common nonparametric tests", 1987.

mod normal;
mod rank;

use normal::{cumulative, quantile};
pub use rank::{Shift, greater, shift};

use longhaul_reports::stats;

/// Holm's adjusted p-values, in the order given: to reject those up to α keeps the chance of any false rejection at α.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut adjusted, mut least) = (vec![0.0; p.len()], 0.0_f64);
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max((p[index] * (p.len() - rank) as f64).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}

/// How many values each of two equal samples needs so that the one-sided Mann–Whitney test at level `alpha` finds a shift of
/// `difference` with probability `power`, if values scatter normally with standard deviation `scatter` (Noether's formula), and so
/// that the exact test can reach `alpha` at all. Nothing if there is nothing to find.
pub fn repeats_needed(difference: f64, scatter: f64, alpha: f64, power: f64) -> Option<u64> {
    if difference.is_nan() || difference <= 0.0 {
        return None;
    }
    let ahead = match scatter > 0.0 {
        true => cumulative(difference / (scatter * 2.0_f64.sqrt())) - 0.5,
        false => 0.5,
    };
    let sum = quantile(1.0 - alpha) + quantile(power);
    let by_power = (sum * sum / (6.0 * ahead * ahead)).ceil();
    // The least p of n against n is 1 / (2n choose n).
    let (mut n, mut ways) = (1_u64, 2.0_f64);
    while 1.0 / ways > alpha {
        n += 1;
        ways *= (2 * n * (2 * n - 1)) as f64 / (n * n) as f64;
    }
    Some((by_power as u64).max(n))
}

/// The pooled standard deviation of two samples; nothing with fewer than two degrees of freedom.
pub fn pooled_scatter(a: &[f64], b: &[f64]) -> Option<f64> {
    let freedom = |sample: &[f64]| sample.len().saturating_sub(1) as f64;
    let all = freedom(a) + freedom(b);
    let squares = |sample: &[f64]| stats::stdev(sample).powi(2) * freedom(sample);
    (all >= 2.0).then(|| ((squares(a) + squares(b)) / all).sqrt())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn holm_steps_down() {
        // statsmodels: multipletests([0.01, 0.04, 0.03, 0.005], method="holm")[1]
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, known) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - known).abs() < 1e-12, "{adjusted:?}");
        }
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn repeats_come_from_the_power_calculation() {
        // By hand: δ = σ, Φ(1/√2) − ½ = 0.26025, z(0.95) + z(0.9) = 2.92641, so 2.92641² / (6 · 0.26025²) = 21.07.
        assert_eq!(repeats_needed(1.0, 1.0, 0.05, 0.9), Some(22));
        // No scatter: 3 against 3 give p = 1/20 at the least.
        assert_eq!(repeats_needed(1.0, 0.0, 0.05, 0.9), Some(6));
        assert_eq!(repeats_needed(1.0, 0.0, 1e-5, 0.5), Some(13));
        assert_eq!(repeats_needed(0.0, 1.0, 0.05, 0.9), None);
    }

    /// Of two normal samples of the size asked for, how many tests find the difference: by a seeded simulation.
    #[test]
    fn as_many_repeats_as_asked_for_find_the_difference_as_surely() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for (difference, alpha, power) in [(1.0, 0.05, 0.9), (0.7, 0.01, 0.9), (1.5, 0.01, 0.8)] {
            let n = repeats_needed(difference, 1.0, alpha, power).unwrap();
            let mut normal = |mean: f64| -> Vec<f64> {
                let mut one = || mean + quantile(random.random_range(1e-9..1.0 - 1e-9));
                (0..n).map(|_| one()).collect()
            };
            let trials = 300;
            let found = (0..trials)
                .filter(|_| greater(&normal(difference), &normal(0.0)) <= alpha)
                .count();
            let share = found as f64 / f64::from(trials);
            // 300 trials are off by 0.02 (one standard deviation). Noether's formula is for small differences: of large ones it asks
            // for more than needed, which is the safe side.
            assert!(share > power - 0.05, "{n} repeats: {share}");
            assert!(
                difference > 1.0 || share < power + 0.07,
                "{n} repeats: {share}"
            );
        }
    }

    proptest! {
        #[test]
        fn holm_never_lowers_a_p_and_keeps_their_order(p in prop::collection::vec(0.0..1.0_f64, 1..30)) {
            let adjusted = holm(&p);
            for (i, &raw) in p.iter().enumerate() {
                prop_assert!(raw <= adjusted[i] && adjusted[i] <= 1.0);
                for (j, &other) in p.iter().enumerate() {
                    prop_assert!(raw > other || adjusted[i] <= adjusted[j]);
                }
            }
        }

        #[test]
        fn less_difference_needs_more_repeats(difference in 0.01..1.0_f64, scatter in 0.01..1.0_f64) {
            let at = |difference| repeats_needed(difference, scatter, 0.01, 0.9);
            prop_assert!(at(difference / 2.0) >= at(difference));
        }
    }
}
