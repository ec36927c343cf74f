//! What NICs count, as metrics with units.
//!
//! RDMA devices count in `ports/N/counters` (Documentation/ABI/stable/sysfs-class-infiniband) and `ports/N/hw_counters`
//! (drivers/infiniband/hw/mlx5/counters.c, sw/rxe/rxe_hw_counters.c, hw/irdma/hw.c), interfaces by the names of their driver
//! (Documentation/networking/device_drivers/ethernet/mellanox/mlx5/counters.rst). A counter that nothing here knows keeps its name.

use super::ethtool;
use super::inventory::Nic;
use super::tree::Tree;
use crate::metrics::model::{self, Metric};
use crate::metrics::{Measurement, Number};

/// A counter as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Counter {
    /// The RDMA device or interface that counts.
    pub nic: String,
    /// Which port of an RDMA device.
    pub port: Option<u32>,
    /// The kernel's name.
    pub name: String,
    /// What it counts, as a metric.
    pub measured: Measurement,
}

/// Every counter of `nics`.
pub fn read(tree: &Tree, nics: &[Nic]) -> Vec<Counter> {
    let mut counters = Vec::new();
    for nic in nics {
        for device in &nic.rdma {
            for port in &device.ports {
                let number = port.number;
                for folder in ["counters", "hw_counters"] {
                    let folder = format!(
                        "/sys/class/infiniband/{}/ports/{number}/{folder}",
                        device.name
                    );
                    for name in tree.entries(&folder) {
                        let value = tree.text(format!("{folder}/{name}"));
                        let value = value.and_then(|text| text.parse().ok());
                        counters.extend(value.zip(meaning(&name)).map(|(value, meaning)| {
                            meaning.of(&device.name, Some(number), &name, value)
                        }));
                    }
                }
            }
        }
        if !tree.is_this_machine() {
            continue;
        }
        for interface in &nic.interfaces {
            // Many drivers have none.
            for (name, value) in ethtool::statistics(&interface.name).unwrap_or_default() {
                let meaning = is_wanted(&name).then(|| meaning(&name)).flatten();
                counters
                    .extend(meaning.map(|meaning| meaning.of(&interface.name, None, &name, value)));
            }
        }
    }
    counters
}

/// What a counter's number is.
struct Meaning {
    metric: &'static Metric,
    /// What tells it from the metric's other series of this NIC.
    attributes: Vec<String>,
    scale: Scale,
}

/// From the counter's number to the metric's.
#[derive(Clone, Copy)]
enum Scale {
    One,
    /// Words of four bytes.
    Words,
    Microseconds,
}

impl Meaning {
    fn of(self, nic: &str, port: Option<u32>, name: &str, value: u64) -> Counter {
        let mut attributes = vec![
            nic.to_owned(),
            port.map_or_else(String::new, |port| port.to_string()),
        ];
        attributes.extend(self.attributes);
        Counter {
            nic: nic.to_owned(),
            port,
            name: name.to_owned(),
            measured: Measurement {
                metric: self.metric,
                attributes,
                value: match self.scale {
                    Scale::One => Number::Count(value),
                    Scale::Words => Number::Count(value.saturating_mul(4)),
                    Scale::Microseconds => Number::Real(value as f64 / 1e6),
                },
            },
        }
    }
}

/// Of an interface's hundreds, those that tell how its link does.
fn is_wanted(name: &str) -> bool {
    name.ends_with("_phy") || name.contains("_prio") || name.contains("_rdma_")
}

/// `None` for what is a setting and no counter.
fn meaning(name: &str) -> Option<Meaning> {
    let series = |metric, attributes: &[&str], scale| {
        Some(Meaning {
            metric,
            attributes: attributes.iter().map(ToString::to_string).collect(),
            scale,
        })
    };
    let one = |metric, attributes: &[&str]| series(metric, attributes, Scale::One);
    match name {
        // For how long the kernel keeps what it has read.
        "lifespan" => return None,
        "port_xmit_data" => return series(&model::NIC_IO, &["transmit"], Scale::Words),
        "port_rcv_data" => return series(&model::NIC_IO, &["receive"], Scale::Words),
        "tx_bytes_phy" => return one(&model::NIC_IO, &["transmit"]),
        "rx_bytes_phy" => return one(&model::NIC_IO, &["receive"]),
        "port_xmit_packets" | "sent_pkts" | "tx_packets_phy" => {
            return one(&model::NIC_PACKETS, &["transmit"]);
        }
        "port_rcv_packets" | "rcvd_pkts" | "rx_packets_phy" => {
            return one(&model::NIC_PACKETS, &["receive"]);
        }
        "port_xmit_discards" | "tx_discards_phy" => return one(&model::NIC_DROPPED, &["transmit"]),
        "rx_discards_phy" => return one(&model::NIC_DROPPED, &["receive"]),
        "port_xmit_wait" => return one(&model::NIC_WAIT, &[]),
        "np_ecn_marked_roce_packets" | "RxECNMrkd" => return one(&model::NIC_MARKED, &[]),
        "np_cnp_sent" | "cnpSent" => return one(&model::NIC_CNP, &["sent"]),
        "rp_cnp_handled" | "cnpHandled" => return one(&model::NIC_CNP, &["handled"]),
        "rp_cnp_ignored" | "cnpIgnored" => return one(&model::NIC_CNP, &["ignored"]),
        "tx_vport_rdma_unicast_bytes" | "rdma_tx_bytes" => {
            return one(&model::NIC_RDMA_IO, &["transmit"]);
        }
        "rx_vport_rdma_unicast_bytes" | "rdma_rx_bytes" => {
            return one(&model::NIC_RDMA_IO, &["receive"]);
        }
        "tx_vport_rdma_unicast_packets" | "rdma_tx_packets" => {
            return one(&model::NIC_RDMA_PACKETS, &["transmit"]);
        }
        "rx_vport_rdma_unicast_packets" | "rdma_rx_packets" => {
            return one(&model::NIC_RDMA_PACKETS, &["receive"]);
        }
        _ => {}
    }
    if let Some((direction, priority, what)) = by_priority(name) {
        let attributes = [direction, priority];
        match what {
            "pause" => return one(&model::NIC_PAUSES, &attributes),
            "pause_duration" => {
                return series(&model::NIC_PAUSED, &attributes, Scale::Microseconds);
            }
            "bytes" => return one(&model::NIC_PRIORITY_IO, &attributes),
            "packets" => return one(&model::NIC_PRIORITY_PACKETS, &attributes),
            _ => {}
        }
    }
    let lower = name.to_lowercase();
    // `rx_64_bytes_phy` counts packets of that size.
    let counts_bytes = lower.ends_with("bytes") || lower.ends_with("octets");
    match counts_bytes {
        true => one(&model::NIC_OTHER_IO, &[name]),
        false => one(&model::NIC_EVENTS, &[name]),
    }
}

/// `rx_prio3_pause` as `receive`, `3`, `pause`.
fn by_priority(name: &str) -> Option<(&'static str, &str, &str)> {
    let (side, rest) = name.split_once("_prio")?;
    let (priority, what) = rest.split_once('_')?;
    let direction = match side {
        "rx" => "receive",
        "tx" => "transmit",
        _ => return None,
    };
    Some((direction, priority, what))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::fixture;
    use super::super::inventory::inventory;
    use super::*;

    fn counters(text: &str) -> Vec<Counter> {
        let folder = tempfile::tempdir().unwrap();
        fixture::lay(folder.path(), text);
        let tree = Tree::at(folder.path());
        read(&tree, &inventory(&tree))
    }

    fn value(counters: &[Counter], nic: &str, name: &str) -> (Number, String) {
        let found = counters
            .iter()
            .find(|one| one.nic == nic && one.name == name);
        let found = found.unwrap_or_else(|| panic!("{name}"));
        (found.measured.value, found.measured.metric.unit.ucum())
    }

    #[test]
    fn data_of_a_port_is_counted_in_words_of_four_bytes() {
        let counters = counters(include_str!("fixtures/connectx7.tree"));
        let bytes = |count| (Number::Count(count), "By".to_owned());
        assert_eq!(value(&counters, "mlx5_0", "port_xmit_data"), bytes(4000));
        assert_eq!(value(&counters, "mlx5_0", "port_rcv_data"), bytes(10_000));
        let (waited, unit) = value(&counters, "mlx5_0", "port_xmit_wait");
        assert_eq!((waited, unit.as_str()), (Number::Count(7), "{tick}"));
    }

    #[test]
    fn soft_roce_and_others_count_too_and_settings_do_not() {
        let soft = counters(include_str!("fixtures/soft-roce.tree"));
        let packets = (Number::Count(100), "{packet}".to_owned());
        assert_eq!(value(&soft, "rxe0", "sent_pkts"), packets);
        assert!(soft.iter().all(|one| one.name != "lifespan"));
        let intel = counters(include_str!("fixtures/irdma.tree"));
        let marked = (Number::Count(3), "{packet}".to_owned());
        assert_eq!(value(&intel, "irdma0", "RxECNMrkd"), marked);
        let octets = (Number::Count(1000), "By".to_owned());
        assert_eq!(value(&intel, "irdma0", "ip4InOctets"), octets);
    }

    #[test]
    fn a_series_is_measured_once_with_all_its_attributes() {
        let counters = counters(include_str!("fixtures/connectx7.tree"));
        let mut seen = BTreeSet::new();
        for one in counters.iter().map(|counter| &counter.measured) {
            assert_eq!(one.attributes.len(), one.metric.attributes.len(), "{one:?}");
            assert!(seen.insert((one.metric.name, &one.attributes)), "{one:?}");
        }
    }

    #[test]
    fn names_of_interfaces_counters_have_units_and_priorities() {
        for (name, metric, attributes, scaled) in [
            (
                "rx_prio3_pause_duration",
                model::NIC_PAUSED,
                vec!["receive", "3"],
                Number::Real(2.0),
            ),
            (
                "tx_prio5_pause",
                model::NIC_PAUSES,
                vec!["transmit", "5"],
                Number::Count(2_000_000),
            ),
            (
                "rx_prio0_bytes",
                model::NIC_PRIORITY_IO,
                vec!["receive", "0"],
                Number::Count(2_000_000),
            ),
            (
                "rx_prio0_cong_discard",
                model::NIC_EVENTS,
                vec!["rx_prio0_cong_discard"],
                Number::Count(2_000_000),
            ),
            (
                "rx_corrected_bits_phy",
                model::NIC_EVENTS,
                vec!["rx_corrected_bits_phy"],
                Number::Count(2_000_000),
            ),
            (
                "rx_64_bytes_phy",
                model::NIC_EVENTS,
                vec!["rx_64_bytes_phy"],
                Number::Count(2_000_000),
            ),
            (
                "tx_bytes_phy",
                model::NIC_IO,
                vec!["transmit"],
                Number::Count(2_000_000),
            ),
        ] {
            assert!(is_wanted(name), "{name}");
            let counter = meaning(name)
                .unwrap()
                .of("eth0", None, name, 2_000_000)
                .measured;
            assert_eq!((counter.metric, counter.value), (&metric, scaled), "{name}");
            assert_eq!(counter.attributes[2..], attributes, "{name}");
        }
        assert!(!is_wanted("rx0_packets"));
    }
}
