//! `torch`: PyTorch with Gloo on the processor: its collectives over sizes, or a small model that is really trained.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use longhaul_emulator::plan::HOST_INTERFACE;
use longhaul_reports::result::Workload;
use longhaul_topologies::units::TimeSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::collective::Collective;
use crate::experiment::spec::Sizes;
use crate::program::lines::{self, Report};
use crate::program::processes::{Process, Streams};
use crate::program::{
    Findings, Line, Output, Place, Program, ProgramError, Refusal, path_of, ranks, timeout,
};

/// PyTorch with Gloo, a rank on every host: a collective, or training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TorchSpec {
    /// The collective; Gloo has no `reduce_scatter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collective: Option<Collective>,
    /// Training instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// Sizes of the collective's array of single-precision numbers.
    #[serde(default)]
    pub sizes: Sizes,
    /// Measured iterations of every size, or measured steps.
    #[serde(default = "ranks::default_iterations")]
    #[schemars(range(min = 1))]
    pub iterations: u64,
    /// Iterations or steps before them that do not count.
    #[serde(default = "ranks::default_warmup")]
    pub warmup: u64,
    /// The hosts; all if absent. Ranks count in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// The interpreter that has PyTorch; that of the installation that `longhaul doctor` names if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
    /// Further environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// When it is ended and the run fails.
    #[serde(default = "timeout::ten_minutes")]
    pub timeout: TimeSpan,
}

/// A multilayer perceptron on made-up data, trained data-parallel by gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// About how many numbers the model has, of four bytes each.
    #[serde(default = "default_parameters")]
    #[schemars(range(min = 1000))]
    pub parameters: u64,
    /// Samples of a rank's batch.
    #[serde(default = "default_batch")]
    #[schemars(range(min = 1))]
    pub batch: u64,
    /// What gradients, or the outer sync's differences, are made smaller by.
    #[serde(default)]
    pub compression: Compression,
    /// The rank of PowerSGD's approximation.
    #[serde(default = "default_rank")]
    #[schemars(range(min = 1))]
    pub powersgd_rank: u64,
    /// Steps that each rank takes by itself before all of them sync (DiLoCo, arXiv:2311.08105); 1 averages every gradient (DDP).
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub local_steps: u64,
}

/// What makes gradients smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Nothing.
    #[default]
    None,
    /// Half-precision numbers.
    Fp16,
    /// PowerSGD (arXiv:1905.13727): a product of two thin matrices.
    PowerSgd,
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fp16 => "fp16",
            Self::PowerSgd => "powersgd",
        }
    }
}

fn default_parameters() -> u64 {
    1_000_000
}

fn default_batch() -> u64 {
    16
}

fn default_rank() -> u64 {
    4
}

fn one() -> u64 {
    1
}

/// torchrun's.
const PORT: u16 = 29500;
const PROGRAM: &str = include_str!("../../programs/gloo.py");
const FILE: &str = "gloo.py";
/// A model of this many is 40 GB.
const MOST_PARAMETERS: u64 = 10_000_000_000;

impl Program for TorchSpec {
    fn kind(&self) -> &'static str {
        "torch"
    }

    fn needs(&self) -> Vec<&'static str> {
        match self.python {
            // Whoever names an interpreter knows what it has.
            Some(_) => Vec::new(),
            None => vec!["PyTorch"],
        }
    }

    fn check(&self, hosts: &[String]) -> Result<(), Refusal> {
        let chosen = ranks::hosts(self.hosts.as_deref(), hosts)?;
        match (self.collective, &self.training) {
            (Some(Collective::ReduceScatter), None) => {
                return Err(Refusal::of("collective", "Gloo has no reduce_scatter"));
            }
            (Some(collective), None) => {
                let sizes = self
                    .sizes
                    .bytes()
                    .map_err(|message| Refusal::of("sizes", message))?;
                lines::counts(collective, &sizes, chosen.len())?;
            }
            (None, Some(training)) => training.check()?,
            _ => return Err(Refusal::of("", "this is either a collective or training")),
        }
        ranks::check_iterations(self.iterations, self.warmup)?;
        timeout::check(self.timeout)
    }

    fn processes(&self, place: &Place) -> Result<Vec<Process>, ProgramError> {
        let file = place.folder.join(FILE);
        fs::create_dir_all(&place.folder).map_err(ProgramError::file("make", &place.folder))?;
        fs::write(&file, PROGRAM).map_err(ProgramError::file("write", &file))?;
        let hosts = place.chosen(self.hosts.as_deref());
        let mut line = vec![
            self.python().display().to_string(),
            file.display().to_string(),
        ];
        line.extend(self.arguments(hosts.len()));
        let process = |(rank, host): (usize, &String)| {
            Process::new(host, line.clone())
                .environment([
                    ("RANK", rank.to_string()),
                    ("WORLD_SIZE", hosts.len().to_string()),
                    ("LOCAL_RANK", "0".to_owned()),
                    ("MASTER_ADDR", place.address(&hosts[0])),
                    ("MASTER_PORT", PORT.to_string()),
                    ("GLOO_SOCKET_IFNAME", HOST_INTERFACE.to_owned()),
                    // Ranks share the machine's cores.
                    ("OMP_NUM_THREADS", "1".to_owned()),
                    ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
                ])
                .environment(self.environment.clone())
                .streams(Streams::Apart)
        };
        Ok(hosts.iter().enumerate().map(process).collect())
    }

    fn timeout(&self) -> Duration {
        self.timeout.duration()
    }

    fn workload(&self, hosts: &[String]) -> Workload {
        let hosts = self.hosts.as_deref().unwrap_or(hosts);
        match self.collective {
            Some(collective) => ranks::workload("PyTorch", "gloo", collective, hosts),
            None => {
                let name = ["python3", FILE].map(str::to_owned);
                Workload::Command {
                    command: name
                        .into_iter()
                        .chain(self.arguments(hosts.len()))
                        .collect(),
                }
            }
        }
    }

    fn read(&self, outputs: &[Output], _: &Place) -> Result<Findings, ProgramError> {
        let refuse = |host: &str, problem| ProgramError::Output {
            program: "PyTorch",
            host: host.to_owned(),
            problem,
        };
        let report = |output: &Output| {
            let report = Report::parse(&output.host, &output.text);
            report.map_err(|problem| refuse(&output.host, problem))
        };
        let reports: Vec<Report> = outputs.iter().map(report).collect::<Result<_, _>>()?;
        let last = outputs.last().map_or("", |output| &output.host);
        lines::join(&reports).map_err(|problem| refuse(last, problem))
    }

    fn lines(&self, _: &[String]) -> Vec<Line> {
        let named = self.python.clone();
        let line = |program| Line {
            program,
            path: None,
        };
        named.map(line).into_iter().collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.python()]
    }
}

impl TorchSpec {
    /// The interpreter of the installation: `PREFIX/bin/python3` of `PREFIX/lib/python3/dist-packages/torch`.
    fn python(&self) -> PathBuf {
        let found = || {
            let package = path_of("PyTorch");
            let mut folders = package.ancestors();
            let prefix = folders.find(|folder| folder.ends_with("lib"))?.parent()?;
            Some(prefix.join("bin/python3")).filter(|python| python.exists())
        };
        let python = self.python.clone().or_else(found);
        python.unwrap_or_else(|| "python3".into())
    }

    fn arguments(&self, ranks: usize) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut option = |name: &str, value: String| {
            arguments.extend([format!("--{name}"), value]);
        };
        option("iterations", self.iterations.to_string());
        option("warmup", self.warmup.to_string());
        option(
            "timeout",
            self.timeout.duration().as_secs().max(1).to_string(),
        );
        if let Some(collective) = self.collective {
            option("collective", collective.to_string());
            // Checked when the experiment was loaded.
            let sizes = self.sizes.bytes().unwrap_or_default();
            let counts = lines::counts(collective, &sizes, ranks).unwrap_or_default();
            let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
            option("counts", counts.join(","));
        }
        if let Some(training) = &self.training {
            option("parameters", training.parameters.to_string());
            option("batch", training.batch.to_string());
            option("compression", training.compression.name().to_owned());
            option("powersgd-rank", training.powersgd_rank.to_string());
            option("local-steps", training.local_steps.to_string());
            option("interface", HOST_INTERFACE.to_owned());
        }
        arguments
    }
}

impl Training {
    fn check(&self) -> Result<(), Refusal> {
        let refuse =
            |field: &str, message: &str| Err(Refusal::of(&format!("training.{field}"), message));
        if !(1000..=MOST_PARAMETERS).contains(&self.parameters) {
            return refuse("parameters", "a model has 1000 to 10 billion parameters");
        }
        if self.batch == 0 {
            return refuse("batch", "a batch has at least one sample");
        }
        if self.powersgd_rank == 0 {
            return refuse("powersgd_rank", "a rank is at least 1");
        }
        if self.local_steps == 0 {
            return refuse("local_steps", "at least one step is taken before a sync");
        }
        if self.local_steps > 1 && self.compression == Compression::PowerSgd {
            let message =
                "PowerSGD is for gradients; between local steps `fp16` makes the sync smaller";
            return refuse("compression", message);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;
    use crate::program::tests::{hosts, spec};

    /// PyTorch 1.13, two ranks: an all_reduce, and training with fp16.
    const COLLECTIVE: [&str; 2] = [
        include_str!("torch/all_reduce-0.jsonl"),
        include_str!("torch/all_reduce-1.jsonl"),
    ];
    const TRAINING: &str = include_str!("torch/training-0.jsonl");

    fn outputs(texts: &[&str]) -> Vec<Output> {
        let output = |(process, text): (usize, &&str)| Output {
            process,
            host: hosts()[process].clone(),
            text: (*text).to_owned(),
        };
        texts.iter().enumerate().map(output).collect()
    }

    #[test]
    fn what_it_really_reports_is_read() {
        let torch: TorchSpec = spec(json!({"collective": "all_reduce"}));
        let place = crate::program::tests::place();
        let read = |texts: &[&str]| torch.read(&outputs(texts), &place).unwrap();
        insta::assert_debug_snapshot!("all_reduce", read(&COLLECTIVE));
        insta::assert_debug_snapshot!("training", read(&[TRAINING]));
    }

    #[test]
    fn a_rank_that_says_less_is_named() {
        let torch: TorchSpec = spec(json!({"collective": "all_reduce"}));
        let cut: Vec<&str> = COLLECTIVE[1].lines().take(2).collect();
        let outputs = outputs(&[COLLECTIVE[0], &cut.join("\n")]);
        let error = torch
            .read(&outputs, &crate::program::tests::place())
            .unwrap_err();
        let text = "cannot read what `PyTorch` on b-0 wrote: 2 iterations, and rank 0 has 6";
        assert!(error.to_string().starts_with(text), "{error}");
    }

    #[test]
    fn what_gloo_and_powersgd_cannot_do_is_refused() {
        let refusal = |value| {
            let torch: TorchSpec = spec(value);
            torch.check(&hosts()).unwrap_err().message
        };
        let refusals = [
            refusal(json!({"collective": "reduce_scatter"})),
            refusal(json!({})),
            refusal(json!({"collective": "all_reduce", "training": {}})),
            refusal(json!({"training": {"local_steps": 8, "compression": "powersgd"}})),
            refusal(json!({"collective": "all_reduce", "hosts": ["a-0"]})),
            refusal(json!({"collective": "all_reduce", "sizes": ["2B"]})),
        ];
        insta::assert_snapshot!(refusals.join("\n"));
    }

    #[test]
    fn the_program_is_told_what_the_experiment_has() {
        let torch: TorchSpec = spec(json!({"training": {"compression": "fp16"}, "iterations": 3}));
        insta::assert_snapshot!(torch.arguments(2).join(" "), @"--iterations 3 --warmup 2 --timeout 600 --parameters 1000000 --batch 16 --compression fp16 --powersgd-rank 4 --local-steps 1 --interface eth0");
    }

    #[test]
    fn what_an_earlier_iteration_left_is_not_taken_for_this_ones() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), PROGRAM).unwrap();
        let script = "
import gloo
gloo.dist.get_rank, gloo.dist.get_world_size = lambda: 0, lambda: 2
for name in ('all_gather', 'all_to_all', 'send_recv'):
    collective = gloo.Collective(name, 64)
    right = gloo.pattern(64, 1) if name == 'send_recv' else gloo.torch.cat([gloo.pattern(32, 0), gloo.pattern(32, 1)])
    collective.output = list(right.chunk(2)) if name == 'all_gather' else right
    assert collective.wrong() == 0, name
    collective.fill()
    assert collective.wrong() == 64, name
";
        let torch: TorchSpec = spec(json!({"collective": "all_gather"}));
        let run = |script: &str| {
            let mut python = Command::new(torch.python());
            python.args(["-c", script]).current_dir(folder.path());
            python.output()
        };
        if !run("import torch").is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: python3 has no torch here");
            return;
        }
        let output = run(script).unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
    }
}
