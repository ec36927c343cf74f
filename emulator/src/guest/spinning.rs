//! Which of a guest's programs computes, as its host sees it: each is a process that the lab kernel traces.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use longhaul_topologies::units::ByteSize;
use nix::unistd::{SysconfVar, sysconf};

use crate::capability::size_field;

/// How much a guest has computed so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Computed {
    /// All of it: its kernel, its programs, and those that have ended.
    total: Duration,
    /// Each of its programs.
    programs: BTreeMap<u32, Duration>,
}

impl Computed {
    /// As the machine counts it now.
    pub(super) fn of(kernel: u32) -> Self {
        let children = fs::read_to_string(format!("/proc/{kernel}/task/{kernel}/children"));
        let programs: BTreeMap<u32, Duration> = children
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .filter_map(|pid| Some((pid, CpuTime::of(pid)?.own)))
            .collect();
        let kernel = CpuTime::of(kernel).unwrap_or_default();
        Computed {
            total: kernel.own + kernel.ended + programs.values().sum::<Duration>(),
            programs,
        }
    }

    /// How much since `before`, and the program that did most of it.
    pub(super) fn since(&self, before: &Self) -> Option<(u32, Duration)> {
        let new = |pid| before.programs.get(pid).copied().unwrap_or_default();
        let busiest = self
            .programs
            .iter()
            .max_by_key(|&(pid, &time)| time.saturating_sub(new(pid)))?;
        Some((*busiest.0, self.total.saturating_sub(before.total)))
    }
}

/// What proc_pid_stat(5) counts of a process, in user mode and in the kernel.
#[derive(Clone, Copy, Debug, Default)]
struct CpuTime {
    /// utime and stime: what it computed, and what the host did for it.
    own: Duration,
    /// cutime and cstime: the same of its children that have ended.
    ended: Duration,
}

impl CpuTime {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may have blanks and brackets in it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
        let both = |first: usize| -> Option<Duration> {
            let ticks = fields.get(first..first + 2)?;
            let ticks: Result<Vec<u64>, _> = ticks.iter().map(|field| field.parse()).collect();
            let ticks: u64 = ticks.ok()?.iter().sum();
            Some(Duration::from_millis(ticks * 1000 / second.max(1)))
        };
        Some(CpuTime {
            own: both(11)?,
            ended: both(13)?,
        })
    }
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
        while CpuTime::of(pid).unwrap().own < Duration::from_millis(20) {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "no CPU time is counted"
            );
        }
        assert!(peak_memory(pid).unwrap().bytes() > 1 << 20);
    }

    #[test]
    fn the_busiest_is_the_one_that_computed_since() {
        let computed = |total: u64, programs: &[(u32, u64)]| Computed {
            total: Duration::from_millis(total),
            programs: programs
                .iter()
                .map(|&(pid, ms)| (pid, Duration::from_millis(ms)))
                .collect(),
        };
        let before = computed(1000, &[(1, 900), (2, 10)]);
        let after = computed(1210, &[(1, 950), (2, 90), (3, 70)]);
        assert_eq!(after.since(&before), Some((2, Duration::from_millis(210))));
        assert_eq!(computed(10, &[]).since(&before), None);
    }

    #[test]
    fn what_children_have_computed_that_ended_counts() {
        let pid = std::process::id();
        let before = Computed::of(pid).total;
        let spin = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        for _ in 0..100 {
            let mut command = std::process::Command::new("sh");
            assert!(command.args(["-c", spin]).status().unwrap().success());
            if CpuTime::of(pid).unwrap().ended >= Duration::from_millis(50) {
                assert!(Computed::of(pid).total >= before + Duration::from_millis(50));
                return;
            }
        }
        panic!("no CPU time of children is counted");
    }
}
