//! The shapes of jitter, one for all that draws from them or judges them: the netem engine hands the tables to the kernel, the
//! relay draws from them itself, the fidelity check knows what it should see.
//!
//! A table is what `sch_netem.c` draws from: quantiles at even places, as 16-bit numbers of which 8192
//! (`NETEM_DIST_SCALE`) are one deviation, so that it ends at four deviations. Every shape is moved and scaled so that
//! what is left of it within that reach has the mean 0 and the standard deviation 1: a delay's mean is the stated delay and its
//! standard deviation is the stated deviation, whatever the shape. The tables that come with iproute2 are not so:
//! its `pareto` has the mean −0.03 and the deviation 0.82, as it is scaled by the variance and cut afterwards.

use std::sync::{Arc, OnceLock};

use longhaul_topologies::model::quantiles::{SCALE, entries, places};
use longhaul_topologies::model::{JitterDistribution, JitterShape};

/// The quantiles of `shape`, in rising order; `None` for a trace, which is not drawn from.
pub(crate) fn table(shape: &JitterShape) -> Option<Arc<[i16]>> {
    match shape {
        JitterShape::Distribution(distribution) => Some(known(*distribution)),
        JitterShape::Table(table) => Some(table.quantiles()),
        JitterShape::Trace(_) => None,
    }
}

fn known(distribution: JitterDistribution) -> Arc<[i16]> {
    static TABLES: [OnceLock<Arc<[i16]>>; 4] = [const { OnceLock::new() }; 4];
    let table = || {
        let quantiles: Vec<f64> = places().map(quantile(distribution)).collect();
        entries(&quantiles).expect("the known shapes have their spread within reach")
    };
    Arc::clone(TABLES[distribution as usize].get_or_init(table))
}

/// A table's entry in deviations.
pub(crate) fn deviations(entry: i16) -> f64 {
    f64::from(entry) / SCALE
}

/// The quantile function of a shape, wherever its mean lies and however wide it is.
fn quantile(distribution: JitterDistribution) -> fn(f64) -> f64 {
    match distribution {
        JitterDistribution::Uniform => |place| place,
        JitterDistribution::Normal => normal,
        JitterDistribution::Pareto => pareto,
        // As iproute2's netem/paretonormal.c mixes them.
        JitterDistribution::ParetoNormal => |place| 0.25 * normal(place) + 0.75 * pareto(place),
    }
}

/// Pareto with the exponent 3, brought to the mean 0 and iproute2's width (its netem/pareto.c), which the mixture needs.
fn pareto(place: f64) -> f64 {
    (4.0 / 3.0) * ((1.0 - place).powf(-1.0 / 3.0) - 1.5)
}

/// The standard normal's quantile, by bisection.
fn normal(place: f64) -> f64 {
    let (mut low, mut high) = (-6.0, 6.0);
    // 12 / 2^30 is far below a table's step of 1/8192.
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if normal_cumulative(middle) < place {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Marsaglia's series (Journal of Statistical Software 11/4, 2004): Φ(x) = ½ + φ(x)·(x + x³/3 + x⁵/(3·5) + …).
fn normal_cumulative(x: f64) -> f64 {
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
    use longhaul_topologies::model::quantiles::{ENTRIES, REACH, moments};

    use super::*;

    const ALL: [JitterDistribution; 4] = [
        JitterDistribution::Uniform,
        JitterDistribution::Normal,
        JitterDistribution::Pareto,
        JitterDistribution::ParetoNormal,
    ];

    fn entries(distribution: JitterDistribution) -> Vec<f64> {
        known(distribution)
            .iter()
            .copied()
            .map(deviations)
            .collect()
    }

    /// What the share `place` of all draws does not exceed, in deviations.
    fn quantile(distribution: JitterDistribution, place: f64) -> f64 {
        let table = known(distribution);
        let rank = (place * f64::from(ENTRIES)) as usize;
        deviations(table[rank.min(table.len() - 1)])
    }

    #[test]
    fn every_table_has_mean_zero_and_deviation_one() {
        for distribution in ALL {
            let (mean, deviation) = moments(&entries(distribution));
            assert!(mean.abs() < 1e-4, "{distribution:?}: mean {mean}");
            assert!(
                (deviation - 1.0).abs() < 1e-4,
                "{distribution:?}: deviation {deviation}"
            );
        }
    }

    #[test]
    fn every_table_rises_and_reaches_no_lower_than_its_shape_says() {
        for distribution in ALL {
            assert!(known(distribution).is_sorted(), "{distribution:?}");
            let (lowest, reach) = (entries(distribution)[0], distribution.reach());
            assert!(
                (0.8 * reach..=reach).contains(&-lowest),
                "{distribution:?}: {lowest}"
            );
        }
    }

    #[test]
    fn uniform_is_even() {
        let table = entries(JitterDistribution::Uniform);
        let step = 2.0 * 3_f64.sqrt() / f64::from(ENTRIES);
        assert!(
            table
                .windows(2)
                .all(|pair| ((pair[1] - pair[0]) - step).abs() <= 1.0 / SCALE)
        );
    }

    #[test]
    fn pareto_keeps_its_shape_below_the_cut() {
        // Moved and scaled, a quantile is a·(1 − place)^(−1/3) + b: two places give a and b, the others must agree.
        let raw = |place: f64| (1.0 - place).powf(-1.0 / 3.0);
        let ours = |place: f64| quantile(JitterDistribution::Pareto, place);
        let a = (ours(0.9) - ours(0.1)) / (raw(0.9) - raw(0.1));
        let b = ours(0.1) - a * raw(0.1);
        for place in [0.01, 0.3, 0.5, 0.7, 0.95, 0.97] {
            let expected = a * raw(place) + b;
            assert!((ours(place) - expected).abs() < 0.02, "{place}");
        }
        // 1.9 % of the draws are cut: by hand, E[min(v, c)] = 3/2 − 1/(2c²) and E[min(v, c)²] = 3 − 2/c put the cut that
        // lies four deviations above the mean at c = 3.73, and c⁻³ of all draws lie above it.
        assert!(ours(0.979) < REACH && ours(0.982) == REACH);
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
