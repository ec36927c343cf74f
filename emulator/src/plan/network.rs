//! The plan's inner half, which the wiring carries out: veth pairs, addresses, neighbours, routes.

use std::net::IpAddr;

use longhaul_topologies::model::{LinkId, SiteId};
use longhaul_topologies::route::Routes;
use longhaul_topologies::units::Rate;

use super::address::{self, MacRole, Prefix};
use super::sysctl::{self, Sysctl};
use super::{HOST_INTERFACE, LabPlan, Lane, LaneEnd, Node, NodeId, NodeKind};

/// A veth pair.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wire {
    /// The gateway that `near` lies in.
    pub gateway: NodeId,
    /// The gateway's interface.
    pub near: Interface,
    /// Where `far` lies.
    pub far_place: Place,
    /// The interface at the other end.
    pub far: Interface,
    /// The fabric's rate, each way; unlimited if absent.
    pub rate: Option<Rate>,
}

/// Which namespace an interface lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// That node's.
    Node(NodeId),
    /// The keeper's own.
    Keeper,
}

/// An interface to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub name: String,
    pub mac: [u8; 6],
}

/// What a node holds beside its interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeConfig {
    pub sysctls: Vec<Sysctl>,
    pub addresses: Vec<Address>,
    pub neighbours: Vec<Neighbour>,
    pub routes: Vec<Route>,
}

/// An address on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub interface: String,
    pub prefix: Prefix,
}

/// A permanent neighbour entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub interface: String,
    pub address: IpAddr,
    pub mac: [u8; 6],
}

/// A route; several next hops share its flows evenly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub destination: Prefix,
    pub next_hops: Vec<NextHop>,
    /// The address that the node's own packets bear.
    pub source: Option<IpAddr>,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextHop {
    pub interface: String,
    /// The neighbour to hand packets to; the destination itself if absent.
    pub via: Option<IpAddr>,
}

/// Every host's port, then both halves of every lane.
pub(super) fn wires(plan: &LabPlan) -> Vec<Wire> {
    let ports = plan.hosts().map(|id| {
        let node = plan.node(id);
        Wire {
            gateway: plan.gateway(node.site),
            near: Interface {
                name: port_name(node),
                mac: address::mac(MacRole::GatewayPort, node.ipv4),
            },
            far_place: Place::Node(id),
            far: Interface {
                name: HOST_INTERFACE.to_owned(),
                mac: address::mac(MacRole::Host, node.ipv4),
            },
            rate: plan.topology.site(node.site).fabric.rate,
        }
    });
    let lanes = plan
        .lanes
        .iter()
        .flat_map(|lane| [&lane.a, &lane.b])
        .map(|end| Wire {
            gateway: end.gateway,
            near: Interface {
                name: end.interface.clone(),
                mac: end.mac,
            },
            far_place: Place::Keeper,
            far: Interface {
                name: end.keeper_interface.clone(),
                mac: address::mac(MacRole::Keeper, end.ipv4),
            },
            rate: None,
        });
    ports.chain(lanes).collect()
}

/// What every node holds, in the order of the plan's nodes.
pub(super) fn configs(plan: &LabPlan, routes: &Routes) -> Vec<NodeConfig> {
    let tcp_buffer = sysctl::tcp_buffer(&plan.topology, routes);
    let config = |node: &Node| {
        let mut config = NodeConfig {
            sysctls: sysctl::for_kind(node.kind, tcp_buffer),
            addresses: Vec::new(),
            neighbours: Vec::new(),
            routes: Vec::new(),
        };
        match node.kind {
            NodeKind::Host(_) => config.be_host(node),
            NodeKind::Gateway => config.be_gateway(node, plan, routes),
        }
        config
    };
    plan.nodes.iter().map(config).collect()
}

impl NodeConfig {
    /// One address per family and everything through the gateway.
    fn be_host(&mut self, node: &Node) {
        let gateway = address::mac(MacRole::GatewayPort, node.ipv4);
        for (own, everything, next_hop) in [
            (
                IpAddr::V4(node.ipv4),
                Prefix::DEFAULT_IPV4,
                IpAddr::V4(address::NEXT_HOP_IPV4),
            ),
            (
                IpAddr::V6(node.ipv6),
                Prefix::DEFAULT_IPV6,
                IpAddr::V6(address::NEXT_HOP_IPV6),
            ),
        ] {
            self.address(HOST_INTERFACE, Prefix::host(own));
            self.neighbour(HOST_INTERFACE, next_hop, gateway);
            let next_hops = vec![NextHop {
                interface: HOST_INTERFACE.to_owned(),
                via: Some(next_hop),
            }];
            self.routes.push(Route {
                destination: everything,
                next_hops,
                source: None,
            });
        }
    }

    /// A route to each host of the site and to each other site.
    fn be_gateway(&mut self, node: &Node, plan: &LabPlan, routes: &Routes) {
        let own = [IpAddr::V4(node.ipv4), IpAddr::V6(node.ipv6)];
        for address in own {
            self.address("lo", Prefix::host(address));
        }
        for host in plan
            .hosts()
            .map(|id| plan.node(id))
            .filter(|host| host.site == node.site)
        {
            let port = port_name(host);
            for (own, address) in own
                .into_iter()
                .zip([IpAddr::V4(host.ipv4), IpAddr::V6(host.ipv6)])
            {
                self.neighbour(&port, address, address::mac(MacRole::Host, host.ipv4));
                let next_hops = vec![NextHop {
                    interface: port.clone(),
                    via: None,
                }];
                self.routes.push(Route {
                    destination: Prefix::host(address),
                    next_hops,
                    source: Some(own),
                });
            }
        }
        for (_, near, far) in plan
            .lanes
            .iter()
            .filter_map(|lane| ends_at(lane, plan, node.site))
        {
            self.address(
                &near.interface,
                Prefix {
                    address: near.ipv4.into(),
                    length: 31,
                },
            );
            self.address(
                &near.interface,
                Prefix {
                    address: near.ipv6.into(),
                    length: 127,
                },
            );
            self.neighbour(&near.interface, far.ipv4.into(), far.mac);
            self.neighbour(&near.interface, far.ipv6.into(), far.mac);
        }
        for site in (0..plan.topology.sites.len())
            .map(SiteId)
            .filter(|&site| site != node.site)
        {
            let link = routes
                .next_hop(node.site, site)
                .expect("the model is connected");
            let lanes = || {
                plan.lanes
                    .iter()
                    .filter_map(|lane| ends_at(lane, plan, node.site))
            };
            let next_hops = |via: fn(&LaneEnd) -> IpAddr| -> Vec<NextHop> {
                let ends = lanes().filter(|(of, ..)| *of == link);
                ends.map(|(_, near, far)| NextHop {
                    interface: near.interface.clone(),
                    via: Some(via(far)),
                })
                .collect()
            };
            self.routes.push(Route {
                destination: address::site_ipv4(site),
                next_hops: next_hops(|far| far.ipv4.into()),
                source: Some(own[0]),
            });
            self.routes.push(Route {
                destination: address::site_ipv6(site),
                next_hops: next_hops(|far| far.ipv6.into()),
                source: Some(own[1]),
            });
        }
    }

    /// Leaves what is IPv4's and what is neither's.
    pub(super) fn drop_ipv6(&mut self) {
        self.sysctls
            .retain(|sysctl| !sysctl.path.starts_with("net/ipv6/"));
        self.addresses
            .retain(|address| address.prefix.address.is_ipv4());
        self.neighbours
            .retain(|neighbour| neighbour.address.is_ipv4());
        self.routes
            .retain(|route| route.destination.address.is_ipv4());
    }

    fn address(&mut self, interface: &str, prefix: Prefix) {
        self.addresses.push(Address {
            interface: interface.to_owned(),
            prefix,
        });
    }

    fn neighbour(&mut self, interface: &str, address: IpAddr, mac: [u8; 6]) {
        self.neighbours.push(Neighbour {
            interface: interface.to_owned(),
            address,
            mac,
        });
    }
}

/// The gateway's interface that faces `host`.
fn port_name(host: &Node) -> String {
    match host.kind {
        NodeKind::Host(number) => format!("h{number}"),
        NodeKind::Gateway => unreachable!("a gateway has no port on a gateway"),
    }
}

/// If `lane` ends at `site`: its link, that end, the other end.
fn ends_at<'a>(
    lane: &'a Lane,
    plan: &LabPlan,
    site: SiteId,
) -> Option<(LinkId, &'a LaneEnd, &'a LaneEnd)> {
    if plan.node(lane.a.gateway).site == site {
        Some((lane.link, &lane.a, &lane.b))
    } else if plan.node(lane.b.gateway).site == site {
        Some((lane.link, &lane.b, &lane.a))
    } else {
        None
    }
}
