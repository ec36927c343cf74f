//! What a run found, as it lies in `result.json`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of this schema; raised when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// One execution of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// [`SCHEMA_VERSION`] of the longhaul that wrote it.
    pub schema_version: u32,
    /// The longhaul that wrote it.
    pub longhaul_version: String,
    /// The experiment's name.
    pub name: String,
    /// One line of what the experiment is for.
    pub description: String,
    /// The command that repeats this run.
    pub command: String,
    /// When the run began and ended (RFC 3339).
    pub started: String,
    /// When the run ended; absent if it was cut short.
    pub finished: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The seed of everything random.
    pub seed: u64,
    /// The experiment with every default and override written out.
    pub experiment: serde_json::Value,
    /// Where it ran.
    pub environment: Environment,
    /// One entry per combination of the sweep, stacks and repeats, in order of execution.
    pub points: Vec<Point>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// Still going, or killed: what is there is whole, more was to come.
    Unfinished,
    /// All points were run.
    Finished,
    /// The user interrupted it.
    Interrupted,
    /// It could not go on.
    Failed {
        /// Why.
        message: String,
    },
}

/// The machine and the lab kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// `host`, `virtual` or `physical`.
    pub lab: String,
    /// `netem` or `relay`.
    pub links: String,
    /// `root` or `rootless`.
    pub privilege: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub architecture: String,
    /// The distribution's name.
    pub distribution: String,
    /// The CPU's name.
    pub cpu: String,
    /// Logical CPUs this run could use.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// One combination of the sweep: one stack on one topology with one schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Index into [`RunResult::points`]; the `point` column of the CSV files.
    pub index: usize,
    /// The stack's name (`cubic`), the main series of every chart.
    pub stack: String,
    /// Swept settings and their values in this point, apart from size and stack (`algorithm: ring`, `links.0.loss: 0.1%`).
    pub settings: BTreeMap<String, String>,
    /// Repeat number, from 0.
    pub repeat: usize,
    /// Seconds since the run's start at which this point's workload began and ended (the `time_s` axis of telemetry).
    pub began_s: f64,
    /// See `began_s`.
    pub ended_s: f64,
    /// The links held against their description.
    pub fidelity: FidelitySection,
    /// What was run.
    pub workload: Workload,
    /// The bound the slowest link sets on bus bandwidth, if known for this workload.
    pub bound: Option<Bound>,
    /// Every iteration, warm-up included; empty for commands.
    pub samples: Vec<Sample>,
    /// One row per size and placement, warm-up excluded.
    pub summaries: Vec<Summary>,
    /// One-way delay between sites during the workload.
    pub delays: Vec<DelaySummary>,
    /// Totals of every channel over the point.
    pub channels: Vec<ChannelSummary>,
    /// Exit status and output files of external programs, per host.
    pub commands: Vec<CommandOutcome>,
}

/// What a point ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Workload {
    /// A native collective.
    Collective {
        /// `all_reduce`, …
        collective: String,
        /// `ring`, …
        algorithm: String,
        /// `f32`, …
        data_type: String,
        /// `sum`, …; `none` where nothing is reduced.
        op: String,
        /// Root rank; −1 where there is none.
        root: i32,
        /// Number of ranks.
        ranks: usize,
        /// Host of each rank, in rank order.
        hosts: Vec<String>,
    },
    /// An external program.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
    },
}

/// The lab's faithfulness during a point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FidelitySection {
    /// No finding.
    pub faithful: bool,
    /// What was off, by how much and what to do.
    pub findings: Vec<String>,
    /// Asked against measured, per channel and quantity.
    pub checks: Vec<FidelityRow>,
    /// How late the link engine released packets, if it can tell.
    pub lateness: Option<EngineLateness>,
    /// Packets the engine lost against the description.
    pub engine_drops: u64,
    /// Share of the machine's CPU time in use during the workload (niced processes left out), 0–1.
    pub cpu_use: f64,
}

/// How late the link engine released packets, against the instant that the link's description set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EngineLateness {
    /// Releases counted.
    pub releases: u64,
    /// Median, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// The worst, microseconds.
    pub max_us: f64,
}

/// One quantity of one channel: asked against measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FidelityRow {
    /// `virginia>dublin lane 0`.
    pub channel: String,
    /// `one-way delay`, `jitter`, `rate`, `loss`.
    pub quantity: String,
    /// `us`, `bit/s`, `%`.
    pub unit: String,
    /// What the description asks for.
    pub asked: f64,
    /// What was measured.
    pub measured: f64,
    /// Allowed distance either way.
    pub bound: f64,
    /// Within the bound.
    pub within: bool,
}

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

/// Percentiles of a distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// How many.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Least.
    pub min: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Greatest.
    pub max: f64,
}

/// One-way delay from site to site while the workload ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DelaySummary {
    /// Sending site.
    pub from: String,
    /// Receiving site.
    pub to: String,
    /// One-way delay of the description, least path, microseconds.
    pub described_us: f64,
    /// One-way delay, microseconds.
    pub delay_us: Percentiles,
    /// Packet delay variation (RFC 5481 section 4.2): 99th percentile above the least delay, microseconds.
    pub pdv_us: f64,
    /// Interarrival jitter (RFC 3550 section 6.4.1) at the end, microseconds.
    pub rfc3550_us: f64,
    /// Probes sent.
    pub sent: u64,
    /// Probes that never arrived.
    pub lost: u64,
}

/// Totals of one channel over a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelSummary {
    /// `virginia>dublin`.
    pub link: String,
    /// Lane number, from 0.
    pub lane: usize,
    /// The described rate; absent if unlimited.
    pub rate_bps: Option<u64>,
    /// Bytes of Ethernet frames delivered.
    pub bytes: u64,
    /// Wire packets delivered.
    pub packets: u64,
    /// Refused by the full bottleneck queue.
    pub queue_drops: u64,
    /// Taken by the loss model, where the engine tells.
    pub losses: Option<u64>,
    /// Greatest sampled occupancy of the bottleneck queue, bytes.
    pub queue_peak_bytes: u64,
}

/// How an external program ended on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandOutcome {
    /// The host.
    pub host: String,
    /// Exit code, or 128 + signal.
    pub exit_code: i32,
    /// File with its output, relative to the result's folder.
    pub log: String,
}

/// One row of `telemetry.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TelemetryRow {
    /// Seconds since the run's start.
    pub time_s: f64,
    /// The point it belongs to.
    pub point: usize,
    /// What was observed.
    pub entity: Entity,
    /// Which one: `virginia>dublin/0` (channel and lane), `virginia-0>dublin-0/3` (connection), `virginia>dublin` (probe path),
    /// `virginia-0` (host).
    pub name: String,
    /// The quantity with its unit as suffix; see [`metric`].
    pub metric: String,
    /// Its value.
    pub value: f64,
}

/// Kinds of things observed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// A lane in one direction.
    Channel,
    /// A TCP connection, at its sending end.
    Connection,
    /// A probe path between two sites.
    Probe,
    /// A host's network interface.
    Host,
}

/// The names of metrics in `telemetry.csv`.
pub mod metric {
    /// Cumulative bytes delivered (channel), or sent (host).
    pub const BYTES: &str = "bytes";
    /// Cumulative bytes received (host).
    pub const RECEIVED_BYTES: &str = "received_bytes";
    /// Cumulative wire packets delivered.
    pub const PACKETS: &str = "packets";
    /// Cumulative packets the queue refused.
    pub const QUEUE_DROPS: &str = "queue_drops";
    /// Cumulative packets the loss model took.
    pub const LOSSES: &str = "losses";
    /// Bytes in the bottleneck queue.
    pub const QUEUE_BYTES: &str = "queue_bytes";
    /// One-way delay of the probe sent at `time_s`, microseconds.
    pub const ONE_WAY_DELAY_US: &str = "one_way_delay_us";
    /// 1 for a probe sent at `time_s` that never arrived.
    pub const PROBE_LOST: &str = "probe_lost";
    /// Smoothed RTT, microseconds.
    pub const RTT_US: &str = "rtt_us";
    /// Congestion window, bytes.
    pub const CWND_BYTES: &str = "cwnd_bytes";
    /// Cumulative retransmitted segments.
    pub const RETRANSMITS: &str = "retransmits";
    /// Pacing rate, bits per second.
    pub const PACING_RATE_BPS: &str = "pacing_rate_bps";
    /// Delivery rate, bits per second.
    pub const DELIVERY_RATE_BPS: &str = "delivery_rate_bps";
    /// Cumulative bytes acknowledged.
    pub const BYTES_ACKED: &str = "bytes_acked";
}

/// The JSON Schema of `result.json`; `reports/schema.json` is its printed form.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RunResult)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_file_is_current() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json");
        let current = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if std::env::var_os("LONGHAUL_UPDATE_SCHEMA").is_some() {
            std::fs::write(file, &current).unwrap();
        }
        let kept = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            kept == current,
            "{file} is stale: run this test with LONGHAUL_UPDATE_SCHEMA=1"
        );
    }
}
