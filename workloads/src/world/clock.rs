//! The clock that all ranks of a world share: CLOCK_MONOTONIC of the machine that the world is on, corrected in ranks of others.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use longhaul_emulator::time::Time;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};

/// One moment as both an [`Instant`] and nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockAnchor {
    instant: Instant,
    ns: u64,
}

impl ClockAnchor {
    pub(super) fn now() -> Self {
        Self {
            instant: Instant::now(),
            ns: now_ns(),
        }
    }

    /// The moment `ns`.
    pub(super) fn instant(&self, ns: u64) -> Instant {
        match ns.checked_sub(self.ns) {
            Some(later) => self.instant + Duration::from_nanos(later),
            None => self.instant - Duration::from_nanos(self.ns - ns),
        }
    }
}

/// What this process adds to its machine's clock. Of the process, as a clock is: set once, before a rank times anything.
static BEHIND_NS: AtomicI64 = AtomicI64::new(0);

/// Has this process's clock show so much more than its machine's.
pub(crate) fn set_behind(ns: i64) {
    BEHIND_NS.store(ns, Ordering::Relaxed);
}

/// Now, in nanoseconds of the shared clock.
pub(crate) fn now_ns() -> u64 {
    shared(longhaul_emulator::clocks::now()).as_nanos()
}

/// A moment of this machine's CLOCK_MONOTONIC on the shared clock.
pub(crate) fn shared(machine: Time) -> Time {
    let behind_ns = BEHIND_NS.load(Ordering::Relaxed);
    Time::from_nanos(machine.as_nanos().saturating_add_signed(behind_ns))
}

/// Sleeps until `ns`; not at all if that has passed.
pub(crate) fn sleep_until(ns: u64) {
    let behind = BEHIND_NS.load(Ordering::Relaxed);
    let until = TimeSpec::from(Duration::from_nanos(ns.saturating_add_signed(-behind)));
    let flags = ClockNanosleepFlags::TIMER_ABSTIME;
    while clock_nanosleep(ClockId::CLOCK_MONOTONIC, flags, &until) == Err(nix::errno::Errno::EINTR)
    {
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_nanoseconds_tell_the_same_time() {
        let anchor = ClockAnchor::now();
        let (before, ns, after) = (Instant::now(), now_ns(), Instant::now());
        // The anchor's own two readings lie a moment apart.
        let slack = Duration::from_millis(50);
        assert!(anchor.instant(ns) + slack >= before && anchor.instant(ns) <= after + slack);
    }

    #[test]
    fn a_moment_in_the_past_is_not_waited_for() {
        let start = Instant::now();
        sleep_until(now_ns() - 1);
        sleep_until(now_ns() + 2_000_000);
        assert!(start.elapsed() >= Duration::from_millis(2));
    }
}
