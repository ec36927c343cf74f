//! Every link held against its description, before the workload; the engine and the CPU watched during it.

use serde::{Deserialize, Serialize};

use crate::engine::Lateness;

/// What was asked, what was measured, and whether that is close enough, for one quantity of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FidelityCheck {
    /// `virginia>dublin lane 0`.
    pub channel: String,
    /// `one-way delay`, `jitter`, `rate`, `loss`.
    pub quantity: String,
    /// Unit of the three figures: `us`, `bit/s`, `%`.
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
    /// Share of the machine's CPU time in use during the workload, 0–1.
    pub cpu_use: f64,
    /// What was off, by how much and what to do; empty means faithful.
    pub findings: Vec<String>,
}

impl Fidelity {
    /// Nothing was off.
    pub fn faithful(&self) -> bool {
        self.findings.is_empty()
    }
}
