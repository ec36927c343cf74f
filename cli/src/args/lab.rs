//! Labs: what kind they are, those that stay, their links.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What matters to virtual labs alone.
#[derive(Debug, Args)]
#[command(next_help_heading = "Virtual labs")]
pub struct VirtualArgs {
    /// How much memory the lab may take [default: by what its links and arrays need]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<longhaul_topologies::units::ByteSize>,

    /// Give up after this much CPU time that the lab uses while no virtual time passes in it; one that stays up ends the program
    /// that computes instead
    /// [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub patience: Option<longhaul_topologies::units::TimeSpan>,

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
    #[arg(long, value_enum, default_value_t = BuiltLab::Host)]
    pub lab: BuiltLab,

    /// Which engine carries the links; auto takes netem where the kernel has what the topology needs
    #[arg(long, value_enum, default_value_t = Links::Auto)]
    pub links: Links,

    /// Seeds everything random in the links; in a virtual lab, everything random
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = super::seed)]
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

    /// Settings as in a topology file, of `state`, `rate`, `delay`, `route_factor`, `jitter`, `loss`, `duplication`, `corruption`,
    /// `reordering` and `queue`, or of their parts: `rate=10Mbit`, `jitter.deviation=1ms`, `state=down`
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
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:7878", value_parser = address)]
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
    #[arg(long, value_enum, default_value_t = BuiltLab::Host, conflicts_with_all = ["name", "between"])]
    pub lab: BuiltLab,

    /// Seeds everything random in the links of TOPOLOGY
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = super::seed, conflicts_with_all = ["name", "between"])]
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

/// A lab that longhaul builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BuiltLab {
    /// This machine's kernel, wall-clock time
    Host,
    /// A kernel of its own in virtual time: exact, repeatable to the bit, without root
    Virtual,
}

/// Where the sites live and whose clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LabKind {
    /// This machine's kernel, wall-clock time
    Host,
    /// A kernel of its own in virtual time: exact, repeatable to the bit, without root
    Virtual,
    /// Machines that are there, by an inventory of them
    Physical,
}

impl LabKind {
    /// The lab, if it is one that longhaul builds.
    pub fn built(self) -> Option<BuiltLab> {
        match self {
            LabKind::Host => Some(BuiltLab::Host),
            LabKind::Virtual => Some(BuiltLab::Virtual),
            LabKind::Physical => None,
        }
    }
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

/// Where to listen.
fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    let wrong = |_| "write an address and a port, as in 127.0.0.1:7878".to_owned();
    text.parse().map_err(wrong)
}
