//! This machine's NICs and the switches that it reaches, as places.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Component, Path};
use std::str::FromStr;
use std::time::Duration;

use longhaul_topologies::hardware::{Login, Mark, Priority, Timestamps};
use longhaul_topologies::units::ByteSize;

use super::controller::{self, Controller, Parameter};
use super::firmware::{self, Boot};
use super::place::{Access, AccessError, NONE, Place, UNSET, Value, at};
use super::plan::{list, order};
use super::switch::{self, Control, View};
use super::tree::Tree;
use super::{dcb, register, stamping};

/// What a ConnectX's traffic class reads before its number (`traffic_class_show` in the vendor's mlx5_ib).
const TRAFFIC_CLASS: &str = "Global tclass=";
/// What unsets it: it is kept as −1 until it is set (`init_tc_sysfs` there).
const NO_TRAFFIC_CLASS: &str = "-1";

/// The real thing, or a copy of a machine's files.
pub struct Machine {
    tree: Tree,
    /// How long a switch may take to apply.
    patience: Duration,
    /// Those that were asked already.
    switches: Vec<(Login, Box<dyn Control>)>,
}

impl Machine {
    /// The machine with these files. A switch may take as long as `patience` to apply a revision.
    pub fn new(tree: Tree, patience: Duration) -> Self {
        Machine {
            tree,
            patience,
            switches: Vec::new(),
        }
    }

    fn switch(&mut self, name: &str, login: &Login) -> Result<&dyn Control, AccessError> {
        let known = self.switches.iter().position(|(known, _)| known == login);
        let index = match known {
            Some(index) => index,
            None => {
                let switch = switch::open(login, self.patience)
                    .map_err(|source| AccessError::of_switch(name, login, source))?;
                self.switches.push((login.clone(), switch));
                self.switches.len() - 1
            }
        };
        Ok(&*self.switches[index].1)
    }

    /// Writes a file of the kernel's, and no other: what a journal names was read from a file.
    fn write_file(&self, place: &Place, path: &Path, text: &str) -> Result<(), AccessError> {
        let is_plain = |part: Component| matches!(part, Component::RootDir | Component::Normal(_));
        if !path.starts_with("/sys") || !path.components().all(is_plain) {
            return Err(AccessError::Failed {
                place: place.to_string(),
                reason: "this is no file of the kernel's".to_owned(),
            });
        }
        let written = self.tree.write(path, text);
        written.map_err(|error| file(place, path, &error))
    }

    /// Refuses what is no file where there are only files.
    fn must_be_this_machine(&self, place: &dyn fmt::Display) -> Result<(), AccessError> {
        match self.tree.is_this_machine() {
            true => Ok(()),
            false => Err(AccessError::Missing {
                place: place.to_string(),
                way_out: "a copy of a machine's files has no netlink and no registers".to_owned(),
            }),
        }
    }
}

impl Access for Machine {
    fn read(&mut self, place: &Place) -> Result<Value, AccessError> {
        match place {
            Place::Attribute { .. } | Place::TrafficClass { .. } | Place::Switch { .. } => {}
            _ => self.must_be_this_machine(place)?,
        }
        let text = match place {
            Place::Attribute { path } => self
                .tree
                .read(path)
                .map_err(|error| file(place, path, &error))?,
            Place::TrafficClass { path } => {
                let text = self
                    .tree
                    .read(path)
                    .map_err(|error| file(place, path, &error))?;
                let first = text
                    .lines()
                    .find_map(|line| line.strip_prefix(TRAFFIC_CLASS));
                first.unwrap_or(UNSET).to_owned()
            }
            Place::Pfc { interface } => {
                list(&dcb::pfc(interface).map_err(|error| interface_error(place, &error))?)
            }
            Place::Dscp { interface } => {
                let map = dcb::dscp(interface).map_err(|error| interface_error(place, &error))?;
                map.to_string()
            }
            Place::TrustOrder { interface } => {
                order(&dcb::trust(interface).map_err(|error| interface_error(place, &error))?)
            }
            Place::Timestamps { interface } => {
                let stamping = stamping::stamping(interface);
                stamping
                    .map_err(|error| interface_error(place, &error))?
                    .to_string()
            }
            Place::Buffers { interface } => {
                let buffers =
                    dcb::buffers(interface).map_err(|error| interface_error(place, &error))?;
                buffers.to_string()
            }
            Place::Register { pci, field } => register::read(place, pci, field)?,
            Place::Firmware { pci, name, boot } => firmware::read(place, pci, name, *boot)?,
            Place::Controller { pci, slot } => controller::is_enabled(place, pci, *slot)?,
            Place::ControllerParameter { pci, slot, index } => {
                controller::parameter(place, pci, *slot, *index)?
            }
            Place::Switch {
                name, login, paths, ..
            } => {
                let config = self.switch(name, login)?.config(View::Set);
                let config =
                    config.map_err(|source| AccessError::of_switch(name, login, source))?;
                let values = paths.iter();
                let values = values.map(|path| (path.clone(), at(&config, path).clone()));
                return Ok(Value::Config(values.collect()));
            }
        };
        Ok(Value::Text(text))
    }

    fn write(
        &mut self,
        place: &Place,
        value: &Value,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), AccessError> {
        match (place, value) {
            (Place::Attribute { path }, Value::Text(text)) => self.write_file(place, path, text),
            (Place::TrafficClass { path }, Value::Text(text)) => {
                let text = match text.as_str() {
                    UNSET => NO_TRAFFIC_CLASS,
                    number => number,
                };
                self.write_file(place, path, text)
            }
            (Place::Pfc { interface }, Value::Text(text)) => {
                self.must_be_this_machine(place)?;
                let priorities = priorities(place, text)?;
                dcb::set_pfc(interface, &priorities).map_err(|error| interface_error(place, &error))
            }
            (Place::Dscp { interface }, Value::Text(text)) => {
                self.must_be_this_machine(place)?;
                let map = parse(place, text)?;
                dcb::set_dscp(interface, &map).map_err(|error| interface_error(place, &error))
            }
            (Place::TrustOrder { interface }, Value::Text(text)) => {
                self.must_be_this_machine(place)?;
                dcb::set_trust(interface, &marks(place, text)?)
                    .map_err(|error| interface_error(place, &error))
            }
            (Place::Timestamps { interface }, Value::Text(text)) => {
                self.must_be_this_machine(place)?;
                let which = parse(place, text)?;
                stamping::set(interface, which).map_err(|error| interface_error(place, &error))
            }
            (Place::Buffers { interface }, Value::Text(text)) => {
                self.must_be_this_machine(place)?;
                let buffers = parse(place, text)?;
                dcb::set_buffers(interface, &buffers)
                    .map_err(|error| interface_error(place, &error))
            }
            (Place::Register { pci, field }, Value::Text(text)) => {
                self.must_be_this_machine(place)?;
                register::write(place, pci, field, text)
            }
            (
                Place::Firmware {
                    pci,
                    name,
                    boot: Boot::Next,
                },
                Value::Text(text),
            ) => {
                self.must_be_this_machine(place)?;
                firmware::write(place, pci, name, text)
            }
            (Place::Controller { pci, slot }, Value::Text(text)) => {
                self.must_be_this_machine(place)?;
                controller::enable(place, pci, *slot, text)
            }
            (Place::ControllerParameter { pci, slot, index }, Value::Text(text)) => {
                self.must_be_this_machine(place)?;
                controller::set_parameter(place, pci, *slot, *index, text)
            }
            (
                Place::Switch {
                    name,
                    login,
                    absent,
                    ..
                },
                Value::Config(config),
            ) => {
                let switch = self.switch(name, login)?;
                switch
                    .set(config, absent, note)
                    .map_err(|source| AccessError::of_switch(name, login, source))
            }
            // Only a journal that somebody has changed says so.
            (place, value) => Err(AccessError::Failed {
                place: place.to_string(),
                reason: format!("`{value}` is no value of it"),
            }),
        }
    }

    fn can_stamp(&mut self, interface: &str, which: Timestamps) -> Result<bool, AccessError> {
        let place = Place::Timestamps {
            interface: interface.to_owned(),
        };
        self.must_be_this_machine(&place)?;
        let abilities =
            stamping::abilities(interface).map_err(|error| interface_error(&place, &error))?;
        Ok(abilities.allow(which.into()))
    }

    fn buffers_total(&mut self, interface: &str) -> Result<ByteSize, AccessError> {
        let place = Place::Buffers {
            interface: interface.to_owned(),
        };
        self.must_be_this_machine(&place)?;
        dcb::buffers_total(interface).map_err(|error| interface_error(&place, &error))
    }

    fn controllers(&mut self, pci: &str) -> Result<Vec<Controller>, AccessError> {
        self.must_be_this_machine(&format_args!("the firmware of {pci}"))?;
        controller::controllers(pci)
    }

    fn parameters(&mut self, pci: &str, slot: u8) -> Result<Vec<Parameter>, AccessError> {
        self.must_be_this_machine(&format_args!("the firmware of {pci}"))?;
        controller::parameters(pci, slot)
    }

    fn effective(&mut self, name: &str, login: &Login) -> Result<serde_json::Value, AccessError> {
        let config = self.switch(name, login)?.config(View::Effective);
        config.map_err(|source| AccessError::of_switch(name, login, source))
    }
}

/// A value as it is kept.
fn parse<T: FromStr<Err = String>>(place: &Place, text: &str) -> Result<T, AccessError> {
    text.parse().map_err(|reason| AccessError::Failed {
        place: place.to_string(),
        reason,
    })
}

fn marks(place: &Place, text: &str) -> Result<Vec<Mark>, AccessError> {
    let words = text.split(',').filter(|word| *word != NONE);
    let read = |word: &str| Mark::ALL.into_iter().find(|mark| mark.name() == word);
    let all: Option<Vec<Mark>> = words.map(read).collect();
    all.ok_or_else(|| AccessError::Failed {
        place: place.to_string(),
        reason: format!("`{text}` is no order of trust"),
    })
}

fn priorities(place: &Place, text: &str) -> Result<BTreeSet<Priority>, AccessError> {
    if text == NONE {
        return Ok(BTreeSet::new());
    }
    let read = |word: &str| Priority::try_from(word.parse::<u8>().ok()?).ok();
    let all: Option<BTreeSet<Priority>> = text.split(',').map(read).collect();
    all.ok_or_else(|| AccessError::Failed {
        place: place.to_string(),
        reason: format!("`{text}` is no list of priorities"),
    })
}

/// What the kernel answers about a file, with what brings it.
fn file(place: &Place, path: &Path, error: &io::Error) -> AccessError {
    let place = place.to_string();
    match error.kind() {
        io::ErrorKind::PermissionDenied => AccessError::Denied { place },
        io::ErrorKind::NotFound => AccessError::Missing {
            way_out: bringer(path),
            place,
        },
        _ => AccessError::Failed {
            place,
            reason: error.to_string(),
        },
    }
}

fn bringer(path: &Path) -> String {
    const CONNECTIONS: &str = "/sys/kernel/config/rdma_cm";
    if let Ok(rest) = path.strip_prefix(CONNECTIONS) {
        let device = rest.iter().next().unwrap_or_default().display();
        return format!(
            "it takes the module rdma_cm, configfs (mount -t configfs none /sys/kernel/config) and a folder for the device there (mkdir \
             {CONNECTIONS}/{device})"
        );
    }
    match path.starts_with("/sys/kernel/debug") {
        true => "it takes debugfs (mount -t debugfs none /sys/kernel/debug), the modules mlx5_core and mlx5_ib, and a NIC whose firmware lets the \
                 driver set congestion control",
        false => "it takes NVIDIA's own driver (DOCA-OFED); the kernel's has no such file",
    }
    .to_owned()
}

fn interface_error(place: &Place, error: &io::Error) -> AccessError {
    let lacks = match place {
        Place::Dscp { .. } => "the interface's driver has no priorities by DSCP",
        Place::Buffers { .. } => {
            "the interface's driver, or its firmware, lets nobody divide its buffers"
        }
        Place::TrustOrder { .. } => {
            "the interface's driver has none, or Linux is older than 6.2; ConnectX trusts by `trust`"
        }
        Place::Timestamps { .. } => "the interface's driver stamps no packets",
        _ => "the interface's driver has no priority flow control",
    };
    let place = place.to_string();
    match error.raw_os_error() {
        Some(libc::EPERM) => AccessError::Denied { place },
        Some(libc::ENODEV) => AccessError::Missing {
            place,
            way_out: "there is no such interface".to_owned(),
        },
        // As mlx5's update_xoff_threshold has it (en/port_buffer.c).
        Some(libc::ENOMEM) => AccessError::Failed {
            place,
            reason: "a buffer is too small for a priority that pauses".to_owned(),
        },
        _ if error.kind() == io::ErrorKind::Unsupported => AccessError::Missing {
            place,
            way_out: lacks.to_owned(),
        },
        _ => AccessError::Failed {
            place,
            reason: error.to_string(),
        },
    }
}
