//! What a run found, as it lies in `result.json`.

mod capture;
mod environment;
pub(crate) mod fidelity;
mod flows;
mod measure;
mod network;
mod nics;
mod run_details;
mod telemetry;
mod timeline;
mod timing;
pub(crate) mod version_1;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use capture::{CaptureFile, CaptureSide};
pub use environment::{
    Computing, Environment, HostMachine, LabKernel, LabKind, Machine, NetworkInterface,
};
pub use fidelity::{EngineLateness, FidelityRow, FidelitySection};
pub use flows::{FlowSummary, LinkShares, MessageSummary};
pub use measure::{Better, Measure, MeasuredValue};
pub use network::{ChannelSummary, DelaySummary, Percentiles};
pub use nics::NicCounter;
pub use run_details::{RunDetails, VirtualLab};
pub use telemetry::{Entity, TelemetryRow, metric};
pub use timeline::{Source, TimelineEntry, Way};
pub use timing::{Bound, BoundTime, Placement, Sample, Summary};

/// The version of this schema; raised when a field changes its meaning or goes. [`ResultFolder`](crate::folder::ResultFolder)
/// reads every older one.
pub const SCHEMA_VERSION: u32 = 2;

/// One execution of an experiment.
///
/// In a virtual lab everything but [`run_details`](Self::run_details) is a function of binary, lab kernel, experiment and seed: a
/// field that may differ between two such runs belongs there.
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
    /// What may differ when the run is repeated. Absent in a virtual lab's result until the machine outside has added it
    /// ([`ResultFolder::complete`](crate::folder::ResultFolder::complete)): nothing inside knows of it.
    pub run_details: Option<RunDetails>,
    /// How it ended.
    pub outcome: Outcome,
    /// The seed of everything random.
    pub seed: u64,
    /// The experiment with every default and override written out.
    pub experiment: serde_json::Value,
    /// Where it ran.
    pub environment: Environment,
    /// Which of the experiment's points were to be run; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// One entry per combination of the sweep, stacks and repeats, in order of execution.
    pub points: Vec<Point>,
}

/// Some of an experiment's points, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// The number of the first, from 0.
    pub first: usize,
    /// The number of the last.
    pub last: usize,
    /// How many points the experiment has.
    pub of: usize,
}

impl Point {
    /// Moves it on the time axis of its run.
    pub(crate) fn shift(&mut self, seconds: f64) {
        let timeline = self.timeline.iter_mut().map(|entry| &mut entry.time_s);
        let samples = self.samples.iter_mut().map(|sample| &mut sample.start_s);
        let measured = self
            .measures
            .iter_mut()
            .flat_map(|measure| &mut measure.values);
        for time_s in [&mut self.began_s, &mut self.ended_s]
            .into_iter()
            .chain(&mut self.schedule_began_s)
            .chain(timeline)
            .chain(samples)
            .chain(measured.filter_map(|value| value.time_s.as_mut()))
        {
            *time_s += seconds;
        }
    }
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

/// One combination of the sweep: one stack on one topology with one schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Its number in the experiment, from 0: of a result that is no [`Part`], the index into [`RunResult::points`]. The `point` column
    /// of the CSV files.
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
    /// Seconds since the run's start from which a topology's `schedule` and its traces counted: when ranks or programs were ready to
    /// go. Absent if the workload did not get there.
    #[serde(default)]
    pub schedule_began_s: Option<f64>,
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
    /// Connections and queue pairs between ranks.
    #[serde(default)]
    pub flows: Vec<FlowSummary>,
    /// How evenly they shared each link that several of them crossed.
    #[serde(default)]
    pub shares: Vec<LinkShares>,
    /// What NICs counted; of machines that were there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<NicCounter>,
    /// What changed on the links while the workload ran, in the order of time.
    #[serde(default)]
    pub timeline: Vec<TimelineEntry>,
    /// Files of packets, one for each channel and side that was captured.
    #[serde(default)]
    pub captures: Vec<CaptureFile>,
    /// Exit status and output files of external programs, per host.
    pub commands: Vec<CommandOutcome>,
    /// What external programs measured, beside the iterations of a collective.
    #[serde(default)]
    pub measures: Vec<Measure>,
}

/// What a point ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Workload {
    /// A collective.
    Collective {
        /// The program that ran it (`PyTorch with Gloo`); longhaul's own ranks if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        program: Option<String>,
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
    /// A trace of collectives, transfers and computing, played by longhaul's own ranks: a sample is a step.
    Replay {
        /// The trace's name.
        trace: String,
        /// One line of where it comes from.
        description: String,
        /// How long computing took: `as traced`, `none`, `× 0.5`.
        compute: String,
        /// What a step carries, one entry per kind.
        carries: Vec<Carried>,
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

/// What a step of a trace carries of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Carried {
    /// `all_reduce`, …; `send` from one rank to another.
    pub kind: String,
    /// `ring`, …; absent of sends.
    pub algorithm: Option<String>,
    /// How many of them.
    pub count: u64,
    /// Bytes of their arrays.
    pub bytes: u64,
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
    /// File with what it wrote to standard output, where figures are read from that and `log` has the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
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
