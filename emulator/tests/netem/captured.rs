//! Captures of what the kernel's qdiscs deliver.

use std::path::Path;
use std::time::{Duration, Instant};

use longhaul_emulator::capture::{Capture, CaptureOptions, Captured, DEFAULT_BYTES, Side};
use longhaul_topologies::model::{Loss, QueueLimit};
use nix::time::{ClockId, clock_gettime};

use super::pcap::{Packet, packets};
use super::{FORWARD, Pair, chance, nothing};

/// Captures the forward channel into `folder`.
fn begin(pair: &Pair, folder: &Path) -> Capture {
    let options = CaptureOptions {
        folder,
        channels: &[FORWARD],
        sides: pair.lab.engine_kind().sides(),
        bytes: DEFAULT_BYTES,
        zero: 0,
    };
    let (capture, taps) = Capture::create(pair.lab.plan(), &options).unwrap();
    pair.lab.capture(taps).unwrap();
    capture
}

fn end(pair: &Pair, capture: Capture) -> (Captured, Vec<Packet>) {
    pair.lab.capture(Vec::new()).unwrap();
    let [file] = <[Captured; 1]>::try_from(capture.finish()).unwrap();
    assert_eq!((file.side, file.missed), (Side::Delivered, 0));
    let packets = packets(&file.path);
    assert_eq!(packets.len() as u64, file.packets);
    (file, packets)
}

fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().into()
}

/// Waits until nothing arrives any more.
fn settle(pair: &Pair) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let before = pair.forward().packets;
        std::thread::sleep(Duration::from_millis(200));
        if pair.forward().packets == before {
            return before;
        }
        assert!(Instant::now() < deadline, "packets keep arriving");
    }
}

/// The UDP packets with an IPv4 header without options, and what they carry first.
fn datagrams(packets: &[Packet]) -> Vec<(Duration, u32)> {
    let is_udp = |packet: &&Packet| packet.bytes[12..15] == [8, 0, 0x45] && packet.bytes[23] == 17;
    let number = |packet: &Packet| {
        let number = packet.bytes[42..46].try_into().expect("four bytes");
        (packet.at, u32::from_be_bytes(number))
    };
    packets.iter().filter(is_udp).map(number).collect()
}

pub async fn a_capture_holds_what_arrives_when_it_arrives() {
    const PACKETS: u32 = 500;
    let one_way = Duration::from_millis(20);
    let pair = Pair::up(
        |channel| {
            channel.delay = one_way;
            channel.loss = Loss::Independent(chance(10.0));
            channel.duplication = chance(5.0);
        },
        nothing,
    )
    .await;
    // The gateways say what they have to say of their own, before packets are counted.
    pair.ping(&["-c", "20", "-i", "0.05"]);
    let before = settle(&pair);
    let folder = tempfile::tempdir().unwrap();
    let capture = begin(&pair, folder.path());
    let (from, to) = (pair.udp(pair.from), pair.udp(pair.to));
    from.connect(to.local_addr().unwrap()).unwrap();
    let mut sent = Vec::new();
    for number in 0..PACKETS {
        sent.push(monotonic());
        from.send(&number.to_be_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(500));
    }
    let counted = settle(&pair) - before;
    let (_, captured) = end(&pair, capture);
    assert_eq!(captured.len() as u64, counted);
    let arrived = datagrams(&captured);
    let missing = |number: &u32| !arrived.iter().any(|(_, arrived)| arrived == number);
    let lost = (0..PACKETS).filter(missing).count();
    assert!((20..100).contains(&lost), "{lost} lost");
    let doubles = arrived.len() + lost - PACKETS as usize;
    assert!((3..70).contains(&doubles), "{doubles} doubles");
    let took = arrived.iter().map(|&(at, number)| {
        at.checked_sub(sent[number as usize])
            .expect("none arrives before it is sent")
    });
    let least = took.min().unwrap();
    assert!(
        (one_way..one_way + Duration::from_millis(2)).contains(&least),
        "{least:?}"
    );
}

pub async fn super_packets_are_captured_as_wire_packets() {
    let pair = Pair::up(
        |channel| {
            channel.rate = Some("50Mbit".parse().unwrap());
            channel.delay = Duration::from_millis(2);
            channel.queue_limit = Some(QueueLimit::Packets(100));
        },
        nothing,
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let before = settle(&pair);
    let bytes = pair.forward().bytes;
    let capture = begin(&pair, folder.path());
    pair.iperf3(&["-t", "1"], || ());
    let counted = settle(&pair) - before;
    let bytes = pair.forward().bytes - bytes;
    let (_, captured) = end(&pair, capture);
    assert_eq!(captured.len() as u64, counted);
    let lengths = captured.iter().map(|packet| packet.length);
    assert_eq!(lengths.clone().sum::<usize>() as u64, bytes);
    assert!(lengths.max().unwrap() <= 1514);
    for packet in &captured {
        assert_eq!(
            packet.bytes.len(),
            packet.length.min(DEFAULT_BYTES as usize)
        );
    }
}
