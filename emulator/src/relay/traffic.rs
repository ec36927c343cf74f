//! What a frame's headers tell the link model: the ECN field, the flow; and how a mark is written.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::checksum;
use super::queue::{Ecn, Traffic};
use super::segment::PacketShape;
use crate::plan::address;

const ADDRESSES: usize = 12;
const ETHERNET: usize = 14;
const VLAN_TAG: usize = 4;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// IEEE 802.1Q and 802.1ad.
const VLAN: [u16; 2] = [0x8100, 0x88a8];
/// Protocols with two ports at the beginning of their headers: TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

/// What the queue and the lanes need to know of `frame`, whose wire packets are `shape`.
pub(super) fn traffic(frame: &[u8], shape: PacketShape) -> Traffic {
    let (ecn, flow) = match network(frame) {
        Some((Network::V4, at)) => (Ecn::of_octet(frame[at + 1]), flow_ipv4(&frame[at..])),
        Some((Network::V6, at)) => (
            Ecn::of_octet(frame[at] << 4 | frame[at + 1] >> 4),
            flow_ipv6(&frame[at..]),
        ),
        // One flow between each two stations.
        None => {
            let addresses = frame.get(..ADDRESSES).unwrap_or(frame);
            let (to, from) = addresses.split_at(addresses.len() / 2);
            (Ecn::NotEct, flow((from, &[]), (to, &[]), 0))
        }
    };
    Traffic { shape, ecn, flow }
}

/// Whether `frame` is sent on just the lane that it comes to, where routed packets may take any: what is for a gateway's own
/// address on a lane (probes above all), for a link's neighbours, or no IP.
pub(super) fn is_for_its_lane(frame: &[u8]) -> bool {
    match network(frame) {
        Some((Network::V4, at)) => {
            let to: [u8; 4] = frame[at + 16..at + 20].try_into().expect("four bytes");
            let to = Ipv4Addr::from(to);
            to.is_multicast()
                || to.is_broadcast()
                || to.is_link_local()
                || address::is_lane(to.into())
        }
        Some((Network::V6, at)) => {
            let to: [u8; 16] = frame[at + 24..at + 40].try_into().expect("sixteen bytes");
            let to = Ipv6Addr::from(to);
            to.is_multicast() || to.is_unicast_link_local() || address::is_lane(to.into())
        }
        None => true,
    }
}

/// Sets "congestion experienced" in the IP header of `frame` (RFC 3168 section 5). A frame without one is left as it is.
pub(super) fn mark(frame: &mut [u8]) {
    match network(frame) {
        Some((Network::V4, at)) => {
            let before = word(frame, at);
            frame[at + 1] |= 0b11;
            let after = word(frame, at);
            let sum = checksum::updated(word(frame, at + 10), before.into(), after.into());
            frame[at + 10..at + 12].copy_from_slice(&sum.to_be_bytes());
        }
        Some((Network::V6, at)) => frame[at + 1] |= 0b11 << 4,
        None => {}
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    V4,
    V6,
}

/// Which IP header the frame has and where it begins, if all of its fixed part is there.
fn network(frame: &[u8]) -> Option<(Network, usize)> {
    let mut at = ETHERNET;
    // Two tags are QinQ; more are no network.
    for _ in 0..3 {
        let ethertype = u16::from_be_bytes(frame.get(at - 2..at)?.try_into().ok()?);
        match ethertype {
            IPV4 => {
                return (frame.len() >= at + 20 && frame[at] >> 4 == 4)
                    .then_some((Network::V4, at));
            }
            IPV6 => {
                return (frame.len() >= at + 40 && frame[at] >> 4 == 6)
                    .then_some((Network::V6, at));
            }
            tag if VLAN.contains(&tag) => at += VLAN_TAG,
            _ => return None,
        }
    }
    None
}

fn flow_ipv4(packet: &[u8]) -> u32 {
    let fragmented = word(packet, 6) & 0x3fff != 0;
    let header = usize::from(packet[0] & 0x0f) * 4;
    let ports = ports(packet, header, packet[9], fragmented);
    flow(
        (&packet[12..16], ports.0),
        (&packet[16..20], ports.1),
        packet[9],
    )
}

/// Ports behind extension headers do not count: routers do not look for them either.
fn flow_ipv6(packet: &[u8]) -> u32 {
    let ports = ports(packet, 40, packet[6], false);
    flow(
        (&packet[8..24], ports.0),
        (&packet[24..40], ports.1),
        packet[6],
    )
}

fn ports(packet: &[u8], at: usize, protocol: u8, fragmented: bool) -> (&[u8], &[u8]) {
    match packet.get(at..at + 4) {
        Some(ports) if WITH_PORTS.contains(&protocol) && !fragmented => ports.split_at(2),
        _ => (&[], &[]),
    }
}

/// An end of a flow: its address and its port, if it has one.
type End<'a> = (&'a [u8], &'a [u8]);

/// The same for both directions of a flow: who needs them told apart mixes the direction in.
fn flow(from: End<'_>, to: End<'_>, protocol: u8) -> u32 {
    let ends = if from <= to { [from, to] } else { [to, from] };
    let mut hash = u64::from(protocol);
    for (address, port) in ends {
        for part in address.chunks(4).chain([port]) {
            let part = part
                .iter()
                .fold(1, |word, &byte| word << 8 | u64::from(byte));
            hash = mix(hash ^ part);
        }
    }
    hash as u32
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the answer depends on every bit given.
pub(super) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// An IPv4 UDP frame.
    fn ipv4(tos: u8, from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Vec<u8> {
        let mut frame = vec![2; ADDRESSES];
        frame.extend([0x08, 0x00, 0x45, tos, 0, 32, 0, 1, 0x40, 0, 64, 17, 0, 0]);
        frame.extend(from.0);
        frame.extend(to.0);
        frame.extend(from.1.to_be_bytes());
        frame.extend(to.1.to_be_bytes());
        frame.extend([0, 12, 0, 0, 1, 2, 3, 4]);
        let sum = !checksum::fold(checksum::add(0, &frame[14..34]));
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    fn read(frame: &[u8]) -> Traffic {
        traffic(frame, PacketShape::single(frame.len() as u32))
    }

    const A: ([u8; 4], u16) = ([10, 1, 0, 1], 5000);
    const B: ([u8; 4], u16) = ([10, 2, 0, 1], 80);

    #[test]
    fn a_mark_sets_both_bits_and_keeps_the_header_s_sum_right() {
        for tos in [0b10, 0b01, 0xfe, 0b11] {
            let mut frame = ipv4(tos, A, B);
            mark(&mut frame);
            assert_eq!(frame[15], tos | 0b11);
            assert_eq!(checksum::fold(checksum::add(0, &frame[14..34])), 0xffff);
            assert_eq!(read(&frame).ecn, Ecn::Ce);
        }
    }

    #[test]
    fn an_ipv6_packet_and_one_behind_a_vlan_tag_are_read_and_marked() {
        let mut six = vec![2; ADDRESSES];
        six.extend([0x86, 0xdd, 0x60, 0x20, 0, 0, 0, 8, 17, 64]);
        six.extend([0xfd; 32]);
        six.extend([0x13, 0x88, 0, 80, 0, 8, 0, 0]);
        assert_eq!(read(&six).ecn, Ecn::Ect0);
        mark(&mut six);
        assert_eq!((six[14], six[15]), (0x60, 0x30));
        assert_eq!(read(&six).ecn, Ecn::Ce);

        let mut tagged = ipv4(0b01, A, B);
        tagged.splice(12..12, [0x81, 0, 0, 42]);
        assert_eq!(read(&tagged).ecn, Ecn::Ect1);
        assert_eq!(read(&tagged).flow, read(&ipv4(0, A, B)).flow);
        mark(&mut tagged);
        assert_eq!(read(&tagged).ecn, Ecn::Ce);
    }

    #[test]
    fn both_directions_of_a_flow_have_one_hash_and_other_flows_have_others() {
        let there = read(&ipv4(0, A, B)).flow;
        assert_eq!(there, read(&ipv4(0, B, A)).flow);
        let crossed = ((A.0, B.1), (B.0, A.1));
        assert_ne!(there, read(&ipv4(0, crossed.0, crossed.1)).flow);
        // 8 lanes, 8000 flows: each gets its share within four deviations.
        let mut lanes = BTreeMap::new();
        for port in 0..8000 {
            let flow = read(&ipv4(0, (A.0, 10_000 + port), B)).flow;
            *lanes.entry(mix(u64::from(flow)) % 8).or_insert(0u32) += 1;
        }
        assert!(
            lanes.len() == 8 && lanes.values().all(|&n| n.abs_diff(1000) < 120),
            "{lanes:?}"
        );
    }

    #[test]
    fn what_is_for_a_lane_s_own_address_or_its_neighbours_is_told_from_what_is_routed() {
        for to in [[172, 16, 0, 9], [224, 0, 0, 1], [169, 254, 1, 1]] {
            assert!(is_for_its_lane(&ipv4(0, A, (to, 80))));
        }
        assert!(!is_for_its_lane(&ipv4(0, ([172, 16, 0, 9], 80), A)));
        assert!(is_for_its_lane(&[0; 20]), "no IP");
    }

    #[test]
    fn fragments_of_one_packet_are_of_one_flow() {
        let mut first = ipv4(0, A, B);
        first[20] = 0x20;
        let mut second = ipv4(0, (A.0, 1), (B.0, 2));
        second[21] = 9;
        assert_eq!(read(&first).flow, read(&second).flow);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_marked(mut bytes in prop::collection::vec(any::<u8>(), 0..80), ethertype in 0usize..4) {
            if bytes.len() >= 14 {
                let kinds = [[0x08, 0x00], [0x86, 0xdd], [0x81, 0x00], [0x88, 0xa8]];
                bytes[12..14].copy_from_slice(&kinds[ethertype]);
            }
            let before = bytes.clone();
            let _ = read(&bytes);
            mark(&mut bytes);
            prop_assert_eq!(bytes.len(), before.len());
        }
    }
}
