//! UDP sockets in a node whose arrivals the kernel stamps.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::ProbeEnd;
use crate::lab::Lab;

/// A UDP socket inside a node; does not block.
#[derive(Debug)]
pub(crate) struct ProbeSocket {
    socket: UdpSocket,
    address: SocketAddr,
}

/// A datagram that came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Its payload's length.
    pub(crate) length: usize,
    /// When the node's interface received it, CLOCK_REALTIME.
    pub(crate) at: Duration,
}

impl ProbeSocket {
    /// Binds a free port of `end`.
    pub(crate) fn open(lab: &Lab, end: ProbeEnd) -> io::Result<Self> {
        let socket = lab
            .namespace(end.node)
            .run(|| UdpSocket::bind((end.address, 0)))??;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Makes room for `bytes` of arrivals that nobody has read, as far as this process may.
    pub(crate) fn reserve(&self, bytes: usize) -> io::Result<()> {
        // Past net.core.rmem_max only with CAP_NET_ADMIN over the namespace, which a lab has on newer kernels.
        setsockopt(&self.socket, sockopt::RcvBufForce, &bytes)
            .or_else(|_| setsockopt(&self.socket, sockopt::RcvBuf, &bytes))
            .map_err(io::Error::from)
    }

    /// Where it is reached.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a datagram; says `false` if there is no room for it now.
    pub(crate) fn send(&self, to: SocketAddr, payload: &[u8]) -> io::Result<bool> {
        match self.socket.send_to(payload, to) {
            Ok(_) => Ok(true),
            Err(error) if is_passing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The next datagram there is, if any.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Arrival>> {
        let mut control = nix::cmsg_space!(libc::timespec);
        let mut slices = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            flags,
        ) {
            Ok(message) => {
                let stamp = message.cmsgs()?.find_map(|control| match control {
                    ControlMessageOwned::ScmTimestampns(at) => Some(since_epoch(at)),
                    _ => None,
                });
                // The kernel switches stamping on a moment after the first socket asks for it.
                Ok(Some(Arrival {
                    length: message.bytes,
                    at: stamp.unwrap_or_else(clock),
                }))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for ProbeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// CLOCK_REALTIME, the clock of the kernel's stamps.
pub(crate) fn clock() -> Duration {
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(Duration::ZERO, since_epoch)
}

fn since_epoch(at: TimeSpec) -> Duration {
    Duration::from(at)
}

/// A full socket buffer or device queue.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS))
}
