//! An inventory: the machines of a physical lab, how programs are started on them, and what the network between them should be.
//!
//! - [`spec`]: the file format as serde types; the JSON Schema (`topologies/inventory.schema.json`) is generated from them.
//! - `check`: from [`spec`] to [`Inventory`]; every check of meaning.
//!
//! An inventory takes the place of an experiment's topology: it has sites and links as one has, but the hosts of a site are listed,
//! and its links say what is there, not what is to be made.

mod check;
pub mod spec;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::document::{Document, InputError};
use crate::hardware::Login;
use crate::model::{Direction, LinkId, SiteId, Topology};
use crate::spec::TopologySpec;

pub(crate) use check::ssh;
pub use spec::SshSpec;

/// Everything in it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    /// Its sites and links. Where nothing is described, every two sites have a link of no delay.
    pub topology: Topology,
    /// The same as a topology file would have it.
    pub spec: TopologySpec,
    /// Site by site.
    pub hosts: Vec<Host>,
    /// What each link was described by, forward and reverse.
    described: Vec<[BTreeSet<Setting>; 2]>,
    /// The switches between the hosts.
    pub switches: Vec<Switch>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// What it is called in results, as the hosts of every lab are: `virginia-0`.
    pub name: String,
    /// Where it stands.
    pub site: SiteId,
    /// How a program is started on it.
    pub launch: Launch,
    /// By which address its data go.
    pub data: Data,
    /// Where longhaul lies on it, if it is not to be copied there.
    pub binary: Option<String>,
}

/// How a program is started on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launch {
    /// It is this one.
    Local,
    /// By ssh.
    Ssh(SshSpec),
    /// By Slurm, in a job that is there.
    Srun(Srun),
    /// By MPI's launcher.
    Mpirun(Mpirun),
}

/// A node of a Slurm job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srun {
    /// The node.
    pub node: String,
    /// The job that has it; the one that this process is in if absent.
    pub job: Option<u32>,
}

/// A host as MPI's launcher knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mpirun {
    /// The host.
    pub host: String,
}

/// By which address a machine's data go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Data {
    /// By this one.
    Address(IpAddr),
    /// By the first global one of an interface.
    Interface(String),
}

/// Something that a link was described by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// Its one-way delay.
    Delay,
    /// How much that varies.
    Jitter,
    /// What is lost.
    Loss,
    /// How much it carries.
    Rate,
}

/// A switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// What it is called.
    pub name: String,
    /// How it is reached.
    pub login: Login,
}

impl Inventory {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and what would be right.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::check(&Document::read(path)?, folder)
    }

    /// Checks `document`, whose files are relative to `folder`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn check(document: &Document, folder: &Path) -> Result<Self, InputError> {
        check::inventory(document, folder)
    }

    /// What a link was described by that way: nothing, where the file describes none.
    pub fn described(&self, link: LinkId, direction: Direction) -> &BTreeSet<Setting> {
        let way = match direction {
            Direction::Forward => 0,
            Direction::Reverse => 1,
        };
        &self.described[link.0][way]
    }

    /// Whether it describes anything of its links.
    pub fn is_described(&self) -> bool {
        self.described.iter().flatten().any(|said| !said.is_empty())
    }
}

#[cfg(test)]
mod tests;
