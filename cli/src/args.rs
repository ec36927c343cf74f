//! The command line as clap types. What each command does is in [`crate::commands`].

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use longhaul_emulator::capture::{DEFAULT_BYTES, MOST_BYTES};
use longhaul_reports::Theme;
use longhaul_reports::chart::{Format, Kind};
use longhaul_reports::export::Export;
use longhaul_topologies::export;

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
    #[arg(long, value_name = "N")]
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
    #[arg(long, value_name = "N", default_value_t = DEFAULT_BYTES, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_BYTES)))]
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
    #[arg(long, value_enum, default_value_t = LabKind::Virtual)]
    pub lab: LabKind,

    /// Which engine carries the links; auto takes netem where the kernel has what the topology needs
    #[arg(long, value_enum, default_value_t = Links::Auto)]
    pub links: Links,

    /// Seeds everything random, over the experiments' own seeds
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Change a field of the experiments, as `run` does; what is judged then is another experiment
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// The folder for the results; must be new or empty [default: longhaul-results/reproduce-DATE-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Judge the run in this folder instead of running anything
    #[arg(long, value_name = "DIR", conflicts_with_all = ["all", "list", "seed", "set", "out"])]
    pub result: Option<PathBuf>,
}

/// What matters to virtual labs alone.
#[derive(Debug, Args)]
#[command(next_help_heading = "Virtual labs")]
pub struct VirtualArgs {
    /// How much memory the lab may take [default: by what its links and arrays need]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<longhaul_topologies::units::ByteSize>,

    /// Give up after this much wall time in which no virtual time passes and one program computes; a lab that stays up ends
    /// that program instead
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub patience: longhaul_topologies::units::TimeSpan,

    /// Show the lab a file or folder of this machine, to be read only
    #[arg(long, value_name = "PATH")]
    pub mount: Vec<PathBuf>,

    /// Set a variable in the lab, which has nothing of this environment; without a value, to what it is here
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
}

#[derive(Debug, Args)]
pub struct UpArgs {
    /// A name of the catalogue (`longhaul topologies list`) or a file
    pub topology: String,

    /// The lab's name [default: the topology's]
    #[arg(long)]
    pub name: Option<String>,

    /// Where the sites live and whose clock counts
    #[arg(long, value_enum, default_value_t = LabKind::Host)]
    pub lab: LabKind,

    /// Which engine carries the links; auto takes netem where the kernel has what the topology needs
    #[arg(long, value_enum, default_value_t = Links::Auto)]
    pub links: Links,

    /// Seeds everything random in the links; in a virtual lab, everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// What kernel TCP uses in the hosts unless a program asks for another: one of the kernel's, or `distance` where it can be had
    /// (`longhaul doctor`) [default: the machine's]
    #[arg(long, value_name = "NAME")]
    pub congestion_control: Option<String>,

    /// Change a field of the topology: `links.0.loss=0.1%`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    #[command(flatten)]
    pub virtual_lab: VirtualArgs,
}

#[derive(Debug, Args)]
pub struct ExecArgs {
    /// The lab [default: the only one that is up]
    #[arg(long)]
    pub name: Option<String>,

    /// The host or gateway (`longhaul status LAB` lists them)
    pub host: String,

    /// How fast a virtual lab's time passes meanwhile; what the program sees is the same
    #[arg(long, value_enum, default_value_t = PaceChoice::Auto)]
    pub pace: PaceChoice,

    /// The program and its arguments
    #[arg(last = true, required = true, num_args = 1..)]
    pub command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    /// Change a link that is up, all settings or none: `link set virginia dublin delay=60ms loss=1%`
    Set(LinkSetArgs),
    /// Show what links are, and what has changed since the lab came up
    Show(LinkShowArgs),
}

#[derive(Debug, Args)]
pub struct LinkSetArgs {
    /// The lab [default: the only one that is up, or the only run]
    #[arg(long)]
    pub name: Option<String>,

    /// One of the two sites: `forward` leads from here
    pub from: String,

    /// The other
    pub to: String,

    /// Settings as in a topology file: `rate=10Mbit`, `jitter.deviation=1ms`, `state=down`
    #[arg(required = true, value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// Of this lane alone, counted from 0 [default: of all]
    #[arg(long, value_name = "N")]
    pub lane: Option<usize>,

    /// Of this direction alone [default: of both]
    #[arg(long, value_enum)]
    pub direction: Option<LinkDirection>,
}

#[derive(Debug, Args)]
pub struct LinkShowArgs {
    /// The lab [default: the only one that is up, or the only run]
    #[arg(long)]
    pub name: Option<String>,

    /// One of the link's two sites [default: all links]
    #[arg(requires = "to")]
    pub from: Option<String>,

    /// The other
    pub to: Option<String>,
}

/// A direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LinkDirection {
    /// From the first site named to the second
    Forward,
    /// From the second to the first
    Reverse,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The lab to show in detail
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct TopArgs {
    /// The lab or run [default: the only lab that is up, or the only run]
    pub name: Option<String>,

    /// Print one view as text and end
    #[arg(long, conflicts_with_all = ["web", "otlp"])]
    pub once: bool,

    /// How often the lab is read: a time from 100ms to 10min
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub interval: longhaul_topologies::units::TimeSpan,

    /// Serve a page with the live map, charts and /metrics for Prometheus, to this machine alone; a port of 0 is any that is free
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:7878")]
    pub web: Option<std::net::SocketAddr>,

    /// Let the page set links, for those who know this token; @FILE reads it from a file, which keeps it out of the process list
    #[arg(long, value_name = "TOKEN|@FILE", requires = "web")]
    pub token: Option<String>,

    /// Push every reading to an OpenTelemetry collector, by OTLP/HTTP: http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("subject").required(true).args(["topology", "name", "between"]))]
pub struct VerifyArgs {
    /// A name of the catalogue (`longhaul topologies list`) or a file: brought up, measured, taken down
    pub topology: Option<String>,

    /// A lab that is up
    #[arg(long, value_name = "LAB")]
    pub name: Option<String>,

    /// Two network namespaces that something else made: names in /run/netns, paths or process ids
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    pub between: Vec<String>,

    /// What the way between them should be like, as a link's settings: `delay=40ms,rate=100Mbit,reverse.loss=1%`
    #[arg(long, value_name = "KEY=VALUE,...", conflicts_with_all = ["topology", "name"])]
    pub asked: Vec<String>,

    /// The addresses to measure between, of A and of B [default: found in the namespaces]
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["topology", "name"])]
    pub address: Vec<std::net::IpAddr>,

    /// Which engine carries the links of TOPOLOGY; auto takes netem where the kernel has what the topology needs
    #[arg(long, value_enum, default_value_t = Links::Auto, conflicts_with_all = ["name", "between"])]
    pub links: Links,

    /// Where TOPOLOGY lives and whose clock counts
    #[arg(long, value_enum, default_value_t = LabKind::Host, conflicts_with_all = ["name", "between"])]
    pub lab: LabKind,

    /// Seeds everything random in the links of TOPOLOGY
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with_all = ["name", "between"])]
    pub seed: u64,

    /// Change a field of TOPOLOGY: `links.0.loss=0.1%`
    #[arg(long, value_name = "KEY=VALUE", conflicts_with_all = ["name", "between"])]
    pub set: Vec<String>,

    /// How long probes run, and about as long packet trains: a time from 1s to 10min
    #[arg(long, value_name = "TIME", default_value = "3s")]
    pub duration: longhaul_topologies::units::TimeSpan,

    /// The folder for verify.json and the chart of the delays; must be new or empty
    #[arg(long, value_name = "DIR", overrides_with = "out")]
    pub out: Option<PathBuf>,

    #[command(flatten)]
    pub virtual_lab: VirtualArgs,
}

#[derive(Debug, Args)]
pub struct DownArgs {
    /// The lab [default: the only one that is up]
    pub name: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Write the figures of a faithful run into a file for git, a figure a line
    Save(BaselineSaveArgs),
}

#[derive(Debug, Args)]
pub struct BaselineSaveArgs {
    /// The folder that `longhaul run` wrote
    pub result: PathBuf,

    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,

    /// Replace an older file
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct GateArgs {
    /// The folder that `longhaul run` wrote
    pub result: PathBuf,

    /// A file of `longhaul baseline save`
    #[arg(long, value_name = "FILE")]
    pub baseline: PathBuf,

    /// How much worse a metric may be, over its own tolerance; judges a metric that is not judged otherwise: `busbw=3`, `time-p99=20`
    #[arg(long, value_name = "METRIC=PERCENT")]
    pub tolerance: Vec<String>,

    /// Write a JUnit file for the CI server
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Write the judgement as Markdown, for a pull request
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,

    /// Print annotations for GitHub, on standard error
    #[arg(long)]
    pub github: bool,

    /// Append the figures to a file of JSON lines, and draw how they went beside it (.svg, .png)
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,

    /// What is judged, for the history [default: GITHUB_SHA or CI_COMMIT_SHA, where a CI server sets it]
    #[arg(long, value_name = "ID", requires = "history")]
    pub commit: Option<String>,

    /// Exit as `git bisect run` wants it: 125 where this commit cannot be judged
    #[arg(long)]
    pub bisect: bool,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The folder that `longhaul run` wrote
    pub first: PathBuf,

    /// Another; ratios are of this to the first
    pub second: PathBuf,
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

#[derive(Debug, Subcommand)]
pub enum HardwareCommand {
    /// List NICs: what they are, their links, RDMA devices, firmware, and how near GPUs are
    List(TreeArgs),
    /// Show exactly what `apply` would change, and change nothing
    Plan(HardwareFileArgs),
    /// Set NICs and switches to what a file says; old values are kept for `restore`
    Apply(HardwareApplyArgs),
    /// Put back what `apply` changed, also after a crash
    Restore(HardwareRestoreArgs),
    /// Show what NICs count
    Counters(HardwareCountersArgs),
}

/// Whose files are looked at.
#[derive(Debug, Args)]
pub struct TreeArgs {
    /// Take the kernel's files (/sys and so on) from a copy below this folder
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/",
        hide_default_value = true
    )]
    pub root: PathBuf,
}

#[derive(Debug, Args)]
pub struct HardwareFileArgs {
    /// What NICs and switches should be set to (docs/hardware.md)
    pub file: PathBuf,

    /// Change a field of the file: `nics.mlx5_0.congestion.rp_time_reset=1ms`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    #[command(flatten)]
    pub tree: TreeArgs,
}

#[derive(Debug, Args)]
pub struct HardwareApplyArgs {
    #[command(flatten)]
    pub file: HardwareFileArgs,

    /// Show what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub journal: JournalArgs,
}

/// What writing takes.
#[derive(Debug, Args)]
pub struct JournalArgs {
    /// Where old values are kept [default: /var/lib/longhaul/hardware; the user's state folder where that is not root]
    #[arg(long, value_name = "DIR")]
    pub journals: Option<PathBuf>,

    /// How long a switch may take to apply a revision
    #[arg(long, value_name = "TIME", default_value = "2min")]
    pub patience: longhaul_topologies::units::TimeSpan,
}

#[derive(Debug, Args)]
pub struct HardwareRestoreArgs {
    /// Show what would be put back, and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Put back also what somebody else has set since
    #[arg(long, conflicts_with = "keep")]
    pub force: bool,

    /// Let the new values stay for good, and forget the old ones
    #[arg(long)]
    pub keep: bool,

    #[command(flatten)]
    pub journal: JournalArgs,

    #[command(flatten)]
    pub tree: TreeArgs,
}

#[derive(Debug, Args)]
pub struct HardwareCountersArgs {
    /// A NIC's RDMA device, interface or PCI address [default: all]
    pub nic: Option<longhaul_topologies::hardware::DeviceName>,

    /// Show what has been counted since, again and again, until Ctrl-C: every so often, from 100ms to 10min
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "1s")]
    pub watch: Option<longhaul_topologies::units::TimeSpan>,

    #[command(flatten)]
    pub tree: TreeArgs,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folders that `longhaul run` wrote, also of runs that were cut short; several stand side by side
    #[arg(required = true, value_name = "RESULT")]
    pub results: Vec<PathBuf>,

    /// The file to write [default: report.html in the folder of a lone result, else here; a chart goes into KIND.svg here, an export to
    /// standard output]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,

    /// Draw one chart, and write the numbers behind it beside it as CSV
    #[arg(long, value_name = "KIND", value_parser = names(Kind::ALL.map(|kind| (kind.name(), kind))))]
    pub chart: Option<Kind>,

    /// Write what other programs read
    #[arg(long, value_name = "FORMAT", conflicts_with = "chart", value_parser = names(Export::ALL))]
    pub export: Option<Export>,

    #[command(flatten)]
    pub look: LookArgs,
}

/// How a chart looks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Charts")]
pub struct LookArgs {
    /// The kind of file [default: by the ending of --to, else svg]
    #[arg(long, requires = "chart", value_parser = names(Format::ALL))]
    pub format: Option<Format>,

    /// Width and height in pixels, as in 1200x675 [default: 1000 wide, as high as it needs; twice that in a png]
    #[arg(long, requires = "chart", value_name = "WxH", value_parser = size)]
    pub size: Option<(u32, u32)>,

    /// Its colours
    #[arg(long, requires = "chart", default_value = "light", value_parser = names(Theme::ALL))]
    pub theme: Theme,

    /// The height of its ordinary text in pixels, from 4 to 100; lines and marks grow with it [default: 15]
    #[arg(long, requires = "chart", value_name = "N", value_parser = font_size)]
    pub font_size: Option<f64>,

    /// A title in place of its own
    #[arg(long, requires = "chart", value_name = "TEXT")]
    pub title: Option<String>,

    /// The stack that speedup-over-distance holds the others against [default: the first]
    #[arg(long, requires = "chart", value_name = "STACK")]
    pub baseline: Option<String>,
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

/// `1200x675`.
fn size(text: &str) -> Result<(u32, u32), String> {
    // A PNG of more pixels would take gigabytes while it is drawn; an SVG is sharp at any size.
    const MOST: u32 = 4096;
    let (width, height) = text
        .split_once(['x', '×'])
        .ok_or("write a width and a height with an x between them, as in 1200x675")?;
    let side = |text: &str| match text.parse() {
        Ok(side @ 1..=MOST) => Ok(side),
        _ => Err(format!("`{text}` is no number of pixels from 1 to {MOST}")),
    };
    Ok((side(width)?, side(height)?))
}

/// A height of text that can be read and drawn.
fn font_size(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|size| (4.0..=100.0).contains(size))
        .ok_or_else(|| "write a number of pixels from 4 to 100".to_owned())
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

/// How fast a virtual lab's time passes while a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PaceChoice {
    /// As fast as the machine can, and as the clock on the wall while somebody may type
    Auto,
    /// As the clock on the wall
    Wall,
    /// As fast as the machine can
    Free,
}

/// Where the sites live and whose clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LabKind {
    /// This machine's kernel, wall-clock time
    Host,
    /// A kernel of its own in virtual time: exact, repeatable to the bit, without root
    Virtual,
    /// Machines that are there, by an inventory of them (`run` only)
    Physical,
}

/// Which engine carries the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Links {
    /// netem where the kernel has what the topology needs, else the relay
    Auto,
    /// The kernel's qdiscs
    Netem,
    /// longhaul's user-space data plane
    Relay,
}
