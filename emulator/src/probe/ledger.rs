//! Which probes were sent and which of them arrived. Pure: it is told every instant.

use std::collections::VecDeque;
use std::time::Duration;

use super::ProbeSample;

/// Probes by number, from the oldest whose fate has not been told.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    first: u64,
    greatest_delay: Duration,
    abandoned: bool,
}

#[derive(Debug)]
struct Entry {
    sample: ProbeSample,
    /// CLOCK_REALTIME.
    clock: Duration,
    sent: Sending,
}

#[derive(Debug, PartialEq, Eq)]
enum Sending {
    Sent,
    /// The kernel did not take it: no probe, neither arrived nor lost.
    Refused,
}

impl Ledger {
    /// A probe on `path` is about to leave, `sent` after the start, at `clock`. Answers its number.
    pub(super) fn sent(&mut self, path: usize, sent: Duration, clock: Duration) -> u64 {
        let sample = ProbeSample {
            path,
            sent,
            delay: None,
            overtaken: false,
        };
        self.entries.push_back(Entry {
            sample,
            clock,
            sent: Sending::Sent,
        });
        self.first + self.entries.len() as u64 - 1
    }

    /// Probe `id` did not leave after all.
    pub(super) fn unsent(&mut self, id: u64) {
        if let Some(index) = self.index(id) {
            self.entries[index].sent = Sending::Refused;
        }
    }

    /// Probe `id` arrived at `clock`, after all those that this was told of before. Only its first arrival counts; one that was
    /// given up stays lost.
    pub(super) fn arrived(&mut self, id: u64, clock: Duration) {
        let Some(index) = self.index(id) else { return };
        let path = self.entries[index].sample.path;
        let later = self.entries.range(index + 1..);
        let overtaken = later
            .filter(|entry| entry.sample.path == path)
            .any(|entry| entry.sample.delay.is_some());
        let entry = &mut self.entries[index];
        if entry.sample.delay.is_none() {
            // A clock that was set back makes a delay of zero, not a panic.
            let delay = clock.saturating_sub(entry.clock);
            entry.sample.delay = Some(delay);
            entry.sample.overtaken = overtaken;
            self.greatest_delay = self.greatest_delay.max(delay);
        }
    }

    /// Takes the probes from the oldest on, up to the first that may still arrive: one sent less than `patience`
    /// before `now`.
    pub(super) fn drain(&mut self, now: Duration, patience: Duration) -> Vec<ProbeSample> {
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

    /// Nobody will ask for what is still under way.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Whether a probe may still arrive that somebody wants.
    pub(super) fn is_waiting(&self) -> bool {
        !self.abandoned && self.entries.iter().any(Entry::is_waiting)
    }

    /// How long to wait for the last probes: twice the greatest delay so far, within `most`.
    pub(super) fn grace(&self, most: Duration) -> Duration {
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
        ledger.arrived(second, EPOCH + 41 * MS);
        assert_eq!(
            ledger.drain(50 * MS, PATIENCE),
            [],
            "the first may still come"
        );
        ledger.arrived(first, EPOCH + 45 * MS);
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
                overtaken: false,
            }]
        );
        ledger.arrived(id, EPOCH + PATIENCE + MS);
        assert_eq!(ledger.drain(2 * PATIENCE, PATIENCE), []);
    }

    #[test]
    fn a_duplicate_changes_nothing() {
        let mut ledger = Ledger::default();
        let id = ledger.sent(0, Duration::ZERO, EPOCH);
        ledger.arrived(id, EPOCH + MS);
        ledger.arrived(id, EPOCH + 9 * MS);
        assert_eq!(ledger.drain(MS, PATIENCE)[0].delay, Some(MS));
    }

    #[test]
    fn a_probe_is_overtaken_only_on_its_own_path() {
        let mut ledger = Ledger::default();
        let [slow, other, fast] = [0, 1, 0].map(|path| ledger.sent(path, MS, EPOCH));
        for id in [fast, slow, other] {
            ledger.arrived(id, EPOCH + 40 * MS);
        }
        let samples = ledger.drain(50 * MS, PATIENCE);
        let overtaken: Vec<bool> = samples.iter().map(|sample| sample.overtaken).collect();
        assert_eq!(overtaken, [true, false, false]);
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
        ledger.arrived(id, EPOCH + 80 * MS);
        assert_eq!(ledger.grace(PATIENCE), 160 * MS);
    }
}
