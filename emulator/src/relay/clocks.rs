//! The machine's clocks.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::time::Time;

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

/// Two looks at one clock with one at the other between them are as good as simultaneous if no more than this passed: a look
/// takes some 30 ns.
const SIMULTANEOUS: Duration = Duration::from_micros(2);
/// After so many tries the last look counts. Whatever came between makes frames look as if they had arrived later, and
/// so late; the other way round they would leave before their time.
const TRIES: u32 = 5;

impl Clocks {
    /// Reads both.
    pub(super) fn now() -> Self {
        let mut before = now();
        let mut tries = 0;
        loop {
            let realtime = read(ClockId::CLOCK_REALTIME);
            let monotonic = now();
            tries += 1;
            if monotonic.since(before) <= SIMULTANEOUS || tries == TRIES {
                return Clocks {
                    monotonic,
                    realtime,
                };
            }
            before = monotonic;
        }
    }

    /// When `stamp` was: not in the future, and not before `earliest`, whatever the settable clock was set to meanwhile.
    pub(super) fn monotonic_of(self, stamp: Duration, earliest: Time) -> Time {
        (self.monotonic - self.realtime.saturating_sub(stamp)).max(earliest)
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

    const CLOCKS: Clocks = Clocks {
        monotonic: Time::from_nanos(1_000),
        realtime: Duration::from_secs(5_000),
    };
    const EARLIEST: Time = Time::from_nanos(800);

    fn monotonic_of(stamp: Duration) -> Time {
        CLOCKS.monotonic_of(stamp, EARLIEST)
    }

    #[test]
    fn a_stamp_leads_to_the_same_moment_on_the_other_clock() {
        let stamp = CLOCKS.realtime - Duration::from_nanos(100);
        assert_eq!(monotonic_of(stamp), Time::from_nanos(900));
    }

    #[test]
    fn a_clock_that_was_set_back_since_leads_no_further_than_now() {
        let hour_later = CLOCKS.realtime + Duration::from_secs(3_600);
        assert_eq!(monotonic_of(hour_later), CLOCKS.monotonic);
    }

    #[test]
    fn a_clock_that_was_set_forward_since_leads_no_further_back_than_the_frame_before() {
        let hour_earlier = CLOCKS.realtime - Duration::from_secs(3_600);
        assert_eq!(monotonic_of(hour_earlier), EARLIEST);
        assert_eq!(monotonic_of(Duration::ZERO), EARLIEST);
    }
}
