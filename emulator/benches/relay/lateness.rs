//! How late packets leave the relay, on an idle machine, a busy one, and beside a flow that fills the link.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use longhaul_emulator::engine::{Lateness, LinkEngine};
use longhaul_emulator::relay::Relay;

use super::Effort;
use super::flows::{Offload, Trial, flow, limited};
use super::pair::{A, B, Join, Pair, delay, plan};
use super::table::{Table, median};

/// Between two packets of each direction. No multiple of the delay, so that each is waited for.
const INTERVAL: Duration = Duration::from_micros(1_300);

pub fn run(effort: Effort, table: &mut Table) -> io::Result<()> {
    let (mut idle, mut busy, mut full) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        idle.push(probed(effort.measure)?);
        let work = Busy::start();
        busy.push(probed(effort.measure)?);
        drop(work);
        let saturating = Trial {
            channel: Some(limited(1000, 10)),
            ramp: Duration::from_secs(3),
            measure: effort.measure,
            control: "bbr",
            offload: Offload::SuperPackets,
        };
        full.push(flow(&saturating)?.lateness);
    }
    let p50 = |all: &[Lateness]| median(all.iter().map(|lateness| lateness.p50_us));
    let p99 = |all: &[Lateness]| median(all.iter().map(|lateness| lateness.p99_us));
    let both = |all: &[Lateness]| {
        format!(
            "p50 {:.0}, p99 {:.0}, max {:.0} µs",
            p50(all),
            p99(all),
            median(all.iter().map(|lateness| lateness.max_us))
        )
    };
    table.goal(
        "release error, idle",
        both(&idle),
        "p50 ≤ 20 µs, p99 ≤ 60 µs",
        p50(&idle) <= 20.0 && p99(&idle) <= 60.0,
    );
    table.goal(
        "release error, every core busy",
        both(&busy),
        "p99 ≤ 120 µs",
        p99(&busy) <= 120.0,
    );
    table.goal(
        "release error, a flow that fills 1 Gbit/s",
        both(&full),
        "p99 ≤ 1000 µs",
        p99(&full) <= 1000.0,
    );
    Ok(())
}

/// Single packets both ways over 10 ms.
fn probed(measure: Duration) -> io::Result<Lateness> {
    let pair = Pair::new(Join::Lane)?;
    let channel = delay(Duration::from_millis(10));
    let mut relay = Relay::attach(&plan(channel.clone(), channel), 1)
        .expect("the relay attaches to veth interfaces");
    pair.introduce()?;
    let sockets = [(&pair.a, A, B), (&pair.b, B, A)].map(|(host, own, other)| {
        let socket = host.run(move || UdpSocket::bind((own, 7000)))?;
        socket.connect((other, 7000))?;
        io::Result::Ok(socket)
    });
    let [a, b] = sockets;
    let (a, b) = (a?, b?);
    let rounds = |span: Duration| span.as_nanos() / INTERVAL.as_nanos();
    let send = |count: u128| -> io::Result<()> {
        for _ in 0..count {
            // Nobody reads; what does not fit is dropped behind the relay.
            a.send(&[7; 200])?;
            b.send(&[7; 200])?;
            std::thread::sleep(INTERVAL);
        }
        Ok(())
    };
    // Until the relay knows how long its wake-ups take.
    send(rounds(Duration::from_secs(1)))?;
    let tuning = format!("{:?}", relay.tuning());
    let _ = relay.lateness();
    send(rounds(measure))?;
    if tuning.contains("Refused") {
        println!("not all of the tuning was granted: {tuning}");
    }
    Ok(relay.lateness().unwrap_or_default())
}

/// A thread for each core that never sleeps.
struct Busy {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..cores).map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        });
        Busy {
            threads: threads.collect(),
            stop,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It cannot panic.
            let _ = thread.join();
        }
    }
}
