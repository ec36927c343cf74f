//! What probes would show of a channel's jitter if the lab did exactly as described.
//!
//! Not the described shape itself: a packet that may not overtake waits for the one before it, so the closer the probes
//! are, compared with the deviation, the longer and the more spread their delays. Probes 4 ms apart see a Pareto jitter of
//! 3 ms nearly half as wide again, and that is as it should be.

use std::time::Duration;

use longhaul_topologies::model::{Jitter, PacketOrder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::distribution;

/// Enough for quantiles within 1 %: far less than a few hundred real probes leave open.
const PROBES: u32 = 10_000;

/// How much longer than the channel's delay probes `interval` apart take, in deviations of `jitter`. The same every time.
pub(super) fn variations(jitter: &Jitter, interval: Duration) -> Vec<f64> {
    let Some(table) = distribution::table(&jitter.shape) else {
        return vec![0.0];
    };
    let apart = interval.as_secs_f64() / jitter.deviation.as_secs_f64();
    let mut draws = ChaCha8Rng::seed_from_u64(0);
    let mut last = f64::NEG_INFINITY;
    let probe = |number| {
        let sent = f64::from(number) * apart;
        let alone = sent + distribution::deviations(table[draws.random_range(0..table.len())]);
        let arrival = match jitter.order {
            PacketOrder::Preserved => alone.max(last),
            PacketOrder::ByDelay => alone,
        };
        last = arrival;
        arrival - sent
    };
    (0..PROBES).map(probe).collect()
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::{JitterDistribution, JitterShape};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Mean and standard deviation, in deviations.
    fn moments(order: PacketOrder, interval: Duration) -> (f64, f64) {
        let jitter = Jitter {
            deviation: MS,
            shape: JitterShape::Distribution(JitterDistribution::Normal),
            order,
        };
        let variations = variations(&jitter, interval);
        let count = variations.len() as f64;
        let mean = variations.iter().sum::<f64>() / count;
        let variance = variations.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt())
    }

    #[test]
    fn far_apart_or_free_to_overtake_probes_see_the_shape_itself() {
        for (order, interval) in [
            (PacketOrder::Preserved, 20 * MS),
            (PacketOrder::ByDelay, MS / 10),
        ] {
            let (mean, deviation) = moments(order, interval);
            assert!(mean.abs() < 0.03, "{order:?}: {mean}");
            assert!((deviation - 1.0).abs() < 0.03, "{order:?}: {deviation}");
        }
    }

    #[test]
    fn the_closer_they_are_the_longer_they_wait_for_each_other() {
        let means = [20, 2, 1].map(|interval| moments(PacketOrder::Preserved, interval * MS).0);
        assert!(means.is_sorted() && means[2] > means[0] + 0.2, "{means:?}");
    }
}
