//! Where a run was made: the lab, its links, and the machine it saw.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The lab and the machine it saw. In a virtual lab all of it follows from the lab kernel and the experiment: nothing in here tells of
/// the machine outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Where its kernel and its clock come from.
    pub lab: LabKind,
    /// What computing costs on that clock.
    pub computing: Computing,
    /// The kernel of a virtual lab; absent in others.
    pub lab_kernel: Option<LabKernel>,
    /// `netem` or `relay`; in a physical lab, `as they are`.
    pub links: String,
    /// `root` or `rootless`.
    pub privilege: String,
    /// What the lab saw of a machine; in a virtual lab, the one that its kernel makes up.
    pub machine: Machine,
    /// Versions of the external programs, as they tell them themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, String>,
    /// The machines of a physical lab, by their names in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, HostMachine>,
}

/// A machine of a physical lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostMachine {
    /// What it is.
    pub machine: Machine,
    /// What its data go by.
    pub interface: NetworkInterface,
}

/// A network interface; what the system does not tell is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkInterface {
    /// What it is called there.
    pub name: String,
    /// The driver of its hardware.
    pub driver: Option<String>,
    /// In Mbit/s, while the link is up.
    pub speed_mbits: Option<u64>,
    /// The largest IP packet.
    pub mtu: Option<u32>,
    /// The clock of its NIC by which probes were stamped: `ptp0`. By the kernel where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
}

/// Where a lab's kernel and its clock come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LabKind {
    /// The machine's own, in wall-clock time.
    Host,
    /// A kernel that runs as a process, in virtual time.
    Virtual,
    /// Machines and switches that are there.
    Physical,
}

/// What computing costs on a lab's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Computing {
    /// As long as it takes on this machine.
    Real,
    /// Nothing: the clock stands still meanwhile, so times are those of the network alone.
    Free,
}

/// A kernel built for virtual labs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabKernel {
    /// Its source's version, `6.12.94`.
    pub version: String,
    /// A digest of its source, options and patch: results compare only between equal ones.
    pub key: String,
}

/// A machine; what the system does not tell is empty or 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub architecture: String,
    /// The distribution's name; empty inside a virtual lab, whose programs are those of the machine outside.
    pub distribution: String,
    /// The CPU's name.
    pub cpu: String,
    /// Logical CPUs this run could use.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
}
