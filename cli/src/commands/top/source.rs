//! Where readings come from, and where changes go to: a lab's control socket or, of a virtual lab, a command inside of it.

use std::process::{Command, Stdio};

use longhaul_emulator::keeper::{self, AdjustedChannel, KeeperError, LabName, LabReading, Purpose};
use longhaul_topologies::adjust::Adjustment;
use longhaul_topologies::model::Direction;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::commands::link;
use crate::failure::Failure;

/// A lab or run that lives.
#[derive(Clone, Debug)]
pub struct Source {
    name: LabName,
    /// `host lab, transatlantic`.
    what: String,
    /// When it was started, in seconds since 1970.
    started: u64,
    is_virtual: bool,
}

/// Why there is no reading.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// There will be none any more.
    Gone(String),
    /// It may be better next time.
    NotNow(String),
}

/// What `--json top --once` prints.
#[derive(Debug, Deserialize)]
struct Told {
    reading: LabReading,
}

/// What `--json link set` prints.
#[derive(Debug, Deserialize)]
struct Changed {
    changes: Vec<AdjustedChannel>,
}

/// What every command prints with `--json` when it fails.
#[derive(Debug, Deserialize)]
struct Failed {
    error: Message,
}

#[derive(Debug, Deserialize)]
struct Message {
    message: String,
    help: Option<String>,
}

impl Source {
    /// The lab of that name.
    ///
    /// # Errors
    /// If it does not live.
    pub fn open(name: LabName) -> Result<Self, KeeperError> {
        let record = keeper::record(&name)?;
        let purpose = match record.purpose {
            Purpose::Up => "lab",
            Purpose::Run => "run",
        };
        Ok(Source {
            what: format!("{} {purpose}, {}", record.lab, record.subject),
            started: record.started,
            is_virtual: keeper::is_virtual(&name)?,
            name,
        })
    }

    pub fn name(&self) -> &LabName {
        &self.name
    }

    /// What it is, in words.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// When it was started, in seconds since 1970.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// The lab at this instant. Blocking.
    pub fn read(&self) -> Result<LabReading, Trouble> {
        if self.is_virtual {
            // It may have ended: inside nobody can say so.
            keeper::record(&self.name)?;
            let told: Told = self.ask(&["top", self.name.as_str(), "--once"])?;
            return Ok(told.reading);
        }
        Ok(keeper::reading(&self.name)?)
    }

    /// Sets a link as `link set` does; what changed, or why nothing did. Blocking.
    pub fn adjust(&self, adjustment: &Adjustment) -> Result<String, String> {
        let changes = if self.is_virtual {
            let arguments = arguments(&self.name, adjustment);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let changed: Result<Changed, Trouble> = self.ask(&arguments);
            changed.map_err(Trouble::text)?.changes
        } else {
            let adjusted = keeper::adjust(&self.name, adjustment);
            adjusted.map_err(|error| Failure::from(error).plain())?
        };
        Ok(link::sentences(&changes))
    }

    /// Has a longhaul of its own ask inside the virtual lab: whoever enters one needs a process of a single thread.
    fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T, Trouble> {
        let printed = std::env::current_exe().and_then(|longhaul| {
            Command::new(longhaul)
                .arg("--json")
                .args(arguments)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .output()
        });
        let printed = printed.map_err(|error| {
            Trouble::NotNow(format!("cannot ask inside the lab {}: {error}", self.name))
        })?;
        let unknown = |_| {
            let text = String::from_utf8_lossy(&printed.stdout);
            Trouble::NotNow(format!("the lab {} answers: {}", self.name, text.trim()))
        };
        if printed.status.success() {
            return serde_json::from_slice(&printed.stdout).map_err(unknown);
        }
        let failed: Failed = serde_json::from_slice(&printed.stdout).map_err(unknown)?;
        let Message { message, help } = failed.error;
        let help = help.map_or_else(String::new, |help| format!("\n{help}"));
        Err(Trouble::NotNow(message + &help))
    }
}

/// The command line of a change.
fn arguments(name: &LabName, adjustment: &Adjustment) -> Vec<String> {
    let Adjustment {
        link,
        lane,
        direction,
        settings,
    } = adjustment;
    let mut arguments = ["link", "set", "--name", name.as_str()]
        .map(str::to_owned)
        .to_vec();
    if let Some(lane) = lane {
        arguments.extend(["--lane".to_owned(), lane.to_string()]);
    }
    if let Some(direction) = direction {
        let direction = match direction {
            Direction::Forward => "forward",
            Direction::Reverse => "reverse",
        };
        arguments.extend(["--direction", direction].map(str::to_owned));
    }
    // Nothing that was typed is an option.
    arguments.push("--".to_owned());
    arguments.extend([link.from.clone(), link.to.clone()]);
    arguments.extend(settings.iter().map(|(key, value)| format!("{key}={value}")));
    arguments
}

impl Trouble {
    /// In words.
    pub fn text(self) -> String {
        match self {
            Trouble::Gone(text) | Trouble::NotNow(text) => text,
        }
    }
}

impl From<KeeperError> for Trouble {
    fn from(error: KeeperError) -> Self {
        let text = error.to_string();
        match error {
            KeeperError::NoSuchLab { .. } | KeeperError::Dead { .. } => Trouble::Gone(text),
            _ => Trouble::NotNow(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::adjust::Named;

    use super::*;

    #[test]
    fn a_change_goes_into_a_virtual_lab_as_the_command_that_would_make_it() {
        let adjustment = Adjustment {
            link: Named {
                from: "a".into(),
                to: "b".into(),
            },
            lane: Some(1),
            direction: Some(Direction::Forward),
            settings: vec![("delay".into(), "3ms".into())],
        };
        let typed = arguments(&"lab".parse().unwrap(), &adjustment).join(" ");
        assert_eq!(
            typed,
            "link set --name lab --lane 1 --direction forward -- a b delay=3ms"
        );
    }
}
