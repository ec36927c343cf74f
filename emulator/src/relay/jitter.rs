//! Variation of the delay.
//!
//! The shapes are those of iproute2's tables (`netem/{normal,pareto,paretonormal}.c`): a table of 16,384 quantiles, cut
//! off at four units. Its `pareto` has a deviation of 0.82 units, not one, because it scales by the variance and then
//! cuts the tail; here every shape is brought to mean 0 and deviation 1, so that `deviation` is what it says.

use std::sync::OnceLock;
use std::time::Duration;

use longhaul_topologies::model::{Jitter, JitterDistribution};
use rand::{Rng, RngExt};

/// Entries of a table; `TABLESIZE` in iproute2's netem/.
const QUANTILES: usize = 16_384;
/// Where a table is cut off: an entry is a signed 16-bit number in units of 1/8192 (`NETEM_DIST_SCALE`).
const CUT_OFF: f64 = 4.0;

/// Draws the variation of one packet's delay after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct JitterModel {
    shape: Shape,
    deviation: f64,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Uniform,
    Table(&'static [f32]),
}

impl JitterModel {
    pub(super) fn new(jitter: &Jitter) -> Self {
        let shape = match jitter.distribution {
            JitterDistribution::Uniform => Shape::Uniform,
            JitterDistribution::Normal => Shape::Table(table(&NORMAL, normal)),
            JitterDistribution::Pareto => Shape::Table(table(&PARETO, pareto)),
            JitterDistribution::ParetoNormal => Shape::Table(table(&PARETO_NORMAL, pareto_normal)),
        };
        JitterModel {
            shape,
            deviation: jitter.deviation.as_nanos() as f64,
        }
    }

    /// `delay` as the next packet has it; never below zero.
    pub(super) fn vary(&self, delay: Duration, rng: &mut impl Rng) -> Duration {
        let variation = match self.shape {
            Shape::Uniform => rng.random::<f64>() * 2.0 - 1.0,
            Shape::Table(quantiles) => f64::from(quantiles[rng.random_range(0..quantiles.len())]),
        };
        self.shift(delay, variation)
    }

    /// The least that [`vary`](Self::vary) can answer.
    pub(super) fn least(&self, delay: Duration) -> Duration {
        match self.shape {
            Shape::Uniform => self.shift(delay, -1.0),
            Shape::Table(quantiles) => self.shift(delay, f64::from(quantiles[0])),
        }
    }

    fn shift(&self, delay: Duration, variation: f64) -> Duration {
        // A float keeps whole nanoseconds up to 2^53 ns, 104 days.
        let nanoseconds = delay.as_nanos() as f64 + variation * self.deviation;
        Duration::from_nanos(nanoseconds.round().max(0.0) as u64)
    }
}

static NORMAL: OnceLock<Vec<f32>> = OnceLock::new();
static PARETO: OnceLock<Vec<f32>> = OnceLock::new();
static PARETO_NORMAL: OnceLock<Vec<f32>> = OnceLock::new();

/// The quantiles of `shape`, cut off, brought to mean 0 and deviation 1, in rising order.
fn table(cell: &'static OnceLock<Vec<f32>>, shape: fn(f64) -> f64) -> &'static [f32] {
    cell.get_or_init(|| {
        let raw: Vec<f64> = (0..QUANTILES)
            .map(|at| shape((at as f64 + 0.5) / QUANTILES as f64).clamp(-CUT_OFF, CUT_OFF))
            .collect();
        let mean = raw.iter().sum::<f64>() / QUANTILES as f64;
        let variance =
            raw.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / QUANTILES as f64;
        raw.iter()
            .map(|value| ((value - mean) / variance.sqrt()) as f32)
            .collect()
    })
}

/// Pareto with exponent 3 from 1 up (mean 1.5), less its mean, times 4/3.
fn pareto(quantile: f64) -> f64 {
    (((1.0 - quantile).powf(-1.0 / 3.0) - 1.5) * 4.0 / 3.0).min(CUT_OFF)
}

/// A quarter Gaussian and three quarters Pareto, quantile by quantile.
fn pareto_normal(quantile: f64) -> f64 {
    0.25 * normal(quantile) + 0.75 * pareto(quantile)
}

/// The quantile function of the standard normal distribution: P. J. Acklam's rational approximation (2003),
/// relative error below 1.15e-9.
fn normal(quantile: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    const TAIL: f64 = 0.024_25;

    let polynomial =
        |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |share: f64| {
        let q = (-2.0 * share.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    };
    if quantile < TAIL {
        tail(quantile)
    } else if quantile > 1.0 - TAIL {
        -tail(1.0 - quantile)
    } else {
        let q = quantile - 0.5;
        polynomial(&A, q * q) * q / polynomial(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::PacketOrder;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SAMPLES: usize = 100_000;
    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Sorted variations in units of the deviation.
    fn sample(distribution: JitterDistribution) -> Vec<f64> {
        let jitter = Jitter {
            deviation: MILLISECOND,
            distribution,
            order: PacketOrder::Preserved,
        };
        let model = JitterModel::new(&jitter);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let delay = Duration::from_millis(50);
        let mut drawn: Vec<f64> = (0..SAMPLES)
            .map(|_| {
                (model.vary(delay, &mut rng).as_secs_f64() - delay.as_secs_f64())
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
    fn uniform_jitter_is_even_over_its_half_width() {
        let drawn = sample(JitterDistribution::Uniform);
        assert!(distance(&drawn, |x| f64::midpoint(x, 1.0)) < critical());
    }

    #[test]
    fn normal_jitter_is_normal() {
        let drawn = sample(JitterDistribution::Normal);
        assert!(distance(&drawn, normal_cumulative) < critical());
    }

    #[test]
    fn pareto_jitter_is_a_pareto_brought_to_one_deviation() {
        let drawn = sample(JitterDistribution::Pareto);
        // The cut lies where x^(-1/3) = 4.5; mean and deviation of the cut Pareto in closed form.
        let cut: f64 = 4.5_f64.powi(-3);
        let mean = 1.5 * (1.0 - cut.powf(2.0 / 3.0)) + 4.5 * cut;
        let square = 3.0 * (1.0 - cut.cbrt()) + 4.5 * 4.5 * cut;
        let deviation = (square - mean * mean).sqrt();
        let largest = (4.5 - mean) / deviation;
        let cumulative = |x: f64| {
            if x >= largest - 1e-3 {
                1.0
            } else {
                1.0 - (x * deviation + mean).max(1.0).powi(-3)
            }
        };
        // The cut is a step of 1.1 %; the distance is taken below it.
        let below = drawn.partition_point(|&x| x < largest - 1e-3);
        assert!(((SAMPLES - below) as f64 / SAMPLES as f64 - cut).abs() < 0.001);
        let scaled = |x: f64| cumulative(x) / (1.0 - cut);
        assert!(distance(&drawn[..below], scaled) < critical());
    }

    #[test]
    fn every_table_realises_its_mean_and_deviation() {
        use JitterDistribution::{Normal, Pareto, ParetoNormal};
        for distribution in [Normal, Pareto, ParetoNormal] {
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
    fn a_delay_never_falls_below_zero_or_below_its_stated_least() {
        let jitter = Jitter {
            deviation: MILLISECOND,
            distribution: JitterDistribution::Normal,
            order: PacketOrder::Preserved,
        };
        let model = JitterModel::new(&jitter);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        assert_eq!(model.least(MILLISECOND), Duration::ZERO);
        let delay = Duration::from_millis(6);
        assert!((0..SAMPLES).all(|_| model.vary(delay, &mut rng) >= model.least(delay)));
    }
}
