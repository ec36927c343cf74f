//! Which congestion control a ConnectX's firmware runs: DCQCN alone, or one of several in slots, among them that which goes by round-trip times.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Nic, State};
use crate::document::{Document, DocumentPath, InputError};
use crate::units::serial::as_string;

/// What the NIC's firmware is configured to, from its next reset on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping such as `{legacy_dcqcn: disabled}`"
)]
pub struct Firmware {
    /// DCQCN and nothing else; what goes by round-trip times takes `disabled` (`ROCE_CC_LEGACY_DCQCN`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_dcqcn: Option<State>,
    /// Whether a congestion control that is loaded into the NIC may run (`USER_PROGRAMMABLE_CC`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programmable_congestion_control: Option<State>,
    /// Whether RDMA may be spread over paths (`ROCE_ADAPTIVE_ROUTING_EN`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive_routing: Option<State>,
}

impl Firmware {
    /// The names that `mlxconfig` has for them, and what they should be; what others take comes first.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, State)> {
        [
            ("ROCE_CC_LEGACY_DCQCN", self.legacy_dcqcn),
            ("USER_PROGRAMMABLE_CC", self.programmable_congestion_control),
            ("ROCE_ADAPTIVE_ROUTING_EN", self.adaptive_routing),
        ]
        .into_iter()
        .filter_map(|(field, state)| Some((field, state?)))
    }
}

/// What one of the firmware's congestion controls should be set to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping such as `{state: enabled, parameters: {ALPHA: 6553}}`"
)]
pub struct Controller {
    /// Whether it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Its parameters, by the names that the firmware tells, or by their numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<Label, u32>,
}

/// What the firmware calls a congestion control or one of its parameters, or its number there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(String);

/// The register's text has 220 bytes, with a description behind the name (mstflint, register_access_table.adb, `ppcc_reg_ext`).
const LONGEST_LABEL: usize = 63;

impl Label {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it means the one with this number, or with this name, which nobody spells the same way.
    pub fn means(&self, number: u16, name: Option<&str>) -> bool {
        match self.0.parse::<u16>() {
            Ok(own) => own == number,
            Err(_) => name.is_some_and(|name| name.eq_ignore_ascii_case(&self.0)),
        }
    }
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
        match (1..=LONGEST_LABEL).contains(&text.len()) && text.chars().all(is_plain) {
            true => Ok(Label(text.to_owned())),
            false => Err(format!(
                "`{}` is no name that firmware has: 1 to {LONGEST_LABEL} plain characters, or a number",
                text.escape_debug()
            )),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

as_string!(Label, schema: {
    "type": "string",
    "description": "A name that the NIC's firmware tells (`longhaul hardware controllers`), or a number.",
    "pattern": "^[ -~]{1,63}$",
    "examples": ["ZTR_RTTCC", "15"],
}, bare: "a name that the firmware tells, or a number");

/// Refuses what the firmware would.
pub(super) fn check(
    document: &Document,
    nic: &DocumentPath,
    settings: &Nic,
) -> Result<(), InputError> {
    let firmware = settings.firmware.unwrap_or_default();
    let both = [
        firmware.legacy_dcqcn,
        firmware.programmable_congestion_control,
    ];
    // "Valid only if ROCE_CC_LEGACY_DCQCN is FALSE" (mstflint, mlxconfig_host.db).
    if both == [Some(State::Enabled); 2] {
        let path = nic.key("firmware").key("programmable_congestion_control");
        return Err(document
            .error(&path, "nothing else runs beside legacy_dcqcn")
            .with_help("disable one of the two"));
    }
    for (label, controller) in &settings.controllers {
        if controller.state.is_none() && controller.parameters.is_empty() {
            let path = nic.key("controllers").key(label.as_str());
            return Err(document
                .error(&path, "there is nothing to set here")
                .with_help("write its `state`, `parameters` or both"));
        }
    }
    Ok(())
}
