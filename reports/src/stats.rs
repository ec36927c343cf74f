//! Percentiles, distributions, jitter and nccl-tests' bandwidths: the one place where each formula lives.
//!
//! Percentiles are by nearest rank: the least sample that at least the asked share of the samples does not
//! exceed. So a percentile is always a value that was measured, and with few samples p99 is the greatest.

mod bandwidth;

pub use bandwidth::{UnknownCollective, algbw_gbps, average_busbw, bus_factor, summarise};

use crate::result::Percentiles;

impl Percentiles {
    /// Of the finite values, in any order; all zero with `count` 0 if there are none.
    pub fn of(values: &[f64]) -> Self {
        let sorted = sorted(values);
        let (Some(mean), Some(&min), Some(&max)) = (mean(&sorted), sorted.first(), sorted.last())
        else {
            return Self::default();
        };
        let at = |percent| percentile(&sorted, percent).unwrap_or(max);
        Self {
            count: sorted.len() as u64,
            mean,
            min,
            p50: at(50.0),
            p95: at(95.0),
            p99: at(99.0),
            max,
        }
    }

    /// Packet delay variation of a one-way delay (RFC 5481 section 4.2): how far its 99th percentile lies above
    /// its least, in the unit of the values.
    pub fn packet_delay_variation(&self) -> f64 {
        self.p99 - self.min
    }
}

/// The finite values, least first.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The value at `percent` (0–100) of `sorted` (ascending), by nearest rank; nothing if there is no value.
pub fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

/// Jain's index of fairness, 1 / values to 1 (Jain, Chiu, Hawe 1984, DEC-TR-301); nothing if there is no value above 0.
pub fn jain_index(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    (squares > 0.0).then(|| sum * sum / (values.len() as f64 * squares))
}

/// The arithmetic mean; nothing if there is no value.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The sample standard deviation (n − 1); 0 for fewer than two values.
pub fn stdev(values: &[f64]) -> f64 {
    let Some(mean) = mean(values).filter(|_| values.len() > 1) else {
        return 0.0;
    };
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// The empirical cumulative distribution: each distinct finite value, ascending, with the share of the values
/// that do not exceed it; the last share is 1.
pub fn cdf(values: &[f64]) -> Vec<(f64, f64)> {
    let sorted = sorted(values);
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for (index, &value) in sorted.iter().enumerate() {
        let share = (index + 1) as f64 / sorted.len() as f64;
        match steps.last_mut() {
            Some(last) if last.0 == value => last.1 = share,
            _ => steps.push((value, share)),
        }
    }
    steps
}

/// Interarrival jitter (RFC 3550 section 6.4.1): a running mean, with gain 1/16, of how much the transit time
/// changes from one packet to the next. Same unit as the transit times.
#[derive(Clone, Copy, Debug, Default)]
pub struct InterarrivalJitter {
    last_transit: Option<f64>,
    jitter: f64,
}

impl InterarrivalJitter {
    /// Takes the transit time of the packet that arrived next and answers the jitter so far.
    pub fn observe(&mut self, transit: f64) -> f64 {
        if let Some(last) = self.last_transit.replace(transit) {
            self.jitter += ((transit - last).abs() - self.jitter) / 16.0;
        }
        self.jitter
    }

    /// The jitter after packets with these transit times, in order of arrival.
    pub fn of(transits: &[f64]) -> f64 {
        let mut jitter = Self::default();
        for &transit in transits {
            jitter.observe(transit);
        }
        jitter.jitter
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_are_measured_values_by_nearest_rank() {
        // The worked example of the nearest-rank method: 15, 20, 35, 40, 50.
        let values = sorted(&[35.0, 15.0, 50.0, 20.0, 40.0]);
        let expected = [
            (0.0, 15.0),
            (5.0, 15.0),
            (30.0, 20.0),
            (40.0, 20.0),
            (50.0, 35.0),
            (99.0, 50.0),
            (100.0, 50.0),
        ];
        for (percent, value) in expected {
            assert_eq!(percentile(&values, percent), Some(value), "p{percent}");
        }
        assert_eq!(percentile(&[], 50.0), None);
    }

    #[test]
    fn a_distribution_of_nothing_counts_nothing() {
        assert_eq!(Percentiles::of(&[]), Percentiles::default());
        assert_eq!(
            Percentiles::of(&[f64::NAN, f64::INFINITY]),
            Percentiles::default()
        );
    }

    #[test]
    fn standard_deviation_divides_by_n_minus_one() {
        assert_eq!(
            stdev(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]),
            (32.0_f64 / 7.0).sqrt()
        );
        assert_eq!(stdev(&[3.0]), 0.0);
        assert_eq!(stdev(&[]), 0.0);
    }

    #[test]
    fn cdf_steps_once_per_distinct_value() {
        assert_eq!(
            cdf(&[3.0, 1.0, 3.0, 2.0]),
            [(1.0, 0.25), (2.0, 0.5), (3.0, 1.0)]
        );
        assert!(cdf(&[]).is_empty());
    }

    #[test]
    fn interarrival_jitter_moves_by_a_sixteenth() {
        assert_eq!(InterarrivalJitter::of(&[100.0]), 0.0);
        assert_eq!(InterarrivalJitter::of(&[100.0, 116.0]), 1.0);
        assert_eq!(
            InterarrivalJitter::of(&[100.0, 116.0, 100.0]),
            1.0 + 15.0 / 16.0
        );
    }

    #[test]
    fn packet_delay_variation_is_above_the_least_delay() {
        let delays: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(Percentiles::of(&delays).packet_delay_variation(), 98.0);
    }

    proptest! {
        #[test]
        fn percentiles_lie_in_order_and_among_the_values(values in prop::collection::vec(-1e9..1e9_f64, 1..200)) {
            let p = Percentiles::of(&values);
            prop_assert!(p.min <= p.p50 && p.p50 <= p.p95 && p.p95 <= p.p99 && p.p99 <= p.max);
            prop_assert!(values.contains(&p.p50) && values.contains(&p.p95) && values.contains(&p.p99));
            // The mean of equal values may differ from them in the last bit.
            let slack = 1e-9 * p.max.abs().max(p.min.abs());
            prop_assert!(p.min - slack <= p.mean && p.mean <= p.max + slack);
        }

        #[test]
        fn cdf_rises_to_one(values in prop::collection::vec(-1e3..1e3_f64, 1..200)) {
            let steps = cdf(&values);
            prop_assert!(steps.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
            prop_assert_eq!(steps.last().map(|step| step.1), Some(1.0));
        }

        #[test]
        fn constant_transit_has_no_jitter(transit in 0.0..1e6_f64, packets in 1_usize..100) {
            prop_assert_eq!(InterarrivalJitter::of(&vec![transit; packets]), 0.0);
        }
    }
}
