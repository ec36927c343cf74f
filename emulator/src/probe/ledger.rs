//! Which probes were sent and which of them arrived. Pure: it is told every instant.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::ProbeSample;
use super::payload::State;

/// Probes by number, from the oldest whose fate has not been told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    first: u64,
    /// How many have arrived, by path.
    arrivals: BTreeMap<usize, u64>,
    greatest_delay: Duration,
    abandoned: bool,
}

#[derive(Debug)]
struct Entry {
    sample: ProbeSample,
    /// CLOCK_REALTIME.
    clock: Duration,
    sent: Sending,
    /// Its place among the arrivals of its path, if it arrived.
    place: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Sending {
    Sent,
    /// The kernel did not take it: no probe, neither arrived nor lost.
    Refused,
}

impl Ledger {
    /// A probe on `path` is about to leave, `sent` after the start, at `clock`. Answers its number.
    pub(crate) fn sent(&mut self, path: usize, sent: Duration, clock: Duration) -> u64 {
        let sample = ProbeSample {
            path,
            sent,
            delay: None,
            extent: 0,
            copies: 0,
            corrupted: false,
        };
        self.entries.push_back(Entry {
            sample,
            clock,
            sent: Sending::Sent,
            place: None,
        });
        self.first + self.entries.len() as u64 - 1
    }

    /// Probe `id` did not leave after all.
    pub(crate) fn unsent(&mut self, id: u64) {
        if let Some(index) = self.index(id) {
            self.entries[index].sent = Sending::Refused;
        }
    }

    /// Probe `id` arrived at `clock`, after all those that this was told of before. Its first arrival counts, further ones are
    /// copies; one that was given up stays lost.
    pub(crate) fn arrived(&mut self, id: u64, clock: Duration, state: State) {
        let Some(index) = self.index(id) else { return };
        let path = self.entries[index].sample.path;
        let later = self.entries.range(index + 1..);
        let overtook = later
            .filter(|entry| entry.sample.path == path)
            .filter_map(|entry| entry.place)
            .min();
        let entry = &mut self.entries[index];
        entry.sample.copies += 1;
        entry.sample.corrupted |= state == State::Corrupted;
        if entry.sample.delay.is_none() {
            // A clock that was set back makes a delay of zero, not a panic.
            let delay = clock.saturating_sub(entry.clock);
            let next = self.arrivals.entry(path).or_default();
            entry.sample.delay = Some(delay);
            entry.sample.extent =
                overtook.map_or(0, |first| u32::try_from(*next - first).unwrap_or(u32::MAX));
            entry.place = Some(*next);
            *next += 1;
            self.greatest_delay = self.greatest_delay.max(delay);
        }
    }

    /// Takes the probes from the oldest on, up to the first that may still arrive: one sent less than `patience`
    /// before `now`.
    pub(crate) fn drain(&mut self, now: Duration, patience: Duration) -> Vec<ProbeSample> {
        let settled = self
            .entries
            .iter()
            .take_while(|entry| !entry.is_waiting() || entry.sample.sent + patience <= now)
            .count();
        self.first += settled as u64;
        self.entries
            .drain(..settled)
            .filter(|entry| entry.sent == Sending::Sent)
            .map(|entry| entry.sample)
            .collect()
    }

    /// The number of the oldest probe that it still knows.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Nobody will ask for what is still under way.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Whether a probe may still arrive that somebody wants.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.abandoned && self.entries.iter().any(Entry::is_waiting)
    }

    /// How long to wait for the last probes: twice the greatest delay so far, within `most`.
    pub(crate) fn grace(&self, most: Duration) -> Duration {
        // A path that nothing has come through yet may only be long.
        if self.greatest_delay.is_zero() {
            most
        } else {
            (2 * self.greatest_delay).max(most / 20).min(most)
        }
    }

    fn index(&self, id: u64) -> Option<usize> {
        let index = usize::try_from(id.checked_sub(self.first)?).ok()?;
        (index < self.entries.len()).then_some(index)
    }
}

impl Entry {
    fn is_waiting(&self) -> bool {
        self.sample.delay.is_none() && self.sent == Sending::Sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const EPOCH: Duration = Duration::from_secs(1_800_000_000);
    const PATIENCE: Duration = Duration::from_secs(2);

    #[test]
    fn a_probe_is_told_of_once_it_arrived() {
        let mut ledger = Ledger::default();
        let first = ledger.sent(0, MS, EPOCH);
        let second = ledger.sent(1, 2 * MS, EPOCH + MS);
        ledger.arrived(second, EPOCH + 41 * MS, State::Intact);
        assert_eq!(
            ledger.drain(50 * MS, PATIENCE),
            [],
            "the first may still come"
        );
        ledger.arrived(first, EPOCH + 45 * MS, State::Intact);
        let delays: Vec<_> = ledger
            .drain(50 * MS, PATIENCE)
            .iter()
            .map(|sample| sample.delay)
            .collect();
        assert_eq!(delays, [Some(45 * MS), Some(40 * MS)]);
    }

    #[test]
    fn a_probe_is_lost_after_the_patience_and_stays_lost() {
        let mut ledger = Ledger::default();
        let id = ledger.sent(0, Duration::ZERO, EPOCH);
        assert_eq!(ledger.drain(PATIENCE - MS, PATIENCE), []);
        let lost = ledger.drain(PATIENCE, PATIENCE);
        assert_eq!(
            lost,
            [ProbeSample {
                path: 0,
                sent: Duration::ZERO,
                delay: None,
                extent: 0,
                copies: 0,
                corrupted: false,
            }]
        );
        ledger.arrived(id, EPOCH + PATIENCE + MS, State::Intact);
        assert_eq!(ledger.drain(2 * PATIENCE, PATIENCE), []);
    }

    #[test]
    fn a_duplicate_is_counted_and_changes_nothing_else() {
        let mut ledger = Ledger::default();
        let id = ledger.sent(0, Duration::ZERO, EPOCH);
        ledger.arrived(id, EPOCH + MS, State::Intact);
        ledger.arrived(id, EPOCH + 9 * MS, State::Corrupted);
        let sample = ledger.drain(MS, PATIENCE)[0];
        assert_eq!(
            (sample.delay, sample.copies, sample.corrupted),
            (Some(MS), 2, true)
        );
    }

    #[test]
    fn a_probe_is_overtaken_only_on_its_own_path() {
        let mut ledger = Ledger::default();
        let [slow, other, fast] = [0, 1, 0].map(|path| ledger.sent(path, MS, EPOCH));
        for id in [fast, slow, other] {
            ledger.arrived(id, EPOCH + 40 * MS, State::Intact);
        }
        let samples = ledger.drain(50 * MS, PATIENCE);
        let extents: Vec<u32> = samples.iter().map(|sample| sample.extent).collect();
        assert_eq!(extents, [1, 0, 0]);
    }

    #[test]
    fn an_extent_counts_what_arrived_since_the_first_that_overtook() {
        let mut ledger = Ledger::default();
        for number in 0..10 {
            ledger.sent(0, number * MS, EPOCH);
        }
        for id in [0, 1, 2, 6, 7, 8, 3, 4, 5, 9] {
            ledger.arrived(id, EPOCH + 40 * MS, State::Intact);
        }
        let samples = ledger.drain(50 * MS, PATIENCE);
        let extents: Vec<u32> = samples.iter().map(|sample| sample.extent).collect();
        assert_eq!(extents, [0, 0, 0, 3, 4, 5, 0, 0, 0, 0]);
    }

    #[test]
    fn a_probe_that_the_kernel_refused_is_neither_lost_nor_waited_for() {
        let mut ledger = Ledger::default();
        let id = ledger.sent(0, Duration::ZERO, EPOCH);
        ledger.unsent(id);
        assert!(!ledger.is_waiting());
        assert_eq!(ledger.drain(MS, PATIENCE), []);
    }

    #[test]
    fn the_last_probes_are_waited_for_by_the_delays_seen() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.grace(PATIENCE), PATIENCE);
        let id = ledger.sent(0, Duration::ZERO, EPOCH);
        ledger.arrived(id, EPOCH + 80 * MS, State::Intact);
        assert_eq!(ledger.grace(PATIENCE), 160 * MS);
    }
}
