//! A replayed trace.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::collective::{Algorithm, Collective};
use crate::replay::terms::{Compute, Terms};

/// A trace of a training step's communication, replayed with longhaul's own collectives.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaySpec {
    /// A trace of the catalogue (`gpt-data-parallel`, `gpt-pipeline`, `mixtral-experts`), or a path relative to this file: longhaul's
    /// YAML, a Chakra execution trace as JSON that is the same on every rank, or a folder of them, `NAME.0.json`, `NAME.1.json`, …
    pub trace: String,
    /// How long computing takes; it is waited for, not done.
    #[serde(default)]
    pub compute: Compute,
    /// How collectives are done; by their defaults if absent.
    #[serde(default)]
    pub algorithms: BTreeMap<Collective, Algorithm>,
}

impl ReplaySpec {
    /// How the trace is played.
    pub fn terms(&self) -> Terms {
        Terms {
            compute: self.compute,
            algorithms: self.algorithms.clone(),
        }
    }
}
