//! Which NICs there are: hardware with an interface or an RDMA device, and RDMA devices in software.
//!
//! From sysfs (Documentation/ABI/stable/sysfs-class-infiniband and testing/sysfs-class-net in the kernel's source) and devlink; no
//! vendor's tool is asked.

mod names;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use longhaul_topologies::hardware::DeviceName;
use longhaul_topologies::units::Rate;
use serde::Serialize;

use super::devlink::{self, DeviceInfo};
use super::tree::Tree;

pub use topology::{GpuPath, Way};

const INTERFACES: &str = "/sys/class/net";
const RDMA: &str = "/sys/class/infiniband";

/// A NIC: a function of a PCI card, or a device in software.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Nic {
    /// Its PCI address.
    pub pci: Option<String>,
    /// Who made it.
    pub vendor: Option<String>,
    /// What it is called.
    pub model: Option<String>,
    /// The kernel's driver.
    pub driver: Option<String>,
    /// Its firmware.
    pub firmware: Firmware,
    /// Its serial number, by devlink.
    pub serial: Option<String>,
    /// The NUMA node it is attached to.
    pub numa_node: Option<u32>,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// Its RDMA devices.
    pub rdma: Vec<RdmaDevice>,
    /// How far GPUs are, the nearest first.
    pub gpus: Vec<GpuPath>,
}

/// A NIC's firmware.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Firmware {
    /// What runs.
    pub running: Option<String>,
    /// What will run from the next restart on, if that is another.
    pub waiting: Option<String>,
    /// For which board it is made (PSID).
    pub board: Option<String>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `up`, `down`, `unknown`: RFC 2863's operational state.
    pub state: Option<String>,
    /// Of its link, while it is up.
    pub speed: Option<Rate>,
    /// The largest packet.
    pub mtu: Option<u32>,
    /// The clock with which it stamps packets, if it has one: `ptp0`.
    pub clock: Option<String>,
}

/// An RDMA device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RdmaDevice {
    /// Its name.
    pub name: String,
    /// What makes it: `hardware`, or `software` as soft-RoCE is.
    pub made_by: MadeBy,
    /// Its ports, from 1.
    pub ports: Vec<Port>,
}

/// What makes an RDMA device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MadeBy {
    /// A NIC.
    Hardware,
    /// The kernel, over any interface.
    Software,
}

/// A port of an RDMA device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Port {
    /// From 1.
    pub number: u32,
    /// `Ethernet` or `InfiniBand`.
    pub link_layer: Option<String>,
    /// `ACTIVE`, `DOWN`.
    pub state: Option<String>,
    /// Of its link.
    pub rate: Option<Rate>,
    /// The interface that it shares a link with.
    pub interface: Option<String>,
}

impl Nic {
    /// An interface by itself, as one without a device behind it is.
    pub(super) fn of_interface(name: &str) -> Self {
        Self {
            interfaces: vec![Interface {
                name: name.to_owned(),
                state: None,
                speed: None,
                mtu: None,
                clock: None,
            }],
            ..Self::default()
        }
    }

    /// Whether it is one of these interfaces, or has an RDMA device on one.
    fn carries(&self, interfaces: &BTreeSet<String>) -> bool {
        let ports = self.rdma.iter().flat_map(|device| &device.ports);
        let shared = ports.filter_map(|port| port.interface.as_ref());
        let own = self.interfaces.iter().map(|one| &one.name);
        own.chain(shared).any(|name| interfaces.contains(name))
    }

    /// Whether `name` means it: its PCI address, or one of its interfaces or RDMA devices.
    pub fn is_called(&self, name: &DeviceName) -> bool {
        let name = name.as_str();
        self.names().any(|own| own == name)
    }

    /// All that it can be called, RDMA devices first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let rdma = self.rdma.iter().map(|device| device.name.as_str());
        let interfaces = self.interfaces.iter().map(|one| one.name.as_str());
        rdma.chain(interfaces).chain(self.pci.as_deref())
    }
}

/// Every NIC of the machine, in the order of their PCI addresses; those in software last.
pub fn inventory(tree: &Tree) -> Vec<Nic> {
    let told = match tree.is_this_machine() {
        true => devlink::devices().unwrap_or_default(),
        false => Vec::new(),
    };
    merge(tree, &told)
}

/// What carries the data of `interface`: its NIC, or those that a bond or VLAN is on, RDMA devices on one of them, and the interface
/// itself where it is none of theirs.
pub(crate) fn carriers(tree: &Tree, interface: &str) -> Vec<Nic> {
    let mut names = BTreeSet::new();
    let mut next = vec![interface.to_owned()];
    while let Some(name) = next.pop() {
        // As the kernel links them (Documentation/ABI/testing/sysfs-class-net).
        let below = tree.entries(Path::new(INTERFACES).join(&name));
        let below = below
            .iter()
            .filter_map(|entry| entry.strip_prefix("lower_"));
        let below: Vec<String> = below.map(str::to_owned).collect();
        if names.insert(name) {
            next.extend(below);
        }
    }
    let mut nics = inventory(tree);
    nics.retain(|nic| nic.carries(&names));
    let mut known = nics.iter().flat_map(|nic| &nic.interfaces);
    if !known.any(|known| known.name == interface) {
        nics.push(Nic::of_interface(interface));
    }
    nics
}

/// What sysfs and devlink tell, together.
fn merge(tree: &Tree, told: &[DeviceInfo]) -> Vec<Nic> {
    // By where they are below /sys/devices, which is what both of a card's classes lead to.
    let mut found: BTreeMap<(bool, PathBuf), Nic> = BTreeMap::new();
    for name in tree.entries(INTERFACES) {
        let class = Path::new(INTERFACES).join(&name);
        // Without a device behind it, an interface is no NIC: lo, bridges, veth.
        if let Some(device) = tree.target(class.join("device")) {
            let interface = interface(tree, &name, &class);
            let nic = found.entry(key(&device)).or_default();
            // Not the PCI function's: a virtio interface has another below it.
            nic.driver = driver(tree, &device);
            nic.interfaces.push(interface);
        }
    }
    for name in tree.entries(RDMA) {
        let class = Path::new(RDMA).join(&name);
        let device = tree.target(class.join("device"));
        let made_by = match device {
            Some(_) => MadeBy::Hardware,
            None => MadeBy::Software,
        };
        let place = device.map_or_else(|| (true, class.clone()), |device| key(&device));
        let nic = found.entry(place).or_default();
        nic.firmware.running = tree.text(class.join("fw_ver"));
        nic.firmware.board = tree.text(class.join("board_id"));
        if made_by == MadeBy::Software {
            nic.model = Some(match tree.has(class.join("parent")) {
                // Only rdma_rxe has that file (drivers/infiniband/sw/rxe/rxe_verbs.c).
                true => "soft-RoCE".to_owned(),
                false => "RDMA in software".to_owned(),
            });
            // A device in software has no firmware; rdma_rxe shows an empty one.
            nic.firmware = Firmware::default();
        }
        nic.rdma.push(RdmaDevice {
            ports: ports(tree, &class),
            name,
            made_by,
        });
    }
    let gpus = topology::gpus(tree);
    let mut nics = Vec::new();
    for ((_, path), mut nic) in found {
        if let Some((address, function)) = topology::function(&path) {
            names::fill(tree, &mut nic, &function);
            nic.numa_node = topology::numa_node(tree, &function);
            nic.gpus = topology::paths(tree, &function, &gpus);
            if let Some(info) = told.iter().find(|info| info.name == address) {
                add(&mut nic, info);
            }
            nic.pci = Some(address);
        }
        nics.push(nic);
    }
    nics
}

/// Where a device is sorted: by its PCI function, hardware before software.
fn key(device: &Path) -> (bool, PathBuf) {
    let place = topology::function(device).map_or_else(|| device.to_owned(), |(_, path)| path);
    (false, place)
}

/// What devlink tells beside.
fn add(nic: &mut Nic, info: &DeviceInfo) {
    nic.serial.clone_from(&info.serial);
    // The names that drivers agreed on (Documentation/networking/devlink/devlink-info.rst).
    let version = |versions: &BTreeMap<String, String>| {
        let names = ["fw.version", "fw", "fw.mgmt"];
        names.iter().find_map(|name| versions.get(*name).cloned())
    };
    let running = version(&info.running);
    nic.firmware.waiting = version(&info.stored).filter(|stored| Some(stored) != running.as_ref());
    nic.firmware.running = running.or(nic.firmware.running.take());
    let board = info.fixed.get("fw.psid").cloned();
    nic.firmware.board = nic.firmware.board.take().or(board);
}

fn interface(tree: &Tree, name: &str, class: &Path) -> Interface {
    // −1, or an error, while the link is down.
    let megabits = tree.text(class.join("speed"));
    let megabits = megabits.and_then(|speed| speed.parse::<u64>().ok());
    Interface {
        name: name.to_owned(),
        state: tree.text(class.join("operstate")),
        speed: megabits
            .and_then(|megabits| megabits.checked_mul(1_000_000))
            .filter(|bits| *bits > 0)
            .map(Rate::from_bits_per_second),
        mtu: tree
            .text(class.join("mtu"))
            .and_then(|mtu| mtu.parse().ok()),
        clock: tree.entries(class.join("device/ptp")).into_iter().next(),
    }
}

fn ports(tree: &Tree, class: &Path) -> Vec<Port> {
    let numbers = tree.entries(class.join("ports"));
    let mut ports: Vec<Port> = numbers
        .iter()
        .filter_map(|number| Some((number.parse().ok()?, class.join("ports").join(number))))
        .map(|(number, port)| {
            let state = tree.text(port.join("state"));
            Port {
                number,
                link_layer: tree.text(port.join("link_layer")),
                // `4: ACTIVE`.
                state: state.map(|text| match text.split_once(": ") {
                    Some((_, word)) => word.to_owned(),
                    None => text,
                }),
                rate: tree.text(port.join("rate")).and_then(|text| rate(&text)),
                interface: shared(tree, &port),
            }
        })
        .collect();
    ports.sort_by_key(|port| port.number);
    ports
}

/// `400 Gb/sec (4X NDR)`, `2.5 Gb/sec (1X SDR)`.
fn rate(text: &str) -> Option<Rate> {
    let number = text.strip_suffix(')').unwrap_or(text);
    let (number, _) = number.split_once(" Gb/sec")?;
    number
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|gigabits| (0.001..1e6).contains(gigabits))
        .map(|gigabits| Rate::from_bits_per_second((gigabits * 1e9).round() as u64))
}

/// The interface of the port's first GID that has one; the kernel answers an error for the others.
fn shared(tree: &Tree, port: &Path) -> Option<String> {
    let folder = port.join("gid_attrs/ndevs");
    let mut indices: Vec<u32> = tree
        .entries(&folder)
        .iter()
        .filter_map(|index| index.parse().ok())
        .collect();
    indices.sort_unstable();
    indices
        .iter()
        .find_map(|index| tree.text(folder.join(index.to_string())))
}

fn driver(tree: &Tree, device: &Path) -> Option<String> {
    let target = tree.target(device.join("driver"))?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
