//! The clock that all ranks share, and what the kernel's stamps tell by it.
//!
//! The kernel stamps a packet when it comes, by `CLOCK_REALTIME`, which may be set meanwhile; the ranks' clock is
//! `CLOCK_MONOTONIC`, which may not. How far the two are apart is read anew for every batch, so that a step bends the packets
//! that wait just then, at most, and those by no more than they can have waited.

use std::time::Duration;

use longhaul_emulator::clocks::{Clocks, Watch};
use longhaul_emulator::time::Time;

use crate::world::clock::shared;

#[derive(Debug)]
pub(super) struct Clock(Watch);

/// Has the timers of this thread go off when they should, and not with others up to 50 µs later, as the kernel may let them: added
/// to what a busy host takes, that is more than a pace allows to be made up for. A kernel that refuses leaves them as they are, and
/// in a virtual lab, where hosts take nothing, they are left.
pub(crate) fn exact_timers() {
    if let Watch::Running = Watch::of_this_clock() {
        let _ = nix::sys::prctl::set_timerslack(1);
    }
}

impl Clock {
    pub(super) fn new() -> Self {
        Self(Watch::of_this_clock())
    }

    pub(super) fn now(&mut self) -> Time {
        shared(self.0.now())
    }

    /// The thread may have slept: where time stands still while it works, it has gone on.
    pub(super) fn slept(&mut self) {
        self.0.slept(None);
    }

    /// Both of the machine's clocks, to tell arrivals by.
    pub(super) fn both(&mut self) -> Clocks {
        self.0.clocks()
    }
}

/// When a packet came that the kernel stamped so, as far as it did: not before `earliest`, whatever the clock was set to.
pub(super) fn arrival(clocks: Clocks, stamp: Option<Duration>, earliest: Time) -> Time {
    let came = stamp.map_or(clocks.monotonic, |stamp| {
        clocks.monotonic_of(stamp, Time::default())
    });
    shared(came).max(earliest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCKS: Clocks = Clocks {
        monotonic: Time::from_nanos(9_000),
        realtime: Duration::from_secs(5_000),
    };
    const EARLIEST: Time = Time::from_nanos(8_000);

    #[test]
    fn a_stamp_tells_how_long_a_packet_has_waited() {
        let stamp = CLOCKS.realtime - Duration::from_nanos(400);
        let came = arrival(CLOCKS, Some(stamp), EARLIEST);
        assert_eq!(came, Time::from_nanos(8_600));
    }

    #[test]
    fn a_clock_that_is_set_bends_an_arrival_by_no_more_than_a_packet_can_have_waited() {
        let hour = Duration::from_secs(3_600);
        let ahead = arrival(CLOCKS, Some(CLOCKS.realtime + hour), EARLIEST);
        let behind = arrival(CLOCKS, Some(CLOCKS.realtime - hour), EARLIEST);
        assert_eq!((ahead, behind), (CLOCKS.monotonic, EARLIEST));
    }

    #[test]
    fn a_packet_without_a_stamp_came_when_it_was_read() {
        assert_eq!(arrival(CLOCKS, None, EARLIEST), CLOCKS.monotonic);
    }
}
