//! A topology as nodes, interfaces, addresses, routes and sysctls. Pure: the same topology gives the same plan.
//!
//! ```text
//!  host a-0 (eth0) ── (h0) ┐                                                ┌ (h0) ── (eth0) host b-0
//!  host a-1 (eth0) ── (h1) ┤ a-gw (l0.0) ── (l0.0a) keeper (l0.0b) ── (l0.0) b-gw
//! ```
//! Every lane passes through the keeper's own network namespace as two interfaces without addresses:
//! `l{link}.{lane}a` faces the gateway of site `a`, `l{link}.{lane}b` that of `b`. A link engine carries frames
//! from one to the other: the relay through its sockets, netem through a redirecting filter.
//!
//! Addresses: site `s` (from 1) has 10.s.0.0/16: host `i` is 10.s.0.0 + i + 1, its gateway 10.s.255.254; hosts
//! have /32 addresses and a default route on-link over 169.254.1.1 (fe80::1). Lane `n` (counted over all links) has
//! the /31 at 172.16.0.0 + 2n, and fd6c:6800:ffff::/48 + 2n (/127); site `s` has fd6c:6800:s::/64. MAC
//! addresses are locally administered and derived from the same numbers, and all neighbours are permanent
//! entries, so no ARP or neighbour discovery crosses a lane.

pub(crate) mod address;
mod layout;
mod network;
mod sysctl;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use longhaul_topologies::Topology;
use longhaul_topologies::model::{Channel, Direction, LinkId, SiteId};
use longhaul_topologies::route::Routes;

use self::address::MacRole;

pub(crate) use address::Prefix;
pub(crate) use network::{Interface, NextHop, NodeConfig, Place, Route, Wire};

/// The one interface of every host.
pub const HOST_INTERFACE: &str = "eth0";

/// Which address families a lab has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 and IPv6.
    Both,
    /// IPv4 alone, on a kernel that has no IPv6.
    Ipv4,
}

/// A node: an index into [`LabPlan::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// A host or a gateway; one namespace each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its host name: `SITE-i` or `SITE-gw`.
    pub name: String,
    /// The site it stands in.
    pub site: SiteId,
    /// What it is.
    pub kind: NodeKind,
    /// Its address on the emulated network.
    pub ipv4: Ipv4Addr,
    /// Its address on the emulated network, if the lab has IPv6.
    pub ipv6: Ipv6Addr,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// The `n`th host of its site, from 0.
    Host(usize),
    /// Its site's router.
    Gateway,
}

/// One lane of one link, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId {
    /// The link.
    pub link: LinkId,
    /// The lane, from 0.
    pub lane: usize,
    /// Which way.
    pub direction: Direction,
}

/// A lane: two gateway interfaces and the two keeper interfaces between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// The link.
    pub link: LinkId,
    /// The lane, from 0.
    pub lane: usize,
    /// The end at the link's `a`.
    pub a: LaneEnd,
    /// The end at the link's `b`.
    pub b: LaneEnd,
    /// From `a` to `b`.
    pub forward: Channel,
    /// From `b` to `a`.
    pub reverse: Channel,
}

/// A gateway's end of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneEnd {
    /// The gateway.
    pub gateway: NodeId,
    /// The interface inside the gateway's namespace.
    pub interface: String,
    /// Its peer inside the keeper's namespace.
    pub keeper_interface: String,
    /// The gateway interface's MAC address.
    pub mac: [u8; 6],
    /// The gateway interface's address.
    pub ipv4: Ipv4Addr,
    /// The gateway interface's address, if the lab has IPv6.
    pub ipv6: Ipv6Addr,
}

/// The whole plan.
#[derive(Clone, Debug)]
pub struct LabPlan {
    /// The topology it carries out.
    pub topology: Topology,
    /// Hosts site by site, each site's gateway after its hosts.
    pub nodes: Vec<Node>,
    /// All lanes, link by link.
    pub lanes: Vec<Lane>,
    /// What its nodes have addresses of.
    pub families: Families,
    /// The veth pairs.
    pub(crate) wires: Vec<Wire>,
    /// What each node holds, in the order of `nodes`.
    pub(crate) configs: Vec<NodeConfig>,
}

impl LabPlan {
    /// Plans `topology`, with IPv4 and IPv6. Cannot fail: the model keeps within the address plan.
    pub fn new(topology: Topology) -> Self {
        let nodes = nodes(&topology);
        let routes = Routes::new(&topology);
        let mut plan = Self {
            topology,
            nodes,
            lanes: Vec::new(),
            families: Families::Both,
            wires: Vec::new(),
            configs: Vec::new(),
        };
        plan.lanes = lanes(&plan);
        plan.wires = network::wires(&plan);
        plan.configs = network::configs(&plan, &routes);
        plan
    }

    /// The same plan for a kernel that has no IPv6.
    #[must_use]
    pub fn without_ipv6(mut self) -> Self {
        self.families = Families::Ipv4;
        self.configs.iter_mut().for_each(NodeConfig::drop_ipv6);
        self
    }

    /// The node at `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node of that name.
    pub fn node_named(&self, name: &str) -> Option<NodeId> {
        self.nodes
            .iter()
            .position(|node| node.name == name)
            .map(NodeId)
    }

    /// The hosts, site by site.
    pub fn hosts(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.nodes.len())
            .map(NodeId)
            .filter(|&id| matches!(self.node(id).kind, NodeKind::Host(_)))
    }

    /// The gateway of `site`.
    pub fn gateway(&self, site: SiteId) -> NodeId {
        let at = self
            .nodes
            .iter()
            .position(|node| node.site == site && node.kind == NodeKind::Gateway);
        NodeId(at.expect("every site has a gateway"))
    }

    /// `virginia>dublin lane 0`.
    pub fn channel_name(&self, id: ChannelId) -> String {
        let link = &self.topology.links[id.link.0];
        let [from, to] = link
            .ends(id.direction)
            .map(|site| &self.topology.site(site).name);
        format!("{from}>{to} lane {}", id.lane)
    }

    /// The text of every node's /etc/hosts.
    pub fn hosts_file(&self) -> String {
        let mut text = String::from("127.0.0.1 localhost\n");
        let mut line = |address: IpAddr, name: &str| {
            writeln!(text, "{address} {name}").expect("a String takes all");
        };
        if self.families == Families::Both {
            line(
                Ipv6Addr::LOCALHOST.into(),
                "localhost ip6-localhost ip6-loopback",
            );
        }
        for node in &self.nodes {
            line(node.ipv4.into(), &node.name);
            if self.families == Families::Both {
                line(node.ipv6.into(), &node.name);
            }
        }
        text
    }
}

/// Hosts site by site, each site's gateway after its hosts.
fn nodes(topology: &Topology) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (id, site) in topology.sites.iter().enumerate() {
        let id = SiteId(id);
        nodes.extend((0..site.hosts).map(|number| Node {
            name: format!("{}-{number}", site.name),
            site: id,
            kind: NodeKind::Host(number),
            ipv4: address::host_ipv4(id, number),
            ipv6: address::host_ipv6(id, number),
        }));
        nodes.push(Node {
            name: format!("{}-gw", site.name),
            site: id,
            kind: NodeKind::Gateway,
            ipv4: address::gateway_ipv4(id),
            ipv6: address::gateway_ipv6(id),
        });
    }
    nodes
}

/// Every lane of every link, numbered through.
fn lanes(plan: &LabPlan) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for (id, link) in plan.topology.links.iter().enumerate() {
        for (lane, channels) in link.lanes.iter().enumerate() {
            let (ipv4, ipv6) = (
                address::lane_ipv4(lanes.len()),
                address::lane_ipv6(lanes.len()),
            );
            let end = |site: SiteId, side: usize| LaneEnd {
                gateway: plan.gateway(site),
                interface: format!("l{id}.{lane}"),
                keeper_interface: format!("l{id}.{lane}{}", ["a", "b"][side]),
                mac: address::mac(MacRole::Lane, ipv4[side]),
                ipv4: ipv4[side],
                ipv6: ipv6[side],
            };
            lanes.push(Lane {
                link: LinkId(id),
                lane,
                a: end(link.a, 0),
                b: end(link.b, 1),
                forward: channels.forward.clone(),
                reverse: channels.reverse.clone(),
            });
        }
    }
    lanes
}
