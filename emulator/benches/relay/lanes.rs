//! A thousand links in one relay: what they cost when idle, and whether all of them hold their delay when used.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhaul_emulator::engine::LinkEngine;
use longhaul_emulator::plan::LabPlan;
use longhaul_emulator::relay::Relay;
use longhaul_topologies::model::LinkId;

use super::Effort;
use super::machine::relay_cpu;
use super::pair::{Host, Join, Pair, delay, ip_batch, plan};
use super::table::Table;

const LANES: usize = 1_000;
const DELAY: Duration = Duration::from_millis(10);
/// 1 Mbit/s is a frame of 1250 bytes every 10 ms.
const PAYLOAD: usize = 1250 - 42;
const INTERVAL: Duration = Duration::from_millis(10);

/// Once: a thousand links are as many rounds.
pub fn run(effort: Effort, table: &mut Table) -> io::Result<()> {
    let pair = Pair::new(Join::Lane)?;
    wire(&pair)?;
    let plan = thousand();
    let (memory, start) = (unevictable(), Instant::now());
    let mut relay = Relay::attach(&plan, 1).expect("the relay attaches to veth interfaces");
    let (opened, memory) = (start.elapsed(), memory.saturating_sub(unevictable()));
    table.goal(
        "1,000 links: opening 2,000 interfaces",
        format!(
            "{:.2} s, {} MiB of the machine's memory",
            opened.as_secs_f64(),
            memory >> 20
        ),
        "≤ 5 s, ≤ 512 MiB",
        opened <= Duration::from_secs(5) && memory <= 512 << 20,
    );

    std::thread::sleep(Duration::from_secs(1));
    let cpu = relay_cpu();
    std::thread::sleep(effort.measure);
    let idle = (relay_cpu() - cpu).as_secs_f64() / effort.measure.as_secs_f64();
    table.goal(
        "  idle: the relay's thread",
        format!("{:.3} % of a core", idle * 100.0),
        "≤ 0.1 %",
        idle <= 1e-3,
    );

    let stop = Arc::new(AtomicBool::new(false));
    let sender = send(&pair.a, Arc::clone(&stop));
    std::thread::sleep(Duration::from_secs(1));
    let carried = |relay: &mut Relay| {
        let all = relay.counters().expect("the relay answers");
        let forward = all.iter().step_by(2).map(|(_, channel)| channel);
        forward
            .map(|channel| (channel.packets, channel.engine_drops))
            .collect::<Vec<_>>()
    };
    let before = carried(&mut relay);
    let _ = relay.lateness();
    let cpu = relay_cpu();
    std::thread::sleep(effort.measure);
    let used = (relay_cpu() - cpu).as_secs_f64() / effort.measure.as_secs_f64();
    let lateness = relay.lateness().unwrap_or_default();
    let after = carried(&mut relay);
    stop.store(true, Ordering::Relaxed);
    sender.join().expect("the sender does not panic")?;
    let megabits = |packets: u64| packets as f64 * 0.01 / effort.measure.as_secs_f64();
    let rates = before
        .iter()
        .zip(&after)
        .map(|(before, after)| megabits(after.0 - before.0));
    let (least, sum) = rates.fold((f64::MAX, 0.0), |(least, sum), rate| {
        (f64::min(least, rate), sum + rate)
    });
    let drops: u64 = after.iter().map(|lane| lane.1).sum();
    table.goal(
        "  1 Mbit/s each: release error",
        format!(
            "p50 {:.0}, p99 {:.0}, max {:.0} µs",
            lateness.p50_us, lateness.p99_us, lateness.max_us
        ),
        "p99 ≤ 1 % of 10 ms",
        lateness.p99_us <= 100.0,
    );
    table.figure(
        "  carried; least of all links; drops",
        format!(
            "{sum:.0} Mbit/s; {least:.2}; {drops}; {:.0} % of a core",
            used * 100.0
        ),
    );
    Ok(())
}

/// Memory that is to be had.
fn unevictable() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}

/// Host `a` sends on every lane in turn, evenly over the interval.
fn send(host: &Host, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<io::Result<()>> {
    let socket = host.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 7000)));
    std::thread::spawn(move || {
        let socket = socket?;
        const STEPS: usize = 20;
        let start = Instant::now();
        for step in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            for lane in (step % STEPS..LANES).step_by(STEPS) {
                socket.send_to(&[7; PAYLOAD], (address(lane, 2), 7000))?;
            }
            let next = INTERVAL / STEPS as u32 * (step as u32 + 1);
            std::thread::sleep(next.saturating_sub(start.elapsed()));
        }
        Ok(())
    })
}

fn address(lane: usize, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 100 + (lane / 250) as u8, (lane % 250) as u8, host)
}

fn mac(lane: usize, host: u8) -> String {
    format!("02:6c:{host:02x}:00:{:02x}:{:02x}", lane >> 8, lane & 0xff)
}

/// A thousand veth pairs to each host.
fn wire(pair: &Pair) -> io::Result<()> {
    let mut keeper = String::new();
    for (host, side) in [(&pair.a, 1), (&pair.b, 2)] {
        let (thread, mut inside) = (host.thread(), String::new());
        for lane in 0..LANES {
            let (own, other) = (address(lane, side), address(lane, 3 - side));
            let (own_mac, other_mac) = (mac(lane, side), mac(lane, 3 - side));
            keeper += &format!(
                "link add k{side}x{lane} type veth peer name e{lane} address {own_mac} netns {thread}\n\
                 link set k{side}x{lane} up arp off\n"
            );
            inside += &format!(
                "addr add {own}/24 dev e{lane}\nlink set e{lane} up\n\
                 neigh replace {other} lladdr {other_mac} dev e{lane} nud permanent\n"
            );
        }
        ip_batch(&std::mem::take(&mut keeper))?;
        host.run(move || ip_batch(&inside))?;
    }
    Ok(())
}

fn thousand() -> LabPlan {
    let mut plan = plan(delay(DELAY), delay(DELAY));
    let lane = plan.lanes.remove(0);
    plan.topology.links = vec![plan.topology.links[0].clone(); LANES];
    plan.lanes = (0..LANES)
        .map(|index| {
            let mut lane = lane.clone();
            lane.link = LinkId(index);
            lane.a.keeper_interface = format!("k1x{index}");
            lane.b.keeper_interface = format!("k2x{index}");
            lane
        })
        .collect();
    plan
}
