//! Which priority a NIC gives packets: by what it trusts, and by which map.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Nic, Priority};
use crate::document::{Document, DocumentPath, InputError};
use crate::units::serial::as_string;

/// What a NIC takes a packet's priority from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrustMode {
    /// From its VLAN tag, which does not cross a router.
    Pcp,
    /// From its DSCP: what RoCE v2 over routers takes.
    Dscp,
}

/// A mark of a packet that a priority can be taken from, as `dcb apptrust` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Its Ethertype.
    Ethtype,
    /// Its port, if it is TCP's or SCTP's.
    StreamPort,
    /// Its port, if it is UDP's or DCCP's.
    DgramPort,
    /// Its port, whatever the transport.
    Port,
    /// Its DSCP.
    Dscp,
    /// The priority in its VLAN tag.
    Pcp,
}

impl Mark {
    /// All of them.
    pub const ALL: [Mark; 6] = [
        Mark::Ethtype,
        Mark::StreamPort,
        Mark::DgramPort,
        Mark::Port,
        Mark::Dscp,
        Mark::Pcp,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Mark::Ethtype => "ethtype",
            Mark::StreamPort => "stream-port",
            Mark::DgramPort => "dgram-port",
            Mark::Port => "port",
            Mark::Dscp => "dscp",
            Mark::Pcp => "pcp",
        }
    }
}

/// A differentiated services code point, 0 to 63 (RFC 2474).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dscp(u8);

impl Dscp {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Dscp> {
        (0..=63).map(Dscp)
    }

    /// As a number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The priority that it has if nothing else is said: its class selector (RFC 2474, section 4.2.2), as `mlnx_qos --trust=dscp` has it.
    fn class(self) -> Priority {
        Priority(self.0 >> 3)
    }
}

impl TryFrom<u16> for Dscp {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        match u8::try_from(number) {
            Ok(number @ 0..=63) => Ok(Dscp(number)),
            _ => Err(format!("{number} is no DSCP: there are 0 to 63")),
        }
    }
}

impl FromStr for Dscp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().parse::<u16>();
        let number = number.map_err(|_| {
            let text = text.escape_debug();
            format!("`{text}` is no DSCP: there are 0 to 63")
        })?;
        Dscp::try_from(number)
    }
}

impl fmt::Display for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

as_string!(Dscp, schema: {
    "type": ["string", "integer"],
    "description": "A DSCP, 0 to 63.",
    "pattern": "^[0-9]{1,2}$",
    "examples": [26],
}, bare: "a DSCP, 0 to 63");

impl Nic {
    /// The priority of every DSCP; empty where DSCPs do not count. `None` if nothing is said of it.
    pub fn priorities(&self) -> Option<BTreeMap<Dscp, Priority>> {
        let priority = |dscp: Dscp| self.dscp.get(&dscp).copied().unwrap_or(dscp.class());
        match self.trust? {
            TrustMode::Pcp => Some(BTreeMap::new()),
            TrustMode::Dscp => Some(Dscp::all().map(|dscp| (dscp, priority(dscp))).collect()),
        }
    }
}

/// A map that would not count is refused, and so is an order that the kernel does not take.
pub(super) fn check(document: &Document, path: &DocumentPath, nic: &Nic) -> Result<(), InputError> {
    let order = nic.trust_order.as_deref().unwrap_or_default();
    let twice = |(index, mark)| order[..index].contains(mark);
    if let Some(index) = order.iter().enumerate().position(twice) {
        let path = path.key("trust_order").index(index);
        return Err(document.error(&path, "this mark is here a second time"));
    }
    if nic.dscp.is_empty() || nic.trust == Some(TrustMode::Dscp) {
        return Ok(());
    }
    Err(document
        .error(
            &path.key("dscp"),
            "this map counts only where the NIC trusts DSCPs",
        )
        .with_help("write `trust: dscp` beside it"))
}
