//! Captures of what the kernel's qdiscs deliver.

use std::path::Path;
use std::time::{Duration, Instant};

use longhaul_emulator::capture::{Capture, CaptureOptions, Captured, DEFAULT_BYTES, Side};
use longhaul_topologies::model::{Loss, QueueLimit};
use nix::time::{ClockId, clock_gettime};

use super::pair::{FORWARD, Pair, chance, nothing};
use super::pcap::{Packet, packets};

/// A capture of the forward channel, and how many packets and bytes were counted before it began and when it had begun: the
/// gateways say things of their own when they like, also between the two.
struct Begun {
    capture: Capture,
    counted: [(u64, u64); 2],
}

fn counted(pair: &Pair) -> (u64, u64) {
    let counters = pair.forward();
    (counters.packets, counters.bytes)
}

/// Captures the forward channel into `folder`.
fn begin(pair: &Pair, folder: &Path) -> Begun {
    let options = CaptureOptions {
        folder,
        channels: &[FORWARD],
        sides: pair.lab.engine_kind().sides(),
        bytes: DEFAULT_BYTES,
        zero: 0,
    };
    let before = counted(pair);
    let (capture, taps) = Capture::create(pair.lab.plan(), &options).unwrap();
    pair.lab.capture(taps).unwrap();
    let counted = [before, counted(pair)];
    Begun { capture, counted }
}

/// What was captured: all that was counted while the capture went on, and nothing that was not.
fn end(pair: &Pair, begun: Begun) -> Vec<Packet> {
    let Begun {
        capture,
        counted: [before, began],
    } = begun;
    settle(pair);
    let ends = counted(pair);
    pair.lab.capture(Vec::new()).unwrap();
    let [file] = <[Captured; 1]>::try_from(capture.finish()).unwrap();
    let after = counted(pair);
    assert_eq!((file.side, file.missed), (Side::Delivered, 0));
    let packets = packets(&file.path);
    assert_eq!(packets.len() as u64, file.packets);
    let bytes = packets.iter().map(|packet| packet.length as u64).sum();
    let within = |least: u64, seen: u64, most: u64| {
        assert!(
            (least..=most).contains(&seen),
            "{seen}, not {least} to {most}"
        );
    };
    within(ends.0 - began.0, file.packets, after.0 - before.0);
    within(ends.1 - began.1, bytes, after.1 - before.1);
    packets
}

fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().into()
}

/// Waits until nothing arrives any more.
fn settle(pair: &Pair) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let before = pair.forward().packets;
        std::thread::sleep(Duration::from_millis(200));
        if pair.forward().packets == before {
            return;
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
    settle(&pair);
    let folder = tempfile::tempdir().unwrap();
    let begun = begin(&pair, folder.path());
    let (from, to) = (pair.udp(pair.from), pair.udp(pair.to));
    from.connect(to.local_addr().unwrap()).unwrap();
    let mut sent = Vec::new();
    for number in 0..PACKETS {
        sent.push(monotonic());
        from.send(&number.to_be_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(500));
    }
    let captured = end(&pair, begun);
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
    let begun = begin(&pair, folder.path());
    pair.iperf3(&["-t", "1"], || ());
    let captured = end(&pair, begun);
    let longest = captured.iter().map(|packet| packet.length).max();
    assert!((1500..=1514).contains(&longest.unwrap()), "{longest:?}");
    for packet in &captured {
        assert_eq!(
            packet.bytes.len(),
            packet.length.min(DEFAULT_BYTES as usize)
        );
    }
}
