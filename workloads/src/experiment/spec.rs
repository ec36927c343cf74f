//! The file format. Every field has its default here, so a parsed file written out again says all that was run.

mod choice;
mod replay;
mod stack;

use std::collections::BTreeMap;

use longhaul_reports::result::Placement;
use longhaul_topologies::units::{ByteSize, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::collective::{Algorithm, Collective, DataType, ReduceOp};
use crate::program::ProgramSpec;
use crate::program::command::CommandSpec;
use crate::program::iperf3::Iperf3Spec;
use crate::program::mpi::MpiSpec;
use crate::program::nccl_tests::NcclTestsSpec;
use crate::program::perftest::PerftestSpec;
use crate::program::ping::PingSpec;
use crate::program::torch::TorchSpec;

pub use choice::{OneOrMany, Sizes};
pub use replay::ReplaySpec;
pub use stack::{CongestionControl, Packets, StackSpec, Transport};

/// An experiment file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentSpec {
    /// The experiment's name: results are named for it.
    pub name: String,
    /// One line of what it shows.
    #[serde(default)]
    pub description: String,
    /// A topology of the catalogue, a file (relative to this one), or a topology written out.
    #[schemars(schema_with = "topology_schema")]
    pub topology: Value,
    /// What runs on it.
    pub workload: WorkloadSpec,
    /// Transports to compare; a bare name is that congestion control with every default.
    #[serde(default = "default_stacks")]
    pub stacks: Vec<StackSpec>,
    /// Further settings to run every combination of: a place in the file (`topology.links.0.queue`,
    /// `workload.iterations`, `stacks.*.connections`) and its values; or a word and a list of mappings, each of places and values
    /// that are set together.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Vec<Value>>")]
    pub sweep: Map<String, Value>,
    /// How often to run every combination.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub repeats: usize,
    /// Seeds everything random.
    #[serde(default = "one_seed")]
    pub seed: u64,
    /// The one-way delay probes between sites.
    #[serde(default)]
    pub probes: ProbesSpec,
    /// The sampling of counters.
    #[serde(default)]
    pub telemetry: TelemetrySpec,
}

/// What runs: a collective of longhaul's own, a trace of them, or a program of others. Just one of `collective`, `replay`, `command`,
/// `iperf3`, `ping`, `torch`, `mpi`, `nccl-tests` and `perftest` is given; the fields after them are the collective's, those from
/// `rank_order` on the replay's as well.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// The collective, by nccl-tests' name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collective: Option<Collective>,
    /// A trace of collectives instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplaySpec>,
    /// A program on the hosts instead of a collective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandSpec>,
    /// iperf3 between pairs of hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iperf3: Option<Iperf3Spec>,
    /// ping between pairs of hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping: Option<PingSpec>,
    /// PyTorch with Gloo on all hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torch: Option<TorchSpec>,
    /// Open MPI or MPICH on all hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mpi: Option<MpiSpec>,
    /// NVIDIA's nccl-tests on all hosts, where there are GPUs.
    #[serde(
        default,
        rename = "nccl-tests",
        skip_serializing_if = "Option::is_none"
    )]
    pub nccl_tests: Option<NcclTestsSpec>,
    /// perftest (`ib_write_bw` and its kin) between pairs of hosts, where there are RDMA devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perftest: Option<PerftestSpec>,
    /// How the collective's transfers are arranged; a list is a sweep. Each collective has a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<OneOrMany<Algorithm>>,
    /// Element type.
    #[serde(default = "default_data_type")]
    pub data_type: DataType,
    /// Reduction operator.
    #[serde(default = "default_op")]
    pub op: ReduceOp,
    /// Root rank of a broadcast.
    #[serde(default)]
    pub root: usize,
    /// Array sizes: one, a list, or `{from, to, factor}`.
    #[serde(default)]
    pub sizes: Sizes,
    /// Where outputs go.
    #[serde(default = "default_placements")]
    pub placements: Vec<Placement>,
    /// Which host has which rank; a list is a sweep.
    #[serde(default = "default_rank_order")]
    pub rank_order: OneOrMany<RankOrder>,
    /// Measured iterations of every size and placement, or measured steps of a trace.
    #[serde(default = "default_iterations")]
    #[schemars(range(min = 1))]
    pub iterations: u64,
    /// Iterations before them that do not count.
    #[serde(default = "default_warmup")]
    pub warmup: u64,
    /// How long a rank waits for a peer from which nothing comes before the run ends.
    #[serde(default = "default_patience")]
    pub patience: TimeSpan,
}

/// Which host has which rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RankOrder {
    /// Site after site: a ring crosses the WAN once per site.
    SiteContiguous,
    /// The first host of every site, then the second of every site: a ring crosses the WAN at every step.
    Interleaved,
}

/// The one-way delay probes between sites.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbesSpec {
    /// Time between two probes of one pair of sites, 100us at least; longer where there are many pairs: a lab takes 2000 probes a second in
    /// all, a virtual one 20,000.
    pub interval: TimeSpan,
}

/// The sampling of counters.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySpec {
    /// Time between two readings of links and connections, 1ms at least; hosts are read every 10ms at most. At 1ms, reading takes
    /// about 13 % of a core with 2 channels and 28 % with 20 (unoptimised, with the relay, its own share included), and the rows of
    /// each channel take 0.4 MB of `telemetry.csv` a second.
    pub period: TimeSpan,
}

/// The JSON Schema of experiment files; `workloads/schema.json` is its printed form.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(ExperimentSpec)
}

impl WorkloadSpec {
    /// The programs it names.
    pub fn programs(&self) -> Vec<ProgramSpec> {
        let all = [
            self.command.clone().map(ProgramSpec::Command),
            self.iperf3.clone().map(ProgramSpec::Iperf3),
            self.ping.clone().map(ProgramSpec::Ping),
            self.torch.clone().map(ProgramSpec::Torch),
            self.mpi.clone().map(ProgramSpec::Mpi),
            self.nccl_tests.clone().map(ProgramSpec::NcclTests),
            self.perftest.clone().map(ProgramSpec::Perftest),
        ];
        all.into_iter().flatten().collect()
    }
}

impl Default for ProbesSpec {
    fn default() -> Self {
        Self {
            interval: milliseconds(10),
        }
    }
}

impl Default for TelemetrySpec {
    fn default() -> Self {
        Self {
            period: milliseconds(100),
        }
    }
}

fn topology_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["string", "object"] })
}

fn milliseconds(number: u64) -> TimeSpan {
    TimeSpan::from_duration(std::time::Duration::from_millis(number))
}

fn default_stacks() -> Vec<StackSpec> {
    vec![StackSpec::of("cubic")]
}

fn one() -> usize {
    1
}

fn one_seed() -> u64 {
    1
}

fn default_data_type() -> DataType {
    DataType::F32
}

fn default_op() -> ReduceOp {
    ReduceOp::Sum
}

fn default_placements() -> Vec<Placement> {
    vec![Placement::OutOfPlace, Placement::InPlace]
}

fn default_rank_order() -> OneOrMany<RankOrder> {
    OneOrMany(vec![RankOrder::SiteContiguous])
}

fn default_iterations() -> u64 {
    5
}

fn default_warmup() -> u64 {
    1
}

fn default_patience() -> TimeSpan {
    milliseconds(10_000)
}

/// Sizes of a sweep by factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SizeRange {
    /// The least.
    pub from: ByteSize,
    /// The greatest, if the factor hits it.
    pub to: ByteSize,
    /// Each is this many times the one before; at least 2.
    #[serde(default = "default_factor")]
    #[schemars(range(min = 2))]
    pub factor: u64,
}

fn default_factor() -> u64 {
    2
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
