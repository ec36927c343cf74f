//! UDP sockets in a network namespace whose arrivals the kernel stamps, and where asked to their departures; or their NIC both.
//!
//! They send without a checksum: the kernel would throw a corrupted probe away, and it would count as lost. A probe says itself
//! whether it is as it was sent (see `payload`).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, TimestampingFlag, recvmsg, setsockopt, sockopt,
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

/// A datagram that came in, or one that went out with all its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    /// Its length in bytes: of an arrival its payload's, of a departure the whole frame's.
    pub(crate) length: usize,
    /// The type of service that it came with.
    service: u8,
    /// When the kernel received it or gave it to the driver, CLOCK_REALTIME; zero where only the NIC says.
    pub(crate) at: Duration,
    /// When the NIC did, by its own clock, where it was asked to say.
    pub(crate) by_nic: Option<Duration>,
}

impl Packet {
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

    /// Whether departures are stamped from now on (Documentation/networking/timestamping.rst), by the NIC, or where it does not by the
    /// kernel when it gives them to the driver; and arrivals by the NIC, too. [`departed`](Self::departed) tells them.
    pub(crate) fn stamp_departures(&self, are: bool) -> io::Result<()> {
        type Flag = TimestampingFlag;
        let flags = match are {
            true => {
                Flag::SOF_TIMESTAMPING_RAW_HARDWARE
                    | Flag::SOF_TIMESTAMPING_TX_HARDWARE
                    | Flag::SOF_TIMESTAMPING_RX_HARDWARE
                    | Flag::SOF_TIMESTAMPING_SOFTWARE
                    | Flag::SOF_TIMESTAMPING_TX_SOFTWARE
            }
            false => Flag::empty(),
        };
        Ok(setsockopt(&self.socket, sockopt::Timestamping, &flags)?)
    }

    /// The next datagram there is, if any.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Packet>> {
        let arrival = self.take(buffer, MsgFlags::empty())?;
        // The kernel switches stamping on a moment after the first socket asks for it.
        Ok(arrival.map(|arrival| match arrival.at.is_zero() {
            true => Packet {
                at: clock(),
                ..arrival
            },
            false => arrival,
        }))
    }

    /// The next departure that was stamped, if any. Where none is taken, the socket is always ready.
    pub(crate) fn departed(&self, buffer: &mut [u8]) -> io::Result<Option<Packet>> {
        self.take(buffer, MsgFlags::MSG_ERRQUEUE)
    }

    fn take(&self, buffer: &mut [u8], queue: MsgFlags) -> io::Result<Option<Packet>> {
        // Beside the stamps, what says that a departure is no error: a `struct sock_extended_err` and an address.
        let mut control = nix::cmsg_space!(libc::timespec, [libc::timespec; 3], i32, [u8; 64]);
        let mut slices = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT | queue;
        match recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            flags,
        ) {
            Ok(message) => {
                let mut packet = Packet {
                    length: message.bytes,
                    service: 0,
                    at: Duration::ZERO,
                    by_nic: None,
                };
                for control in message.cmsgs()? {
                    match control {
                        ControlMessageOwned::ScmTimestampns(at) => packet.at = since_epoch(at),
                        ControlMessageOwned::ScmTimestampsns(stamps) => {
                            let given = |at| Some(since_epoch(at)).filter(|at| !at.is_zero());
                            packet.at = given(stamps.system).unwrap_or(packet.at);
                            packet.by_nic = given(stamps.hw_raw);
                        }
                        ControlMessageOwned::Ipv4Tos(field) => packet.service = field,
                        // An octet, in a number of the system's size.
                        ControlMessageOwned::Ipv6TClass(field) => packet.service = field as u8,
                        _ => {}
                    }
                }
                Ok(Some(packet))
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

    fn wait(socket: &ProbeSocket, event: PollFlags) {
        let mut wait = [PollFd::new(socket.as_fd(), event)];
        poll(&mut wait, PollTimeout::from(10_000u16)).unwrap();
    }

    /// The type of service of the next packet that comes to `receiver`.
    fn service(receiver: &ProbeSocket) -> u8 {
        wait(receiver, PollFlags::POLLIN);
        receiver.receive(&mut [0; 64]).unwrap().unwrap().service
    }

    #[test]
    fn a_departure_is_told_with_what_left_where_it_is_asked_for_and_only_there() {
        for address in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ] {
            let Ok(socket) = ProbeSocket::bind(address) else {
                println!("skipped: no {address} here");
                continue;
            };
            let mut buffer = [0; 128];
            socket.stamp_departures(true).unwrap();
            let before = clock();
            assert!(socket.send(socket.address(), b"a probe").unwrap());
            wait(&socket, PollFlags::POLLERR);
            let departure = socket.departed(&mut buffer).unwrap().unwrap();
            assert!(buffer[..departure.length].ends_with(b"a probe"));
            let arrival = socket.receive(&mut buffer).unwrap().unwrap();
            assert!(before <= departure.at && departure.at <= arrival.at);
            // There is no NIC on the way to oneself.
            assert_eq!([departure.by_nic, arrival.by_nic], [None, None]);

            socket.stamp_departures(false).unwrap();
            assert!(socket.send(socket.address(), b"a probe").unwrap());
            wait(&socket, PollFlags::POLLIN);
            assert!(socket.receive(&mut buffer).unwrap().is_some());
            assert!(socket.departed(&mut buffer).unwrap().is_none());
        }
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
