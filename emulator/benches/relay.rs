//! What the relay costs, next to the same veth path without it: `cargo bench -p longhaul-emulator --bench relay`.
//!
//! Measured figures of one run on whatever the machine is doing; ratios say more than absolute numbers.

#[path = "../tests/support/pair.rs"]
mod pair;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhaul_emulator::engine::LinkEngine;
use longhaul_emulator::relay::Relay;
use longhaul_topologies::model::{Channel, Loss, QueueLimit};
use longhaul_topologies::units::{ByteSize, Probability, Rate};
use nix::sys::socket::{Shutdown, shutdown};
use nix::time::{ClockId, clock_gettime};

use pair::{A, B, Join, Pair, delay, enter_namespace, ip, plan};

/// How long each measurement lasts once the flow has found its speed: a whole cycle of BBR, which drains the path every
/// ten seconds (draft-ietf-ccwg-bbr, `BBRProbeRTTInterval` of version 1).
const MEASURE: Duration = Duration::from_secs(10);
/// What a payload byte takes on the line: 1448 of payload in a frame of 1514.
const FRAME_PER_PAYLOAD: f64 = 1514.0 / 1448.0;
/// How long a flow gets to find it, as the requirement states it.
const RAMP: Duration = Duration::from_secs(10);

fn main() -> io::Result<()> {
    if let Err(error) = enter_namespace().and_then(|()| ip("link set lo up")) {
        println!("skipped: cannot make network namespaces with ip(8) here: {error}");
        return Ok(());
    }
    println!(
        "{:<44} {:>9} {:>7} {:>12}",
        "one TCP flow", "Gbit/s", "ratio", "CPU s/Gbit"
    );
    let bare = throughput(None, Duration::from_secs(1), "cubic")?;
    print("bare veth", bare, bare);
    for milliseconds in [1, 40] {
        let channel = delay(Duration::from_millis(milliseconds));
        let name = format!("no rate limit, {milliseconds} ms one way");
        print(
            &name,
            throughput(Some(channel), Duration::from_secs(3), "cubic")?,
            bare,
        );
    }
    for megabits in [100, 1000] {
        let channel = Channel {
            loss: Loss::None,
            ..limited(megabits)
        };
        let flow = throughput(Some(channel), RAMP, "bbr")?;
        print(
            &format!("{megabits} Mbit/s, 80 ms RTT, 1 BDP queue, bbr"),
            flow,
            bare,
        );
        let share = flow.gigabits / (megabits as f64 / 1e3);
        println!(
            "{:<44} {:>8.1} % of the rate as payload, {:.1} % as frames",
            "",
            share * 100.0,
            share * FRAME_PER_PAYLOAD * 100.0
        );
    }
    let lossy = Channel {
        loss: Loss::Independent(Probability::new(1e-3).expect("a share")),
        ..limited(1000)
    };
    print(
        "1000 Mbit/s, 80 ms RTT, loss 0.1 %, bbr",
        throughput(Some(lossy), RAMP, "bbr")?,
        bare,
    );
    packets()
}

/// What a flow reached.
#[derive(Clone, Copy)]
struct Flow {
    gigabits: f64,
    /// Processor time of the whole process (both TCP ends and the relay) per gigabit.
    cpu: f64,
}

fn print(name: &str, flow: Flow, bare: Flow) {
    println!(
        "{name:<44} {:>9.3} {:>7.2} {:>12.4}",
        flow.gigabits,
        flow.gigabits / bare.gigabits,
        flow.cpu
    );
}

fn limited(megabits: u64) -> Channel {
    let one_way = Duration::from_millis(40);
    let rate = Rate::from_bits_per_second(megabits * 1_000_000);
    let queue = ByteSize::from_bytes(rate.bytes_per_second() * 80 / 1000);
    Channel {
        rate: Some(rate),
        queue_limit: Some(QueueLimit::Bytes(queue)),
        ..delay(one_way)
    }
}

fn throughput(channel: Option<Channel>, ramp: Duration, control: &str) -> io::Result<Flow> {
    let pair = Pair::new(if channel.is_some() {
        Join::Lane
    } else {
        Join::Bare
    })?;
    let mut relay = channel.map(|channel| {
        let back = Channel {
            rate: None,
            queue_limit: None,
            loss: Loss::None,
            ..channel.clone()
        };
        Relay::attach(&plan(channel, back), 1).expect("the relay attaches to veth interfaces")
    });
    let listener = pair.b.run(|| TcpListener::bind((B, 7001)))?;
    let sender = pair
        .a
        .run(|| TcpStream::connect_timeout(&SocketAddr::from((B, 7001)), Duration::from_secs(5)))?;
    let (mut receiver, _) = listener.accept()?;
    if let Err(error) = socket2::SockRef::from(&sender).set_tcp_congestion(control.as_bytes()) {
        println!("no {control} here ({error}); the kernel's default instead");
    }
    let mut output = sender.try_clone()?;
    // Ends when the connection is shut down under it.
    let writer = std::thread::spawn(move || while output.write_all(&[7; 1 << 18]).is_ok() {});
    let mut buffer = vec![0; 1 << 18];
    let mut read_for = |span: Duration| -> io::Result<f64> {
        let (start, mut bytes) = (Instant::now(), 0);
        while start.elapsed() < span {
            bytes += receiver.read(&mut buffer)?;
        }
        Ok(bytes as f64 * 8.0 / 1e9 / start.elapsed().as_secs_f64())
    };
    read_for(ramp)?;
    let before = cpu();
    let gigabits = read_for(MEASURE)?;
    let used = (cpu() - before).as_secs_f64();
    shutdown(std::os::fd::AsRawFd::as_raw_fd(&sender), Shutdown::Both)?;
    writer.join().expect("the writer does not panic");
    if let Some(relay) = &mut relay {
        let counters = relay.counters().expect("the relay answers")[0].1;
        println!("  {counters:?}, {:?}", relay.lateness().unwrap_or_default());
    }
    Ok(Flow {
        gigabits,
        cpu: used / (gigabits * MEASURE.as_secs_f64()),
    })
}

/// Packets per second without offload: datagrams of 1458 bytes, one by one, both directions at once.
fn packets() -> io::Result<()> {
    let pair = Pair::new(Join::Lane)?;
    let channel = delay(Duration::from_millis(1));
    let mut relay = Relay::attach(&plan(channel.clone(), channel), 1)
        .expect("the relay attaches to veth interfaces");
    pair.introduce()?;
    let stop = Arc::new(AtomicBool::new(false));
    let senders = [(&pair.a, A, B), (&pair.b, B, A)].map(|(host, own, other)| {
        let socket = host.run(move || UdpSocket::bind((own, 7000)));
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || -> io::Result<u64> {
            let socket = socket?;
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                // The other side may have no room; a datagram that is not read is dropped there.
                socket.send_to(&[7; 1458], (other, 7000))?;
                sent += 1;
            }
            Ok(sent)
        })
    });
    std::thread::sleep(MEASURE);
    let counters = relay.counters().expect("the relay answers");
    stop.store(true, Ordering::Relaxed);
    let mut offered = 0;
    for sender in senders {
        offered += sender.join().expect("the sender does not panic")?;
    }
    let carried: u64 = counters.iter().map(|(_, channel)| channel.packets).sum();
    let dropped: u64 = counters
        .iter()
        .map(|(_, channel)| channel.engine_drops)
        .sum();
    let per_second = carried as f64 / MEASURE.as_secs_f64() / 1e3;
    println!(
        "1500-byte packets without offload, both directions: {per_second:.0} thousand/s ({offered} offered, {dropped} found no room)"
    );
    Ok(())
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .expect("every Linux has this clock")
        .into()
}
