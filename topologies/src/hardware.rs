//! What NICs and switches should be set to: the file of `longhaul hardware plan`, and what a physical lab's inventory can hold.
//!
//! ```yaml
//! nics:
//!   - name: mlx5_0                # an RDMA device, an interface or a PCI address
//!     traffic_class: 106
//!     pfc: [3]
//!     congestion: {rp_time_reset: 300us, rp_ai_rate: 5Mbit, np_cnp_dscp: 48}
//! switches:
//!   - name: leaf1
//!     login: {nvue: {url: https://leaf1:8765, user: longhaul, password: {env: LEAF1_PASSWORD}, certificate: leaf1.pem}}
//!     roce: lossless
//!     adaptive_routing: {state: enabled, interfaces: [swp1, swp2]}
//!     ecn: [{traffic_class: 3, min: 150000, max: 1500000}]
//! ```
//!
//! What is not named is left as it is. A switch without a login has that of the inventory that `inventory` names. A password is never in the file: it is in a variable of the environment, or in a file of its own.

mod buffers;
mod congestion;
mod controller;
mod dscp;
mod login;
mod switch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{Document, DocumentPath, InputError};
use crate::inventory::Inventory;
use crate::units::serial::as_string;

pub use buffers::{Buffer, MOST_BUFFERS};
pub use congestion::{Parameter, Unit};
pub use controller::{Controller, Firmware, Label};
pub use dscp::{Dscp, Mark, TrustMode};
pub use login::{Login, NvueLogin, PasswordSource, SwitchUrl, Trust};
pub use switch::{AdaptiveRouting, EcnThresholds, ProfileName, State, Switch, SwitchRoce};

/// What NICs and switches should be set to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A physical lab's inventory, relative to this file, whose switches these are: how they are reached stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<PathBuf>,
    /// NICs of this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<Nic>,
    /// Switches that this machine reaches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switches: Vec<Switch>,
}

/// What a NIC should be set to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// Its RDMA device (`mlx5_0`), interface (`enp1s0np0`) or PCI address (`0000:01:00.0`).
    pub name: DeviceName,
    /// Which RoCE connections made by librdmacm speak unless they ask for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roce: Option<Roce>,
    /// The type of service of connections made by librdmacm unless they ask for another: DSCP × 4 + ECN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_of_service: Option<u8>,
    /// The traffic class of all RoCE packets, over what programs ask for: DSCP × 4 + ECN. Takes the vendor's driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_class: Option<u8>,
    /// What the priority of packets is taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustMode>,
    /// The priority of these DSCPs, where those are trusted; of all others an eighth of their number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dscp: BTreeMap<Dscp, Priority>,
    /// The marks of a packet that its priority is taken from, the first that has one. Takes a driver with `dcb apptrust`, which ConnectX's is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_order: Option<Vec<Mark>>,
    /// How the port's memory for packets that come in is divided, from the first buffer on; those that are not named have nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buffers: Vec<Buffer>,
    /// The priorities on which priority flow control pauses; all others do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pfc: Option<BTreeSet<Priority>>,
    /// The priorities on which marked packets are answered and answers slow down; all others do not. Takes the vendor's driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecn: Option<BTreeSet<Priority>>,
    /// Which packets it stamps by its own clock, for all programs; longhaul's probes then go by that clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamps: Option<Timestamps>,
    /// Parameters of the NIC's congestion control, by the kernel's names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub congestion: BTreeMap<Parameter, Quantity>,
    /// How lost packets are sent again. Takes the vendor's `mlxreg` or `mstreg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retransmission: Option<Retransmission>,
    /// What its firmware is configured to, from its next reset on. Takes the vendor's `mlxconfig` or `mstconfig`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// The congestion controls that its firmware has, by the names that it tells, or by the numbers of their slots. Takes `mlxreg` or `mstreg`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub controllers: BTreeMap<Label, Controller>,
}

/// Which packets a NIC stamps by its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timestamps {
    /// None.
    None,
    /// Those that it sends, of programs that ask for it.
    Sent,
    /// Those, and all that it receives: not every NIC can.
    All,
}

/// Which RoCE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Roce {
    /// Over Ethernet alone.
    V1,
    /// Over UDP: what can be routed, and so what WANs take.
    V2,
}

/// What ConnectX calls RoCE accelerations; fields of its register ROCE_ACCL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retransmission {
    /// Timeouts that adapt to what the path does (`roce_adp_retrans_en`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<State>,
    /// A window on what is under way (`roce_tx_window_en`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<State>,
    /// A slow beginning after a loss (`roce_slow_restart_en`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_restart: Option<State>,
    /// Only what was lost is sent again, whatever the peer says it can do (`selective_repeat_forced_en`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selective_repeat: Option<State>,
}

impl Retransmission {
    /// The register's fields and what they should be.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, State)> {
        [
            ("roce_adp_retrans_en", self.adaptive),
            ("roce_tx_window_en", self.window),
            ("roce_slow_restart_en", self.slow_restart),
            ("selective_repeat_forced_en", self.selective_repeat),
        ]
        .into_iter()
        .filter_map(|(field, state)| Some((field, state?)))
    }
}

/// An 802.1p priority, 0 to 7.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(#[schemars(range(max = 7))] u8);

impl Priority {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Priority> {
        (0..=7).map(Priority)
    }

    /// As a number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0..=7 => Ok(Priority(number)),
            _ => Err(format!("{number} is not a priority: there are 0 to 7")),
        }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> u8 {
        priority.0
    }
}

/// The name of a device, which becomes part of paths below /sys: letters, digits and `_ . : -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(String);

/// The longest that the kernel gives an RDMA device (IB_DEVICE_NAME_MAX, rdma/ib_verbs.h).
const LONGEST_DEVICE_NAME: usize = 64;

impl DeviceName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
        let refuse = |why: &str| Err(format!("`{}` is no device: {why}", name.escape_debug()));
        if name.is_empty() || name.len() >= LONGEST_DEVICE_NAME {
            refuse("its name has 1 to 63 characters")
        } else if !name.chars().all(is_plain) || name.chars().all(|c| c == '.') {
            refuse(
                "its name has letters, digits, `_`, `.`, `:` and `-`, as mlx5_0 and 0000:01:00.0 have",
            )
        } else {
            Ok(DeviceName(name.to_owned()))
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

as_string!(DeviceName, schema: {
    "type": "string",
    "description": "An RDMA device, an interface or a PCI address.",
    "pattern": "^[A-Za-z0-9_.:-]{1,63}$",
    "examples": ["mlx5_0", "enp1s0np0", "0000:01:00.0"],
}, bare: "the name of a device such as `mlx5_0`");

/// What a parameter should be, as it was written: which unit it takes is the parameter's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity(String);

impl Quantity {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Quantity(text.trim().to_owned()))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

as_string!(Quantity, schema: {
    "type": ["string", "integer"],
    "description": "A number with the parameter's unit; a bare one where it has none.",
    "examples": ["300us", "5Mbit", 48],
}, bare: "a number with its unit such as `300us`");

/// Reads and checks the settings that `document` holds; files are relative to `folder`, where its own is.
///
/// # Errors
/// The first thing that is wrong, with its place and what would be right; of the inventory, too.
pub fn settings(document: &Document, folder: &Path) -> Result<Settings, InputError> {
    let mut settings: Settings = document.parse()?;
    let root = DocumentPath::root();
    if settings.nics.is_empty() && settings.switches.is_empty() {
        return Err(document
            .error(&root, "there is nothing to set here")
            .with_help("name NICs under `nics:` or switches under `switches:`"));
    }
    once(
        document,
        &root.key("nics"),
        settings.nics.iter().map(|nic| nic.name.as_str()),
    )?;
    once(
        document,
        &root.key("switches"),
        settings.switches.iter().map(|switch| switch.name.as_str()),
    )?;
    for (index, nic) in settings.nics.iter().enumerate() {
        let path = root.key("nics").index(index);
        congestion::check(document, &path, nic)?;
        controller::check(document, &path, nic)?;
        dscp::check(document, &path, nic)?;
        buffers::check(document, &path, nic)?;
    }
    let inventory = match &settings.inventory {
        Some(file) => Some(Inventory::read(&folder.join(file))?),
        None => None,
    };
    for (index, switch) in settings.switches.iter_mut().enumerate() {
        let path = root.key("switches").index(index);
        switch.login = Some(match (switch.login.take(), &inventory) {
            (Some(login), _) => login.checked(document, folder, &path.key("login"))?,
            (None, Some(inventory)) => login(document, &path, switch, inventory)?,
            (None, None) => {
                return Err(document
                    .error(&path, "how is this switch reached?")
                    .with_help("write its `login`, or name the `inventory` at the top of the file that has it"));
            }
        });
        switch::check(document, &path, switch)?;
    }
    Ok(settings)
}

/// How the inventory says that `switch` is reached.
fn login(
    document: &Document,
    path: &DocumentPath,
    switch: &Switch,
    inventory: &Inventory,
) -> Result<Login, InputError> {
    let name = switch.name.as_str();
    let mut known = inventory.switches.iter();
    if let Some(known) = known.find(|known| known.name == name) {
        return Ok(known.login.clone());
    }
    let names: Vec<&str> = inventory
        .switches
        .iter()
        .map(|known| known.name.as_str())
        .collect();
    let message = format!("the inventory has no switch `{name}`");
    let help = match &names[..] {
        [] => "it has none: name them there under `switches:`, or write this one's `login` here"
            .to_owned(),
        names => format!("there are: {}", names.join(", ")),
    };
    Err(document.error(&path.key("name"), message).with_help(help))
}

/// Refuses a second entry of one name: which of the two counts would be a guess.
fn once<'a>(
    document: &Document,
    list: &DocumentPath,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), InputError> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            let path = list.index(index).key("name");
            let message = format!("{name} is here a second time");
            return Err(document
                .error(&path, message)
                .with_help("write all its settings in one entry"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
