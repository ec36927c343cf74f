//! NICs and GPUs, from sysfs and the NVIDIA driver's /proc.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::host::entries;
use super::{Capability, State};

/// PCI vendor: Mellanox, now NVIDIA (the PCI ID repository).
const MELLANOX: &str = "0x15b3";

/// PCI vendor: NVIDIA.
const NVIDIA: &str = "0x10de";

/// PCI classes of GPUs: VGA controller, 3D controller.
const GPU_CLASSES: [&str; 2] = ["0x0300", "0x0302"];

const NIC_USE: &str = "physical labs";
const GPU_USE: &str = "NCCL workloads on GPUs";

/// Every interface with hardware behind it; one that is missing if there is none.
pub(super) fn nics(root: &Path) -> Vec<Capability> {
    let classes = root.join("sys/class/net");
    let rdma = rdma_devices(root);
    let nics: Vec<Capability> = entries(&classes)
        .iter()
        .filter(|name| classes.join(name).join("device").exists())
        .map(|name| {
            let device = classes.join(name).join("device");
            let vendor = text(&device.join("vendor"));
            let mut detail = match vendor.as_deref() {
                Some(MELLANOX) => "NVIDIA ConnectX".to_owned(),
                Some(other) => format!("PCI vendor {other}"),
                None => "no PCI device".to_owned(),
            };
            if let Some(driver) = fs::read_link(device.join("driver"))
                .ok()
                .as_deref()
                .and_then(Path::file_name)
            {
                detail += &format!(", driver {}", driver.to_string_lossy());
            }
            // −1, or an error, while the link is down.
            match text(&classes.join(name).join("speed"))
                .and_then(|speed| speed.parse::<u64>().ok())
            {
                Some(megabits) => detail += &format!(", {megabits} Mbit/s"),
                None => detail += ", speed unknown",
            }
            if let Some(device) = rdma.get(name) {
                detail += &format!(", RDMA device {device}");
            }
            Capability::new(format!("NIC {name}"), State::Present(detail), NIC_USE)
        })
        .collect();
    if nics.is_empty() {
        vec![Capability::new(
            "NIC",
            State::missing("no interface has hardware behind it", None),
            NIC_USE,
        )]
    } else {
        nics
    }
}

/// The first RDMA device, by its name.
pub(super) fn rdma(root: &Path) -> Capability {
    let devices = entries(&root.join("sys/class/infiniband"));
    let state = match devices.first() {
        Some(device) => State::Present(device.clone()),
        None => State::missing("nothing in /sys/class/infiniband", None),
    };
    Capability::new("RDMA device", state, "`perftest` workloads")
}

/// RDMA devices by the interface they share a PCI function with.
fn rdma_devices(root: &Path) -> BTreeMap<String, String> {
    let classes = root.join("sys/class/infiniband");
    let devices = entries(&classes).into_iter().flat_map(|device| {
        let interfaces = entries(&classes.join(&device).join("device/net"));
        interfaces
            .into_iter()
            .map(move |interface| (interface, device.clone()))
    });
    devices.collect()
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
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_connectx_is_told_by_its_vendor_with_its_rdma_device() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "sys/class/net/enp1s0np0/device/vendor", "0x15b3\n");
        write(root, "sys/class/net/enp1s0np0/speed", "400000\n");
        write(root, "sys/class/net/lo/mtu", "65536\n");
        write(
            root,
            "sys/class/infiniband/mlx5_0/device/net/enp1s0np0/mtu",
            "9000\n",
        );
        symlink(
            "../../../bus/pci/drivers/mlx5_core",
            root.join("sys/class/net/enp1s0np0/device/driver"),
        )
        .unwrap();
        let [nic] = &nics(root)[..] else {
            panic!("lo has no hardware")
        };
        assert_eq!(nic.name, "NIC enp1s0np0");
        let expected = "NVIDIA ConnectX, driver mlx5_core, 400000 Mbit/s, RDMA device mlx5_0";
        assert_eq!(nic.state, State::Present(expected.into()));
    }

    #[test]
    fn a_link_that_is_down_has_no_speed() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "sys/class/net/eth0/device/vendor", "0x8086\n");
        write(root.path(), "sys/class/net/eth0/speed", "-1\n");
        let [nic] = &nics(root.path())[..] else {
            panic!("one")
        };
        assert_eq!(
            nic.state,
            State::Present("PCI vendor 0x8086, speed unknown".into())
        );
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
