//! Shapes of jitter as `sch_netem.c` draws from them: quantiles at even places, as 16-bit numbers of which 8192
//! (`NETEM_DIST_SCALE`) are one deviation, so that they end at four deviations.

use std::sync::Arc;

/// Entries in a table, as many as in iproute2's; the kernel takes up to 16,384 (`NETEM_DIST_MAX`).
pub const ENTRIES: u32 = 4096;

/// One deviation: `NETEM_DIST_SCALE` of `linux/pkt_sched.h`.
pub const SCALE: f64 = 8192.0;

/// How far a table reaches: 16 bits are ±32,767 ÷ 8192.
pub const REACH: f64 = i16::MAX as f64 / SCALE;

/// Far more than any shape takes that has its spread within reach: Pareto some twenty.
const MOST_ROUNDS: usize = 1000;

/// Even places from 0 to 1.
pub fn places() -> impl Iterator<Item = f64> {
    (0..ENTRIES).map(|entry| (f64::from(entry) + 0.5) / f64::from(ENTRIES))
}

/// `quantiles`, in rising order, moved and scaled until those within reach, and the others cut to it, have the mean 0 and the
/// deviation 1. `None` if there is no such scale: of a shape whose delays are alike but for a sixteenth, what is left within four
/// deviations has less than one, however far it is stretched.
pub fn entries(quantiles: &[f64]) -> Option<Arc<[i16]>> {
    let standard = standardised(quantiles)?;
    let entry = |x: &f64| (x * SCALE).round() as i16;
    Some(standard.iter().map(entry).collect())
}

/// Each round cuts a little more of the tail.
fn standardised(values: &[f64]) -> Option<Vec<f64>> {
    let (mut mean, mut deviation) = moments(values);
    for _ in 0..MOST_ROUNDS {
        if !(deviation.is_normal() && mean.is_finite()) {
            return None;
        }
        let standard = values
            .iter()
            .map(|value| ((value - mean) / deviation).clamp(-REACH, REACH));
        let standard: Vec<f64> = standard.collect();
        let (off, width) = moments(&standard);
        // Far below half a step of a table, and far above what rounding adds.
        if off.abs() < 1e-6 && (width - 1.0).abs() < 1e-6 {
            return Some(standard);
        }
        mean += off * deviation;
        deviation *= width;
    }
    None
}

/// Mean and standard deviation.
pub fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many entries of a table far away, the others at 0.
    fn outliers(count: u32) -> Vec<f64> {
        (0..ENTRIES)
            .map(|at| f64::from(u8::from(at >= ENTRIES - count)))
            .collect()
    }

    #[test]
    fn a_shape_whose_spread_lies_beyond_reach_has_no_table() {
        // p entries at 4 deviations and the others at −4p/(1 − p): a deviation of 1 needs p > 1/17.
        for count in [1, 40, ENTRIES / 17] {
            assert_eq!(entries(&outliers(count)), None, "{count}");
        }
        for count in [ENTRIES / 16, ENTRIES / 2] {
            assert!(entries(&outliers(count)).is_some(), "{count}");
        }
        assert_eq!(entries(&[5.0; 4]), None, "no spread at all");
        assert_eq!(entries(&[0.0, f64::MAX]), None, "no number holds it");
    }
}
