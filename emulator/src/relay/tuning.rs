//! What the relay's thread asks of the kernel so that it wakes up on time, and what it got.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use nix::errno::Errno;
use nix::libc;

/// What the relay's thread was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Real-time scheduling (`SCHED_FIFO`), so that busy programs do not delay packets.
    pub realtime: Grant,
    /// Timers exact to the nanosecond instead of 50 µs.
    pub exact_timers: Grant,
    /// The processor kept out of deep idle states, whose wake-up takes up to milliseconds.
    pub shallow_idle: Grant,
}

/// The kernel's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// It is in force.
    Granted,
    /// It is not; why.
    Refused(String),
}

impl Tuning {
    /// What was refused, and what follows.
    pub(super) fn denied(&self) -> Vec<String> {
        let grants = [
            (
                &self.realtime,
                "real-time priority",
                "busy programs may hold its packets up",
            ),
            (
                &self.exact_timers,
                "exact timers",
                "packets may be 50 µs late",
            ),
            (
                &self.shallow_idle,
                "processors that stay awake",
                "after idling, packets may be late by as long as a processor takes to wake up",
            ),
        ];
        let denied = grants
            .into_iter()
            .filter_map(|(grant, what, follows)| match grant {
                Grant::Granted => None,
                Grant::Refused(reason) => {
                    Some(format!("the relay has no {what} ({reason}): {follows}"))
                }
            });
        denied.collect()
    }
}

/// Keeps the processor out of deep idle states for as long as it lives.
#[derive(Debug)]
pub(super) struct IdleHold {
    _device: File,
}

/// Tunes the calling thread.
pub(super) fn apply() -> (Tuning, Option<IdleHold>) {
    let idle = hold_idle();
    let tuning = Tuning {
        realtime: realtime().into(),
        exact_timers: exact_timers().into(),
        shallow_idle: idle
            .as_ref()
            .map(|_| ())
            .map_err(|error| io::Error::other(error.to_string()))
            .into(),
    };
    (tuning, idle.ok())
}

impl From<io::Result<()>> for Grant {
    fn from(result: io::Result<()>) -> Self {
        match result {
            Ok(()) => Grant::Granted,
            Err(error) => Grant::Refused(error.to_string()),
        }
    }
}

fn realtime() -> io::Result<()> {
    // The lowest real-time priority beats every ordinary thread.
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: changes the calling thread only; `parameters` outlives the call.
    let answer = unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &parameters)
    };
    Errno::result(answer)?;
    Ok(())
}

fn exact_timers() -> io::Result<()> {
    // SAFETY: changes the calling thread's timer slack, in nanoseconds; no memory is passed.
    let answer = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
    Errno::result(answer)?;
    Ok(())
}

/// Documentation/power/pm_qos_interface.rst: the bound holds while the file is open.
fn hold_idle() -> io::Result<IdleHold> {
    let mut device = OpenOptions::new()
        .write(true)
        .open("/dev/cpu_dma_latency")?;
    device.write_all(&0i32.to_ne_bytes())?;
    Ok(IdleHold { _device: device })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_told_with_what_follows() {
        let tuning = Tuning {
            realtime: Grant::Refused("Operation not permitted".to_owned()),
            exact_timers: Grant::Granted,
            shallow_idle: Grant::Granted,
        };
        assert_eq!(
            tuning.denied(),
            [
                "the relay has no real-time priority (Operation not permitted): busy programs may hold its packets up"
            ]
        );
    }
}
