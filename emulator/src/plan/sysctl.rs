//! The sysctls of a lab's nodes. Set inside their namespaces only; what is not listed keeps the kernel's default,
//! the congestion control and the local port range among it.

use std::time::Duration;

use longhaul_topologies::model::{Channel, JitterShape, QueueLimit, SiteId, Topology};
use longhaul_topologies::route::Routes;
use longhaul_topologies::units::Rate;

use super::NodeKind;

/// A setting: a path below `/proc/sys` and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sysctl {
    pub path: &'static str,
    pub value: String,
}

/// For every node, before it has interfaces: a new interface copies `default`, and of most settings the larger of
/// `all` and the interface's own counts. A new namespace may start from the machine's values instead of the kernel's
/// (`net.core.devconf_inherit_init_net`), so what matters is set even where the kernel's default would do.
const EVERY_NODE: &[(&str, &str)] = &[
    // The way back may use another lane than the way there.
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // Machines and containers often have IPv6 off; a lab has both.
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/default/disable_ipv6", "0"),
    // Addresses are unique by plan: usable at once, and no solicitations on the lanes.
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    // Nothing advertises routers; without this every interface asks for one three times.
    ("net/ipv6/conf/all/accept_ra", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
];

/// Hosts: end points.
const HOSTS: &[(&str, &str)] = &[
    // A machine that runs containers forwards, and its namespaces may inherit that.
    ("net/ipv4/ip_forward", "0"),
    // No connection starts from what an earlier one learned: repeats of a run must not depend on each other.
    ("net/ipv4/tcp_no_metrics_save", "1"),
];

/// Gateways: routers.
const GATEWAYS: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/default/forwarding", "1"),
    // Lanes are chosen flow by flow: connections of one pair of hosts spread. (By the hash of the sender's socket where
    // the packet has it; the netem engine says more, `netem/spread.rs`, and sets another policy where it has to.)
    ("net/ipv4/fib_multipath_hash_policy", "1"),
    ("net/ipv6/fib_multipath_hash_policy", "1"),
    // By default one error a second and target: traceroute and mtr would show losses that no link has.
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
];

/// The sysctls of a node of that kind, in the order to set them.
pub(super) fn for_kind(kind: NodeKind, tcp_buffer: u64) -> Vec<Sysctl> {
    let (own, buffers) = match kind {
        // Minimum and initial size stay the kernel's (Documentation/networking/ip-sysctl.rst); connections grow from
        // there.
        NodeKind::Host(_) => (
            HOSTS,
            vec![
                Sysctl {
                    path: "net/ipv4/tcp_rmem",
                    value: format!("4096 131072 {tcp_buffer}"),
                },
                Sysctl {
                    path: "net/ipv4/tcp_wmem",
                    value: format!("4096 16384 {tcp_buffer}"),
                },
            ],
        ),
        NodeKind::Gateway => (GATEWAYS, Vec::new()),
    };
    let fixed = EVERY_NODE.iter().chain(own).map(|&(path, value)| Sysctl {
        path,
        value: value.to_owned(),
    });
    fixed.chain(buffers).collect()
}

/// How much a TCP connection may buffer at either end, in bytes, so that no path of `topology` is limited by it.
///
/// Four times what can be on the way (the bandwidth-delay product and the queues): Linux offers about half of a receive
/// buffer as window (`tcp_adv_win_scale`), and BBR's congestion window is twice the product
/// (draft-ietf-ccwg-bbr, `BBRDefaultCwndGain`).
pub(super) fn tcp_buffer(topology: &Topology, routes: &Routes) -> u64 {
    let sites = || (0..topology.sites.len()).map(SiteId);
    let pairs = sites()
        .flat_map(|from| sites().map(move |to| (from, to)))
        .filter(|(from, to)| from != to);
    let most = pairs
        .map(|(from, to)| most_in_flight(topology, routes, from, to))
        .max()
        .unwrap_or(0);
    most.saturating_mul(4)
        .clamp(TCP_BUFFER_LEAST, TCP_BUFFER_MOST)
}

/// Enough for any network inside a site.
const TCP_BUFFER_LEAST: u64 = 16 << 20;
/// The largest window that TCP can announce (RFC 7323, section 2.3).
const TCP_BUFFER_MOST: u64 = 1 << 30;
/// Stands for "unlimited": more than a lane of either engine carries.
const UNLIMITED: Rate = Rate::from_bits_per_second(100_000_000_000);

/// The bytes that one connection can have on the way from `from` to `to`: the bottleneck's rate × the round-trip time,
/// and full queues; of each link the most that a lane is, or is made by the schedule.
fn most_in_flight(topology: &Topology, routes: &Routes, from: SiteId, to: SiteId) -> u64 {
    let links = |from, to| {
        let links = routes.path(from, to).into_iter();
        links.map(|(link, direction)| topology.links[link.0].channels(direction))
    };
    let rate = links(from, to).filter_map(|link| link.map(greatest_rate).max());
    let round_trip: Duration = links(from, to)
        .chain(links(to, from))
        .filter_map(|link| link.map(longest_delay).max())
        .sum();
    let queued = links(from, to).filter_map(|link| {
        let limits = link.filter_map(|channel| channel.queue_limit);
        let bytes = limits.map(|limit| match limit {
            QueueLimit::Bytes(bytes) => bytes.bytes(),
            QueueLimit::Packets(packets) => u64::from(packets) * u64::from(topology.mtu),
        });
        bytes.max()
    });
    let rate = rate.min().unwrap_or(UNLIMITED);
    queued.fold(rate.size_in(round_trip).bytes(), u64::saturating_add)
}

fn greatest_rate(channel: &Channel) -> Rate {
    match &channel.rate_trace {
        Some(trace) => Rate::from_bits_per_second(trace.greatest().max(1)),
        None => channel.rate.unwrap_or(UNLIMITED),
    }
}

fn longest_delay(channel: &Channel) -> Duration {
    match channel.jitter.as_ref().map(|jitter| &jitter.shape) {
        Some(JitterShape::Trace(trace)) => channel.delay + trace.range().1,
        Some(JitterShape::Distribution(_) | JitterShape::Table(_)) | None => channel.delay,
    }
}
