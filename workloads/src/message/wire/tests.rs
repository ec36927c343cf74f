//! Packets are read as they were written, whatever else comes.

use std::ops::RangeInclusive;

use proptest::prelude::*;

use super::*;

const ENVELOPE: Envelope = Envelope {
    path: 3,
    from: 9,
    key: 1 << 60,
};

fn packets() -> Vec<Packet<'static>> {
    let greeting = Greeting {
        nonce: 5,
        attempt: 2,
        settings: 77,
        granted: 4,
        allowance: u64::MAX,
        clock: Time::from_nanos(3),
        held: Duration::from_nanos(8),
    };
    let transmission = Transmission {
        number: 12,
        sent: Time::from_nanos(99),
    };
    let piece = Piece {
        sequence: 4,
        message: 2,
        message_length: 100,
        offset: 95,
        handed_over: Time::from_nanos(7),
        bytes: b"12345",
    };
    let acknowledgement = Acknowledgement {
        expected: 4,
        granted: 9,
        allowance: u64::MAX,
        newest: 30,
        way: -5,
        way_above: Duration::from_nanos(3),
        met: Duration::from_nanos(2),
        held: Duration::from_nanos(4),
        marked: 4096,
        out_of_order: true,
        ranges: vec![20..=30, 4..=4],
        telemetry: b"records",
    };
    vec![
        Packet::Hello(greeting),
        Packet::Welcome(greeting),
        Packet::Data {
            transmission,
            piece,
        },
        Packet::Probe(transmission),
        Packet::Parity {
            transmission,
            parity: Parity {
                first: 8,
                count: 4,
                index: 1,
                bytes: b"parity",
            },
        },
        Packet::Acknowledgement(acknowledgement),
        Packet::Bye,
        Packet::Farewell,
    ]
}

#[test]
fn packets_are_read_as_they_were_written() {
    for packet in packets() {
        for hops in [0, 2] {
            let mut bytes = Vec::new();
            encode(&mut bytes, ENVELOPE, hops, &packet);
            let (telemetry, envelope, read) = decode(&bytes).unwrap();
            assert_eq!((envelope, &read), (ENVELOPE, &packet));
            let carries = hops > 0
                && matches!(
                    packet,
                    Packet::Data { .. } | Packet::Probe(_) | Packet::Parity { .. }
                );
            assert_eq!(telemetry.len(), if carries { prefix(hops) } else { 0 });
        }
    }
}

#[test]
fn what_is_sent_late_says_so_and_nothing_else_changes() {
    let late = Time::from_nanos(123_456);
    for hops in [0, 2] {
        for packet in packets() {
            let (mut bytes, mut expected) = (Vec::new(), packet.clone());
            encode(&mut bytes, ENVELOPE, hops, &packet);
            let number = match &mut expected {
                Packet::Data { transmission, .. }
                | Packet::Parity { transmission, .. }
                | Packet::Probe(transmission) => {
                    transmission.sent = late;
                    Some(transmission.number)
                }
                _ => None,
            };
            assert_eq!(restamp(&mut bytes, hops, late), number);
            assert_eq!(decode(&bytes).unwrap().2, expected);
        }
    }
}

#[test]
fn a_packet_cut_short_is_none() {
    for packet in packets() {
        let mut bytes = Vec::new();
        encode(&mut bytes, ENVELOPE, 0, &packet);
        let whole = match packet {
            Packet::Data { .. } => COMMON + 48,
            Packet::Parity { .. } => PARITY,
            _ => bytes.len(),
        };
        for length in 0..whole {
            assert_eq!(decode(&bytes[..length]), None, "{length} of {packet:?}");
        }
    }
}

/// An acknowledgement of a flow that has run for a while: a million packets of 4 KiB within one clock's domain.
fn usual(ranges: Vec<RangeInclusive<u64>>) -> Acknowledgement<'static> {
    Acknowledgement {
        expected: 1_000_000,
        granted: 20_000,
        allowance: u64::MAX,
        newest: 1_000_000,
        way: 40_000_000,
        way_above: Duration::from_micros(10),
        met: Duration::ZERO,
        held: Duration::from_micros(30),
        marked: 0,
        out_of_order: false,
        ranges,
        telemetry: &[],
    }
}

fn length(acknowledgement: Acknowledgement<'_>) -> usize {
    let mut bytes = Vec::new();
    encode(
        &mut bytes,
        ENVELOPE,
        0,
        &Packet::Acknowledgement(acknowledgement),
    );
    bytes.len()
}

#[test]
fn acknowledgements_are_short() {
    assert_eq!(length(usual(vec![0..=1_000_000])), 47);
    // A loss in each hundred packets, and the numbers before the first of them.
    let mut ranges: Vec<_> = (0..31)
        .map(|hole| 1_000_000 - 100 * hole..=1_000_099 - 100 * hole - 1)
        .collect();
    ranges.push(0..=996_998);
    assert_eq!(length(usual(ranges)), 141);
}

#[test]
fn ranges_that_cannot_be_are_no_acknowledgement() {
    let mut bytes = Vec::new();
    let told = Acknowledgement {
        newest: 30,
        ranges: Vec::new(),
        ..usual(Vec::new())
    };
    encode(&mut bytes, ENVELOPE, 0, &Packet::Acknowledgement(told));
    // The count of ranges comes last where there are none.
    let start = bytes.len() - 1;
    let read = |ranges: &[u8]| {
        let bytes = [&bytes[..start], ranges].concat();
        match decode(&bytes)?.2 {
            Packet::Acknowledgement(acknowledgement) => Some(acknowledgement.ranges),
            _ => None,
        }
    };
    assert_eq!(read(&[0]), Some(vec![]));
    assert_eq!(read(&[2, 0, 2, 0, 1]), Some(vec![28..=30, 25..=26]));
    // Below zero by the length, by the gap, and by the sign.
    assert_eq!(read(&[1, 0, 31]), None);
    assert_eq!(read(&[2, 0, 29, 0, 0]), None);
    assert_eq!(read(&[1, 61, 0]), None);
    // Fewer than the count says, and more than an acknowledgement has.
    assert_eq!(read(&[2, 0, 2]), None);
    assert_eq!(read(&[[33, 0].as_slice(), &[0; 65]].concat()), None);
    assert_eq!(read(&[0xff; 9]), None);
    // Beyond the greatest number: the greatest difference, from 30 on.
    let beyond = ((varint::MOST - 1) | (3 << 62)).to_be_bytes();
    assert_eq!(read(&[&[1], &beyond[..], &[0]].concat()), None);
}

fn number() -> impl Strategy<Value = u64> {
    (0..=MOST_NUMBER, 0..61).prop_map(|(number, shift)| number >> shift)
}

prop_compose! {
    /// Any that an acknowledgement may have: gaps and lengths from the greatest number down.
    fn ranges()(greatest in number(), steps in prop::collection::vec((number(), number()), 0..=MOST_RANGES))
        -> Vec<RangeInclusive<u64>> {
        let mut ranges = Vec::new();
        let mut next = Some(greatest);
        for (length, gap) in steps {
            let Some(last) = next else { break };
            let first = last.saturating_sub(length);
            ranges.push(first..=last);
            next = first.checked_sub(2).and_then(|next| next.checked_sub(gap));
        }
        ranges
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_acknowledgement_is_read_as_it_was_written(
        [expected, granted, newest, marked, way_above, met, held] in prop::array::uniform7(number()),
        allowance in prop::option::of(number()),
        way in (number(), any::<bool>()).prop_map(|(way, ahead)| if ahead { -(way as i64) } else { way as i64 }),
        out_of_order in any::<bool>(),
        ranges in ranges(),
        telemetry in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let told = Packet::Acknowledgement(Acknowledgement {
            expected, granted, newest, marked, way, out_of_order, ranges,
            allowance: allowance.unwrap_or(u64::MAX),
            way_above: Duration::from_nanos(way_above),
            met: Duration::from_nanos(met),
            held: Duration::from_nanos(held),
            telemetry: &telemetry,
        });
        let mut bytes = Vec::new();
        encode(&mut bytes, ENVELOPE, 0, &told);
        prop_assert_eq!(decode(&bytes), Some((&[][..], ENVELOPE, told)));
    }

    #[test]
    fn what_any_bytes_are_read_as_is_written_and_read_again(
        mut bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..4], 0..300),
        kind in prop_oneof![0u8..9, Just(4)],
    ) {
        if bytes.len() > 3 {
            bytes[..2].copy_from_slice(&MAGIC);
            bytes[2] = kind;
        }
        if let Some((_, envelope, packet)) = decode(&bytes) {
            let mut again = Vec::new();
            encode(&mut again, envelope, 0, &packet);
            prop_assert_eq!(decode(&again), Some((&[][..], envelope, packet)));
        }
    }
}
