//! The plan's promises: everything unique, every name valid, every host within reach of every other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use longhaul_topologies::model::{Direction, Fabric, Link, QueueLimit, ScheduledChange, Site};
use longhaul_topologies::units::{ByteSize, Rate};
use proptest::prelude::*;

use super::*;

/// A channel of `rate` and 10 ms with a queue of 64 KiB.
fn channel(rate: Option<&str>) -> Channel {
    Channel {
        rate: rate.map(|rate| rate.parse::<Rate>().unwrap()),
        queue_limit: rate.map(|_| QueueLimit::Bytes("64KiB".parse::<ByteSize>().unwrap())),
        ..Channel::of_delay(Duration::from_millis(10))
    }
}

/// Sites `s0`, `s1`… with that many hosts, joined by `(a, b, lanes)`.
fn topology(hosts: &[usize], links: &[(usize, usize, usize)], rate: Option<&str>) -> Topology {
    let site = |(id, &hosts): (usize, &usize)| Site {
        name: format!("s{id}"),
        place: None,
        coordinates: None,
        hosts,
        fabric: Fabric::default(),
    };
    let link = |&(a, b, lanes): &(usize, usize, usize)| {
        Link::alike(SiteId(a), SiteId(b), lanes, &channel(rate))
    };
    Topology {
        name: "test".into(),
        description: String::new(),
        sites: hosts.iter().enumerate().map(site).collect(),
        links: links.iter().map(link).collect(),
        mtu: 1500,
    }
}

/// Connected topologies: a random tree and random links on top.
fn topologies() -> impl Strategy<Value = Topology> {
    let hosts = prop::collection::vec(1_usize..4, 2..7);
    let link = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        1_usize..4,
    );
    (hosts, prop::collection::vec(link, 12)).prop_map(|(hosts, draws)| {
        let sites = hosts.len();
        let tree = draws
            .iter()
            .zip(1..sites)
            .map(|((at, _, lanes), site)| (at.index(site), site, *lanes));
        let extra = draws
            .iter()
            .skip(sites)
            .map(|(a, b, lanes)| (a.index(sites), b.index(sites), *lanes));
        let links: Vec<_> = tree.chain(extra.filter(|(a, b, _)| a != b)).collect();
        topology(&hosts, &links, Some("1Gbit"))
    })
}

/// Forwards a packet as the kernel would, along every equal-cost path at once, and says where it is delivered.
struct Forwarder<'a> {
    plan: &'a LabPlan,
    /// From an interface's (node, name) to what a frame it sends with that destination MAC reaches.
    peers: BTreeMap<(NodeId, &'a str), (NodeId, [u8; 6])>,
}

impl<'a> Forwarder<'a> {
    fn new(plan: &'a LabPlan) -> Self {
        let mut peers = BTreeMap::new();
        for wire in &plan.wires {
            if let Place::Node(far) = wire.far_place {
                peers.insert((wire.gateway, &*wire.near.name), (far, wire.far.mac));
                peers.insert((far, &*wire.far.name), (wire.gateway, wire.near.mac));
            }
        }
        for lane in &plan.lanes {
            peers.insert(
                (lane.a.gateway, &*lane.a.interface),
                (lane.b.gateway, lane.b.mac),
            );
            peers.insert(
                (lane.b.gateway, &*lane.b.interface),
                (lane.a.gateway, lane.a.mac),
            );
        }
        Self { plan, peers }
    }

    /// Every node that a packet for `to` is delivered at, sent by `at`.
    fn deliveries(&self, at: NodeId, to: IpAddr, ttl: usize) -> BTreeSet<NodeId> {
        let config = &self.plan.configs[at.0];
        if config
            .addresses
            .iter()
            .any(|address| address.prefix.address == to)
        {
            return [at].into();
        }
        assert!(ttl > 0, "a routing loop at {}", self.plan.node(at).name);
        let matching = config
            .routes
            .iter()
            .filter(|route| contains(route.destination, to));
        let route = matching
            .max_by_key(|route| route.destination.length)
            .expect("a route");
        let hop = |next: &NextHop| {
            let neighbour = next.via.unwrap_or(to);
            let entry = config
                .neighbours
                .iter()
                .find(|n| n.interface == next.interface && n.address == neighbour);
            let (peer, mac) = self.peers[&(at, &*next.interface)];
            assert_eq!(
                entry.expect("a neighbour entry").mac,
                mac,
                "{}",
                self.plan.node(at).name
            );
            self.deliveries(peer, to, ttl - 1)
        };
        route.next_hops.iter().flat_map(hop).collect()
    }
}

fn contains(prefix: Prefix, address: IpAddr) -> bool {
    let (net, own, unused) = match (prefix.address, address) {
        (IpAddr::V4(net), IpAddr::V4(own)) => (
            net.to_bits().into(),
            own.to_bits().into(),
            32 - prefix.length,
        ),
        (IpAddr::V6(net), IpAddr::V6(own)) => (net.to_bits(), own.to_bits(), 128 - prefix.length),
        _ => return false,
    };
    let significant = |bits: u128| bits.checked_shr(unused.into()).unwrap_or(0);
    significant(net) == significant(own)
}

fn assert_all_unique<T: Ord + std::fmt::Debug>(items: impl Iterator<Item = T>) {
    let mut seen = BTreeSet::new();
    for item in items {
        let text = format!("{item:?}");
        assert!(seen.insert(item), "twice: {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn addresses_macs_and_names_are_unique_and_names_fit_the_kernel(topology in topologies()) {
        let plan = LabPlan::new(topology);
        assert_all_unique(plan.nodes.iter().map(|node| &node.name));
        assert_all_unique(plan.configs.iter().flat_map(|config| &config.addresses).map(|a| a.prefix.address));
        let ends = || plan.wires.iter().flat_map(|wire| {
            [(Place::Node(wire.gateway), &wire.near), (wire.far_place, &wire.far)]
        });
        assert_all_unique(ends().map(|(_, interface)| interface.mac));
        assert_all_unique(ends().map(|(place, interface)| match place {
            Place::Node(id) => (id.0, &interface.name),
            Place::Keeper => (usize::MAX, &interface.name),
        }));
        for (_, interface) in ends() {
            // IFNAMSIZ counts the closing NUL.
            prop_assert!(interface.name.len() < libc::IFNAMSIZ, "{}", interface.name);
        }
    }

    #[test]
    fn every_node_reaches_every_other_over_every_lane(topology in topologies()) {
        let plan = LabPlan::new(topology);
        let forwarder = Forwarder::new(&plan);
        let ttl = plan.topology.sites.len() + 2;
        for from in (0..plan.nodes.len()).map(NodeId) {
            for to in (0..plan.nodes.len()).map(NodeId) {
                for address in [IpAddr::V4(plan.node(to).ipv4), IpAddr::V6(plan.node(to).ipv6)] {
                    prop_assert_eq!(forwarder.deliveries(from, address, ttl), [to].into());
                }
            }
        }
    }
}

#[test]
fn a_route_spreads_over_all_lanes_of_its_link_and_no_other() {
    let plan = LabPlan::new(topology(&[1, 1, 1], &[(0, 1, 3), (1, 2, 1)], Some("1Gbit")));
    let gateway = &plan.configs[plan.gateway(SiteId(0)).0];
    let wan = |route: &&Route| route.next_hops.iter().any(|next| next.via.is_some());
    for route in gateway.routes.iter().filter(wan) {
        let interfaces: Vec<&str> = route
            .next_hops
            .iter()
            .map(|next| &*next.interface)
            .collect();
        assert_eq!(interfaces, ["l0.0", "l0.1", "l0.2"]);
    }
    assert_eq!(
        gateway.routes.iter().filter(wan).count(),
        4,
        "two families, two other sites"
    );
}

#[test]
fn tcp_buffers_follow_the_longest_path() {
    let buffer = |links: &[(usize, usize, usize)], rate| {
        let topology = topology(&[1, 1, 1], links, rate);
        sysctl::tcp_buffer(&topology, &Routes::new(&topology))
    };
    // Two links: 10 Gbit/s × 40 ms and two queues, four times.
    assert_eq!(
        buffer(&[(0, 1, 1), (1, 2, 1)], Some("10Gbit")),
        4 * (50_000_000 + 2 * 65_536)
    );
    assert_eq!(
        buffer(&[(0, 1, 1), (1, 2, 1)], Some("1Mbit")),
        16 << 20,
        "never less than a site needs"
    );
    assert_eq!(
        buffer(&[(0, 1, 1), (1, 2, 1)], None),
        1 << 30,
        "never more than TCP can use"
    );
}

#[test]
fn tcp_buffers_are_for_the_longest_lane_and_for_what_the_schedule_makes_of_it() {
    let buffer = |change: &dyn Fn(&mut Link)| {
        let mut topology = topology(&[1, 1], &[(0, 1, 2)], Some("200Mbit"));
        change(&mut topology.links[0]);
        sysctl::tcp_buffer(&topology, &Routes::new(&topology))
    };
    let long = Channel {
        delay: Duration::from_millis(400),
        ..channel(Some("200Mbit"))
    };
    let both_ways = |link: &mut Link| {
        for direction in Direction::BOTH {
            *link.lanes[1].channel_mut(direction) = long.clone();
        }
    };
    let scheduled = |link: &mut Link| {
        link.schedule = Direction::BOTH
            .map(|direction| ScheduledChange {
                at: Duration::from_secs(1),
                lane: 0,
                direction,
                channel: long.clone(),
            })
            .into();
    };
    // 200 Mbit/s × 800 ms and a queue, four times.
    let enough = 4 * (20_000_000 + 65_536);
    assert_eq!(buffer(&both_ways), enough);
    assert_eq!(buffer(&scheduled), enough);
    assert_eq!(buffer(&|_| ()), 16 << 20);
}

#[test]
fn the_whole_plan_of_two_sites() {
    let mut topology = topology(&[2, 1], &[(0, 1, 2)], Some("1Gbit"));
    topology.sites[0].fabric.rate = Some("10Gbit".parse().unwrap());
    let plan = LabPlan::new(topology);
    insta::assert_snapshot!(describe(&plan));
    insta::assert_snapshot!("hosts_file", plan.hosts_file());
}

#[test]
fn a_plan_without_ipv6_is_the_same_in_all_else() {
    let of_ipv6 = |line: &str| {
        ["ipv6", "fd6c:", "fe80:", "::"]
            .iter()
            .any(|mark| line.contains(mark))
    };
    let both = LabPlan::new(topology(&[2, 1, 1], &[(0, 1, 2), (1, 2, 1)], Some("1Gbit")));
    let ipv4 = both.clone().without_ipv6();
    for text in [describe, LabPlan::hosts_file] {
        let (both, ipv4) = (text(&both), text(&ipv4));
        let rest: Vec<&str> = both.lines().filter(|line| !of_ipv6(line)).collect();
        assert_eq!(ipv4.lines().collect::<Vec<_>>(), rest);
        assert!(rest.len() < both.lines().count(), "there was some");
    }
}

/// The plan as one would type it.
fn describe(plan: &LabPlan) -> String {
    let mut text = String::new();
    let mac = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    for wire in &plan.wires {
        let (gateway, near, far) = (&plan.node(wire.gateway).name, &wire.near, &wire.far);
        let place = match wire.far_place {
            Place::Node(id) => &plan.node(id).name,
            Place::Keeper => "keeper",
        };
        let rate = wire
            .rate
            .map(|rate| format!(" at {rate}"))
            .unwrap_or_default();
        writeln!(
            text,
            "veth {gateway} {} {} to {place} {} {}{rate}",
            near.name,
            mac(near.mac),
            far.name,
            mac(far.mac)
        )
        .unwrap();
    }
    for (node, config) in plan.nodes.iter().zip(&plan.configs) {
        writeln!(text, "\n{}", node.name).unwrap();
        for sysctl in &config.sysctls {
            writeln!(text, "  sysctl {} = {}", sysctl.path, sysctl.value).unwrap();
        }
        for address in &config.addresses {
            let prefix = address.prefix;
            writeln!(
                text,
                "  address {}/{} dev {}",
                prefix.address, prefix.length, address.interface
            )
            .unwrap();
        }
        for entry in &config.neighbours {
            writeln!(
                text,
                "  neighbour {} dev {} {}",
                entry.address,
                entry.interface,
                mac(entry.mac)
            )
            .unwrap();
        }
        for route in &config.routes {
            write!(
                text,
                "  route {}/{}",
                route.destination.address, route.destination.length
            )
            .unwrap();
            for next in &route.next_hops {
                let via = next
                    .via
                    .map(|via| format!(" via {via}"))
                    .unwrap_or_default();
                write!(text, "{via} dev {}", next.interface).unwrap();
            }
            writeln!(
                text,
                "{}",
                route
                    .source
                    .map(|source| format!(" src {source}"))
                    .unwrap_or_default()
            )
            .unwrap();
        }
    }
    text
}
