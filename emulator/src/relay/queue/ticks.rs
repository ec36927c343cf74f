//! A timer in logical time, caught up with whenever there is a call.

use std::time::Duration;

use crate::time::Time;

/// The shortest period, so that catching up with a careless one ends.
const SHORTEST: Duration = Duration::from_micros(1);

/// A periodic timer. Its first tick comes a period after the first call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    period: Duration,
    next: Option<Time>,
}

impl Ticks {
    pub(super) fn new(period: Duration) -> Self {
        Ticks {
            period: period.max(SHORTEST),
            next: None,
        }
    }

    /// Goes on with another period from the next tick on.
    pub(super) fn set(&mut self, period: Duration) {
        self.period = period.max(SHORTEST);
    }

    /// The next tick that has come by `now`, each once.
    pub(super) fn due(&mut self, now: Time) -> Option<Time> {
        let period = self.period;
        let next = self.next.get_or_insert(now + period);
        (*next <= now).then(|| std::mem::replace(next, *next + period))
    }

    /// Lets all ticks pass that have come by `now`.
    pub(super) fn skip(&mut self, now: Time) {
        if let Some(next) = self.next.as_mut().filter(|next| **next <= now) {
            let (late, period) = (now.since(*next).as_nanos(), self.period.as_nanos());
            let ahead = u64::try_from(period - late % period).unwrap_or(u64::MAX);
            *next = now + Duration::from_nanos(ahead);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(ticks: &mut Ticks, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| ticks.due(Time::from_nanos(now)))
            .map(Time::as_nanos)
            .collect()
    }

    #[test]
    fn late_calls_see_every_tick_at_its_own_instant() {
        let mut timer = Ticks::new(Duration::from_micros(10));
        assert!(ticks(&mut timer, 5_000).is_empty());
        assert!(ticks(&mut timer, 14_999).is_empty());
        assert_eq!(ticks(&mut timer, 35_000), [15_000, 25_000, 35_000]);
        assert!(
            ticks(&mut timer, 20_000).is_empty(),
            "an earlier instant brings nothing back"
        );
        assert_eq!(ticks(&mut timer, 45_000), [45_000]);
    }

    #[test]
    fn skipping_keeps_the_phase() {
        for now in [15_000, 15_001, 24_999, 1_000_015_000] {
            let mut timer = Ticks::new(Duration::from_micros(10));
            timer.due(Time::from_nanos(5_000));
            timer.skip(Time::from_nanos(now));
            let next = ticks(&mut timer, now + 10_000);
            assert_eq!(next, [now - (now - 5_000) % 10_000 + 10_000]);
        }
    }
}
