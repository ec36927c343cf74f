//! The links of a lab as they are now: the engine that carries them, what every channel is, and who changed it.
//!
//! A channel is what it was last told to be, by the topology's schedule or by hand: the later one wins. A scheduled change states a
//! channel in full, so it also takes back what was set by hand before it.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use longhaul_topologies::adjust::Adjustment;
use longhaul_topologies::model::{Channel, Direction, LaneState, LinkId};
use longhaul_topologies::{InputError, Topology};
use serde::{Deserialize, Serialize};

use crate::engine::{EngineError, LinkEngine};
use crate::plan::ChannelId;

/// Who changed a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The topology's schedule.
    Scheduled,
    /// Somebody, with `longhaul link set`.
    Manual,
}

/// A channel that became another.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkChange {
    /// When the engine had it.
    pub at: Instant,
    /// How long after the schedule's instant; zero for what was set by hand.
    pub late: Duration,
    /// Which one.
    pub id: ChannelId,
    /// Who changed it.
    pub origin: Origin,
    /// What changed: `delay 40ms → 60ms`.
    pub change: String,
}

/// Why a link was not set.
#[derive(Debug, thiserror::Error)]
pub enum AdjustError {
    /// What was asked for is wrong.
    #[error(transparent)]
    Input(Box<InputError>),
    /// The engine refused; all channels are what they were.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// An engine and what it was told.
pub(crate) struct Links {
    engine: Box<dyn LinkEngine>,
    /// The lab's topology with its channels as they are.
    now: Topology,
    follower: Option<mpsc::Sender<LinkChange>>,
}

impl Links {
    /// Links that `engine` has just begun to carry as `topology` describes them.
    pub(crate) fn new(engine: Box<dyn LinkEngine>, topology: Topology) -> Self {
        Links {
            engine,
            now: topology,
            follower: None,
        }
    }

    /// The engine, to ask it.
    pub(crate) fn engine(&mut self) -> &mut dyn LinkEngine {
        &mut *self.engine
    }

    /// The lab's topology with its channels as they are.
    pub(crate) fn now(&self) -> &Topology {
        &self.now
    }

    /// The channels that carry nothing.
    pub(crate) fn down(&self) -> Vec<ChannelId> {
        let is_down = |&id: &ChannelId| {
            channel(&self.now, id).is_some_and(|channel| channel.state == LaneState::Down)
        };
        ids(&self.now).filter(is_down).collect()
    }

    /// Tells what changes from now on; whoever was told before is told no more.
    pub(crate) fn follow(&mut self) -> mpsc::Receiver<LinkChange> {
        let (follower, changes) = mpsc::channel();
        self.follower = Some(follower);
        changes
    }

    /// Makes channels what is `wanted`, all or none; those that were that already are left alone. `due` is when the schedule
    /// had it.
    ///
    /// # Errors
    /// If the engine refuses one; then the others are put back.
    pub(crate) fn set(
        &mut self,
        wanted: &[(ChannelId, Channel)],
        origin: Origin,
        due: Option<Instant>,
    ) -> Result<Vec<LinkChange>, EngineError> {
        let (mut differing, mut words) = (Vec::new(), Vec::new());
        for (id, to) in wanted {
            let change = match channel(&self.now, *id) {
                Some(before) => to.changes_from(before),
                // The engine has the words for a channel that does not exist.
                None => String::new(),
            };
            if change.is_empty() && channel(&self.now, *id).is_some() {
                continue;
            }
            differing.push((*id, to.clone()));
            words.push(change);
        }
        if !differing.is_empty()
            && let Err(error) = self.engine.set_all(&differing)
        {
            self.put_back(&differing);
            return Err(error);
        }
        let at = Instant::now();
        let changes: Vec<LinkChange> = (differing.iter().zip(words))
            .map(|((id, _), change)| LinkChange {
                at,
                late: due.map_or(Duration::ZERO, |due| at.saturating_duration_since(due)),
                id: *id,
                origin,
                change,
            })
            .collect();
        for (id, to) in wanted {
            if let Some(channel) = channel_mut(&mut self.now, *id) {
                channel.clone_from(to);
            }
        }
        if let Some(follower) = &self.follower
            && changes
                .iter()
                .any(|change| follower.send(change.clone()).is_err())
        {
            self.follower = None;
        }
        Ok(changes)
    }

    /// Lays settings over a link as it is.
    ///
    /// # Errors
    /// If a name or setting is wrong, or the engine refuses; then nothing has changed.
    pub(crate) fn adjust(
        &mut self,
        adjustment: &Adjustment,
    ) -> Result<Vec<LinkChange>, AdjustError> {
        let (link, lanes) = adjustment
            .lanes(&self.now)
            .map_err(|error| AdjustError::Input(Box::new(error)))?;
        let wanted: Vec<(ChannelId, Channel)> = (lanes.iter().enumerate())
            .flat_map(|(lane, channels)| {
                Direction::BOTH.map(|direction| {
                    let id = ChannelId {
                        link,
                        lane,
                        direction,
                    };
                    (id, channels.channel(direction).clone())
                })
            })
            .collect();
        let mut after = self.now.clone();
        for (id, to) in &wanted {
            if let Some(channel) = channel_mut(&mut after, *id) {
                channel.clone_from(to);
            }
        }
        self.engine.make_room(&after)?;
        Ok(self.set(&wanted, Origin::Manual, None)?)
    }

    /// Makes every channel again what `described` says. Nobody is told: it is no event of a workload.
    ///
    /// # Errors
    /// If the engine has died.
    pub(crate) fn reset(&mut self, described: &Topology) -> Result<(), EngineError> {
        let differs = |id: &ChannelId| {
            let (to, now) = (channel(described, *id), channel(&self.now, *id));
            to.zip(now)
                .is_some_and(|(to, now)| !to.changes_from(now).is_empty())
        };
        let of = |id| channel(described, id).map(|to| (id, to.clone()));
        let differing: Vec<(ChannelId, Channel)> =
            ids(described).filter(differs).filter_map(of).collect();
        if !differing.is_empty() {
            self.engine.set_all(&differing)?;
        }
        for id in ids(described) {
            if let (Some(to), Some(now)) = (channel(described, id), channel_mut(&mut self.now, id))
            {
                now.clone_from(to);
            }
        }
        Ok(())
    }

    /// Tells the engine again what it was told before the change that failed.
    fn put_back(&mut self, tried: &[(ChannelId, Channel)]) {
        let before: Vec<(ChannelId, Channel)> = (tried.iter())
            .filter_map(|(id, _)| Some((*id, channel(&self.now, *id)?.clone())))
            .collect();
        if !before.is_empty()
            && let Err(error) = self.engine.set_all(&before)
        {
            // They were that a moment ago: the engine has died, and says so to whoever asks next.
            tracing::warn!(%error, "channels could not be put back");
        }
    }
}

/// Every channel of `topology`, in one order.
pub(crate) fn ids(topology: &Topology) -> impl Iterator<Item = ChannelId> + '_ {
    topology.links.iter().enumerate().flat_map(|(link, lanes)| {
        (0..lanes.lanes.len()).flat_map(move |lane| {
            Direction::BOTH.map(|direction| ChannelId {
                link: LinkId(link),
                lane,
                direction,
            })
        })
    })
}

/// What `id` is in `topology`.
pub(crate) fn channel(topology: &Topology, id: ChannelId) -> Option<&Channel> {
    let lane = topology.links.get(id.link.0)?.lanes.get(id.lane)?;
    Some(lane.channel(id.direction))
}

fn channel_mut(topology: &mut Topology, id: ChannelId) -> Option<&mut Channel> {
    let lane = topology.links.get_mut(id.link.0)?.lanes.get_mut(id.lane)?;
    Some(lane.channel_mut(id.direction))
}

#[cfg(test)]
mod tests;
