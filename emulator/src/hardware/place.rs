//! Where a setting lies, what it is, and what reads and writes it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use longhaul_topologies::hardware::{Login, Timestamps};
use longhaul_topologies::units::ByteSize;
use serde::{Deserialize, Serialize};

use super::controller::{Controller, Parameter};
use super::firmware::Boot;
use super::switch::SwitchError;

/// Where a setting lies, or several that are set at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Place {
    /// A file of the kernel's with one value.
    Attribute {
        /// Where it is.
        path: PathBuf,
    },
    /// The file of a ConnectX's traffic class, which reads differently from what is written.
    TrafficClass {
        /// Where it is.
        path: PathBuf,
    },
    /// The priorities on which an interface pauses, by netlink.
    Pfc {
        /// Of which interface.
        interface: String,
    },
    /// Which priorities DSCPs have at an interface, by netlink; `none` where it trusts VLAN tags.
    Dscp {
        /// At which interface.
        interface: String,
    },
    /// Which of a packet's marks an interface takes its priority from, by netlink: `dscp,pcp`.
    TrustOrder {
        /// Which interface.
        interface: String,
    },
    /// Which packets an interface's NIC stamps by its clock: `on all`.
    Timestamps {
        /// Of which interface.
        interface: String,
    },
    /// How the memory of an interface's port is divided among priorities, by netlink.
    Buffers {
        /// Of which interface.
        interface: String,
    },
    /// A field of the firmware's register ROCE_ACCL, by the vendor's tool.
    Register {
        /// Of which PCI function.
        pci: String,
        /// Which field.
        field: String,
    },
    /// What a NIC's firmware is configured to, by the vendor's tool.
    Firmware {
        /// Of which PCI function.
        pci: String,
        /// What `mlxconfig` calls it.
        name: String,
        /// Only that of the next start can be written.
        boot: Boot,
    },
    /// Whether one of the firmware's congestion controls may be used, by the vendor's tool.
    Controller {
        /// Of which PCI function.
        pci: String,
        /// In which slot.
        slot: u8,
    },
    /// A parameter of one of the firmware's congestion controls, by the vendor's tool.
    ControllerParameter {
        /// Of which PCI function.
        pci: String,
        /// In which slot.
        slot: u8,
        /// Which one of it.
        index: u16,
    },
    /// Settings of a switch.
    Switch {
        /// What it is called.
        name: String,
        /// How it is reached.
        login: Login,
        /// Which settings: `/qos/roce/mode`.
        paths: Vec<String>,
        /// What they are part of that was not there: `/qos/roce`. It goes when they do, as an empty one counts for something, too.
        absent: Vec<String>,
    },
}

/// The value of a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Of one setting.
    Text(String),
    /// Of a switch's settings, by their paths; `null` where one is not set.
    Config(Config),
}

/// A switch's settings by their paths; `null` where one is not set.
pub type Config = BTreeMap<String, serde_json::Value>;

/// The setting at `path` of a switch's whole configuration; `null` if there is none.
pub fn at<'a>(config: &'a serde_json::Value, path: &str) -> &'a serde_json::Value {
    const NULL: &serde_json::Value = &serde_json::Value::Null;
    path.split('/')
        .filter(|key| !key.is_empty())
        .try_fold(config, |value, key| value.get(key))
        .unwrap_or(NULL)
}

/// A traffic class that is not set.
pub const UNSET: &str = "unset";
/// No priority at all.
pub const NONE: &str = "none";

/// Reads and writes places.
pub trait Access {
    /// What is set at `place`.
    ///
    /// # Errors
    /// If it is not there, or this user may not.
    fn read(&mut self, place: &Place) -> Result<Value, AccessError>;

    /// Sets `place` to `value`. `note` is told what somebody who finds this half-done has to know.
    ///
    /// # Errors
    /// If it is not there, this user may not, or it is refused.
    fn write(
        &mut self,
        place: &Place,
        value: &Value,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), AccessError>;

    /// Whether the NIC of `interface` can stamp these packets.
    ///
    /// # Errors
    /// If its driver does not tell.
    fn can_stamp(&mut self, interface: &str, which: Timestamps) -> Result<bool, AccessError>;

    /// How much memory the port of `interface` has for buffers.
    ///
    /// # Errors
    /// If its driver does not tell.
    fn buffers_total(&mut self, interface: &str) -> Result<ByteSize, AccessError>;

    /// The congestion controls that the firmware of the NIC at `pci` has.
    ///
    /// # Errors
    /// If there is nothing to ask it by, or it does not tell.
    fn controllers(&mut self, pci: &str) -> Result<Vec<Controller>, AccessError>;

    /// The parameters of the one in `slot`.
    ///
    /// # Errors
    /// As [`controllers`](Self::controllers).
    fn parameters(&mut self, pci: &str, slot: u8) -> Result<Vec<Parameter>, AccessError>;

    /// A switch's whole configuration as it counts, defaults included.
    ///
    /// # Errors
    /// If the switch does not answer, or not with that.
    fn effective(&mut self, name: &str, login: &Login) -> Result<serde_json::Value, AccessError>;
}

/// Why a place could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It is not there.
    #[error("{place} is not there: {way_out}")]
    Missing {
        /// Which.
        place: String,
        /// What brings it.
        way_out: String,
    },
    /// This user may not.
    #[error("this user may not touch {place}: run it as root")]
    Denied {
        /// Which.
        place: String,
    },
    /// Anything else.
    #[error("{place}: {reason}")]
    Failed {
        /// Which.
        place: String,
        /// What the kernel or the tool said.
        reason: String,
    },
    /// A switch did not do it.
    #[error("switch {switch}: {source}")]
    Switch {
        /// Which, and where.
        switch: String,
        /// Why.
        #[source]
        source: SwitchError,
    },
}

impl AccessError {
    /// Why the switch called `name` did not do it.
    pub fn of_switch(name: &str, login: &Login, source: impl Into<SwitchError>) -> Self {
        AccessError::Switch {
            switch: format!("{name} ({})", login.address()),
            source: source.into(),
        }
    }
}

impl Place {
    /// By what it is written.
    pub fn how(&self) -> &'static str {
        match self {
            Place::Attribute { path } if path.starts_with("/sys/kernel/debug") => "debugfs",
            Place::Attribute { path } if path.starts_with("/sys/kernel/config") => "configfs",
            Place::Attribute { .. } | Place::TrafficClass { .. } => "sysfs",
            Place::Pfc { .. }
            | Place::Dscp { .. }
            | Place::TrustOrder { .. }
            | Place::Buffers { .. } => "dcb netlink",
            Place::Timestamps { .. } => "SIOCSHWTSTAMP",
            Place::Firmware { .. } => "mlxconfig or mstconfig",
            Place::Register { .. }
            | Place::Controller { .. }
            | Place::ControllerParameter { .. } => "mlxreg or mstreg",
            Place::Switch { login, .. } => match login {
                Login::Nvue(_) => "NVUE revision",
                Login::Sonic(_) => "SONiC patch",
            },
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Attribute { path } | Place::TrafficClass { path } => {
                write!(f, "{}", path.display())
            }
            Place::Pfc { interface } => write!(f, "PFC of {interface}"),
            Place::Dscp { interface } => write!(f, "priorities by DSCP of {interface}"),
            Place::TrustOrder { interface } => write!(f, "order of trust of {interface}"),
            Place::Timestamps { interface } => write!(f, "stamping of {interface}"),
            Place::Buffers { interface } => write!(f, "buffers of {interface}"),
            Place::Register { pci, field } => write!(f, "ROCE_ACCL.{field} of {pci}"),
            Place::Firmware { pci, name, .. } => write!(f, "{name} in the firmware of {pci}"),
            Place::Controller { pci, slot } => write!(f, "PPCC slot {slot} of {pci}"),
            Place::ControllerParameter { pci, slot, index } => {
                write!(f, "PPCC slot {slot} parameter {index} of {pci}")
            }
            Place::Switch { name, paths, .. } => write!(f, "{} of {name}", paths.join(", ")),
        }
    }
}

impl Value {
    /// Whether a switch or the kernel would mean the same by both: a switch may answer a number as text.
    pub fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Text(one), Value::Text(other)) => one == other,
            (Value::Config(one), Value::Config(other)) => {
                one.len() == other.len()
                    && one
                        .iter()
                        .zip(other)
                        .all(|((path, value), (other_path, other))| {
                            path == other_path && plain(value) == plain(other)
                        })
            }
            _ => false,
        }
    }
}

/// A setting of a switch as text.
pub fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => UNSET.to_owned(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.pad(text),
            Value::Config(config) => {
                let parts = config.iter();
                let parts = parts.map(|(path, value)| format!("{path}={}", plain(value)));
                f.pad(&parts.collect::<Vec<_>>().join(" "))
            }
        }
    }
}
