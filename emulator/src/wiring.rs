//! The plan carried out over rtnetlink: veth pairs, addresses, neighbours, routes and sysctls.
//!
//! Quick because nothing is asked twice: both ends of a veth pair are created in place, complete, with indices of our
//! own choosing, so that no reply but "done" is needed; and many requests are under way at once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use futures::stream::{self, StreamExt, TryStreamExt};
use longhaul_topologies::model::{QueueDiscipline, QueueLimit};
use longhaul_topologies::units::ByteSize;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressHeaderFlags;
use netlink_packet_route::link::{InfoData, InfoVeth};
use netlink_packet_route::route::RouteMessage;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder, RouteNextHopBuilder,
};

use crate::namespace::{self, Namespace};
use crate::plan::{
    Families, Interface, LabPlan, NextHop, NodeConfig, NodeId, Place, Prefix, Route, Wire,
};
use crate::tc::bottleneck::{Bottleneck, Grain};
use crate::tc::{self, ETHERNET_HEADER, LOOPBACK};

/// What lies in the keeper's namespace for a lab: its ends of the lanes, gone (with the gateways' ends) on drop.
///
/// All else lies in the nodes' namespaces and goes with them.
#[derive(Debug)]
pub(crate) struct Wiring {
    /// The keeper's namespace.
    keeper: OwnedFd,
    /// The device group that marks this lab's interfaces there.
    group: u32,
}

/// A request that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}: {source}")]
pub(crate) struct WiringError {
    /// What was attempted, on what.
    pub step: String,
    /// What the kernel answered.
    pub source: io::Error,
}

/// Replies that fit a netlink socket's default receive buffer (`net.core.rmem_default`, 212,992 bytes) with room to spare:
/// one that does not fit is lost, and its request would wait for ever.
const IN_FLIGHT: usize = 64;

/// The first index given to our own interfaces: above those that the kernel puts into a new namespace by itself where
/// tunnel modules are loaded (`tunl0`, `sit0`, `gre0`…).
const FIRST_INDEX: u32 = 100;

/// The queue of an interface, in packets: the kernel's own default (`DEFAULT_TX_QUEUE_LEN` in `include/net/pkt_sched.h`).
const QUEUE_PACKETS: u64 = 1000;

/// What a packet of a host's own queue may hold before its interface cuts it into frames (`GSO_LEGACY_MAX_SIZE` in
/// `include/linux/netdevice.h`). Counted in frames instead, a few connections would overflow their own host's queue with
/// what TCP lets each have there (`tcp_limit_output_bytes`), and TCP takes that for congestion.
const SUPER_PACKET: u64 = 65_536;

impl Wiring {
    /// Wires `namespaces`, one per node of `plan`, the keeper's namespace being that of the calling thread. Within a tokio
    /// runtime.
    ///
    /// # Errors
    /// If the kernel refuses a request.
    pub(crate) async fn build(
        plan: &LabPlan,
        namespaces: &[Namespace],
    ) -> Result<Self, WiringError> {
        let keeper = File::open("/proc/thread-self/ns/net")
            .map_err(|source| failed("open the keeper's namespace", source))?;
        static LABS: AtomicU32 = AtomicU32::new(1);
        let wiring = Self {
            keeper: keeper.into(),
            group: LABS.fetch_add(1, Ordering::Relaxed),
        };

        let handles = plan.configs.iter().zip(namespaces).zip(&plan.nodes).map(
            |((config, namespace), node)| {
                connect(namespace, config).map_err(|error| {
                    failed(
                        format!("prepare {}: {}", node.name, error.step),
                        error.source,
                    )
                })
            },
        );
        let handles: Vec<Handle> = handles.collect::<Result<_, _>>()?;
        let nodes = Nodes {
            plan,
            namespaces,
            handles,
            indices: Indices::new(plan),
        };

        each(&plan.wires, |wire| nodes.create(wire, &wiring)).await?;
        wiring.raise_lane_ends(plan).await?;
        each(&plan.wires, |wire| nodes.limit(wire)).await?;
        each((0..plan.nodes.len()).map(NodeId), |node| {
            nodes.configure(node)
        })
        .await?;
        Ok(wiring)
    }

    /// Brings the lanes' ends in the keeper's namespace up, mute: no IPv6, so nothing of their own crosses a lane.
    async fn raise_lane_ends(&self, plan: &LabPlan) -> Result<(), WiringError> {
        let names: Vec<&str> = plan
            .lanes
            .iter()
            .flat_map(|lane| [&*lane.a.keeper_interface, &lane.b.keeper_interface])
            .collect();
        let handle = in_namespace(&self.keeper, || {
            let with_ipv6 = match plan.families {
                Families::Both => &*names,
                Families::Ipv4 => &[],
            };
            for name in with_ipv6 {
                let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
                fs::write(&path, "1").map_err(|source| failed(format!("write {path}"), source))?;
            }
            open_handle()
        })?;
        each(names, |name| {
            let request = handle.link().set(
                LinkMessageBuilder::<LinkUnspec>::new()
                    .name(name)
                    .up()
                    .build(),
            );
            async move {
                request
                    .execute()
                    .await
                    .map_err(|error| refused(format!("bring {name} up"), error))
            }
        })
        .await
    }
}

impl Drop for Wiring {
    fn drop(&mut self) {
        let group = LinkMessageBuilder::<LinkUnspec>::new()
            .link_group(self.group)
            .build();
        // A runtime of its own: dropping must work anywhere, and must have worked when it returns.
        let removed = in_namespace(&self.keeper, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build();
            let runtime = runtime.map_err(|source| failed("start a runtime", source))?;
            runtime.block_on(async {
                let request = open_handle()?.link().del_with_message(group);
                request
                    .execute()
                    .await
                    .map_err(|error| refused("remove the lanes", error))
            })
        });
        match removed {
            Ok(()) => {}
            // None was created.
            Err(error) if error.source.raw_os_error() == Some(libc::ENODEV) => {}
            Err(error) => {
                tracing::warn!(%error, "interfaces of the lab are left behind in the keeper's namespace");
            }
        }
    }
}

/// The nodes on the way to what the plan says.
struct Nodes<'a> {
    plan: &'a LabPlan,
    namespaces: &'a [Namespace],
    /// A netlink socket in each.
    handles: Vec<Handle>,
    indices: Indices<'a>,
}

impl Nodes<'_> {
    /// Creates both ends of `wire`.
    async fn create(&self, wire: &Wire, wiring: &Wiring) -> Result<(), WiringError> {
        let mtu = self.plan.topology.mtu;
        let far = match wire.far_place {
            Place::Node(node) => end(&wire.far, mtu)
                .index(self.indices.of(node, &wire.far.name))
                .setns_by_fd(self.namespaces[node.0].net.as_raw_fd()),
            Place::Keeper => end(&wire.far, mtu)
                .link_group(wiring.group)
                .setns_by_fd(wiring.keeper.as_raw_fd()),
        };
        let pair = LinkMessageBuilder::<LinkVeth>::new(&wire.near.name, &wire.far.name)
            .index(self.indices.of(wire.gateway, &wire.near.name))
            .address(wire.near.mac.to_vec())
            .mtu(mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(far.build())))
            .build();
        let created = self.handles[wire.gateway.0]
            .link()
            .add(pair)
            .execute()
            .await;
        created.map_err(|error| {
            let (near, far, gateway) = (
                &wire.near.name,
                &wire.far.name,
                &self.plan.node(wire.gateway).name,
            );
            refused(
                format!("create {near} in {gateway} and its peer {far}"),
                error,
            )
        })
    }

    /// Gives both ends of `wire` the fabric's rate, if it has one.
    async fn limit(&self, wire: &Wire) -> Result<(), WiringError> {
        let (Some(rate), Place::Node(host)) = (wire.rate, wire.far_place) else {
            return Ok(());
        };
        let frame = u64::from(self.plan.topology.mtu) + ETHERNET_HEADER;
        let ends = [
            (wire.gateway, &wire.near, frame),
            (host, &wire.far, SUPER_PACKET),
        ];
        for (node, interface, packet) in ends {
            let qdiscs = Bottleneck {
                rate,
                queue: QueueLimit::Bytes(ByteSize::from_bytes(QUEUE_PACKETS * packet)),
                discipline: QueueDiscipline::DropTail,
                grain: Grain::SuperPackets,
            }
            .qdiscs();
            let installed = tc::install(
                &self.handles[node.0],
                self.indices.of(node, &interface.name),
                &qdiscs,
            )
            .await;
            installed.map_err(|error| {
                let (name, interface) = (&self.plan.node(node).name, &interface.name);
                refused(
                    format!(
                        "limit {interface} in {name} to {rate} (does the kernel have sch_tbf?)"
                    ),
                    error,
                )
            })?;
        }
        Ok(())
    }

    /// Gives `node` its addresses, neighbours and routes. Its interfaces exist.
    async fn configure(&self, node: NodeId) -> Result<(), WiringError> {
        let config = &self.plan.configs[node.0];
        let name = &self.plan.node(node).name;
        let handle = &self.handles[node.0];

        each(self.indices.all_of(node), |(interface, index)| async move {
            let request = handle.link().set(
                LinkMessageBuilder::<LinkUnspec>::new()
                    .index(index)
                    .up()
                    .build(),
            );
            request
                .execute()
                .await
                .map_err(|error| refused(format!("bring {interface} up in {name}"), error))
        })
        .await?;
        each(&config.addresses, |address| async move {
            let Prefix {
                address: ip,
                length,
            } = address.prefix;
            let mut request =
                handle
                    .address()
                    .add(self.indices.of(node, &address.interface), ip, length);
            if ip.is_ipv6() {
                // Usable at once, as the routes' source for example; else only when a kernel worker has got round to it.
                request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
            }
            request
                .execute()
                .await
                .map_err(|error| refused(format!("give {name} the address {ip}"), error))
        })
        .await?;
        each(&config.neighbours, |neighbour| async move {
            let index = self.indices.of(node, &neighbour.interface);
            let request = handle
                .neighbours()
                .add(index, neighbour.address)
                .link_layer_address(&neighbour.mac);
            request.execute().await.map_err(|error| {
                refused(
                    format!("give {name} the neighbour {}", neighbour.address),
                    error,
                )
            })
        })
        .await?;
        each(&config.routes, |route| async move {
            let Prefix {
                address: ip,
                length,
            } = route.destination;
            let request = handle.route().add(route_message(route, |interface| {
                self.indices.of(node, interface)
            }));
            request
                .execute()
                .await
                .map_err(|error| refused(format!("give {name} a route to {ip}/{length}"), error))
        })
        .await
    }
}

/// What adds `route` to its node, whose interfaces have the indices that `index_of` tells.
pub(crate) fn route_message(route: &Route, index_of: impl Fn(&str) -> u32) -> RouteMessage {
    const ONE_FAMILY: &str = "a route is of one address family";
    let Prefix { address, length } = route.destination;
    let mut message = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(address, length)
        .expect("the plan's prefixes are short enough");
    if let Some(source) = route.source {
        message = message.pref_source(source).expect(ONE_FAMILY);
    }
    // The kernel has two ways of saying it, and refuses an IPv6 next hop without `via` in the second.
    if let [only] = &*route.next_hops {
        message = message.output_interface(index_of(&only.interface));
        if let Some(via) = only.via {
            message = message.gateway(via).expect(ONE_FAMILY).onlink();
        }
        return message.build();
    }
    let next_hop = |next: &NextHop| {
        let family = if address.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let mut hop = RouteNextHopBuilder::new(family).interface(index_of(&next.interface));
        if let Some(via) = next.via {
            hop = hop.via(via).expect(ONE_FAMILY).onlink();
        }
        hop.build()
    };
    message
        .multipath(route.next_hops.iter().map(next_hop).collect())
        .build()
}

/// The indices of the nodes' interfaces.
struct Indices<'a>(Vec<BTreeMap<&'a str, u32>>);

impl<'a> Indices<'a> {
    fn new(plan: &'a LabPlan) -> Self {
        let mut nodes = vec![BTreeMap::from([("lo", LOOPBACK)]); plan.nodes.len()];
        let mut add = |node: NodeId, interface: &'a Interface| {
            let interfaces = &mut nodes[node.0];
            let index = FIRST_INDEX
                + u32::try_from(interfaces.len()).expect("far fewer interfaces than 2^32");
            interfaces.insert(&interface.name, index);
        };
        for wire in &plan.wires {
            add(wire.gateway, &wire.near);
            if let Place::Node(node) = wire.far_place {
                add(node, &wire.far);
            }
        }
        Self(nodes)
    }

    fn of(&self, node: NodeId, interface: &str) -> u32 {
        self.0[node.0][interface]
    }

    fn all_of(&self, node: NodeId) -> impl Iterator<Item = (&'a str, u32)> + '_ {
        self.0[node.0].iter().map(|(&name, &index)| (name, index))
    }
}

/// Sets a node's sysctls (before it has interfaces, which copy them) and opens a netlink socket inside.
fn connect(namespace: &Namespace, config: &NodeConfig) -> Result<Handle, WiringError> {
    in_namespace(&namespace.net, || {
        for sysctl in &config.sysctls {
            let path = format!("/proc/sys/{}", sysctl.path);
            fs::write(&path, &sysctl.value)
                .map_err(|source| failed(format!("write {} to {path}", sysctl.value), source))?;
        }
        open_handle()
    })
}

/// A netlink socket in the calling thread's network namespace, served by the current runtime until the handle is dropped.
fn open_handle() -> Result<Handle, WiringError> {
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(|source| failed("open a netlink socket", source))?;
    tokio::spawn(connection);
    Ok(handle)
}

/// One end of a veth pair.
fn end(interface: &Interface, mtu: u32) -> LinkMessageBuilder<LinkUnspec> {
    LinkMessageBuilder::<LinkUnspec>::new()
        .name(&interface.name)
        .address(interface.mac.to_vec())
        .mtu(mtu)
}

/// Carries out `request` for every item, many at a time.
async fn each<I, F>(
    items: impl IntoIterator<Item = I>,
    request: impl FnMut(I) -> F,
) -> Result<(), WiringError>
where
    F: Future<Output = Result<(), WiringError>>,
{
    stream::iter(items.into_iter().map(request))
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}

/// [`namespace::run_in`] with the current runtime, if there is one, within reach.
fn in_namespace<T: Send>(
    net: impl AsFd + Sync,
    f: impl FnOnce() -> Result<T, WiringError> + Send,
) -> Result<T, WiringError> {
    let runtime = tokio::runtime::Handle::try_current().ok();
    let entered = namespace::run_in(net, || {
        let _context = runtime.as_ref().map(tokio::runtime::Handle::enter);
        f()
    });
    entered.map_err(|source| failed("enter a network namespace", source))?
}

fn failed(step: impl Into<String>, source: io::Error) -> WiringError {
    WiringError {
        step: step.into(),
        source,
    }
}

fn refused(step: impl Into<String>, error: rtnetlink::Error) -> WiringError {
    let source = match error {
        rtnetlink::Error::NetlinkError(answer) => answer.to_io(),
        other => io::Error::other(other),
    };
    failed(step, source)
}
