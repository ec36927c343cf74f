//! How long a lab of 100 hosts in 10 sites, every two joined by a link, takes to come up and to go down.
//!
//! A `main` of its own: a sandbox must be entered before any thread starts, and what is measured comes in pairs.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use longhaul_emulator::lab::{Lab, LabOptions};
use longhaul_emulator::sandbox;

/// Labs measured.
const ROUNDS: usize = 15;

fn main() {
    // `cargo test --benches` calls with `--test`: once is enough to see that it works.
    let rounds = if std::env::args().any(|argument| argument == "--bench") {
        ROUNDS
    } else {
        1
    };
    if let Err(error) = sandbox::enter() {
        println!("skipped: {error}");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let measured = (0..rounds).map(|_| runtime.block_on(up_and_down()));
    let (ups, downs): (Vec<_>, Vec<_>) = measured.unzip();
    report("up", ups);
    report("down", downs);
}

async fn up_and_down() -> (Duration, Duration) {
    let topology = support::full_mesh(10, 10, Duration::from_millis(20));
    let start = Instant::now();
    let lab = Lab::up(topology, &LabOptions::default())
        .await
        .expect("the lab comes up");
    let up = start.elapsed();
    let start = Instant::now();
    lab.down().await;
    (up, start.elapsed())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (least, median, most) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{what:5} median {median:>9.1?}   least {least:>9.1?}   most {most:>9.1?}   of {}",
        times.len()
    );
}
