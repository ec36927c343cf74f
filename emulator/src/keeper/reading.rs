//! A lab at one instant, as `top` and monitoring systems read it over the control socket.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kept;
use super::links::Refusal;
use super::wire::ChannelStatus;
use crate::clocks;
use crate::engine::{ChannelCounters, EngineKind};
use crate::lab::Lab;
use crate::links;
use crate::plan::{ChannelId, LabPlan, NodeId};
use crate::telemetry::{self, InterfaceCounters, Reading};

/// A lab or run at one instant. Counters count since it came up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabReading {
    /// When: seconds on the lab's own monotonic clock, which is virtual in a virtual lab.
    pub at_s: f64,
    /// The engine that carries the lanes; absent while a run has no workload.
    pub engine: Option<EngineKind>,
    /// Every site, and where it is.
    pub sites: Vec<SiteStatus>,
    /// Every lane in each direction.
    pub channels: Vec<ChannelStatus>,
    /// Every host's interface.
    pub hosts: Vec<HostStatus>,
    /// How far a run is; absent in a lab of `up`.
    pub run: Option<RunStatus>,
    /// Why there is less to tell than usual.
    pub note: Option<String>,
}

/// A site on the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteStatus {
    /// Its name.
    pub name: String,
    /// Degrees north and east, if the topology says.
    pub coordinates: Option<(f64, f64)>,
}

/// A host's interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Its host name.
    pub name: String,
    /// Its site.
    pub site: String,
    /// What it has carried.
    pub counters: InterfaceCounters,
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    /// The point that is under way, from 1; 0 before the first.
    pub point: usize,
    /// How many there are.
    pub points: usize,
    /// Its stack and settings.
    pub title: String,
    /// Iterations of this point, warm-up included; 0 of programs.
    pub iterations: u64,
    /// Those of this point that are done.
    pub done: u64,
    /// Those of the whole run that are done.
    pub iterations_done: u64,
    /// Elements of results that were wrong, in the whole run.
    pub wrong: u64,
    /// The last iteration of this point.
    pub last: Option<IterationStatus>,
    /// The host of every rank of this point; empty of programs.
    pub ranks: Vec<String>,
    /// Connections between ranks as they were last sampled.
    pub connections: Vec<ConnectionStatus>,
}

/// An iteration of a collective.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IterationStatus {
    /// The collective's size, as nccl-tests counts it.
    pub size_bytes: u64,
    /// How long it took, in microseconds.
    pub time_us: f64,
    /// Its bus bandwidth in bits a second, where the collective has one.
    pub bus_bandwidth_bps: Option<f64>,
}

/// A connection of a collective, at its sending end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// Sending rank.
    pub from: usize,
    /// Receiving rank.
    pub to: usize,
    /// Which of the pair's connections.
    pub connection: usize,
    /// Smoothed RTT in microseconds.
    pub rtt_us: u32,
    /// Congestion window in bytes.
    pub cwnd_bytes: u64,
    /// Retransmitted segments so far.
    pub retransmits: u64,
    /// Delivery rate in bits a second.
    pub delivery_rate_bps: u64,
    /// Bytes acknowledged so far.
    pub bytes_acked: u64,
}

/// How far a run is, told by who runs it and asked by who watches.
#[derive(Debug, Default)]
pub(super) struct Course(Mutex<RunStatus>);

impl Course {
    pub(super) fn tell(&self, tell: impl FnOnce(&mut RunStatus)) {
        tell(&mut self.lock());
    }

    pub(super) fn now(&self) -> RunStatus {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, RunStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lab that is up.
pub(super) fn read(lab: &Lab) -> Result<LabReading, Refusal> {
    let hosts = telemetry::hosts(lab).map_err(|error| Refusal::Engine(error.to_string()))?;
    // The links last, and the instant beside them: rates of links are differences of these.
    let channels = lab.counters()?;
    Ok(assemble(lab, now(), &channels, &hosts))
}

/// A lab that is up, as it was sampled.
pub(super) fn sampled(lab: &Lab, sample: &Reading) -> LabReading {
    let at_s = now() - sample.at.elapsed().as_secs_f64();
    assemble(lab, at_s, &sample.channels, &sample.hosts)
}

/// What was counted at `at_s`, with the lab it was counted in.
fn assemble(
    lab: &Lab,
    at_s: f64,
    channels: &[(ChannelId, ChannelCounters)],
    hosts: &[(NodeId, InterfaceCounters)],
) -> LabReading {
    let described = &lab.plan().topology;
    LabReading {
        engine: Some(lab.engine_kind()),
        channels: kept::channels(described, &lab.topology_now(), channels),
        ..of_hosts(lab.plan(), at_s, hosts)
    }
}

/// Machines that are there, as their interfaces were sampled. No counter of theirs tells one link, or traffic within a site, from others:
/// a lane's is told where its site sends by one interface, and has one link.
pub(super) fn there(plan: &LabPlan, sample: &Reading) -> LabReading {
    let topology = &plan.topology;
    let counted = links::ids(topology).filter_map(|id| {
        let [from, _] = topology.links[id.link.0].ends(id.direction);
        let all = topology.links.iter();
        let own = all.filter(|link| link.ends(id.direction).contains(&from));
        let mut hosts = sample.hosts.iter();
        let (_, sender) = hosts.find(|(host, _)| plan.node(*host).site == from)?;
        let is_told = topology.site(from).hosts == 1 && own.count() == 1;
        let counters = ChannelCounters {
            packets: sender.sent_packets,
            bytes: sender.sent_bytes,
            ..ChannelCounters::default()
        };
        is_told.then_some((id, counters))
    });
    let counted: Vec<_> = counted.collect();
    let at_s = now() - sample.at.elapsed().as_secs_f64();
    LabReading {
        channels: kept::channels(topology, topology, &counted),
        note: Some(THERE.to_owned()),
        ..of_hosts(plan, at_s, &sample.hosts)
    }
}

/// What hosts have carried, and nothing of links.
fn of_hosts(plan: &LabPlan, at_s: f64, hosts: &[(NodeId, InterfaceCounters)]) -> LabReading {
    let host = |&(id, counters): &(NodeId, InterfaceCounters)| HostStatus {
        name: plan.node(id).name.clone(),
        site: plan.topology.site(plan.node(id).site).name.clone(),
        counters,
    };
    let sites = plan.topology.sites.iter().map(|site| SiteStatus {
        name: site.name.clone(),
        coordinates: site
            .coordinates
            .map(|place| (place.latitude, place.longitude)),
    });
    LabReading {
        at_s,
        engine: None,
        sites: sites.collect(),
        channels: Vec::new(),
        hosts: hosts.iter().map(host).collect(),
        run: None,
        note: None,
    }
}

/// What is to be known of what machines that are there tell.
const THERE: &str = "a physical lab: rates are what its machines' interfaces send and receive, of the lane too where a site has one machine and \
                     one link; queues, marks and drops of its links are not seen from here";

/// A run whose lab is not to be asked now.
pub(super) fn idle(run: RunStatus, why: String) -> LabReading {
    LabReading {
        at_s: now(),
        engine: None,
        sites: Vec::new(),
        channels: Vec::new(),
        hosts: Vec::new(),
        run: Some(run),
        note: Some(why),
    }
}

/// Seconds on the monotonic clock, which no correction of the wall clock moves.
fn now() -> f64 {
    Duration::from_nanos(clocks::now().as_nanos()).as_secs_f64()
}
