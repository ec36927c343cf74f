//! Labs that outlive the command that started them, and what other commands do with them.
//!
//! ```text
//! longhaul up ──forks──▶ front ─▶ init ─▶ lab process: the Lab and its control socket   (crate::sandbox)
//!      ╰─ returns once the lab is up         ▲
//! longhaul exec, link, status, down ─────────╯  one line of JSON each way, namespaces as file descriptors
//! ```
//! A virtual lab's keeper has the lab kernel in place of namespaces, which nobody outside can enter: the command is run inside
//! instead, and its streams, signals and exit code cross the same socket.
//!
//! - [`up`]: a lab in the background. [`exec`], [`links`], [`adjust`], [`status`], [`down`]: what to do with it.
//! - [`reading`]: a lab or run at one instant, for who watches it.
//! - [`attach`]: what another process needs to measure it.
//! - [`Registration`]: a name claimed in the registry of this user's labs; a foreground run has one, too, so that
//!   [`status`] and [`clean`] see it, and a [`Desk`], so that its links can be set; in a lab kernel a [`Lookout`], so that it can be watched.
//! - [`up_virtual`]: a virtual lab in the background. [`visit`]: a command run inside one.
//! - [`clean`]: removes what labs left that were killed.

mod attach;
mod client;
mod daemon;
mod desk;
mod exec;
mod frames;
mod kept;
mod links;
mod lookout;
mod name;
mod names;
mod reading;
mod registry;
mod server;
mod virtual_lab;
mod visit;
mod wire;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

pub use attach::{Attached, attach};
pub use client::{
    LabStatus, adjust, clean, down, is_virtual, links, only_lab, only_with_links, reading, record,
    status,
};
pub use daemon::{Started, up, up_with};
pub use desk::{Attended, Desk};
pub use exec::exec;
pub use kept::Kept;
pub use links::{AdjustedChannel, LinkStatus, Refusal, Wrong};
pub use lookout::Lookout;
pub use name::{LabName, LabNameError};
pub use reading::{
    ConnectionStatus, HostStatus, IterationStatus, LabReading, RunStatus, SiteStatus,
};
pub use registry::{Cleaned, LabRecord, Life, Place, Purpose, Registration};
pub use virtual_lab::up_virtual;
pub use visit::{Input, Visit, Visitor, visit};
pub use wire::{ChannelStatus, LabDetail, NodeStatus, VirtualStatus};

use crate::sandbox::SandboxError;

/// Why a lab could not be started, reached or removed.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// A living lab has the name.
    #[error(
        "a lab named {name} is up already: take it down with `longhaul down {name}`, or choose another --name"
    )]
    NameTaken {
        /// The name.
        name: LabName,
    },
    /// There is nothing of that name.
    #[error("no lab named {name} is up: `longhaul status` shows those that are")]
    NoSuchLab {
        /// The name.
        name: LabName,
    },
    /// It was killed, or has died.
    #[error("the lab {name} is dead: {reason}; remove what it left with `longhaul clean`")]
    Dead {
        /// The name.
        name: LabName,
        /// What from.
        reason: String,
    },
    /// It is not up yet.
    #[error("the lab {name} is still starting: try again in a moment")]
    Starting {
        /// The name.
        name: LabName,
    },
    /// It takes no programs.
    #[error(
        "{name} is a run: no program but its own runs in it; `longhaul up` starts a lab that takes any"
    )]
    IsRun {
        /// The name.
        name: LabName,
    },
    /// No lab is up at all.
    #[error("no lab is up: start one with `longhaul up TOPOLOGY`")]
    NoLab,
    /// The user has to choose.
    #[error("several labs are up: name one of {}", list(.names))]
    SeveralLabs {
        /// Which ones.
        names: Vec<LabName>,
    },
    /// No host or gateway has the name.
    #[error("the lab {lab} has no host `{node}`: {way_on}")]
    NoSuchNode {
        /// The lab.
        lab: LabName,
        /// What was asked for.
        node: String,
        /// What is like it, or all there are.
        way_on: String,
    },
    /// The lab is there, and did not do what it was asked.
    #[error("{refusal}")]
    Refused {
        /// The lab.
        name: LabName,
        /// Why not.
        refusal: Refusal,
    },
    /// The lab did not come up in the background.
    #[error("the lab {name} did not come up: {message}")]
    NotUp {
        /// Its name.
        name: LabName,
        /// What it said, or that it said nothing.
        message: String,
        /// The way out, if it knew one.
        help: Option<String>,
    },
    /// No sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A host's namespaces cannot be entered.
    #[error("cannot enter {node}: {source}")]
    Enter {
        /// The host.
        node: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A command could not be run in a virtual lab, or that ended meanwhile.
    #[error("{reason}")]
    Ended {
        /// What came in between.
        reason: String,
    },
    /// The program of `exec` cannot be started.
    #[error("cannot run {}: {source}", program.display())]
    Program {
        /// The program.
        program: OsString,
        /// What the kernel answered.
        source: io::Error,
    },
    /// It lives, and cannot be talked to.
    #[error("cannot talk to the lab {name}: {source}")]
    Unresponsive {
        /// The lab.
        name: LabName,
        /// What came of it.
        source: io::Error,
    },
    /// Something went wrong between this process and a lab.
    #[error("cannot {action} the lab {name}: {source}")]
    Lab {
        /// What was attempted.
        action: &'static str,
        /// On which lab.
        name: LabName,
        /// What came of it.
        source: io::Error,
    },
    /// A file or folder of the registry.
    #[error("cannot {action} {}: {source}", path.display())]
    Path {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl KeeperError {
    /// The exit code that a shell would give for a program that [`exec`] could not start: 127 if it was not found,
    /// 126 otherwise. `None` for all other errors.
    pub fn program_exit_code(&self) -> Option<i32> {
        match self {
            KeeperError::Program { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some(127)
            }
            KeeperError::Program { .. } => Some(126),
            _ => None,
        }
    }

    fn lab(action: &'static str, name: &LabName, source: io::Error) -> Self {
        KeeperError::Lab {
            action,
            name: name.clone(),
            source,
        }
    }

    fn unresponsive(name: &LabName, source: io::Error) -> Self {
        KeeperError::Unresponsive {
            name: name.clone(),
            source,
        }
    }

    fn path(action: &'static str, path: &Path, source: io::Error) -> Self {
        KeeperError::Path {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// `a, b, c`.
fn list(names: &[LabName]) -> String {
    names
        .iter()
        .map(LabName::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
