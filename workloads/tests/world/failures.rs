//! Whoever is missing is named, and nothing is left behind.

use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use longhaul_workloads::collective::{Algorithm, Collective};
use longhaul_workloads::message::Paths;
use longhaul_workloads::world::{Operation, TransportOptions, World, WorldError};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{
    LOOPBACK, PATIENCE, all_reduce, block_on, expect_right, options, processes, queue_pairs, specs,
    start, start_tagged, stat_fields,
};

pub fn a_killed_rank_is_named_over_queue_pairs() -> Result<(), Failed> {
    block_on(async {
        let tag = format!("queue-pairs-killed-{}", std::process::id());
        let specs = specs(&tag, &[0; 3], LOOPBACK);
        let transport = queue_pairs(Paths::default());
        let mut world = World::start(specs, transport, Duration::from_millis(1)).await?;
        expect_right(&mut world, &all_reduce(1_000)).await?;
        let victims = processes(&tag);
        let victim = victims.get(1).copied().ok_or("no rank 1")?;
        kill(victim, Signal::SIGKILL)?;
        let error = world
            .iterate(&all_reduce(64 << 20), 1, PATIENCE)
            .await
            .expect_err("a rank is gone");
        assert!(error.to_string().starts_with("rank 1 on host-1"), "{error}");
        Ok(())
    })
}

pub fn a_killed_rank_is_named() -> Result<(), Failed> {
    block_on(async {
        let (mut world, tag) = start_tagged("killed", 4).await?;
        let victim = processes(&tag)[2];
        let result = disturb(&mut world, Algorithm::Ring, victim, Signal::SIGKILL).await;
        match result {
            WorldError::RankDied { rank: 2, host, how } => {
                assert_eq!(
                    (host.as_str(), how.as_str()),
                    ("host-2", "was killed by signal 9")
                );
            }
            other => return Err(format!("not the killed rank: {other}").into()),
        }
        let again = world
            .iterate(&all_reduce(1000), 0, PATIENCE)
            .await
            .unwrap_err()
            .to_string();
        assert!(again.contains("an earlier operation failed"), "{again}");
        Ok(())
    })
}

pub fn a_stopped_rank_is_named() -> Result<(), Failed> {
    block_on(async {
        let (mut world, tag) = start_tagged("stopped", 4).await?;
        let victim = processes(&tag)[1];
        let result = disturb(&mut world, Algorithm::Ring, victim, Signal::SIGSTOP).await;
        assert!(
            matches!(&result, WorldError::Silent { rank: 1, host, .. } if host == "host-1"),
            "{result}"
        );
        Ok(())
    })
}

pub fn a_stopped_leaf_that_nobody_waits_for_is_named() -> Result<(), Failed> {
    block_on(async {
        let (mut world, tag) = start_tagged("leaf", 3).await?;
        let operation = Operation {
            collective: Collective::Broadcast,
            ..all_reduce(1000)
        };
        expect_right(&mut world, &operation).await?;
        freeze(processes(&tag)[2]);
        let error = world
            .iterate(&operation, 1, Duration::from_secs(1))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, WorldError::Silent { rank: 2, .. }),
            "{error}"
        );
        Ok(())
    })
}

pub fn a_rank_that_does_not_start_is_named_with_its_last_words() -> Result<(), Failed> {
    block_on(async {
        let mut specs = specs("", &[0; 2], LOOPBACK);
        specs[1].command = Command::new("sh");
        specs[1].command.args(["-c", "echo no luck >&2; exit 7"]);
        let error = World::start(specs, options(1), Duration::from_millis(10))
            .await
            .unwrap_err()
            .to_string();
        assert_eq!(error, "rank 1 on host-1 exited with code 7: no luck");
        Ok(())
    })
}

pub fn an_address_that_is_not_the_hosts_is_told() -> Result<(), Failed> {
    block_on(async {
        let mut specs = specs("", &[0; 2], LOOPBACK);
        // TEST-NET-1 (RFC 5737): nobody's.
        specs[1].address = "192.0.2.1".parse()?;
        let error = World::start(specs, options(1), Duration::from_millis(10))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cannot listen on 192.0.2.1 for rank 1 on host-1: "),
            "{error}"
        );
        Ok(())
    })
}

pub fn an_unknown_congestion_control_is_told() -> Result<(), Failed> {
    block_on(async {
        let transport = TransportOptions {
            congestion_control: Some("no_such".into()),
            ..options(1)
        };
        let error = start(&[0; 2], LOOPBACK, transport)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("use congestion control no_such"), "{error}");
        Ok(())
    })
}

pub fn what_cannot_be_done_is_refused_and_the_world_goes_on() -> Result<(), Failed> {
    block_on(async {
        let mut world = start(&[0; 3], LOOPBACK, options(1)).await?;
        let small = Operation {
            collective: Collective::AllGather,
            ..all_reduce(8)
        };
        let error = world.iterate(&small, 0, PATIENCE).await.unwrap_err();
        assert!(matches!(&error, WorldError::Unsupported(_)), "{error}");
        let direct = Operation {
            algorithm: Algorithm::Direct,
            ..all_reduce(1000)
        };
        assert!(world.iterate(&direct, 0, PATIENCE).await.is_err());
        expect_right(&mut world, &all_reduce(1000)).await?;
        world.stop().await;
        Ok(())
    })
}

pub fn no_process_outlives_its_world() -> Result<(), Failed> {
    block_on(async {
        let (world, tag) = start_tagged("stopped-world", 4).await?;
        assert_eq!(processes(&tag).len(), 4);
        world.stop().await;
        assert_eq!(processes(&tag), []);

        let (world, tag) = start_tagged("dropped-world", 4).await?;
        freeze(processes(&tag)[3]);
        drop(world);
        let deadline = Instant::now() + PATIENCE;
        while !processes(&tag).is_empty() {
            assert!(
                Instant::now() < deadline,
                "still there: {:?}",
                processes(&tag)
            );
            tokio::task::yield_now().await;
        }
        Ok(())
    })
}

/// Iterates until a signal, sent while an iteration runs, ends it.
async fn disturb(
    world: &mut World,
    algorithm: Algorithm,
    victim: Pid,
    signal: Signal,
) -> WorldError {
    let operation = Operation {
        algorithm,
        ..all_reduce(64 << 20)
    };
    let signalled = tokio::task::spawn_blocking(move || {
        // Data flows once the victim has connected: its sockets carry more than a few bytes by now or soon.
        let deadline = Instant::now() + PATIENCE;
        while cpu_ticks(victim) < 2 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        kill(victim, signal).expect("the rank runs");
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut iteration = 0;
    loop {
        assert!(Instant::now() < deadline, "the signal was never noticed");
        if let Err(error) = world
            .iterate(&operation, iteration, Duration::from_secs(5))
            .await
        {
            signalled.await.unwrap();
            return error;
        }
        iteration += 1;
    }
}

/// Stops a process and waits until it stands still: the signal takes effect when one of its threads is next scheduled.
fn freeze(pid: Pid) {
    kill(pid, Signal::SIGSTOP).expect("the rank runs");
    let deadline = Instant::now() + PATIENCE;
    while stat_fields(pid).first().is_none_or(|state| state != "T") {
        assert!(Instant::now() < deadline, "it does not stop");
        std::thread::yield_now();
    }
}

/// User and system time of a process, in clock ticks.
fn cpu_ticks(pid: Pid) -> u64 {
    stat_fields(pid)
        .iter()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum()
}
