//! Netlink for families that the crates in use do not know: raw messages over a blocking socket, and attributes.

use std::io;
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use rtnetlink::sys::{Socket as NetlinkSocket, SocketAddr};
use socket2::SockRef;

/// As in `tc`: the kernel answers within microseconds; firmware that is asked may take its time.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// `struct nlmsghdr`: length, type, flags, sequence number, port (linux/netlink.h).
const HEADER: usize = 16;
/// A type of message (linux/netlink.h).
const ERROR: u16 = 2;
/// The same.
const DONE: u16 = 3;
/// The flag of an attribute that holds others (NLA_F_NESTED, linux/netlink.h).
pub(super) const NESTED: u16 = 1 << 15;
/// The bits of an attribute's type that are no flags (NLA_TYPE_MASK, linux/netlink.h).
const TYPE_MASK: u16 = 0x3fff;

/// A socket of one protocol.
pub(super) struct Socket {
    socket: NetlinkSocket,
    sequence: u32,
}

/// How many answers a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// One.
    One,
    /// A list, until its end.
    All,
}

impl Socket {
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = NetlinkSocket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        SockRef::from(&socket).set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Socket {
            socket,
            sequence: 0,
        })
    }

    /// Sends a message and gives what the answers hold behind their headers.
    pub(super) fn exchange(
        &mut self,
        kind: u16,
        payload: &[u8],
        answers: Answers,
    ) -> io::Result<Vec<Vec<u8>>> {
        self.sequence += 1;
        let flags = match answers {
            Answers::One => NLM_F_REQUEST,
            Answers::All => NLM_F_REQUEST | NLM_F_DUMP,
        };
        let length = u32::try_from(HEADER + payload.len()).map_err(io::Error::other)?;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend(payload);
        self.socket.send(&message, 0)?;
        let mut found = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while let Some(message) = split(&mut rest) {
                if message.sequence != self.sequence {
                    continue;
                }
                match (message.kind, answers) {
                    (ERROR, _) => match i32_at(message.payload, 0) {
                        Some(0) => return Ok(found),
                        Some(code) => return Err(io::Error::from_raw_os_error(-code)),
                        None => return Err(io::ErrorKind::UnexpectedEof.into()),
                    },
                    (DONE, _) => return Ok(found),
                    (_, Answers::One) => return Ok(vec![message.payload.to_vec()]),
                    (_, Answers::All) => found.push(message.payload.to_vec()),
                }
            }
        }
    }
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    payload: &'a [u8],
}

/// Takes the next message off `bytes`; `None` if there is none that is whole.
fn split<'a>(bytes: &mut &'a [u8]) -> Option<Message<'a>> {
    let length = usize::try_from(i32_at(bytes, 0)?).ok()?;
    let whole = bytes.get(..length).filter(|whole| whole.len() >= HEADER)?;
    *bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some(Message {
        kind: u16::from_ne_bytes([whole[4], whole[5]]),
        sequence: u32::from_ne_bytes([whole[8], whole[9], whole[10], whole[11]]),
        payload: &whole[HEADER..],
    })
}

fn i32_at(bytes: &[u8], offset: usize) -> Option<i32> {
    let bytes = bytes.get(offset..offset + 4)?;
    Some(i32::from_ne_bytes(bytes.try_into().ok()?))
}

/// An attribute with its padding: `struct nlattr` is length and type, both 16 bits.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("our attributes are small");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The same for a text, which ends in a zero.
pub(super) fn text_attribute(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

/// The attributes in `bytes`: their types and values, as far as they are whole.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of that type.
pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// A text up to its zero.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn attributes_read_back(all in proptest::collection::vec((1_u16..100, proptest::collection::vec(any::<u8>(), 0..40)), 0..8)) {
            let bytes: Vec<u8> = all.iter().flat_map(|(kind, value)| attribute(*kind, value)).collect();
            let read: Vec<(u16, Vec<u8>)> = attributes(&bytes).map(|(kind, value)| (kind, value.to_vec())).collect();
            prop_assert_eq!(read, all);
        }

        #[test]
        fn no_bytes_are_too_wild(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(attributes(&bytes).count() <= 50);
            let mut rest = &bytes[..];
            while split(&mut rest).is_some() {}
        }
    }
}
