//! A file or catalogue entry with `--set` laid over it, and every check of meaning on the way to an [`Experiment`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longhaul_reports::result::Placement;
use longhaul_topologies::document::{DocumentPath, Setting};
use longhaul_topologies::model::Topology;
use longhaul_topologies::{Document, InputError, Inventory, catalogue, validate};
use serde_json::{Value, json};

use super::points::{
    CollectivePlan, Experiment, PointPlan, WorkloadPlan, combinations, derived_seed, places,
};
use super::spec::{ExperimentSpec, WorkloadSpec};
use crate::collective::{Algorithm, supports};
use crate::program::ProgramSpec;

/// The most points of one experiment: more is a slip in a sweep, not an intention.
const MOST_POINTS: usize = 10_000;

/// An experiment's document and the overrides of its topology, which may lie in a file of its own.
#[derive(Clone, Debug)]
pub struct ExperimentSource {
    document: Document,
    /// Topology files are relative to it.
    folder: PathBuf,
    topology_settings: Vec<(String, String)>,
}

/// A field and the values it takes, one after another.
#[derive(Debug)]
struct Dimension {
    /// As `--set` would name it.
    key: String,
    /// Where its values stand in the file.
    place: DocumentPath,
    values: Vec<Value>,
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
        match key.strip_prefix("topology.") {
            Some(inside) if self.topology_name().is_some() => {
                self.topology_settings
                    .push((inside.to_owned(), text.to_owned()));
                Ok(())
            }
            _ => self.document.set(key, text),
        }
    }

    /// Puts the sites and links of `inventory` in the place of the topology: what is there is not made, nor changed.
    ///
    /// # Errors
    /// If the experiment would change it: by a schedule, a sweep over it, or a setting of it.
    pub fn on_machines(&mut self, inventory: &Inventory) -> Result<(), InputError> {
        const UNCHANGEABLE: &str = "a physical lab's links cannot be changed";
        const HELP: &str = "run it with --lab host or --lab virtual";
        let at = place(&["topology"]);
        if let Some((key, text)) = self.topology_settings.first() {
            let setting = Setting::overriding(&format!("topology.{key}"), text);
            let error = InputError::new(self.document.name(), UNCHANGEABLE).at_setting(&setting);
            return Err(error.with_help("leave it out: the inventory says what is there"));
        }
        let spec: ExperimentSpec = self.document.parse()?;
        if let Some(key) = spec.sweep.keys().find(|key| key.starts_with("topology.")) {
            let error = self.document.error(&place(&["sweep", key]), UNCHANGEABLE);
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
        let dimensions = self.dimensions(&spec)?;
        let lengths: Vec<usize> = dimensions
            .iter()
            .map(|dimension| dimension.values.len())
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
            probe_interval: spec.probes.interval.duration(),
            telemetry_period: spec.telemetry.period.duration(),
            topologies: Vec::new(),
            points: Vec::new(),
            resolved: self.resolved(&spec)?,
        };
        for indices in combinations(&lengths) {
            self.add_points(&mut experiment, &dimensions, &indices)?;
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
            .any(|dimension| dimension.key.starts_with("stacks."))
        {
            source.write_stacks_out()?;
        }
        let mut settings = BTreeMap::new();
        for (dimension, &index) in dimensions.iter().zip(indices) {
            let text = yaml(&dimension.values[index]);
            let refused = |error: InputError| {
                self.document
                    .error(&dimension.place.index(index), error.message)
            };
            source.set(&dimension.key, &text).map_err(refused)?;
            // A wrong value is told at its line in the sweep, not as an override that nobody typed.
            if dimension.key.starts_with("topology.") {
                source.topology().map_err(refused)?;
            } else {
                let spec = source.document.parse().map_err(refused)?;
                source.check_stacks(&spec).map_err(refused)?;
            }
            settings.insert(short(&dimension.key).to_owned(), text);
        }
        let spec: ExperimentSpec = source.document.parse()?;
        let topology = source.topology()?;
        let workload = source.workload(&spec.workload, &topology)?;
        if experiment.topologies.last() != Some(&topology) {
            experiment.topologies.push(topology);
        }
        for repeat in 0..spec.repeats {
            for stack in &spec.stacks {
                experiment.points.push(PointPlan {
                    topology: experiment.topologies.len() - 1,
                    stack: stack.clone(),
                    workload: workload.clone(),
                    settings: settings.clone(),
                    repeat,
                    seed: derived_seed(spec.seed, experiment.points.len()),
                });
            }
        }
        Ok(())
    }

    /// Gives every stack its long form, so that it has a name and fields to set.
    fn write_stacks_out(&mut self) -> Result<(), InputError> {
        let spec: ExperimentSpec = self.document.parse()?;
        self.document.set("stacks", &json!(spec.stacks).to_string())
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
        let periods = [
            ("probes", "interval", spec.probes.interval),
            ("telemetry", "period", spec.telemetry.period),
        ];
        for (section, field, period) in periods {
            if !(LEAST_PERIOD..=LONGEST_PERIOD).contains(&period.duration()) {
                return refuse(&[section, field], "this is 1ms to 1min");
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

    /// The sweep's fields and the lists in the workload, those of the topology first.
    fn dimensions(&self, spec: &ExperimentSpec) -> Result<Vec<Dimension>, InputError> {
        let mut dimensions = Vec::new();
        for (key, values) in &spec.sweep {
            let at = place(&["sweep", key]);
            let refuse =
                |message: &str, help: &str| Err(self.document.error(&at, message).with_help(help));
            if !["topology.", "workload.", "stacks."]
                .iter()
                .any(|prefix| key.starts_with(prefix))
            {
                return refuse(
                    "a sweep is over fields of the topology, the workload or the stacks",
                    "write for example `topology.links.0.loss`",
                );
            }
            match values {
                Value::Array(values) if !values.is_empty() => {
                    dimensions.push(Dimension {
                        key: key.clone(),
                        place: at,
                        values: values.clone(),
                    });
                }
                _ => {
                    return refuse(
                        "a sweep is a list of values",
                        "write for example `[0.1bdp, 1bdp]`",
                    );
                }
            }
        }
        for field in ["algorithm", "rank_order"] {
            let at = place(&["workload", field]);
            match self.document.value().pointer(&format!("/workload/{field}")) {
                Some(Value::Array(values)) if values.is_empty() => {
                    return Err(self.document.error(&at, "a list names at least one"));
                }
                Some(Value::Array(values)) => {
                    dimensions.push(Dimension {
                        key: format!("workload.{field}"),
                        place: at,
                        values: values.clone(),
                    });
                }
                _ => {}
            }
        }
        dimensions.sort_by_key(|dimension| !dimension.key.starts_with("topology."));
        Ok(dimensions)
    }

    fn workload(
        &self,
        spec: &WorkloadSpec,
        topology: &Topology,
    ) -> Result<WorkloadPlan, InputError> {
        let refuse = |field: &str, message: String| {
            self.document.error(&place(&["workload", field]), message)
        };
        let collective = match (spec.collective, &spec.programs()[..]) {
            (Some(collective), []) => collective,
            (None, [program]) => return self.program(program, topology),
            _ => {
                let error = self.document.error(
                    &place(&["workload"]),
                    "a workload is either a collective or one program",
                );
                return Err(error.with_help(
                    "write `collective: all_reduce`, or one of `command`, `iperf3`, `ping`, `torch`, `mpi`, `nccl-tests` and \
                     `perftest` with its settings",
                ));
            }
        };
        let algorithm = spec
            .algorithm
            .as_ref()
            .and_then(|choice| choice.0.first().copied());
        let algorithm = algorithm.unwrap_or_else(|| Algorithm::default_for(collective));
        supports(collective, algorithm).map_err(|error| refuse("algorithm", error.to_string()))?;
        let order = spec
            .rank_order
            .0
            .first()
            .ok_or_else(|| refuse("rank_order", "a list names at least one".into()))?;
        let ranks = places(topology, *order);
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
        if !(1..=MOST_ITERATIONS).contains(&spec.iterations) {
            return Err(refuse(
                "iterations",
                format!("iterations are 1 to {MOST_ITERATIONS}"),
            ));
        }
        if spec.warmup > MOST_ITERATIONS {
            return Err(refuse(
                "warmup",
                format!("there are at most {MOST_ITERATIONS} iterations of warm-up"),
            ));
        }
        if !(LEAST_PATIENCE..=LONGEST_WAIT).contains(&spec.patience.duration()) {
            return Err(refuse(
                "patience",
                "a rank's patience is 1s to 7 days".to_owned(),
            ));
        }
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
        for (key, text) in &self.topology_settings {
            document.set(key, text)?;
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
/// Below it probing or sampling would be the workload.
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
fn host_names(topology: &Topology) -> impl Iterator<Item = String> + '_ {
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
mod tests {
    use super::*;

    const TEXT: &str = "\
name: two
topology:
  name: two
  sites: [{name: a, hosts: 2}, {name: b, hosts: 2}]
  links: [{between: [a, b], rate: 100Mbit, rtt: 20ms}]
workload:
  collective: all_reduce
  sizes: [1MiB]
";

    fn source(text: &str) -> ExperimentSource {
        ExperimentSource::new(
            Document::from_text("two.yaml", text).unwrap(),
            Path::new("."),
        )
    }

    fn refusal(text: &str) -> String {
        let error = source(text).load().unwrap_err();
        format!(
            "{error}{}",
            error
                .help
                .as_ref()
                .map(|help| format!(" [{help}]"))
                .unwrap_or_default()
        )
    }

    #[test]
    fn the_topology_varies_slowest_and_the_stack_fastest() {
        let text = format!(
            "{TEXT}  rank_order: [site-contiguous, interleaved]\nstacks: [cubic, reno]\nrepeats: 2\nsweep: {{topology.links.0.queue: [1bdp, 2bdp]}}\n"
        );
        let experiment = source(&text).load().unwrap();
        assert_eq!(
            (experiment.points.len(), experiment.topologies.len()),
            (16, 2)
        );
        let of = |point: &PointPlan| {
            (
                point.settings["links.0.queue"].clone(),
                point.settings["rank_order"].clone(),
                point.repeat,
                point.stack.name.clone(),
            )
        };
        let seen: Vec<_> = experiment.points.iter().map(of).collect();
        let expected = |queue: &str, order: &str, repeat, stack: &str| {
            (queue.to_owned(), order.to_owned(), repeat, stack.to_owned())
        };
        assert_eq!(
            seen[..3],
            [
                expected("1bdp", "site-contiguous", 0, "cubic"),
                expected("1bdp", "site-contiguous", 0, "reno"),
                expected("1bdp", "site-contiguous", 1, "cubic"),
            ]
        );
        assert_eq!(seen[15], expected("2bdp", "interleaved", 1, "reno"));
        let mut seeds: Vec<u64> = experiment.points.iter().map(|point| point.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 16, "every point has a seed of its own");
    }

    #[test]
    fn a_field_of_the_stacks_can_be_swept() {
        let text = format!(
            "{TEXT}stacks: [reno, {{name: b, connections: 3}}]\nsweep: {{stacks.reno.connections: [1, 4]}}\n"
        );
        let experiment = source(&text).load().unwrap();
        let of = |point: &PointPlan| {
            let value = point.settings["stacks.reno.connections"].clone();
            (value, point.stack.name.clone(), point.stack.connections)
        };
        let seen: Vec<_> = experiment.points.iter().map(of).collect();
        let expected = [
            ("1", "reno", 1),
            ("1", "b", 3),
            ("4", "reno", 4),
            ("4", "b", 3),
        ];
        assert_eq!(
            seen,
            expected.map(|(value, stack, connections)| (
                value.to_owned(),
                stack.to_owned(),
                connections
            ))
        );
        assert_eq!(experiment.topologies.len(), 1);
    }

    #[test]
    fn settings_reach_the_experiment_and_its_topology() {
        let mut source = source(TEXT);
        source.set("workload.iterations", "7").unwrap();
        source.set("topology.links.0.rate", "50Mbit").unwrap();
        let experiment = source.load().unwrap();
        let WorkloadPlan::Collective(plan) = &experiment.points[0].workload else {
            panic!("a collective")
        };
        assert_eq!(plan.iterations, 7);
        let rate = experiment.topologies[0].links[0].lanes[0]
            .forward
            .rate
            .unwrap();
        assert_eq!(rate.bits_per_second(), 50_000_000);
        assert_eq!(
            experiment.resolved["topology"]["links"][0]["rate"],
            "50Mbit"
        );
        assert_eq!(
            experiment.resolved["workload"]["warmup"], 1,
            "defaults are written out"
        );
    }

    #[test]
    fn settings_reach_a_topology_of_the_catalogue() {
        let mut source =
            source("name: x\ntopology: transatlantic\nworkload: {collective: all_reduce}\n");
        source.set("topology.links.0.rate", "50Mbit").unwrap();
        let experiment = source.load().unwrap();
        assert_eq!(
            experiment.topologies[0].links[0].lanes[0]
                .forward
                .rate
                .unwrap()
                .bits_per_second(),
            50_000_000
        );
    }

    #[test]
    fn an_inventory_takes_the_topologys_place_unless_that_would_have_to_be_made() {
        let text = "name: pair\nsites: [{name: x, hosts: [{launch: local, address: 192.0.2.1}]}, \
                    {name: y, hosts: [{launch: local, address: 192.0.2.2}]}]\n\
                    links: [{between: [x, y], rtt: 80ms}]\n";
        let document = Document::from_text("machines.yaml", text).unwrap();
        let inventory = Inventory::check(&document, Path::new("")).unwrap();
        let on_machines = |text: &str, setting: Option<(&str, &str)>| {
            let mut source = source(text);
            if let Some((key, value)) = setting {
                source.set(key, value).unwrap();
            }
            source.on_machines(&inventory)?;
            source.load()
        };
        let experiment = on_machines(TEXT, Some(("workload.iterations", "7"))).unwrap();
        assert_eq!(
            experiment.topologies,
            std::slice::from_ref(&inventory.topology)
        );
        assert_eq!(experiment.resolved["topology"]["sites"][1]["name"], "y");
        let scheduled = TEXT.replace("rtt: 20ms", "rtt: 20ms, schedule: [{at: 1s, loss: 1%}]");
        for refused in [
            on_machines(&scheduled, None),
            on_machines(TEXT, Some(("topology.links.0.loss", "1%"))),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.message, "a physical lab's links cannot be changed");
        }
    }

    #[test]
    fn every_experiment_of_the_catalogue_loads() {
        for entry in super::super::catalogue::entries() {
            let experiment = super::super::open(entry.name).and_then(|source| source.load());
            let experiment = experiment.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(experiment.name, entry.name);
            assert!(!experiment.description.is_empty() && !experiment.points.is_empty());
        }
    }

    #[test]
    fn errors_name_the_place_and_the_way_out() {
        let with = |from: &str, to: &str| refusal(&TEXT.replace(from, to));
        let errors = [
            with("all_reduce", "all_gather\n  algorithm: tree"),
            with("all_reduce", "allreduce"),
            with("1MiB", "2B"),
            with("1MiB", "{}"),
            with("collective: all_reduce", "iterations: 3"),
            with(
                "collective: all_reduce\n  sizes: [1MiB]",
                "command: {command: ['true'], hosts: [c-0]}",
            ),
            with("workload:", "stacks: [cubic, cubic]\nworkload:"),
            with("workload:", "sweep: {seed: [1]}\nworkload:"),
            with(
                "workload:",
                "sweep: {topology.links.0.loss: [1%, 120%]}\nworkload:",
            ),
            with(
                "workload:",
                "sweep: {topology.links.7.loss: [1%]}\nworkload:",
            ),
            with("workload:", "repeats: 99999\nworkload:"),
            with(
                "workload:",
                "sweep: {'stacks.*.connections': [1, 65]}\nstacks: [reno]\nworkload:",
            ),
            with("workload:", "telemetry: {period: 5000min}\nworkload:"),
            with(
                "workload:",
                "stacks: [{name: m, transport: message}]\nworkload:",
            ),
            with(
                "workload:",
                "stacks: [{name: m, transport: message, congestion_control: nothing}]\nworkload:",
            ),
            with(
                "workload:",
                "stacks: [{congestion_control: cubic, paths: {count: 4}}]\nworkload:",
            ),
            with(
                "workload:",
                "stacks: [{name: m, transport: message, congestion_control: {fixed-window: {window: 1MiB}}, connections: 4}]\nworkload:",
            ),
            with(
                "1MiB]",
                "1MiB]\n  iterations: 18446744073709551615\n  warmup: 1",
            ),
            with("1MiB]", "1MiB]\n  patience: 10ms"),
        ];
        insta::assert_snapshot!(errors.join("\n"), @r"
        two.yaml:8:14: all_gather has no algorithm tree; it has ring
        two.yaml:7:15: unknown variant `allreduce` [did you mean `all_reduce`? There are: `all_reduce`, `all_gather`, `reduce_scatter`, `broadcast`, `all_to_all`, `send_recv`]
        two.yaml:8:10: 2 B is too small for all_reduce of f32 over 4 ranks: it takes at least 4 B
        two.yaml:8:11: invalid type: mapping, expected a size such as `256KB`
        two.yaml:7:3: a workload is either a collective or one program [write `collective: all_reduce`, or one of `command`, `iperf3`, `ping`, `torch`, `mpi`, `nccl-tests` and `perftest` with its settings]
        two.yaml:7:40: there is no host `c-0`; there are a-0, a-1, b-0, b-1
        two.yaml:6:17: there are two stacks named `cubic`
        two.yaml:6:15: a sweep is over fields of the topology, the workload or the stacks [write for example `topology.links.0.loss`]
        two.yaml:6:37: `120%` is too large: at most 100%, which is certain
        two.yaml:6:33: `topology.links` has no entry 7: its entries are 0 to 0
        two.yaml:1:1: this sweep has more than 10000 points
        two.yaml:6:37: connections are 1 to 64 per pair of ranks
        two.yaml:6:21: this is 1ms to 1min
        two.yaml:6:10: the message transport needs a `congestion_control` [write for example `congestion_control: distance`]
        two.yaml:6:10: the message transport's congestion control `nothing`: unknown variant `nothing`, expected one of `distance`, `dcqcn`, `dctcp`, `timely`, `swift`, `hpcc`, `bbr`, `cubic`, `uno`, `gemini`, `doca-rtt`, `fixed-window` [write for example `congestion_control: distance`]
        two.yaml:6:10: `paths` is the message transport's, and this stack is kernel TCP [write `transport: message`, or leave it out]
        two.yaml:6:10: `connections` and `socket_buffer` are TCP's [leave it out: `paths` says how many there are, and buffers follow the window]
        two.yaml:9:15: iterations are 1 to 1000000
        two.yaml:9:13: a rank's patience is 1s to 7 days
        ");
    }
}
