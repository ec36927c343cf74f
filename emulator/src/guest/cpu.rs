//! The CPU that a lab kernel is kept on.
//!
//! Of the kernel and its programs one runs at a time, and they take turns at every system call: between two CPUs a turn takes three times
//! as long (quickstart, 232 s instead of 80 s). Two kernels on one CPU take twice as long while another is idle.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

/// A CPU, claimed from other lab kernels of this machine as long as this is there, unless all were.
#[derive(Debug)]
pub(super) struct Cpu {
    number: usize,
    /// An address in the abstract namespace (unix(7)): one socket has it at a time, and it goes with that.
    _claim: Option<UnixDatagram>,
}

impl Cpu {
    /// The one that this process is on now, if no lab kernel is there; else the first of its others that has none.
    pub(super) fn claim() -> io::Result<Self> {
        let here = sched_getcpu()?;
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let others =
            (0..CpuSet::count()).filter(|&cpu| cpu != here && allowed.is_set(cpu).unwrap_or(false));
        for number in std::iter::once(here).chain(others) {
            let address = SocketAddr::from_abstract_name(format!("longhaul/cpu/{number}"))?;
            if let Ok(claim) = UnixDatagram::bind_addr(&address) {
                return Ok(Cpu {
                    number,
                    _claim: Some(claim),
                });
            }
        }
        Ok(Cpu {
            number: here,
            _claim: None,
        })
    }

    /// What keeps the calling process on it from now on; with nothing but system calls.
    pub(super) fn keeper(&self) -> impl Fn() -> io::Result<()> + Send + Sync + use<> {
        let number = self.number;
        move || {
            let mut only = CpuSet::new();
            only.set(number)?;
            Ok(sched_setaffinity(Pid::from_raw(0), &only)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn lab_kernels_are_apart_and_stay_where_they_are() {
        let cpus: Vec<Cpu> = (0..4).map(|_| Cpu::claim().unwrap()).collect();
        // Labs of this machine may have the others.
        let claimed = || cpus.iter().filter(|cpu| cpu._claim.is_some());
        let apart: BTreeSet<usize> = claimed().map(|cpu| cpu.number).collect();
        assert_eq!(apart.len(), claimed().count());
        for cpu in &cpus {
            let stay = cpu.keeper();
            let kept = std::thread::spawn(move || {
                stay().unwrap();
                sched_getcpu().unwrap()
            });
            assert_eq!(kept.join().unwrap(), cpu.number);
        }
    }
}
