//! Every link held against its description, before the workload; the engine and the CPU watched during it.
//!
//! - [`measure`]: probes and trains over every channel, gateway to gateway, bound to the lane's own addresses.
//! - `ideal`: what probes would show of a jitter that is as described.
//! - `judge`: from what was observed to what was off. Pure.
//! - [`Watch`]: the engine and the CPU while the workload runs.

mod ideal;
mod judge;
mod train;
mod watch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longhaul_topologies::model::Direction;
use serde::{Deserialize, Serialize};

use crate::engine::Lateness;
use crate::lab::Lab;
use crate::plan::{ChannelId, LabPlan};
use crate::probe::{ProbeEnd, ProbeError, ProbeRoute, ProbeSample, Prober};

use judge::{Observed, checks};
pub use watch::Watch;

/// How long the probes run. With the trains, a lab is measured in 1 to 2 seconds.
const PROBING: Duration = Duration::from_millis(1000);

/// Time between two probes of a channel where there are few: over 200 samples a channel.
const PROBE_INTERVAL: Duration = Duration::from_millis(4);

/// What was asked, what was measured, and whether that is close enough, for one quantity of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FidelityCheck {
    /// `virginia>dublin lane 0`.
    pub channel: String,
    /// `one-way delay`, `jitter`, `rate`, `loss`, `reordered`.
    pub quantity: String,
    /// Unit of the three figures: `us`, `bit/s`, `%`, `packets`.
    pub unit: String,
    /// What the description asks for.
    pub asked: f64,
    /// What was measured.
    pub measured: f64,
    /// How far off it may be, in the same unit, either way.
    pub bound: f64,
    /// Within the bound.
    pub within: bool,
    /// Samples behind the figure.
    pub samples: u64,
}

/// How faithful a run's lab was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Fidelity {
    /// Before the workload.
    pub checks: Vec<FidelityCheck>,
    /// The engine's lateness over the run; absent for netem.
    pub lateness: Option<Lateness>,
    /// Packets the engine lost against the description.
    pub engine_drops: u64,
    /// Share of the machine's CPU time in use during the workload (niced processes left out), 0–1.
    pub cpu_use: f64,
    /// What was off, by how much and what to do; empty means faithful.
    pub findings: Vec<String>,
}

/// What [`measure`] found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Every quantity of every channel that could be measured.
    pub checks: Vec<FidelityCheck>,
    /// What could not be, and why.
    pub skipped: Vec<String>,
}

impl Fidelity {
    /// Judges a run by the checks before it and the watch during it.
    pub fn new(
        checks: Vec<FidelityCheck>,
        lateness: Option<Lateness>,
        engine_drops: u64,
        cpu_use: f64,
    ) -> Self {
        let mut fidelity = Self {
            checks,
            lateness,
            engine_drops,
            cpu_use,
            findings: Vec::new(),
        };
        fidelity.findings = judge::findings(&fidelity);
        fidelity
    }

    /// Nothing was off.
    pub fn faithful(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Measures every channel of an idle lab. Blocks for a second or two; ends early, with nothing, once `stop` is set.
///
/// # Errors
/// If a gateway has no room for a socket, or sending fails.
pub fn measure(lab: &Lab, stop: &AtomicBool) -> Result<Measured, ProbeError> {
    let channels = channels(lab.plan());
    let routes: Vec<ProbeRoute> = channels.iter().map(|&(_, route)| route).collect();
    let (samples, interval) = probe(lab, &routes, stop)?;
    let trains = train::run_until_clear(lab, &channels, stop)?;
    if stop.load(Ordering::Relaxed) {
        return Ok(Measured::default());
    }
    let mut measured = Measured::default();
    for (index, (&(id, _), train)) in channels.iter().zip(trains).enumerate() {
        let link = &lab.plan().topology.links[id.link.0];
        let probes = || samples.iter().filter(|sample| sample.path == index);
        let observed = Observed {
            interval,
            delays: probes().map(|sample| sample.delay).collect(),
            overtaken: probes().filter(|sample| sample.overtaken).count(),
            train,
        };
        let name = lab.plan().channel_name(id);
        let found = checks(
            &name,
            link.lanes[id.lane].channel(id.direction),
            &observed,
            channels.len(),
        );
        measured.checks.extend(found.checks);
        measured.skipped.extend(found.skipped);
    }
    Ok(measured)
}

/// The probes and the time between two of a channel.
fn probe(
    lab: &Lab,
    routes: &[ProbeRoute],
    stop: &AtomicBool,
) -> Result<(Vec<ProbeSample>, Duration), ProbeError> {
    let prober = Prober::start_routes(lab, routes, PROBE_INTERVAL)?;
    while prober.started().elapsed() < PROBING {
        if stop.load(Ordering::Relaxed) {
            return Ok((Vec::new(), PROBE_INTERVAL));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let interval = prober.interval();
    Ok((prober.stop()?, interval))
}

/// Every channel with the gateways' addresses on its own lane.
fn channels(plan: &LabPlan) -> Vec<(ChannelId, ProbeRoute)> {
    let both = plan
        .lanes
        .iter()
        .flat_map(|lane| Direction::BOTH.map(|direction| (lane, direction)));
    both.map(|(lane, direction)| {
        let [a, b] = [&lane.a, &lane.b].map(|end| ProbeEnd {
            node: end.gateway,
            address: end.ipv4.into(),
        });
        let id = ChannelId {
            link: lane.link,
            lane: lane.lane,
            direction,
        };
        match direction {
            Direction::Forward => (id, ProbeRoute { from: a, to: b }),
            Direction::Reverse => (id, ProbeRoute { from: b, to: a }),
        }
    })
    .collect()
}
