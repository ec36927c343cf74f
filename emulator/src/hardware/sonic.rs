//! Switches with SONiC, by its Generic Config Updater over ssh.
//!
//! A change is a JSON patch (RFC 6902) of ConfigDB: tried by `config apply-patch --dry-run`, which checks it against SONiC's YANG models and
//! the fields that it lets be changed, then applied behind a checkpoint. `apply-patch` itself leaves what it has done when it fails ("SONiC
//! Generic Configuration Update and Rollback", 2.2.1 "Fail-safe Action"); the checkpoint takes that back. A change that went well leaves no
//! checkpoint: it is put back by a patch of its own, as a rollback would undo what others have set since. The configuration that the
//! switch starts with (`config save`) is left alone: a reboot brings the old one back.

#[cfg(test)]
mod played;
mod shell;

use std::time::Duration;

use jiff::Timestamp;
use longhaul_topologies::hardware::Switch;
use longhaul_topologies::inventory::SshSpec;
use serde_json::{Value, json};

pub use self::shell::{Lost, Shell, Ssh};
use super::place::{Config, at};

/// ConfigDB as JSON. Root, as all else: which groups may read it differs.
const READ: &str = "sudo -n sonic-cfggen -d --print-data";
/// A patch is a file; this one is gone with the shell.
const PATCH: &str = r#"umask 077; file=$(mktemp) || exit; trap 'rm -f "$file"' EXIT; cat >"$file" && sudo -n config apply-patch "$file""#;
/// Checks it and changes nothing.
const DRY_RUN: &str = " --dry-run";
const APPLIED: &str = "Patch applied successfully";
/// How long a command may take that changes nothing of what is set: all of them are Python, on a switch's CPU.
const BRIEF: Duration = Duration::from_secs(60);
/// How much of what a command said is shown, from its end.
const SHOWN: usize = 400;

/// The table of profiles.
const PROFILES: &str = "/WRED_PROFILE";

/// A switch, as whom it is logged in to.
pub struct Sonic<S> {
    shell: S,
    /// How long a patch may take.
    patience: Duration,
}

/// Why a switch did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SonicError {
    /// ssh did not get there.
    #[error("it cannot be reached: {0}")]
    Unreachable(Lost),
    /// It takes no key of this user's.
    #[error(
        "it does not let this user in: {said}; ssh has to log in without asking: name a key that the switch knows as `identity`, or start \
         an agent that has it"
    )]
    Login {
        /// What ssh said.
        said: String,
    },
    /// It is not the machine that it was, or never was one.
    #[error(
        "it cannot prove that it is the switch: {said}; put its key among the known ones (`ssh-keyscan`, and compare), or name a file with \
         it as `known_hosts`"
    )]
    Untrusted {
        /// What ssh said.
        said: String,
    },
    /// The user is no administrator.
    #[error(
        "it lets this user do nothing as root: {said}; log in as one who may `sudo` without a password, as SONiC's `admin` may"
    )]
    Rights {
        /// What it said.
        said: String,
    },
    /// It has no such program.
    #[error("`{command}` is not there: is it SONiC, 202106 or later?")]
    Lacks {
        /// Which.
        command: String,
    },
    /// What it printed is no configuration.
    #[error("`{READ}` printed no configuration: {said}")]
    NoConfig {
        /// What it printed.
        said: String,
    },
    /// The switch has no such profile.
    #[error("it has no profile {name} in WRED_PROFILE; there are: {}", if known.is_empty() { "none" } else { known })]
    NoProfile {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The profile drops.
    #[error(
        "profile {name} does not mark, it drops (`ecn` is {ecn}): switch that on first (by hand: its updater has no patch for it), or name another"
    )]
    NoMarks {
        /// Which.
        name: String,
        /// What it is set to.
        ecn: String,
    },
    /// It refuses the patch.
    #[error("it refuses the patch: {said}; nothing of it is set")]
    Refused {
        /// What it said.
        said: String,
    },
    /// There is nothing to fall back on, so nothing is tried.
    #[error("it makes no checkpoint: {said}; nothing is set")]
    NoCheckpoint {
        /// What it said.
        said: String,
    },
    /// The patch failed, and all of it was taken back.
    #[error("the patch failed: {said}; it was taken back, nothing of it is set")]
    TakenBack {
        /// What it said.
        said: String,
    },
    /// It was begun and nobody knows how it ended.
    #[error(
        "it was told to apply a patch, then: {what}; some of it may be set, or be about to be. Wait until no `config` runs on the switch any \
         more; then `longhaul hardware restore` puts the old values back. All that was there before is its checkpoint {checkpoint}, for \
         `config rollback` and then `config delete-checkpoint`"
    )]
    Unsure {
        /// The checkpoint's name.
        checkpoint: String,
        /// What happened then.
        what: String,
    },
}

impl Sonic<Ssh> {
    /// The one that `login` leads to, where a patch may take as long as `patience`.
    pub fn by_ssh(login: &SshSpec, patience: Duration) -> Self {
        Self::new(Ssh::new(login), patience)
    }
}

impl<S: Shell> Sonic<S> {
    /// The one that `shell` is on.
    pub fn new(shell: S, patience: Duration) -> Self {
        Self { shell, patience }
    }

    /// ConfigDB: tables of entries of fields.
    ///
    /// # Errors
    /// If the switch does not answer, or not with that.
    pub fn config(&self) -> Result<Value, SonicError> {
        let no_config = |said| SonicError::NoConfig { said };
        let printed = self.tell(&Order::brief(READ, ""), no_config)?;
        serde_json::from_str(&printed).map_err(|_| no_config(end(&printed)))
    }

    /// Sets all of `wanted` as one patch; the name of the checkpoint behind it is told `note` before it is made.
    ///
    /// # Errors
    /// If the switch does not, with whether something of it may be set all the same.
    pub fn set(&self, wanted: &Config, note: &mut dyn FnMut(&str)) -> Result<(), SonicError> {
        let patch = patch(&self.config()?, wanted);
        if patch.is_empty() {
            return Ok(());
        }
        let patch = Value::Array(patch).to_string();
        let dry_run = format!("{PATCH}{DRY_RUN}");
        let dry_run = self.order(&dry_run, &patch, APPLIED);
        self.tell(&dry_run, |said| SonicError::Refused { said })?;
        let checkpoint = format!("longhaul-{}", Timestamp::now().as_microsecond());
        note(&format!("checkpoint {checkpoint} of {}", self.shell.name()));
        let take = format!("sudo -n config checkpoint {checkpoint}");
        self.tell(
            &Order::brief(&take, "Checkpoint created successfully"),
            |said| SonicError::NoCheckpoint { said },
        )?;
        let outcome = self.apply(&patch, &checkpoint);
        if !matches!(outcome, Err(SonicError::Unsure { .. })) {
            let delete = format!("sudo -n config delete-checkpoint {checkpoint}");
            // One that stays is in nobody's way.
            if let Err(error) = self.tell(&Order::brief(&delete, ""), |said| SonicError::Refused {
                said,
            }) {
                tracing::warn!(%error, "checkpoint {checkpoint} of {} stays there", self.shell.name());
            }
        }
        outcome
    }

    /// Applies a patch that was tried; goes back to the checkpoint if it fails.
    fn apply(&self, patch: &str, checkpoint: &str) -> Result<(), SonicError> {
        let unsure = |what: String| SonicError::Unsure {
            checkpoint: checkpoint.to_owned(),
            what,
        };
        // Without an answer, the switch may still be at it: another command would be in its way.
        let applied = self.ask(&self.order(PATCH, patch, APPLIED));
        let Err(said) = applied.map_err(|error| unsure(error.to_string()))? else {
            return Ok(());
        };
        let said = end(&said);
        let back = format!("sudo -n config rollback {checkpoint}");
        let back = self.order(&back, "", "Config rolled back successfully");
        match self.ask(&back) {
            Ok(Ok(_)) => Err(SonicError::TakenBack { said }),
            Ok(Err(back)) => Err(unsure(format!(
                "it failed ({said}), and so did taking it back: {}",
                end(&back)
            ))),
            Err(lost) => Err(unsure(format!(
                "it failed ({said}), and nobody saw it taken back: {lost}"
            ))),
        }
    }

    fn order<'a>(&self, command: &'a str, input: &'a str, says: &'a str) -> Order<'a> {
        Order {
            command,
            input,
            within: self.patience,
            says,
        }
    }

    /// What it printed; what it means that it failed is `own` unless it never began.
    fn tell(
        &self,
        order: &Order<'_>,
        own: impl Fn(String) -> SonicError,
    ) -> Result<String, SonicError> {
        let answer = self.ask(order)?;
        answer.map_err(|said| refusal(order.command, &said, own))
    }

    /// What it printed, or said when it failed.
    fn ask(&self, order: &Order<'_>) -> Result<Result<String, String>, SonicError> {
        let Order {
            command,
            input,
            within,
            says,
        } = order;
        match self.shell.run(command, input.as_bytes(), *within) {
            // SONiC's own tests look for the words, too.
            Ok(Ok(said)) if !said.contains(says) => Ok(Err(said)),
            Ok(answer) => Ok(answer),
            Err(lost) => {
                let said = lost.to_string();
                // As OpenSSH says it (sshconnect.c, sshconnect2.c).
                Err(if said.contains("Permission denied") {
                    SonicError::Login { said }
                } else if said.contains("Host key verification failed") {
                    SonicError::Untrusted { said }
                } else {
                    SonicError::Unreachable(lost)
                })
            }
        }
    }
}

/// Something to be done.
struct Order<'a> {
    command: &'a str,
    input: &'a str,
    within: Duration,
    /// What it says when it is done.
    says: &'a str,
}

impl<'a> Order<'a> {
    /// One that changes nothing of what is set.
    fn brief(command: &'a str, says: &'a str) -> Self {
        Self {
            command,
            input: "",
            within: BRIEF,
            says,
        }
    }
}

/// What a command that failed with these last words means, where that is not its own.
fn refusal(command: &str, said: &str, own: impl Fn(String) -> SonicError) -> SonicError {
    // As sudo and shells say it.
    if said.contains("sudo: a password is required") || said.contains("is not in the sudoers file")
    {
        SonicError::Rights { said: end(said) }
    } else if said.contains("command not found") || said.contains("sudo: not found") {
        let command = command.rsplit("sudo -n ").next().unwrap_or(command);
        let command = command.split(' ').next().unwrap_or(command).to_owned();
        SonicError::Lacks { command }
    } else {
        own(end(said))
    }
}

/// The end of what was said, on a line: click, which SONiC's commands are made with, has the reason last.
fn end(said: &str) -> String {
    let words: Vec<&str> = said.split_whitespace().collect();
    let line = words.join(" ");
    let from = line.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
    line[from..].to_owned()
}

/// The operations that make `there` have all of `wanted` (RFC 6902, section 4).
fn patch(there: &Value, wanted: &Config) -> Vec<Value> {
    let operation = |(path, value): (&String, &Value)| match (at(there, path), value) {
        (old, new) if old == new => None,
        (_, Value::Null) => Some(json!({"op": "remove", "path": path})),
        (Value::Null, new) => Some(json!({"op": "add", "path": path, "value": new})),
        (_, new) => Some(json!({"op": "replace", "path": path, "value": new})),
    };
    wanted.iter().filter_map(operation).collect()
}

/// All that `switch` says, by path, for a switch with this ConfigDB.
///
/// # Errors
/// If it has no such profile, or one that does not mark.
pub(super) fn wanted(switch: &Switch, there: &Value) -> Result<Config, SonicError> {
    let mut config = Config::new();
    for ecn in &switch.ecn {
        let name = ecn.profile.as_ref();
        let name = name
            .expect("settings are checked when they are read")
            .as_str();
        let profile = format!("{PROFILES}/{name}");
        if at(there, &profile).is_null() {
            let known = at(there, PROFILES).as_object();
            let known: Vec<&str> = known
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str())
                .collect();
            return Err(SonicError::NoProfile {
                name: name.to_owned(),
                known: known.join(", "),
            });
        }
        // Packets are green unless somebody colours them.
        let marks = at(there, &format!("{profile}/ecn"))
            .as_str()
            .unwrap_or("ecn_none");
        if marks != "ecn_all" && !marks.contains("green") {
            return Err(SonicError::NoMarks {
                name: name.to_owned(),
                ecn: marks.to_owned(),
            });
        }
        // Marks follow the thresholds of drops unless they have their own (sonic-wred-profile.yang).
        let own = !at(there, &format!("{profile}/ecn_green_min_threshold")).is_null();
        let [min, max, probability] = match own {
            true => [
                "ecn_green_min_threshold",
                "ecn_green_max_threshold",
                "ecn_green_mark_probability",
            ],
            false => [
                "green_min_threshold",
                "green_max_threshold",
                "green_drop_probability",
            ],
        };
        let mut set = |field: &str, value: u64| {
            config.insert(format!("{profile}/{field}"), json!(value.to_string()))
        };
        set(min, ecn.min.bytes());
        set(max, ecn.max.bytes());
        if let Some(percent) = ecn.probability {
            set(probability, percent.into());
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests;
