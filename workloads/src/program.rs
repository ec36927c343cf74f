//! Other people's software as workloads, unmodified: what starts where, what it needs on the machine, and how its output becomes
//! figures of the result. One kind per file, behind [`Program`].
//!
//! - [`command`]: any command, with figures by pattern or JSON pointer ([`figures`]).
//! - [`iperf3`], [`ping`], [`perftest`]: between pairs of hosts.
//! - [`torch`]: PyTorch with Gloo: collectives and training. [`mpi`]: collectives by Open MPI or MPICH. Both report by `lines`.
//! - [`nccl_tests`]: NVIDIA's, where there are GPUs.
//! - `ranks`: what those with a rank on every host have in common. `timeout`: how long any may take.
//! - [`agent`]: how launchers get into the lab's hosts: what they take for ssh.
//! - [`processes`]: started without a shell, output in files, ended as whole process groups.

pub mod agent;
pub mod command;
pub mod figures;
pub mod iperf3;
pub(crate) mod lines;
pub mod mpi;
pub mod nccl_tests;
pub mod pairs;
pub mod perftest;
pub mod ping;
pub mod processes;
mod ranks;
mod timeout;
pub mod torch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longhaul_emulator::capability::{self, Capability, State};
use longhaul_reports::result::{Better, Placement, Workload};

use crate::program::agent::Agent;
use crate::program::command::CommandSpec;
use crate::program::iperf3::Iperf3Spec;
use crate::program::mpi::MpiSpec;
use crate::program::nccl_tests::NcclTestsSpec;
use crate::program::perftest::PerftestSpec;
use crate::program::ping::PingSpec;
use crate::program::processes::Process;
use crate::program::torch::TorchSpec;

/// A kind of program.
pub trait Program {
    /// Its field in `workload`.
    fn kind(&self) -> &'static str;

    /// What it needs on the machine, by the names of [`capability::tools`].
    fn needs(&self) -> Vec<&'static str>;

    /// The programs that the user names, as they are started on `hosts`.
    fn lines(&self, _hosts: &[String]) -> Vec<Line> {
        Vec::new()
    }

    /// Whether its fields fit together and the hosts, which are given site by site.
    ///
    /// # Errors
    /// The field that does not, and why.
    fn check(&self, hosts: &[String]) -> Result<(), Refusal>;

    /// What its processes are, in the order in which they start.
    ///
    /// # Errors
    /// If what they need cannot be made.
    fn processes(&self, place: &Place) -> Result<Vec<Process>, ProgramError>;

    /// When its processes are ended and the run fails.
    fn timeout(&self) -> Duration;

    /// What it is in a result.
    fn workload(&self, hosts: &[String]) -> Workload;

    /// What its output says.
    ///
    /// # Errors
    /// If it says something else than this program's output does.
    fn read(&self, outputs: &[Output], place: &Place) -> Result<Findings, ProgramError>;

    /// The command that tells its version in its first line, if its output does not.
    fn version_command(&self) -> Option<[&'static str; 2]> {
        None
    }

    /// Whether its processes leave the process groups that they are started in.
    fn scatters(&self) -> bool {
        false
    }

    /// Files and folders of the machine that it names, beside the system's own.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// A program with its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum ProgramSpec {
    /// Any.
    Command(CommandSpec),
    /// iperf3.
    Iperf3(Iperf3Spec),
    /// ping.
    Ping(PingSpec),
    /// PyTorch.
    Torch(TorchSpec),
    /// Open MPI or MPICH.
    Mpi(MpiSpec),
    /// nccl-tests.
    NcclTests(NcclTestsSpec),
    /// perftest.
    Perftest(PerftestSpec),
}

impl ProgramSpec {
    /// Its kind.
    pub fn program(&self) -> &dyn Program {
        match self {
            Self::Command(spec) => spec,
            Self::Iperf3(spec) => spec,
            Self::Ping(spec) => spec,
            Self::Torch(spec) => spec,
            Self::Mpi(spec) => spec,
            Self::NcclTests(spec) => spec,
            Self::Perftest(spec) => spec,
        }
    }
}

/// A field of a program that cannot be as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it is, below the program.
    pub field: Vec<String>,
    /// Why.
    pub message: String,
}

impl Refusal {
    /// Of `field`, with its parts separated by dots.
    pub fn of(field: &str, message: impl Into<String>) -> Self {
        let parts = field.split('.').filter(|part| !part.is_empty());
        Self {
            field: parts.map(str::to_owned).collect(),
            message: message.into(),
        }
    }
}

/// Where programs run: the lab, as much of it as they need.
#[derive(Clone, Debug)]
pub struct Place {
    /// Every host, site by site.
    pub hosts: Vec<HostPlace>,
    /// For logs and whatever the programs write; there, and theirs alone.
    pub folder: PathBuf,
    /// For what nobody keeps, with a short name, as sockets need it; gone with the lab.
    pub scratch: PathBuf,
    /// The way into the hosts for launchers.
    pub agent: Agent,
    /// The stack's congestion control, for programs that can ask for one: on machines that are there the default is not longhaul's to change.
    pub congestion_control: Option<String>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPlace {
    /// Its name.
    pub name: String,
    /// Its site's.
    pub site: String,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Place {
    /// The names of all hosts.
    pub fn names(&self) -> Vec<String> {
        self.hosts.iter().map(|host| host.name.clone()).collect()
    }

    /// Those names, of hosts that were chosen; all if none were.
    pub fn chosen(&self, hosts: Option<&[String]>) -> Vec<String> {
        hosts.map_or_else(|| self.names(), <[String]>::to_vec)
    }

    /// The host of that name.
    pub fn host(&self, name: &str) -> Option<&HostPlace> {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// Its address; of a host that is not there, which [`Program::check`] refuses, an empty one.
    pub fn address(&self, name: &str) -> String {
        let host = self.host(name);
        host.map_or_else(String::new, |host| host.address.to_string())
    }
}

/// What a process wrote to standard output, to be read for figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The index of its [`Process`].
    pub process: usize,
    /// Its host.
    pub host: String,
    /// All of it.
    pub text: String,
}

/// What a program's output says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Iterations of a collective, in order.
    pub iterations: Vec<Iteration>,
    /// Other figures.
    pub measures: Vec<Told>,
    /// Versions of what ran, by name.
    pub versions: BTreeMap<String, String>,
}

/// An iteration of a collective, as [`Sample`](longhaul_reports::result::Sample) has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Iteration {
    /// Bytes of the whole array.
    pub size_bytes: u64,
    /// Its elements.
    pub count: u64,
    /// Where the output went.
    pub placement: Placement,
    /// From 0.
    pub number: u64,
    /// Whether it does not count.
    pub warmup: bool,
    /// Nanoseconds on CLOCK_MONOTONIC at which all ranks started, if the program tells.
    pub start_ns: Option<u64>,
    /// From there to the last rank's end, microseconds.
    pub time_us: f64,
    /// Wrong elements of all ranks.
    pub wrong: u64,
}

/// A figure that a program told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// `throughput`.
    pub name: String,
    /// `bit/s`.
    pub unit: String,
    /// Which way it gets better.
    pub better: Better,
    /// The host, or `a-0>b-0` for what is between two.
    pub host: String,
    /// Its values.
    pub values: Vec<(When, f64)>,
}

/// When a program says that it had a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// It does not say.
    Unknown,
    /// Seconds after the programs were started.
    SinceStart(f64),
    /// Seconds since 1970.
    Unix(f64),
    /// Nanoseconds on CLOCK_MONOTONIC.
    Monotonic(u64),
}

/// Why a program did not do what it should, beside failing itself.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Its output says something else.
    #[error(
        "cannot read what `{program}` on {host} wrote: {problem}; it is in the run's `logs`, and the versions that are known are in docs/programs.md"
    )]
    Output {
        /// The program.
        program: &'static str,
        /// Where.
        host: String,
        /// What is wrong.
        problem: String,
    },
    /// A figure is nowhere.
    #[error(
        "the figure `{name}` is nowhere in what the program on {host} wrote: {way} finds nothing"
    )]
    NoFigure {
        /// Which.
        name: String,
        /// Where.
        host: String,
        /// `the pattern …`.
        way: String,
    },
    /// It could not be built.
    #[error("cannot build longhaul's MPI program with {compiler}: {problem}")]
    Build {
        /// The compiler.
        compiler: String,
        /// What it said.
        problem: String,
    },
    /// A file could not be written or read.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `write`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
}

impl ProgramError {
    /// For `map_err` on what is done to `path`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

/// A program that is started by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name or path.
    pub program: PathBuf,
    /// Where its environment says that programs lie; none if it says nothing of that.
    pub path: Option<String>,
}

/// Something that programs of an experiment need, and that this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`workload.{kind}` needs {name}, which is not here: {reason}")]
pub struct Missing {
    /// What kind of program.
    pub kind: &'static str,
    /// What it needs.
    pub name: String,
    /// Where it was looked for.
    pub reason: String,
    /// How to get it.
    pub help: Option<String>,
}

/// Checks that this machine has what `program` needs, among its `tools` ([`capability::tools`]).
///
/// # Errors
/// The first thing that is missing.
pub fn available(program: &dyn Program, tools: &[Capability]) -> Result<(), Missing> {
    for name in program.needs() {
        let missing = |reason: &str, help: Option<String>| Missing {
            kind: program.kind(),
            name: name.to_owned(),
            reason: reason.to_owned(),
            help,
        };
        match capability::tool(tools, name).map(|tool| &tool.state) {
            Some(State::Present(_)) => {}
            Some(State::Missing { reason, remedy }) => {
                return Err(missing(reason, remedy.clone()));
            }
            Some(State::Unknown(reason)) => return Err(missing(reason, None)),
            None => return Err(missing("longhaul does not know it", None)),
        }
    }
    Ok(())
}

/// Checks that the programs which `program` starts by name on `hosts` are on this machine.
///
/// # Errors
/// The first that is not.
pub fn startable(program: &dyn Program, hosts: &[String]) -> Result<(), Missing> {
    let lines = program.lines(hosts);
    let missing = lines.into_iter().find_map(Line::lacks);
    missing.map_or(Ok(()), |(name, reason, help)| {
        Err(Missing {
            kind: program.kind(),
            name,
            reason: reason.to_owned(),
            help: Some(help),
        })
    })
}

impl Line {
    /// Its name, why it cannot be started, and the way out; nothing if it can be.
    fn lacks(self) -> Option<(String, &'static str, String)> {
        let Self { program, path } = self;
        let name = program.display().to_string();
        if name.contains('/') {
            // Relative to the folder that longhaul was started in, as it is for the program.
            if is_executable(&program) {
                return None;
            }
            let (reason, help) = match program.is_file() {
                true => (
                    "the file is no program, as nobody may execute it",
                    format!("`chmod +x {name}`, or put the interpreter before it"),
                ),
                false => (
                    "there is no such file",
                    "a path counts from the folder that longhaul is started in".to_owned(),
                ),
            };
            return Some((name, reason, help));
        }
        let own = path.map(OsString::from);
        let folders = own.or_else(|| std::env::var_os("PATH"));
        // What execvp(3) takes without one.
        let folders = folders.unwrap_or_else(|| "/bin:/usr/bin".into());
        if std::env::split_paths(&folders).any(|folder| is_executable(&folder.join(&program))) {
            return None;
        }
        let help = capability::remedy_of_program(&name)
            .unwrap_or_else(|| format!("install it, or write where it lies: /PATH/TO/{name}"));
        Some((name, "not found in PATH", help))
    }
}

fn is_executable(file: &Path) -> bool {
    let metadata = file.metadata();
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The file or folder of a tool that is there.
pub(crate) fn path_of(name: &str) -> PathBuf {
    match capability::tool(&capability::tools(), name).map(|tool| &tool.state) {
        Some(State::Present(path)) => path.into(),
        _ => name.into(),
    }
}

/// Checks that `hosts`, given at `field`, are among `all`, each once.
pub(crate) fn check_hosts(field: &str, hosts: &[String], all: &[String]) -> Result<(), Refusal> {
    for (index, host) in hosts.iter().enumerate() {
        let refuse = |message| Err(Refusal::of(&format!("{field}.{index}"), message));
        if !all.contains(host) {
            return refuse(format!(
                "there is no host `{host}`; there are {}",
                all.join(", ")
            ));
        }
        if hosts[..index].contains(host) {
            return refuse(format!("`{host}` is named twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two sites of one host each.
    pub(crate) fn place() -> Place {
        let host = |name: &str, site: &str, last| HostPlace {
            name: name.into(),
            site: site.into(),
            address: Ipv4Addr::new(10, last, 0, 1),
        };
        Place {
            hosts: vec![host("a-0", "a", 1), host("b-0", "b", 2)],
            folder: "/out/logs".into(),
            scratch: "/lab".into(),
            agent: Agent::new("/proc/2/exe".into(), "a-0=/proc/2/fd/3:/proc/2/fd/4".into()),
            congestion_control: None,
        }
    }

    pub(crate) fn hosts() -> Vec<String> {
        vec!["a-0".to_owned(), "b-0".to_owned()]
    }

    /// A kind from what a file has.
    pub(crate) fn spec<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    /// Every kind, with what it needs at least.
    fn all() -> Vec<ProgramSpec> {
        use serde_json::json;
        vec![
            ProgramSpec::Command(spec(json!({"command": ["true"]}))),
            ProgramSpec::Iperf3(spec(json!({}))),
            ProgramSpec::Ping(spec(json!({}))),
            ProgramSpec::Torch(spec(json!({"collective": "all_reduce"}))),
            ProgramSpec::Mpi(spec(json!({"collective": "all_reduce"}))),
            ProgramSpec::Mpi(spec(
                json!({"collective": "all_reduce", "implementation": "mpich"}),
            )),
            ProgramSpec::NcclTests(spec(json!({"collective": "all_reduce"}))),
            ProgramSpec::Perftest(spec(json!({}))),
        ]
    }

    #[test]
    fn whatever_a_kind_needs_is_known_to_doctor() {
        let tools = capability::tools();
        for spec in all() {
            for need in spec.program().needs() {
                assert!(capability::tool(&tools, need).is_some(), "{need}");
            }
        }
    }

    #[test]
    fn every_kind_runs_on_two_hosts_with_its_defaults() {
        for spec in all() {
            assert_eq!(spec.program().check(&hosts()), Ok(()), "{spec:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_way_to_get_it() {
        let tools = [Capability {
            name: "iperf3".into(),
            state: State::Missing {
                reason: "not found in PATH".into(),
                remedy: Some("sudo apt install iperf3".into()),
            },
            needed_for: "",
        }];
        let spec: Iperf3Spec = spec(serde_json::json!({}));
        let missing = available(&spec, &tools).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "`workload.iperf3` needs iperf3, which is not here: not found in PATH"
        );
        assert_eq!(missing.help.as_deref(), Some("sudo apt install iperf3"));
    }

    #[test]
    fn a_program_that_is_not_here_is_named_before_anything_is_built() {
        use serde_json::json;
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("mine.sh");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let script = script.to_str().unwrap();
        let missing = |value: serde_json::Value| {
            let command: CommandSpec = spec(value);
            startable(&command, &hosts()).map_err(|missing| missing.to_string())
        };
        let told = |name: &str, reason: &str| {
            let text = format!("`workload.command` needs {name}, which is not here: {reason}");
            Err(text)
        };
        assert_eq!(missing(json!({"command": ["sh", "-c", "no-such"]})), Ok(()));
        assert_eq!(
            missing(json!({"command": ["no-such-program"]})),
            told("no-such-program", "not found in PATH")
        );
        assert_eq!(
            missing(json!({"command": [script]})),
            told(script, "the file is no program, as nobody may execute it")
        );
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(script, executable).unwrap();
        assert_eq!(missing(json!({"command": [script]})), Ok(()));
        // Where the environment of the program says that it is, and nowhere else.
        let path = folder.path().to_str().unwrap();
        let with_path = |program| json!({"command": [program], "environment": {"PATH": path}});
        assert_eq!(missing(with_path("mine.sh")), Ok(()));
        assert!(missing(with_path("sh")).is_err());
        // What no host runs need not be here.
        let own = |program| json!({"command": [program]});
        let only_own = json!({"command": ["no-such-program"], "per_host": {"a-0": own("sh"), "b-0": own("sh")}});
        assert_eq!(missing(only_own), Ok(()));
        let on_one = json!({"command": ["sh"], "per_host": {"b-0": own("./no-such")}});
        assert_eq!(missing(on_one), told("./no-such", "there is no such file"));
    }
}
