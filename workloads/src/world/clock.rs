//! CLOCK_MONOTONIC, which all ranks of a machine share.

use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

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

/// Now, in nanoseconds of CLOCK_MONOTONIC.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has CLOCK_MONOTONIC");
    Duration::from(now).as_nanos() as u64
}

/// Sleeps until `ns`; not at all if that has passed.
pub(crate) fn sleep_until(ns: u64) {
    let until = TimeSpec::from(Duration::from_nanos(ns));
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
