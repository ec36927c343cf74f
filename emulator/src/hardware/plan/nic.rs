//! What a NIC should be set to, place by place. Pure.

use longhaul_topologies::hardware::{
    Firmware, Nic as Settings, Parameter, Priority, Retransmission, Roce, State,
};

use super::super::buffers::Buffers;
use super::super::dscp::Map;
use super::super::firmware::Boot;
use super::super::inventory::Nic;
use super::super::place::{Access, Place, Value};
use super::super::stamping::Stamping;
use super::{Change, PlanError, Risk, list, order};

/// What a place should be set to.
pub(super) struct Wanted {
    setting: String,
    pub(super) place: Place,
    pub(super) value: String,
    pub(super) risk: Risk,
    /// Of the congestion control, which is shown with its unit, and of which PCI function.
    parameter: Option<(Parameter, String)>,
}

impl Wanted {
    pub(super) fn new(setting: impl Into<String>, place: Place, value: &impl ToString) -> Self {
        Wanted {
            setting: setting.into(),
            place,
            value: value.to_string(),
            risk: Risk::None,
            parameter: None,
        }
    }

    fn parameter(pci: &str, parameter: Parameter, number: u32) -> Self {
        let name = parameter.name();
        let path = format!("/sys/kernel/debug/mlx5/{pci}/cc_params/{name}");
        Wanted {
            parameter: Some((parameter, pci.to_owned())),
            ..Wanted::new(format!("congestion.{name}"), attribute(path), &number)
        }
    }

    /// What the driver sets along with it.
    pub(super) fn written_with(&self) -> Option<Wanted> {
        let (parameter, pci) = self.parameter.as_ref()?;
        let (other, forced) = parameter.written_with()?;
        Some(Wanted::parameter(pci, other, forced))
    }

    /// Where it stands what counts until then, if this counts only later.
    pub(super) fn running(&self) -> Option<Place> {
        match &self.place {
            Place::Firmware { pci, name, .. } => Some(Place::Firmware {
                pci: pci.clone(),
                name: name.clone(),
                boot: Boot::Last,
            }),
            _ => None,
        }
    }

    /// From `old` to this, as people write it.
    pub(super) fn change(&self, old: &Value) -> Change {
        let show = |text: String| match (&self.parameter, text.parse()) {
            (Some((parameter, _)), Ok(number)) => parameter.show(number),
            _ => text,
        };
        Change {
            setting: self.setting.clone(),
            old: show(old.to_string()),
            new: show(self.value.clone()),
        }
    }
}

/// All that `settings` say of `nic`.
pub(super) fn wanted(settings: &Settings, nic: &Nic) -> Result<Vec<Wanted>, PlanError> {
    let parts = Parts { settings, nic };
    let mut all = Vec::new();
    if let Some(roce) = settings.roce {
        // As the kernel spells them (drivers/infiniband/core/cache.c, gid_type_str).
        let value = match roce {
            Roce::V1 => "IB/RoCE v1",
            Roce::V2 => "RoCE v2",
        };
        let place = parts.connection_default("roce", "default_roce_mode")?;
        all.push(Wanted::new("roce", place, &value));
    }
    if let Some(number) = settings.type_of_service {
        let place = parts.connection_default("type_of_service", "default_roce_tos")?;
        all.push(Wanted::new("type_of_service", place, &number));
    }
    if let Some(number) = settings.traffic_class {
        let device = parts.rdma("traffic_class")?;
        let place = Place::TrafficClass {
            path: format!("/sys/class/infiniband/{device}/tc/1/traffic_class").into(),
        };
        all.push(Wanted::new("traffic_class", place, &number));
    }
    if let Some(priorities) = settings.priorities() {
        let setting = "trust";
        let place = Place::Dscp {
            interface: parts.interface(setting)?.to_owned(),
        };
        all.push(Wanted::new(
            setting,
            place,
            &Map(priorities.into_iter().collect()),
        ));
    }
    if let Some(marks) = &settings.trust_order {
        let setting = "trust_order";
        let place = Place::TrustOrder {
            interface: parts.interface(setting)?.to_owned(),
        };
        all.push(Wanted::new(setting, place, &order(marks)));
    }
    if let Some(which) = settings.timestamps {
        let setting = "timestamps";
        let place = Place::Timestamps {
            interface: parts.interface(setting)?.to_owned(),
        };
        all.push(Wanted::new(setting, place, &Stamping::from(which)));
    }
    // Before what pauses, for which they have to be large enough.
    if !settings.buffers.is_empty() {
        let setting = "buffers";
        let place = Place::Buffers {
            interface: parts.interface(setting)?.to_owned(),
        };
        all.push(Wanted {
            // The first write gives the port's memory to software (mlx5e_dcbnl_setbuffer, en_dcbnl.c).
            risk: Risk::StaysDivided,
            ..Wanted::new(setting, place, &Buffers::named(&settings.buffers))
        });
    }
    if let Some(priorities) = &settings.pfc {
        let place = Place::Pfc {
            interface: parts.interface("pfc")?.to_owned(),
        };
        all.push(Wanted {
            // mlx5e_dcbnl_ieee_setpfc calls mlx5_toggle_port_link (en_dcbnl.c).
            risk: Risk::LinkToggles,
            ..Wanted::new("pfc", place, &list(priorities))
        });
    }
    if let Some(priorities) = &settings.ecn {
        let interface = parts.interface("ecn")?;
        for priority in Priority::all() {
            let number = priority.number();
            for side in ["roce_np", "roce_rp"] {
                let path = format!("/sys/class/net/{interface}/ecn/{side}/enable/{number}");
                let setting = format!("ecn.{side}.{number}");
                let value = u8::from(priorities.contains(&priority));
                all.push(Wanted::new(setting, attribute(path), &value));
            }
        }
    }
    for (&parameter, quantity) in &settings.congestion {
        let number = parameter.read(quantity.as_str());
        let number = number.expect("settings are checked when they are read");
        all.push(Wanted::parameter(
            parts.pci("congestion")?,
            parameter,
            number,
        ));
    }
    let fields = settings.retransmission.iter();
    for (field, state) in fields.flat_map(Retransmission::fields) {
        let place = Place::Register {
            pci: parts.pci("retransmission")?.to_owned(),
            field: field.to_owned(),
        };
        let value = u8::from(state == State::Enabled);
        all.push(Wanted::new(
            format!("retransmission.{field}"),
            place,
            &value,
        ));
    }
    let fields = settings.firmware.iter();
    for (name, state) in fields.flat_map(Firmware::fields) {
        let place = Place::Firmware {
            pci: parts.pci("firmware")?.to_owned(),
            name: name.to_owned(),
            boot: Boot::Next,
        };
        let value = u8::from(state == State::Enabled);
        all.push(Wanted {
            risk: Risk::AtReset,
            ..Wanted::new(format!("firmware.{name}"), place, &value)
        });
    }
    Ok(all)
}

/// Refuses stamps that the NIC cannot give, and buffers that are larger together than what the port has.
pub(super) fn fits(
    settings: &Settings,
    nic: &Nic,
    access: &mut dyn Access,
) -> Result<(), PlanError> {
    let parts = Parts { settings, nic };
    if let Some(which) = settings.timestamps {
        let interface = parts.interface("timestamps")?;
        if !access.can_stamp(interface, which)? {
            return Err(PlanError::NotStamped {
                name: settings.name.to_string(),
                interface: interface.to_owned(),
                which,
            });
        }
    }
    if settings.buffers.is_empty() {
        return Ok(());
    }
    let total = access.buffers_total(parts.interface("buffers")?)?;
    let wanted = Buffers::named(&settings.buffers).size();
    match wanted <= total {
        true => Ok(()),
        false => Err(PlanError::TooLarge {
            name: settings.name.to_string(),
            wanted,
            total,
        }),
    }
}

fn attribute(path: String) -> Place {
    Place::Attribute { path: path.into() }
}

/// What a NIC has, and what it is wanted for.
pub(super) struct Parts<'a> {
    pub(super) settings: &'a Settings,
    pub(super) nic: &'a Nic,
}

impl<'a> Parts<'a> {
    pub(super) fn pci(&self, setting: &'static str) -> Result<&'a str, PlanError> {
        let pci = self.nic.pci.as_deref();
        pci.ok_or_else(|| self.lacks("PCI address", setting))
    }

    fn rdma(&self, setting: &'static str) -> Result<&'a str, PlanError> {
        let device = self.nic.rdma.first();
        let device = device.ok_or_else(|| self.lacks("RDMA device", setting))?;
        Ok(&device.name)
    }

    fn interface(&self, setting: &'static str) -> Result<&'a str, PlanError> {
        let interface = self.nic.interfaces.first();
        let interface = interface.ok_or_else(|| self.lacks("interface", setting))?;
        Ok(&interface.name)
    }

    /// What connections of the RDMA device have unless they ask for something else (Documentation/ABI/testing/configfs-rdma_cm).
    fn connection_default(&self, setting: &'static str, file: &str) -> Result<Place, PlanError> {
        let device = self.rdma(setting)?;
        let path = format!("/sys/kernel/config/rdma_cm/{device}/ports/1/{file}");
        Ok(attribute(path))
    }

    fn lacks(&self, part: &'static str, setting: &'static str) -> PlanError {
        PlanError::NoPart {
            name: self.settings.name.to_string(),
            part,
            setting,
        }
    }
}
