//! Packets of 1500 bytes without offload, both directions at once.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longhaul_emulator::engine::LinkEngine;
use longhaul_emulator::relay::Relay;

use super::Effort;
use super::machine::relay_cpu;
use super::pair::{A, B, Host, Join, Pair, delay, plan};
use super::table::{Table, median};

/// An IP packet of 1500 bytes.
const PAYLOAD: usize = 1472;
/// Datagrams that the sender hands to its kernel at once; the kernel makes single packets of them, as the interface takes
/// no super-packets. To send one by one costs the senders more than the relay has to do.
const GROUP: usize = 32;

pub fn run(effort: Effort, table: &mut Table) -> io::Result<()> {
    let rounds = (0..effort.rounds)
        .map(|_| round(effort.measure))
        .collect::<io::Result<Vec<_>>>()?;
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    let carried = of(|round| round.carried);
    table.goal(
        "1500-byte packets without offload, both directions",
        format!(
            "{:.0} thousand/s, {:.0} % of a core, {:.0} % dropped",
            carried / 1e3,
            of(|round| round.relay) * 100.0,
            of(|round| round.dropped) * 100.0
        ),
        "≥ 400 thousand/s through one core",
        carried >= 400e3,
    );
    table.figure(
        "  packets a second of the relay's CPU time",
        format!(
            "{:.0} thousand",
            of(|round| round.carried / round.relay) / 1e3
        ),
    );
    Ok(())
}

struct Round {
    /// Packets a second.
    carried: f64,
    /// Share of what was offered that found no room.
    dropped: f64,
    /// The share of a core that the relay's thread took.
    relay: f64,
}

fn round(measure: Duration) -> io::Result<Round> {
    let pair = Pair::new(Join::Lane)?;
    pair.forbid_super_packets()?;
    let channel = delay(Duration::from_millis(1));
    let mut relay = Relay::attach(&plan(channel.clone(), channel), 1)
        .expect("the relay attaches to veth interfaces");
    pair.introduce()?;
    let stop = Arc::new(AtomicBool::new(false));
    let senders = [(&pair.a, A, B), (&pair.b, B, A)]
        .map(|(host, own, other)| flood(host, own, other, Arc::clone(&stop)));
    std::thread::sleep(Duration::from_millis(500));
    let mut seen = || {
        let all = relay.counters().expect("the relay answers");
        let sum = all.iter().map(|(_, channel)| channel);
        sum.fold((0, 0), |(packets, drops), channel| {
            (packets + channel.packets, drops + channel.engine_drops)
        })
    };
    let (before, cpu) = (seen(), relay_cpu());
    std::thread::sleep(measure);
    let (after, cpu) = (seen(), relay_cpu() - cpu);
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().expect("the sender does not panic")?;
    }
    let (carried, dropped) = (after.0 - before.0, after.1 - before.1);
    Ok(Round {
        carried: carried as f64 / measure.as_secs_f64(),
        dropped: dropped as f64 / (carried + dropped).max(1) as f64,
        relay: cpu.as_secs_f64() / measure.as_secs_f64(),
    })
}

fn flood(
    host: &Host,
    own: std::net::Ipv4Addr,
    other: std::net::Ipv4Addr,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<io::Result<()>> {
    let socket = host.run(move || UdpSocket::bind((own, 7000)));
    std::thread::spawn(move || {
        let socket = socket?;
        // The other side has no room, and nobody reads: a datagram is dropped there.
        socket.connect((other, 7000))?;
        let segment = PAYLOAD as libc::c_int;
        // SAFETY: the option takes an int, which outlives the call.
        let answer = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                (&raw const segment).cast(),
                size_of_val(&segment) as libc::socklen_t,
            )
        };
        nix::errno::Errno::result(answer)?;
        while !stop.load(Ordering::Relaxed) {
            match socket.send(&[7; PAYLOAD * GROUP]) {
                // The other one was not bound yet.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                sent => drop(sent?),
            }
        }
        Ok(())
    })
}
