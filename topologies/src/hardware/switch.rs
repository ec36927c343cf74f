//! What a switch should be set to, and how it is reached.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Priority;
use crate::document::{Document, DocumentPath, InputError};
use crate::units::ByteSize;
use crate::units::serial::as_string;

/// What a switch should be set to, and how it is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// What plans and logs call it.
    pub name: super::DeviceName,
    /// What it speaks.
    #[serde(default)]
    pub kind: SwitchKind,
    /// Where it is reached: `https://leaf1:8765`.
    pub url: SwitchUrl,
    /// As whom.
    pub user: String,
    /// Where the password is.
    pub password: PasswordSource,
    /// A PEM file with the certificate of the switch itself or of who signed it, or `unchecked`.
    pub certificate: Trust,
    /// The buffers, priorities, ECN and PFC that RoCE wants, all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roce: Option<SwitchRoce>,
    /// Whether packets take the way that is least busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive_routing: Option<AdaptiveRouting>,
    /// Where queues mark packets, by traffic class; of all ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ecn: Vec<EcnThresholds>,
}

impl Switch {
    /// How it is reached.
    pub fn login(&self) -> Login {
        Login {
            kind: self.kind,
            url: self.url.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
            certificate: self.certificate.clone(),
        }
    }
}

/// How a switch is reached: what a journal keeps to put it back. There is no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// What it speaks.
    pub kind: SwitchKind,
    /// Where it is.
    pub url: SwitchUrl,
    /// As whom.
    pub user: String,
    /// Where the password is.
    pub password: PasswordSource,
    /// Whom to believe that it is the switch.
    pub certificate: Trust,
}

/// What a switch speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SwitchKind {
    /// Cumulus Linux by NVUE's REST interface.
    #[default]
    Nvue,
}

/// Where a password is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PasswordSource {
    /// In this variable of the environment.
    Env(String),
    /// In this file, alone on its first line.
    File(PathBuf),
}

impl<'de> Deserialize<'de> for PasswordSource {
    /// A password in its place is refused without being repeated.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Source {
            Env(String),
            File(PathBuf),
        }

        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = PasswordSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`{env: NAME}` or `{file: PATH}`")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<PasswordSource, E> {
                Err(E::custom(
                    "a password has no place in this file: write `{env: NAME}` of a variable that holds it, or `{file: PATH}`",
                ))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<PasswordSource, E> {
                self.visit_str("")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<PasswordSource, A::Error> {
                let source = Source::deserialize(MapAccessDeserializer::new(map))?;
                Ok(match source {
                    Source::Env(name) => PasswordSource::Env(name),
                    Source::File(path) => PasswordSource::File(path),
                })
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// Whom to believe that it is the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The certificates in this file.
    File(PathBuf),
    /// Anybody, who then also learns the password.
    Anybody,
}

const UNCHECKED: &str = "unchecked";

impl FromStr for Trust {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Err("an empty text is no file".to_owned()),
            UNCHECKED => Ok(Trust::Anybody),
            file => Ok(Trust::File(file.into())),
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trust::File(file) => write!(f, "{}", file.display()),
            Trust::Anybody => f.write_str(UNCHECKED),
        }
    }
}

as_string!(Trust, schema: {
    "type": "string",
    "description": "A PEM file of certificates, or `unchecked`.",
    "examples": ["leaf1.pem", "unchecked"],
}, bare: "a file of certificates, or `unchecked`");

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
    pub interfaces: Vec<super::DeviceName>,
}

/// Where a queue marks packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcnThresholds {
    /// Which queues: those of this traffic class, 0 to 7.
    pub traffic_class: Priority,
    /// From here on some packets.
    pub min: ByteSize,
    /// From here on all packets.
    pub max: ByteSize,
    /// How many right below `max`, in percent; as the switch has it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub probability: Option<u8>,
}

/// Where a switch is reached: `https://` and a host, with or without a port; `http://` of this machine alone, for tunnels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchUrl {
    secure: bool,
    host: String,
    port: u16,
}

/// NVUE's ("API Port and Listening Address" in the documentation of Cumulus Linux).
const NVUE_PORT: u16 = 8765;

impl SwitchUrl {
    /// Whether the way there is encrypted.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// A name or an address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, as in a URL.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for SwitchUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| {
            format!(
                "{}: {why}; write https://HOST:{NVUE_PORT}",
                text.escape_debug()
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| refuse("no URL"))?;
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(refuse("not https")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err(refuse("no user or password goes there"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(|| refuse("no `]`"))?;
                (host, rest.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if host.is_empty() || !host.chars().all(is_plain) {
            return Err(refuse("no host, or more than a host and a port"));
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| refuse("no such port"))?,
            None => NVUE_PORT,
        };
        if !secure && !["localhost", "127.0.0.1", "::1"].contains(&host) {
            return Err(refuse(
                "without encryption anybody on the way could read the password",
            ));
        }
        Ok(SwitchUrl {
            secure,
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for SwitchUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

as_string!(SwitchUrl, schema: {
    "type": "string",
    "description": "https:// and a host, with or without a port.",
    "pattern": "^https?://[^/@]+/?$",
    "examples": ["https://leaf1:8765"],
}, bare: "a URL such as `https://leaf1:8765`");

/// What the types alone do not refuse.
pub(super) fn check(
    document: &Document,
    path: &DocumentPath,
    switch: &Switch,
) -> Result<(), InputError> {
    // RFC 7617, section 2: a colon ends the user.
    if switch.user.is_empty() || switch.user.contains([':', '\n']) {
        return Err(document.error(&path.key("user"), "a user has a name without a colon"));
    }
    for (index, ecn) in switch.ecn.iter().enumerate() {
        let here = path.key("ecn").index(index);
        if ecn.min >= ecn.max {
            return Err(document.error(&here.key("min"), "min is not below max"));
        }
        if ecn.probability.is_some_and(|percent| percent > 100) {
            return Err(document.error(
                &here.key("probability"),
                "a probability is 0 to 100 percent",
            ));
        }
        let earlier = &switch.ecn[..index];
        if earlier
            .iter()
            .any(|other| other.traffic_class == ecn.traffic_class)
        {
            let message = "this traffic class is here a second time";
            return Err(document.error(&here.key("traffic_class"), message));
        }
    }
    Ok(())
}
