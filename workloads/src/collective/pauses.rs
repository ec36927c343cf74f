//! The pauses of a program: when each begins and ends. Pure: it is handed the time.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::progress::Progress;
use super::schedule::{Action, Operation};

/// A pause that has ended. Times are of the clock that [`Pauses::advance`] is handed, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Which operation.
    pub operation: usize,
    /// When it began.
    pub began_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
}

/// The pauses under way, and those that have ended.
///
/// A pause that waited for another begins when that one was to end, not when somebody looked: what follows one another
/// does not drift, however late the looks are.
#[derive(Debug, Default)]
pub struct Pauses {
    /// By the time of their ends; with each, when it began.
    running: BTreeSet<(u64, usize, u64)>,
    ended: Vec<Pause>,
}

impl Pauses {
    /// Begins what may begin and ends what is due by `now_ns`, in the order of time; tells whether anything ended.
    pub fn advance(
        &mut self,
        now_ns: u64,
        operations: &[Operation],
        progress: &mut Progress,
    ) -> bool {
        let mut at = now_ns;
        let mut moved = false;
        loop {
            while let Some(operation) = progress.next_pause() {
                if let Action::Pause { lasts } = operations[operation].action {
                    let lasts = u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX);
                    self.running
                        .insert((at.saturating_add(lasts), operation, at));
                }
            }
            let due = self.running.first().filter(|(end, ..)| *end <= now_ns);
            let Some(&(ended_ns, operation, began_ns)) = due else {
                return moved;
            };
            self.running.pop_first();
            self.ended.push(Pause {
                operation,
                began_ns,
                ended_ns,
            });
            progress.finish(operation);
            at = ended_ns;
            moved = true;
        }
    }

    /// How long after `now_ns` the next one ends, if one is under way.
    pub fn next(&self, now_ns: u64) -> Option<Duration> {
        let (end, ..) = self.running.first()?;
        Some(Duration::from_nanos(end.saturating_sub(now_ns)))
    }

    /// All that have ended, in the order of time.
    pub fn into_ended(self) -> Vec<Pause> {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(lasts: u64, after: &[usize]) -> Operation {
        Operation {
            action: Action::Pause {
                lasts: Duration::from_nanos(lasts),
            },
            after: after.to_vec(),
        }
    }

    #[test]
    fn what_follows_one_another_does_not_drift_however_late_it_is_looked_at() {
        let operations = [pause(100, &[]), pause(50, &[0]), pause(0, &[1])];
        let mut progress = Progress::new(&operations);
        let mut pauses = Pauses::default();
        assert!(!pauses.advance(1000, &operations, &mut progress));
        assert_eq!(pauses.next(1030), Some(Duration::from_nanos(70)));
        assert!(pauses.advance(1149, &operations, &mut progress));
        assert_eq!(pauses.next(1149), Some(Duration::from_nanos(1)));
        assert!(pauses.advance(2000, &operations, &mut progress));
        assert!(progress.is_complete() && pauses.next(2000).is_none());
        let times: Vec<_> = pauses
            .into_ended()
            .iter()
            .map(|one| (one.began_ns, one.ended_ns))
            .collect();
        assert_eq!(times, [(1000, 1100), (1100, 1150), (1150, 1150)]);
    }

    #[test]
    fn pauses_that_do_not_wait_for_each_other_run_side_by_side() {
        let operations = [pause(100, &[]), pause(30, &[]), pause(10, &[0, 1])];
        let mut progress = Progress::new(&operations);
        let mut pauses = Pauses::default();
        pauses.advance(0, &operations, &mut progress);
        pauses.advance(110, &operations, &mut progress);
        let ended = pauses.into_ended();
        assert_eq!(
            ended.iter().map(|one| one.operation).collect::<Vec<_>>(),
            [1, 0, 2]
        );
        assert_eq!(ended[2].ended_ns, 110);
    }
}
