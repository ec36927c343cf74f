//! What connections and clocks tell.

use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use longhaul_workloads::message::Paths;
use longhaul_workloads::world::{RankClock, World};

use super::support::{
    LOOPBACK, PATIENCE, WINDOW, all_reduce, block_on, expect_right, options, queue_pairs, specs,
    start,
};

pub fn queue_pairs_tell_of_themselves() -> Result<(), Failed> {
    block_on(async {
        let transport = queue_pairs(Paths::default());
        let mut world = start(&[0, 1], LOOPBACK, transport).await?;
        let size = 8 << 20;
        expect_right(&mut world, &all_reduce(size)).await?;
        let samples = world.connection_samples();
        let last = |from| samples.iter().rfind(|sample| sample.from == from).cloned();
        for rank in 0..2 {
            let sample = last(rank).ok_or("no sample")?;
            assert_eq!((sample.to, sample.connection), (1 - rank, 0));
            assert_eq!(sample.cwnd_bytes, WINDOW);
            assert!(
                sample.rtt_us > 0 && sample.delivery_rate_bps > 0,
                "{sample:?}"
            );
            // Headers count; the last flight may be under way still.
            assert!(sample.bytes_acked + WINDOW > size, "{sample:?}");
        }
        world.stop().await;
        Ok(())
    })
}

pub fn samples_follow_the_bytes() -> Result<(), Failed> {
    block_on(async {
        let mut world = start(&[0; 2], LOOPBACK, options(2)).await?;
        for iteration in 0..3 {
            let result = world
                .iterate(&all_reduce(4_000_000), iteration, PATIENCE)
                .await?;
            assert_eq!(result.rank_times.len(), 2);
            assert_eq!(result.time, *result.rank_times.iter().max().unwrap());
            assert!(result.latest_start < result.time);
        }
        let samples = world.connection_samples();
        assert!(world.connection_samples().is_empty());
        for connection in 0..2 {
            let series: Vec<u64> = samples
                .iter()
                .filter(|sample| (sample.from, sample.to, sample.connection) == (0, 1, connection))
                .map(|sample| sample.bytes_acked)
                .collect();
            assert!(series.is_sorted(), "{series:?}");
            // Two iterations of a half over each of two connections lie behind the last sample for sure.
            assert!(*series.last().unwrap() >= 2 * 2_000_000, "{series:?}");
        }
        world.stop().await;
        Ok(())
    })
}

/// In a time namespace, a rank's CLOCK_MONOTONIC is another, as on another machine.
pub fn ranks_by_other_clocks_start_together_and_stamp_alike() -> Result<(), Failed> {
    const SHIFT: &str = "100000";
    let elsewhere = |program: &std::ffi::OsStr| {
        let mut command = Command::new("unshare");
        command.args(["--time", "--fork", "--monotonic", SHIFT, "--"]);
        command.arg(program);
        command
    };
    let allowed = elsewhere("true".as_ref()).output();
    if !allowed.is_ok_and(|ended| ended.status.success()) {
        println!("skipped: needs root and a kernel with time namespaces");
        return Ok(());
    }
    for transport in [options(2), queue_pairs(Paths::default())] {
        block_on(async {
            let mut specs = specs("", &[0, 1, 1], LOOPBACK);
            for spec in &mut specs[1..] {
                let own = std::mem::replace(&mut spec.command, Command::new(""));
                spec.command = elsewhere(own.get_program());
                spec.command.args(own.get_args());
                spec.clock = RankClock::Theirs;
            }
            let began = Instant::now();
            let mut world = World::start(specs, transport, Duration::from_millis(1)).await?;
            for number in 0..3 {
                let result = world
                    .iterate(&all_reduce(4_000_000), number, PATIENCE)
                    .await?;
                assert_eq!(result.wrong, 0);
                assert!(result.start > began && result.time < PATIENCE, "{result:?}");
                assert!(result.latest_start < result.time, "{result:?}");
            }
            let uncertainty = world.clock_uncertainty();
            assert!(!uncertainty.is_zero() && uncertainty < Duration::from_millis(50));
            let lasted = began.elapsed().as_nanos() as u64;
            let stamps: Vec<u64> = world.connection_samples().iter().map(|s| s.at_ns).collect();
            let (first, last) = (stamps.iter().min().unwrap(), stamps.iter().max().unwrap());
            assert!(last - first < lasted, "{first} to {last}");
            let mut latencies = world.arrivals().into_iter().flat_map(|one| one.latencies);
            assert!(latencies.all(|(ns, _)| ns > 0 && ns < lasted));
            world.stop().await;
            Ok(())
        })?;
    }
    Ok(())
}
