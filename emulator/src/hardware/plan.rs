//! What would change: what is set held against what should be.

use longhaul_topologies::hardware::{
    Nic as NicSettings, Parameter, Priority, Retransmission, Roce, Settings, State, Switch,
};
use serde::Serialize;

use super::inventory::Nic;
use super::nvue;
use super::place::{Access, AccessError, Config, NONE, Place, Value, plain};

/// What would change, in the order in which it would.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// One write each.
    pub steps: Vec<Step>,
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
    /// Two entries mean the same NIC.
    #[error("{name} and {other} are the same NIC: write all its settings in one entry")]
    SameNic {
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
    /// What is set could not be read.
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// Holds everything that `settings` name against what is set. Nothing is written.
///
/// # Errors
/// If a NIC is not there, or what is set cannot be read.
pub fn plan(settings: &Settings, nics: &[Nic], access: &mut dyn Access) -> Result<Plan, PlanError> {
    let mut planner = Planner {
        access,
        steps: Vec::new(),
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
            return Err(PlanError::SameNic {
                name: wanted.name.to_string(),
                other: other.name.to_string(),
            });
        }
        planner.nic(wanted, nic)?;
    }
    for switch in &settings.switches {
        planner.switch(switch)?;
    }
    Ok(Plan {
        steps: planner.steps,
    })
}

struct Planner<'a> {
    access: &'a mut dyn Access,
    steps: Vec<Step>,
}

impl Planner<'_> {
    fn nic(&mut self, wanted: &NicSettings, nic: &Nic) -> Result<(), PlanError> {
        let subject = wanted.name.as_str();
        let lacks = |part, setting| PlanError::NoPart {
            name: subject.to_owned(),
            part,
            setting,
        };
        let pci = |setting| {
            nic.pci
                .as_deref()
                .ok_or_else(|| lacks("PCI address", setting))
        };
        let rdma = |setting| {
            let device = nic
                .rdma
                .first()
                .ok_or_else(|| lacks("RDMA device", setting))?;
            Ok::<_, PlanError>(device.name.as_str())
        };
        let interface = |setting| {
            let interface = nic
                .interfaces
                .first()
                .ok_or_else(|| lacks("interface", setting))?;
            Ok::<_, PlanError>(interface.name.as_str())
        };
        if let Some(roce) = wanted.roce {
            // As the kernel spells them (drivers/infiniband/core/cache.c, gid_type_str).
            let value = match roce {
                Roce::V1 => "IB/RoCE v1",
                Roce::V2 => "RoCE v2",
            };
            let path = connection_default(rdma("roce")?, "default_roce_mode");
            self.step(subject, "roce", path, value, Risk::None)?;
        }
        if let Some(number) = wanted.type_of_service {
            let path = connection_default(rdma("type_of_service")?, "default_roce_tos");
            self.step(
                subject,
                "type_of_service",
                path,
                &number.to_string(),
                Risk::None,
            )?;
        }
        if let Some(number) = wanted.traffic_class {
            let device = rdma("traffic_class")?;
            let place = Place::TrafficClass {
                path: format!("/sys/class/infiniband/{device}/tc/1/traffic_class").into(),
            };
            self.step(
                subject,
                "traffic_class",
                place,
                &number.to_string(),
                Risk::None,
            )?;
        }
        if let Some(priorities) = &wanted.pfc {
            let place = Place::Pfc {
                interface: interface("pfc")?.to_owned(),
            };
            // mlx5e_dcbnl_ieee_setpfc calls mlx5_toggle_port_link (en_dcbnl.c).
            self.step(subject, "pfc", place, &list(priorities), Risk::LinkToggles)?;
        }
        if let Some(priorities) = &wanted.ecn {
            let interface = interface("ecn")?;
            for priority in Priority::all() {
                let value = if priorities.contains(&priority) {
                    "1"
                } else {
                    "0"
                };
                for side in ["roce_np", "roce_rp"] {
                    let priority = priority.number();
                    let path = format!("/sys/class/net/{interface}/ecn/{side}/enable/{priority}");
                    let setting = format!("ecn.{side}.{priority}");
                    let place = Place::Attribute { path: path.into() };
                    self.step(subject, &setting, place, value, Risk::None)?;
                }
            }
        }
        for (&parameter, quantity) in &wanted.congestion {
            let number = parameter.read(quantity.as_str());
            let number = number.expect("settings are checked when they are read");
            self.parameter(subject, pci("congestion")?, parameter, number)?;
        }
        for (field, state) in wanted
            .retransmission
            .iter()
            .flat_map(Retransmission::fields)
        {
            let place = Place::Register {
                pci: pci("retransmission")?.to_owned(),
                field: field.to_owned(),
            };
            let value = match state {
                State::Enabled => "1",
                State::Disabled => "0",
            };
            self.step(
                subject,
                &format!("retransmission.{field}"),
                place,
                value,
                Risk::None,
            )?;
        }
        Ok(())
    }

    /// A step, unless it is so already.
    fn step(
        &mut self,
        subject: &str,
        setting: &str,
        place: Place,
        new: &str,
        risk: Risk,
    ) -> Result<(), PlanError> {
        let old = self.access.read(&place)?;
        let new = Value::Text(new.to_owned());
        if !old.is_same(&new) {
            let change = Change {
                setting: setting.to_owned(),
                old: old.to_string(),
                new: new.to_string(),
            };
            self.steps.push(Step {
                subject: subject.to_owned(),
                place,
                old,
                new,
                also: Vec::new(),
                risk,
                changes: vec![change],
            });
        }
        Ok(())
    }

    fn parameter(
        &mut self,
        subject: &str,
        pci: &str,
        parameter: Parameter,
        number: u32,
    ) -> Result<(), PlanError> {
        let place = parameter_place(pci, parameter);
        let old = self.access.read(&place)?;
        let new = Value::Text(number.to_string());
        if old.is_same(&new) {
            return Ok(());
        }
        let mut changes = vec![change(parameter, &old, &new)];
        let mut also = Vec::new();
        if let Some((other, forced)) = parameter.written_with() {
            let place = parameter_place(pci, other);
            let old = self.access.read(&place)?;
            let forced = Value::Text(forced.to_string());
            if !old.is_same(&forced) {
                changes.push(change(other, &old, &forced));
                also.push(Kept { place, old });
            }
        }
        self.steps.push(Step {
            subject: subject.to_owned(),
            place,
            old,
            new,
            also,
            risk: Risk::None,
            changes,
        });
        Ok(())
    }

    /// All of a switch's settings at once: that is how it takes them.
    fn switch(&mut self, switch: &Switch) -> Result<(), PlanError> {
        let name = switch.name.as_str();
        let login = switch.login();
        let effective = self.access.effective(name, &login)?;
        let wanted = nvue::wanted(switch, &effective)
            .map_err(|source| AccessError::of_switch(name, &login, source))?;
        let changed: Config = wanted
            .into_iter()
            .filter(|(path, value)| plain(nvue::at(&effective, path)) != plain(value))
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
            old: plain(nvue::at(&effective, path)),
            new: plain(value),
        });
        self.steps.push(Step {
            subject: name.to_owned(),
            old: self.access.read(&place)?,
            place,
            changes: changes.collect(),
            new: Value::Config(changed),
            also: Vec::new(),
            risk: Risk::SwitchReloads,
        });
        Ok(())
    }
}

fn change(parameter: Parameter, old: &Value, new: &Value) -> Change {
    let show = |value: &Value| {
        let text = value.to_string();
        text.parse().map_or(text, |number| parameter.show(number))
    };
    Change {
        setting: format!("congestion.{}", parameter.name()),
        old: show(old),
        new: show(new),
    }
}

fn parameter_place(pci: &str, parameter: Parameter) -> Place {
    let name = parameter.name();
    Place::Attribute {
        path: format!("/sys/kernel/debug/mlx5/{pci}/cc_params/{name}").into(),
    }
}

/// Documentation/ABI/testing/configfs-rdma_cm.
fn connection_default(device: &str, file: &str) -> Place {
    Place::Attribute {
        path: format!("/sys/kernel/config/rdma_cm/{device}/ports/1/{file}").into(),
    }
}

/// `3,4`; `none`.
pub(super) fn list<'a>(priorities: impl IntoIterator<Item = &'a Priority>) -> String {
    let numbers = priorities.into_iter().map(|one| one.number().to_string());
    let numbers: Vec<String> = numbers.collect();
    match &numbers[..] {
        [] => NONE.to_owned(),
        numbers => numbers.join(","),
    }
}
