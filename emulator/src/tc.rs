//! The netlink encoding of the qdiscs and filters in use, for rtnetlink knows none of them.
//!
//! - [`bottleneck`]: rate and queue of a lane or a port: TBF or a `line`, over a FIFO or over a [`queue`] that marks or
//!   drops early.
//! - [`delay_line`]: delay, jitter, loss, duplication and corruption: netem.
//! - `departure`: packets that leave at the instants they carry: fq.
//! - [`redirect`]: frames from one interface's ingress to another's egress: ingress, matchall or u32, mirred.
//! - [`socket`]: a blocking netlink socket, for what must not wait for a runtime; [`stats`] reads the qdiscs' counters.
//!
//! Encoding is pure: a [`Qdisc`] is what to say to the kernel, [`install`] or [`socket::Socket::request`] says it.

pub mod bottleneck;
pub mod delay_line;
pub(crate) mod departure;
mod encode;
mod line;
pub mod queue;
pub mod redirect;
pub mod socket;
pub mod stats;

use futures::StreamExt;
use netlink_packet_core::{
    DefaultNla, NLA_F_NESTED, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

/// `TCA_OPTIONS` of `linux/rtnetlink.h`.
const TCA_OPTIONS: u16 = 2;

/// Qdiscs count the Ethernet header (`ETH_HLEN`), which an MTU does not.
pub(crate) const ETHERNET_HEADER: u64 = 14;

/// The index of `lo` in every network namespace (the kernel's `LOOPBACK_IFINDEX`).
pub(crate) const LOOPBACK: u32 = 1;

/// The handle of every root qdisc of ours.
pub const ROOT_HANDLE: TcHandle = TcHandle { major: 1, minor: 0 };

/// A qdisc, or a class of one, as it is asked of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qdisc {
    /// Which of the two.
    pub object: Object,
    /// What it hangs from: [`TcHandle::ROOT`], [`TcHandle::INGRESS`] or a class of another qdisc.
    pub parent: TcHandle,
    /// Its own name.
    pub handle: TcHandle,
    /// `tbf`, `netem`…
    pub kind: &'static str,
    /// The payload of `TCA_OPTIONS`: for most kinds a struct followed by attributes, not a nest.
    pub options: Vec<u8>,
}

/// What `tc` calls an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// What packets queue in.
    Qdisc,
    /// A part of a qdisc, with a qdisc of its own below it.
    Class,
}

impl Qdisc {
    /// The request that puts it on interface `index`, or changes the one that is there into it.
    pub fn request(&self, index: u32) -> NetlinkMessage<RouteNetlinkMessage> {
        let mut message = TcMessage::with_index(index.cast_signed());
        message.header.parent = self.parent;
        message.header.handle = self.handle;
        // The one kind that wants to be told that its options are attributes (`nla_parse_nested`).
        let options = match self.kind {
            "dualpi2" => TCA_OPTIONS | NLA_F_NESTED,
            _ => TCA_OPTIONS,
        };
        message.attributes = vec![
            TcAttribute::Kind(self.kind.into()),
            TcAttribute::Other(DefaultNla::new(options, self.options.clone())),
        ];
        let payload = match self.object {
            Object::Qdisc => RouteNetlinkMessage::NewQueueDiscipline(message),
            Object::Class => RouteNetlinkMessage::NewTrafficClass(message),
        };
        let mut request = NetlinkMessage::from(payload);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        request
    }
}

/// Puts `qdiscs`, parents first, on interface `index` of the namespace that `handle` speaks to.
///
/// # Errors
/// If the kernel refuses one.
pub async fn install(
    handle: &rtnetlink::Handle,
    index: u32,
    qdiscs: &[Qdisc],
) -> Result<(), rtnetlink::Error> {
    let mut handle = handle.clone();
    for qdisc in qdiscs {
        let mut replies = handle.request(qdisc.request(index))?;
        while let Some(reply) = replies.next().await {
            if let NetlinkPayload::Error(error) = reply.payload
                && error.code.is_some()
            {
                return Err(rtnetlink::Error::NetlinkError(error));
            }
        }
    }
    Ok(())
}
