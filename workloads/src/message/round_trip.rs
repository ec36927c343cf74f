//! Round trips of one path, smoothed as RFC 9002, section 5, has it.

use std::time::Duration;

/// What a timer cannot tell apart (RFC 9002's kGranularity is 1 ms, of a clock that had no better; ours counts nanoseconds,
/// what is left is how late a thread may wake).
const GRANULARITY: Duration = Duration::from_micros(500);

/// The first timeout, before any sample: RFC 9002's kInitialRtt, tripled.
const INITIAL_TIMEOUT: Duration = Duration::from_millis(999);

#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    estimate: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    smoothed: Duration,
    variation: Duration,
    latest: Duration,
}

impl RoundTrip {
    pub(super) fn sample(&mut self, rtt: Duration) {
        self.estimate = Some(match self.estimate {
            None => Estimate {
                smoothed: rtt,
                variation: rtt / 2,
                latest: rtt,
            },
            Some(Estimate {
                smoothed,
                variation,
                ..
            }) => Estimate {
                smoothed: (smoothed * 7 + rtt) / 8,
                variation: (variation * 3 + smoothed.abs_diff(rtt)) / 4,
                latest: rtt,
            },
        });
    }

    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.estimate.map(|estimate| estimate.smoothed)
    }

    /// The larger of the smoothed and the latest, by which lateness is judged (RFC 9002, section 6.1.2).
    pub(super) fn upper(&self) -> Option<Duration> {
        self.estimate
            .map(|estimate| estimate.smoothed.max(estimate.latest))
    }

    /// The probe timeout (RFC 9002, section 6.2.1).
    pub(super) fn timeout(&self) -> Duration {
        self.estimate.map_or(INITIAL_TIMEOUT, |estimate| {
            estimate.smoothed + (estimate.variation * 4).max(GRANULARITY)
        })
    }
}
