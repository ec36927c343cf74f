//! The command line as clap types. What each command does is in [`crate::commands`].

mod hardware;
mod lab;
mod results;

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use longhaul_emulator::capture::{DEFAULT_BYTES, MOST_BYTES};
use longhaul_topologies::export;

pub use hardware::*;
pub use lab::*;
pub use results::*;

/// Emulate the WAN between data centres, run real collectives over it, measure throughput and jitter.
#[derive(Debug, Parser)]
#[command(name = "longhaul", version, after_long_help = crate::exit::HELP)]
pub struct Cli {
    /// Print nothing but JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an experiment: bring its sites up, measure the links, run the workload, write results and charts
    Run(RunArgs),
    /// Run an experiment in parts, as an array of jobs of a batch system; `report` takes the parts as one result
    Sweep(SweepArgs),
    /// Run experiments that are claimed to show something, and say whether they do
    Reproduce(ReproduceArgs),
    /// List the experiments that come with longhaul, or show one
    #[command(subcommand)]
    Experiments(ExperimentsCommand),
    /// Bring a topology up and leave it running in the background
    Up(UpArgs),
    /// Run a program inside a host of a lab that is up
    Exec(ExecArgs),
    /// Change a link of a lab that is up, or show what its links are
    #[command(subcommand)]
    Link(LinkCommand),
    /// Show the labs of this user, or one of them in detail
    Status(StatusArgs),
    /// Watch a lab that is up, or a run: its links, sites and collectives, live; on the terminal, in a browser, for Prometheus
    Top(TopArgs),
    /// Measure links against their description: of a topology, of a lab that is up, or between two network namespaces
    Verify(VerifyArgs),
    /// Take a lab down
    Down(DownArgs),
    /// Remove what labs left behind that were killed
    Clean,
    /// Keep the figures of a run as a small file that later runs are held against
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Hold a run against a baseline: pass, regression, or "can't tell"
    Gate(GateArgs),
    /// Show the figures of two runs side by side, with their ratios
    Compare(CompareArgs),
    /// Make a report of runs as one HTML file, a chart of them for a paper or a slide, or a file for other programs
    Report(ReportArgs),
    /// List, show, check, draw or export topologies
    #[command(subcommand)]
    Topologies(TopologiesCommand),
    /// Build the kernel that virtual labs boot, or show which there are
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// Find NICs; set them and switches to what a file says, and put them back; show what NICs count
    #[command(subcommand)]
    Hardware(HardwareCommand),
    /// Say what this machine can do, what is missing and how to get it
    Doctor,
    /// Print a shell completion script
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Print the manual page, or write one page per command into a folder
    Man {
        /// The folder to write into
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A name of the catalogue (`longhaul experiments list`) or a file
    pub experiment: String,

    /// Where the sites live and whose clock counts
    #[arg(long, value_enum, default_value_t = LabKind::Host)]
    pub lab: LabKind,

    /// The machines of a physical lab, whose sites and links take the place of the experiment's topology
    #[arg(long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,

    /// Which engine carries the links; auto takes netem where the kernel has what the topology needs
    #[arg(long, value_enum, default_value_t = Links::Auto)]
    pub links: Links,

    /// Seeds everything random, over the experiment's own seed
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    pub seed: Option<u64>,

    /// Change a field of the experiment or its topology: `workload.iterations=20`, `topology.links.0.loss=0.1%`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Run these points alone, with the seeds that they have in the whole: `3` or `2-5` (`longhaul experiments show EXPERIMENT --points`)
    #[arg(long, value_name = "N[-N]", value_parser = points)]
    pub points: Option<(usize, usize)>,

    /// The folder for the results; must be new or empty [default: longhaul-results/EXPERIMENT-DATE-TIME]
    #[arg(long, value_name = "DIR", overrides_with = "out")]
    pub out: Option<PathBuf>,

    /// Write the packets of a lane into pcap files, as often as there are lanes to capture: `virginia-dublin`, `virginia-dublin/0` or, for
    /// one direction, `virginia>dublin/0`
    #[arg(long, value_name = "LANE")]
    pub capture: Vec<String>,

    /// How many bytes of each captured packet to keep; all headers fit into 128
    #[arg(long, value_name = "N", requires = "capture", default_value_t = DEFAULT_BYTES, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_BYTES)))]
    pub capture_bytes: u32,

    /// Push what `longhaul top` reads of this run to an OpenTelemetry collector, by OTLP/HTTP: http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,

    /// Draw no charts and write no report
    #[arg(long)]
    pub no_charts: bool,

    /// Run twice in a virtual lab and compare the results, byte by byte
    #[arg(long)]
    pub check_determinism: bool,

    #[command(flatten)]
    pub virtual_lab: VirtualArgs,
}

#[derive(Debug, Args)]
pub struct SweepArgs {
    /// A name of the catalogue (`longhaul experiments list`) or a file
    pub experiment: String,

    /// Who runs the parts
    #[arg(long, value_enum)]
    pub launcher: Launcher,

    /// How many points a part has; those that share a topology share a lab
    #[arg(long, value_name = "N", default_value = "1")]
    pub points_per_job: std::num::NonZeroUsize,

    /// Change a field of the experiment or its topology, as `run` does
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// The folder for the script and the parts' results; must be new or empty, and with slurm the same on every node
    /// [default: longhaul-results/EXPERIMENT-DATE-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Print the script, and do no more
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub slurm: SlurmArgs,

    /// Options of `longhaul run` for every part: `-- --lab virtual --seed 3`
    #[arg(last = true, value_name = "RUN OPTION")]
    pub run: Vec<String>,
}

/// Who runs the parts of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Launcher {
    /// Slurm, as a job array
    Slurm,
    /// This machine, one after the other
    Local,
}

/// What a part asks of Slurm.
#[derive(Debug, Args)]
#[command(next_help_heading = "Slurm")]
pub struct SlurmArgs {
    /// The partition to run in [default: the cluster's]
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,

    /// The longest that a part may take, as sbatch writes it: `30` (minutes), `2:00:00`
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,

    /// CPUs of a part
    #[arg(long, value_name = "N")]
    pub cpus: Option<std::num::NonZeroUsize>,

    /// Any other option of sbatch: `--sbatch=--exclusive`
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub sbatch: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// Claims by name or number, or files
    #[arg(required_unless_present_any = ["all", "list"])]
    pub claim: Vec<String>,

    /// Every claim that comes with longhaul
    #[arg(long, conflicts_with = "claim")]
    pub all: bool,

    /// List the claims, and do no more
    #[arg(long, conflicts_with_all = ["claim", "all"])]
    pub list: bool,

    /// Where the sites live and whose clock counts
    #[arg(long, value_enum, default_value_t = BuiltLab::Virtual)]
    pub lab: BuiltLab,

    /// Which engine carries the links; auto takes netem where the kernel has what the topology needs
    #[arg(long, value_enum, default_value_t = Links::Auto)]
    pub links: Links,

    /// Seeds everything random, over the experiments' own seeds
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    pub seed: Option<u64>,

    /// Change a field of the experiments, as `run` does; what is judged then is another experiment
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// The folder for the results; must be new or empty [default: longhaul-results/reproduce-DATE-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Judge the run in this folder instead of running anything
    #[arg(long, value_name = "DIR", conflicts_with_all = ["all", "list", "lab", "links", "seed", "set", "out"])]
    pub result: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum TopologiesCommand {
    /// List the topologies that come with longhaul
    List,
    /// Print a topology's file, or its sites and links with every figure resolved
    Show {
        /// A name of the catalogue or a file
        topology: String,
        /// Print the YAML as it is
        #[arg(long)]
        yaml: bool,
    },
    /// Check topology files and say what is wrong with them
    Check {
        /// Names of the catalogue or files
        #[arg(required = true)]
        topologies: Vec<String>,
    },
    /// Draw a topology as a map, or as a graph where sites have no coordinates
    Draw {
        /// A name of the catalogue or a file
        topology: String,
        /// The picture to write; the ending says the format: .svg or .png [default: TOPOLOGY.svg]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Write a topology for another engine: the same sites, addresses and links, where one machine is not enough
    Export(ExportArgs),
    /// Print the JSON Schema of topology files
    Schema,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A name of the catalogue or a file
    pub topology: String,

    /// For which engine; kubernetes is containerlab's file for clabernetes
    #[arg(long, value_parser = names(export::Format::ALL))]
    pub format: export::Format,

    /// The container image of every host and gateway; it needs ip, tc and sysctl
    #[arg(long, default_value = "nicolaka/netshoot", value_parser = NonEmptyStringValueParser::new())]
    pub image: String,

    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Change a field of the topology: `links.0.loss=0.1%`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum KernelCommand {
    /// Build it, once, into the cache: from the distribution's kernel source or from another, in a few minutes
    Build(KernelBuildArgs),
    /// Show the kernels in the cache, which of them virtual labs boot, and what is missing to build one
    Info,
}

#[derive(Debug, Args)]
pub struct KernelBuildArgs {
    /// A Linux source: an unpacked tree, which is left as it is, or a .tar.xz, .tar.gz or .tar.bz2 [default: the newest
    /// linux-source package]
    #[arg(long, value_name = "PATH")]
    pub source: Option<PathBuf>,

    /// Install nothing: without this, root on Debian or Ubuntu gets the packages that are missing
    #[arg(long)]
    pub no_install: bool,

    /// How many compilers run at once [default: as many as there are CPUs]
    #[arg(long, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
}

/// A parser of names that each stand for a value.
fn names<T: Copy + Send + Sync + 'static, const N: usize>(
    values: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values.map(|(name, _)| name)).map(move |chosen| {
        let mut all = values.iter();
        let found = all.find(|(name, _)| *name == chosen);
        found.expect("the parser knows no other names").1
    })
}

/// What seeds random numbers.
fn seed(text: &str) -> Result<u64, String> {
    let wrong = |_| format!("write a whole number from 0 to {}", u64::MAX);
    text.parse().map_err(wrong)
}

/// `3` or `2-5`.
fn points(text: &str) -> Result<(usize, usize), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err(
            "write the number of a point, or two with a dash between them, as in 2-5".to_owned(),
        ),
    }
}

#[derive(Debug, Subcommand)]
pub enum ExperimentsCommand {
    /// List the experiments that come with longhaul
    List,
    /// Print an experiment's YAML, or its points
    Show {
        /// A name of the catalogue or a file
        experiment: String,
        /// List what it runs, point by point, by the numbers that `run --points` takes
        #[arg(long)]
        points: bool,
    },
    /// Print the JSON Schema of experiment files
    Schema,
    /// List the traces that come with longhaul, for `workload: {replay: {trace: …}}`
    Traces,
    /// Show what a trace carries, and node by node what it does
    Trace {
        /// A name of the catalogue, a YAML file, a Chakra trace as JSON or a folder of them
        trace: String,
        /// How many ranks, where the trace leaves that open
        #[arg(long, value_name = "N", default_value_t = TRACE_RANKS, value_parser = clap::value_parser!(u16).range(2..=4096))]
        ranks: u16,
    },
}

/// How many ranks a trace is shown with.
pub const TRACE_RANKS: u16 = 4;
