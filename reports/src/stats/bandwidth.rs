//! nccl-tests' bandwidths and the summary of a point's iterations (nccl-tests, doc/PERFORMANCE.md).

use std::collections::BTreeMap;

use crate::result::{Bound, Placement, Sample, Summary};
use crate::stats::{mean, percentile, sorted, stdev};

/// A collective whose bus bandwidth is not defined here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no bus bandwidth is defined for the collective `{0}`")]
pub struct UnknownCollective(pub String);

/// Algorithm bandwidth: bytes of the whole array over the time, in 1e9 bytes per second.
pub fn algbw_gbps(size_bytes: u64, time_us: f64) -> f64 {
    size_bytes as f64 / time_us / 1e3
}

/// What algorithm bandwidth is multiplied by to get bus bandwidth, the load of the busiest port: it depends on
/// the collective (by nccl-tests' name, or longhaul's) and the number of ranks.
///
/// # Errors
/// If the collective is none that nccl-tests knows.
pub fn bus_factor(collective: &str, ranks: usize) -> Result<f64, UnknownCollective> {
    let ranks = ranks.max(1) as f64;
    let others = (ranks - 1.0) / ranks;
    match collective {
        "all_reduce" => Ok(2.0 * others),
        "all_gather" | "reduce_scatter" | "all_to_all" | "alltoall" | "gather" | "scatter" => {
            Ok(others)
        }
        "broadcast" | "reduce" | "send_recv" | "sendrecv" | "pairs" => Ok(1.0),
        other => Err(UnknownCollective(other.to_owned())),
    }
}

/// One row per size and placement, by size, out-of-place first; warm-up iterations are left out, and a size
/// that had no other iteration has no row.
///
/// The bandwidths are those of the mean time, as in nccl-tests. `bound_share` is there for the sizes that
/// `bound` has a time for.
///
/// # Errors
/// If `collective` has no bus bandwidth.
pub fn summarise(
    samples: &[Sample],
    collective: &str,
    ranks: usize,
    bound: Option<&Bound>,
) -> Result<Vec<Summary>, UnknownCollective> {
    let factor = bus_factor(collective, ranks)?;
    let mut groups: BTreeMap<(u64, Placement), Vec<&Sample>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| !sample.warmup) {
        groups
            .entry((sample.size_bytes, sample.placement))
            .or_default()
            .push(sample);
    }
    Ok(groups
        .values()
        .filter_map(|group| row(group, factor, bound))
        .collect())
}

/// The mean bus bandwidth over all sizes and placements, as nccl-tests' `# Avg bus bandwidth` line has it.
pub fn average_busbw(summaries: &[Summary]) -> Option<f64> {
    mean(
        &summaries
            .iter()
            .map(|summary| summary.busbw_gbps)
            .collect::<Vec<_>>(),
    )
}

/// The summary of the iterations of one size and placement.
fn row(group: &[&Sample], factor: f64, bound: Option<&Bound>) -> Option<Summary> {
    let first = group.first()?;
    let times = sorted(
        &group
            .iter()
            .map(|sample| sample.time_us)
            .collect::<Vec<_>>(),
    );
    let time_us = mean(&times)?;
    let algbw = algbw_gbps(first.size_bytes, time_us);
    let bound_time = bound.and_then(|bound| {
        bound
            .times
            .iter()
            .find(|time| time.size_bytes == first.size_bytes)
    });
    Some(Summary {
        size_bytes: first.size_bytes,
        count: first.count,
        placement: first.placement,
        iterations: times.len() as u64,
        time_us,
        algbw_gbps: algbw,
        busbw_gbps: algbw * factor,
        p50_us: percentile(&times, 50.0)?,
        p95_us: percentile(&times, 95.0)?,
        p99_us: percentile(&times, 99.0)?,
        stdev_us: stdev(&times),
        wrong: group.iter().map(|sample| sample.wrong).sum(),
        bound_share: bound_time.map(|bound| bound.time_us / time_us),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::BoundTime;

    fn sample(size_bytes: u64, placement: Placement, iteration: u64, time_us: f64) -> Sample {
        let (warmup, wrong) = (iteration == 0, iteration);
        Sample {
            size_bytes,
            count: size_bytes / 4,
            placement,
            iteration,
            warmup,
            start_s: 0.0,
            time_us,
            wrong,
        }
    }

    #[test]
    fn bus_factors_are_those_of_nccl_tests() {
        let expected = [
            ("all_reduce", 1.5),
            ("all_gather", 0.75),
            ("reduce_scatter", 0.75),
            ("all_to_all", 0.75),
        ];
        for (collective, factor) in expected
            .into_iter()
            .chain([("broadcast", 1.0), ("send_recv", 1.0)])
        {
            assert_eq!(bus_factor(collective, 4), Ok(factor), "{collective}");
        }
        assert_eq!(bus_factor("all_reduce", 1), Ok(0.0));
        assert_eq!(
            bus_factor("gossip", 4),
            Err(UnknownCollective("gossip".to_owned()))
        );
    }

    #[test]
    fn summaries_leave_warmup_out_and_come_by_size_then_placement() {
        let mut samples = Vec::new();
        for (size, placement) in [
            (2000, Placement::InPlace),
            (1000, Placement::InPlace),
            (1000, Placement::OutOfPlace),
        ] {
            samples.extend(
                [(0, 900.0), (1, 10.0), (2, 30.0)]
                    .map(|(i, time)| sample(size, placement, i, time)),
            );
        }
        let bound = Bound {
            busbw_bps: 1e9,
            reason: String::new(),
            times: vec![BoundTime {
                size_bytes: 1000,
                time_us: 15.0,
            }],
        };
        let rows = summarise(&samples, "all_reduce", 4, Some(&bound)).unwrap();

        let keys: Vec<_> = rows
            .iter()
            .map(|row| (row.size_bytes, row.placement))
            .collect();
        assert_eq!(
            keys,
            [
                (1000, Placement::OutOfPlace),
                (1000, Placement::InPlace),
                (2000, Placement::InPlace)
            ]
        );
        let first = &rows[0];
        assert_eq!((first.iterations, first.time_us, first.wrong), (2, 20.0, 3));
        // 1000 bytes in 20 µs are 0.05e9 bytes per second.
        assert_eq!((first.algbw_gbps, first.busbw_gbps), (0.05, 0.05 * 1.5));
        assert_eq!(
            (first.p50_us, first.p99_us, first.bound_share),
            (10.0, 30.0, Some(0.75))
        );
        assert_eq!(rows[2].bound_share, None);
        let average = average_busbw(&rows).unwrap();
        assert!((average - 0.1).abs() < 1e-12, "{average}");
    }

    #[test]
    fn sizes_with_warmup_only_have_no_row() {
        let samples = [sample(1000, Placement::OutOfPlace, 0, 10.0)];
        assert_eq!(summarise(&samples, "all_reduce", 4, None), Ok(Vec::new()));
    }
}
