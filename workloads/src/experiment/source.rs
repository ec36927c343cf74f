//! A file or catalogue entry with `--set` laid over it, and every check of meaning on the way to an [`Experiment`].

mod sweep;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use longhaul_reports::result::Placement;
use longhaul_reports::sweep::MOST_POINTS;
use longhaul_topologies::document::{DocumentPath, Setting};
use longhaul_topologies::model::Topology;
use longhaul_topologies::units::TimeSpan;
use longhaul_topologies::{Document, InputError, Inventory, catalogue, validate};
use serde_json::{Value, json};

use super::points::{
    CollectivePlan, Experiment, PointPlan, RankPlace, ReplayPlan, WorkloadPlan, combinations,
    derived_seed, places,
};
use super::spec::{ExperimentSpec, ReplaySpec, WorkloadSpec};
use crate::collective::{Algorithm, supports};
use crate::program::ProgramSpec;
use crate::replay::source::TraceSource;
use crate::replay::terms::Compute;

use sweep::{Dimension, check_only, dimensions, runs};

/// What the fields of a topology begin with.
const TOPOLOGY: &str = "topology.";

/// An experiment's document and the overrides of its topology, which may lie in a file of its own.
#[derive(Clone, Debug)]
pub struct ExperimentSource {
    document: Document,
    /// Topology files are relative to it.
    folder: PathBuf,
    topology_settings: Vec<Setting>,
}

impl ExperimentSource {
    /// Takes `document`, whose topology files are relative to `folder`.
    pub fn new(document: Document, folder: &Path) -> Self {
        Self {
            document,
            folder: folder.to_owned(),
            topology_settings: Vec::new(),
        }
    }

    /// The experiment's own file, as it was read.
    pub fn text(&self) -> &str {
        self.document.text()
    }

    /// The files that this experiment has been read from, once it is [loaded](Self::load): its own, its topologies', their traces.
    pub fn files(&self) -> Vec<PathBuf> {
        self.document.files()
    }

    /// Sets a field (`workload.iterations`, `topology.links.0.loss`) to `text`, as [`Document::set`] does.
    ///
    /// # Errors
    /// If the field leads through something that is not there; for a topology that is not written out in the
    /// experiment, [`load`](Self::load) says so.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), InputError> {
        self.lay(Setting::overriding(key, text))
    }

    fn lay(&mut self, setting: Setting) -> Result<(), InputError> {
        if setting.key.starts_with(TOPOLOGY) && self.topology_name().is_some() {
            self.topology_settings.push(setting);
            return Ok(());
        }
        self.document.lay(&setting.key, &setting.value, &setting)
    }

    /// Puts the sites and links of `inventory` in the place of the topology: what is there is not made, nor changed.
    ///
    /// # Errors
    /// If the experiment would change it: by a schedule, a sweep over it, or a setting of it.
    pub fn on_machines(&mut self, inventory: &Inventory) -> Result<(), InputError> {
        const UNCHANGEABLE: &str = "a physical lab's links cannot be changed";
        const HELP: &str = "run it with --lab host or --lab virtual";
        let at = place(&["topology"]);
        if let Some(setting) = self.topology_settings.first() {
            let error = InputError::new(self.document.name(), UNCHANGEABLE).at_setting(setting);
            return Err(error.with_help("leave it out: the inventory says what is there"));
        }
        let spec: ExperimentSpec = self.document.parse()?;
        let dimensions = dimensions(&self.document, &spec)?;
        let mut swept = dimensions
            .iter()
            .flat_map(|dimension| &dimension.steps)
            .flatten();
        if let Some(setting) = swept.find(|setting| setting.key.starts_with(TOPOLOGY)) {
            let error = self.document.error(&setting.place, UNCHANGEABLE);
            return Err(error.with_help(HELP));
        }
        let own = self.topology()?;
        if self.document.is_overridden(&at)
            || own.links.iter().any(|link| !link.schedule.is_empty())
        {
            return Err(self.document.error(&at, UNCHANGEABLE).with_help(HELP));
        }
        let text = json!(inventory.spec).to_string();
        let setting = Setting::bare("--inventory", &inventory.topology.name);
        self.document.lay("topology", &text, &setting)
    }

    /// Checks everything and lays out the points.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and what would be right.
    pub fn load(&self) -> Result<Experiment, InputError> {
        let spec: ExperimentSpec = self.document.parse()?;
        self.check_plain(&spec)?;
        let dimensions = dimensions(&self.document, &spec)?;
        check_only(&self.document, &spec, &dimensions)?;
        let lengths: Vec<usize> = dimensions
            .iter()
            .map(|dimension| dimension.steps.len())
            .collect();
        let points = lengths
            .iter()
            .chain([&spec.repeats, &spec.stacks.len()])
            .try_fold(1, |a: usize, &b| a.checked_mul(b));
        if points.is_none_or(|points| points > MOST_POINTS) {
            let message = format!("this sweep has more than {MOST_POINTS} points");
            return Err(self.document.error(&place(&["sweep"]), message));
        }
        let mut experiment = Experiment {
            name: spec.name.clone(),
            description: spec.description.clone(),
            seed: spec.seed,
            telemetry_period: spec.telemetry.period.duration(),
            topologies: Vec::new(),
            points: Vec::new(),
            part: None,
            resolved: self.resolved(&spec)?,
        };
        for indices in combinations(&lengths) {
            self.add_points(&mut experiment, &dimensions, &indices)?;
        }
        if experiment.points.is_empty() {
            let message =
                "no stack runs anywhere: the values that `only` names never come together";
            return Err(self.document.error(&place(&["stacks"]), message));
        }
        Ok(experiment)
    }

    /// Adds the points of one combination of the sweep.
    fn add_points(
        &self,
        experiment: &mut Experiment,
        dimensions: &[Dimension],
        indices: &[usize],
    ) -> Result<(), InputError> {
        let mut source = self.clone();
        if dimensions
            .iter()
            .any(|dimension| dimension.reaches("stacks."))
        {
            source.write_stacks_out()?;
        }
        let mut settings = BTreeMap::new();
        let steps = dimensions.iter().zip(indices);
        let steps = steps.flat_map(|(dimension, &index)| &dimension.steps[index]);
        let set: Vec<&sweep::Setting> = steps.collect();
        for &setting in &set {
            let text = yaml(&setting.value);
            let refused = |error| self.told_at_its_cause(error, setting);
            let swept = Setting::bare(&setting.key, &text);
            source.lay(swept).map_err(refused)?;
            if setting.key.starts_with(TOPOLOGY) {
                source.topology().map_err(refused)?;
            } else {
                let spec = source.document.parse().map_err(refused)?;
                source.check_stacks(&spec).map_err(refused)?;
                source.check_periods(&spec).map_err(refused)?;
            }
            settings.insert(short(&setting.key).to_owned(), text);
        }
        let mut spec: ExperimentSpec = source.document.parse()?;
        let topology = source.topology()?;
        let workload = source.workload(&spec.workload, &topology)?;
        spec.stacks.retain(|stack| runs(stack, &set));
        if spec.stacks.is_empty() {
            return Ok(());
        }
        if experiment.topologies.last() != Some(&topology) {
            experiment.topologies.push(topology);
        }
        for repeat in 0..spec.repeats {
            for stack in &spec.stacks {
                let number = experiment.points.len();
                experiment.points.push(PointPlan {
                    number,
                    topology: experiment.topologies.len() - 1,
                    stack: stack.clone(),
                    workload: workload.clone(),
                    probe_interval: spec.probes.interval.duration(),
                    settings: settings.clone(),
                    repeat,
                    seed: derived_seed(spec.seed, number),
                });
            }
        }
        Ok(())
    }

    /// The error as of a step of the sweep, unless what is wrong is wrong without it, too.
    fn told_at_its_cause(&self, error: InputError, step: &sweep::Setting) -> InputError {
        if error.setting().is_some_and(Setting::is_option) {
            return error;
        }
        match self.topology() {
            Err(own) if (&own.path, &own.message) == (&error.path, &error.message) => own,
            // Not as a setting that nobody typed.
            _ => self.document.error(&step.place, error.message),
        }
    }

    /// Gives every stack its long form, so that it has a name and fields to set.
    fn write_stacks_out(&mut self) -> Result<(), InputError> {
        let spec: ExperimentSpec = self.document.parse()?;
        let stacks = json!(spec.stacks).to_string();
        self.lay(Setting::bare("stacks", &stacks))
    }

    /// What a type cannot say about single fields.
    fn check_plain(&self, spec: &ExperimentSpec) -> Result<(), InputError> {
        let refuse =
            |segments: &[&str], message: &str| Err(self.document.error(&place(segments), message));
        if spec.name.is_empty()
            || spec
                .name
                .contains(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c))
        {
            return refuse(
                &["name"],
                "a name is letters, digits, dots, dashes and underscores: results are named for it",
            );
        }
        if spec.repeats == 0 {
            return refuse(
                &["repeats"],
                "at least one run of every combination is needed",
            );
        }
        if spec.stacks.is_empty() {
            return refuse(&["stacks"], "at least one stack is needed");
        }
        self.check_stacks(spec)?;
        self.check_periods(spec)
    }

    fn check_periods(&self, spec: &ExperimentSpec) -> Result<(), InputError> {
        let periods = [
            ("probes", "interval", spec.probes.interval, LEAST_INTERVAL),
            ("telemetry", "period", spec.telemetry.period, LEAST_PERIOD),
        ];
        for (section, field, period, least) in periods {
            if !(least..=LONGEST_PERIOD).contains(&period.duration()) {
                let message = format!("this is {} to 1min", TimeSpan::from_duration(least));
                return Err(self.document.error(&place(&[section, field]), message));
            }
        }
        Ok(())
    }

    fn check_stacks(&self, spec: &ExperimentSpec) -> Result<(), InputError> {
        let refuse =
            |segments: &[&str], message: &str| Err(self.document.error(&place(segments), message));
        for (index, stack) in spec.stacks.iter().enumerate() {
            let at = index.to_string();
            if !(1..=MOST_CONNECTIONS).contains(&stack.connections) {
                let message = format!("connections are 1 to {MOST_CONNECTIONS} per pair of ranks");
                return refuse(&["stacks", &at], &message);
            }
            if !(LEAST_CHUNK..=MOST_CHUNK).contains(&stack.chunk.bytes()) {
                return refuse(&["stacks", &at], "a chunk is 1KiB to 1GiB");
            }
            if let Err((message, help)) = stack.check() {
                let error = self.document.error(&place(&["stacks", &at]), &message);
                return Err(error.with_help(help));
            }
            if spec.stacks[..index]
                .iter()
                .any(|earlier| earlier.name == stack.name)
            {
                return refuse(
                    &["stacks", &at],
                    &format!("there are two stacks named `{}`", stack.name),
                );
            }
        }
        Ok(())
    }

    fn workload(
        &self,
        spec: &WorkloadSpec,
        topology: &Topology,
    ) -> Result<WorkloadPlan, InputError> {
        let refuse = |field: &str, message: String| {
            self.document.error(&place(&["workload", field]), message)
        };
        let collective = match (spec.collective, &spec.replay, &spec.programs()[..]) {
            (Some(collective), None, []) => collective,
            (None, Some(replay), []) => return self.replay(spec, replay, topology),
            (None, None, [program]) => return self.program(program, topology),
            _ => {
                let error = self.document.error(
                    &place(&["workload"]),
                    "a workload is either a collective, a trace or one program",
                );
                return Err(error.with_help(
                    "write `collective: all_reduce`, `replay: {trace: gpt-data-parallel}`, or one of `command`, `iperf3`, `ping`, \
                     `torch`, `mpi`, `nccl-tests` and `perftest` with its settings",
                ));
            }
        };
        let algorithm = spec
            .algorithm
            .as_ref()
            .and_then(|choice| choice.0.first().copied());
        let algorithm = algorithm.unwrap_or_else(|| Algorithm::default_for(collective));
        supports(collective, algorithm).map_err(|error| refuse("algorithm", error.to_string()))?;
        let ranks = self.ranks(spec, topology)?;
        if ranks.len() < 2 {
            return Err(refuse(
                "collective",
                "a collective takes two ranks, and the topology has one host".to_owned(),
            ));
        }
        if spec.root >= ranks.len() {
            let message = format!("there are {} ranks, and they count from 0", ranks.len());
            return Err(refuse("root", message));
        }
        let sizes = spec
            .sizes
            .bytes()
            .map_err(|message| refuse("sizes", message))?;
        for &size in &sizes {
            collective
                .count(spec.data_type, size, ranks.len())
                .map_err(|error| refuse("sizes", error.to_string()))?;
        }
        self.check_iterations(spec)?;
        Ok(WorkloadPlan::Collective(CollectivePlan {
            collective,
            algorithm,
            data_type: spec.data_type,
            op: spec.op,
            root: spec.root,
            sizes,
            placements: self.placements(spec)?,
            ranks,
            iterations: spec.iterations,
            warmup: spec.warmup,
            patience: spec.patience.duration(),
        }))
    }

    /// Who has which rank.
    fn ranks(
        &self,
        spec: &WorkloadSpec,
        topology: &Topology,
    ) -> Result<Vec<RankPlace>, InputError> {
        let at = place(&["workload", "rank_order"]);
        let order = spec.rank_order.0.first();
        let order = order.ok_or_else(|| self.document.error(&at, "a list names at least one"))?;
        Ok(places(topology, *order))
    }

    fn check_iterations(&self, spec: &WorkloadSpec) -> Result<(), InputError> {
        let refuse = |field: &str, message: String| {
            Err(self.document.error(&place(&["workload", field]), message))
        };
        if !(1..=MOST_ITERATIONS).contains(&spec.iterations) {
            let message = format!("iterations are 1 to {MOST_ITERATIONS}");
            return refuse("iterations", message);
        }
        if spec.warmup > MOST_ITERATIONS {
            let message = format!("there are at most {MOST_ITERATIONS} iterations of warm-up");
            return refuse("warmup", message);
        }
        if !(LEAST_PATIENCE..=LONGEST_WAIT).contains(&spec.patience.duration()) {
            let message = "a rank's patience is 1s to 7 days";
            return refuse("patience", message.to_owned());
        }
        Ok(())
    }

    fn replay(
        &self,
        spec: &WorkloadSpec,
        replay: &ReplaySpec,
        topology: &Topology,
    ) -> Result<WorkloadPlan, InputError> {
        let at = place(&["workload", "replay"]);
        if spec.algorithm.is_some() {
            let message = "a trace has many collectives";
            let error = self
                .document
                .error(&place(&["workload", "algorithm"]), message);
            return Err(error.with_help("write `replay: {algorithms: {all_reduce: …}}`"));
        }
        if !replay.compute.is_valid() {
            let message = format!("a scale is 0 to {}", Compute::MOST);
            return Err(self.document.error(&at.key("compute"), message));
        }
        for (&collective, &algorithm) in &replay.algorithms {
            supports(collective, algorithm).map_err(|error| {
                let at = at.key("algorithms").key(collective.name());
                self.document.error(&at, error.to_string())
            })?;
        }
        self.check_iterations(spec)?;
        let mut ranks = self.ranks(spec, topology)?;
        let source = TraceSource::open(&replay.trace, &self.folder).map_err(|error| {
            if error.position.is_some() || error.document != replay.trace {
                return error;
            }
            let message = format!("the trace `{}`: {}", replay.trace, error.message);
            let mut error_here = self.document.error(&at.key("trace"), message);
            error_here.help = error.help;
            error_here
        })?;
        self.document.adopt_files(source.files());
        let trace = source.trace(ranks.len())?;
        if trace.ranks > ranks.len() {
            let message = format!(
                "the trace has {} ranks, and the topology {} hosts",
                trace.ranks,
                ranks.len()
            );
            let error = self.document.error(&at.key("trace"), message);
            return Err(error.with_help(
                "use a topology with more hosts, or give it more: `--set topology.sites.*.hosts=N`",
            ));
        }
        ranks.truncate(trace.ranks);
        Ok(WorkloadPlan::Replay(ReplayPlan {
            trace: Arc::new(trace),
            terms: replay.terms(),
            ranks,
            iterations: spec.iterations,
            warmup: spec.warmup,
            patience: spec.patience.duration(),
        }))
    }

    fn placements(&self, spec: &WorkloadSpec) -> Result<Vec<Placement>, InputError> {
        let mut placements = spec.placements.clone();
        placements.sort();
        placements.dedup();
        if placements.is_empty() {
            let at = place(&["workload", "placements"]);
            return Err(self.document.error(
                &at,
                "at least one placement is needed: out-of-place or in-place",
            ));
        }
        Ok(placements)
    }

    fn program(&self, spec: &ProgramSpec, topology: &Topology) -> Result<WorkloadPlan, InputError> {
        let hosts: Vec<String> = host_names(topology).collect();
        let program = spec.program();
        match program.check(&hosts) {
            Ok(()) => Ok(WorkloadPlan::Program(spec.clone())),
            Err(refusal) => {
                let field: Vec<&str> = refusal.field.iter().map(String::as_str).collect();
                let at = place(&[&["workload", program.kind()], &field[..]].concat());
                Err(self.document.error(&at, refusal.message))
            }
        }
    }

    /// The topology with the settings laid over it.
    fn topology(&self) -> Result<Topology, InputError> {
        validate::topology(&self.topology_document()?)
    }

    fn topology_document(&self) -> Result<Document, InputError> {
        let at = place(&["topology"]);
        let Some(name) = self.topology_name() else {
            let inline = self
                .document
                .at(&at)
                .filter(|inline| inline.value().is_object());
            return inline.ok_or_else(|| {
                let error = self.document.error(
                    &at,
                    "a topology is a name of the catalogue, a file, or a mapping",
                );
                error.with_help("`longhaul topologies list` shows the catalogue")
            });
        };
        let file = self.folder.join(name);
        let opened = if file.is_file() {
            Document::read(&file)
        } else {
            catalogue::open(name)
        };
        let mut document = opened.map_err(|error| {
            if error.position.is_some() {
                return error;
            }
            // There is no place in the topology to point at, but there is the place that names it.
            let message = format!("the topology `{name}`: {}", error.message);
            let mut error_here = self.document.error(&at, message);
            error_here.help = error.help;
            error_here
        })?;
        self.document.adopt(&mut document);
        for setting in &self.topology_settings {
            let inside = setting.key.strip_prefix(TOPOLOGY);
            document.lay(inside.unwrap_or(&setting.key), &setting.value, setting)?;
        }
        Ok(document)
    }

    /// The name or file of the topology, unless it is written out.
    fn topology_name(&self) -> Option<&str> {
        self.document.value().get("topology")?.as_str()
    }

    fn resolved(&self, spec: &ExperimentSpec) -> Result<Value, InputError> {
        let mut resolved = serde_json::to_value(spec).map_err(|error| {
            self.document
                .error(&DocumentPath::root(), error.to_string())
        })?;
        resolved["topology"] = self.topology_document()?.value().clone();
        Ok(resolved)
    }
}

/// NCCL allows 64 sockets per pair of ranks (NCCL_SOCKET_NTHREADS × NCCL_NSOCKS_PERTHREAD).
const MOST_CONNECTIONS: usize = 64;
/// Below it a chunk is mostly headers.
const LEAST_CHUNK: u64 = 1 << 10;
const MOST_CHUNK: u64 = 1 << 30;
/// Below it probing would be the workload.
const LEAST_INTERVAL: Duration = Duration::from_micros(100);
/// Below it sampling would be the workload.
const LEAST_PERIOD: Duration = Duration::from_millis(1);
/// Beyond it most points would hardly be probed or sampled.
const LONGEST_PERIOD: Duration = Duration::from_secs(60);
/// Every iteration is kept.
const MOST_ITERATIONS: u64 = 1_000_000;
/// With less, a rank that a busy machine does not schedule at once would be taken for a silent one.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// Longer is a slip in a unit, and the kernel's TCP_USER_TIMEOUT ends at 24 days.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The hosts of `topology`, site by site.
pub(super) fn host_names(topology: &Topology) -> impl Iterator<Item = String> + '_ {
    places(topology, super::spec::RankOrder::SiteContiguous)
        .into_iter()
        .map(|place| place.host_name(topology))
}

fn place(segments: &[&str]) -> DocumentPath {
    segments.iter().map(|&segment| segment.to_owned()).collect()
}

/// What tables and charts call a swept field.
fn short(key: &str) -> &str {
    key.strip_prefix("topology.")
        .or_else(|| key.strip_prefix("workload."))
        .unwrap_or(key)
}

/// `value` as YAML that reads as the same value; plain words without quotes.
fn yaml(value: &Value) -> String {
    match value {
        Value::String(text)
            if text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.%/".contains(c)) =>
        {
            text.clone()
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
