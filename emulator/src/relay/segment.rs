//! Super-packets: how many wire packets they are, and how to cut some of them out.
//!
//! With segmentation offload the kernel hands over up to 64 KB at once, to be cut into packets of `gso_size` payload
//! bytes at the very end. The link model queues and loses wire packets; what is left of a super-packet travels on as
//! smaller super-packets, so that the cost per byte stays low. What cannot be parsed (VLAN tags, tunnels, jumbograms,
//! fragments, anything truncated) goes on whole, as one packet.

use std::ops::Range;

use super::checksum;
use super::vnet::{
    CHECKSUM_VALID, GSO_ECN, GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP, NEEDS_CHECKSUM, VnetHeader,
};

const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const TCP_FIN: u8 = 0x01;
const TCP_PSH: u8 = 0x08;
const TCP_CWR: u8 = 0x80;

/// The wire packets of one frame: all of one length but the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PacketShape {
    /// How many; at least 1.
    pub(super) segments: u32,
    /// Frame bytes of each but the last.
    pub(super) full: u32,
    /// Frame bytes of the last.
    pub(super) last: u32,
}

impl PacketShape {
    /// One packet of `frame` bytes.
    pub(super) fn single(frame: u32) -> Self {
        PacketShape {
            segments: 1,
            full: frame,
            last: frame,
        }
    }

    /// Frame bytes of packet `segment`.
    pub(super) fn length(&self, segment: u32) -> u32 {
        if segment + 1 == self.segments {
            self.last
        } else {
            self.full
        }
    }

    /// Frame bytes of the packets in `segments` together.
    pub(super) fn bytes(&self, segments: &Range<u32>) -> u64 {
        let Some(last) = segments.end.checked_sub(1).filter(|_| !segments.is_empty()) else {
            return 0;
        };
        u64::from(last - segments.start) * u64::from(self.full) + u64::from(self.length(last))
    }
}

/// The headers of a super-packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    network: Network,
    transport: Transport,
    transport_at: usize,
    payload_at: usize,
    segment: usize,
    payload: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Udp,
}

impl Layout {
    /// Reads the headers of a super-packet; `None` for an ordinary packet and for what cannot be parsed.
    pub(super) fn of_super_packet(vnet: &VnetHeader, frame: &[u8]) -> Option<Layout> {
        if vnet.gso_type == GSO_NONE || vnet.gso_size == 0 {
            return None;
        }
        let (network, transport, transport_at, payload_at) = headers(frame)?;
        let expected = match (vnet.gso_type & !GSO_ECN, network) {
            (GSO_TCP4, Network::V4) | (GSO_TCP6, Network::V6) => Transport::Tcp,
            (GSO_UDP, _) => Transport::Udp,
            _ => return None,
        };
        let payload = frame.len() - payload_at;
        if transport != expected || payload == 0 {
            return None;
        }
        // A sum that starts elsewhere belongs to an outer header: a tunnel.
        let needs_sum = vnet.flags & NEEDS_CHECKSUM != 0;
        if needs_sum && usize::from(vnet.checksum_start) != transport_at {
            return None;
        }
        let segment = usize::from(vnet.gso_size);
        Some(Layout {
            network,
            transport,
            transport_at,
            payload_at,
            segment,
            payload,
        })
    }

    /// The wire packets it stands for.
    pub(super) fn shape(&self) -> PacketShape {
        let segments = self.payload.div_ceil(self.segment);
        let last = self.payload - (segments - 1) * self.segment;
        let frame = |payload: usize| u32::try_from(self.payload_at + payload).unwrap_or(u32::MAX);
        let full = if segments == 1 { last } else { self.segment };
        PacketShape {
            segments: u32::try_from(segments).unwrap_or(u32::MAX),
            full: frame(full),
            last: frame(last),
        }
    }

    /// The headers of a super-packet that holds `segments` alone.
    pub(super) fn of_part(&self, segments: &Range<u32>) -> Layout {
        Layout {
            payload: self.payload(segments).len(),
            ..*self
        }
    }

    /// Payload bytes of each wire packet but the last.
    pub(super) fn segment(&self) -> usize {
        self.segment
    }

    /// Where in the frame the payload of `segments` lies.
    pub(super) fn payload(&self, segments: &Range<u32>) -> Range<usize> {
        let end = (segments.end as usize * self.segment).min(self.payload);
        self.payload_at + segments.start as usize * self.segment..self.payload_at + end
    }

    /// Writes the headers of `segments` alone into `headers` (cleared first) and answers the vnet header that goes with
    /// them. The frame is these headers and [`payload`](Self::payload).
    pub(super) fn cut(
        &self,
        vnet: &VnetHeader,
        frame: &[u8],
        segments: &Range<u32>,
        headers: &mut Vec<u8>,
    ) -> VnetHeader {
        headers.clear();
        headers.extend_from_slice(&frame[..self.payload_at]);
        let length = self.payload(segments).len();
        self.rewrite_network(headers, segments.start, length);
        let first = segments.start == 0;
        let last = segments.end == self.shape().segments;
        let has_checksum = match self.transport {
            Transport::Tcp => {
                self.rewrite_tcp(headers, segments.start, first, last);
                true
            }
            Transport::Udp => self.rewrite_udp(headers, vnet, length),
        };

        let mut vnet = *vnet;
        if segments.len() == 1 {
            vnet = vnet.ungrouped();
        } else if !first {
            vnet.gso_type &= !GSO_ECN;
        }
        vnet.flags &= !(NEEDS_CHECKSUM | CHECKSUM_VALID);
        if has_checksum {
            // Whoever sums next needs the pseudo-header of the new length in the field.
            let offset = match self.transport {
                Transport::Tcp => 16,
                Transport::Udp => 6,
            };
            let sum = self.pseudo_header(headers, length);
            put(headers, self.transport_at + offset, checksum::fold(sum));
            vnet.flags |= NEEDS_CHECKSUM;
            vnet.checksum_start = self.transport_at as u16;
            vnet.checksum_offset = offset as u16;
        }
        vnet
    }

    fn rewrite_network(&self, headers: &mut [u8], first: u32, payload: usize) {
        match self.network {
            Network::V4 => {
                let total = (self.payload_at - ETHERNET + payload) as u16;
                put(headers, ETHERNET + 2, total);
                // The kernel numbers the segments of a super-packet upwards (inet_gso_segment).
                let id = get(headers, ETHERNET + 4).wrapping_add(first as u16);
                put(headers, ETHERNET + 4, id);
                put(headers, ETHERNET + 10, 0);
                let header = ETHERNET..ETHERNET + ipv4_header(headers[ETHERNET]);
                let sum = !checksum::fold(checksum::add(0, &headers[header]));
                put(headers, ETHERNET + 10, sum);
            }
            Network::V6 => put(
                headers,
                ETHERNET + 4,
                (self.payload_at - ETHERNET - 40 + payload) as u16,
            ),
        }
    }

    fn rewrite_tcp(&self, headers: &mut [u8], first_segment: u32, first: bool, last: bool) {
        let at = self.transport_at + 4;
        let sequence = u32::from_be_bytes([
            headers[at],
            headers[at + 1],
            headers[at + 2],
            headers[at + 3],
        ]);
        let sequence = sequence.wrapping_add((first_segment as usize * self.segment) as u32);
        headers[at..at + 4].copy_from_slice(&sequence.to_be_bytes());
        let flags = &mut headers[self.transport_at + 13];
        if !first {
            *flags &= !TCP_CWR;
        }
        if !last {
            *flags &= !(TCP_FIN | TCP_PSH);
        }
    }

    /// Answers whether the datagrams carry a checksum at all.
    fn rewrite_udp(&self, headers: &mut [u8], vnet: &VnetHeader, payload: usize) -> bool {
        put(
            headers,
            self.transport_at + 4,
            (UDP_HEADER + payload) as u16,
        );
        vnet.flags & NEEDS_CHECKSUM != 0 || get(headers, self.transport_at + 6) != 0
    }

    fn pseudo_header(&self, headers: &[u8], payload: usize) -> u64 {
        let addresses = match self.network {
            Network::V4 => ETHERNET + 12..ETHERNET + 20,
            Network::V6 => ETHERNET + 8..ETHERNET + 40,
        };
        let protocol = match self.transport {
            Transport::Tcp => TCP,
            Transport::Udp => UDP,
        };
        let length = self.payload_at - self.transport_at + payload;
        checksum::add(u64::from(protocol) + length as u64, &headers[addresses])
    }
}

/// Where the payload of an unfragmented UDP packet begins.
pub(super) fn udp_payload(frame: &[u8]) -> Option<usize> {
    match headers(frame)? {
        (_, Transport::Udp, _, payload_at) => Some(payload_at),
        (_, Transport::Tcp, ..) => None,
    }
}

/// The wire packets that `frame` stands for.
pub(super) fn shape(layout: Option<&Layout>, frame: &[u8]) -> PacketShape {
    layout.map_or_else(
        || PacketShape::single(u32::try_from(frame.len()).unwrap_or(u32::MAX)),
        Layout::shape,
    )
}

/// Sums a packet that its sender left to the hardware, then flips one bit of its payload (of its headers above
/// Ethernet's if it has none): number `selector`, modulo how many there are.
pub(super) fn corrupt(vnet: &mut VnetHeader, packet: &mut [u8], selector: u32) {
    complete_checksum(vnet, packet);
    vnet.flags &= !CHECKSUM_VALID;
    let payload = headers(packet)
        .map(|(.., payload_at)| payload_at)
        .filter(|&at| at < packet.len());
    let from = payload.unwrap_or(ETHERNET);
    if let Some(region) = packet.get_mut(from..).filter(|region| !region.is_empty()) {
        let bit = selector as usize % (region.len() * 8);
        region[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Does in software what `NEEDS_CHECKSUM` asks of the hardware.
pub(super) fn complete_checksum(vnet: &mut VnetHeader, packet: &mut [u8]) {
    let start = usize::from(vnet.checksum_start);
    let field = start + usize::from(vnet.checksum_offset);
    if vnet.flags & NEEDS_CHECKSUM == 0 || field + 2 > packet.len() {
        return;
    }
    let sum = !checksum::fold(checksum::add(0, &packet[start..]));
    // A UDP checksum of zero would mean none; 0xffff is the same number (RFC 768). TCP takes either.
    put(packet, field, if sum == 0 { 0xffff } else { sum });
    vnet.flags &= !NEEDS_CHECKSUM;
}

/// Which protocols, where the transport header and where the payload begins. `None` unless the frame is an unfragmented
/// TCP or UDP packet whose lengths agree.
fn headers(frame: &[u8]) -> Option<(Network, Transport, usize, usize)> {
    let ethertype = frame
        .get(12..ETHERNET)
        .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))?;
    let (network, protocol, transport_at) = match ethertype {
        IPV4 => ipv4(frame)?,
        IPV6 => ipv6(frame)?,
        _ => return None,
    };
    let transport_header = frame.get(transport_at..)?;
    match protocol {
        TCP => {
            let length = usize::from(transport_header.get(12)? >> 4) * 4;
            (length >= 20 && length <= transport_header.len()).then_some((
                network,
                Transport::Tcp,
                transport_at,
                transport_at + length,
            ))
        }
        UDP => (transport_header.len() >= UDP_HEADER).then_some((
            network,
            Transport::Udp,
            transport_at,
            transport_at + UDP_HEADER,
        )),
        _ => None,
    }
}

fn ipv4(frame: &[u8]) -> Option<(Network, u8, usize)> {
    let header = frame.get(ETHERNET..ETHERNET + 20)?;
    let length = ipv4_header(header[0]);
    let more_fragments_or_offset = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let agrees =
        header[0] >> 4 == 4 && length >= 20 && total >= length && ETHERNET + total == frame.len();
    (agrees && more_fragments_or_offset == 0).then_some((Network::V4, header[9], ETHERNET + length))
}

fn ipv4_header(version_and_length: u8) -> usize {
    usize::from(version_and_length & 0x0f) * 4
}

/// Walks the extension headers that leave the pseudo-header as it is (RFC 8200).
fn ipv6(frame: &[u8]) -> Option<(Network, u8, usize)> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const DESTINATION: u8 = 60;

    let header = frame.get(ETHERNET..ETHERNET + 40)?;
    let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 || ETHERNET + 40 + payload != frame.len() {
        return None;
    }
    let mut protocol = header[6];
    let mut at = ETHERNET + 40;
    while matches!(protocol, HOP_BY_HOP | ROUTING | DESTINATION) {
        let extension = frame.get(at..at + 8)?;
        // With segments left, the sum covers the last destination, not the one in the header.
        if protocol == ROUTING && extension[3] != 0 {
            return None;
        }
        protocol = extension[0];
        at += 8 + usize::from(extension[1]) * 8;
    }
    Some((Network::V6, protocol, at))
}

fn get(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests;
