//! What would change: what is set held against what should be.

mod controller;
mod nic;

use longhaul_topologies::hardware::{Login, Mark, Priority, Settings, Switch, Timestamps};
use longhaul_topologies::units::ByteSize;
use serde::Serialize;

use self::nic::Wanted;
use super::inventory::Nic;
use super::place::{Access, AccessError, Config, NONE, Place, Value, at, plain};
use super::switch;

/// What would change, in the order in which it would.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// One write each.
    pub steps: Vec<Step>,
    /// What is set already but counts only once the firmware is reset: from what it runs with to what it will.
    pub waiting: Vec<Change>,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Of what: a NIC or a switch, as the settings call it.
    pub subject: String,
    /// Where.
    pub place: Place,
    /// What is there.
    pub old: Value,
    /// What will be.
    pub new: Value,
    /// What the driver changes along with it.
    pub also: Vec<Kept>,
    /// What it does to traffic.
    pub risk: Risk,
    /// The same as people write it.
    pub changes: Vec<Change>,
}

/// A place that is changed by a write to another.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct Kept {
    /// Where.
    pub place: Place,
    /// What is there.
    pub old: Value,
}

/// A setting that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// As the settings' file calls it.
    pub setting: String,
    /// What it is.
    pub old: String,
    /// What it will be.
    pub new: String,
}

/// What a write does to traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Packets under way are not touched.
    None,
    /// None, until the firmware is reset, which is left to the user.
    AtReset,
    /// The NIC divides its memory no more by itself; its driver has to be loaded again for that.
    StaysDivided,
    /// The link goes down and up again.
    LinkToggles,
    /// The switch reloads or restarts what forwards its packets.
    SwitchReloads,
}

impl Risk {
    /// In words; nothing where there is none.
    pub fn words(self) -> &'static str {
        match self {
            Risk::None => "",
            Risk::AtReset => "counts from a reset of the firmware",
            Risk::StaysDivided => "divided by hand until the driver is reloaded",
            Risk::LinkToggles => "interrupts the link",
            Risk::SwitchReloads => "may interrupt all ports",
        }
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No NIC is called so.
    #[error("there is no NIC {name} here; there are: {}", if known.is_empty() { "none" } else { known })]
    NoNic {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Two entries mean the same.
    #[error("{name} and {other} are the same {what}: write all its settings in one entry")]
    Same {
        /// A NIC, or something of one.
        what: &'static str,
        /// What one entry calls it.
        name: String,
        /// What the other does.
        other: String,
    },
    /// The NIC has no such part.
    #[error("{name} has no {part}, which `{setting}` is about")]
    NoPart {
        /// Which NIC.
        name: String,
        /// What it lacks.
        part: &'static str,
        /// For which setting.
        setting: &'static str,
    },
    /// The firmware has nothing of that name or number.
    #[error("the firmware of {name} has no {what} {label}; it has: {known}")]
    NoneInFirmware {
        /// Which NIC.
        name: String,
        /// What was looked for: a congestion control, or a parameter of one.
        what: String,
        /// By which name or number.
        label: String,
        /// What there is.
        known: String,
    },
    /// The firmware would ignore it.
    #[error("{name}: the firmware does not take {value} for {setting}: {reason}")]
    NotTaken {
        /// Which NIC.
        name: String,
        /// Which setting.
        setting: String,
        /// What was asked for.
        value: u32,
        /// What it would take.
        reason: String,
    },
    /// The NIC's clock is for less.
    #[error("{name}: its NIC cannot stamp {}: `ethtool -T {interface}` shows which it can", match which {
        Timestamps::All => "all packets, but perhaps those that it sends (`timestamps: sent`)",
        Timestamps::Sent | Timestamps::None => "packets",
    })]
    NotStamped {
        /// Which NIC.
        name: String,
        /// By its interface.
        interface: String,
        /// What was asked for.
        which: Timestamps,
    },
    /// The port has less.
    #[error("{name}: `buffers` are {wanted} together, and its port has {total}")]
    TooLarge {
        /// Which NIC.
        name: String,
        /// How much was asked for.
        wanted: ByteSize,
        /// How much there is.
        total: ByteSize,
    },
    /// What is set could not be read.
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// Holds everything that `settings` name against what is set. Nothing is written.
///
/// # Errors
/// If a NIC is not there, or what is set cannot be read.
///
/// # Panics
/// If `settings` were not checked by [`longhaul_topologies::hardware::settings`].
pub fn plan(settings: &Settings, nics: &[Nic], access: &mut dyn Access) -> Result<Plan, PlanError> {
    let mut planner = Planner {
        access,
        plan: Plan::default(),
    };
    for (index, wanted) in settings.nics.iter().enumerate() {
        let found = nics.iter().find(|nic| nic.is_called(&wanted.name));
        let nic = found.ok_or_else(|| PlanError::NoNic {
            name: wanted.name.to_string(),
            known: nics
                .iter()
                .flat_map(Nic::names)
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        let mut earlier = settings.nics[..index].iter();
        if let Some(other) = earlier.find(|other| nic.is_called(&other.name)) {
            return Err(PlanError::Same {
                what: "NIC",
                name: wanted.name.to_string(),
                other: other.name.to_string(),
            });
        }
        let mut all = nic::wanted(wanted, nic)?;
        nic::fits(wanted, nic, planner.access)?;
        all.extend(controller::wanted(wanted, nic, planner.access)?);
        for one in all {
            planner.step(wanted.name.as_str(), one)?;
        }
    }
    for switch in &settings.switches {
        planner.switch(switch)?;
    }
    Ok(planner.plan)
}

struct Planner<'a> {
    access: &'a mut dyn Access,
    plan: Plan,
}

impl Planner<'_> {
    /// A step, unless it is so already.
    fn step(&mut self, subject: &str, wanted: Wanted) -> Result<(), PlanError> {
        let old = self.access.read(&wanted.place)?;
        let new = Value::Text(wanted.value.clone());
        if old.is_same(&new) {
            self.wait(&wanted);
            return Ok(());
        }
        let mut changes = vec![wanted.change(&old)];
        let mut also = Vec::new();
        if let Some(other) = wanted.written_with() {
            let old = self.access.read(&other.place)?;
            if !old.is_same(&Value::Text(other.value.clone())) {
                changes.push(other.change(&old));
                let place = other.place;
                also.push(Kept { place, old });
            }
        }
        self.plan.steps.push(Step {
            subject: subject.to_owned(),
            place: wanted.place,
            old,
            new,
            also,
            risk: wanted.risk,
            changes,
        });
        Ok(())
    }

    /// Notes what is set and does not count yet. Firmware that does not tell what it runs with is not waited for.
    fn wait(&mut self, wanted: &Wanted) {
        let Some(running) = wanted.running() else {
            return;
        };
        if let Ok(running) = self.access.read(&running)
            && !running.is_same(&Value::Text(wanted.value.clone()))
        {
            self.plan.waiting.push(wanted.change(&running));
        }
    }

    /// All of a switch's settings at once: that is how it takes them.
    fn switch(&mut self, switch: &Switch) -> Result<(), PlanError> {
        let name = switch.name.as_str();
        let login = switch.login();
        let effective = self.access.effective(name, login)?;
        let wanted = switch::wanted(switch, &effective)
            .map_err(|source| AccessError::of_switch(name, login, source))?;
        let changed: Config = wanted
            .into_iter()
            .filter(|(path, value)| plain(at(&effective, path)) != plain(value))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let place = |paths: Vec<String>, absent| Place::Switch {
            name: name.to_owned(),
            login: login.clone(),
            paths,
            absent,
        };
        let wholes = changed.keys().filter_map(|path| path.rsplit_once('/'));
        let wholes = wholes.map(|(whole, _)| whole.to_owned()).collect();
        let wholes = self.access.read(&place(wholes, Vec::new()))?;
        let absent = match wholes {
            Value::Config(wholes) => wholes.into_iter().filter(|(_, value)| value.is_null()),
            Value::Text(_) => unreachable!("a switch has no single value"),
        };
        let absent = absent.map(|(whole, _)| whole).collect();
        let place = place(changed.keys().cloned().collect(), absent);
        let changes = changed.iter().map(|(path, value)| Change {
            setting: path.clone(),
            old: plain(at(&effective, path)),
            new: plain(value),
        });
        self.plan.steps.push(Step {
            subject: name.to_owned(),
            old: self.access.read(&place)?,
            place,
            changes: changes.collect(),
            new: Value::Config(changed),
            also: Vec::new(),
            risk: match login {
                Login::Nvue(_) => Risk::SwitchReloads,
                Login::Sonic(_) => Risk::None,
            },
        });
        Ok(())
    }
}

/// `3,4`; `none`.
pub(super) fn list<'a>(priorities: impl IntoIterator<Item = &'a Priority>) -> String {
    joined(priorities.into_iter().map(|one| one.number().to_string()))
}

/// `dscp,pcp`; `none`.
pub(super) fn order(marks: &[Mark]) -> String {
    joined(marks.iter().map(|mark| mark.name().to_owned()))
}

fn joined(words: impl Iterator<Item = String>) -> String {
    match &words.collect::<Vec<_>>()[..] {
        [] => NONE.to_owned(),
        words => words.join(","),
    }
}
