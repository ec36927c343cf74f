//! What may differ between two runs of the same binary, lab kernel, experiment and seed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Machine;

/// One execution by the wall clock. In a virtual lab all else of a result is the same bytes for the same seed, so whoever compares
/// results leaves this section out. The name is that of SLSA's provenance v1.0, which parts `runDetails` from `buildDefinition` by
/// the same line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunDetails {
    /// The command that repeats this run, as typed.
    pub command: String,
    /// When the run began (RFC 3339).
    pub started: String,
    /// When the run ended; absent if it was cut short.
    pub finished: Option<String>,
    /// Wall-clock seconds from its beginning to its end; absent if it was cut short.
    pub wall_seconds: Option<f64>,
    /// A virtual lab, seen from outside; absent in labs that run by the wall clock.
    pub virtual_lab: Option<VirtualLab>,
}

/// What a virtual lab came to on the machine that it ran on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VirtualLab {
    /// Seconds that passed on the lab's own clock.
    pub virtual_seconds: f64,
    /// The same per wall-clock second.
    pub virtual_seconds_per_wall_second: f64,
    /// The most memory that the lab kernel's process held.
    pub peak_memory_bytes: u64,
    /// The machine.
    pub machine: Machine,
}
