//! Worlds of real processes on loopback. The test executable is its own rank program: `__rank` as its argument makes it one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use longhaul_reports::result::Placement;
use longhaul_topologies::units::ByteSize;
use longhaul_workloads::collective::{Algorithm, Collective, DataType, ReduceOp};
use longhaul_workloads::congestion::{FixedWindow, Law};
use longhaul_workloads::message::{PathChoice, Paths, Recovery};
use longhaul_workloads::replay::part::Part;
use longhaul_workloads::replay::source::TraceSource;
use longhaul_workloads::replay::terms::Terms;
use longhaul_workloads::world::{
    MessageOptions, Operation, RankClock, RankSpec, TransportOptions, World, WorldError,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(5);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A trial's body.
type Test = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    if std::env::args()
        .nth(1)
        .is_some_and(|argument| argument == "__rank")
    {
        return ExitCode::from(longhaul_workloads::rank::main() as u8);
    }
    let trials: [(&str, Test); 19] = [
        (
            "every_collective_and_algorithm_is_right",
            every_collective_and_algorithm_is_right,
        ),
        (
            "every_type_and_operator_is_right",
            every_type_and_operator_is_right,
        ),
        (
            "several_connections_carry_one_message",
            several_connections_carry_one_message,
        ),
        ("ipv6_works_alike", ipv6_works_alike),
        (
            "queue_pairs_do_every_collective",
            queue_pairs_do_every_collective,
        ),
        (
            "queue_pairs_tell_of_themselves",
            queue_pairs_tell_of_themselves,
        ),
        (
            "a_killed_rank_is_named_over_queue_pairs",
            a_killed_rank_is_named_over_queue_pairs,
        ),
        (
            "a_trace_is_played_with_its_groups_and_transfers",
            a_trace_is_played_with_its_groups_and_transfers,
        ),
        (
            "computing_hides_communication_that_does_not_wait_for_it",
            computing_hides_communication_that_does_not_wait_for_it,
        ),
        ("samples_follow_the_bytes", samples_follow_the_bytes),
        (
            "ranks_by_other_clocks_start_together_and_stamp_alike",
            ranks_by_other_clocks_start_together,
        ),
        ("a_killed_rank_is_named", a_killed_rank_is_named),
        ("a_stopped_rank_is_named", a_stopped_rank_is_named),
        (
            "a_stopped_leaf_that_nobody_waits_for_is_named",
            a_stopped_leaf_that_nobody_waits_for_is_named,
        ),
        (
            "a_rank_that_does_not_start_is_named_with_its_last_words",
            a_rank_that_does_not_start_is_named,
        ),
        (
            "an_address_that_is_not_the_hosts_is_told",
            an_address_that_is_not_the_hosts_is_told,
        ),
        (
            "an_unknown_congestion_control_is_told",
            an_unknown_congestion_control_is_told,
        ),
        (
            "what_cannot_be_done_is_refused_and_the_world_goes_on",
            what_cannot_be_done_is_refused,
        ),
        (
            "no_process_outlives_its_world",
            no_process_outlives_its_world,
        ),
    ];
    let arguments = Arguments::from_args();
    libtest_mimic::run(
        &arguments,
        trials
            .into_iter()
            .map(|(name, test)| Trial::test(name, test))
            .collect(),
    )
    .exit_code()
}

fn every_collective_and_algorithm_is_right() -> Result<(), Failed> {
    for (ranks, connections) in [(1, 1), (2, 4), (3, 1), (5, 4)] {
        block_on(async {
            let sites: Vec<usize> = (0..ranks).map(|rank| rank * 2 / ranks).collect();
            let mut world = start(&sites, LOOPBACK, options(connections)).await?;
            for collective in Collective::ALL {
                for &algorithm in collective.algorithms() {
                    for placement in [Placement::OutOfPlace, Placement::InPlace] {
                        for size_bytes in [40, 1_000, 300_004] {
                            let operation = Operation {
                                collective,
                                algorithm,
                                placement,
                                size_bytes,
                                root: ranks - 1,
                                ..all_reduce(size_bytes)
                            };
                            expect_right(&mut world, &operation).await?;
                        }
                    }
                }
            }
            world.stop().await;
            Ok(())
        })?;
    }
    Ok(())
}

fn queue_pairs_do_every_collective() -> Result<(), Failed> {
    let choices = [
        (PathChoice::Hash, 1, LOOPBACK),
        (PathChoice::Spray, 3, LOOPBACK),
        (PathChoice::Adaptive, 2, IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    for (choice, count, address) in choices {
        block_on(async {
            let transport = queue_pairs(Paths { choice, count });
            let mut world = start(&[0, 0, 1, 1], address, transport).await?;
            for collective in Collective::ALL {
                for &algorithm in collective.algorithms() {
                    for size_bytes in [40, 300_004] {
                        let operation = Operation {
                            collective,
                            algorithm,
                            root: 2,
                            ..all_reduce(size_bytes)
                        };
                        expect_right(&mut world, &operation).await?;
                    }
                }
            }
            world.stop().await;
            Ok(())
        })?;
    }
    Ok(())
}

/// Four ranks of two stages: every kind of node, element types by turns, orders that differ between ranks.
const TRACE: &str = "
name: stages
groups: {first: [0, 1], second: [3, 2], across: [1, 2]}
nodes:
  - {name: f0, compute: 2ms, group: first}
  - {send: 300004, from: 0, to: 2}
  - {send: 100, from: 1, to: 3, data_type: bf16}
  - {name: f1, compute: 1ms, group: second}
  - {send: 200000, from: 2, to: 0, data_type: f64}
  - {name: sums, all_reduce: 1000004, group: second, data_type: bf16, after: []}
  - {reduce_scatter: 65544, group: across, op: max, data_type: i64}
  - {all_gather: 65544, group: across, after: []}
  - {broadcast: 70000, root: 3}
  - {all_to_all: 80000, data_type: i32}
  - {send_recv: 5000, group: second}
  - {all_reduce: 300000, op: min, after: []}
";

/// The parts of all ranks of a trace in a file of `text`.
fn parts(text: &str, ranks: usize) -> Result<Vec<Part>, Failed> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("trace.yaml"), text)?;
    let source = TraceSource::open("trace.yaml", folder.path())?;
    let trace = source.trace(ranks)?;
    let terms = Terms::default();
    Ok((0..ranks).map(|rank| trace.part(rank, &terms, 1)).collect())
}

fn a_trace_is_played_with_its_groups_and_transfers() -> Result<(), Failed> {
    let paths = Paths {
        choice: PathChoice::Spray,
        count: 2,
    };
    for transport in [options(3), queue_pairs(paths)] {
        block_on(async {
            let mut world = start(&[0, 0, 1, 1], LOOPBACK, transport).await?;
            expect_right(&mut world, &all_reduce(1_000)).await?;
            let parts = parts(TRACE, 4)?;
            let steps: Vec<usize> = parts.iter().map(|part| part.steps.len()).collect();
            world.learn(parts).await;
            for iteration in 0..3 {
                let step = world.replay(iteration, PATIENCE).await?;
                assert_eq!(step.iteration.wrong, 0);
                let played: Vec<usize> = step.spans.iter().map(Vec::len).collect();
                assert_eq!(played, steps);
            }
            // A world that has played a trace is one like any other.
            expect_right(&mut world, &all_reduce(1_000)).await?;
            assert_eq!(world.replay(9, PATIENCE).await?.iteration.wrong, 0);
            world.stop().await;
            Ok(())
        })?;
    }
    Ok(())
}

fn computing_hides_communication_that_does_not_wait_for_it() -> Result<(), Failed> {
    let text = "
name: overlap
nodes:
  - {name: first, compute: 20ms}
  - {all_reduce: 4KiB, after: [first]}
  - {compute: 300ms, after: [first]}
";
    for transport in [options(1), queue_pairs(Paths::default())] {
        block_on(async {
            let mut world = start(&[0, 1], LOOPBACK, transport).await?;
            world.learn(parts(text, 2)?).await;
            world.replay(0, PATIENCE).await?;
            let step = world.replay(1, PATIENCE).await?;
            // However busy the machine is, nothing is shorter than what it waits for, and the sums do not wait for the end.
            assert!(step.iteration.time >= Duration::from_millis(320));
            for spans in &step.spans {
                let [first, sum, rest] = spans[..] else {
                    return Err("three nodes".into());
                };
                assert_eq!(rest.began_ns, first.ended_ns);
                assert_eq!(rest.ended_ns - rest.began_ns, 300_000_000);
                assert!(sum.began_ns >= first.ended_ns && sum.ended_ns < rest.ended_ns);
            }
            world.stop().await;
            Ok(())
        })?;
    }
    Ok(())
}

fn queue_pairs_tell_of_themselves() -> Result<(), Failed> {
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

fn a_killed_rank_is_named_over_queue_pairs() -> Result<(), Failed> {
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

fn every_type_and_operator_is_right() -> Result<(), Failed> {
    block_on(async {
        let mut world = start(&[0; 3], LOOPBACK, options(1)).await?;
        for data_type in DataType::ALL {
            for op in ReduceOp::ALL {
                for collective in [Collective::AllReduce, Collective::ReduceScatter] {
                    let operation = Operation {
                        collective,
                        data_type,
                        op,
                        ..all_reduce(50_000)
                    };
                    expect_right(&mut world, &operation).await?;
                }
            }
        }
        world.stop().await;
        Ok(())
    })
}

fn several_connections_carry_one_message() -> Result<(), Failed> {
    block_on(async {
        let mut world = start(&[0, 1], LOOPBACK, options(16)).await?;
        for size_bytes in [4, 12, 64, 1_000_000] {
            expect_right(&mut world, &all_reduce(size_bytes)).await?;
        }
        world.stop().await;
        Ok(())
    })
}

fn ipv6_works_alike() -> Result<(), Failed> {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: no IPv6 loopback");
        return Ok(());
    }
    block_on(async {
        let mut world = start(&[0, 1], "::1".parse()?, options(2)).await?;
        expect_right(&mut world, &all_reduce(100_000)).await?;
        world.stop().await;
        Ok(())
    })
}

fn samples_follow_the_bytes() -> Result<(), Failed> {
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
fn ranks_by_other_clocks_start_together() -> Result<(), Failed> {
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

fn a_killed_rank_is_named() -> Result<(), Failed> {
    block_on(async {
        let (mut world, tag) = start_tagged("killed", 4).await?;
        let victim = processes(&tag)[2];
        let (result, took) = disturb(&mut world, Algorithm::Ring, victim, Signal::SIGKILL).await;
        match result {
            WorldError::RankDied { rank: 2, host, how } => {
                assert_eq!(
                    (host.as_str(), how.as_str()),
                    ("host-2", "was killed by signal 9")
                );
            }
            other => return Err(format!("not the killed rank: {other}").into()),
        }
        assert!(took < Duration::from_secs(3), "took {took:?}");
        let again = world
            .iterate(&all_reduce(1000), 0, PATIENCE)
            .await
            .unwrap_err()
            .to_string();
        assert!(again.contains("an earlier operation failed"), "{again}");
        Ok(())
    })
}

fn a_stopped_rank_is_named() -> Result<(), Failed> {
    block_on(async {
        let (mut world, tag) = start_tagged("stopped", 4).await?;
        let victim = processes(&tag)[1];
        let (result, took) = disturb(&mut world, Algorithm::Ring, victim, Signal::SIGSTOP).await;
        assert!(
            matches!(&result, WorldError::Silent { rank: 1, host, .. } if host == "host-1"),
            "{result}"
        );
        assert!(took < PATIENCE + Duration::from_secs(5), "took {took:?}");
        drop(world);
        Ok(())
    })
}

fn a_stopped_leaf_that_nobody_waits_for_is_named() -> Result<(), Failed> {
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

fn a_rank_that_does_not_start_is_named() -> Result<(), Failed> {
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

fn an_address_that_is_not_the_hosts_is_told() -> Result<(), Failed> {
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

fn an_unknown_congestion_control_is_told() -> Result<(), Failed> {
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

fn what_cannot_be_done_is_refused() -> Result<(), Failed> {
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

fn no_process_outlives_its_world() -> Result<(), Failed> {
    block_on(async {
        let (world, tag) = start_tagged("stopped-world", 4).await?;
        assert_eq!(processes(&tag).len(), 4);
        world.stop().await;
        assert_eq!(processes(&tag), []);

        let (world, tag) = start_tagged("dropped-world", 4).await?;
        freeze(processes(&tag)[3]);
        drop(world);
        let deadline = Instant::now() + Duration::from_secs(5);
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

/// Iterates until a signal, sent while an iteration runs, ends it; also how long after the signal that was.
async fn disturb(
    world: &mut World,
    algorithm: Algorithm,
    victim: Pid,
    signal: Signal,
) -> (WorldError, Duration) {
    let operation = Operation {
        algorithm,
        ..all_reduce(64 << 20)
    };
    let signalled = tokio::task::spawn_blocking(move || {
        // Data flows once the victim has connected: its sockets carry more than a few bytes by now or soon.
        let deadline = Instant::now() + Duration::from_secs(20);
        while cpu_ticks(victim) < 2 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        kill(victim, signal).expect("the rank runs");
        Instant::now()
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut iteration = 0;
    loop {
        assert!(Instant::now() < deadline, "the signal was never noticed");
        if let Err(error) = world
            .iterate(&operation, iteration, Duration::from_secs(2))
            .await
        {
            return (error, signalled.await.unwrap().elapsed());
        }
        iteration += 1;
    }
}

/// Stops a process and waits until it stands still: the signal takes effect when one of its threads is next scheduled.
fn freeze(pid: Pid) {
    kill(pid, Signal::SIGSTOP).expect("the rank runs");
    let deadline = Instant::now() + Duration::from_secs(5);
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

/// What the kernel tells of a process after its name: from field 3, its state, on (proc_pid_stat(5)).
fn stat_fields(pid: Pid) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// The running ranks of the worlds whose commands carry `tag`, in rank order.
fn processes(tag: &str) -> Vec<Pid> {
    let mut found: Vec<(String, Pid)> = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("a /proc").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let command_line =
            std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let mut arguments = command_line.split('\0').skip(1);
        if (arguments.next(), arguments.next()) == (Some("__rank"), Some(tag)) {
            found.push((
                arguments.next().unwrap_or_default().to_owned(),
                Pid::from_raw(pid),
            ));
        }
    }
    found.sort_by_key(|(rank, _)| rank.parse::<usize>().ok());
    found.into_iter().map(|(_, pid)| pid).collect()
}

async fn expect_right(world: &mut World, operation: &Operation) -> Result<(), Failed> {
    for iteration in 0..2 {
        let result = world
            .iterate(operation, iteration, PATIENCE)
            .await
            .map_err(|error| format!("{operation:?}: {error}"))?;
        if result.wrong != 0 {
            return Err(format!("{operation:?}: {} elements are wrong", result.wrong).into());
        }
    }
    Ok(())
}

async fn start(
    sites: &[usize],
    address: IpAddr,
    transport: TransportOptions,
) -> Result<World, WorldError> {
    World::start(
        specs("", sites, address),
        transport,
        Duration::from_millis(1),
    )
    .await
}

/// A world whose processes [`processes`] finds, by a tag of this run of the tests.
async fn start_tagged(name: &str, ranks: usize) -> Result<(World, String), WorldError> {
    let tag = format!("{name}-{}", std::process::id());
    let specs = specs(&tag, &vec![0; ranks], LOOPBACK);
    Ok((
        World::start(specs, options(1), Duration::from_millis(1)).await?,
        tag,
    ))
}

fn specs(tag: &str, sites: &[usize], address: IpAddr) -> Vec<RankSpec> {
    let program = std::env::current_exe().expect("the test runs from a file");
    let spec = |(rank, &site): (usize, &usize)| {
        let mut command = Command::new(&program);
        command.args(["__rank", tag, &rank.to_string()]);
        RankSpec {
            host: format!("host-{rank}"),
            clock: RankClock::Ours,
            site,
            address,
            command,
        }
    };
    sites.iter().enumerate().map(spec).collect()
}

fn options(connections: usize) -> TransportOptions {
    TransportOptions {
        congestion_control: None,
        connections,
        socket_buffer: None,
        chunk_bytes: 16 << 10,
        message: None,
    }
}

/// Bytes that a queue pair has in flight in these tests.
const WINDOW: u64 = 256 << 10;

/// Queue pairs with packets of Ethernet's size, so that messages are many of them.
fn queue_pairs(paths: Paths) -> TransportOptions {
    let law = Law::FixedWindow(FixedWindow {
        window: ByteSize::from_bytes(WINDOW),
    });
    TransportOptions {
        message: Some(MessageOptions {
            law,
            line_rate: None,
            recovery: Recovery::SelectiveRepeat,
            erasure: None,
            paths,
            mtu: Some(1500),
            hops: 0,
            credits: None,
            playout: None,
        }),
        ..options(1)
    }
}

fn all_reduce(size_bytes: u64) -> Operation {
    Operation {
        collective: Collective::AllReduce,
        algorithm: Algorithm::Ring,
        data_type: DataType::F32,
        op: ReduceOp::Sum,
        root: 0,
        size_bytes,
        placement: Placement::OutOfPlace,
        seed: 42,
    }
}

fn block_on(test: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(test)
}
