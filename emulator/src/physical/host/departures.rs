//! Probes that were sent and whose stamps have not come. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// How long a stamp may take, which drivers give when a packet has left, some of them now and then none.
const PATIENCE: Duration = Duration::from_millis(20);

/// A probe, by its way and its number, and when it left.
pub(super) type Departure = (u16, u32, u64);

/// Those that wait for their stamps, in the order in which they were sent.
#[derive(Debug, Default)]
pub(super) struct Departures(VecDeque<Departure>);

impl Departures {
    /// It was handed to the kernel then.
    pub(super) fn sent(&mut self, probe: Departure) {
        self.0.push_back(probe);
    }

    /// It left `at_ns`. `None` if it does not wait for that any more.
    pub(super) fn stamped(&mut self, path: u16, number: u32, at_ns: u64) -> Option<Departure> {
        let is_it =
            |&(its_path, its_number, _): &Departure| (its_path, its_number) == (path, number);
        let place = self.0.iter().position(is_it)?;
        self.0.remove(place);
        Some((path, number, at_ns))
    }

    /// Those that get no stamp any more: all that is known is when they were handed over.
    pub(super) fn unstamped(&mut self, now_ns: u64) -> impl Iterator<Item = Departure> {
        let waited = |sent_ns: u64| Duration::from_nanos(now_ns.saturating_sub(sent_ns));
        let late = self
            .0
            .iter()
            .take_while(|(_, _, at)| waited(*at) >= PATIENCE);
        let late = late.count();
        self.0.drain(..late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_departure_is_told_once_by_its_stamp_or_without_when_none_came_in_time() {
        let ms = |time: u64| time * 1_000_000;
        let mut departures = Departures::default();
        for probe in [(0, 7, ms(1)), (1, 7, ms(2)), (0, 8, ms(3))] {
            departures.sent(probe);
        }
        // Stamps of different queues come in any order.
        assert_eq!(departures.stamped(1, 7, ms(5)), Some((1, 7, ms(5))));
        assert_eq!(departures.stamped(1, 7, ms(6)), None);
        assert_eq!(departures.stamped(2, 0, ms(6)), None);
        assert_eq!(departures.unstamped(ms(20)).count(), 0);
        assert_eq!(
            departures.unstamped(ms(22)).collect::<Vec<_>>(),
            [(0, 7, ms(1))]
        );
        assert_eq!(departures.stamped(0, 7, ms(23)), None);
        assert_eq!(departures.stamped(0, 8, ms(4)), Some((0, 8, ms(4))));
        assert_eq!(departures.unstamped(u64::MAX).count(), 0);
    }
}
