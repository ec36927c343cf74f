//! What a keeper keeps.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use longhaul_topologies::Topology;
use longhaul_topologies::adjust::{Adjustment, Named};
use longhaul_topologies::spec::TopologySpec;
use longhaul_topologies::units::TimeSpan;

use super::links::{self, AdjustedChannel, LinkStatus, Refusal};
use super::reading::{self, LabReading};
use super::wire::{ChannelStatus, LabDetail, NodeStatus};
use crate::engine::ChannelCounters;
use crate::lab::{Lab, LabOptions};
use crate::links::channel;
use crate::namespace::Namespace;
use crate::plan::{ChannelId, Families, Node};
use crate::schedule::Playing;

/// What a keeper keeps: a [`Lab`], or a stand-in in tests. Every call may block for milliseconds.
pub trait Kept: Sync {
    /// Everything there is to show.
    ///
    /// # Errors
    /// If the engine has died, or there is nothing to show now.
    fn detail(&self) -> Result<LabDetail, Refusal>;

    /// The lab at this instant, for who watches it.
    ///
    /// # Errors
    /// If the engine has died, or a host cannot be read.
    fn reading(&self) -> Result<LabReading, Refusal>;

    /// The topology as it is now; none where others have no way into the hosts.
    fn topology(&self) -> Option<TopologySpec> {
        None
    }

    /// The namespaces of the node of that name.
    fn namespace(&self, node: &str) -> Option<&Namespace>;

    /// The channels as they are; those of one link, if one is named.
    ///
    /// # Errors
    /// If there is no such link.
    fn links(&self, link: Option<&Named>) -> Result<Vec<LinkStatus>, Refusal>;

    /// Lays settings over a link, all of them or none; what changed.
    ///
    /// # Errors
    /// If a name or setting is wrong, or the engine cannot do it.
    fn adjust(&self, adjustment: &Adjustment) -> Result<Vec<AdjustedChannel>, Refusal>;

    /// Takes it down.
    fn down(self);
}

/// A lab that stays up, its schedule, and the runtime that its connections live on.
pub(super) struct RunningLab {
    lab: Arc<Lab>,
    runtime: tokio::runtime::Runtime,
    schedule: Mutex<Schedule>,
}

/// The schedule, and what it failed from.
struct Schedule {
    playing: Playing,
    failed: Option<String>,
}

impl RunningLab {
    /// Brings it up; its schedule begins.
    pub(super) fn up(
        topology: Topology,
        options: &LabOptions,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let lab = Arc::new(runtime.block_on(Lab::up(topology, options))?);
        lab.begin()?;
        let playing = Playing::start(Arc::clone(&lab), Instant::now())?;
        let failed = None;
        Ok(RunningLab {
            lab,
            runtime,
            schedule: Mutex::new(Schedule { playing, failed }),
        })
    }

    /// Why the schedule has ended before its last change, if it has.
    fn schedule_failed(&self) -> Option<String> {
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = schedule.playing.check() {
            schedule.failed = Some(error.to_string());
        }
        schedule.failed.clone()
    }
}

impl Kept for RunningLab {
    fn detail(&self) -> Result<LabDetail, Refusal> {
        let schedule_failed = self.schedule_failed();
        Ok(LabDetail {
            schedule_failed,
            ..detail(&self.lab)?
        })
    }

    fn reading(&self) -> Result<LabReading, Refusal> {
        Ok(LabReading {
            note: self.schedule_failed(),
            ..reading::read(&self.lab)?
        })
    }

    fn topology(&self) -> Option<TopologySpec> {
        Some(TopologySpec::from(&self.lab.topology_now()))
    }

    fn namespace(&self, node: &str) -> Option<&Namespace> {
        let id = self.lab.plan().node_named(node)?;
        Some(self.lab.namespace(id))
    }

    fn links(&self, link: Option<&Named>) -> Result<Vec<LinkStatus>, Refusal> {
        links::show(&self.lab, link)
    }

    fn adjust(&self, adjustment: &Adjustment) -> Result<Vec<AdjustedChannel>, Refusal> {
        links::adjust(&self.lab, adjustment)
    }

    fn down(self) {
        // Its thread holds the lab, too.
        drop(self.schedule);
        if let Some(lab) = Arc::into_inner(self.lab) {
            self.runtime.block_on(lab.down());
        }
    }
}

/// Everything there is to show of a lab.
pub(super) fn detail(lab: &Lab) -> Result<LabDetail, Refusal> {
    let plan = lab.plan();
    let node = |node: &Node| NodeStatus {
        name: node.name.clone(),
        site: plan.topology.site(node.site).name.clone(),
        ipv4: node.ipv4,
        ipv6: (plan.families == Families::Both).then_some(node.ipv6),
    };
    Ok(LabDetail {
        engine: lab.engine_kind(),
        nodes: plan.nodes.iter().map(node).collect(),
        channels: channels(&plan.topology, &lab.topology_now(), &lab.counters()?),
        schedule_failed: None,
    })
}

/// The channels of a lab as they are set `now`, with what was counted of each.
pub(super) fn channels(
    described: &Topology,
    now: &Topology,
    counted: &[(ChannelId, ChannelCounters)],
) -> Vec<ChannelStatus> {
    let status = |&(id, counters): &(ChannelId, ChannelCounters)| {
        let (is, was) = (channel(now, id)?, channel(described, id)?);
        let [from, to] = links::ends(now, id);
        let jitter = is.jitter.as_ref();
        Some(ChannelStatus {
            from,
            to,
            lane: id.lane,
            state: is.state,
            rate: is.rate,
            delay: TimeSpan::from(is.delay),
            jitter: jitter.map(|jitter| TimeSpan::from(jitter.deviation)),
            queue: is.queue,
            differs: links::differs(is, was),
            counters,
        })
    };
    counted.iter().filter_map(status).collect()
}
