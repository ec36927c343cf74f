//! One pair of ranks over a veth between two namespaces: queue pairs beside kernel TCP and bare UDP, in one run.
//!
//! `cargo bench -p longhaul-workloads --bench message`, as root or where users may make namespaces. Its executable is its own
//! rank program. The CPU time is all of the kernel's and the ranks' own, with the filling and checking of data, but for bare
//! UDP, which has none.

#[path = "../../emulator/tests/support/pair.rs"]
#[allow(dead_code, reason = "what it has for the relay is not measured here")]
mod pair;

use std::fs::File;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use longhaul_reports::result::Placement;
use longhaul_topologies::units::{ByteSize, Rate};
use longhaul_workloads::collective::{Algorithm, Collective, DataType, ReduceOp};
use longhaul_workloads::congestion::{FixedWindow, Law};
use longhaul_workloads::message::{PathChoice, Paths, Recovery};
use longhaul_workloads::world::{
    MessageOptions, Operation, RankClock, RankSpec, TransportOptions, World,
};
use nix::sched::{CloneFlags, setns};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg, setsockopt, sockopt};
use nix::sys::time::TimeValLike;
use pair::{A, B, Host, Join, Pair, ip};

const SIZE: u64 = 256 << 20;
const ITERATIONS: u64 = 8;
/// What a receive buffer holds and a little: nothing is dropped, and the way is always full.
const WINDOW: u64 = 8 << 20;
/// Of a port that paces what its queue pairs send.
const PORT: Rate = Rate::from_bits_per_second(10_000_000_000);
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> io::Result<()> {
    if std::env::args()
        .nth(1)
        .is_some_and(|argument| argument == "__rank")
    {
        std::process::exit(longhaul_workloads::rank::main());
    }
    // Before any other thread starts: a user namespace is entered by a process of one thread.
    pair::enter_namespace()?;
    let pair = Pair::new(Join::Bare)?;
    pair.introduce()?;
    pair.set_tcp_buffers(WINDOW)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!(" MTU   transport    Gbit/s   CPU s/Gbit");
    for mtu in [1500, 4096, 9000] {
        for host in [&pair.a, &pair.b] {
            host.run(move || ip(&format!("link set eth0 mtu {mtu}")))?;
        }
        for (name, message) in [
            ("tcp", None),
            ("message", Some(message(1, None))),
            ("4 paths", Some(message(4, None))),
            ("16 paths", Some(message(16, None))),
            ("16, paced", Some(message(16, Some(PORT)))),
        ] {
            let cpu = cpu(UsageWho::RUSAGE_CHILDREN);
            let (bits, time) = runtime.block_on(transfer(&pair, message));
            row(
                mtu,
                name,
                bits,
                time,
                cpu_since(UsageWho::RUSAGE_CHILDREN, cpu),
            );
        }
        let cpu = cpu(UsageWho::RUSAGE_SELF);
        let (bits, time) = flood(&pair, mtu)?;
        row(
            mtu,
            "bare UDP",
            bits,
            time,
            cpu_since(UsageWho::RUSAGE_SELF, cpu),
        );
    }
    Ok(())
}

fn row(mtu: usize, name: &str, bits: f64, time: Duration, cpu: Duration) {
    let rate = bits / time.as_secs_f64() / 1e9;
    let per_gigabit = cpu.as_secs_f64() / (bits / 1e9);
    println!("{mtu:4}   {name:9}   {rate:7.2}   {per_gigabit:10.3}");
}

/// Packet by packet in turn over so many paths, each with a socket of its own, from a port of that rate.
fn message(paths: u8, line_rate: Option<Rate>) -> MessageOptions {
    MessageOptions {
        law: Law::FixedWindow(FixedWindow {
            window: ByteSize::from_bytes(WINDOW),
        }),
        line_rate,
        recovery: Recovery::SelectiveRepeat,
        erasure: None,
        paths: Paths {
            choice: PathChoice::Spray,
            count: paths,
        },
        mtu: None,
        hops: 0,
        credits: None,
        playout: None,
        ports: None,
    }
}

/// Broadcasts from one rank to the other: bits that were carried, and the median time of one array times how many.
async fn transfer(pair: &Pair, message: Option<MessageOptions>) -> (f64, Duration) {
    let line_rate = message.as_ref().and_then(|message| message.line_rate);
    let transport = TransportOptions {
        congestion_control: None,
        connections: 1,
        socket_buffer: None,
        chunk_bytes: 256 << 10,
        message,
    };
    let ranks = [(&pair.a, A), (&pair.b, B)];
    let ranks = ranks.map(|(host, address)| rank(host, address, line_rate));
    let mut world = World::start(ranks.into(), transport, Duration::from_millis(100))
        .await
        .expect("ranks start");
    let operation = Operation {
        collective: Collective::Broadcast,
        algorithm: Algorithm::Ring,
        data_type: DataType::F32,
        op: ReduceOp::Sum,
        root: 0,
        size_bytes: SIZE,
        placement: Placement::InPlace,
        seed: 1,
    };
    let mut times = Vec::new();
    for iteration in 0..ITERATIONS {
        let result = world
            .iterate(&operation, iteration, PATIENCE)
            .await
            .expect("ranks run");
        assert_eq!(result.wrong, 0);
        times.push(result.time);
    }
    world.stop().await;
    times.sort();
    let median = times[times.len() / 2];
    ((SIZE * ITERATIONS * 8) as f64, median * ITERATIONS as u32)
}

fn rank(host: &Host, address: Ipv4Addr, line_rate: Option<Rate>) -> RankSpec {
    let mut command = Command::new(std::env::current_exe().expect("the bench runs from a file"));
    command.arg("__rank");
    let namespace = File::open(format!("/proc/self/task/{}/ns/net", host.thread()))
        .expect("the host's namespace");
    let enter = move || Ok(setns(&namespace, CloneFlags::CLONE_NEWNET)?);
    // SAFETY: one system call on a descriptor that is open, and nothing else.
    unsafe { command.pre_exec(enter) };
    RankSpec {
        host: address.to_string(),
        site: 0,
        address: IpAddr::V4(address),
        command,
        clock: RankClock::Ours,
        line_rate,
    }
}

/// Datagrams as fast as one thread makes them, in batches, for a second: bits that arrived, and the time.
fn flood(pair: &Pair, mtu: usize) -> io::Result<(f64, Duration)> {
    const LENGTH: Duration = Duration::from_secs(1);
    /// Longer than any pause of a sender on a busy machine.
    const SILENCE: Duration = Duration::from_millis(300);
    let receiver = pair.b.run(|| UdpSocket::bind((B, 0)))?;
    receiver.set_read_timeout(Some(SILENCE))?;
    setsockopt(&receiver, sockopt::UdpGroSegment, &true)?;
    let to = receiver.local_addr()?.port();
    let sender = pair.a.run(|| UdpSocket::bind((A, 0)))?;
    let start = Instant::now();
    let sending = std::thread::spawn(move || {
        let segment = (mtu - 28) as u16;
        let bytes = vec![0; usize::from(segment) * (65_000 / usize::from(segment)).min(64)];
        let to = SockaddrIn::from(SocketAddrV4::new(B, to));
        while start.elapsed() < LENGTH {
            let (parts, batch) = (
                [IoSlice::new(&bytes)],
                [ControlMessage::UdpGsoSegments(&segment)],
            );
            // A full queue is what a flood is for.
            let _ = sendmsg(
                sender.as_raw_fd(),
                &parts,
                &batch,
                MsgFlags::empty(),
                Some(&to),
            );
        }
    });
    let (mut buffer, mut arrived) = (vec![0; 1 << 16], 0);
    while let Ok(length) = receiver.recv(&mut buffer) {
        arrived += length;
    }
    sending.join().expect("the sender ends");
    Ok((arrived as f64 * 8.0, LENGTH))
}

fn cpu(who: UsageWho) -> Duration {
    let usage = getrusage(who).expect("getrusage knows this process and its children");
    Duration::from_micros((usage.user_time() + usage.system_time()).num_microseconds() as u64)
}

fn cpu_since(who: UsageWho, before: Duration) -> Duration {
    cpu(who) - before
}
