//! The handle: what the listening end tells the connecting one, by NCCL's own bootstrap.
//!
//! NCCL calls `connect` again and again with the same bytes until there is a connection, and gives no other place for what is under
//! way: as its own transports do, the connecting end keeps its pointer in the handle.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// `NCCL_NET_HANDLE_MAXSIZE`.
pub(crate) const SIZE: usize = 128;

/// The bytes, all of them.
pub(crate) type Bytes = [u8; SIZE];

/// `LHNC` and a version: a handle of another plugin, or of another version of this one, is not taken for ours.
pub(crate) const MAGIC: [u8; 8] = *b"LHNC\0\0\0\x01";

/// magic 8, key 8, port 2, family 2 (4 or 6), reserved 4, address 16, then the connecting end's own 8.
const OWN: usize = 40;

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    /// Drawn by the listening end: who knows it was told by NCCL.
    pub(crate) key: u64,
    pub(crate) address: SocketAddr,
}

impl Handle {
    pub(crate) fn to_bytes(self) -> Bytes {
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.key.to_be_bytes());
        bytes[16..18].copy_from_slice(&self.address.port().to_be_bytes());
        let (family, address) = match self.address.ip() {
            IpAddr::V4(v4) => (4, v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => (6, v6),
        };
        bytes[18] = family;
        bytes[24..OWN].copy_from_slice(&address.octets());
        bytes
    }

    /// `None` if it is not a handle of this plugin.
    pub(crate) fn from_bytes(bytes: &Bytes) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (key, rest) = rest.split_first_chunk::<8>()?;
        let (port, _) = rest.split_first_chunk::<2>()?;
        let octets: [u8; 16] = bytes[24..OWN].try_into().ok()?;
        let v6 = Ipv6Addr::from(octets);
        let address = match bytes[18] {
            4 => IpAddr::V4(v6.to_ipv4_mapped()?),
            6 => IpAddr::V6(v6),
            _ => return None,
        };
        (*magic == MAGIC).then(|| Self {
            key: u64::from_be_bytes(*key),
            address: SocketAddr::new(address, u16::from_be_bytes(*port)),
        })
    }
}

/// The connecting end's own word in a handle; 0 as it comes.
pub(crate) fn own(bytes: &Bytes) -> usize {
    let word = bytes[OWN..].first_chunk().copied().unwrap_or_default();
    usize::from_ne_bytes(word)
}

/// Sets it.
pub(crate) fn set_own(bytes: &mut Bytes, word: usize) {
    let word = word.to_ne_bytes();
    bytes[OWN..OWN + word.len()].copy_from_slice(&word);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_handle_says_what_it_was_told(key: u64, address: SocketAddr, word: usize) {
            // Neither is used here: addresses with a scope are left out, and there are no flows.
            let address = SocketAddr::new(address.ip(), address.port());
            let handle = Handle { key, address };
            let mut bytes = handle.to_bytes();
            prop_assert_eq!(own(&bytes), 0);
            set_own(&mut bytes, word);
            prop_assert_eq!(own(&bytes), word);
            prop_assert_eq!(Handle::from_bytes(&bytes), Some(handle));
        }

        #[test]
        fn other_bytes_are_no_handle(bytes: [u8; 32]) {
            let mut handle = [0; SIZE];
            handle[..32].copy_from_slice(&bytes);
            prop_assert_eq!(Handle::from_bytes(&handle), None);
        }
    }
}
