//! Ring all_reduce on loopback, four ranks as processes: bus bandwidth and CPU time per byte moved.
//!
//! `cargo bench -p longhaul-workloads --bench all_reduce`. Its executable is its own rank program.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use longhaul_reports::result::Placement;
use longhaul_workloads::collective::{Algorithm, Collective, DataType, ReduceOp};
use longhaul_workloads::world::{Operation, RankClock, RankSpec, TransportOptions, World};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

const RANKS: usize = 4;
const SIZE: u64 = 16 << 20;
const ITERATIONS: u64 = 30;

fn main() {
    if std::env::args()
        .nth(1)
        .is_some_and(|argument| argument == "__rank")
    {
        std::process::exit(longhaul_workloads::rank::main());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    println!(
        "connections   busbw (GB/s)   p50 time (ms)   CPU of a rank per byte it sends (ns, with fill and check)"
    );
    for connections in [1, 4] {
        let before = children_cpu();
        let mut times = runtime.block_on(times(connections));
        let cpu = children_cpu() - before;
        times.sort();
        let median = times[times.len() / 2];
        let collective = Collective::AllReduce;
        let busbw = SIZE as f64 / median.as_secs_f64() * collective.bus_factor(RANKS) / 1e9;
        let sent_per_rank = SIZE as f64 * collective.bus_factor(RANKS) * ITERATIONS as f64;
        let per_byte = cpu.as_nanos() as f64 / RANKS as f64 / sent_per_rank;
        println!(
            "{connections:11}   {busbw:12.2}   {:13.2}   {per_byte:.2}",
            median.as_secs_f64() * 1e3
        );
    }
}

async fn times(connections: usize) -> Vec<Duration> {
    let transport = TransportOptions {
        congestion_control: None,
        connections,
        socket_buffer: None,
        chunk_bytes: 128 << 10,
        message: None,
    };
    let specs = (0..RANKS).map(|rank| {
        let mut command =
            Command::new(std::env::current_exe().expect("the bench runs from a file"));
        command.arg("__rank");
        RankSpec {
            host: format!("host-{rank}"),
            clock: RankClock::Ours,
            site: 0,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            command,
            line_rate: None,
        }
    });
    let mut world = World::start(specs.collect(), transport, Duration::from_millis(100))
        .await
        .expect("ranks start");
    let operation = Operation {
        collective: Collective::AllReduce,
        algorithm: Algorithm::Ring,
        data_type: DataType::F32,
        op: ReduceOp::Sum,
        root: 0,
        size_bytes: SIZE,
        placement: Placement::OutOfPlace,
        seed: 1,
    };
    let mut times = Vec::new();
    for iteration in 0..ITERATIONS {
        let result = world
            .iterate(&operation, iteration, Duration::from_secs(10))
            .await
            .expect("ranks run");
        assert_eq!(result.wrong, 0);
        times.push(result.time);
    }
    world.stop().await;
    times
}

/// CPU time of all children that have ended.
fn children_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage knows children");
    Duration::from_micros((usage.user_time() + usage.system_time()).num_microseconds() as u64)
}
