//! The way into the kernel: packets on a socket, each at its instant.
//!
//! On a wall clock a packet is handed over when it is due. In a virtual lab it is handed over before, with its instant
//! (`SO_TXTIME`), and waits in the interface's qdisc ([`by_time`]), as the kernel's timers are exact there: a wake-up of this
//! thread costs as much as a hundred packets do in the kernel, and so serves all that falls due within [`LOOKAHEAD`].

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;

use super::egress::Outgoing;
use super::ring::{packet_socket, set};
use super::vnet::VNET_HEADER;
use crate::guest;
use crate::tc;
use crate::tc::departure::by_time;
use crate::time::Time;

/// How many packets go out with one system call. More save little (a call costs a fraction of a packet's way through the
/// receiver's stack) and make the last ones late.
pub(super) const BATCH: usize = 16;

/// How far ahead packets are handed over. What is handed over holds memory of the kernel beside that of the relay, so no
/// more than what makes wake-ups cheap.
pub(super) const LOOKAHEAD: Duration = Duration::from_millis(1);

/// What the packets that wait for their instant may take: what the links hold is what bounds them.
const ROOM: usize = 1 << 30;

/// How often a full socket buffer is waited for, a millisecond at most each time, before the packet counts as dropped.
const RETRIES: u32 = 3;

/// When a packet leaves that is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// At once.
    AtOnce,
    /// When it says.
    InTime,
}

/// The socket to send on by any interface of the network namespace; it receives nothing. One of its own, as the kernel tells
/// whoever watches a socket of every packet that has left its buffer.
#[derive(Debug)]
pub(super) struct Output {
    socket: Socket,
    departure: Departure,
}

impl Output {
    /// For `interfaces` of the current network namespace (the kernel's numbers).
    pub(super) fn open(interfaces: impl Iterator<Item = u32>) -> io::Result<Self> {
        if guest::init::is_guest() {
            Self::in_time(interfaces)
        } else {
            let socket = packet_socket()?;
            set(&socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1)?;
            Ok(Output {
                socket,
                departure: Departure::AtOnce,
            })
        }
    }

    fn in_time(interfaces: impl Iterator<Item = u32>) -> io::Result<Self> {
        let mut netlink = tc::socket::Socket::open()?;
        for interface in interfaces {
            netlink.request(by_time().request(interface))?;
        }
        let socket = packet_socket()?;
        socket.set_send_buffer_size(ROOM)?;
        let clock = libc::sock_txtime {
            clockid: libc::CLOCK_MONOTONIC,
            flags: 0,
        };
        set(&socket, libc::SOL_SOCKET, libc::SO_TXTIME, &clock)?;
        Ok(Output {
            socket,
            departure: Departure::InTime,
        })
    }

    /// When packets leave.
    pub(super) fn departure(&self) -> Departure {
        self.departure
    }

    /// Hands over the first of `batch`, [`BATCH`] at most; how many the kernel took. Waits a bounded time for room.
    pub(super) fn send(&self, batch: &[Outgoing]) -> io::Result<usize> {
        for _ in 0..RETRIES {
            match self.try_to_send(batch) {
                Err(Errno::EAGAIN | Errno::ENOBUFS) => {
                    let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                    // Whether there is room now shows in the next attempt.
                    let _ = poll(&mut fds, PollTimeout::from(1u8));
                }
                Err(Errno::EINTR) => {}
                other => return Ok(other?),
            }
        }
        Ok(self.try_to_send(batch)?)
    }

    /// One `sendmmsg`: how many packets the kernel took, at least one.
    fn try_to_send(&self, batch: &[Outgoing]) -> nix::Result<usize> {
        let count = batch.len().min(BATCH);
        // SAFETY: all-zero iovec, sockaddr_ll and mmsghdr are valid and empty.
        let (mut parts, mut addresses, mut messages) = unsafe {
            (
                std::mem::zeroed::<[[libc::iovec; 3]; BATCH]>(),
                std::mem::zeroed::<[libc::sockaddr_ll; BATCH]>(),
                std::mem::zeroed::<[libc::mmsghdr; BATCH]>(),
            )
        };
        let mut instants = [Instant::default(); BATCH];
        let rooms = parts.iter_mut().zip(&mut addresses).zip(&mut messages);
        for ((out, ((parts, address), message)), instant) in
            batch.iter().zip(rooms).zip(&mut instants)
        {
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_ifindex = out.interface as i32;
            message.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
            message.msg_hdr.msg_namelen = size_of_val(address) as libc::socklen_t;
            let vnet: &[u8; VNET_HEADER] = bytemuck::cast_ref(&out.vnet);
            // Most packets have no header of their own; to leave it out saves the kernel a look at it.
            let order: [&[u8]; 3] = match &*out.header {
                [] => [vnet, &out.frame.bytes[out.rest.clone()], &[]],
                header => [vnet, header, &out.frame.bytes[out.rest.clone()]],
            };
            *parts = order.map(|part| libc::iovec {
                iov_base: part.as_ptr().cast_mut().cast(),
                iov_len: part.len(),
            });
            message.msg_hdr.msg_iov = parts.as_mut_ptr();
            message.msg_hdr.msg_iovlen = if out.header.is_empty() { 2 } else { 3 };
            if self.departure == Departure::InTime {
                *instant = Instant::of(out.release);
                message.msg_hdr.msg_control = std::ptr::from_mut(instant).cast();
                message.msg_hdr.msg_controllen = size_of_val(instant);
            }
        }
        // SAFETY: `messages` holds `count` messages, which point into `parts`, `addresses`, `instants` and `batch`; all
        // outlive the call, which only reads them (but for `msg_len`, which is ours).
        let sent = unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        Errno::result(sent).map(|sent| sent as usize)
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A control message (cmsg(3)) of one kind: when the packet is to leave.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Instant {
    length: usize,
    level: libc::c_int,
    kind: libc::c_int,
    nanoseconds: u64,
}

impl Instant {
    fn of(release: Time) -> Self {
        Instant {
            length: size_of::<Self>(),
            level: libc::SOL_SOCKET,
            kind: libc::SCM_TXTIME,
            // None at all is what zero means.
            nanoseconds: release.as_nanos().max(1),
        }
    }
}

impl Default for Instant {
    fn default() -> Self {
        Instant::of(Time::default())
    }
}
