//! NICs and GPUs, from sysfs and the NVIDIA driver's /proc.

use std::fs;
use std::path::Path;

use super::host::entries;
use super::{Capability, State};
use crate::hardware::inventory::Nic;

/// PCI vendor: NVIDIA.
const NVIDIA: &str = "0x10de";

/// PCI classes of GPUs: VGA controller, 3D controller.
const GPU_CLASSES: [&str; 2] = ["0x0300", "0x0302"];

const NIC_USE: &str = "physical labs";
const GPU_USE: &str = "NCCL workloads on GPUs";

/// Every interface with hardware behind it; one that is missing if there is none.
pub(super) fn nics(nics: &[Nic]) -> Vec<Capability> {
    let interfaces = nics
        .iter()
        .flat_map(|nic| nic.interfaces.iter().map(move |interface| (nic, interface)));
    let found: Vec<Capability> = interfaces
        .map(|(nic, interface)| {
            let mut detail = [nic.vendor.clone(), nic.model.clone()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" ");
            if let Some(driver) = &nic.driver {
                detail += &format!(", driver {driver}");
            }
            match interface.speed {
                Some(speed) => detail += &format!(", {speed}"),
                None => detail += ", speed unknown",
            }
            for device in &nic.rdma {
                detail += &format!(", RDMA device {}", device.name);
            }
            let name = format!("NIC {}", interface.name);
            Capability::new(name, State::Present(detail), NIC_USE)
        })
        .collect();
    if found.is_empty() {
        vec![Capability::new(
            "NIC",
            State::missing("no interface has hardware behind it", None),
            NIC_USE,
        )]
    } else {
        found
    }
}

/// The first RDMA device, by its name.
pub(super) fn rdma(nics: &[Nic]) -> Capability {
    let state = match nics.iter().flat_map(|nic| &nic.rdma).next() {
        Some(device) => State::Present(device.name.clone()),
        None => State::missing("nothing in /sys/class/infiniband", None),
    };
    Capability::new("RDMA device", state, "`perftest` workloads")
}

/// Every NVIDIA GPU; one that is missing if there is none.
pub(super) fn gpus(root: &Path) -> Vec<Capability> {
    let by_driver = root.join("proc/driver/nvidia/gpus");
    let named: Vec<Capability> = entries(&by_driver)
        .iter()
        .map(|address| {
            let information =
                text(&by_driver.join(address).join("information")).unwrap_or_default();
            let model = information
                .lines()
                .find_map(|line| line.strip_prefix("Model:"));
            let model = model.map_or("NVIDIA GPU", str::trim);
            Capability::new(
                format!("GPU {address}"),
                State::Present(model.into()),
                GPU_USE,
            )
        })
        .collect();
    if !named.is_empty() {
        return named;
    }
    let devices = root.join("sys/bus/pci/devices");
    let without_driver: Vec<Capability> = entries(&devices)
        .iter()
        .filter(|address| is_gpu(&devices.join(address)))
        .map(|address| {
            let remedy = "install NVIDIA's driver: https://docs.nvidia.com/datacenter/tesla/driver-installation-guide";
            let state = State::missing("an NVIDIA GPU without its driver", Some(remedy.into()));
            Capability::new(format!("GPU {address}"), state, GPU_USE)
        })
        .collect();
    if without_driver.is_empty() {
        vec![Capability::new(
            "GPU",
            State::missing("no NVIDIA GPU on the PCI bus", None),
            GPU_USE,
        )]
    } else {
        without_driver
    }
}

fn is_gpu(device: &Path) -> bool {
    let class = text(&device.join("class")).unwrap_or_default();
    text(&device.join("vendor")).as_deref() == Some(NVIDIA)
        && GPU_CLASSES.iter().any(|gpu| class.starts_with(gpu))
}

fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::inventory::{Interface, MadeBy, RdmaDevice};

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn nic(speed: Option<&str>) -> Nic {
        Nic {
            vendor: Some("Mellanox Technologies".into()),
            model: Some("ConnectX-7".into()),
            driver: Some("mlx5_core".into()),
            interfaces: vec![Interface {
                name: "enp1s0np0".into(),
                state: None,
                speed: speed.map(|speed| speed.parse().unwrap()),
                mtu: None,
                clock: None,
            }],
            rdma: vec![RdmaDevice {
                name: "mlx5_0".into(),
                made_by: MadeBy::Hardware,
                ports: Vec::new(),
            }],
            ..Nic::default()
        }
    }

    #[test]
    fn a_nic_is_told_with_its_speed_and_its_rdma_device() {
        for (speed, shown) in [(Some("400Gbit"), "400Gbit"), (None, "speed unknown")] {
            let [told] = &nics(&[nic(speed)])[..] else {
                panic!("one")
            };
            assert_eq!(told.name, "NIC enp1s0np0");
            let expected = format!(
                "Mellanox Technologies ConnectX-7, driver mlx5_core, {shown}, RDMA device mlx5_0"
            );
            assert_eq!(told.state, State::Present(expected));
        }
        assert_eq!(rdma(&[nic(None)]).state, State::Present("mlx5_0".into()));
        assert!(matches!(nics(&[])[0].state, State::Missing { .. }));
    }

    #[test]
    fn a_gpu_without_a_driver_is_missing_and_one_with_it_is_named() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
        write(root, "sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n");
        write(root, "sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n");
        write(root, "sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n");
        let [gpu] = &gpus(root)[..] else {
            panic!("its audio function is no GPU")
        };
        assert!(matches!(
            gpu.state,
            State::Missing {
                remedy: Some(_),
                ..
            }
        ));

        write(
            root,
            "proc/driver/nvidia/gpus/0000:01:00.0/information",
            "Model: \t\t NVIDIA H100\nIRQ: 16\n",
        );
        assert_eq!(gpus(root)[0].state, State::Present("NVIDIA H100".into()));
    }
}
