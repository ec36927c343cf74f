//! What the relay writes into packets between real network namespaces: marks and in-band telemetry; and what it does with a
//! lane that is down.

#[path = "support/flows.rs"]
mod flows;
#[path = "support/pair.rs"]
mod pair;

use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::Duration;

use longhaul_emulator::engine::LinkEngine;
use longhaul_emulator::inband::{self, Record};
use longhaul_topologies::model::{
    Channel, CoDel, Direction, LaneState, QueueDiscipline, QueueLimit, Signal, Step,
};

use flows::{
    attach, connection, counters_when, limited, receive_with_control, send_grouped, settled,
    sockets, warm_up,
};
use pair::{Join, Pair, delay};

fn main() -> ExitCode {
    flows::run([
        (
            "capable_packets_beyond_the_threshold_arrive_marked_and_others_as_they_were",
            capable_packets_beyond_the_threshold_arrive_marked_and_others_as_they_were,
        ),
        (
            "marks_are_on_the_same_wire_packets_with_and_without_offload",
            marks_are_on_the_same_wire_packets_with_and_without_offload,
        ),
        (
            "tcp_reads_marks_and_its_bytes_arrive_whole",
            tcp_reads_marks_and_its_bytes_arrive_whole,
        ),
        (
            "packets_that_ask_are_told_what_they_met",
            packets_that_ask_are_told_what_they_met,
        ),
        (
            "a_super_packet_s_datagrams_are_each_told_what_they_met",
            a_super_packet_s_datagrams_are_each_told_what_they_met,
        ),
        (
            "a_lane_that_is_down_carries_nothing_and_counts_it",
            a_lane_that_is_down_carries_nothing_and_counts_it,
        ),
    ])
}

/// 1 Mbit/s before which ten packets may wait unmarked. A frame takes 8 ms, so that a burst is there before many of it have left,
/// on a busy machine, too.
fn marking() -> Channel {
    Channel {
        discipline: QueueDiscipline::Step(Step {
            at: QueueLimit::Packets(10),
        }),
        ..limited(1_000_000, 1 << 20, Duration::from_millis(2))
    }
}

const PACKETS: u64 = 50;
const PAYLOAD: usize = 1000;

fn capable_packets_beyond_the_threshold_arrive_marked_and_others_as_they_were() -> io::Result<()> {
    const NOT_ECT: u8 = 0;
    const ECT_0: u8 = 2;
    const CE: u8 = 3;
    let pair = Pair::new(Join::Lane)?;
    pair.introduce()?;
    let mut relay = attach(marking(), delay(Duration::ZERO));
    let [a, b] = sockets(&pair)?;
    for (ecn, expected) in [(ECT_0, CE), (NOT_ECT, NOT_ECT)] {
        let before = settled(&mut relay, Direction::Forward).marks;
        set_ecn(&a, ecn)?;
        for _ in 0..PACKETS {
            a.send(&[0; PAYLOAD])?;
        }
        let fields = receive_ecn(&b, PACKETS)?;
        let marked = fields.iter().filter(|&&field| field == CE).count() as u64;
        assert_eq!(fields[0], ecn, "the first finds an empty queue");
        assert_eq!(fields[PACKETS as usize - 1], expected);
        let after = settled(&mut relay, Direction::Forward);
        assert_eq!(after.marks - before, marked);
        assert_eq!((after.queue_drops, after.early_drops), (0, 0));
    }
    Ok(())
}

fn marks_are_on_the_same_wire_packets_with_and_without_offload() -> io::Result<()> {
    let fields = |group: usize| -> io::Result<Vec<u8>> {
        let pair = Pair::new(Join::Lane)?;
        pair.introduce()?;
        let _relay = attach(marking(), delay(Duration::ZERO));
        let [a, b] = sockets(&pair)?;
        set_ecn(&a, 1)?;
        for _ in 0..PACKETS as usize / group {
            send_grouped(&a, &vec![0; group * PAYLOAD], PAYLOAD)?;
        }
        receive_ecn(&b, PACKETS)
    };
    let (singly, grouped) = (fields(1)?, fields(25)?);
    assert_eq!(singly, grouped);
    assert!(singly.contains(&1) && singly.contains(&3), "{singly:?}");
    Ok(())
}

fn tcp_reads_marks_and_its_bytes_arrive_whole() -> io::Result<()> {
    const BYTES: usize = 10_000_000;
    let pair = Pair::new(Join::Lane)?;
    for host in [&pair.a, &pair.b] {
        host.run(|| std::fs::write("/proc/sys/net/ipv4/tcp_ecn", "1"))?;
    }
    let codel = Channel {
        discipline: QueueDiscipline::CoDel(CoDel {
            target: Duration::from_millis(1),
            interval: Duration::from_millis(20),
            signal: Signal::Mark,
        }),
        ..limited(50_000_000, 4 << 20, Duration::from_millis(5))
    };
    let mut relay = attach(codel, delay(Duration::from_millis(5)));
    let (mut sender, mut receiver) = connection(&pair)?;
    socket2::SockRef::from(&sender).set_tcp_congestion(b"cubic")?;
    let pattern = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
    let writer = std::thread::spawn(move || -> io::Result<()> {
        sender.write_all(&(0..BYTES).map(pattern).collect::<Vec<_>>())
    });
    let mut data = Vec::with_capacity(BYTES);
    receiver.read_to_end(&mut data)?;
    writer.join().expect("the writer does not panic")?;
    assert!(
        data.len() == BYTES
            && data
                .iter()
                .enumerate()
                .all(|(at, &byte)| byte == pattern(at))
    );
    let forward = settled(&mut relay, Direction::Forward);
    println!("{forward:?}");
    assert!(forward.marks > 0, "{forward:?}");
    assert_eq!((forward.early_drops, forward.engine_drops), (0, 0));
    Ok(())
}

fn packets_that_ask_are_told_what_they_met() -> io::Result<()> {
    let pair = Pair::new(Join::Lane)?;
    pair.introduce()?;
    let _relay = attach(marking(), delay(Duration::ZERO));
    let [a, b] = sockets(&pair)?;
    set_ecn(&a, 2)?;
    for number in 0..PACKETS {
        a.send(&asking(number))?;
    }
    check_records(&b)
}

fn a_super_packet_s_datagrams_are_each_told_what_they_met() -> io::Result<()> {
    let pair = Pair::new(Join::Lane)?;
    pair.introduce()?;
    let _relay = attach(marking(), delay(Duration::ZERO));
    let [a, b] = sockets(&pair)?;
    set_ecn(&a, 2)?;
    let all: Vec<u8> = (0..PACKETS).flat_map(asking).collect();
    send_grouped(&a, &all, PAYLOAD)?;
    check_records(&b)
}

/// A payload with room for two records, and its number behind it.
fn asking(number: u64) -> Vec<u8> {
    let mut payload = vec![0; PAYLOAD];
    assert_eq!(inband::prepare(&mut payload, 2), Some(2));
    payload[PAYLOAD - 8..].copy_from_slice(&number.to_be_bytes());
    payload
}

/// What [`PACKETS`] of them tell.
fn check_records(socket: &UdpSocket) -> io::Result<()> {
    let mut buffer = [0; 2 * PAYLOAD];
    let mut records: Vec<Record> = Vec::new();
    for number in 0..PACKETS {
        let length = socket.recv(&mut buffer)?;
        assert_eq!(buffer[length - 8..length], number.to_be_bytes());
        let told: Vec<_> = inband::records(&buffer[..length])
            .expect("records")
            .collect();
        assert_eq!(told.len(), 1, "there was one hop");
        records.extend(told);
    }
    let frame = PAYLOAD as u64 + 42;
    for (number, record) in (1..).zip(&records) {
        assert_eq!((record.link, record.lane), (0, 0));
        assert_eq!(record.direction, Direction::Forward);
        assert_eq!(record.rate_bps, Some(1_000_000));
        assert_eq!(record.sent_bytes, number * frame);
        assert_eq!(record.queue_bytes, u64::from(record.queue_packets) * frame);
    }
    assert!(records.is_sorted_by_key(|record| record.time_ns));
    // 8.3 ms each: as the line had it, however late they were read.
    let took = records[PACKETS as usize - 1].time_ns - records[0].time_ns;
    let expected = (PACKETS - 1) * frame * 8 * 1000;
    assert!(
        took.abs_diff(expected) < expected / 4,
        "{took} ns, expected {expected}"
    );
    assert!(records.iter().any(|record| record.marked));
    assert!(records.iter().any(|record| record.queue_packets > 10));
    assert_eq!(records[PACKETS as usize - 1].queue_packets, 0);
    Ok(())
}

fn a_lane_that_is_down_carries_nothing_and_counts_it() -> io::Result<()> {
    let pair = Pair::new(Join::Lane)?;
    let up = delay(Duration::from_millis(1));
    let mut relay = attach(up.clone(), up.clone());
    pair.introduce()?;
    let [a, b] = sockets(&pair)?;
    warm_up(&a, &b)?;
    let id = relay.counters().expect("the relay answers")[0].0;
    let down = Channel {
        state: LaneState::Down,
        ..up.clone()
    };
    relay.set(id, &down).expect("a lane can go down");
    for _ in 0..10 {
        a.send(b"lost")?;
    }
    counters_when(&mut relay, Direction::Forward, |now| now.outage_drops >= 10);
    // The other way it is up.
    b.send(b"back")?;
    let mut buffer = [0; 8];
    assert_eq!(a.recv(&mut buffer)?, 4);
    relay.set(id, &up).expect("a lane can come up");
    a.send(b"again")?;
    assert_eq!(b.recv(&mut buffer)?, 5);
    assert_eq!(&buffer[..5], b"again");
    Ok(())
}

fn set_ecn(socket: &UdpSocket, ecn: u8) -> io::Result<()> {
    socket2::SockRef::from(socket).set_tos_v4(ecn.into())
}

/// The ECN fields of the next `count` datagrams.
fn receive_ecn(socket: &UdpSocket, count: u64) -> io::Result<Vec<u8>> {
    let socket = socket2::SockRef::from(socket);
    socket.set_recv_tos_v4(true)?;
    let mut buffer = [0; 2 * PAYLOAD];
    (0..count)
        // One octet (ip(7), `IP_RECVTOS`).
        .map(|_| receive_with_control(&*socket, &mut buffer).map(|(_, tos)| tos[0] & 3))
        .collect()
}
