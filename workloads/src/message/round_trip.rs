//! Round trips of one path, smoothed as RFC 9002, section 5, has it.
//!
//! What the hosts at its ends take to look at a packet is none of the way's, but an answer that waits there is late all the same: a
//! timeout has to allow for it.

use std::time::Duration;

/// What a timer cannot tell apart (RFC 9002's kGranularity is 1 ms, of a clock that had no better; ours counts nanoseconds,
/// what is left is how late a thread may wake).
const GRANULARITY: Duration = Duration::from_micros(500);

/// Silence after which timeouts become ever longer. RFC 9002, section 6.2.1, doubles each; then a path that was cut for 200 ms is asked up to as much
/// later whether it is back, which is many of its round trips if those are short. One packet in two of them is no load.
const PATIENT: Duration = Duration::from_secs(1);

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

    /// How long to wait for a word after so many timeouts in a row: twice as long after the first, and doubled by each once they have taken a
    /// second.
    pub(super) fn timeout_after(&self, timeouts: u32) -> Duration {
        let Some(more) = timeouts.checked_sub(1) else {
            return self.timeout();
        };
        let twice = self.timeout() * 2;
        let patient = (PATIENT.as_nanos() / twice.as_nanos().max(1)) as u32;
        twice * (1 << more.saturating_sub(patient).min(16))
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
    fn a_path_is_asked_as_often_for_a_second_and_then_ever_less() {
        let mut short = RoundTrip::default();
        (0..100).for_each(|_| short.sample(WAY, WAY));
        let once = short.timeout();
        let times = |timeouts| short.timeout_after(timeouts).div_duration_f64(once);
        assert_eq!([0, 1, 2, 24].map(times), [1.0, 2.0, 2.0, 2.0]);
        assert_eq!([26, 27].map(times), [4.0, 8.0]);
        // Where one takes longer than that, each doubles.
        let long = RoundTrip::default();
        let seconds = [0, 1, 2, 3].map(|timeouts| long.timeout_after(timeouts).as_secs_f64());
        assert_eq!(seconds, [0.999, 1.998, 3.996, 7.992]);
    }

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
