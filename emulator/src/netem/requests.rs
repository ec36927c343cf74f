//! What the engine says to the kernel beside its qdiscs.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::tc::{TcHandle, TcMessage};

use crate::tc::redirect::Classifier;
use crate::tc::socket::Socket;

/// The first classifier that the kernel has redirects all that arrives at `from` to `to`.
pub(super) fn redirect(socket: &mut Socket, from: u32, to: u32) -> io::Result<()> {
    let [first, second] = Classifier::ALL;
    match socket.request(first.redirect(from, to)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            socket.request(second.redirect(from, to))
        }
        outcome => outcome,
    }
}

/// The request that bounds how many segments a super-packet may have on its way out of interface `index`; longer ones are cut
/// to single packets there.
pub(super) fn gso_segments(index: u32, segments: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes = vec![LinkAttribute::GsoMaxSegs(segments)];
    acknowledged(RouteNetlinkMessage::SetLink(link))
}

/// The request that gives interface `index` its default qdisc back.
pub(super) fn remove_root(index: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.parent = TcHandle::ROOT;
    acknowledged(RouteNetlinkMessage::DelQueueDiscipline(message))
}

fn acknowledged(message: RouteNetlinkMessage) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    request
}

/// Frames that each interface of the socket's namespace dropped on the way out: for a veth, as the other side's backlog
/// was full.
pub(super) fn interface_drops(socket: &mut Socket) -> io::Result<Vec<(u32, u64)>> {
    let listed = socket.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let links = listed.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    });
    let drops = links.filter_map(|link| {
        link.attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Stats64(stats) => Some((link.header.index, stats.tx_dropped)),
                _ => None,
            })
    });
    Ok(drops.collect())
}
