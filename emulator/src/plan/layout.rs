//! The plan as containers and wires, for engines that are told commands instead of netlink's messages.
//!
//! There is no keeper between gateways: a lane is one wire, and each gateway shapes what it sends. Names, addresses, neighbours, routes and
//! sysctls are the plan's.

use longhaul_topologies::export::{End, Layout, Node, egress};
use longhaul_topologies::model::Direction;
use longhaul_topologies::units::Rate;

use super::network::Address;
use super::{LabPlan, NextHop, NodeConfig, NodeId, NodeKind, Place, Route};

/// An interface of a node, and what is particular to it.
struct Port<'a> {
    name: &'a str,
    mac: [u8; 6],
    rate: Option<Rate>,
}

impl LabPlan {
    /// What another engine is told to build.
    pub fn layout(&self) -> Layout {
        let end = |node: NodeId, interface: &str| End {
            node: self.node(node).name.clone(),
            interface: interface.to_owned(),
        };
        let ports = self.wires.iter().filter_map(|wire| match wire.far_place {
            Place::Node(host) => Some([
                end(wire.gateway, &wire.near.name),
                end(host, &wire.far.name),
            ]),
            Place::Keeper => None,
        });
        let lanes = self
            .lanes
            .iter()
            .map(|lane| [&lane.a, &lane.b].map(|at| end(at.gateway, &at.interface)));
        let nodes = (0..self.nodes.len()).map(|id| Node {
            name: self.nodes[id].name.clone(),
            commands: self.commands(NodeId(id)),
        });
        Layout {
            nodes: nodes.collect(),
            wires: ports.chain(lanes).collect(),
        }
    }

    /// All that makes a wired container that node.
    fn commands(&self, id: NodeId) -> Vec<String> {
        let config = &self.configs[id.0];
        let ports = self.ports(id);
        let mut commands = vec![sysctls(config, &ports)];
        commands.push("ip link set dev lo up".to_owned());
        // Otherwise a super-packet of segmentation offload would be lost, doubled or spoilt as one.
        let cuts = matches!(self.node(id).kind, NodeKind::Host(_)) && self.draws_per_packet();
        let segments = if cuts { " gso_max_segs 1" } else { "" };
        for Port { name, mac, .. } in &ports {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            let mtu = self.topology.mtu;
            commands.push(format!(
                "ip link set dev {name} address {mac} mtu {mtu}{segments} up"
            ));
        }
        commands.extend(config.addresses.iter().map(address));
        commands.extend(config.neighbours.iter().map(|neighbour| {
            let mac = neighbour.mac.map(|byte| format!("{byte:02x}")).join(":");
            let (address, interface) = (neighbour.address, &neighbour.interface);
            format!("ip neigh replace {address} lladdr {mac} dev {interface} nud permanent")
        }));
        commands.extend(config.routes.iter().map(route));
        commands.extend(self.shaping(id, &ports));
        commands
    }

    /// The node's interfaces but the loopback.
    fn ports(&self, id: NodeId) -> Vec<Port<'_>> {
        let mut ports = Vec::new();
        for wire in &self.wires {
            let near = (wire.gateway == id).then_some(&wire.near);
            let far = (wire.far_place == Place::Node(id)).then_some(&wire.far);
            ports.extend([near, far].into_iter().flatten().map(|interface| Port {
                name: &interface.name,
                mac: interface.mac,
                rate: wire.rate,
            }));
        }
        ports
    }

    /// What the node's interfaces do to what leaves by them.
    fn shaping(&self, id: NodeId, ports: &[Port<'_>]) -> Vec<String> {
        let mtu = self.topology.mtu;
        let fabric = ports
            .iter()
            .filter_map(|port| Some(egress::of_port(port.rate?, port.name, mtu)));
        let lanes = self.lanes.iter().flat_map(|lane| {
            let ends = [(&lane.a, &lane.forward), (&lane.b, &lane.reverse)];
            ends.into_iter()
                .filter(|(end, _)| end.gateway == id)
                .flat_map(|(end, channel)| egress::of_channel(channel, &end.interface, mtu))
        });
        fabric.chain(lanes).collect()
    }

    /// Whether any link loses, doubles or spoils packets.
    fn draws_per_packet(&self) -> bool {
        let lanes = self.topology.links.iter().flat_map(|link| &link.lanes);
        let mut channels =
            lanes.flat_map(|lane| Direction::BOTH.map(|direction| lane.channel(direction)));
        channels.any(egress::draws_per_packet)
    }
}

/// One command for all: each costs a process. A container's interfaces are there before its sysctls, so what the plan gives to
/// `default` for interfaces to come, goes to each as well.
fn sysctls(config: &NodeConfig, ports: &[Port<'_>]) -> String {
    let mut command = "sysctl -q -w".to_owned();
    for sysctl in &config.sysctls {
        let mut paths = vec![sysctl.path.to_owned()];
        if sysctl.path.contains("/conf/default/") {
            paths.extend(
                ports
                    .iter()
                    .map(|port| sysctl.path.replace("default", port.name)),
            );
        }
        for path in paths {
            command.push_str(&match sysctl.value.contains(' ') {
                true => format!(" '{path}={}'", sysctl.value),
                false => format!(" {path}={}", sysctl.value),
            });
        }
    }
    command
}

fn address(Address { interface, prefix }: &Address) -> String {
    // IPv6 would first ask whether somebody else has it.
    let at_once = if prefix.address.is_ipv6() {
        " nodad"
    } else {
        ""
    };
    let (address, length) = (prefix.address, prefix.length);
    format!("ip addr replace {address}/{length} dev {interface}{at_once}")
}

fn route(route: &Route) -> String {
    let (address, length) = (route.destination.address, route.destination.length);
    let mut command = format!("ip route replace {address}/{length}");
    if let Some(source) = route.source {
        command.push_str(&format!(" src {source}"));
    }
    for hop in &route.next_hops {
        if route.next_hops.len() > 1 {
            command.push_str(" nexthop");
        }
        command.push_str(&next_hop(hop));
    }
    command
}

/// `onlink`: a host's next hop is in no subnet of its own.
fn next_hop(NextHop { interface, via }: &NextHop) -> String {
    match via {
        Some(via) => format!(" via {via} dev {interface} onlink"),
        None => format!(" dev {interface}"),
    }
}
