//! Every link held against its description: briefly before a workload, in full by `verify`; the engine and the CPU watched
//! while a workload runs.
//!
//! - [`measure`]: the brief check of a lab. [`verify`]: all quantities of any two ends.
//! - [`Subject`]: the channels of a lab, from gateway to gateway over each lane's own addresses. [`between`]: two namespaces
//!   that somebody else made.
//! - `afar`: ways between machines that are there.
//! - `plan`, `blast`, `train`: packet trains: which, how they are sent, what they tell.
//! - `ideal`: what probes would show of a jitter that is as described.
//! - `judge`: from what was observed to what was off. Pure.
//! - [`Watch`]: the engine and the CPU while the workload runs.

pub(crate) mod afar;
pub mod between;
mod blast;
mod ideal;
mod judge;
mod plan;
mod quantity;
mod sample;
mod subject;
mod train;
mod verify;
mod watch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::Lateness;
use crate::lab::Lab;
use crate::probe::ProbeError;

pub use quantity::{Bound, Measurement, Quantity, Requirement};
pub use subject::{Expected, Shaper, Subject};
pub use verify::{Stage, Verification, VerifiedChannel, verify};
pub(crate) use watch::CpuTime;
pub use watch::Watch;

/// How long the probes run before a workload. With the trains, a lab is measured in 1 to 2 seconds.
const PROBING: Duration = Duration::from_millis(1000);

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
    /// What was measured besides, of which nothing is asked; in words.
    pub told: Vec<String>,
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
    let found = verify::brief(&Subject::of_lab(lab), PROBING, stop)?;
    if stop.load(Ordering::Relaxed) {
        return Ok(Measured::default());
    }
    let mut measured = Measured::default();
    for found in found {
        let checks = found.measurements.iter().filter_map(Measurement::check);
        measured.checks.extend(checks);
        measured.skipped.extend(found.skipped);
    }
    Ok(measured)
}
