//! The machine's clocks.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::guest;
use crate::time::Time;

/// Both clocks at one moment, to tell when a packet arrived that the kernel stamped on the other.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// `CLOCK_MONOTONIC`.
    pub monotonic: Time,
    /// `CLOCK_REALTIME`.
    pub realtime: Duration,
}

/// `CLOCK_MONOTONIC`.
pub fn now() -> Time {
    Time::from_nanos(u64::try_from(read(ClockId::CLOCK_MONOTONIC).as_nanos()).unwrap_or(u64::MAX))
}

/// The clocks for a thread that asks often.
#[derive(Clone, Copy, Debug)]
pub enum Watch {
    /// They go on while the thread works.
    Running,
    /// They stand still until the thread sleeps, as a virtual lab's do, where a look at one is a system call.
    Still {
        /// What it is now, once that is known.
        now: Option<Time>,
        /// How far `CLOCK_REALTIME` is ahead, which nothing in a lab changes.
        realtime_ahead: Duration,
    },
}

impl Watch {
    /// As this machine's clocks are.
    pub fn of_this_clock() -> Self {
        if guest::init::is_guest() {
            let clocks = Clocks::now();
            Watch::Still {
                now: None,
                realtime_ahead: clocks
                    .realtime
                    .saturating_sub(clocks.monotonic.since(Time::default())),
            }
        } else {
            Watch::Running
        }
    }

    /// `CLOCK_MONOTONIC`.
    pub fn now(&mut self) -> Time {
        match self {
            Watch::Running => now(),
            Watch::Still { now: known, .. } => *known.get_or_insert_with(now),
        }
    }

    /// Both clocks.
    pub fn clocks(&mut self) -> Clocks {
        match *self {
            Watch::Running => Clocks::now(),
            Watch::Still { realtime_ahead, .. } => {
                let monotonic = self.now();
                Clocks {
                    monotonic,
                    realtime: monotonic.since(Time::default()) + realtime_ahead,
                }
            }
        }
    }

    /// The thread has slept, and was woken by a timer that was set to `alarm`, if by any.
    pub fn slept(&mut self, alarm: Option<Time>) {
        if let Watch::Still { now, .. } = self {
            *now = alarm;
        }
    }
}

/// Two looks at one clock with one at the other between them are as good as simultaneous if no more than this passed: a look
/// takes some 30 ns.
const SIMULTANEOUS: Duration = Duration::from_micros(2);
/// After so many tries the last look counts. Whatever came between makes frames look as if they had arrived later, and
/// so late; the other way round they would leave before their time.
const TRIES: u32 = 5;

impl Clocks {
    /// Reads both.
    pub fn now() -> Self {
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
    pub fn monotonic_of(self, stamp: Duration, earliest: Time) -> Time {
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
    fn clocks_that_stand_still_are_looked_at_once_a_sleep_and_not_where_the_timer_told() {
        let mut watch = Watch::Still {
            now: Some(EARLIEST),
            realtime_ahead: Duration::from_secs(5),
        };
        assert_eq!(watch.now(), EARLIEST);
        assert_eq!(watch.clocks().realtime, Duration::from_nanos(5_000_000_800));
        watch.slept(Some(Time::from_nanos(900)));
        assert_eq!(watch.now(), Time::from_nanos(900));
        watch.slept(None);
        let seen = watch.now();
        assert!(seen > Time::from_nanos(900));
        assert_eq!(watch.now(), seen);
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
