//! Round trips of one path, smoothed as RFC 9002, section 5, has it.
//!
//! What the hosts at its ends take to look at a packet is none of the way's, but an answer that waits there is late all the same: a
//! timeout has to allow for it.

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
    /// Of the way.
    smoothed: Duration,
    latest: Duration,
    /// Until the answer was looked at.
    answered: Duration,
    variation: Duration,
}

impl RoundTrip {
    /// A packet was under way for `rtt`, there and back, and its answer was looked at when it had been gone for `answered`.
    pub(super) fn sample(&mut self, rtt: Duration, answered: Duration) {
        self.estimate = Some(match self.estimate {
            None => Estimate {
                smoothed: rtt,
                latest: rtt,
                answered,
                variation: answered / 2,
            },
            Some(last) => Estimate {
                smoothed: (last.smoothed * 7 + rtt) / 8,
                latest: rtt,
                answered: (last.answered * 7 + answered) / 8,
                variation: (last.variation * 3 + last.answered.abs_diff(answered)) / 4,
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
            estimate.answered + (estimate.variation * 4).max(GRANULARITY)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Duration = Duration::from_millis(20);

    #[test]
    fn answers_that_wait_at_a_host_make_timeouts_longer_and_not_the_round_trip() {
        let (mut prompt, mut busy) = (RoundTrip::default(), RoundTrip::default());
        for sample in 0..100 {
            prompt.sample(WAY, WAY);
            busy.sample(WAY, WAY + Duration::from_millis(sample % 6));
        }
        assert_eq!((prompt.upper(), busy.upper()), (Some(WAY), Some(WAY)));
        assert!(busy.timeout() > WAY + Duration::from_millis(5));
        assert!(prompt.timeout() < WAY + Duration::from_millis(1));
    }
}
