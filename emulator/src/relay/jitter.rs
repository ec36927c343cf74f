//! Variation of the delay.

use std::sync::Arc;
use std::time::Duration;

use longhaul_topologies::model::{DelayTrace, Jitter, JitterShape};
use rand::{Rng, RngExt};

use crate::distribution;
use crate::time::Time;

/// Tells the variation of one packet's delay after another.
#[derive(Clone, Debug)]
pub(super) enum JitterModel {
    /// Drawn.
    Table {
        /// The quantiles of the shape, in rising order.
        quantiles: Arc<[i16]>,
        deviation: f64,
    },
    /// Played back.
    Trace {
        trace: DelayTrace,
        began: Time,
        /// The least that it adds.
        least: Duration,
    },
}

impl JitterModel {
    /// A trace begins at `now`.
    pub(super) fn new(jitter: &Jitter, now: Time) -> Self {
        match (&jitter.shape, distribution::table(&jitter.shape)) {
            (JitterShape::Trace(trace), _) => JitterModel::Trace {
                trace: trace.clone(),
                began: now,
                least: trace.range().0,
            },
            (_, table) => JitterModel::Table {
                quantiles: table.expect("all shapes but traces have a table"),
                deviation: jitter.deviation.as_nanos() as f64,
            },
        }
    }

    /// Whether this plays `shape` back.
    pub(super) fn plays(&self, shape: &JitterShape) -> bool {
        match (self, shape) {
            (JitterModel::Trace { trace, .. }, JitterShape::Trace(other)) => trace == other,
            _ => false,
        }
    }

    /// `delay` as the next packet has it, which enters at `now`; never below zero.
    pub(super) fn vary(&self, delay: Duration, now: Time, rng: &mut impl Rng) -> Duration {
        match self {
            JitterModel::Table {
                quantiles,
                deviation,
            } => {
                let entry = quantiles[rng.random_range(0..quantiles.len())];
                shifted(delay, entry, *deviation)
            }
            JitterModel::Trace { trace, began, .. } => delay + trace.at(now.since(*began)),
        }
    }

    /// The least that [`vary`](Self::vary) can answer.
    pub(super) fn least(&self, delay: Duration) -> Duration {
        match self {
            JitterModel::Table {
                quantiles,
                deviation,
            } => shifted(delay, quantiles[0], *deviation),
            JitterModel::Trace { least, .. } => delay + *least,
        }
    }
}

fn shifted(delay: Duration, entry: i16, deviation: f64) -> Duration {
    // A float keeps whole nanoseconds up to 2^53 ns, 104 days.
    let variation = distribution::deviations(entry) * deviation;
    let nanoseconds = delay.as_nanos() as f64 + variation;
    Duration::from_nanos(nanoseconds.round().max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::{JitterDistribution, JitterTable, PacketOrder};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SAMPLES: usize = 100_000;
    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Sorted variations in units of the deviation.
    fn sample(distribution: JitterDistribution) -> Vec<f64> {
        sample_of(JitterShape::Distribution(distribution))
    }

    fn sample_of(shape: JitterShape) -> Vec<f64> {
        let jitter = Jitter {
            deviation: MILLISECOND,
            shape,
            order: PacketOrder::Preserved,
        };
        let model = JitterModel::new(&jitter, Time::default());
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let delay = Duration::from_millis(50);
        let mut drawn: Vec<f64> = (0..SAMPLES)
            .map(|_| {
                (model.vary(delay, Time::default(), &mut rng).as_secs_f64() - delay.as_secs_f64())
                    / MILLISECOND.as_secs_f64()
            })
            .collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }

    /// Kolmogorov–Smirnov distance to a distribution function.
    fn distance(sorted: &[f64], cumulative: impl Fn(f64) -> f64) -> f64 {
        let count = sorted.len() as f64;
        let gap = |(at, &value): (usize, &f64)| {
            let expected = cumulative(value);
            (expected - at as f64 / count)
                .abs()
                .max((expected - (at + 1) as f64 / count).abs())
        };
        sorted.iter().enumerate().map(gap).fold(0.0, f64::max)
    }

    /// The 1 % critical value of the test for large samples.
    fn critical() -> f64 {
        1.628 / (SAMPLES as f64).sqrt()
    }

    /// The normal distribution function by Simpson's rule, independent of the quantile function.
    fn normal_cumulative(x: f64) -> f64 {
        let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let step = x / 200.0;
        let inner: f64 = (1..200)
            .map(|at| density(step * f64::from(at)) * if at % 2 == 1 { 4.0 } else { 2.0 })
            .sum();
        0.5 + step / 3.0 * (density(0.0) + inner + density(x))
    }

    #[test]
    fn uniform_jitter_is_even_over_the_width_of_one_deviation() {
        let drawn = sample(JitterDistribution::Uniform);
        let half_width = 3_f64.sqrt();
        let cumulative = |x: f64| (0.5 + x / (2.0 * half_width)).clamp(0.0, 1.0);
        assert!(distance(&drawn, cumulative) < critical());
    }

    #[test]
    fn normal_jitter_is_normal() {
        let drawn = sample(JitterDistribution::Normal);
        assert!(distance(&drawn, normal_cumulative) < critical());
    }

    #[test]
    fn pareto_jitter_is_a_pareto_cut_where_it_is_four_deviations_above_its_mean() {
        // Mean and deviation of min(v, c) in closed form, for the c that lies four deviations above that mean.
        let moments = |cut: f64| {
            let mean = 1.5 - 0.5 / (cut * cut);
            (mean, (3.0 - 2.0 / cut - mean * mean).sqrt())
        };
        let (mut low, mut cut) = (1.1, 20.0);
        while cut - low > 1e-9 {
            let middle = f64::midpoint(low, cut);
            let (mean, deviation) = moments(middle);
            if (middle - mean) / deviation < 4.0 {
                low = middle;
            } else {
                cut = middle;
            }
        }
        let (mean, deviation) = moments(cut);
        let drawn = sample(JitterDistribution::Pareto);
        // The cut is a step; the distance is taken below it.
        let below = drawn.partition_point(|&x| x < 3.99);
        let share = 1.0 - cut.powi(-3);
        assert!((below as f64 / SAMPLES as f64 - share).abs() < 0.002);
        let cumulative = |x: f64| (1.0 - (x * deviation + mean).max(1.0).powi(-3)) / share;
        assert!(distance(&drawn[..below], cumulative) < critical());
    }

    #[test]
    fn pareto_normal_jitter_is_a_quarter_normal_and_three_quarters_pareto() {
        let drawn = sample(JitterDistribution::ParetoNormal);
        // Below the cut a quantile is a·(¼·normal + ¾·Pareto) + b; two quantiles give a and b.
        let drawn_at = |place: f64| drawn[(place * SAMPLES as f64) as usize];
        let mixed = |normal: f64, place: f64| 0.25 * normal + (1.0 - place).powf(-1.0 / 3.0) - 1.5;
        let (lower, upper) = (mixed(-1.281_55, 0.1), mixed(1.281_55, 0.9));
        let a = (drawn_at(0.9) - drawn_at(0.1)) / (upper - lower);
        let b = drawn_at(0.1) - a * lower;
        for (normal, place) in [
            (-0.674_49, 0.25),
            (0.0, 0.5),
            (0.674_49, 0.75),
            (1.644_85, 0.95),
        ] {
            let expected = a * mixed(normal, place) + b;
            let found = drawn_at(place);
            assert!(
                (found - expected).abs() < 0.05,
                "{found}, expected {expected} at {place}"
            );
        }
    }

    #[test]
    fn every_shape_realises_its_mean_and_deviation() {
        use JitterDistribution::{Normal, Pareto, ParetoNormal, Uniform};
        for distribution in [Uniform, Normal, Pareto, ParetoNormal] {
            let drawn = sample(distribution);
            let mean = drawn.iter().sum::<f64>() / SAMPLES as f64;
            let deviation =
                (drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / SAMPLES as f64).sqrt();
            assert!(
                mean.abs() < 2.576 / (SAMPLES as f64).sqrt(),
                "{distribution:?}: mean {mean}"
            );
            assert!(
                (deviation - 1.0).abs() < 0.02,
                "{distribution:?}: deviation {deviation}"
            );
        }
    }

    #[test]
    fn jitter_of_a_table_has_the_shape_of_its_delays() {
        // Two humps, the second half as high.
        let delays =
            (0..300).map(|at| Duration::from_micros(if at < 200 { at } else { 1_000 + at }));
        let table = JitterTable::new(delays.collect()).unwrap();
        let (mean, deviation) = table.moments();
        let samples = table.samples().to_vec();
        let drawn = sample_of(JitterShape::Table(table));
        let cumulative = |x: f64| {
            let delay = mean.as_secs_f64() + x * deviation.as_secs_f64();
            samples.partition_point(|sample| sample.as_secs_f64() <= delay) as f64
                / samples.len() as f64
        };
        // The table's 300 steps and the 4096 places it is kept at blur it by less than one of its steps.
        assert!(distance(&drawn, cumulative) < critical() + 1.0 / 300.0);
    }

    #[test]
    fn a_trace_is_played_back_from_the_channel_s_beginning() {
        let points = vec![
            (Duration::ZERO, Duration::ZERO),
            (MILLISECOND * 10, MILLISECOND * 4),
        ];
        let jitter = Jitter {
            deviation: MILLISECOND,
            shape: JitterShape::Trace(DelayTrace::new(points).unwrap()),
            order: PacketOrder::Preserved,
        };
        let began = Time::from_nanos(77);
        let model = JitterModel::new(&jitter, began);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut at = |ms: u32| model.vary(MILLISECOND, began + MILLISECOND * ms, &mut rng);
        assert_eq!(
            [0, 5, 10, 15].map(&mut at),
            [1, 3, 1, 3].map(|ms| MILLISECOND * ms)
        );
        assert_eq!(model.least(MILLISECOND), MILLISECOND);
    }

    #[test]
    fn a_delay_never_falls_below_zero_or_below_its_stated_least() {
        let jitter = Jitter {
            deviation: MILLISECOND,
            shape: JitterShape::Distribution(JitterDistribution::Normal),
            order: PacketOrder::Preserved,
        };
        let model = JitterModel::new(&jitter, Time::default());
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        assert_eq!(model.least(MILLISECOND), Duration::ZERO);
        let delay = Duration::from_millis(6);
        assert!(
            (0..SAMPLES)
                .all(|_| model.vary(delay, Time::default(), &mut rng) >= model.least(delay))
        );
    }
}
