//! One TCP flow, without the relay and through it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use longhaul_emulator::engine::{ChannelCounters, Lateness, LinkEngine};
use longhaul_emulator::relay::Relay;
use longhaul_topologies::model::{Channel, Loss, QueueLimit};
use longhaul_topologies::units::{ByteSize, Probability, Rate};
use nix::sys::socket::{Shutdown, shutdown};

use super::Effort;
use super::machine::{process_cpu, relay_cpu};
use super::pair::{B, Join, Pair, delay, plan};
use super::table::{Table, median};

/// What a payload byte takes on the line: 1448 of payload in a frame of 1514.
const FRAME_PER_PAYLOAD: f64 = 1514.0 / 1448.0;
/// What the buffers are made for, in bytes a second: 20 Gbit/s.
const FASTEST: f64 = 20e9 / 8.0;
/// How long a flow without a rate gets to find its speed.
const OPEN_RAMP: Duration = Duration::from_secs(3);

/// What one flow did while it was measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    pub gigabits_per_second: f64,
    /// Processor time per gigabit of the whole process (both TCP ends and the relay).
    pub cpu: f64,
    /// The share of a core that the relay's thread took.
    pub relay: f64,
    /// Of the forward channel; nothing without a relay.
    pub counters: ChannelCounters,
    pub lateness: Lateness,
    /// While it was measured: `tcpi_total_retrans` and `tcpi_data_segs_out` of linux/tcp.h.
    pub retransmitted: u32,
    pub segments: u32,
    /// Segments that the loss model took meanwhile.
    pub lost: u64,
}

/// How a flow is to be run.
#[derive(Clone, Debug)]
pub struct Trial {
    /// No relay where absent.
    pub channel: Option<Channel>,
    pub ramp: Duration,
    pub measure: Duration,
    pub control: &'static str,
    pub offload: Offload,
}

/// Whether the hosts hand over super-packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    SuperPackets,
    None,
}

pub fn run(effort: Effort, table: &mut Table) -> io::Result<()> {
    open(effort, table)?;
    for megabits in [100, 1000] {
        let name = format!("{megabits} Mbit/s, 80 ms RTT, 1 BDP queue, bbr");
        at_rate(effort, table, &name, limited(megabits, 40))?;
    }
    let lossy = Channel {
        loss: Loss::Independent(Probability::new(1e-3).expect("a share")),
        ..limited(1000, 40)
    };
    at_rate(
        effort,
        table,
        "1000 Mbit/s, 80 ms RTT, loss 0.1 %, bbr",
        lossy,
    )
}

/// Without a rate: what the relay itself can carry.
fn open(effort: Effort, table: &mut Table) -> io::Result<()> {
    let trial = |milliseconds: Option<u64>| Trial {
        channel: milliseconds.map(|delayed| delay(Duration::from_millis(delayed))),
        ramp: OPEN_RAMP,
        measure: effort.measure,
        control: "cubic",
        offload: Offload::SuperPackets,
    };
    let mut rounds = Vec::new();
    for _ in 0..effort.rounds {
        let round = [None, Some(1), Some(40)]
            .into_iter()
            .map(|milliseconds| flow(&trial(milliseconds)))
            .collect::<io::Result<Vec<_>>>()?;
        rounds.push(round);
    }
    let of = |path: usize, value: fn(&Flow) -> f64| {
        median(rounds.iter().map(move |round| value(&round[path])))
    };
    let gigabits = |path| of(path, |flow| flow.gigabits_per_second);
    table.figure(
        "one cubic flow, bare veth",
        format!(
            "{:.2} Gbit/s, {:.3} CPU s/Gbit",
            gigabits(0),
            of(0, |flow| flow.cpu)
        ),
    );
    for (path, milliseconds, goal) in [(1, 1, 0.55), (2, 40, 0.60)] {
        // Of each round, so that both were measured on the same machine, as it were.
        let share = median(
            rounds
                .iter()
                .map(|round| round[path].gigabits_per_second / round[0].gigabits_per_second),
        );
        let drops: u64 = rounds
            .iter()
            .map(|round| round[path].counters.engine_drops)
            .sum();
        table.goal(
            &format!("one cubic flow, {milliseconds} ms one way, no rate limit"),
            format!(
                "{:.2} Gbit/s = {:.0} %, {:.3} CPU s/Gbit",
                gigabits(path),
                share * 100.0,
                of(path, |flow| flow.cpu)
            ),
            &format!("≥ {:.0} % of bare", goal * 100.0),
            share >= goal,
        );
        table.figure(
            "  the relay's thread; lateness p50, p99; drops",
            format!(
                "{:.0} % of a core; {:.0}, {:.0} µs; {drops}",
                of(path, |flow| flow.relay) * 100.0,
                of(path, |flow| flow.lateness.p50_us),
                of(path, |flow| flow.lateness.p99_us)
            ),
        );
    }
    Ok(())
}

/// Whether a flow fills a rate.
fn at_rate(effort: Effort, table: &mut Table, name: &str, channel: Channel) -> io::Result<()> {
    let rate = channel.rate.map_or(0, Rate::bits_per_second) as f64 / 1e9;
    let trial = Trial {
        channel: Some(channel),
        ramp: effort.ramp,
        measure: effort.measure,
        control: "bbr",
        offload: Offload::SuperPackets,
    };
    // Nothing to compare with, and the rate holds it steady.
    let flow = flow(&trial)?;
    let share = flow.gigabits_per_second / rate;
    table.figure(
        name,
        format!(
            "{:.1} % as payload, {:.1} % as frames; p99 {:.0} µs late",
            share * 100.0,
            share * FRAME_PER_PAYLOAD * 100.0,
            flow.lateness.p99_us
        ),
    );
    Ok(())
}

/// A link of a rate, with a queue of one bandwidth-delay product.
pub fn limited(megabits: u64, one_way_ms: u64) -> Channel {
    let rate = Rate::from_bits_per_second(megabits * 1_000_000);
    let queue = ByteSize::from_bytes(rate.bytes_per_second() * 2 * one_way_ms / 1000);
    Channel {
        rate: Some(rate),
        queue_limit: Some(QueueLimit::Bytes(queue)),
        ..delay(Duration::from_millis(one_way_ms))
    }
}

/// Runs one flow from host `a` to host `b`. The way back has the delay and nothing else.
pub fn flow(trial: &Trial) -> io::Result<Flow> {
    let pair = Pair::new(match trial.channel {
        Some(_) => Join::Lane,
        None => Join::Bare,
    })?;
    if trial.offload == Offload::None {
        pair.forbid_super_packets()?;
    }
    let mut relay = trial.channel.as_ref().map(|channel| {
        let back = delay(channel.delay);
        Relay::attach(&plan(channel.clone(), back), 1)
            .expect("the relay attaches to veth interfaces")
    });
    // The least that holds what is in flight, as a flow without loss fills whatever there is: data that waits in larger
    // ones is no longer in the cache, which costs the bare path half its throughput.
    let round_trip = 2 * trial.channel.as_ref().map_or(Duration::ZERO, |it| it.delay);
    pair.set_tcp_buffers((2.0 * FASTEST * round_trip.as_secs_f64()) as u64)?;
    let (sender, mut receiver) = connect(&pair)?;
    if let Err(error) = socket2::SockRef::from(&sender).set_tcp_congestion(trial.control.as_bytes())
    {
        println!(
            "no {} here ({error}); the kernel's default instead",
            trial.control
        );
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
    read_for(trial.ramp)?;
    let mut lost = 0;
    if let Some(relay) = &mut relay {
        // What it was late by before does not count.
        let _ = relay.lateness();
        lost = forward(relay).losses.unwrap_or(0);
    }
    let (cpu, thread, before) = (process_cpu(), relay_cpu(), segments(&sender)?);
    let gigabits_per_second = read_for(trial.measure)?;
    let seconds = trial.measure.as_secs_f64();
    let mut flow = Flow {
        gigabits_per_second,
        cpu: (process_cpu() - cpu).as_secs_f64() / (gigabits_per_second * seconds),
        relay: (relay_cpu().saturating_sub(thread)).as_secs_f64() / seconds,
        ..Flow::default()
    };
    let after = segments(&sender)?;
    (flow.retransmitted, flow.segments) = (after.0 - before.0, after.1 - before.1);
    if let Some(relay) = &mut relay {
        flow.lateness = relay.lateness().unwrap_or_default();
        flow.counters = forward(relay);
        flow.lost = flow.counters.losses.unwrap_or(0) - lost;
    }
    shutdown(sender.as_raw_fd(), Shutdown::Both)?;
    writer.join().expect("the writer does not panic");
    Ok(flow)
}

fn forward(relay: &mut Relay) -> ChannelCounters {
    relay.counters().expect("the relay answers")[0].1
}

fn connect(pair: &Pair) -> io::Result<(TcpStream, TcpStream)> {
    let listener = pair.b.run(|| TcpListener::bind((B, 7001)))?;
    let sender = pair
        .a
        .run(|| TcpStream::connect_timeout(&SocketAddr::from((B, 7001)), Duration::from_secs(5)))?;
    let (receiver, _) = listener.accept()?;
    Ok((sender, receiver))
}

/// Retransmitted segments and data segments sent so far.
fn segments(stream: &TcpStream) -> io::Result<(u32, u32)> {
    /// `struct tcp_info` in 32-bit words: `tcpi_total_retrans` and `tcpi_data_segs_out` (linux/tcp.h; appended to only).
    const RETRANSMITTED: usize = 25;
    const DATA_OUT: usize = 39;
    let mut words = [0_u32; 64];
    let mut length = size_of_val(&words) as libc::socklen_t;
    // SAFETY: `words` is writable for `length` bytes, and any bytes are valid words.
    let answer = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_TCP,
            libc::TCP_INFO,
            words.as_mut_ptr().cast(),
            &mut length,
        )
    };
    nix::errno::Errno::result(answer)?;
    Ok((words[RETRANSMITTED], words[DATA_OUT]))
}
