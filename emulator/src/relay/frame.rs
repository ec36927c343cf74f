//! Packets in the relay's memory, and the pool their buffers come from.

use std::rc::Rc;

use super::model::Handle;
use super::queue::Traffic;
use super::ring::Received;
use super::segment::{self, Layout};
use super::stamp;
use super::traffic;
use super::vnet::{NEEDS_CHECKSUM, VnetHeader};

/// A packet or super-packet as it was received.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// What is still to be done to it.
    pub(super) vnet: VnetHeader,
    /// From the Ethernet header on.
    pub(super) bytes: Vec<u8>,
    /// Its headers, if it is a super-packet.
    pub(super) layout: Option<Layout>,
    /// What its headers say.
    pub(super) traffic: Traffic,
    /// Where in it the first room for in-band telemetry begins.
    pub(super) inband: Option<usize>,
    /// Whether it is for the very lane that it came to, and not to be spread over the link's.
    pub(super) is_for_its_lane: bool,
    /// The interface to leave by, whichever lane it takes: its addresses are those of that one's gateway.
    pub(super) exit: u32,
}

/// Frames that are not in use, by the power of two of their room.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: [Vec<Rc<Frame>>; CLASSES],
}

/// Up to 2^17: a super-packet.
const CLASSES: usize = 18;
/// 256 bytes; acknowledgements and probes.
const SMALLEST: usize = 8;

impl Pool {
    /// Copies a frame out of its ring; it is to leave by interface `exit`.
    pub(super) fn copy(&mut self, received: &Received<'_>, exit: u32) -> Rc<Frame> {
        let class = class(received.frame.len());
        let mut frame = self.free[class].pop().unwrap_or_default();
        let free = Rc::get_mut(&mut frame).expect("`recycle` keeps only what nobody else holds");
        free.bytes.clear();
        free.bytes.reserve(1 << class);
        free.read(received, exit);
        frame
    }

    /// Takes a frame back if nothing else of it is under way.
    pub(super) fn recycle(&mut self, mut frame: Rc<Frame>) {
        if Rc::get_mut(&mut frame).is_some() {
            self.free[class(frame.bytes.len())].push(frame);
        }
    }
}

impl Frame {
    /// Becomes a copy of what was received; it is to leave by interface `exit`.
    pub(super) fn read(&mut self, received: &Received<'_>, exit: u32) {
        let Frame {
            vnet,
            bytes,
            layout,
            traffic,
            inband,
            is_for_its_lane,
            exit: leave_by,
        } = self;
        bytes.clear();
        *vnet = received.vnet;
        match received.vlan.filter(|_| received.frame.len() >= ADDRESSES) {
            Some(tag) => {
                bytes.extend_from_slice(&received.frame[..ADDRESSES]);
                bytes.extend_from_slice(&tag);
                bytes.extend_from_slice(&received.frame[ADDRESSES..]);
                vnet.header_length = vnet.header_length.saturating_add(VLAN_TAG as u16);
                if vnet.flags & NEEDS_CHECKSUM != 0 {
                    vnet.checksum_start = vnet.checksum_start.saturating_add(VLAN_TAG as u16);
                }
            }
            None => bytes.extend_from_slice(received.frame),
        }
        *layout = Layout::of_super_packet(vnet, bytes);
        *inband = stamp::asks(bytes);
        *is_for_its_lane = traffic::is_for_its_lane(bytes);
        *leave_by = exit;
        *traffic = traffic::traffic(bytes, segment::shape(layout.as_ref(), bytes));
    }

    /// How much of it to copy so that its IP header can be changed: Ethernet, two VLAN tags, the fixed part of IPv6.
    pub(super) fn header_length(&self) -> usize {
        self.bytes.len().min(14 + 2 * VLAN_TAG + 40)
    }
}

impl Handle for Rc<Frame> {
    fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(self, other)
    }
}

/// Two Ethernet addresses; a VLAN tag comes after them.
const ADDRESSES: usize = 12;
const VLAN_TAG: usize = 4;

fn class(length: usize) -> usize {
    (length.next_power_of_two().trailing_zeros() as usize).clamp(SMALLEST, CLASSES - 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn received(frame: &[u8], vlan: Option<[u8; 4]>) -> Received<'_> {
        let vnet = VnetHeader {
            flags: NEEDS_CHECKSUM,
            checksum_start: 34,
            header_length: 54,
            ..VnetHeader::default()
        };
        Received {
            vnet,
            frame,
            truncated: false,
            vlan,
            stamp: Duration::ZERO,
            interface: 0,
        }
    }

    #[test]
    fn the_vlan_tag_that_the_kernel_took_out_is_put_back() {
        let bytes: Vec<u8> = (0..60).collect();
        let frame = Pool::default().copy(&received(&bytes, Some([0x81, 0x00, 0x00, 0x2a])), 0);
        assert_eq!(frame.bytes[..12], bytes[..12]);
        assert_eq!(frame.bytes[12..16], [0x81, 0x00, 0x00, 0x2a]);
        assert_eq!(frame.bytes[16..], bytes[12..]);
        assert_eq!(
            (frame.vnet.checksum_start, frame.vnet.header_length),
            (38, 58)
        );
    }

    #[test]
    fn a_frame_is_used_again_only_when_nothing_of_it_is_under_way() {
        let mut pool = Pool::default();
        let bytes = [7; 100];
        let first = pool.copy(&received(&bytes, None), 0);
        let (part, address) = (Rc::clone(&first), Rc::as_ptr(&first));
        pool.recycle(first);
        assert_ne!(Rc::as_ptr(&pool.copy(&received(&bytes, None), 0)), address);
        pool.recycle(part);
        assert_eq!(Rc::as_ptr(&pool.copy(&received(&bytes, None), 0)), address);
    }
}
