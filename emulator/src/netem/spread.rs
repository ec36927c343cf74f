//! How the gateways' equal-cost routes spread flows over lanes.
//!
//! What the kernel does was measured (Linux 6.18, both directions of 40 flows of each kind over four lanes):
//! - `fib_multipath_hash_policy` **1** takes the hash that the sender's socket gave its packets, where it gave one
//!   (`skb->l4_hash`: TCP, connected UDP, and IPv6 through its flow label), and veth pairs carry it from host to gateway. It
//!   is random, each end has its own, and the two directions of a flow take the same lane by chance only (8 to 15 of 40).
//!   TCP draws a new one when it has to retransmit on a timeout (`sk_rethink_txhash`), and may then move to another lane. Only
//!   UDP over IPv4 that is not connected is hashed by its addresses and ports.
//! - Policy **3** with the fields of the 5-tuple (Linux 5.12) reads them from the packet, and `__flow_hash_consistentify` puts
//!   them in order first: both directions of all flows took the same lane (40 of 40), and stay there.
//!
//! So the first is `flow-hash` and the second `symmetric-flow-hash`. A gateway has one policy for all of its links.

use std::fs;
use std::io;
use std::sync::OnceLock;

use longhaul_topologies::Topology;
use longhaul_topologies::model::{SiteId, Spread};

use super::probe::in_scratch_namespace;
use super::{inexpressible, kernel};
use crate::engine::EngineError;
use crate::namespace::Namespace;
use crate::plan::{Families, LabPlan};

/// Addresses, protocol and ports: `FIB_MULTIPATH_HASH_FIELD_DEFAULT` of `net/ip_fib.h` with the ports.
const FIVE_TUPLE: &str = "55";
/// Hash by fields of choice.
const BY_FIELDS: &str = "3";

/// Whether the gateways can spread as the links ask, on this kernel.
///
/// # Errors
/// Which spread they cannot, and why.
pub fn spreads(topology: &Topology) -> Result<(), String> {
    let symmetric = on_any_kernel(topology)?;
    if symmetric.is_empty() {
        return Ok(());
    }
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER
        .get_or_init(|| {
            in_scratch_namespace(|_| {
                let set = by_five_tuple(&["ipv4"]);
                set.map_err(|error| {
                    format!("a symmetric flow hash: not before Linux 5.12 ({error})")
                })
            })
        })
        .clone()
}

/// The sites whose gateways are to hash symmetrically, on a kernel that can.
fn on_any_kernel(topology: &Topology) -> Result<Vec<SiteId>, String> {
    let mut symmetric = Vec::new();
    for site in (0..topology.sites.len()).map(SiteId) {
        let here = |link: &&longhaul_topologies::model::Link| {
            link.lanes.len() > 1 && (link.a == site || link.b == site)
        };
        let mut spreads = topology.links.iter().filter(here).map(|link| link.spread);
        let Some(first) = spreads.next() else {
            continue;
        };
        for spread in std::iter::once(first).chain(spreads) {
            match spread {
                Spread::FlowHash | Spread::SymmetricFlowHash => {}
                Spread::RoundRobin | Spread::LeastQueue => {
                    let name = if spread == Spread::RoundRobin {
                        "round-robin"
                    } else {
                        "least-queue"
                    };
                    return Err(format!(
                        "`spread: {name}`: the kernel's routes spread flows, not packets"
                    ));
                }
            }
            if spread != first {
                return Err(format!(
                    "links of {} that spread differently: a gateway has one hash for all",
                    topology.site(site).name
                ));
            }
        }
        if first == Spread::SymmetricFlowHash {
            symmetric.push(site);
        }
    }
    Ok(symmetric)
}

/// Makes the gateways that are to hash symmetrically do so. The plan has made all hash by flow.
pub(super) fn set(plan: &LabPlan, namespaces: &[Namespace]) -> Result<(), EngineError> {
    spreads(&plan.topology).map_err(inexpressible)?;
    let families: &[&str] = match plan.families {
        Families::Both => &["ipv4", "ipv6"],
        Families::Ipv4 => &["ipv4"],
    };
    for site in on_any_kernel(&plan.topology).map_err(inexpressible)? {
        let gateway = plan.gateway(site);
        let set = namespaces[gateway.0].run(|| by_five_tuple(families));
        set.flatten().map_err(|source| {
            let name = &plan.node(gateway).name;
            kernel(format!("set the flow hash of {name}"), source)
        })?;
    }
    Ok(())
}

/// In the calling thread's network namespace.
fn by_five_tuple(families: &[&str]) -> io::Result<()> {
    for family in families {
        let folder = format!("/proc/sys/net/{family}");
        fs::write(format!("{folder}/fib_multipath_hash_fields"), FIVE_TUPLE)?;
        fs::write(format!("{folder}/fib_multipath_hash_policy"), BY_FIELDS)?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use longhaul_topologies::model::{Channel, Fabric, Link, Site};

    use super::*;

    /// Sites joined by `(a, b, lanes)`.
    pub(crate) fn topology(links: &[(usize, usize, usize)]) -> Topology {
        let sites = links.iter().flat_map(|&(a, b, _)| [a, b]).max().unwrap() + 1;
        let site = |id: usize| Site {
            name: format!("s{id}"),
            place: None,
            coordinates: None,
            hosts: 1,
            fabric: Fabric::default(),
        };
        let link = |&(a, b, lanes): &(usize, usize, usize)| {
            let channel = Channel::of_delay(Duration::ZERO);
            Link::alike(SiteId(a), SiteId(b), lanes, &channel)
        };
        Topology {
            name: "test".into(),
            description: String::new(),
            sites: (0..sites).map(site).collect(),
            links: links.iter().map(link).collect(),
            mtu: 1500,
        }
    }

    fn spreading(spreads: [Spread; 2]) -> Result<Vec<SiteId>, String> {
        let mut topology = topology(&[(0, 1, 2), (1, 2, 4)]);
        for (link, spread) in topology.links.iter_mut().zip(spreads) {
            link.spread = spread;
        }
        on_any_kernel(&topology)
    }

    #[test]
    fn flows_can_be_hashed_one_way_or_the_other() {
        assert_eq!(spreading([Spread::FlowHash; 2]), Ok(vec![]));
        let symmetric = spreading([Spread::SymmetricFlowHash; 2]);
        assert_eq!(symmetric, Ok((0..3).map(SiteId).collect()));
    }

    #[test]
    fn one_gateway_does_not_hash_both_ways() {
        let mixed = spreading([Spread::SymmetricFlowHash, Spread::FlowHash]);
        assert!(mixed.unwrap_err().contains("links of s1"));
    }

    #[test]
    fn packets_are_not_spread_by_routes() {
        for spread in [Spread::RoundRobin, Spread::LeastQueue] {
            let refused = spreading([spread; 2]).unwrap_err();
            assert!(refused.contains("flows, not packets"), "{refused}");
        }
    }

    #[test]
    fn one_lane_is_spread_over_in_any_way() {
        let mut topology = topology(&[(0, 1, 1)]);
        topology.links[0].spread = Spread::RoundRobin;
        assert_eq!(on_any_kernel(&topology), Ok(vec![]));
    }
}
