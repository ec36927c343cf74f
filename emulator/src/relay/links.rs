//! What happens to the interfaces of the network namespace: rtnetlink's link events (rtnetlink(7)).
//!
//! A packet socket that sees all interfaces is told nothing when one of them goes.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
};
use socket2::Socket;

/// A subscription.
#[derive(Debug)]
pub(super) struct LinkEvents {
    socket: Socket,
    /// Messages not looked at yet.
    pending: Vec<u8>,
}

/// What matters to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The interface of this number is gone, or is in another namespace.
    Deleted(u32),
    /// The kernel had more to tell than the socket could hold.
    Overrun,
}

impl LinkEvents {
    /// Subscribes, in the current network namespace.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkRoute,
        )?;
        bind(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            &NetlinkAddr::new(0, libc::RTMGRP_LINK as u32),
        )?;
        Ok(LinkEvents {
            socket: socket.into(),
            pending: Vec::new(),
        })
    }

    /// The next event, if there is one now.
    pub(super) fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            while let Some((kind, message, rest)) = split(&self.pending) {
                let event = (kind == libc::RTM_DELLINK)
                    .then(|| interface(message))
                    .flatten()
                    .map(Event::Deleted);
                let consumed = self.pending.len() - rest.len();
                self.pending.drain(..consumed);
                if event.is_some() {
                    return Ok(event);
                }
            }
            let mut buffer = [MaybeUninit::uninit(); 16 << 10];
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                    Errno::EAGAIN => return Ok(None),
                    Errno::ENOBUFS => return Ok(Some(Event::Overrun)),
                    Errno::EINTR => continue,
                    _ => return Err(error),
                },
            };
            self.pending.clear();
            // SAFETY: the kernel has written the first `length` bytes.
            let written = buffer[..length]
                .iter()
                .map(|byte| unsafe { byte.assume_init() });
            self.pending.extend(written);
        }
    }
}

impl AsFd for LinkEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The first message (`struct nlmsghdr` and what follows), its type, and what comes behind it.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(HEADER..length)?;
    let next = length.next_multiple_of(ALIGNMENT).min(bytes.len());
    Some((kind, body, &bytes[next..]))
}

/// `ifi_index` of `struct ifinfomsg`.
fn interface(message: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(message.get(4..8)?.try_into().ok()?))
}

/// `sizeof(struct nlmsghdr)`, `NLMSG_ALIGNTO`.
const HEADER: usize = 16;
const ALIGNMENT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, index: u32, extra: usize) -> Vec<u8> {
        let length = (HEADER + 16 + extra) as u32;
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.resize(HEADER + 4, 0);
        bytes.extend_from_slice(&index.to_ne_bytes());
        bytes.resize((HEADER + 16 + extra).next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    #[test]
    fn messages_behind_one_another_are_told_apart_by_their_lengths() {
        let mut bytes = message(libc::RTM_NEWLINK, 3, 5);
        bytes.extend(message(libc::RTM_DELLINK, 7, 0));
        let (kind, body, rest) = split(&bytes).unwrap();
        assert_eq!((kind, interface(body)), (libc::RTM_NEWLINK, Some(3)));
        let (kind, body, rest) = split(rest).unwrap();
        assert_eq!((kind, interface(body)), (libc::RTM_DELLINK, Some(7)));
        assert_eq!(split(rest), None);
    }

    #[test]
    fn a_message_that_is_cut_short_is_none() {
        let bytes = message(libc::RTM_DELLINK, 7, 0);
        assert_eq!(split(&bytes[..bytes.len() - 4]), None);
        assert_eq!(split(&[0; 3]), None);
        assert_eq!(split(&[0; 32]), None);
    }
}
