//! Where on the PCI bus a NIC is, and how far GPUs are from it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::tree::Tree;

const PCI: &str = "/sys/bus/pci/devices";

/// PCI vendors of GPUs that RDMA reaches: NVIDIA, AMD (the PCI ID repository).
const MAKERS: [&str; 2] = ["0x10de", "0x1002"];

/// PCI classes of GPUs: VGA controller, 3D controller, processing accelerator.
const CLASSES: [&str; 3] = ["0x0300", "0x0302", "0x1200"];

/// How far a GPU is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct GpuPath {
    /// What lies between.
    pub way: Way,
    /// Its PCI address.
    pub gpu: String,
}

/// What lies between a NIC and a GPU, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// PCI bridges alone: the memory of one is read by the other past the processor.
    Switch,
    /// The processor's own PCI root.
    Root,
    /// The memory of one NUMA node.
    Node,
    /// The link between processors, or nobody knows.
    System,
}

/// The PCI function that `device` is or is part of, with its address: the innermost folder of its path that is named as one.
pub(super) fn function(device: &Path) -> Option<(String, PathBuf)> {
    device.ancestors().find_map(|path| {
        let name = path.file_name()?.to_str()?;
        is_address(name).then(|| (name.to_owned(), path.to_owned()))
    })
}

/// `0000:17:00.0`.
fn is_address(name: &str) -> bool {
    let parts: Vec<&str> = name.split([':', '.']).collect();
    let [domain, bus, device, function] = parts[..] else {
        return false;
    };
    let is_hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    domain.len() >= 4
        && bus.len() == 2
        && device.len() == 2
        && function.len() == 1
        && parts.iter().all(|part| is_hex(part))
        && name.contains('.')
}

/// −1 stands for none.
pub(super) fn numa_node(tree: &Tree, function: &Path) -> Option<u32> {
    tree.text(function.join("numa_node"))?.parse().ok()
}

/// Every GPU's place below /sys/devices.
pub(super) fn gpus(tree: &Tree) -> Vec<PathBuf> {
    let devices = tree.entries(PCI).into_iter();
    let devices = devices.filter(|address| is_gpu(tree, &Path::new(PCI).join(address)));
    devices
        .filter_map(|address| tree.target(Path::new(PCI).join(address)))
        .collect()
}

fn is_gpu(tree: &Tree, device: &Path) -> bool {
    let class = tree.text(device.join("class")).unwrap_or_default();
    CLASSES.iter().any(|gpu| class.starts_with(gpu))
        && tree
            .text(device.join("vendor"))
            .is_some_and(|vendor| MAKERS.contains(&vendor.as_str()))
}

/// How far each of `gpus` is from the NIC at `nic`, the nearest first.
pub(super) fn paths(tree: &Tree, nic: &Path, gpus: &[PathBuf]) -> Vec<GpuPath> {
    let mut paths: Vec<GpuPath> = gpus
        .iter()
        .filter_map(|gpu| {
            let (address, gpu) = function(gpu)?;
            Some(GpuPath {
                way: way(tree, nic, &gpu),
                gpu: address,
            })
        })
        .collect();
    paths.sort();
    paths
}

fn way(tree: &Tree, nic: &Path, gpu: &Path) -> Way {
    let names = nic.components().zip(gpu.components());
    let common = names.take_while(|(one, other)| one == other);
    let mut way = None;
    for (folder, _) in common {
        let name = folder.as_os_str().to_string_lossy();
        if is_address(&name) {
            way = Some(Way::Switch);
        } else if name.starts_with("pci") {
            way = Some(Way::Root);
        }
    }
    let node = numa_node(tree, nic);
    way.unwrap_or(match node.is_some() && node == numa_node(tree, gpu) {
        true => Way::Node,
        false => Way::System,
    })
}
