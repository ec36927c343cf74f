//! How a trace is played.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::collective::{Algorithm, Collective};

/// What of a trace is played in another way than it was traced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// How long computing takes.
    pub compute: Compute,
    /// How collectives are done; by their defaults if absent.
    pub algorithms: BTreeMap<Collective, Algorithm>,
}

/// How long computing takes. It is waited for, not done: no rank takes another's processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compute {
    /// As long as in the trace.
    #[default]
    AsTraced,
    /// No time: communication alone.
    None,
    /// So many times as long, 0 or more: 0.5 is a machine twice as fast.
    Scale(f64),
}

impl Compute {
    /// The greatest scale; more is a slip, not an intention.
    pub const MOST: f64 = 1e6;

    /// How long what lasted so long in the trace lasts.
    pub fn scaled(self, lasts: Duration) -> Duration {
        match self {
            Self::AsTraced => lasts,
            Self::None => Duration::ZERO,
            Self::Scale(scale) => lasts.mul_f64(scale),
        }
    }

    /// Whether a scale is one.
    pub fn is_valid(self) -> bool {
        match self {
            Self::AsTraced | Self::None => true,
            Self::Scale(scale) => (0.0..=Self::MOST).contains(&scale),
        }
    }
}

impl fmt::Display for Compute {
    /// `as traced`, `none`, `× 0.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsTraced => f.write_str("as traced"),
            Self::None => f.write_str("none"),
            Self::Scale(scale) => write!(f, "× {scale}"),
        }
    }
}

impl Terms {
    /// How `collective` is done.
    pub fn algorithm(&self, collective: Collective) -> Algorithm {
        let chosen = self.algorithms.get(&collective).copied();
        chosen.unwrap_or_else(|| Algorithm::default_for(collective))
    }
}
