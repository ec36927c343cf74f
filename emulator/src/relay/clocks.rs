//! The machine's clocks.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::time::Time;

/// Both clocks at one moment, to tell when a frame arrived that the kernel stamped on the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// `CLOCK_MONOTONIC`.
    pub(super) monotonic: Time,
    /// `CLOCK_REALTIME`.
    pub(super) realtime: Duration,
}

/// `CLOCK_MONOTONIC`.
pub(super) fn now() -> Time {
    Time::from_nanos(u64::try_from(read(ClockId::CLOCK_MONOTONIC).as_nanos()).unwrap_or(u64::MAX))
}

impl Clocks {
    /// Reads both.
    pub(super) fn now() -> Self {
        Clocks {
            monotonic: now(),
            realtime: read(ClockId::CLOCK_REALTIME),
        }
    }

    /// When `stamp` was; never in the future.
    pub(super) fn monotonic_of(self, stamp: Duration) -> Time {
        self.monotonic - self.realtime.saturating_sub(stamp)
    }
}

fn read(clock: ClockId) -> Duration {
    // Fails only for a clock that does not exist (clock_gettime(2)).
    clock_gettime(clock)
        .expect("every Linux has this clock")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_from_before_a_step_of_the_clock_never_leads_into_the_future() {
        let clocks = Clocks {
            monotonic: Time::from_nanos(1_000),
            realtime: Duration::from_nanos(5_000),
        };
        assert_eq!(
            clocks.monotonic_of(Duration::from_nanos(4_900)),
            Time::from_nanos(900)
        );
        assert_eq!(
            clocks.monotonic_of(Duration::from_nanos(9_000)),
            Time::from_nanos(1_000)
        );
    }
}
