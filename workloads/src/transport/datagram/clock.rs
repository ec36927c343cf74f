//! The time, read when enough was done since the last reading to have taken some.
//!
//! Where the clock is a system call (a virtual lab's kernel has no vDSO), reading it for every packet costs as much as the
//! packet; there, time also stands still while a program computes.

use longhaul_emulator::time::Time;

use crate::world::clock::now_ns;

/// Bytes handled on one reading: a few microseconds' worth.
const WORK: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Clock {
    now: Time,
    /// Bytes handled since the reading.
    work: usize,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            now: Time::from_nanos(now_ns()),
            work: 0,
        }
    }

    pub(super) fn now(&mut self) -> Time {
        if self.work > WORK {
            *self = Self::new();
        }
        self.now
    }

    /// So many bytes were handled.
    pub(super) fn work(&mut self, bytes: usize) {
        self.work = self.work.saturating_add(bytes);
    }

    /// The thread may have slept.
    pub(super) fn pass(&mut self) {
        self.work = usize::MAX;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_reading_serves_until_enough_was_done() {
        let mut clock = Clock::new();
        let first = clock.now();
        std::thread::sleep(Duration::from_millis(1));
        clock.work(WORK);
        assert_eq!(clock.now(), first);
        clock.work(1);
        assert!(clock.now().since(first) >= Duration::from_millis(1));
    }

    #[test]
    fn sleep_makes_a_reading_old() {
        let mut clock = Clock::new();
        let first = clock.now();
        std::thread::sleep(Duration::from_millis(1));
        clock.pass();
        assert!(clock.now().since(first) >= Duration::from_millis(1));
    }
}
