//! What wakes the relay's thread for the next release, in time.
//!
//! A timer goes off late: by the interrupt, the scheduler and, on a virtual machine, the hypervisor (20–35 µs in the
//! median where this was written). So it is set early by a *lead* that is learnt from how late it went off, and the
//! thread looks after its sockets without sleeping for what is left. That is bounded by [`LONGEST_LEAD`] a wake-up, and
//! is no more than the interrupt itself would have cost: to set a timer for an instant that is nearly here, or past,
//! costs 20 µs of processor time on a virtual machine, as it raises the interrupt at once, where a look at the sockets
//! costs 0.2 µs.
//!
//! In a virtual lab timers go off when they should and wake-ups cost no time: there it is set to the instant itself, for each.
//!
//! Where releases follow each other closely, each would have a wake-up of its own, and a gigabit of single packets would take
//! the whole core. So once [`BURST`] deliveries came in quick succession, those that follow are [`INTERVAL`] apart, as a network
//! card moderates its interrupts.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::epoll::EpollTimeout;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::guest;
use crate::time::Time;

/// The longest that the thread may stay awake for a release.
const LONGEST_LEAD: Duration = Duration::from_micros(40);
/// The least time between two deliveries in the long run, and so what a release may be late where there are many.
const INTERVAL: Duration = Duration::from_micros(50);
/// Deliveries that may follow each other at any distance.
const BURST: u32 = 8;
/// How far from where it should be the timer may stay, in favour of being early.
const TOLERANCE: Duration = Duration::from_micros(4);
/// Steps of the lead after a wake-up that was later than it, and after one that was not.
const UP: Duration = Duration::from_nanos(300);
const DOWN: Duration = Duration::from_nanos(100);

/// What a clock asks for.
#[derive(Clone, Copy, Debug)]
struct Pace {
    longest_lead: Duration,
    interval: Duration,
    tolerance: Duration,
}

impl Pace {
    /// Of a clock that goes on meanwhile, and timers that go off late.
    const WALL: Pace = Pace {
        longest_lead: LONGEST_LEAD,
        interval: INTERVAL,
        tolerance: TOLERANCE,
    };
    /// Of one that stands still while anything is done.
    const VIRTUAL: Pace = Pace {
        longest_lead: Duration::ZERO,
        interval: Duration::ZERO,
        tolerance: Duration::ZERO,
    };

    fn of_this_clock() -> Self {
        if guest::init::is_guest() {
            Pace::VIRTUAL
        } else {
            Pace::WALL
        }
    }
}

/// The timer and what was learnt about it.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: TimerFd,
    pace: Pace,
    /// When the timer goes off, if it is set.
    set: Option<Time>,
    lead: Lead,
    /// When the deliveries so far would have ended at one each [`INTERVAL`] (the theoretical arrival time of the generic cell
    /// rate algorithm, ITU-T I.371).
    paid: Time,
}

impl Alarm {
    /// A timer that is not set.
    pub(super) fn open() -> io::Result<Self> {
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
        )?;
        Ok(Alarm {
            timer,
            pace: Pace::of_this_clock(),
            set: None,
            lead: Lead::default(),
            paid: Time::default(),
        })
    }

    /// When it goes off, if it is set.
    pub(super) fn set_to(&self) -> Option<Time> {
        self.set
    }

    /// Something was delivered at `now`.
    pub(super) fn delivered(&mut self, now: Time) {
        self.paid = self.paid.max(now) + self.pace.interval;
    }

    /// Sees to it that a wait for events ends in time for a release at `next`; answers how long it may last.
    pub(super) fn prepare(&mut self, next: Option<Time>, now: Time) -> io::Result<EpollTimeout> {
        let lead = self.lead.0.min(self.pace.longest_lead);
        let Some(next) = next else {
            if self.set.take().is_some() {
                self.timer.unset()?;
            }
            return Ok(EpollTimeout::NONE);
        };
        let next = next.max(self.paid - self.pace.interval * BURST);
        if next <= now + lead {
            return Ok(EpollTimeout::ZERO);
        }
        let target = next - lead;
        // Each setting costs a system call, and the lead moves all the time: what is about right stays.
        let tolerance = self.pace.tolerance;
        let is_right =
            |set: Time| set <= target + tolerance && target <= set + tolerance + tolerance;
        if !self.set.is_some_and(is_right) {
            self.set = Some(target);
            // An instant of zero would disarm the timer.
            let span = Duration::from_nanos(target.as_nanos().max(1));
            self.timer.set(
                Expiration::OneShot(TimeSpec::from_duration(span)),
                TimerSetTimeFlags::TFD_TIMER_ABSTIME,
            )?;
        }
        Ok(EpollTimeout::NONE)
    }

    /// The timer went off, which was noticed at `now`: learns from how late that was.
    pub(super) fn rang(&mut self, now: Time) {
        if let Some(set) = self.set.take() {
            self.lead.learn(now.since(set));
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

/// How late the timer goes off, at the quantile that [`UP`] and [`DOWN`] make: three of four times.
#[derive(Clone, Copy, Debug, Default)]
struct Lead(Duration);

impl Lead {
    /// Follows the quantile: it is reached when steps up and down keep the balance.
    fn learn(&mut self, late: Duration) {
        self.0 = if late > self.0 {
            (self.0 + UP).min(LONGEST_LEAD)
        } else {
            self.0.saturating_sub(DOWN)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    #[test]
    fn the_lead_finds_what_three_of_four_wake_ups_keep_to() {
        let mut lead = Lead::default();
        for round in 0..4_000_u64 {
            // 10, 14, 18 … 46 µs, in no order.
            lead.learn(micros(10 + round * 7 % 10 * 4));
        }
        assert!(micros(34) <= lead.0 && lead.0 <= micros(40), "{lead:?}");
    }

    #[test]
    fn one_very_late_wake_up_changes_little_and_many_never_make_it_longer_than_allowed() {
        let mut lead = Lead(micros(20));
        lead.learn(Duration::from_secs(1));
        assert_eq!(lead.0, micros(20) + UP);
        (0..10_000).for_each(|_| lead.learn(Duration::from_millis(5)));
        assert_eq!(lead.0, LONGEST_LEAD);
    }

    #[test]
    fn what_is_due_or_nearly_is_not_slept_for() {
        let mut alarm = Alarm::open().unwrap();
        let now = Time::from_nanos(1_000_000);
        alarm.lead = Lead(micros(20));
        assert_eq!(alarm.prepare(Some(now), now).unwrap(), EpollTimeout::ZERO);
        let soon = now + micros(20);
        assert_eq!(alarm.prepare(Some(soon), now).unwrap(), EpollTimeout::ZERO);
        assert_eq!(alarm.set, None);
        let later = now + micros(100);
        assert_eq!(alarm.prepare(Some(later), now).unwrap(), EpollTimeout::NONE);
        assert_eq!(alarm.set, Some(now + micros(80)));
        alarm.prepare(None, now).unwrap();
        assert_eq!(alarm.set, None);
    }

    #[test]
    fn a_dense_stream_is_delivered_at_intervals_and_a_pair_is_not() {
        let mut alarm = Alarm::open().unwrap();
        let now = Time::from_nanos(1_000_000_000);
        let soon = Some(now + micros(1));
        alarm.delivered(now);
        assert_eq!(alarm.prepare(soon, now).unwrap(), EpollTimeout::NONE);
        assert_eq!(alarm.set, soon);
        (0..BURST).for_each(|_| alarm.delivered(now));
        assert_eq!(alarm.prepare(soon, now).unwrap(), EpollTimeout::NONE);
        assert_eq!(alarm.set, Some(now + INTERVAL));
    }
}
