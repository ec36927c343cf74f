//! What a switch should be set to.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeviceName, Login, Priority};
use crate::document::{Document, DocumentPath, InputError};
use crate::units::ByteSize;
use crate::units::serial::as_string;

/// What a switch should be set to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// What plans and logs call it.
    pub name: DeviceName,
    /// How it is reached; as the inventory says if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// The buffers, priorities, ECN and PFC that RoCE wants, all at once. Of NVUE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roce: Option<SwitchRoce>,
    /// Whether packets take the way that is least busy. Of NVUE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive_routing: Option<AdaptiveRouting>,
    /// Where queues mark packets; of all ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ecn: Vec<EcnThresholds>,
}

impl Switch {
    /// How it is reached.
    ///
    /// # Panics
    /// If it was not checked by [`settings`](super::settings).
    pub fn login(&self) -> &Login {
        let login = self.login.as_ref();
        login.expect("settings are checked when they are read")
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// What RoCE the switch is set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SwitchRoce {
    /// None.
    Disabled,
    /// With ECN.
    Lossy,
    /// With ECN and PFC.
    Lossless,
    /// With ECN and PFC, and one ingress pool for all traffic.
    LosslessSingleIpool,
}

/// Whether packets take the way that is least busy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveRouting {
    /// Of the switch.
    pub state: State,
    /// The ports that are set to the same; it takes both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<DeviceName>,
}

/// Where a queue marks packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcnThresholds {
    /// Which queues: those of this traffic class, 0 to 7. Of NVUE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_class: Option<Priority>,
    /// Which queues: those with this profile of WRED. Of SONiC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    /// From here on some packets.
    pub min: ByteSize,
    /// From here on all packets.
    pub max: ByteSize,
    /// How many right below `max`, in percent; as the switch has it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub probability: Option<u8>,
}

/// The name of a profile of WRED, as SONiC takes it (sonic-wred-profile.yang).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileName(String);

/// The longest that SONiC takes.
const LONGEST_PROFILE: usize = 32;

impl ProfileName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProfileName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        match begins && name.len() <= LONGEST_PROFILE && name.chars().all(is_plain) {
            true => Ok(ProfileName(name.to_owned())),
            false => Err(format!(
                "`{}` is no profile: its name has 1 to {LONGEST_PROFILE} letters, digits, `-` and `_`, as AZURE_LOSSLESS has",
                name.escape_debug()
            )),
        }
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

as_string!(ProfileName, schema: {
    "type": "string",
    "description": "A profile of WRED.",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$",
    "examples": ["AZURE_LOSSLESS"],
}, bare: "a profile such as `AZURE_LOSSLESS`");

/// What the types alone do not refuse, of a switch whose login is known.
pub(super) fn check(
    document: &Document,
    path: &DocumentPath,
    switch: &Switch,
) -> Result<(), InputError> {
    let is_sonic = matches!(switch.login(), Login::Sonic(_));
    let of_nvue = [
        ("roce", switch.roce.is_some()),
        ("adaptive_routing", switch.adaptive_routing.is_some()),
    ];
    if let Some((key, _)) = of_nvue.iter().find(|(_, is_set)| is_sonic && *is_set) {
        return Err(document
            .error(&path.key(*key), "a switch with SONiC has no such setting")
            .with_help("leave it out; of SONiC only `ecn` is set here"));
    }
    for (index, ecn) in switch.ecn.iter().enumerate() {
        let here = path.key("ecn").index(index);
        let (named, other) = match is_sonic {
            true => (ecn.profile.is_some(), ecn.traffic_class.is_some()),
            false => (ecn.traffic_class.is_some(), ecn.profile.is_some()),
        };
        if !named || other {
            let (message, help) = match is_sonic {
                true => (
                    "SONiC marks by profiles of WRED",
                    "write `profile: AZURE_LOSSLESS` or another that the switch has, and no `traffic_class`",
                ),
                false => (
                    "NVUE marks by traffic class",
                    "write `traffic_class: 3` or another from 0 to 7, and no `profile`",
                ),
            };
            return Err(document.error(&here, message).with_help(help));
        }
        if ecn.min >= ecn.max {
            return Err(document.error(&here.key("min"), "min is not below max"));
        }
        if ecn.probability.is_some_and(|percent| percent > 100) {
            return Err(document.error(
                &here.key("probability"),
                "a probability is 0 to 100 percent",
            ));
        }
        let same = |other: &EcnThresholds| {
            other.traffic_class == ecn.traffic_class && other.profile == ecn.profile
        };
        if switch.ecn[..index].iter().any(same) {
            let message = "these queues are here a second time";
            return Err(document.error(&here, message));
        }
    }
    Ok(())
}
