//! Captures of what the relay carries, between real network namespaces.

#[path = "support/flows.rs"]
mod flows;
#[path = "support/pair.rs"]
mod pair;
#[path = "support/pcap.rs"]
mod pcap;

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use longhaul_emulator::capture::{
    Capture, CaptureOptions, Captured, DEFAULT_BYTES, MOST_BYTES, Side,
};
use longhaul_emulator::engine::{EngineKind, LinkEngine};
use longhaul_emulator::plan::{ChannelId, LabPlan};
use longhaul_emulator::relay::Relay;
use longhaul_topologies::model::{
    Channel, Direction, Fabric, LinkId, Loss, QueueDiscipline, QueueLimit, Site, Step,
};

use flows::{
    SEED, connection, counters, limited, percent, send_grouped, settled, sockets, warm_up,
};
use pair::{Join, Pair, delay};
use pcap::{Packet, packets, tcpdump};

fn main() -> ExitCode {
    flows::run([
        (
            "a_capture_holds_just_what_the_relay_counts",
            a_capture_holds_just_what_the_relay_counts,
        ),
        (
            "a_packet_is_delivered_the_delay_after_it_was_offered",
            a_packet_is_delivered_the_delay_after_it_was_offered,
        ),
        (
            "super_packets_are_captured_as_wire_packets_with_right_sums",
            super_packets_are_captured_as_wire_packets_with_right_sums,
        ),
        (
            "long_packets_are_cut_and_their_length_is_kept",
            long_packets_are_cut_and_their_length_is_kept,
        ),
    ])
}

const FORWARD: ChannelId = ChannelId {
    link: LinkId(0),
    lane: 0,
    direction: Direction::Forward,
};

/// A plan of one lane between two sites, for the interfaces of a pair.
fn plan(forward: Channel, reverse: Channel) -> LabPlan {
    let mut plan = pair::plan(forward, reverse);
    plan.topology.sites = ["a", "b"].map(site).into();
    plan
}

fn site(name: &str) -> Site {
    Site {
        name: name.to_owned(),
        place: None,
        coordinates: None,
        hosts: 1,
        fabric: Fabric::default(),
    }
}

/// The relay, capturing the forward channel into `folder`.
fn capturing(plan: &LabPlan, folder: &Path, bytes: u32) -> (Relay, Capture) {
    let mut relay = Relay::attach(plan, SEED).expect("the relay attaches to veth interfaces");
    let options = CaptureOptions {
        folder,
        channels: &[FORWARD],
        sides: EngineKind::Relay.sides(),
        bytes,
        zero: 0,
    };
    let (capture, taps) = Capture::create(plan, &options).expect("files can be made");
    relay.capture(&[], taps).expect("the relay answers");
    (relay, capture)
}

/// The files of what was offered and what was delivered, whole.
fn ended(relay: &mut Relay, capture: Capture) -> [Captured; 2] {
    relay.capture(&[], Vec::new()).expect("the relay answers");
    let files: [Captured; 2] = capture.finish().try_into().expect("two files");
    assert_eq!(
        files.each_ref().map(|file| (file.side, file.missed)),
        [(Side::Offered, 0), (Side::Delivered, 0)]
    );
    files
}

fn a_capture_holds_just_what_the_relay_counts() -> io::Result<()> {
    const PACKETS: usize = 3_000;
    const PAYLOAD: usize = 1000;
    let forward = Channel {
        loss: Loss::Independent(percent(5.0)),
        duplication: percent(5.0),
        corruption: percent(5.0),
        queue_limit: Some(QueueLimit::Packets(100)),
        ..limited(200_000_000, 0, Duration::from_millis(5))
    };
    let pair = Pair::new(Join::Lane)?;
    pair.introduce()?;
    let folder = tempfile::tempdir()?;
    let plan = plan(forward, delay(Duration::ZERO));
    let (mut relay, capture) = capturing(&plan, folder.path(), DEFAULT_BYTES);
    let [a, _b] = sockets(&pair)?;
    for _ in 0..PACKETS / 150 {
        send_grouped(&a, &[7; 100 * PAYLOAD], PAYLOAD)?;
        for _ in 0..50 {
            a.send(&[8; PAYLOAD])?;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let counted = settled(&mut relay, Direction::Forward);
    assert!(
        counted.queue_drops > 0 && counted.losses > Some(0),
        "{counted:?}"
    );
    let [offered, delivered] = ended(&mut relay, capture);
    assert_eq!(delivered.packets, counted.packets);
    let arrived = packets(&delivered.path);
    assert_eq!(arrived.len() as u64, counted.packets);
    assert_eq!(
        arrived
            .iter()
            .map(|packet| packet.length as u64)
            .sum::<u64>(),
        counted.bytes
    );
    assert_eq!(offered.packets, PACKETS as u64);
    let came = packets(&offered.path);
    assert_eq!(came.len(), PACKETS);
    for packets in [&came, &arrived] {
        assert!(packets.iter().all(|packet| packet.length == 42 + PAYLOAD));
        assert!(packets.is_sorted_by_key(|packet| packet.at));
    }
    Ok(())
}

fn a_packet_is_delivered_the_delay_after_it_was_offered() -> io::Result<()> {
    let one_way = Duration::from_millis(20);
    let pair = Pair::new(Join::Lane)?;
    pair.introduce()?;
    let folder = tempfile::tempdir()?;
    let plan = plan(delay(one_way), delay(Duration::ZERO));
    let (mut relay, capture) = capturing(&plan, folder.path(), DEFAULT_BYTES);
    let [a, b] = sockets(&pair)?;
    for number in 0..50_u8 {
        a.send(&[number])?;
        b.recv(&mut [0; 8])?;
    }
    let files = ended(&mut relay, capture);
    let [offered, delivered] = files.map(|file| packets(&file.path));
    assert_eq!((offered.len(), delivered.len()), (50, 50));
    let took: Vec<Duration> = offered
        .iter()
        .zip(&delivered)
        .map(|(there, here)| {
            assert_eq!(there.bytes, here.bytes);
            here.at
                .checked_sub(there.at)
                .expect("none arrives before it comes")
        })
        .collect();
    // Other work on the machine makes some late; none is ever early.
    let least = took.iter().min().expect("there are some");
    assert!(*least >= one_way, "{least:?}");
    assert!(*least <= one_way + Duration::from_millis(4), "{least:?}");
    Ok(())
}

fn super_packets_are_captured_as_wire_packets_with_right_sums() -> io::Result<()> {
    const BYTES: usize = 2_000_000;
    // Some are marked, some lost: headers are rewritten, super-packets travel in parts.
    let forward = Channel {
        loss: Loss::Independent(percent(0.5)),
        discipline: QueueDiscipline::Step(Step {
            at: QueueLimit::Packets(5),
        }),
        ..limited(500_000_000, 1 << 20, Duration::from_millis(1))
    };
    let pair = Pair::new(Join::Lane)?;
    pair.a
        .run(|| std::fs::write("/proc/sys/net/ipv4/tcp_ecn", "1"))?;
    pair.introduce()?;
    let folder = tempfile::tempdir()?;
    let plan = plan(forward, delay(Duration::ZERO));
    let (mut relay, capture) = capturing(&plan, folder.path(), MOST_BYTES);
    let [a, _b] = sockets(&pair)?;
    let payload: Vec<u8> = (0..200_300_u32).map(|at| (at / 7) as u8).collect();
    // The last is shorter.
    send_grouped(&a, &payload, 1000)?;
    settled(&mut relay, Direction::Forward);
    let (mut sender, mut receiver) = connection(&pair)?;
    let writer = std::thread::spawn(move || sender.write_all(&[3; BYTES]));
    receiver.read_to_end(&mut Vec::new())?;
    writer.join().expect("the writer does not panic")?;
    let counted = settled(&mut relay, Direction::Forward);
    assert!(counted.marks > 0 && counted.losses > Some(0), "{counted:?}");
    let files = ended(&mut relay, capture);
    assert_eq!(files[1].packets, counted.packets);
    let marked = |file: &Captured| {
        let is_marked = |packet: &Packet| packet.bytes[15] & 3 == 3;
        packets(&file.path).iter().any(is_marked)
    };
    assert_eq!(files.each_ref().map(marked), [false, true]);
    for file in &files {
        let packets = packets(&file.path);
        for packet in &packets {
            assert_eq!(packet.bytes.len(), packet.length);
            assert!(packet.length <= 1514, "{packet:?}");
            assert!(sums_are_right(packet), "{:?}: {packet:?}", file.side);
        }
        if let Some(lines) = tcpdump(&file.path) {
            assert_eq!(lines.len(), packets.len());
            for line in &lines {
                let complaints = ["bad cksum", "bad udp cksum", "(incorrect", "[|"];
                assert!(
                    !complaints.iter().any(|complaint| line.contains(complaint)),
                    "{line}"
                );
                assert!(
                    line.contains("(correct)") || line.contains("[udp sum ok]"),
                    "{line}"
                );
            }
        }
    }
    // Of what was offered, nothing is missing: the datagrams are the payload.
    let datagrams = packets(&files[0].path)
        .into_iter()
        .filter(|packet| packet.bytes[23] == UDP);
    let carried: Vec<u8> = datagrams
        .flat_map(|packet| packet.bytes[42..].to_vec())
        .collect();
    assert!(carried == payload, "{} bytes", carried.len());
    Ok(())
}

fn long_packets_are_cut_and_their_length_is_kept() -> io::Result<()> {
    let pair = Pair::new(Join::Lane)?;
    pair.introduce()?;
    let folder = tempfile::tempdir()?;
    let plan = plan(delay(Duration::from_millis(1)), delay(Duration::ZERO));
    let (mut relay, capture) = capturing(&plan, folder.path(), DEFAULT_BYTES);
    let [a, b] = sockets(&pair)?;
    warm_up(&a, &b)?;
    a.send(&[7; 1000])?;
    assert_eq!(b.recv(&mut [0; 2000])?, 1000);
    let [_, delivered] = ended(&mut relay, capture);
    let lengths: Vec<_> = packets(&delivered.path)
        .iter()
        .map(|packet| (packet.bytes.len(), packet.length))
        .collect();
    assert_eq!(lengths, [(47, 47), (DEFAULT_BYTES as usize, 1042)]);
    tcpdump(&delivered.path);
    // It was told to stop: nothing is captured any more, and all goes on.
    a.send(b"after")?;
    b.recv(&mut [0; 8])?;
    assert_eq!(counters(&mut relay, Direction::Forward).packets, 3);
    assert_eq!(packets(&delivered.path).len(), 2);
    Ok(())
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Whether the sums of an IPv4 packet over Ethernet, and of the TCP or UDP packet in it, are those of its bytes.
fn sums_are_right(packet: &Packet) -> bool {
    let ip = &packet.bytes[14..];
    let (header, transport) = ip.split_at(usize::from(ip[0] & 15) * 4);
    assert!([TCP, UDP].contains(&ip[9]), "{packet:?}");
    let mut pseudo = ip[12..20].to_vec();
    pseudo.extend([0, ip[9]]);
    pseudo.extend((transport.len() as u16).to_be_bytes());
    sum(&[header]) == 0xffff && sum(&[&pseudo, transport]) == 0xffff
}

/// The one's-complement sum of parts of which all but the last are of even length.
fn sum(parts: &[&[u8]]) -> u32 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    words.map(word).fold(0, |sum, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    })
}
