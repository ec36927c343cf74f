//! The clock that all ranks share, and what the kernel's stamps tell by it.
//!
//! The kernel stamps a packet when it comes, by `CLOCK_REALTIME`, which may be set meanwhile; the ranks' clock is
//! `CLOCK_MONOTONIC`, which may not. How far the two are apart is read anew for every batch, so that a step bends the packets
//! that wait just then, at most, and those by no more than they can have waited.

use longhaul_emulator::clocks::{Clocks, Watch};
use longhaul_emulator::time::Time;

use crate::world::clock::shared;

#[derive(Debug)]
pub(super) struct Clock(Watch);

/// Has the timers of this thread go off when they should, and not with others up to 50 µs later, as the kernel may let them: that is
/// more than a queue that the laws keep, and a network card's are exact. A kernel that refuses leaves them as they are.
pub(crate) fn exact_timers() {
    let _ = nix::sys::prctl::set_timerslack(1);
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

    /// The ranks' clock beside `CLOCK_REALTIME`, to tell arrivals by.
    pub(super) fn both(&mut self) -> Clocks {
        let clocks = self.0.clocks();
        Clocks {
            monotonic: shared(clocks.monotonic),
            ..clocks
        }
    }
}
