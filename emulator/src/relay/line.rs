//! A transmitter: when which bit has left it, exact to the bit however long it stays busy.

use std::sync::Arc;
use std::time::Duration;

use longhaul_topologies::model::{Channel, RateTrace};
use longhaul_topologies::units::Rate;

use crate::time::Time;

const NANOSECONDS: u128 = 1_000_000_000;

/// The transmitter. Instants are computed from the start of its busy period, never from each other, so that
/// rounding to the nanosecond does not add up.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pace: Pace,
    /// When the busy period began.
    origin: Time,
    /// Bits handed over since.
    bits: u64,
}

/// How fast bits leave.
#[derive(Clone, Debug)]
enum Pace {
    Constant(Rate),
    Trace(Arc<Recorded>),
}

/// A trace and what has passed at each of its steps. Sums are in bits × nanoseconds ÷ seconds, which are whole numbers.
#[derive(Debug)]
struct Recorded {
    trace: RateTrace,
    /// When it began.
    began: Time,
    /// What passes until each step.
    before: Arc<[u128]>,
    /// What passes in a whole period.
    whole: u128,
}

impl Line {
    /// The line of `channel`, free from `origin` on; `None` if nothing limits it. A trace begins at `began`.
    pub(crate) fn of(channel: &Channel, origin: Time, began: Time) -> Option<Self> {
        let pace = match (&channel.rate_trace, channel.rate) {
            (Some(trace), _) => Pace::Trace(Arc::new(Recorded::new(trace.clone(), began))),
            (None, rate) => Pace::Constant(rate?),
        };
        Some(Line {
            pace,
            origin,
            bits: 0,
        })
    }

    /// When the trace began that it follows, if that is `trace`.
    pub(super) fn began(&self, trace: Option<&RateTrace>) -> Option<Time> {
        match &self.pace {
            Pace::Trace(recorded) if trace == Some(&recorded.trace) => Some(recorded.began),
            Pace::Trace(_) | Pace::Constant(_) => None,
        }
    }

    /// When the last bit handed over so far has left.
    pub(super) fn free_at(&self) -> Time {
        self.left_after(self.bits)
    }

    /// Starts a busy period at `now` unless one is under way.
    pub(crate) fn start(&mut self, now: Time) {
        if self.free_at() <= now {
            self.origin = now;
            self.bits = 0;
        }
    }

    /// Hands bytes over; answers when their last bit leaves.
    pub(crate) fn transmit(&mut self, bytes: u64) -> Time {
        self.bits += bytes * 8;
        self.free_at()
    }

    /// When `bytes` more would have left.
    pub(super) fn free_after(&self, bytes: u64) -> Time {
        self.left_after(self.bits + bytes * 8)
    }

    /// Bits beyond those handed over so far that a line which stays busy has sent by `now`.
    pub(super) fn progress(&self, now: Time) -> u64 {
        let passed = self.pace.passed(now) - self.pace.passed(self.origin.min(now));
        u64::try_from(passed / NANOSECONDS)
            .unwrap_or(u64::MAX)
            .saturating_sub(self.bits)
    }

    /// How many bytes leave within `span` from when the line is free.
    pub(super) fn bytes_within(&self, span: Duration) -> u64 {
        self.progress(self.free_at() + span) / 8
    }

    fn left_after(&self, bits: u64) -> Time {
        if bits == 0 {
            return self.origin;
        }
        match &self.pace {
            // From the busy period's start, where the general way would go by the clock's origin: the same, and cheaper.
            Pace::Constant(rate) => {
                let sum = u128::from(bits) * NANOSECONDS;
                let nanoseconds = sum.div_ceil(u128::from(rate.bits_per_second()));
                self.origin + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
            }
            Pace::Trace(recorded) => {
                let sum = recorded.passed(self.origin) + u128::from(bits) * NANOSECONDS;
                recorded.when(sum)
            }
        }
    }
}

impl Pace {
    /// What has passed by `time` on a line that is always busy.
    fn passed(&self, time: Time) -> u128 {
        match self {
            Pace::Constant(rate) => {
                u128::from(time.as_nanos()) * u128::from(rate.bits_per_second())
            }
            Pace::Trace(recorded) => recorded.passed(time),
        }
    }
}

impl Recorded {
    fn new(trace: RateTrace, began: Time) -> Self {
        let (before, whole) = trace.cumulative();
        Recorded {
            began,
            before: Arc::clone(before),
            whole,
            trace,
        }
    }

    fn passed(&self, time: Time) -> u128 {
        let since = time.since(self.began).as_nanos();
        let period = self.trace.period().as_nanos();
        let (rounds, place) = (since / period, since % period);
        let steps = self.trace.steps();
        // The first step is at 0.
        let at = steps.partition_point(|step| step.at.as_nanos() <= place) - 1;
        let step = steps[at];
        rounds * self.whole
            + self.before[at]
            + u128::from(step.bits_per_second) * (place - step.at.as_nanos())
    }

    /// The first instant by which `sum` has passed.
    fn when(&self, sum: u128) -> Time {
        let Some(last) = sum.checked_sub(1) else {
            return self.began;
        };
        let (rounds, rest) = (last / self.whole, last % self.whole + 1);
        // The step within which it is reached lets something pass: less than `rest` has passed before it.
        let at = self.before.partition_point(|&before| before < rest) - 1;
        let step = self.trace.steps()[at];
        let within = (rest - self.before[at]).div_ceil(u128::from(step.bits_per_second));
        let nanoseconds = rounds * self.trace.period().as_nanos() + step.at.as_nanos() + within;
        self.began + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::RateStep;
    use proptest::prelude::*;

    use super::*;

    fn constant(rate: u64, origin: u64) -> Line {
        let channel = Channel {
            rate: Some(Rate::from_bits_per_second(rate)),
            ..Channel::of_delay(Duration::ZERO)
        };
        let origin = Time::from_nanos(origin);
        Line::of(&channel, origin, origin).unwrap()
    }

    fn traced(steps: &[(u64, u64)], period: u64, origin: u64) -> Line {
        let steps = steps.iter().map(|&(at, bits_per_second)| RateStep {
            at: Duration::from_micros(at),
            bits_per_second,
        });
        let period = Duration::from_micros(period);
        let channel = Channel {
            rate_trace: Some(RateTrace::new(steps.collect(), period).unwrap()),
            ..Channel::of_delay(Duration::ZERO)
        };
        Line::of(&channel, Time::from_nanos(origin), Time::default()).unwrap()
    }

    #[test]
    fn a_trace_s_bits_leave_as_it_lets_them_and_wait_out_its_gaps() {
        // 1 Mbit/s for 1 ms, nothing for 1 ms, 2 Mbit/s for 1 ms: 3000 bits in 3 ms.
        let steps = [(0, 1_000_000), (1_000, 0), (2_000, 2_000_000)];
        let mut line = traced(&steps, 3_000, 0);
        let micros = |time: Time| time.as_nanos() / 1_000;
        assert_eq!(micros(line.transmit(100)), 800);
        assert_eq!(micros(line.transmit(25)), 1_000);
        assert_eq!(micros(line.transmit(25)), 2_100);
        assert_eq!(micros(line.transmit(225)), 3_000);
        assert_eq!(micros(line.transmit(375)), 6_000);
        line.start(Time::from_nanos(7_500_000));
        assert_eq!(micros(line.transmit(25)), 8_100);
    }

    proptest! {
        #[test]
        fn a_trace_of_one_rate_is_that_rate(rate in 1_000u64..400_000_000_000, frames in prop::collection::vec(14u32..9_014, 1..50), origin in 0u64..1_000_000_000) {
            let mut plain = constant(rate, origin);
            let mut trace = traced(&[(0, rate)], 777, origin);
            for &frame in &frames {
                let (a, b) = (plain.transmit(u64::from(frame)), trace.transmit(u64::from(frame)));
                // Less than a bit of either is under way when the nanosecond is full.
                prop_assert!(a.as_nanos().abs_diff(b.as_nanos()) <= 1, "{a:?} {b:?}");
            }
        }

        #[test]
        fn a_bit_of_a_trace_has_left_exactly_when_its_instant_is_reached(
            rates in prop::collection::vec(prop_oneof![Just(0u64), 1_000u64..10_000_000_000], 1..8),
            origin in 0u64..50_000_000,
            frame in 14u32..65_550,
        ) {
            prop_assume!(rates.iter().any(|&rate| rate > 0));
            let steps: Vec<_> = rates.iter().enumerate().map(|(at, &rate)| (at as u64 * 900, rate)).collect();
            let period = steps.len() as u64 * 900;
            prop_assume!(rates.iter().sum::<u64>() > 1_000_000);
            let line = traced(&steps, period, origin);
            let end = line.free_after(u64::from(frame));
            prop_assert!(line.progress(end) >= u64::from(frame) * 8);
            let before = Time::from_nanos(end.as_nanos() - 1);
            prop_assert!(line.progress(before) < u64::from(frame) * 8);
        }

        #[test]
        fn rounding_never_accumulates(rate in 1_000u64..400_000_000_000, frames in prop::collection::vec(14u32..9_014, 1..200)) {
            let mut line = constant(rate, 7);
            let mut end = Time::default();
            for &frame in &frames {
                end = line.transmit(u64::from(frame));
            }
            let bits: u128 = frames.iter().map(|&frame| u128::from(frame) * 8).sum();
            let exact = (bits * NANOSECONDS).div_ceil(u128::from(rate));
            prop_assert_eq!(u128::from(end.as_nanos()), exact + 7);
        }

        #[test]
        fn a_bit_has_left_exactly_when_its_instant_is_reached(rate in 1_000u64..400_000_000_000, frame in 14u32..65_550) {
            let line = constant(rate, 1_000);
            let end = line.free_after(u64::from(frame));
            prop_assert!(line.progress(end) >= u64::from(frame) * 8);
            let before = Time::from_nanos(end.as_nanos() - 1);
            prop_assert!(line.progress(before) < u64::from(frame) * 8);
        }
    }
}
