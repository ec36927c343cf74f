//! Which of a guest's programs computes, as its host sees it: each is a process that the lab kernel traces.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use longhaul_topologies::units::ByteSize;
use nix::unistd::{SysconfVar, sysconf};

use crate::capability::size_field;

/// How much each of a guest's programs has computed so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Busiest(BTreeMap<u32, Duration>);

impl Busiest {
    /// As the machine counts it now.
    pub(super) fn of(kernel: u32) -> Self {
        let children = fs::read_to_string(format!("/proc/{kernel}/task/{kernel}/children"));
        let times = children.unwrap_or_default();
        let times = times
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .filter_map(|pid| Some((pid, cpu_time(pid)?)));
        Busiest(times.collect())
    }

    /// The program that has computed most since `before`, and for how long.
    pub(super) fn since(&self, before: &Self) -> Option<(u32, Duration)> {
        let new = |pid| before.0.get(pid).copied().unwrap_or_default();
        self.0
            .iter()
            .map(|(pid, &time)| (*pid, time.saturating_sub(new(pid))))
            .max_by_key(|&(_, time)| time)
    }
}

/// utime and stime of proc_pid_stat(5): what it computed, and what the host did for it.
fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have blanks and brackets in it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    Some(Duration::from_millis(ticks * 1000 / second.max(1)))
}

/// VmHWM of proc_pid_status(5): the most of a guest's memory that has been in use.
pub(super) fn peak_memory(kernel: u32) -> Option<ByteSize> {
    let status = fs::read_to_string(format!("/proc/{kernel}/status")).ok()?;
    size_field(&status, "VmHWM")
}

/// The program's name in the guest, by the host's process that runs it.
pub(super) fn describe(pid: u32) -> String {
    match executable(pid) {
        Some(name) => format!("`{name}`"),
        None => format!("one of its programs (process {pid} of this machine)"),
    }
}

/// What Linux leaves at the top of a program's stack: the name by which it was started (fs/exec.c, `bprm->exec`), and eight
/// zero bytes.
fn executable(pid: u32) -> Option<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut ends: Vec<u64> = maps
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split(['-', ' ']).nth(1)?, 16).ok())
        .collect();
    ends.sort_unstable();
    // Each is a copy of the lab kernel's process, with that one's stack above the program's own.
    let kernel = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    ends.into_iter().rev().find_map(|end| {
        const MOST: usize = 1024;
        let mut top = [0; MOST];
        memory.read_exact_at(&mut top, end - MOST as u64).ok()?;
        name_at_the_top(&top).filter(|name| Path::new(name) != kernel)
    })
}

fn name_at_the_top(top: &[u8]) -> Option<String> {
    let (text, zeros) = top.split_at(top.len().checked_sub(9)?);
    if zeros.iter().any(|&byte| byte != 0) {
        return None;
    }
    let start = text.iter().rposition(|&byte| byte == 0)? + 1;
    let name = std::str::from_utf8(&text[start..]).ok()?;
    let is_name = !name.is_empty() && name.chars().all(|c| !c.is_control());
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_what_lies_at_the_top_of_its_stack() {
        let mut top = b"PATH=/bin\0/usr/bin/python3\0".to_vec();
        top.extend([0; 8]);
        assert_eq!(name_at_the_top(&top).as_deref(), Some("/usr/bin/python3"));
        assert_eq!(name_at_the_top(&[0; 64]), None);
        assert_eq!(name_at_the_top(&[1; 64]), None);
    }

    #[test]
    fn this_process_has_computed_something_and_uses_memory() {
        let pid = std::process::id();
        let began = std::time::Instant::now();
        while cpu_time(pid).unwrap() < Duration::from_millis(20) {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "no CPU time is counted"
            );
        }
        assert!(peak_memory(pid).unwrap().bytes() > 1 << 20);
    }

    #[test]
    fn the_busiest_is_the_one_that_computed_since() {
        let times = |pairs: &[(u32, u64)]| {
            let pairs = pairs
                .iter()
                .map(|&(pid, ms)| (pid, Duration::from_millis(ms)));
            Busiest(pairs.collect())
        };
        let (before, after) = (
            times(&[(1, 900), (2, 10)]),
            times(&[(1, 950), (2, 90), (3, 70)]),
        );
        assert_eq!(after.since(&before), Some((2, Duration::from_millis(80))));
        assert_eq!(times(&[]).since(&before), None);
    }
}
