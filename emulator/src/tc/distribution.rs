//! The shapes of jitter as tables of deviates, as `sch_netem.c` draws from them.
//!
//! An entry of 8192 (`NETEM_DIST_SCALE`) is one deviation. iproute2's `netem/` folder makes its tables the same way: entry
//! `k` of 4096 is the quantile of its place; ours stand for the middle of that place, which keeps the mean at the
//! formula's. What fits no 16 bits is cut at four deviations, which takes from Pareto's tail: its table has a mean of
//! −0.033 and a standard deviation of 0.82 of the nominal one.

use longhaul_topologies::model::JitterDistribution;

/// Entries in a table; the kernel takes up to 16,384.
const ENTRIES: u32 = 4096;

/// `NETEM_DIST_SCALE` of `linux/pkt_sched.h`.
const SCALE: f64 = 8192.0;

/// The table of `distribution`.
pub(super) fn table(distribution: JitterDistribution) -> Vec<i16> {
    let quantile: fn(f64) -> f64 = match distribution {
        // netem's own uniform draw serves only as long as no table was ever set, and overflows above 2.1 s.
        JitterDistribution::Uniform => |place| 2.0 * place - 1.0,
        JitterDistribution::Normal => normal,
        JitterDistribution::Pareto => pareto,
        JitterDistribution::ParetoNormal => |place| 0.25 * normal(place) + 0.75 * pareto(place),
    };
    let places = (0..ENTRIES).map(|entry| (f64::from(entry) + 0.5) / f64::from(ENTRIES));
    places
        .map(|place| {
            let deviate = (quantile(place) * SCALE).round();
            deviate.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
        })
        .collect()
}

/// Pareto with the shape 3, which has the mean 3/2 and the variance 3/4; iproute2 centres it and divides by the variance.
fn pareto(place: f64) -> f64 {
    (4.0 / 3.0) * ((1.0 - place).powf(-1.0 / 3.0) - 1.5)
}

/// The standard normal's quantile, by bisection.
fn normal(place: f64) -> f64 {
    let (mut low, mut high) = (-6.0, 6.0);
    // 12 / 2^30 is far below a table's step of 1/8192.
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if normal_cdf(middle) < place {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Marsaglia's series (Journal of Statistical Software 11/4, 2004): Φ(x) = ½ + φ(x)·(x + x³/3 + x⁵/(3·5) + …).
fn normal_cdf(x: f64) -> f64 {
    let (mut term, mut sum, mut divisor) = (x, x, 1.0);
    while term.abs() > 1e-16 {
        divisor += 2.0;
        term *= x * x / divisor;
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and standard deviation, in nominal deviations.
    fn moments(distribution: JitterDistribution) -> (f64, f64) {
        let table: Vec<f64> = table(distribution)
            .iter()
            .map(|&entry| f64::from(entry) / SCALE)
            .collect();
        let count = f64::from(ENTRIES);
        let mean = table.iter().sum::<f64>() / count;
        let variance = table.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt())
    }

    #[track_caller]
    fn close(measured: (f64, f64), expected: (f64, f64)) {
        let off = (measured.0 - expected.0)
            .abs()
            .max((measured.1 - expected.1).abs());
        assert!(off < 1e-3, "{measured:?}, expected {expected:?}");
    }

    #[test]
    fn normal_has_mean_zero_and_deviation_one() {
        close(moments(JitterDistribution::Normal), (0.0, 1.0));
    }

    #[test]
    fn uniform_spans_one_deviation_either_way() {
        close(
            moments(JitterDistribution::Uniform),
            (0.0, 3_f64.sqrt().recip()),
        );
        let table = table(JitterDistribution::Uniform);
        assert_eq!((table[0], table[4095]), (-8190, 8190));
    }

    #[test]
    fn pareto_has_the_moments_of_a_tail_cut_at_four_deviations() {
        // With c = 4.5 where the cut falls: E[min(v, c)] = 3/2 − 1/(2c²), E[min(v, c)²] = 3 − 2/c.
        let mean = 1.5 - 1.0 / (2.0 * 4.5 * 4.5);
        let deviation = f64::sqrt(3.0 - 2.0 / 4.5 - mean * mean);
        let scaled = (4.0 / 3.0 * (mean - 1.5), 4.0 / 3.0 * deviation);
        close(moments(JitterDistribution::Pareto), scaled);
    }

    #[test]
    fn pareto_normal_leans_to_pareto() {
        let entry = |distribution, place: usize| f64::from(table(distribution)[place]);
        for place in [0, 100, 2048, 4000] {
            let mixed = 0.25 * entry(JitterDistribution::Normal, place)
                + 0.75 * entry(JitterDistribution::Pareto, place);
            let ours = entry(JitterDistribution::ParetoNormal, place);
            assert!((ours - mixed).abs() <= 1.0, "{ours}, expected {mixed}");
        }
    }

    #[test]
    fn every_table_rises() {
        for distribution in [
            JitterDistribution::Uniform,
            JitterDistribution::Normal,
            JitterDistribution::Pareto,
            JitterDistribution::ParetoNormal,
        ] {
            assert!(table(distribution).is_sorted(), "{distribution:?}");
        }
    }

    #[test]
    fn normal_quantiles_are_those_of_the_tables_in_the_books() {
        for (place, quantile) in [
            (0.5, 0.0),
            (0.841_344_746, 1.0),
            (0.975, 1.959_963_985),
            (0.001, -3.090_232_306),
        ] {
            assert!((normal(place) - quantile).abs() < 1e-7, "{place}");
        }
    }
}
