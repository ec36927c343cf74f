//! The machine, and what its processors were used for.

use std::fs;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Cores, processor and kernel.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = fs::read_to_string("/proc/cpuinfo")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or_else(
            || "unknown processor".to_owned(),
            |rest| rest.trim_start_matches([' ', '\t', ':']).to_owned(),
        );
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "machine: {cores} cores, {model}, Linux {}",
        kernel.trim_end()
    )
}

/// Processor time of this process so far, all threads.
pub fn process_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .expect("every Linux has this clock")
        .into()
}

/// Processor time of the relay's thread so far, what it did for the receivers' stacks included.
pub fn relay_cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is mounted");
    tasks
        .flatten()
        .filter(|task| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "relay")
        })
        .filter_map(|task| {
            let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let nanoseconds = stat.split(' ').next()?.parse().ok()?;
            Some(Duration::from_nanos(nanoseconds))
        })
        .sum()
}

/// What the processors had done at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    at: Instant,
    busy: Duration,
    own: Duration,
}

impl Load {
    /// At this one.
    pub fn now() -> Self {
        // proc_stat(5): user, nice, system, idle, iowait, irq, softirq; in ticks of 10 ms (`USER_HZ`).
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let fields: Vec<u64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|field| field.parse().ok())
            .collect();
        let busy = [0, 1, 2]
            .map(|at| fields.get(at).copied().unwrap_or(0))
            .iter()
            .sum::<u64>();
        Load {
            at: Instant::now(),
            busy: Duration::from_millis(busy * 10),
            own: process_cpu(),
        }
    }

    /// The share of the processors' time that other programs have taken since then.
    pub fn since(self) -> f64 {
        let now = Load::now();
        let others = (now.busy.saturating_sub(self.busy)).saturating_sub(now.own - self.own);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        others.as_secs_f64() / ((now.at - self.at).as_secs_f64() * cores as f64)
    }
}
