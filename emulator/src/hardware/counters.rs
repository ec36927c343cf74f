//! What NICs count, as metrics with units.
//!
//! RDMA devices count in `ports/N/counters` (Documentation/ABI/stable/sysfs-class-infiniband) and `ports/N/hw_counters`
//! (drivers/infiniband/hw/mlx5/counters.c, sw/rxe/rxe_hw_counters.c, hw/irdma/hw.c), interfaces by the names of their driver
//! (Documentation/networking/device_drivers/ethernet/mellanox/mlx5/counters.rst), or as the kernel counts for every interface
//! (Documentation/networking/statistics.rst). A counter that nothing here knows keeps its name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ethtool;
use super::inventory::{Interface, Nic};
use super::tree::Tree;
use crate::metrics::model::{self, Metric};
use crate::metrics::{Measurement, Number};
use crate::telemetry::columns;

/// A counter's number as the kernel gives it: what machines tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The RDMA device or interface that counts.
    pub nic: String,
    /// Which port of an RDMA device.
    pub port: Option<u32>,
    /// The kernel's name.
    pub name: String,
    /// The number, in a unit of the kernel's.
    pub value: u64,
}

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

impl Counter {
    /// What the kernel's number means; `None` for what is a setting and no counter.
    pub fn of(count: Count) -> Option<Self> {
        let meaning = meaning(&count.name)?;
        Some(meaning.of(count))
    }

    /// What it is told from other counters of a machine by.
    pub fn key(&self) -> (&str, Option<u32>, &str) {
        (&self.nic, self.port, &self.name)
    }
}

/// Every counter of `nics`.
pub fn read(tree: &Tree, nics: &[Nic]) -> Vec<Counter> {
    let counts = counts(tree, nics).into_iter();
    counts.filter_map(Counter::of).collect()
}

/// The same as the kernel gives them.
pub(crate) fn counts(tree: &Tree, nics: &[Nic]) -> Vec<Count> {
    let mut counts = Vec::new();
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
                        counts.extend(value.map(|value| Count {
                            nic: device.name.clone(),
                            port: Some(number),
                            name,
                            value,
                        }));
                    }
                }
            }
        }
        for interface in &nic.interfaces {
            let counted = of_interface(tree, interface).into_iter();
            counts.extend(counted.map(|(name, value)| Count {
                nic: interface.name.clone(),
                port: None,
                name,
                value,
            }));
        }
    }
    counts
}

/// What its driver counts on the wire; the kernel's own counters of one whose driver does not.
fn of_interface(tree: &Tree, interface: &Interface) -> Vec<(String, u64)> {
    let mut counts = match tree.is_this_machine() {
        // Many drivers have none.
        true => ethtool::statistics(&interface.name).unwrap_or_default(),
        false => Vec::new(),
    };
    counts.retain(|(name, _)| is_wanted(name));
    if !counts.iter().any(|(name, _)| name.ends_with("_phy")) {
        counts.extend(by_kernel(tree, &interface.name).unwrap_or_default());
    }
    counts
}

/// From /proc/net/dev, which is of the namespace that asks, as sysfs need not be. The names are those of the same numbers in sysfs
/// (Documentation/ABI/testing/sysfs-class-net-statistics).
fn by_kernel(tree: &Tree, interface: &str) -> Option<Vec<(String, u64)>> {
    const COLUMNS: [(usize, &str); 8] = [
        (0, "rx_bytes"),
        (1, "rx_packets"),
        (2, "rx_errors"),
        (3, "rx_dropped"),
        (8, "tx_bytes"),
        (9, "tx_packets"),
        (10, "tx_errors"),
        (11, "tx_dropped"),
    ];
    let numbers = columns(&tree.text("/proc/net/dev")?, interface)?;
    COLUMNS
        .iter()
        .map(|&(column, name)| Some((name.to_owned(), *numbers.get(column)?)))
        .collect()
}

/// By how much each counter that grew has grown; one that began anew counts from nothing.
pub fn growth(before: &[Counter], now: &[Counter]) -> Vec<Counter> {
    let before: BTreeMap<_, _> = before
        .iter()
        .map(|one| (one.key(), one.measured.value))
        .collect();
    now.iter()
        .filter_map(|counter| {
            let value = match (counter.measured.value, before.get(&counter.key())) {
                (Number::Count(now), Some(Number::Count(before))) => {
                    Number::Count(now.checked_sub(*before).unwrap_or(now))
                }
                (Number::Real(now), Some(Number::Real(before))) if now >= *before => {
                    Number::Real(now - before)
                }
                (value, _) => value,
            };
            let mut counter = counter.clone();
            counter.measured.value = value;
            (!value.is_zero()).then_some(counter)
        })
        .collect()
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
    fn of(self, count: Count) -> Counter {
        let Count {
            nic,
            port,
            name,
            value,
        } = count;
        let mut attributes = vec![
            nic.clone(),
            port.map_or_else(String::new, |port| port.to_string()),
        ];
        attributes.extend(self.attributes);
        Counter {
            nic,
            port,
            name,
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
        "tx_bytes_phy" | "tx_bytes" => return one(&model::NIC_IO, &["transmit"]),
        "rx_bytes_phy" | "rx_bytes" => return one(&model::NIC_IO, &["receive"]),
        "port_xmit_packets" | "sent_pkts" | "tx_packets_phy" | "tx_packets" => {
            return one(&model::NIC_PACKETS, &["transmit"]);
        }
        "port_rcv_packets" | "rcvd_pkts" | "rx_packets_phy" | "rx_packets" => {
            return one(&model::NIC_PACKETS, &["receive"]);
        }
        "port_xmit_discards" | "tx_discards_phy" | "tx_dropped" => {
            return one(&model::NIC_DROPPED, &["transmit"]);
        }
        "rx_discards_phy" | "rx_dropped" => return one(&model::NIC_DROPPED, &["receive"]),
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
            let counter = Counter::of(Count {
                nic: "eth0".to_owned(),
                port: None,
                name: name.to_owned(),
                value: 2_000_000,
            });
            let counter = counter.unwrap().measured;
            assert_eq!((counter.metric, counter.value), (&metric, scaled), "{name}");
            assert_eq!(counter.attributes[2..], attributes, "{name}");
        }
        assert!(!is_wanted("rx0_packets"));
    }

    #[test]
    fn an_interface_whose_driver_counts_nothing_has_the_counters_of_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::at(folder.path());
        let nics = [Nic::of_interface("veth0")];
        assert_eq!(read(&tree, &nics), []);
        fixture::lay(folder.path(), "[/proc/net]");
        let dev = "Inter-|   Receive\n face |bytes\n  veth01: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n   veth0: 1500 3 1 2 0 0 0 0 64 4 0 5 0 0 0 0\n";
        std::fs::write(folder.path().join("proc/net/dev"), dev).unwrap();
        let counters = read(&tree, &nics);
        let of = |name| value(&counters, "veth0", name);
        assert_eq!(of("rx_bytes"), (Number::Count(1500), "By".into()));
        assert_eq!(of("tx_packets"), (Number::Count(4), "{packet}".into()));
        assert_eq!(of("rx_dropped"), (Number::Count(2), "{packet}".into()));
        assert_eq!(of("rx_errors"), (Number::Count(1), "{event}".into()));
    }

    #[test]
    fn only_what_grew_is_growth_and_what_began_anew_counts_from_nothing() {
        let read = |numbers: [u64; 3]| {
            let names = ["tx_bytes", "np_cnp_sent", "rx_prio3_pause_duration"];
            let counters = names.iter().zip(numbers).map(|(name, value)| {
                Counter::of(Count {
                    nic: "eth0".to_owned(),
                    port: None,
                    name: (*name).to_owned(),
                    value,
                })
                .unwrap()
            });
            counters.collect::<Vec<_>>()
        };
        let grown = growth(&read([10, 5, 1_000_000]), &read([4, 5, 3_000_000]));
        let told: Vec<_> = grown
            .iter()
            .map(|one| (one.name.as_str(), one.measured.value))
            .collect();
        let expected = [
            ("tx_bytes", Number::Count(4)),
            ("rx_prio3_pause_duration", Number::Real(2.0)),
        ];
        assert_eq!(told, expected);
    }
}
