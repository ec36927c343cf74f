//! How late packets leave, and why.
//!
//! A late release is either slept through, as the machine did not wake the thread in time, or the thread was up and busy
//! with others. The moment at which it last came back from a wait tells which.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};

use crate::engine::{LATE, Lateness};
use crate::time::Time;

/// Lateness beyond this counts as this.
const WORST: Duration = Duration::from_secs(60);

/// The record since it was last asked for.
#[derive(Debug)]
pub(super) struct Punctuality {
    late_by: Histogram<u64>,
    late: u64,
    slept_through: u64,
    /// When the thread last came back from a wait.
    woke: Time,
    usage: Usage,
}

/// What became of the thread since it was started.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    preempted: u64,
    major_faults: u64,
}

impl Punctuality {
    pub(super) fn new() -> io::Result<Self> {
        let late_by = Histogram::new_with_max(WORST.as_nanos() as u64, 3)
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Punctuality {
            late_by,
            late: 0,
            slept_through: 0,
            woke: Time::default(),
            usage: Usage::of_this_thread(),
        })
    }

    /// The thread came back from a wait at `now`.
    pub(super) fn woke(&mut self, now: Time) {
        self.woke = now;
    }

    /// What was to leave at `release` has left by `now`.
    pub(super) fn released(&mut self, release: Time, now: Time) {
        let late = now.since(release);
        self.late_by
            .saturating_record(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
        if late > LATE {
            self.late += 1;
            if 2 * self.woke.since(release) >= late {
                self.slept_through += 1;
            }
        }
    }

    /// The record, which begins anew. To be called on the relay's thread.
    pub(super) fn take(&mut self) -> Lateness {
        let usage = Usage::of_this_thread();
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let lateness = Lateness {
            releases: self.late_by.len(),
            p50_us: microseconds(self.late_by.value_at_quantile(0.5)),
            p99_us: microseconds(self.late_by.value_at_quantile(0.99)),
            max_us: microseconds(self.late_by.max()),
            late: share(self.late, self.late_by.len()),
            slept_through: share(self.slept_through, self.late),
            preempted: usage.preempted.saturating_sub(self.usage.preempted),
            major_faults: usage.major_faults.saturating_sub(self.usage.major_faults),
        };
        self.late_by.reset();
        (self.late, self.slept_through, self.usage) = (0, 0, usage);
        lateness
    }
}

impl Usage {
    fn of_this_thread() -> Self {
        // Fails only for a `who` that does not exist (getrusage(2)).
        let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else {
            return Usage::default();
        };
        Usage {
            preempted: usage.involuntary_context_switches().try_into().unwrap_or(0),
            major_faults: usage.major_page_faults().try_into().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Time {
        Time::from_nanos(milliseconds * 1_000_000)
    }

    #[test]
    fn what_was_slept_through_is_told_from_what_waited_for_its_turn() {
        let mut record = Punctuality::new().unwrap();
        record.woke(at(100));
        record.released(at(90), at(101));
        record.released(at(99), at(108));
        record.released(at(107), at(108));
        record.released(at(108), at(108));
        let lateness = record.take();
        assert_eq!((lateness.releases, lateness.late), (4, 0.5));
        assert_eq!(lateness.slept_through, 0.5);
        assert_eq!(record.take().releases, 0);
    }

    #[test]
    fn a_machine_that_slept_for_an_hour_shows_in_the_record() {
        let mut record = Punctuality::new().unwrap();
        record.woke(at(3_600_000));
        record.released(at(5), at(3_600_000));
        let lateness = record.take();
        assert_eq!((lateness.late, lateness.slept_through), (1.0, 1.0));
        assert!(lateness.max_us >= 59e6, "{lateness:?}");
    }
}
