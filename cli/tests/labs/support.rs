//! Runs that are short, and runs without an end.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::host::{Host, Running, lines, wait_until};

/// Twelve iterations of 64 KiB: a fraction of a second.
pub const SHORT: &str =
    "workload: {collective: all_reduce, sizes: [64KiB], iterations: 5, warmup: 1}";

/// Far more iterations than any test waits for.
pub const ENDLESS: &str = "workload: {collective: all_reduce, sizes: [64KiB], iterations: 100000}";

pub fn result(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("result.json")).unwrap()).unwrap()
}

/// Starts an endless run and waits until its workload is well under way.
pub fn endless(host: &Host) -> Running {
    let experiment = host.experiment(ENDLESS);
    let run = host.start(&["run", &experiment, "--out", "out", "--no-charts"]);
    let samples = host.path("out/samples.csv");
    wait_until("three iterations are done", || lines(&samples) > 3);
    run
}

pub fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}
