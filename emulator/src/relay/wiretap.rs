//! What a capture gets of a packet: its wire packets.

use std::ops::Range;

use super::segment::{Layout, complete_checksum};
use super::vnet::VnetHeader;
use crate::capture::Tap;
use crate::time::Time;

/// A tap, and room to cut super-packets in.
#[derive(Debug)]
pub(super) struct Wiretap {
    tap: Tap,
    /// The headers of the super-packet at hand, and of one of its wire packets.
    headers: [Vec<u8>; 2],
}

/// A packet or super-packet as engines hold it.
#[derive(Clone, Debug)]
pub(super) struct Wiretapped<'a> {
    pub(super) vnet: VnetHeader,
    /// Its headers, if it is a super-packet.
    pub(super) layout: Option<Layout>,
    /// From the Ethernet header on, in up to two parts.
    pub(super) parts: [&'a [u8]; 2],
    /// Which of its wire packets.
    pub(super) segments: Range<u32>,
}

impl Wiretap {
    pub(super) fn new(tap: Tap) -> Self {
        Wiretap {
            tap,
            headers: Default::default(),
        }
    }

    /// Packets that were not to be seen.
    pub(super) fn missed(&mut self, packets: u64) {
        self.tap.missed(packets);
    }

    /// Records the wire packets of `packet`, seen at `at`, as they are on a wire: each with headers of its own. What an interface was left
    /// to sum is summed where the file has all of it; elsewhere nobody can check the sum, and to work it out would cost the engine a
    /// look at every byte.
    pub(super) fn record(&mut self, at: Time, packet: &Wiretapped<'_>) {
        let at = at.as_nanos();
        let Wiretapped {
            vnet,
            layout,
            parts,
            segments,
        } = packet;
        let Some(layout) = layout else {
            if let Some(whole) = self.tap.record(at, *parts) {
                complete_checksum(&mut vnet.clone(), whole);
            }
            return;
        };
        let [common, own] = &mut self.headers;
        let [front, back] = part(*parts, 0..layout.payload(&(0..0)).start);
        common.clear();
        common.extend_from_slice(front);
        common.extend_from_slice(back);
        for segment in segments.clone() {
            let alone = segment..segment + 1;
            let mut vnet = layout.cut(vnet, common, &alone, own);
            // Where the payload spans both parts, it joins the headers.
            let payload = match part(*parts, layout.payload(&alone)) {
                [payload, []] | [[], payload] => payload,
                [front, back] => {
                    own.extend_from_slice(front);
                    back
                }
            };
            if let Some(whole) = self.tap.record(at, [own, payload]) {
                complete_checksum(&mut vnet, whole);
            }
        }
    }
}

/// What of `range` lies in each of two parts that follow one another.
fn part(parts: [&[u8]; 2], range: Range<usize>) -> [&[u8]; 2] {
    let first = parts[0].len();
    [
        &parts[0][range.start.min(first)..range.end.min(first)],
        &parts[1][range.start.saturating_sub(first)..range.end.saturating_sub(first)],
    ]
}
