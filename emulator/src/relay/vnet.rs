//! The header that AF_PACKET puts before every frame with `PACKET_VNET_HDR`: what is still to be done to the frame.

use bytemuck::{Pod, Zeroable};

/// `struct virtio_net_hdr` (uapi/linux/virtio_net.h), in the byte order of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct VnetHeader {
    /// [`NEEDS_CHECKSUM`] and [`CHECKSUM_VALID`].
    pub(super) flags: u8,
    /// Which kind of super-packet, or [`GSO_NONE`].
    pub(super) gso_type: u8,
    /// Length of all headers; a hint.
    pub(super) header_length: u16,
    /// Payload bytes of each segment.
    pub(super) gso_size: u16,
    /// Where the sum begins.
    pub(super) checksum_start: u16,
    /// Where it goes, from there.
    pub(super) checksum_offset: u16,
}

/// Length of the header on the wire between kernel and socket.
pub(super) const VNET_HEADER: usize = size_of::<VnetHeader>();

/// The checksum field holds the sum of the pseudo-header only.
pub(super) const NEEDS_CHECKSUM: u8 = 1;
/// The checksum has been found right.
pub(super) const CHECKSUM_VALID: u8 = 2;

/// An ordinary packet.
pub(super) const GSO_NONE: u8 = 0;
/// TCP over IPv4.
pub(super) const GSO_TCP4: u8 = 1;
/// TCP over IPv6.
pub(super) const GSO_TCP6: u8 = 4;
/// UDP, each segment a datagram.
pub(super) const GSO_UDP: u8 = 5;
/// Beside a TCP type: only the first segment carries CWR.
pub(super) const GSO_ECN: u8 = 0x80;

impl VnetHeader {
    /// The same without the work that is done or void once a packet stands alone.
    pub(super) fn ungrouped(self) -> Self {
        VnetHeader {
            gso_type: GSO_NONE,
            gso_size: 0,
            ..self
        }
    }
}
