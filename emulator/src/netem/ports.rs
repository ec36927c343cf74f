//! Where the engine's interfaces lie, and the netlink sockets that reach them.

use std::collections::BTreeMap;
use std::io;

use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::RouteNetlinkMessage;
use nix::net::if_::if_nametoindex;

use super::kernel;
use crate::engine::EngineError;
use crate::namespace::Namespace;
use crate::plan::{LabPlan, LaneEnd, NodeId};
use crate::tc::socket::Socket;

/// A network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Gateway(NodeId),
    Keeper,
}

/// An interface that carries a qdisc of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub place: Place,
    pub index: u32,
}

/// One socket in each gateway's namespace, one in the keeper's.
pub(super) struct Sockets(BTreeMap<Place, Socket>);

impl Sockets {
    /// With the keeper's, whose namespace is that of the calling thread.
    pub(super) fn open() -> Result<Self, EngineError> {
        let keeper = Socket::open().map_err(|source| kernel("open a netlink socket", source))?;
        Ok(Self([(Place::Keeper, keeper)].into()))
    }

    /// The two interfaces of a lane's end, the gateway's and the keeper's; from now on the gateway is within reach.
    pub(super) fn ports(
        &mut self,
        plan: &LabPlan,
        namespaces: &[Namespace],
        end: &LaneEnd,
    ) -> Result<(Port, Port), EngineError> {
        let place = Place::Gateway(end.gateway);
        let gateway = &plan.node(end.gateway).name;
        let missing = !self.0.contains_key(&place);
        let look = || -> io::Result<(u32, Option<Socket>)> {
            let index = if_nametoindex(&*end.interface)?;
            let socket = if missing { Some(Socket::open()?) } else { None };
            Ok((index, socket))
        };
        let (index, socket) = namespaces[end.gateway.0]
            .run(look)
            .flatten()
            .map_err(|source| kernel(format!("find {} in {gateway}", end.interface), source))?;
        self.0.extend(socket.map(|socket| (place, socket)));
        let keeper = if_nametoindex(&*end.keeper_interface)
            .map_err(|source| kernel(format!("find {}", end.keeper_interface), source.into()))?;
        let keeper = Port {
            place: Place::Keeper,
            index: keeper,
        };
        Ok((Port { place, index }, keeper))
    }

    /// Asks the kernel for `step`.
    pub(super) fn request(
        &mut self,
        place: Place,
        request: NetlinkMessage<RouteNetlinkMessage>,
        step: impl Fn() -> String,
    ) -> Result<(), EngineError> {
        self.at(place)
            .request(request)
            .map_err(|source| kernel(step(), source))
    }

    /// The socket of a namespace that holds a port.
    pub(super) fn at(&mut self, place: Place) -> &mut Socket {
        self.0.get_mut(&place).expect("opened for the port")
    }

    /// All of them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Place, &mut Socket)> {
        self.0.iter_mut().map(|(&place, socket)| (place, socket))
    }
}
