//! UDP sockets in a network namespace whose arrivals the kernel stamps.
//!
//! They send without a checksum: the kernel would throw a corrupted probe away, and it would count as lost. A probe says itself
//! whether it is as it was sent (see `payload`).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::{EcnField, End};
use crate::namespace;

/// Congestion experienced.
const CE: u8 = 0b11;
/// `UDP_NO_CHECK6_TX` and `UDP_NO_CHECK6_RX` of include/uapi/linux/udp.h: IPv6 has a switch for either way (RFC 6936).
const UDP_NO_CHECK6: [libc::c_int; 2] = [101, 102];

/// A UDP socket inside a namespace; does not block.
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
    /// The type of service that it came with.
    service: u8,
    /// When the node's interface received it, CLOCK_REALTIME.
    pub(crate) at: Duration,
}

impl Arrival {
    /// It was marked "congestion experienced" on the way.
    pub(crate) fn marked(&self) -> bool {
        self.service & CE == CE
    }
}

impl ProbeSocket {
    /// Binds a free port of `end`.
    pub(crate) fn open(end: End<'_>) -> io::Result<Self> {
        Self::of(namespace::run_in(end.net, || {
            UdpSocket::bind((end.address, 0))
        })??)
    }

    /// Binds a free port of one of this process's own addresses.
    pub(crate) fn bind(address: IpAddr) -> io::Result<Self> {
        Self::of(UdpSocket::bind((address, 0))?)
    }

    fn of(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let address = socket.local_addr()?;
        if address.is_ipv4() {
            set(&socket, libc::SOL_SOCKET, libc::SO_NO_CHECK)?;
            setsockopt(&socket, sockopt::IpRecvTos, &true)?;
        } else {
            for way in UDP_NO_CHECK6 {
                set(&socket, libc::IPPROTO_UDP, way)?;
            }
            setsockopt(&socket, sockopt::Ipv6RecvTClass, &true)?;
        }
        Ok(Self { socket, address })
    }

    /// What it sends from now on has `ecn` in its ECN field, the two lowest bits of the type of service.
    pub(crate) fn mark_as(&self, ecn: EcnField) -> io::Result<()> {
        let service = match ecn {
            EcnField::NotEct => 0b00,
            EcnField::Ect0 => 0b10,
        };
        match self.address {
            SocketAddr::V4(_) => setsockopt(&self.socket, sockopt::Ipv4Tos, &service)?,
            SocketAddr::V6(_) => setsockopt(&self.socket, sockopt::Ipv6TClass, &service)?,
        }
        Ok(())
    }

    /// Lets `bytes` of what it sent wait in this machine, as far as this process may: a queue right behind the socket holds it
    /// on the sender's account.
    pub(crate) fn reserve_unsent(&self, bytes: usize) -> io::Result<()> {
        setsockopt(&self.socket, sockopt::SndBufForce, &bytes)
            .or_else(|_| setsockopt(&self.socket, sockopt::SndBuf, &bytes))
            .map_err(io::Error::from)
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
        let mut control = nix::cmsg_space!(libc::timespec, i32);
        let mut slices = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            flags,
        ) {
            Ok(message) => {
                let mut arrival = Arrival {
                    length: message.bytes,
                    service: 0,
                    at: Duration::ZERO,
                };
                for control in message.cmsgs()? {
                    match control {
                        ControlMessageOwned::ScmTimestampns(at) => arrival.at = since_epoch(at),
                        ControlMessageOwned::Ipv4Tos(field) => arrival.service = field,
                        // An octet, in a number of the system's size.
                        ControlMessageOwned::Ipv6TClass(field) => arrival.service = field as u8,
                        _ => {}
                    }
                }
                // The kernel switches stamping on a moment after the first socket asks for it.
                if arrival.at.is_zero() {
                    arrival.at = clock();
                }
                Ok(Some(arrival))
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

/// What passes: a full socket buffer or device queue. And a refusal: an ICMP message that an earlier datagram, mangled on its
/// way, came back as.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ECONNREFUSED)
    )
}

/// Switches an option on that nix does not know.
fn set(socket: &UdpSocket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes from `on`, which lives until the call returns.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size,
        )
    };
    Ok(Errno::result(outcome).map(drop)?)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    /// The type of service of the next packet that comes to `receiver`.
    fn service(receiver: &ProbeSocket) -> u8 {
        let mut wait = [PollFd::new(receiver.as_fd(), PollFlags::POLLIN)];
        poll(&mut wait, PollTimeout::from(10_000u16)).unwrap();
        receiver.receive(&mut [0; 64]).unwrap().unwrap().service
    }

    #[test]
    fn the_ecn_field_is_what_was_last_asked_for() {
        for address in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ] {
            let Ok(receiver) = ProbeSocket::bind(address) else {
                println!("skipped: no {address} here");
                continue;
            };
            let sender = ProbeSocket::bind(address).unwrap();
            let sent = [EcnField::Ect0, EcnField::NotEct].map(|ecn| {
                sender.mark_as(ecn).unwrap();
                assert!(sender.send(receiver.address(), b"probe").unwrap());
                service(&receiver)
            });
            assert_eq!(sent, [0b10, 0b00], "{address}");
        }
    }
}
