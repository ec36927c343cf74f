//! A blocking netlink socket: one request, one answer, no runtime.
//!
//! For the engine's counters, which a sampling thread reads every few milliseconds, and for probes on threads in scratch
//! namespaces.

use std::io;
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket as NetlinkSocket, SocketAddr};
use socket2::SockRef;

/// The kernel answers within microseconds, or milliseconds where it has to load a module or wait for RCU.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A socket of the network namespace that it was opened in.
pub struct Socket {
    socket: NetlinkSocket,
    sequence: u32,
}

impl Socket {
    /// Opens one in the calling thread's network namespace.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn open() -> io::Result<Self> {
        let mut socket = NetlinkSocket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        SockRef::from(&socket).set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Sends a request that asks to be acknowledged, and waits until it is.
    ///
    /// # Errors
    /// What the kernel answered, or that it did not.
    pub fn request(&mut self, request: NetlinkMessage<RouteNetlinkMessage>) -> io::Result<()> {
        self.exchange(request, &mut Vec::new())
    }

    /// Everything that the kernel lists in answer to `question`.
    ///
    /// # Errors
    /// What the kernel answered, or that it did not.
    pub fn dump(&mut self, question: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(question);
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut listed = Vec::new();
        self.exchange(request, &mut listed)?;
        Ok(listed)
    }

    fn exchange(
        &mut self,
        mut request: NetlinkMessage<RouteNetlinkMessage>,
        listed: &mut Vec<RouteNetlinkMessage>,
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let reply = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                let length = usize::try_from(reply.header.length).map_err(io::Error::other)?;
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                if reply.header.sequence_number != self.sequence {
                    continue;
                }
                match reply.payload {
                    NetlinkPayload::InnerMessage(message) => listed.push(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}
