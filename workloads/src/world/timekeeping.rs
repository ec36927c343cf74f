//! The clocks of ranks on other machines, held against this one's.
//!
//! Before anything is timed, each such rank is told how far its clock is behind, so that what it stamps is in this machine's time.
//! From then on the clocks are compared before every iteration, and what they have drifted since goes into the rank's start
//! and its times: a rank's clock itself is never set again, as that would be a jump in its round trips.

use std::time::Duration;

use longhaul_emulator::physical::clock::{Comparison, Distance, Exchange};

use super::clock::now_ns;
use super::process::RankHandle;
use super::protocol::{Reply, Request};
use super::roll_call::RollCall;
use super::{RankClock, START_PATIENCE, WorldError};

/// Exchanges before the first iteration: the best of so many round trips is close to the shortest there is.
const ROUNDS: usize = 8;

/// What is known of every rank's clock.
#[derive(Debug)]
pub(super) struct Timekeeping {
    /// By rank; `None` for one on this machine.
    comparisons: Vec<Option<Comparison>>,
    /// The longest answer of the last round.
    slowest: Duration,
}

impl Timekeeping {
    pub(super) fn new(clocks: impl Iterator<Item = RankClock>) -> Self {
        let comparison = |clock| match clock {
            RankClock::Ours => None,
            RankClock::Theirs => Some(Comparison::default()),
        };
        Self {
            comparisons: clocks.map(comparison).collect(),
            slowest: Duration::ZERO,
        }
    }

    /// Compares the clocks of ranks that have just started, and tells them what to add.
    pub(super) async fn set_clocks(
        &mut self,
        ranks: &mut [RankHandle],
        roll: &mut RollCall,
    ) -> Result<(), WorldError> {
        for _ in 0..ROUNDS {
            self.compare(ranks, roll).await?;
        }
        let distances = self.distances();
        let each = ranks.iter_mut().zip(&mut self.comparisons).zip(distances);
        for ((rank, comparison), distance) in each {
            if let Some(comparison) = comparison {
                let behind_ns = distance.behind_ns;
                rank.send(&Request::SetClock { behind_ns }).await;
                comparison.corrected(behind_ns);
            }
        }
        Ok(())
    }

    /// One more exchange with each; none where all ranks are on this machine.
    pub(super) async fn compare(
        &mut self,
        ranks: &mut [RankHandle],
        roll: &mut RollCall,
    ) -> Result<(), WorldError> {
        if self.comparisons.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut asked = Vec::new();
        for rank in ranks {
            asked.push(now_ns());
            rank.send(&Request::Clock).await;
        }
        let told = roll
            .gather_timed(START_PATIENCE, |reply| match reply {
                Reply::Clock { now_ns } => Some(now_ns),
                _ => None,
            })
            .await?;
        self.slowest = Duration::ZERO;
        let each = self.comparisons.iter_mut().zip(asked).zip(told);
        for ((comparison, asked_ns), (told_ns, heard_ns)) in each {
            let exchange = Exchange {
                asked_ns,
                told_ns,
                heard_ns,
            };
            self.slowest = self.slowest.max(exchange.round_trip());
            if let Some(comparison) = comparison {
                comparison.add(exchange);
            }
        }
        Ok(())
    }

    /// How far each rank's clock is now.
    pub(super) fn distances(&self) -> Vec<Distance> {
        let now = now_ns();
        let distance = |comparison: &Option<Comparison>| {
            let known = comparison.as_ref().and_then(|known| known.distance(now));
            known.unwrap_or_default()
        };
        self.comparisons.iter().map(distance).collect()
    }

    /// How far off the worst known of them may be.
    pub(super) fn uncertainty(&self) -> Duration {
        let each = self.distances().into_iter();
        each.map(|distance| distance.uncertainty)
            .max()
            .unwrap_or_default()
    }

    /// How long the slowest answer of the last round took: what is to reach all ranks in time is sent so much earlier.
    pub(super) fn slowest(&self) -> Duration {
        self.slowest
    }
}
