use proptest::prelude::*;

use super::*;

const NETWORKS: [Network; 2] = [Network::V4, Network::V6];

/// A super-packet with the headers a sending kernel writes.
fn super_packet(
    (network, transport): (Network, Transport),
    options: usize,
    extensions: usize,
    payload: &[u8],
    gso_size: u16,
    flags: u8,
) -> (VnetHeader, Vec<u8>) {
    let (mut frame, protocol) = (
        vec![2; 12],
        if transport == Transport::Tcp {
            TCP
        } else {
            UDP
        },
    );
    let transport_header = if transport == Transport::Tcp {
        20 + options * 4
    } else {
        UDP_HEADER
    };
    let above = transport_header + payload.len();
    match network {
        Network::V4 => {
            frame.extend(IPV4.to_be_bytes());
            let total = (20 + above) as u16;
            let [high, low] = total.to_be_bytes();
            // Identification 0xfffe, so that numbering wraps; don't fragment.
            frame.extend([
                0x45, 0x02, high, low, 0xff, 0xfe, 0x40, 0, 64, protocol, 0, 0, 10, 1, 0, 1, 10, 2,
                0, 1,
            ]);
        }
        Network::V6 => {
            frame.extend(IPV6.to_be_bytes());
            let [high, low] = ((8 * extensions + above) as u16).to_be_bytes();
            let first = if extensions > 0 { 60 } else { protocol };
            frame.extend([0x60, 0, 0, 0, high, low, first, 64]);
            frame.extend((0..32).map(|byte| byte * 7));
            for extension in 1..=extensions {
                let next = if extension == extensions {
                    protocol
                } else {
                    60
                };
                frame.extend([next, 0, 1, 4, 0, 0, 0, 0]);
            }
        }
    }
    let transport_at = frame.len();
    frame.extend([0x1b, 0x59, 0x1b, 0x5a]);
    match transport {
        Transport::Tcp => {
            // A sequence number that wraps within the super-packet.
            frame.extend([
                0xff,
                0xff,
                0xf0,
                0,
                1,
                2,
                3,
                4,
                ((5 + options) << 4) as u8,
                flags,
                0x10,
                0,
                0,
                0,
                0,
                0,
            ]);
            frame.extend(std::iter::repeat_n(1, options * 4));
        }
        Transport::Udp => {
            frame.extend((above as u16).to_be_bytes());
            frame.extend([0, 0]);
        }
    }
    frame.extend(payload);
    let vnet = VnetHeader {
        flags: NEEDS_CHECKSUM,
        gso_type: match (transport, network) {
            (Transport::Udp, _) => GSO_UDP,
            (Transport::Tcp, Network::V4) => {
                GSO_TCP4 | if flags & TCP_CWR != 0 { GSO_ECN } else { 0 }
            }
            (Transport::Tcp, Network::V6) => {
                GSO_TCP6 | if flags & TCP_CWR != 0 { GSO_ECN } else { 0 }
            }
        },
        header_length: (transport_at + transport_header) as u16,
        gso_size,
        checksum_start: transport_at as u16,
        checksum_offset: if transport == Transport::Tcp { 16 } else { 6 },
    };
    let layout = Layout::of_super_packet(&vnet, &frame).expect("a super-packet");
    let sum = checksum::fold(layout.pseudo_header(&frame, payload.len()));
    put(
        &mut frame,
        transport_at + usize::from(vnet.checksum_offset),
        sum,
    );
    if network == Network::V4 {
        let sum = !checksum::fold(checksum::add(0, &frame[ETHERNET..ETHERNET + 20]));
        put(&mut frame, ETHERNET + 10, sum);
    }
    (vnet, frame)
}

/// What the network card would make of it, written down field by field rather than by [`Layout::cut`].
fn segment_in_software(vnet: &VnetHeader, frame: &[u8]) -> Vec<Vec<u8>> {
    let transport_at = usize::from(vnet.checksum_start);
    let is_tcp = vnet.checksum_offset == 16;
    let header = if is_tcp {
        usize::from(frame[transport_at + 12] >> 4) * 4
    } else {
        8
    };
    let payload_at = transport_at + header;
    let payload = &frame[payload_at..];
    let size = if vnet.gso_type == GSO_NONE {
        payload.len()
    } else {
        usize::from(vnet.gso_size)
    };
    let chunks: Vec<&[u8]> = payload.chunks(size).collect();
    let mut packets = Vec::new();
    for (number, chunk) in chunks.iter().enumerate() {
        let mut packet = frame[..payload_at].to_vec();
        let above = header + chunk.len();
        let mut sum = (above as u64) + if is_tcp { 6 } else { 17 };
        if frame[12] == 0x08 {
            put(&mut packet, 16, (transport_at - 14 + above) as u16);
            put(&mut packet, 18, get(frame, 18).wrapping_add(number as u16));
            put(&mut packet, 24, 0);
            let header_sum = !checksum::fold(checksum::add(0, &packet[14..34]));
            put(&mut packet, 24, header_sum);
            sum = checksum::add(sum, &packet[26..34]);
        } else {
            put(&mut packet, 18, (transport_at - 54 + above) as u16);
            sum = checksum::add(sum, &packet[22..54]);
        }
        if is_tcp {
            let sequence = u32::from_be_bytes(
                frame[transport_at + 4..transport_at + 8]
                    .try_into()
                    .expect("four bytes"),
            );
            let sequence = sequence.wrapping_add((number * size) as u32);
            packet[transport_at + 4..transport_at + 8].copy_from_slice(&sequence.to_be_bytes());
            if number > 0 {
                packet[transport_at + 13] &= !0x80;
            }
            if number + 1 < chunks.len() {
                packet[transport_at + 13] &= !0x09;
            }
        } else {
            put(&mut packet, transport_at + 4, above as u16);
        }
        packet.extend_from_slice(chunk);
        let field = transport_at + usize::from(vnet.checksum_offset);
        put(&mut packet, field, 0);
        let sum = !checksum::fold(checksum::add(sum, &packet[transport_at..]));
        put(&mut packet, field, if sum == 0 { 0xffff } else { sum });
        packets.push(packet);
    }
    packets
}

fn cut(
    layout: &Layout,
    vnet: &VnetHeader,
    frame: &[u8],
    segments: Range<u32>,
) -> (VnetHeader, Vec<u8>) {
    let mut packet = Vec::new();
    let vnet = layout.cut(vnet, frame, &segments, &mut packet);
    packet.extend_from_slice(&frame[layout.payload(&segments)]);
    (vnet, packet)
}

fn any_super_packet() -> impl Strategy<Value = (VnetHeader, Vec<u8>)> {
    let kind = (0..NETWORKS.len(), any::<bool>()).prop_map(|(network, tcp)| {
        (
            NETWORKS[network],
            if tcp { Transport::Tcp } else { Transport::Udp },
        )
    });
    let payload = prop::collection::vec(any::<u8>(), 1..20_000);
    (
        kind,
        0usize..11,
        0usize..3,
        payload,
        100u16..1460,
        any::<u8>(),
    )
        .prop_map(|(kind, options, extensions, payload, gso_size, flags)| {
            super_packet(kind, options, extensions, &payload, gso_size, flags)
        })
}

proptest! {
    #[test]
    fn pieces_become_the_same_wire_packets_as_the_whole(
        (vnet, frame) in any_super_packet(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let layout = Layout::of_super_packet(&vnet, &frame).expect("a super-packet");
        let segments = layout.shape().segments;
        let mut borders: Vec<u32> = cuts.iter().map(|cut| cut.index(segments as usize) as u32).collect();
        borders.extend([0, segments]);
        borders.sort_unstable();
        borders.dedup();
        let whole = segment_in_software(&vnet, &frame);
        prop_assert_eq!(whole.len(), segments as usize);
        let mut pieces = Vec::new();
        for border in borders.windows(2) {
            let (vnet, piece) = cut(&layout, &vnet, &frame, border[0]..border[1]);
            prop_assert_eq!(vnet.gso_type == GSO_NONE, border[1] - border[0] == 1);
            pieces.extend(segment_in_software(&vnet, &piece));
        }
        prop_assert_eq!(&pieces, &whole);
        let shape = layout.shape();
        for (segment, packet) in (0..).zip(&whole) {
            prop_assert_eq!(shape.length(segment) as usize, packet.len());
        }
        prop_assert_eq!(shape.bytes(&(0..segments)) as usize, whole.iter().map(Vec::len).sum::<usize>());
    }

    #[test]
    fn the_checksum_of_a_corrupted_packet_shows_it((vnet, frame) in any_super_packet(), selector in any::<u32>()) {
        let layout = Layout::of_super_packet(&vnet, &frame).expect("a super-packet");
        let (mut vnet, mut packet) = cut(&layout, &vnet, &frame, 0..1);
        let intact = segment_in_software(&vnet, &packet).remove(0);
        corrupt(&mut vnet, &mut packet, selector);
        prop_assert_eq!(vnet.flags & (NEEDS_CHECKSUM | CHECKSUM_VALID), 0);
        let flipped: u32 = intact.iter().zip(&packet).map(|(a, b)| (a ^ b).count_ones()).sum();
        prop_assert_eq!(flipped, 1);
        prop_assert_eq!(&intact[..layout.payload_at], &packet[..layout.payload_at]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        header in prop::array::uniform10(any::<u8>()),
        mut frame in prop::collection::vec(any::<u8>(), 0..200),
        ethertype in prop::sample::select(vec![IPV4, IPV6, 0x0806, 0x8100]),
        selector in any::<u32>(),
    ) {
        if frame.len() >= ETHERNET {
            put(&mut frame, 12, ethertype);
        }
        let mut vnet: VnetHeader = bytemuck::pod_read_unaligned(&header);
        for gso_type in [GSO_NONE, GSO_TCP4, GSO_TCP6 | GSO_ECN, GSO_UDP, vnet.gso_type] {
            vnet.gso_type = gso_type;
            let layout = Layout::of_super_packet(&vnet, &frame);
            let shape = shape(layout.as_ref(), &frame);
            prop_assert!(shape.segments >= 1);
            if let Some(layout) = layout {
                for segment in 0..shape.segments {
                    cut(&layout, &vnet, &frame, segment..segment + 1);
                }
            }
            corrupt(&mut vnet, &mut frame.clone(), selector);
        }
    }

    #[test]
    fn a_damaged_super_packet_is_cut_without_panic_or_goes_whole(
        (mut vnet, mut frame) in any_super_packet(),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        length in any::<prop::sample::Index>(),
        gso_size in any::<u16>(),
    ) {
        let at = at.index(frame.len().min(90));
        frame[at] = value;
        frame.truncate(length.index(frame.len()) + 1);
        vnet.gso_size = gso_size;
        if let Some(layout) = Layout::of_super_packet(&vnet, &frame) {
            let segments = layout.shape().segments;
            cut(&layout, &vnet, &frame, 0..segments);
            cut(&layout, &vnet, &frame, segments - 1..segments);
        }
    }
}

#[test]
fn what_cannot_be_parsed_is_one_packet() {
    let (vnet, frame) = super_packet((Network::V4, Transport::Tcp), 0, 0, &[7; 5000], 1000, 0x10);
    let as_one = |vnet: &VnetHeader, frame: &[u8]| {
        let layout = Layout::of_super_packet(vnet, frame);
        assert_eq!(
            shape(layout.as_ref(), frame),
            PacketShape::single(frame.len() as u32)
        );
    };
    let edit = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = frame.clone();
        change(&mut frame);
        frame
    };
    as_one(&vnet, &edit(&|frame| put(frame, 12, 0x8100)));
    as_one(&vnet, &edit(&|frame| put(frame, 12, 0x0806)));
    as_one(&vnet, &edit(&|frame| put(frame, 20, 0x2000)));
    as_one(&vnet, &edit(&|frame| frame.truncate(3000)));
    as_one(&vnet, &edit(&|frame| frame.truncate(30)));
    as_one(&vnet, &edit(&|frame| frame[23] = 47));
    as_one(
        &VnetHeader {
            gso_type: 3,
            ..vnet
        },
        &frame,
    );
    as_one(
        &VnetHeader {
            gso_type: GSO_TCP6,
            ..vnet
        },
        &frame,
    );
    as_one(&vnet.ungrouped(), &frame);
    assert_eq!(
        shape(Layout::of_super_packet(&vnet, &frame).as_ref(), &frame).segments,
        5
    );
}

#[test]
fn a_super_packet_whose_sum_was_already_complete_is_cut_with_a_sum_to_complete() {
    let (vnet, mut frame) =
        super_packet((Network::V6, Transport::Tcp), 3, 1, &[9; 5000], 1000, 0x18);
    let expected = segment_in_software(&vnet, &frame);
    let mut received = vnet;
    complete_checksum(&mut received, &mut frame);
    received.flags = CHECKSUM_VALID;
    let layout = Layout::of_super_packet(&received, &frame).expect("a super-packet");
    for (segment, expected) in (0..).zip(&expected) {
        let (mut vnet, mut packet) = cut(&layout, &received, &frame, segment..segment + 1);
        complete_checksum(&mut vnet, &mut packet);
        assert_eq!(&packet, expected);
    }
}
