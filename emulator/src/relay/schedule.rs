//! When which channel wants attention.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Time;

/// An alarm clock for many channels: idle ones cost nothing.
#[derive(Debug)]
pub(super) struct Schedule {
    armed: Vec<Option<Time>>,
    /// Every alarm ever set and not yet passed; those that `armed` does not confirm are stale.
    alarms: BinaryHeap<Reverse<(Time, usize)>>,
}

impl Schedule {
    /// No alarms, for `channels` channels.
    pub(super) fn new(channels: usize) -> Self {
        Schedule {
            armed: vec![None; channels],
            alarms: BinaryHeap::new(),
        }
    }

    /// Sets, moves or removes the alarm of `channel`.
    pub(super) fn set(&mut self, channel: usize, alarm: Option<Time>) {
        if self.armed[channel] != alarm {
            self.armed[channel] = alarm;
            self.alarms
                .extend(alarm.map(|time| Reverse((time, channel))));
        }
    }

    /// The next alarm.
    pub(super) fn next(&mut self) -> Option<Time> {
        while let Some(&Reverse((time, channel))) = self.alarms.peek() {
            if self.armed[channel] == Some(time) {
                return Some(time);
            }
            self.alarms.pop();
        }
        None
    }

    /// A channel whose alarm has come by `now`; removes the alarm.
    pub(super) fn due(&mut self, now: Time) -> Option<usize> {
        self.next().filter(|&time| time <= now)?;
        let Reverse((_, channel)) = self.alarms.pop()?;
        self.armed[channel] = None;
        Some(channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_go_off_in_order_and_only_as_last_set() {
        let at = Time::from_nanos;
        let mut schedule = Schedule::new(3);
        schedule.set(0, Some(at(30)));
        schedule.set(1, Some(at(20)));
        schedule.set(2, Some(at(10)));
        schedule.set(2, None);
        schedule.set(1, Some(at(40)));
        schedule.set(0, Some(at(15)));
        assert_eq!(schedule.next(), Some(at(15)));
        assert_eq!(schedule.due(at(14)), None);
        assert_eq!(schedule.due(at(40)), Some(0));
        assert_eq!(schedule.due(at(40)), Some(1));
        assert_eq!(schedule.due(at(40)), None);
        assert_eq!(schedule.next(), None);
    }
}
