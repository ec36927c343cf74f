//! The file format as serde types; its JSON Schema is generated from them.

use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hardware::Login;
use crate::spec::LinkSpec;

/// The JSON Schema of an inventory file.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(InventorySpec)
}

/// The machines of a physical lab, and what the network between them should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "an inventory: a mapping with `sites`"
)]
#[schemars(title = "longhaul inventory")]
pub struct InventorySpec {
    /// Its name: lower-case letters, digits and dashes, beginning with a letter. The file's name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// One line of what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The largest IP packet on the way between any two hosts, in bytes; 1500 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1280, max = 9000))]
    pub mtu: Option<u32>,
    /// The data centres.
    #[schemars(length(min = 1, max = 250))]
    pub sites: Vec<SiteSpec>,
    /// The links between them, as in a topology: what they should be, which is measured. If there are none, what is measured is only
    /// told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkSpec>,
    /// The switches between the hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switches: Vec<SwitchSpec>,
}

/// A data centre and its machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a site: a mapping with `name` and `hosts`"
)]
pub struct SiteSpec {
    /// Its name: lower-case letters, digits and dashes, beginning with a letter, at most 20 characters.
    pub name: String,
    /// What people call the place: `Ashburn, Virginia`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Degrees north of the equator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -90.0, max = 90.0))]
    pub latitude: Option<f64>,
    /// Degrees east of Greenwich.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -180.0, max = 180.0))]
    pub longitude: Option<f64>,
    /// Its machines; in results they are called by the site's name and their number, from 0.
    #[schemars(length(min = 1))]
    pub hosts: Vec<HostSpec>,
}

/// A machine: one of `address` and `interface` says by which way its data go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a host: a mapping with `launch`, and `address` or `interface`"
)]
pub struct HostSpec {
    /// How programs are started on it.
    pub launch: LaunchSpec,
    /// The address that its data go by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The interface that its data go by: the first global address of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The path of longhaul on it, of the same version as here. If absent, ssh copies this one into the user's cache there; the
    /// others expect it at the same path as here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<String>,
}

/// How programs are started on a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LaunchSpec {
    /// It is the machine that longhaul is started on.
    Local,
    /// By ssh, which has to log in without asking.
    Ssh(SshSpec),
    /// By Slurm's srun, in a job that is there.
    Srun(SrunSpec),
    /// By MPI's mpirun.
    Mpirun(MpirunSpec),
}

/// A login by ssh. What it does not say, the user's own configuration of ssh does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a login by ssh: a mapping with `destination`"
)]
pub struct SshSpec {
    /// `user@host`, `host` or a name of the configuration.
    pub destination: String,
    /// Not the usual port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// A file with a private key, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<PathBuf>,
    /// A file with the keys of hosts that are known, relative to this file, in place of the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// A configuration of ssh, relative to this file, in place of the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// The machine that the way leads over, as a destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump: Option<String>,
}

/// A node of a Slurm job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a node of a Slurm job: a mapping with `node`"
)]
pub struct SrunSpec {
    /// The node.
    pub node: String,
    /// The job that has it; the one that longhaul is started in if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u32>,
}

/// A host as MPI's launcher knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a host of MPI's: a mapping with `host`"
)]
pub struct MpirunSpec {
    /// The host.
    pub host: String,
}

/// A switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a switch: a mapping with `name` and `login`"
)]
pub struct SwitchSpec {
    /// Its name: lower-case letters, digits and dashes, beginning with a letter.
    pub name: String,
    /// How it is reached.
    pub login: Login,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written anew by `UPDATE_SCHEMA=1 cargo test -p longhaul-topologies schema`.
    #[test]
    fn the_schema_of_inventories_in_the_repository_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventory.schema.json");
        let current = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &current).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap_or_default(),
            current,
            "topologies/inventory.schema.json is out of date: run this test with UPDATE_SCHEMA=1"
        );
    }
}
