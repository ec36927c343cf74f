//! The Mann–Whitney test and the shift that belongs to it.

use longhaul_reports::stats::sorted;

use super::normal::{cumulative, quantile};

/// Up to this many pairs without ties the distribution of U is counted out: every count is a whole number below 2⁵³ there.
/// Beyond, the normal approximation is off by less than a hundredth of the p-values that matter.
const MOST_PAIRS_COUNTED: usize = 625;

/// How far one sample lies above another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// Hodges' and Lehmann's estimate: the median of all differences.
    pub estimate: f64,
    /// The ends of the interval; infinite where there are too few values for its level.
    pub low: f64,
    /// See `low`.
    pub high: f64,
}

/// The p-value of "`a` is not stochastically greater than `b`": small if the values of `a` are mostly greater. 1 if either is
/// empty. Exact without ties for samples of up to about 25 each; else the normal approximation, corrected for ties and
/// continuity.
pub fn greater(a: &[f64], b: &[f64]) -> f64 {
    let pairs = a.len() * b.len();
    if pairs == 0 {
        return 1.0;
    }
    let (mut u, mut tied) = (0.0, false);
    for x in a {
        for y in b {
            u += match x.total_cmp(y) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
            tied |= x == y;
        }
    }
    if !tied && pairs <= MOST_PAIRS_COUNTED {
        let chances = chances(a.len(), b.len());
        return chances[u as usize..].iter().sum::<f64>().min(1.0);
    }
    let deviation = deviation(a, b);
    if deviation == 0.0 {
        return 1.0;
    }
    cumulative(-(u - pairs as f64 / 2.0 - 0.5) / deviation)
}

/// How far `a` lies above `b`, with an interval that leaves out `tail` on either side; nothing if either is empty.
pub fn shift(a: &[f64], b: &[f64], tail: f64) -> Option<Shift> {
    let differences: Vec<f64> = a
        .iter()
        .flat_map(|x| b.iter().map(move |y| x - y))
        .collect();
    let differences = sorted(&differences);
    let pairs = differences.len();
    if pairs == 0 {
        return None;
    }
    let middle = (differences[(pairs - 1) / 2] + differences[pairs / 2]) / 2.0;
    let left_out = if pairs <= MOST_PAIRS_COUNTED {
        let mut sum = 0.0;
        chances(a.len(), b.len())
            .iter()
            .take_while(|&&chance| {
                sum += chance;
                sum <= tail
            })
            .count()
    } else {
        let (n, m) = (a.len() as f64, b.len() as f64);
        let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
        (n * m / 2.0 + quantile(tail) * deviation).floor().max(0.0) as usize
    };
    let (low, high) = match left_out {
        0 => (f64::NEG_INFINITY, f64::INFINITY),
        count => (differences[count - 1], differences[pairs - count]),
    };
    Some(Shift {
        estimate: middle,
        low,
        high,
    })
}

/// The chance of each U from 0 to n·m if both samples are from one distribution without ties: the coefficients of the Gaussian
/// binomial, which come from multiplying by (1 − q^(m+i)) and dividing by (1 − q^i) for each i up to n.
fn chances(n: usize, m: usize) -> Vec<f64> {
    let length = n * m + 1;
    let mut ways = vec![0.0; length];
    ways[0] = 1.0;
    for i in 1..=n {
        for u in (m + i..length).rev() {
            ways[u] -= ways[u - m - i];
        }
        for u in i..length {
            ways[u] += ways[u - i];
        }
    }
    let all: f64 = ways.iter().sum();
    ways.iter().map(|count| count / all).collect()
}

/// The standard deviation of U where some values are equal.
fn deviation(a: &[f64], b: &[f64]) -> f64 {
    let all = sorted(&[a, b].concat());
    let (n, m, total) = (a.len() as f64, b.len() as f64, all.len() as f64);
    let ties: f64 = all
        .chunk_by(|x, y| x == y)
        .map(|group| (group.len() as f64).powi(3) - group.len() as f64)
        .sum();
    (n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)))).sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: [f64; 6] = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88];
    const B: [f64; 6] = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29];

    #[test]
    fn p_values_are_those_of_scipy() {
        // scipy 1.17.1: mannwhitneyu(a, b, alternative="greater", method=…).pvalue
        let even = |from: f64, step: f64, count: i32| -> Vec<f64> {
            (0..count).map(|i| from + step * f64::from(i)).collect()
        };
        for (a, b, known) in [
            // "exact"
            (A.to_vec(), B.to_vec(), 0.120_129_870_129_870_13),
            (
                even(10.0, 0.37, 25),
                even(8.0, 0.411, 25),
                0.045_777_032_486_427_7,
            ),
            // "asymptotic": with ties, and with 900 pairs
            (
                vec![2.0, 3.0, 3.0, 4.0, 6.0, 7.0, 8.0],
                vec![1.0, 2.0, 2.0, 3.0, 4.0, 5.0],
                0.074_009_153_636_163_37,
            ),
        ] {
            let found = greater(&a, &b);
            assert!((found / known - 1.0).abs() < 1e-6, "{found} {known}");
        }
    }

    #[test]
    fn the_shift_is_the_median_difference_within_the_tables_interval() {
        // numpy: median of subtract.outer(a, b); the table's one-sided 5 % bound of 6 against 6 is U = 7, so the 8th of 36.
        let found = shift(&A, &B, 0.05).unwrap();
        for (found, known) in [
            (found.estimate, 0.756),
            (found.low, -0.17),
            (found.high, 1.19),
        ] {
            assert!((found - known).abs() < 1e-12, "{found} {known}");
        }
    }

    #[test]
    fn chances_are_those_of_the_tables() {
        // n = m = 3: 1, 1, 2, 3, 3, 3, 3, 2, 1, 1 of 20.
        let known = [1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 2.0, 1.0, 1.0];
        assert_eq!(chances(3, 3), known.map(|ways| ways / 20.0));
    }

    #[test]
    fn too_few_values_leave_the_ends_open() {
        let found = shift(&[1.0, 2.0], &[3.0], 0.05).unwrap();
        assert_eq!((found.low, found.high), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(shift(&[], &[1.0], 0.05), None);
        assert_eq!(greater(&[], &[1.0]), 1.0);
        assert_eq!(greater(&[1.0; 4], &[1.0; 4]), 1.0);
    }

    proptest! {
        #[test]
        fn a_sample_moved_up_is_no_less_greater(
            a in prop::collection::vec(0.0..1.0_f64, 1..30),
            b in prop::collection::vec(0.0..1.0_f64, 1..30),
            up in 0.0..2.0_f64,
        ) {
            let moved: Vec<f64> = a.iter().map(|x| x + up).collect();
            prop_assert!(greater(&moved, &b) <= greater(&a, &b) + 1e-9);
            let (before, after) = (shift(&a, &b, 0.05).unwrap(), shift(&moved, &b, 0.05).unwrap());
            prop_assert!((after.estimate - before.estimate - up).abs() < 1e-9);
            prop_assert!(before.low <= before.estimate && before.estimate <= before.high);
        }

        #[test]
        fn both_sides_share_the_certainty(
            a in prop::collection::vec(0.0..1.0_f64, 1..20),
            b in prop::collection::vec(2.0..3.0_f64, 1..20),
        ) {
            let (up, down) = (greater(&a, &b), greater(&b, &a));
            prop_assert!((up - 1.0).abs() < 1e-9 && down <= 0.5, "{up} {down}");
            prop_assert!(chances(a.len(), b.len()).iter().all(|&chance| chance > 0.0));
        }
    }
}
