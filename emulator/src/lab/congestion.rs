//! What kernel TCP uses in a host unless a program asks for another.

use std::{fs, io};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::namespace::Namespace;
use crate::tc::socket::Socket;

/// The default congestion control of the network namespace of whoever opens it.
const SETTING: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// The machine's: the calling thread's namespace must be one that came up with it.
pub(super) fn of_machine() -> io::Result<String> {
    Ok(fs::read_to_string(SETTING)?.trim().to_owned())
}

/// Makes `name` the default in `host`.
///
/// Namespaces may set as their default only what the machine lists in `tcp_allowed_congestion_control`
/// (`tcp_set_default_congestion_control`, net/ipv4/tcp_cong.c). Any other goes to the metrics of every route of both families, for which
/// there is no such list (`RTAX_CC_ALGO` in `ip_metrics_convert`, net/ipv4/metrics.c).
pub(super) fn set(host: &Namespace, name: &str) -> io::Result<()> {
    host.run(|| match fs::write(SETTING, name) {
        Ok(()) => set_of_routes(None),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => set_of_routes(Some(name)),
        Err(error) => Err(error),
    })
    .flatten()
}

/// Gives every route of the calling thread's namespace that a packet may leave by `name`, or none of its own.
fn set_of_routes(name: Option<&str>) -> io::Result<()> {
    let mut socket = Socket::open()?;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut all = RouteMessage::default();
        all.header.address_family = family;
        for answer in socket.dump(RouteNetlinkMessage::GetRoute(all))? {
            let RouteNetlinkMessage::NewRoute(mut route) = answer else {
                continue;
            };
            let carries = route.header.table == RouteHeader::RT_TABLE_MAIN
                && route.header.kind == RouteType::Unicast;
            if !carries || !put(&mut route, name) {
                continue;
            }
            let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewRoute(route));
            request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
            socket.request(request)?;
        }
    }
    Ok(())
}

/// Puts `name` into the metrics of `route`; whether that changed it.
fn put(route: &mut RouteMessage, name: Option<&str>) -> bool {
    let mut metrics = Vec::new();
    route.attributes.retain_mut(|attribute| match attribute {
        RouteAttribute::Metrics(own) => {
            metrics.append(own);
            false
        }
        // What the kernel tells of a route, and does not take.
        RouteAttribute::CacheInfo(_) => false,
        _ => true,
    });
    let is_named = |metric: &RouteMetric| matches!(metric, RouteMetric::CcAlgo(_));
    let before = metrics.iter().position(is_named);
    let before = before.map(|index| metrics.remove(index));
    let now = name.map(|name| RouteMetric::CcAlgo(name.to_owned()));
    let is_new = before != now;
    metrics.extend(now);
    if !metrics.is_empty() {
        route.attributes.push(RouteAttribute::Metrics(metrics));
    }
    is_new
}
