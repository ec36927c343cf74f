//! NICs and switches.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    /// Show which congestion controls NVIDIA's NICs have in their firmware, and what these take
    Controllers(HardwareControllersArgs),
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
pub struct HardwareControllersArgs {
    /// A NIC's RDMA device, interface or PCI address [default: all of NVIDIA's]
    pub nic: Option<longhaul_topologies::hardware::DeviceName>,

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
