//! In-band telemetry: what a packet met, written into those that have room for it (see [`crate::inband`]).

use longhaul_topologies::model::Channel;
use longhaul_topologies::units::Rate;

use super::checksum;
use super::model::Stamp;
use super::queue::Marking;
use super::segment;
use super::vnet::{NEEDS_CHECKSUM, VnetHeader};
use crate::inband::{self, MAGIC, Record};
use crate::plan::ChannelId;

/// What is the same in all records of a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    id: ChannelId,
    rate_bps: Option<u64>,
}

impl Hop {
    pub(super) fn new(id: ChannelId, channel: &Channel) -> Self {
        Hop {
            id,
            rate_bps: channel.rate.map(Rate::bits_per_second),
        }
    }

    /// The record of a packet that met `stamp`.
    pub(super) fn record(&self, stamp: Stamp, marking: Marking) -> Record {
        Record {
            link: u16::try_from(self.id.link.0).unwrap_or(u16::MAX),
            lane: u16::try_from(self.id.lane).unwrap_or(u16::MAX),
            direction: self.id.direction,
            marked: marking == Marking::Marked,
            time_ns: stamp.at.as_nanos(),
            queue_packets: u32::try_from(stamp.queue.packets).unwrap_or(u32::MAX),
            queue_bytes: stamp.queue.bytes,
            sent_bytes: stamp.sent,
            rate_bps: self.rate_bps,
        }
    }
}

/// Where the payload of a UDP packet that asks for records begins.
pub(super) fn asks(frame: &[u8]) -> Option<usize> {
    let at = segment::udp_payload(frame)?;
    frame[at..].starts_with(&MAGIC).then_some(at)
}

/// Appends `record` to each of the datagrams in `packet`, whose payloads begin at `payload_at` and follow each other every
/// `segment` bytes. Keeps the UDP checksum right where it is there already.
pub(super) fn write(
    packet: &mut [u8],
    vnet: &VnetHeader,
    payload_at: usize,
    segment: usize,
    record: &Record,
) {
    let Some(payload) = packet.get_mut(payload_at..) else {
        return;
    };
    let before = checksum::add(0, payload);
    for datagram in payload.chunks_mut(segment.max(1)) {
        inband::append(datagram, record);
    }
    let after = checksum::add(0, payload);
    let field = payload_at - 2;
    let sum = u16::from_be_bytes([packet[field], packet[field + 1]]);
    // Still to be summed, or not summed at all (RFC 768).
    if vnet.flags & NEEDS_CHECKSUM != 0 || sum == 0 {
        return;
    }
    let new = checksum::updated(sum, before, after);
    let new = if new == 0 { 0xffff } else { new };
    packet[field..field + 2].copy_from_slice(&new.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::{Direction, LinkId};

    use super::*;

    fn record() -> Record {
        let id = ChannelId {
            link: LinkId(4),
            lane: 1,
            direction: Direction::Reverse,
        };
        let hop = Hop {
            id,
            rate_bps: Some(7),
        };
        hop.record(Stamp::default(), Marking::Marked)
    }

    /// An IPv4 UDP frame with room for one record, summed.
    fn frame() -> Vec<u8> {
        let mut payload = vec![5; inband::room(1) + 9];
        inband::prepare(&mut payload, 1);
        let length = payload.len() as u16 + 8;
        let mut frame = vec![2; 12];
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend((length + 20).to_be_bytes());
        frame.extend([
            0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 9, 0, 9,
        ]);
        frame.extend(length.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        let sum = !checksum::fold(udp_sum(&frame));
        frame[40..42].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    /// The sum over pseudo-header, header and payload.
    fn udp_sum(frame: &[u8]) -> u64 {
        let length = (frame.len() - 34) as u64;
        checksum::add(checksum::add(17 + length, &frame[26..34]), &frame[34..])
    }

    #[test]
    fn a_packet_that_asks_gets_its_record_and_keeps_its_sum_right() {
        let mut frame = frame();
        let at = asks(&frame).unwrap();
        assert_eq!(at, 42);
        let whole = frame.len() - at;
        write(&mut frame, &VnetHeader::default(), at, whole, &record());
        let records: Vec<_> = inband::records(&frame[at..]).unwrap().collect();
        assert_eq!(records, [record()]);
        assert_eq!(checksum::fold(udp_sum(&frame)), 0xffff);
    }

    #[test]
    fn each_datagram_of_a_super_packet_gets_one() {
        let one = frame()[42..].to_vec();
        let mut frame = frame();
        frame.extend(&one);
        frame.extend(&one[..20]);
        let vnet = VnetHeader {
            flags: NEEDS_CHECKSUM,
            ..VnetHeader::default()
        };
        write(&mut frame, &vnet, 42, one.len(), &record());
        for datagram in [&frame[42..], &frame[42 + one.len()..]] {
            assert_eq!(inband::records(datagram).unwrap().count(), 1);
        }
        assert_eq!(frame[42 + 2 * one.len()..], one[..20]);
    }

    #[test]
    fn other_packets_do_not_ask() {
        let mut other = frame();
        other[42] ^= 1;
        assert_eq!(asks(&other), None);
        assert_eq!(asks(&frame()[..41]), None);
        assert_eq!(asks(&[]), None);
    }
}
