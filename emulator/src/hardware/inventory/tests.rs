use super::super::fixture;
use super::*;

const CONNECTX7: &str = include_str!("../fixtures/connectx7.tree");
const SOFT_ROCE: &str = include_str!("../fixtures/soft-roce.tree");
const IRDMA: &str = include_str!("../fixtures/irdma.tree");

fn nics(text: &str, told: &[DeviceInfo]) -> Vec<Nic> {
    let root = tempfile::tempdir().unwrap();
    fixture::lay(root.path(), text);
    merge(&Tree::at(root.path()), told)
}

fn gbit(text: &str) -> Rate {
    text.parse().unwrap()
}

#[test]
fn a_connectx_of_two_ports_is_two_nics_with_interface_and_rdma_device_each() {
    let nics = nics(CONNECTX7, &[]);
    let [first, second] = &nics[..] else {
        panic!("{nics:#?}")
    };
    let names: Vec<&str> = first.names().collect();
    assert_eq!(names, ["mlx5_0", "enp25s0f0np0", "0000:19:00.0"]);
    assert_eq!(first.model.as_deref(), Some("ConnectX-7"));
    assert_eq!(first.driver.as_deref(), Some("mlx5_core"));
    assert_eq!(first.firmware.running.as_deref(), Some("28.39.1002"));
    assert_eq!(first.firmware.board.as_deref(), Some("MT_0000000838"));
    assert_eq!(first.numa_node, Some(0));
    assert_eq!(first.interfaces[0].speed, Some(gbit("400Gbit")));
    assert_eq!(first.interfaces[0].clock.as_deref(), Some("ptp0"));
    let port = &first.rdma[0].ports[0];
    assert_eq!(port.state.as_deref(), Some("ACTIVE"));
    assert_eq!(port.rate, Some(gbit("400Gbit")));
    assert_eq!(port.interface.as_deref(), Some("enp25s0f0np0"));
    // A link that is down has no speed.
    assert_eq!(second.interfaces[0].speed, None);
}

#[test]
fn the_gpu_behind_the_same_switch_is_nearer_than_the_one_at_the_other_processor() {
    let nics = nics(CONNECTX7, &[]);
    let path = |way, gpu: &str| GpuPath {
        way,
        gpu: gpu.into(),
    };
    let expected = [
        path(Way::Switch, "0000:1a:00.0"),
        path(Way::System, "0000:9a:00.0"),
    ];
    assert_eq!(nics[0].gpus, expected);
}

#[test]
fn firmware_that_waits_for_a_restart_is_told_where_it_differs() {
    let version = |version: &str| BTreeMap::from([("fw.version".to_owned(), version.to_owned())]);
    let told = |name: &str, stored: &str| DeviceInfo {
        name: name.into(),
        serial: Some("MT2245X00000".into()),
        running: version("28.39.1002"),
        stored: version(stored),
        ..DeviceInfo::default()
    };
    let told = [
        told("0000:19:00.0", "28.40.1000"),
        told("0000:19:00.1", "28.39.1002"),
    ];
    let nics = nics(CONNECTX7, &told);
    assert_eq!(nics[0].firmware.waiting.as_deref(), Some("28.40.1000"));
    assert_eq!(nics[1].firmware.waiting, None);
    assert_eq!(nics[0].serial.as_deref(), Some("MT2245X00000"));
}

#[test]
fn soft_roce_is_a_device_in_software_over_another_nics_interface() {
    let nics = nics(SOFT_ROCE, &[]);
    let [virtio, soft] = &nics[..] else {
        panic!("{nics:#?}")
    };
    assert_eq!(virtio.pci.as_deref(), Some("0000:00:03.0"));
    assert_eq!(virtio.driver.as_deref(), Some("virtio_net"));
    assert_eq!(virtio.numa_node, None);
    assert_eq!(soft.model.as_deref(), Some("soft-RoCE"));
    assert_eq!(soft.rdma[0].made_by, MadeBy::Software);
    assert_eq!(soft.rdma[0].ports[0].interface.as_deref(), Some("eth0"));
    assert_eq!(soft.rdma[0].ports[0].rate, Some(gbit("2.5Gbit")));
    assert_eq!(
        (&soft.pci, soft.firmware.clone()),
        (&None, Firmware::default())
    );
}

#[test]
fn another_makers_rdma_is_there_too() {
    let nics = nics(IRDMA, &[]);
    let [nic] = &nics[..] else {
        panic!("{nics:#?}")
    };
    assert_eq!(nic.vendor.as_deref(), Some("PCI vendor 8086"));
    assert_eq!(nic.rdma[0].name, "irdma0");
    assert_eq!(nic.firmware.board, None);
}

#[test]
fn an_empty_machine_has_none() {
    assert_eq!(nics("[/sys]", &[]), []);
}

/// Whatever it has: nothing of it is an error.
#[test]
fn this_machine_can_be_looked_at() {
    for nic in inventory(&Tree::at(Path::new("/"))) {
        assert!(nic.names().next().is_some(), "{nic:?}");
    }
}

#[test]
fn the_carriers_of_an_interface_are_what_it_is_on_and_rdma_devices_there() {
    let of = |text: &str, interface: &str| -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        fixture::lay(root.path(), text);
        let nics = carriers(&Tree::at(root.path()), interface);
        let names = nics
            .iter()
            .map(|nic| nic.names().next().unwrap().to_owned());
        names.collect()
    };
    assert_eq!(of(CONNECTX7, "enp25s0f0np0"), ["mlx5_0"]);
    // Soft-RoCE is a device of its own.
    assert_eq!(of(SOFT_ROCE, "eth0"), ["eth0", "rxe0"]);
    assert_eq!(of(SOFT_ROCE, "veth7"), ["veth7"]);
    // A VLAN on a bond, and a link that leads back.
    let bonded = format!(
        "{CONNECTX7}\n[/sys/class/net/bond0.7]\nlower_bond0 -> ../bond0\n[/sys/class/net/bond0]\n\
         lower_enp25s0f0np0 -> ../enp25s0f0np0\nlower_enp25s0f1np1 -> ../enp25s0f1np1\nlower_bond0.7 -> ../bond0.7\n"
    );
    assert_eq!(of(&bonded, "bond0.7"), ["mlx5_0", "mlx5_1", "bond0.7"]);
}
