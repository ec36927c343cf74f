//! A run's seconds: what every `time_s` of a result counts.

use std::time::{Duration, Instant, SystemTime};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use crate::program::When;

/// Counts from the run's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    epoch: Instant,
    /// The same instant on CLOCK_MONOTONIC, which ranks read.
    epoch_ns: u64,
}

impl Clock {
    /// The run starts now.
    pub(super) fn start() -> Self {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(TimeSpec::new(0, 0));
        Self {
            epoch: Instant::now(),
            epoch_ns: u64::try_from(Duration::from(now).as_nanos()).unwrap_or_default(),
        }
    }

    /// The start in nanoseconds on CLOCK_MONOTONIC.
    pub(super) fn epoch_ns(&self) -> u64 {
        self.epoch_ns
    }

    /// Seconds from the start to `at`.
    pub(super) fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.epoch).as_secs_f64()
    }

    /// The same, of nanoseconds on CLOCK_MONOTONIC.
    pub(super) fn monotonic(&self, at_ns: u64) -> f64 {
        at_ns.saturating_sub(self.epoch_ns) as f64 / 1e9
    }

    /// The same, of what programs say that were started at `started`.
    pub(super) fn told(&self, started: Instant) -> impl Fn(When) -> Option<f64> {
        let clock = *self;
        // This moment on both clocks.
        let (now_s, unix) = (clock.seconds(Instant::now()), unix_seconds());
        move |when| match when {
            When::Unknown => None,
            When::SinceStart(seconds) => Some(clock.seconds(started) + seconds),
            When::Unix(at) => Some(now_s - (unix - at)),
            When::Monotonic(at_ns) => Some(clock.monotonic(at_ns)),
        }
    }
}

/// Seconds since 1970.
fn unix_seconds() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}

/// Whole nanoseconds over a thousand, so that no digits are made up.
pub(in super::super) fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}
