//! What changed on the links while a workload ran.

use longhaul_topologies::model::Direction;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A channel that became another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineEntry {
    /// Seconds since the run's start at which the link engine had it.
    pub time_s: f64,
    /// `virginia>dublin`, as in [`ChannelSummary`](super::ChannelSummary).
    pub link: String,
    /// Lane number, from 0.
    pub lane: usize,
    /// Which way that is in the topology.
    pub direction: Way,
    /// Who changed it.
    pub source: Source,
    /// What was and what is, with a topology file's keys: `delay 40ms → 60ms, loss none → 1%`.
    pub change: String,
    /// How much later than scheduled it was made, microseconds; 0 for what was set by hand.
    pub late_us: f64,
}

/// A direction of a link, as the topology has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// From the first site of `between` to the second.
    Forward,
    /// From the second to the first.
    Reverse,
}

impl From<Direction> for Way {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Forward => Self::Forward,
            Direction::Reverse => Self::Reverse,
        }
    }
}

/// Who changed a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The topology's `schedule`.
    Scheduled,
    /// Somebody, with `longhaul link set`.
    Manual,
}
