//! The environment's variables that are this plugin's own.

use std::time::Duration;

use longhaul_topologies::units::{Rate, TimeSpan};
use longhaul_workloads::congestion::{Distance, Law};
use longhaul_workloads::message::{MOST_PATHS, PathChoice, Paths, Recovery};
use longhaul_workloads::world::MessageOptions;

/// How bytes are moved between two hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Transport {
    /// By longhaul's message transport.
    #[default]
    Message,
    /// By kernel TCP.
    Tcp,
}

/// All of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// What is used if the peer wants it as well; TCP otherwise.
    pub(crate) transport: Transport,
    /// The congestion control of what this host sends.
    pub(crate) law: Law,
    /// Paths of a queue pair.
    pub(crate) paths: u8,
    /// The rate of the interfaces, where it is not what the system tells.
    pub(crate) line_rate: Option<Rate>,
    /// After so long without a word, a peer is given up.
    pub(crate) patience: Duration,
    /// What NCCL is told a message takes to get there; NCCL's own figure if absent.
    pub(crate) latency: Option<Duration>,
}

/// A variable that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{name}={value}: {reason}")]
pub(crate) struct SettingError {
    name: &'static str,
    value: String,
    reason: String,
}

const TRANSPORT: &str = "LONGHAUL_NCCL_TRANSPORT";
const CONGESTION_CONTROL: &str = "LONGHAUL_NCCL_CONGESTION_CONTROL";
const PATHS: &str = "LONGHAUL_NCCL_PATHS";
const LINE_RATE: &str = "LONGHAUL_NCCL_LINE_RATE";
const PATIENCE: &str = "LONGHAUL_NCCL_PATIENCE";
const LATENCY: &str = "LONGHAUL_NCCL_LATENCY";

/// Longer than any WAN is down before its routes change, shorter than NCCL's users wait.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);

impl Settings {
    /// As the environment has them.
    pub(crate) fn from_environment() -> Result<Self, SettingError> {
        Self::from(|name| std::env::var(name).ok())
    }

    /// As `variable` has them.
    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let setting = Reader(&variable);
        let span = |text: &str| {
            let span: TimeSpan = text.parse().map_err(|error| format!("{error}"))?;
            Ok(span.duration())
        };
        Ok(Self {
            transport: setting.read(TRANSPORT, transport)?.unwrap_or_default(),
            law: setting
                .read(CONGESTION_CONTROL, law)?
                .unwrap_or(Law::Distance(Distance::default())),
            paths: setting.read(PATHS, paths)?.unwrap_or(1),
            line_rate: setting.read(LINE_RATE, |text| {
                text.parse().map_err(|error| format!("{error}"))
            })?,
            patience: setting.read(PATIENCE, span)?.unwrap_or(DEFAULT_PATIENCE),
            latency: setting.read(LATENCY, span)?,
        })
    }

    /// What queue pairs are opened with, on an interface of that rate.
    pub(crate) fn message_options(&self, line_rate: Option<Rate>) -> MessageOptions {
        MessageOptions {
            law: self.law.clone(),
            line_rate: self.line_rate.or(line_rate),
            recovery: Recovery::SelectiveRepeat,
            erasure: None,
            paths: Paths {
                choice: match self.paths {
                    1 => PathChoice::Hash,
                    _ => PathChoice::Adaptive,
                },
                count: self.paths,
            },
            mtu: None,
            hops: 0,
            credits: None,
            playout: None,
            ports: None,
        }
    }
}

/// Reads variables; an empty one counts as not set.
struct Reader<'a, V>(&'a V);

impl<V: Fn(&str) -> Option<String>> Reader<'_, V> {
    fn read<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingError> {
        let Some(value) = (self.0)(name).filter(|value| !value.trim().is_empty()) else {
            return Ok(None);
        };
        match parse(value.trim()) {
            Ok(read) => Ok(Some(read)),
            Err(reason) => Err(SettingError {
                name,
                value,
                reason,
            }),
        }
    }
}

fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "message" => Ok(Transport::Message),
        "tcp" => Ok(Transport::Tcp),
        _ => Err("write `message` or `tcp`".to_owned()),
    }
}

/// A bare name, or a mapping of a name to its parameters as JSON.
fn law(text: &str) -> Result<Law, String> {
    let json = match text.starts_with('{') {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    };
    serde_json::from_str(&json).map_err(|error| error.to_string())
}

fn paths(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(paths @ 1..=MOST_PATHS) => Ok(paths),
        _ => Err(format!("write a number from 1 to {MOST_PATHS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Settings, String> {
        Settings::from(|asked| (asked == name).then(|| value.to_owned()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_variables_the_message_transport_runs_distance() {
        let settings = Settings::from(|_| None).unwrap();
        assert_eq!(settings.transport, Transport::Message);
        assert_eq!(settings.law.name(), "distance");
        assert_eq!(settings.message_options(None).paths, Paths::default());
        assert_eq!(read(TRANSPORT, " "), Ok(settings));
    }

    #[test]
    fn each_variable_sets_its_own() {
        assert_eq!(read(TRANSPORT, "tcp").unwrap().transport, Transport::Tcp);
        assert_eq!(read(CONGESTION_CONTROL, "bbr").unwrap().law.name(), "bbr");
        let window = r#"{"fixed-window": {"window": "4MiB"}}"#;
        let law = read(CONGESTION_CONTROL, window).unwrap().law;
        assert_eq!(law.name(), "fixed-window");
        let paths = read(PATHS, "4").unwrap().message_options(None).paths;
        assert_eq!((paths.choice, paths.count), (PathChoice::Adaptive, 4));
        let rate = Rate::from_bits_per_second(10_000_000_000);
        assert_eq!(read(LINE_RATE, "10Gbit").unwrap().line_rate, Some(rate));
        let latency = Duration::from_millis(40);
        assert_eq!(read(LATENCY, "40ms").unwrap().latency, Some(latency));
        let patience = Duration::from_secs(60);
        assert_eq!(read(PATIENCE, "1min").unwrap().patience, patience);
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_named_with_what_would_do() {
        for (name, value, says) in [
            (TRANSPORT, "rdma", "`message` or `tcp`"),
            (CONGESTION_CONTROL, "vegas", "distance"),
            (PATHS, "65", "1 to 64"),
            (LINE_RATE, "10", "10Gbit"),
            (PATIENCE, "10", "10s"),
        ] {
            let error = read(name, value).unwrap_err();
            let named = error.starts_with(&format!("{name}={value}: "));
            assert!(named && error.contains(says), "{error}");
        }
    }
}
