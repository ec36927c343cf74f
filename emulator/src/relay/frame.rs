//! Packets in the relay's memory, and the pool their buffers come from.

use std::rc::Rc;

use super::ring::Received;
use super::segment::{self, Layout, PacketShape};
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
    /// Copies a frame out of its ring.
    pub(super) fn copy(&mut self, received: &Received<'_>) -> Rc<Frame> {
        let class = class(received.frame.len() + VLAN_TAG);
        let mut frame = self.free[class].pop().unwrap_or_default();
        // Only frames without a second owner come back here, so this never makes a new one but for the first time.
        let Frame {
            vnet,
            bytes,
            layout,
        } = match Rc::get_mut(&mut frame) {
            Some(frame) => frame,
            None => unreachable!("a frame in the pool has one owner"),
        };
        bytes.clear();
        bytes.reserve(1 << class);
        *vnet = received.vnet;
        match received.vlan.filter(|_| received.frame.len() >= ADDRESSES) {
            Some(tag) => {
                bytes.extend_from_slice(&received.frame[..ADDRESSES]);
                bytes.extend_from_slice(&tag);
                bytes.extend_from_slice(&received.frame[ADDRESSES..]);
                vnet.header_length += VLAN_TAG as u16;
                if vnet.flags & NEEDS_CHECKSUM != 0 {
                    vnet.checksum_start += VLAN_TAG as u16;
                }
            }
            None => bytes.extend_from_slice(received.frame),
        }
        *layout = Layout::of_super_packet(vnet, bytes);
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
    /// The wire packets it stands for.
    pub(super) fn shape(&self) -> PacketShape {
        segment::shape(self.layout.as_ref(), &self.bytes)
    }
}

/// Two Ethernet addresses; a VLAN tag comes after them.
const ADDRESSES: usize = 12;
const VLAN_TAG: usize = 4;

fn class(length: usize) -> usize {
    (length.next_power_of_two().trailing_zeros() as usize).clamp(SMALLEST, CLASSES - 1)
}
