//! Worlds of a few ranks on loopback.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Failed;
use longhaul_reports::result::Placement;
use longhaul_topologies::units::ByteSize;
use longhaul_workloads::collective::{Algorithm, Collective, DataType, ReduceOp};
use longhaul_workloads::congestion::{FixedWindow, Law};
use longhaul_workloads::message::{Paths, Recovery};
use longhaul_workloads::world::{
    MessageOptions, Operation, RankClock, RankSpec, TransportOptions, World, WorldError,
};
use nix::unistd::Pid;

/// Longest wait for anything, on a machine that does many other things.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What the kernel tells of a process after its name: from field 3, its state, on (proc_pid_stat(5)).
pub fn stat_fields(pid: Pid) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// The running ranks of the worlds whose commands carry `tag`, in rank order.
pub fn processes(tag: &str) -> Vec<Pid> {
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

pub async fn expect_right(world: &mut World, operation: &Operation) -> Result<(), Failed> {
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

pub async fn start(
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
pub async fn start_tagged(name: &str, ranks: usize) -> Result<(World, String), WorldError> {
    let tag = format!("{name}-{}", std::process::id());
    let specs = specs(&tag, &vec![0; ranks], LOOPBACK);
    Ok((
        World::start(specs, options(1), Duration::from_millis(1)).await?,
        tag,
    ))
}

pub fn specs(tag: &str, sites: &[usize], address: IpAddr) -> Vec<RankSpec> {
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
            line_rate: None,
        }
    };
    sites.iter().enumerate().map(spec).collect()
}

pub fn options(connections: usize) -> TransportOptions {
    TransportOptions {
        congestion_control: None,
        connections,
        socket_buffer: None,
        chunk_bytes: 16 << 10,
        message: None,
    }
}

/// Bytes that a queue pair has in flight in these tests.
pub const WINDOW: u64 = 256 << 10;

/// Queue pairs with packets of Ethernet's size, so that messages are many of them.
pub fn queue_pairs(paths: Paths) -> TransportOptions {
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
            ports: None,
        }),
        ..options(1)
    }
}

pub fn all_reduce(size_bytes: u64) -> Operation {
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

pub fn block_on(test: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(test)
}
