//! Iterations, their summaries, and the bound that the links set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The bound on bus bandwidth that the slowest link sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bound {
    /// Bits per second of bus bandwidth with an unlimited message.
    pub busbw_bps: f64,
    /// How it comes about, in a sentence with its figures.
    pub reason: String,
    /// The shortest possible time of each size, from serialisation and the steps' latency.
    pub times: Vec<BoundTime>,
}

/// The shortest possible time of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BoundTime {
    /// Bytes of the whole array.
    pub size_bytes: u64,
    /// Microseconds.
    pub time_us: f64,
}

/// Where a collective's output goes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Into another buffer.
    OutOfPlace,
    /// Over the input.
    InPlace,
}

impl Placement {
    /// As nccl-tests calls it: `out-of-place`, `in-place`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OutOfPlace => "out-of-place",
            Self::InPlace => "in-place",
        }
    }
}

/// One iteration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// Bytes of the whole array, nccl-tests' `size`.
    pub size_bytes: u64,
    /// Elements of `size_bytes`.
    pub count: u64,
    /// Where the output goes.
    pub placement: Placement,
    /// From 0; warm-up iterations count from 0 too.
    pub iteration: u64,
    /// Not in the summaries.
    pub warmup: bool,
    /// Seconds since the run's start at which all ranks started.
    pub start_s: f64,
    /// From the common start to the last rank's end, microseconds.
    pub time_us: f64,
    /// Elements that were wrong, all ranks together.
    pub wrong: u64,
}

/// nccl-tests' row for one size and placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Bytes of the whole array.
    pub size_bytes: u64,
    /// Elements.
    pub count: u64,
    /// Where the output goes.
    pub placement: Placement,
    /// Iterations summarised.
    pub iterations: u64,
    /// Mean time, microseconds, as nccl-tests' `time`.
    pub time_us: f64,
    /// Algorithm bandwidth of the mean time, 1e9 bytes per second.
    pub algbw_gbps: f64,
    /// Bus bandwidth of the mean time, 1e9 bytes per second.
    pub busbw_gbps: f64,
    /// Median of the times, microseconds; with few iterations, percentiles are of the samples there are (nearest rank).
    pub p50_us: f64,
    /// 95th percentile.
    pub p95_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// Sample standard deviation.
    pub stdev_us: f64,
    /// Wrong elements over all iterations.
    pub wrong: u64,
    /// Share of the bound's bus bandwidth at this size (`BoundTime` ÷ mean time), if the bound is known.
    pub bound_share: Option<f64>,
}
