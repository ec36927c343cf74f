//! How a switch is reached.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::document::{Document, DocumentPath, InputError};
use crate::inventory::{spec::SshSpec, ssh};
use crate::units::serial::as_string;

/// How a switch is reached, by what it speaks: what a journal keeps to put it back. There is no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// Cumulus Linux by NVUE's REST interface.
    Nvue(NvueLogin),
    /// SONiC by ssh, as a user who becomes root without a password.
    Sonic(SshSpec),
}

/// How NVUE's REST interface is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NvueLogin {
    /// Where it is: `https://leaf1:8765`.
    pub url: SwitchUrl,
    /// As whom.
    pub user: String,
    /// Where the password is.
    pub password: PasswordSource,
    /// A PEM file with the certificate of the switch itself or of who signed it, or `unchecked`.
    pub certificate: Trust,
}

impl Login {
    /// Where the switch is, as people write it.
    pub fn address(&self) -> String {
        match self {
            Login::Nvue(nvue) => nvue.url.to_string(),
            Login::Sonic(ssh) => ssh.destination.clone(),
        }
    }

    /// The same with files from the root, once all of it holds; `folder` is where the file is that it stands in, at `path`.
    pub(crate) fn checked(
        self,
        document: &Document,
        folder: &Path,
        path: &DocumentPath,
    ) -> Result<Self, InputError> {
        let mut nvue = match self {
            Login::Sonic(spec) => {
                return ssh(document, folder, &spec, &path.key("sonic")).map(Login::Sonic);
            }
            Login::Nvue(nvue) => nvue,
        };
        // RFC 7617, section 2: a colon ends the user.
        if nvue.user.is_empty() || nvue.user.contains([':', '\n']) {
            let path = path.key("nvue").key("user");
            return Err(document.error(&path, "a user has a name without a colon"));
        }
        if let PasswordSource::File(file) = &mut nvue.password {
            *file = folder.join(&file);
        }
        if let Trust::File(file) = &mut nvue.certificate {
            *file = folder.join(&file);
        }
        Ok(Login::Nvue(nvue))
    }
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
            // Without repeating it.
            return Err(format!(
                "no user or password goes into a URL; write https://HOST:{NVUE_PORT}"
            ));
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
