//! `mpi`: collectives of Open MPI or MPICH over TCP, by a small benchmark of longhaul's (`programs/collective.c`) that the machine's own
//! compiler builds once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use longhaul_emulator::plan::HOST_INTERFACE;
use longhaul_reports::result::Workload;
use longhaul_topologies::units::TimeSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::collective::Collective;
use crate::experiment::spec::Sizes;
use crate::program::agent;
use crate::program::lines::{self, Report};
use crate::program::processes::Process;
use crate::program::{
    Findings, Output, Place, Program, ProgramError, Refusal, path_of, ranks, timeout,
};

/// A collective of Open MPI or MPICH, a rank on every host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MpiSpec {
    /// Whose.
    #[serde(default)]
    pub implementation: Implementation,
    /// The collective.
    pub collective: Collective,
    /// How it is arranged, by the implementation's own name (`ring`, `recursive_doubling`); its own choice if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Sizes of the array of single-precision numbers.
    #[serde(default)]
    pub sizes: Sizes,
    /// Measured iterations of every size.
    #[serde(default = "ranks::default_iterations")]
    #[schemars(range(min = 1))]
    pub iterations: u64,
    /// Iterations before them that do not count.
    #[serde(default = "ranks::default_warmup")]
    pub warmup: u64,
    /// The hosts; all if absent. Ranks count in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// Further environment variables (`OMPI_MCA_btl_tcp_links: "4"`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// When it is ended and the run fails.
    #[serde(default = "timeout::ten_minutes")]
    pub timeout: TimeSpan,
}

/// An MPI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Implementation {
    /// Open MPI 4.
    #[default]
    OpenMpi,
    /// MPICH 3.4 or newer.
    Mpich,
}

const SOURCE: &str = include_str!("../../programs/collective.c");
/// What MPI counts in: an `int`.
const MOST_ELEMENTS: u64 = i32::MAX as u64;

/// Open MPI's names of its algorithms; each has its place as its number, from 1 (`ompi_info --param coll tuned --level 9`, 4.1).
const OPEN_MPI_ALGORITHMS: [(Collective, &str, &[&str]); 5] = [
    (
        Collective::AllReduce,
        "allreduce",
        &[
            "basic_linear",
            "nonoverlapping",
            "recursive_doubling",
            "ring",
            "segmented_ring",
            "rabenseifner",
        ],
    ),
    (
        Collective::AllGather,
        "allgather",
        &[
            "linear",
            "bruck",
            "recursive_doubling",
            "ring",
            "neighbor",
            "two_proc",
        ],
    ),
    (
        Collective::ReduceScatter,
        "reduce_scatter_block",
        &[
            "basic_linear",
            "recursive_doubling",
            "recursive_halving",
            "butterfly",
        ],
    ),
    (
        Collective::Broadcast,
        "bcast",
        &[
            "basic_linear",
            "chain",
            "pipeline",
            "split_binary_tree",
            "binary_tree",
            "binomial",
            "knomial",
            "scatter_allgather",
            "scatter_allgather_ring",
        ],
    ),
    (
        Collective::AllToAll,
        "alltoall",
        &[
            "linear",
            "pairwise",
            "modified_bruck",
            "linear_sync",
            "two_proc",
        ],
    ),
];

impl Implementation {
    fn name(self) -> &'static str {
        match self {
            Self::OpenMpi => "Open MPI",
            Self::Mpich => "MPICH",
        }
    }

    fn compiler(self) -> &'static str {
        match self {
            Self::OpenMpi => "Open MPI's compiler",
            Self::Mpich => "MPICH's compiler",
        }
    }
}

impl Program for MpiSpec {
    fn kind(&self) -> &'static str {
        "mpi"
    }

    fn needs(&self) -> Vec<&'static str> {
        vec![self.implementation.name(), self.implementation.compiler()]
    }

    fn check(&self, hosts: &[String]) -> Result<(), Refusal> {
        let chosen = ranks::hosts(self.hosts.as_deref(), hosts)?;
        let sizes = self
            .sizes
            .bytes()
            .map_err(|message| Refusal::of("sizes", message))?;
        let counts = lines::counts(self.collective, &sizes, chosen.len())?;
        if counts.iter().any(|&count| count > MOST_ELEMENTS) {
            let message = format!("MPI counts at most {MOST_ELEMENTS} elements");
            return Err(Refusal::of("sizes", message));
        }
        ranks::check_iterations(self.iterations, self.warmup)?;
        timeout::check(self.timeout)?;
        self.algorithm_settings().map(drop)
    }

    fn processes(&self, place: &Place) -> Result<Vec<Process>, ProgramError> {
        let program = self.build(&place.scratch)?;
        fs::create_dir_all(&place.folder).map_err(ProgramError::file("make", &place.folder))?;
        let hosts = self.hosts_of(place);
        let sizes = self.sizes.bytes().unwrap_or_default();
        let counts = lines::counts(self.collective, &sizes, hosts.len()).unwrap_or_default();
        let mut words = vec![
            program.display().to_string(),
            place.folder.display().to_string(),
            self.collective.to_string(),
            self.warmup.to_string(),
            self.iterations.to_string(),
        ];
        words.extend(counts.iter().map(u64::to_string));
        let settings = self.algorithm_settings().unwrap_or_default();
        let variables = settings
            .into_iter()
            .chain(self.environment.clone())
            .collect();
        let launch = match self.implementation {
            Implementation::OpenMpi => open_mpi,
            Implementation::Mpich => mpich,
        };
        Ok(vec![launch(place, &hosts, variables, words)?])
    }

    fn timeout(&self) -> Duration {
        self.timeout.duration()
    }

    fn workload(&self, hosts: &[String]) -> Workload {
        let hosts = self.hosts.as_deref().unwrap_or(hosts);
        let algorithm = self.algorithm.as_deref().unwrap_or("its own choice");
        ranks::workload(
            self.implementation.name(),
            algorithm,
            self.collective,
            hosts,
        )
    }

    fn read(&self, _: &[Output], place: &Place) -> Result<Findings, ProgramError> {
        let refuse = |host: &str, problem| ProgramError::Output {
            program: self.implementation.name(),
            host: host.to_owned(),
            problem,
        };
        let hosts = self.hosts_of(place);
        let mut reports = Vec::new();
        for (rank, host) in hosts.iter().enumerate() {
            let path = place.folder.join(format!("rank-{rank}.out"));
            let text = fs::read_to_string(&path).map_err(ProgramError::file("read", &path))?;
            let report = Report::parse(host, &text);
            reports.push(report.map_err(|problem| refuse(host, problem))?);
        }
        let last = hosts.last().map_or("", String::as_str);
        lines::join(&reports).map_err(|problem| refuse(last, problem))
    }

    /// Launchers and ranks have groups of their own.
    fn scatters(&self) -> bool {
        true
    }
}

impl MpiSpec {
    fn hosts_of(&self, place: &Place) -> Vec<String> {
        place.chosen(self.hosts.as_deref())
    }

    /// The variables that choose the algorithm.
    fn algorithm_settings(&self) -> Result<BTreeMap<String, String>, Refusal> {
        let Some(algorithm) = &self.algorithm else {
            return Ok(BTreeMap::new());
        };
        let refuse = |message: String| Err(Refusal::of("algorithm", message));
        let known = OPEN_MPI_ALGORITHMS
            .iter()
            .find(|known| known.0 == self.collective);
        let Some((_, name, algorithms)) = known else {
            return refuse(format!(
                "{} is of one message: it has no algorithms",
                self.collective
            ));
        };
        match self.implementation {
            Implementation::OpenMpi => {
                let place = algorithms.iter().position(|known| known == algorithm);
                let Some(place) = place else {
                    let list = algorithms.join(", ");
                    return refuse(format!(
                        "Open MPI's {name} has no `{algorithm}`: it has {list}"
                    ));
                };
                let number = (place + 1).to_string();
                Ok(BTreeMap::from([
                    (
                        "OMPI_MCA_coll_tuned_use_dynamic_rules".to_owned(),
                        "1".to_owned(),
                    ),
                    (format!("OMPI_MCA_coll_tuned_{name}_algorithm"), number),
                ]))
            }
            // It says itself what it does not know.
            Implementation::Mpich => {
                let plain = |c: char| c.is_ascii_lowercase() || c == '_';
                if !algorithm.chars().all(plain) {
                    return refuse(
                        "an algorithm's name is small letters and underscores".to_owned(),
                    );
                }
                let name = format!("MPIR_CVAR_{}_INTRA_ALGORITHM", name.to_uppercase());
                // Otherwise a layer below takes one of its own.
                let below = "MPIR_CVAR_DEVICE_COLLECTIVES".to_owned();
                Ok(BTreeMap::from([
                    (name, algorithm.clone()),
                    (below, "none".to_owned()),
                ]))
            }
        }
    }

    /// The benchmark, built by this machine's compiler: in the user's cache, or where there is none, in `scratch`.
    fn build(&self, scratch: &Path) -> Result<PathBuf, ProgramError> {
        let compiler = path_of(self.implementation.compiler());
        let failed = |problem: String| ProgramError::Build {
            compiler: compiler.display().to_string(),
            problem,
        };
        let run = |arguments: &[&Path]| -> Result<Vec<u8>, ProgramError> {
            let output = Command::new(&compiler)
                .args(arguments)
                .env("TMPDIR", scratch)
                .output()
                .map_err(|error| failed(error.to_string()))?;
            match output.status.success() {
                true => Ok(output.stdout),
                false => Err(failed(
                    String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                )),
            }
        };
        // What it would call, with every path: another version of the library is another program.
        let calls = run(&[Path::new("-show")])?;
        let mut digest = Sha256::new();
        digest.update(SOURCE);
        digest.update(calls);
        let key: String = digest
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let folder = cache().filter(|folder| is_usable(folder));
        let folder = folder.unwrap_or_else(|| scratch.to_owned());
        let program = folder.join(format!("collective-{key}"));
        if program.exists() {
            return Ok(program);
        }
        let source = scratch.join("collective.c");
        fs::write(&source, SOURCE).map_err(ProgramError::file("write", &source))?;
        // Under a name of its own until it is whole: another run may build it, too.
        let unfinished = folder.join(format!("collective-{key}.{}", std::process::id()));
        run(&[Path::new("-O2"), Path::new("-o"), &unfinished, &source])?;
        fs::rename(&unfinished, &program).map_err(ProgramError::file("rename", &unfinished))?;
        Ok(program)
    }
}

/// `$XDG_CACHE_HOME/longhaul/programs`, by the XDG base directory specification.
fn cache() -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(base.join("longhaul/programs"))
}

/// Whether it is there, or can be made, and may be written to by its owner.
fn is_usable(folder: &Path) -> bool {
    let usable = || -> io::Result<bool> {
        fs::create_dir_all(folder)?;
        let probe = tempfile_in(folder);
        fs::write(&probe, "")?;
        fs::remove_file(&probe)?;
        Ok(fs::metadata(folder)?.permissions().mode() & 0o100 != 0)
    };
    usable().unwrap_or(false)
}

fn tempfile_in(folder: &Path) -> PathBuf {
    folder.join(format!(".{}", std::process::id()))
}

/// Open MPI's launcher with `words` as the program, over TCP by the hosts' interface.
pub(super) fn open_mpi(
    place: &Place,
    hosts: &[String],
    variables: BTreeMap<String, String>,
    words: Vec<String>,
) -> Result<Process, ProgramError> {
    let agent = install_agent(place)?;
    let slots: Vec<String> = hosts.iter().map(|host| format!("{host}:1")).collect();
    let scratch = place.scratch.display().to_string();
    let settings = [
        ("plm_rsh_agent", agent.as_str()),
        // The agent knows the way from here.
        ("plm_rsh_no_tree_spawn", "1"),
        ("orte_tmpdir_base", &scratch),
        ("pml", "ob1"),
        ("btl", "tcp,self"),
        ("btl_tcp_if_include", HOST_INTERFACE),
        ("oob_tcp_if_include", HOST_INTERFACE),
        // Ranks share the machine's cores, and poll.
        ("mpi_yield_when_idle", "1"),
    ];
    let mut line = vec![path_of("Open MPI").display().to_string()];
    let mut option = |words: &[&str]| line.extend(words.iter().map(|&word| word.to_owned()));
    option(&["--host", &slots.join(","), "-np", &hosts.len().to_string()]);
    // Daemons that left the session would outlive their launcher.
    option(&["--bind-to", "none", "--leave-session-attached"]);
    for (name, value) in settings {
        option(&["--mca", name, value]);
    }
    // Its own parameters reach the ranks anyway.
    for name in variables
        .keys()
        .filter(|name| !name.starts_with("OMPI_MCA_"))
    {
        option(&["-x", name]);
    }
    line.extend(words);
    let first = hosts.first().map_or("", String::as_str);
    Ok(Process::new(first, line)
        .environment(place.agent.environment())
        .environment([
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ])
        .environment(variables))
}

fn install_agent(place: &Place) -> Result<String, ProgramError> {
    let agent = place.agent.install(&place.scratch);
    let agent = agent.map_err(ProgramError::file("make the agent in", &place.scratch))?;
    Ok(agent.display().to_string())
}

/// MPICH's launcher likewise; through the agent even on its own host, as UCX looks for the interface in /sys.
fn mpich(
    place: &Place,
    hosts: &[String],
    variables: BTreeMap<String, String>,
    words: Vec<String>,
) -> Result<Process, ProgramError> {
    let agent = install_agent(place)?;
    let mut line = vec![path_of("MPICH").display().to_string()];
    let mut option = |words: &[&str]| line.extend(words.iter().map(|&word| word.to_owned()));
    option(&["-launcher", "ssh", "-launcher-exec", &agent]);
    option(&["-hosts", &hosts.join(","), "-iface", HOST_INTERFACE]);
    option(&["-ppn", "1", "-n", &hosts.len().to_string()]);
    line.extend(words);
    let first = hosts.first().map_or("", String::as_str);
    let line = vec![agent, first.to_owned(), agent::quoted(&line)];
    Ok(Process::new(first, line)
        .environment(place.agent.environment())
        .environment([
            // Of UCX and of libfabric, whichever it was built with.
            ("UCX_TLS", "tcp,self"),
            ("UCX_NET_DEVICES", HOST_INTERFACE),
            ("FI_PROVIDER", "tcp"),
            ("FI_TCP_IFACE", HOST_INTERFACE),
        ])
        .environment(variables))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::program::tests::{hosts, place, spec};

    /// Open MPI 4.1.4, two ranks.
    const REAL: [&str; 2] = [
        include_str!("mpi/open-mpi-4.1.4-0.jsonl"),
        include_str!("mpi/open-mpi-4.1.4-1.jsonl"),
    ];

    #[test]
    fn what_the_benchmark_really_reports_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for (rank, text) in REAL.iter().enumerate() {
            fs::write(folder.path().join(format!("rank-{rank}.out")), text).unwrap();
        }
        let place = Place {
            folder: folder.path().to_owned(),
            ..place()
        };
        let mpi: MpiSpec = spec(json!({"collective": "all_reduce"}));
        insta::assert_debug_snapshot!(mpi.read(&[], &place).unwrap());
        fs::remove_file(folder.path().join("rank-1.out")).unwrap();
        assert!(
            mpi.read(&[], &place)
                .unwrap_err()
                .to_string()
                .contains("rank-1.out")
        );
    }

    #[test]
    fn an_algorithm_has_the_number_of_its_name() {
        let mpi: MpiSpec = spec(json!({"collective": "all_reduce", "algorithm": "ring"}));
        let settings = mpi.algorithm_settings().unwrap();
        assert_eq!(settings["OMPI_MCA_coll_tuned_allreduce_algorithm"], "4");
        let mpich: MpiSpec = spec(
            json!({"collective": "all_reduce", "algorithm": "recursive_doubling", "implementation": "mpich"}),
        );
        let settings = mpich.algorithm_settings().unwrap();
        assert_eq!(
            settings["MPIR_CVAR_ALLREDUCE_INTRA_ALGORITHM"],
            "recursive_doubling"
        );
    }

    #[test]
    fn an_algorithm_that_is_not_there_is_refused_with_those_that_are() {
        let mpi: MpiSpec = spec(json!({"collective": "all_to_all", "algorithm": "ring"}));
        assert_eq!(
            mpi.check(&hosts()).unwrap_err().message,
            "Open MPI's alltoall has no `ring`: it has linear, pairwise, modified_bruck, linear_sync, two_proc"
        );
    }

    #[test]
    fn the_launcher_takes_the_agent_for_ssh_and_the_hosts_interface() {
        let scratch = tempfile::tempdir().unwrap();
        let place = Place {
            scratch: scratch.path().to_owned(),
            ..place()
        };
        let process = open_mpi(&place, &hosts(), BTreeMap::new(), vec!["PROGRAM".into()]).unwrap();
        let line = process.line[1..]
            .join(" ")
            .replace(&scratch.path().display().to_string(), "SCRATCH");
        insta::assert_snapshot!(line);
        assert_eq!(process.host, "a-0");
        assert!(process.environment.contains_key("LONGHAUL_DOORS"));
    }

    /// An MPI of one rank, whose all-reduce does nothing but the first time.
    const IDLE: &str = include_str!("mpi/idle.h");

    #[test]
    fn what_an_earlier_iteration_left_is_not_taken_for_this_ones() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::write(at("mpi.h"), IDLE).unwrap();
        fs::write(at("collective.c"), SOURCE).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-w", "-o"]).arg(at("collective"));
        compiler.arg("-I").arg(scratch.path());
        assert!(compiler.arg(at("collective.c")).status().unwrap().success());
        let mut program = Command::new(at("collective"));
        program.arg(scratch.path());
        program.args(["all_reduce", "0", "2", "8"]);
        assert!(program.status().unwrap().success());
        let told = fs::read_to_string(at("rank-0.out")).unwrap();
        let wrong = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["wrong"].as_u64()
        };
        let wrong: Vec<u64> = told.lines().filter_map(wrong).collect();
        assert_eq!(wrong, [0, 8]);
    }
}
