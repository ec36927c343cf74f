//! What the firmware's congestion controls should be set to: which slot and which parameter each name means, as the firmware tells.

use longhaul_topologies::hardware::{Label, Nic as Settings, State};

use super::super::controller::{Controller, Parameter, called};
use super::super::inventory::Nic;
use super::super::place::{Access, Place};
use super::PlanError;
use super::nic::{Parts, Wanted};

/// All that `settings` say of the congestion controls of `nic`: parameters first, so that none is used with others, and what is not to be used
/// any more last, so that there is always one.
pub(super) fn wanted(
    settings: &Settings,
    nic: &Nic,
    access: &mut dyn Access,
) -> Result<Vec<Wanted>, PlanError> {
    let mut all = Vec::new();
    if settings.controllers.is_empty() {
        return Ok(all);
    }
    let pci = Parts { settings, nic }.pci("controllers")?;
    let firmware = Firmware {
        name: settings.name.to_string(),
        controllers: access.controllers(pci)?,
    };
    let (mut enabled, mut disabled) = (Vec::new(), Vec::new());
    let mut slots = Vec::new();
    for (label, controller) in &settings.controllers {
        let Controller { slot, name, .. } = firmware.controller(label)?;
        once(&mut slots, u16::from(*slot), label, "congestion control")?;
        let setting = format!("controllers.{}", shown(u16::from(*slot), name.as_deref()));
        let parameters = match controller.parameters.is_empty() {
            true => Vec::new(),
            false => access.parameters(pci, *slot)?,
        };
        let mut indexes = Vec::new();
        for (label, value) in &controller.parameters {
            let parameter = firmware.parameter(&setting, &parameters, label)?;
            let index = parameter.index;
            once(&mut indexes, index, label, "parameter")?;
            let setting = format!("{setting}.{}", shown(index, parameter.name.as_deref()));
            firmware.must_take(&setting, parameter, *value)?;
            let place = Place::ControllerParameter {
                pci: pci.to_owned(),
                slot: *slot,
                index,
            };
            all.push(Wanted::new(setting, place, value));
        }
        if let Some(state) = controller.state {
            let place = Place::Controller {
                pci: pci.to_owned(),
                slot: *slot,
            };
            let value = u8::from(state == State::Enabled);
            let wanted = Wanted::new(format!("{setting}.state"), place, &value);
            match state {
                State::Enabled => enabled.push(wanted),
                State::Disabled => disabled.push(wanted),
            }
        }
    }
    all.extend(enabled);
    all.extend(disabled);
    Ok(all)
}

/// Refuses a second `label` of what has this number; `seen` has those before.
fn once<'a>(
    seen: &mut Vec<(u16, &'a Label)>,
    number: u16,
    label: &'a Label,
    what: &'static str,
) -> Result<(), PlanError> {
    if let Some((_, other)) = seen.iter().find(|(before, _)| *before == number) {
        return Err(PlanError::Same {
            what,
            name: label.to_string(),
            other: other.to_string(),
        });
    }
    seen.push((number, label));
    Ok(())
}

/// What a NIC's firmware has.
struct Firmware {
    /// The NIC's name.
    name: String,
    controllers: Vec<Controller>,
}

impl Firmware {
    fn controller(&self, label: &Label) -> Result<&Controller, PlanError> {
        let all = || self.controllers.iter();
        let known = all().map(|one| called(u16::from(one.slot), one.name.as_deref()));
        all()
            .find(|one| label.means(u16::from(one.slot), one.name.as_deref()))
            .ok_or_else(|| self.none("congestion control".to_owned(), label, known))
    }

    fn parameter<'a>(
        &self,
        of: &str,
        parameters: &'a [Parameter],
        label: &Label,
    ) -> Result<&'a Parameter, PlanError> {
        let all = || parameters.iter();
        let known = all().map(|one| called(one.index, one.name.as_deref()));
        all()
            .find(|one| label.means(one.index, one.name.as_deref()))
            .ok_or_else(|| self.none(format!("parameter of {of},"), label, known))
    }

    /// The register ignores in silence what it does not take.
    fn must_take(&self, setting: &str, parameter: &Parameter, value: u32) -> Result<(), PlanError> {
        let Parameter { least, most, .. } = *parameter;
        let reason = if !parameter.is_writable {
            "it can only be read".to_owned()
        } else if !(least..=most).contains(&value) {
            format!("it takes {least} to {most}")
        } else {
            return Ok(());
        };
        Err(PlanError::NotTaken {
            name: self.name.clone(),
            setting: setting.to_owned(),
            value,
            reason,
        })
    }

    fn none(&self, what: String, label: &Label, known: impl Iterator<Item = String>) -> PlanError {
        let known: Vec<String> = known.collect();
        PlanError::NoneInFirmware {
            name: self.name.clone(),
            what,
            label: label.to_string(),
            known: match &known[..] {
                [] => "none".to_owned(),
                known => known.join(", "),
            },
        }
    }
}

/// As settings call it: by its name if it has one.
fn shown(number: u16, name: Option<&str>) -> String {
    name.map_or_else(|| number.to_string(), str::to_owned)
}
