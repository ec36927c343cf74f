//! Queues that mark or drop early.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use longhaul_emulator::engine::ChannelCounters;
use longhaul_topologies::model::{
    Channel, CoDel, FqCoDel, Pie, QueueDiscipline, QueueLimit, Red, Signal, Step,
};
use longhaul_topologies::units::{ByteSize, Probability};
use serde_json::Value;
use socket2::SockRef;

use super::pair::{Pair, nothing};

/// The data of a frame of 1514 bytes.
pub const FULL: usize = 1472;

/// What IP's traffic class says of ECN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    NotEct = 0,
    Ect0 = 2,
}

pub fn frames(count: u64) -> QueueLimit {
    QueueLimit::Bytes(ByteSize::from_bytes(count * 1514))
}

/// What the queue holds, in full frames.
pub const LIMIT: u64 = 2000;

/// A slow channel with a long queue of that discipline.
pub fn with(discipline: QueueDiscipline) -> impl FnOnce(&mut Channel) {
    move |channel| {
        channel.rate = Some("10Mbit".parse().unwrap());
        channel.queue_limit = Some(frames(LIMIT));
        channel.discipline = discipline;
    }
}

/// What became of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub delivered: u64,
    pub marks: u64,
    pub early_drops: u64,
    pub queue_drops: u64,
}

/// Sends `count` full frames as fast as it can, and waits until all have passed or were dropped.
pub fn burst(pair: &Pair, count: u64, ecn: Ecn) -> Outcome {
    let before = pair.forward();
    let (sender, _sink) = sender(pair, ecn);
    for _ in 0..count {
        sender.send(&[0; FULL]).unwrap();
    }
    outcome(pair, before, count)
}

/// As [`burst`] on a line so slow that all of the burst comes before much of it has left: it is made fast only when that is
/// known. For queues that decide when a packet comes.
pub fn burst_before_a_slow_line(
    pair: &Pair,
    (discipline, limit): (QueueDiscipline, QueueLimit),
    count: u64,
    ecn: Ecn,
) -> Outcome {
    let at = |rate: &str| {
        let rate = rate.parse().unwrap();
        pair.change(|channel| {
            with(discipline)(channel);
            channel.rate = Some(rate);
            channel.queue_limit = Some(limit);
        });
    };
    at("100kbit");
    let before = pair.forward();
    let (sender, _sink) = sender(pair, ecn);
    for _ in 0..count {
        sender.send(&[0; FULL]).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let come = || {
        let now = pair.forward();
        now.packets + now.queue_packets + now.early_drops + now.queue_drops
    };
    let come_before = before.packets + before.early_drops + before.queue_drops;
    // Frames on the line count nowhere.
    while come() + 3 < come_before + count {
        assert!(Instant::now() < deadline, "they do not come");
        std::thread::sleep(Duration::from_millis(2));
    }
    at("100Mbit");
    outcome(pair, before, count)
}

/// What became of all `count` packets since `before`. (A guest's one CPU may not have got round to them when they are sent.)
fn outcome(pair: &Pair, before: ChannelCounters, count: u64) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let now = pair.forward();
        let outcome = Outcome {
            delivered: now.packets - before.packets,
            marks: now.marks - before.marks,
            early_drops: now.early_drops - before.early_drops,
            queue_drops: now.queue_drops - before.queue_drops,
        };
        let all = outcome.delivered + outcome.early_drops + outcome.queue_drops;
        if all >= count && now.queue_packets == 0 {
            return outcome;
        }
        assert!(Instant::now() < deadline, "{outcome:?} of {count}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A socket that sends, connected to one that takes what fits its buffer and is never read.
fn sender(pair: &Pair, ecn: Ecn) -> (UdpSocket, UdpSocket) {
    let (sender, sink) = (pair.udp(pair.from), pair.udp(pair.to));
    SockRef::from(&sender).set_tos_v4(ecn as u32).unwrap();
    SockRef::from(&sender)
        .set_send_buffer_size(8 << 20)
        .unwrap();
    sender.connect(sink.local_addr().unwrap()).unwrap();
    (sender, sink)
}

pub fn red(signal: Signal) -> Red {
    Red {
        min: frames(20),
        max: frames(100),
        chance: Probability::new(0.5).unwrap(),
        weight: 1.0,
        signal,
    }
}

pub fn codel(signal: Signal) -> CoDel {
    CoDel {
        target: Duration::from_millis(5),
        interval: Duration::from_millis(50),
        signal,
    }
}

fn pie(signal: Signal) -> Pie {
    Pie {
        target: Duration::from_millis(15),
        update: Duration::from_millis(15),
        burst: Duration::from_millis(150),
        alpha: 0.125,
        beta: 1.25,
        signal,
    }
}

fn fq_codel(flows: u32, signal: Signal) -> FqCoDel {
    FqCoDel {
        codel: codel(signal),
        quantum: ByteSize::from_bytes(3028),
        flows,
    }
}

pub async fn the_kernel_reads_back_every_discipline() {
    let pair = Pair::up(with(QueueDiscipline::DropTail), nothing).await;
    let gateway = pair.lab.plan().lanes[0].a.gateway;
    let options = |kind: &str| pair.qdisc(Some(gateway), "l0.0", kind)["options"].clone();
    let change = |discipline| pair.change(with(discipline));
    let check = |options: &Value, expected: &[(&str, u64)]| {
        for (name, value) in expected {
            assert_eq!(options[name], *value, "{name} of {options}");
        }
    };

    change(QueueDiscipline::Red(red(Signal::Mark)));
    let read = options("red");
    check(&read, &[("min", 20 * 1514 + 1), ("max", 100 * 1514 + 1)]);
    assert_eq!(
        (&read["ecn"], &read["nodrop"]),
        (&true.into(), &false.into())
    );
    check(&options("bfifo"), &[("limit", LIMIT * 1514)]);

    change(QueueDiscipline::Step(Step { at: frames(30) }));
    let read = options("red");
    check(&read, &[("min", 30 * 1514 + 1), ("max", 30 * 1514 + 1)]);
    assert_eq!(
        (&read["ecn"], &read["nodrop"]),
        (&true.into(), &true.into())
    );

    change(QueueDiscipline::CoDel(codel(Signal::Mark)));
    // tc truncates what the kernel keeps in units of 1.024 us.
    check(
        &options("codel"),
        &[("limit", LIMIT), ("target", 4999), ("interval", 49_999)],
    );
    change(QueueDiscipline::CoDel(codel(Signal::Drop)));
    assert_ne!(options("codel")["ecn"], true);

    for flows in [1024, 64] {
        change(QueueDiscipline::FqCoDel(fq_codel(flows, Signal::Mark)));
        check(
            &options("fq_codel"),
            &[("limit", LIMIT), ("flows", flows.into()), ("quantum", 3028)],
        );
    }
    change(QueueDiscipline::Pie(pie(Signal::Mark)));
    check(
        &options("pie"),
        &[
            ("limit", LIMIT),
            ("target", 15_000),
            ("alpha", 2),
            ("beta", 20),
        ],
    );

    pair.change(|channel| {
        with(QueueDiscipline::Red(red(Signal::Drop)))(channel);
        channel.queue_limit = Some(QueueLimit::Packets(50));
    });
    check(&options("pfifo"), &[("limit", 50)]);
    assert_eq!(options("red")["ecn"], false);
    change(QueueDiscipline::DropTail);
    check(&options("bfifo"), &[("limit", LIMIT * 1514)]);
    assert_eq!(pair.ping(&["-c", "3", "-i", "0.01"]).lost(), 0);
    assert_eq!(pair.forward().engine_drops, 0);
}

pub async fn a_step_marks_from_its_threshold_on_and_drops_nothing() {
    let step = |at| with(QueueDiscipline::Step(Step { at: frames(at) }));
    let pair = Pair::up(step(30), nothing).await;
    let marked = burst(&pair, 100, Ecn::Ect0);
    // Two or three fit the bucket, and some leave while the others come.
    assert!((50..=70).contains(&marked.marks), "{marked:?}");
    let spared = burst(&pair, 100, Ecn::NotEct);
    assert_eq!(
        (spared.marks, spared.early_drops, spared.queue_drops),
        (0, 0, 0)
    );

    // A change in place drops nothing either.
    let before = pair.forward();
    let (sender, _sink) = sender(&pair, Ecn::NotEct);
    for _ in 0..100 {
        sender.send(&[0; FULL]).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while pair.forward().queue_packets < 50 {
        assert!(Instant::now() < deadline, "nothing queues");
        std::thread::sleep(Duration::from_millis(1));
    }
    pair.change(step(60));
    assert!(pair.forward().queue_packets > 20);
    let kept = outcome(&pair, before, 100);
    assert_eq!((kept.early_drops, kept.queue_drops), (0, 0));
}

pub async fn super_packets_are_marked_packet_by_packet() {
    let step = QueueDiscipline::Step(Step { at: frames(0) });
    let pair = Pair::up(with(step), nothing).await;
    let before = pair.forward();
    let (sender, _sink) = sender(&pair, Ecn::Ect0);
    let segment = FULL as libc::c_int;
    // SAFETY: the option's value is an int that outlives the call, and its size is given.
    let set = unsafe {
        libc::setsockopt(
            sender.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const segment).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    sender.send(&[0; 40 * FULL]).unwrap();
    let outcome = outcome(&pair, before, 40);
    // All but the one that found nothing, and those that the bucket let go at once.
    assert!((35..=40).contains(&outcome.marks), "{outcome:?}");
}

pub async fn every_discipline_marks_or_drops_under_overload() {
    let pair = Pair::up(with(QueueDiscipline::DropTail), nothing).await;
    for signal in [Signal::Mark, Signal::Drop] {
        for (discipline, time) in [
            (QueueDiscipline::Red(red(signal)), 200),
            (QueueDiscipline::CoDel(codel(signal)), 200),
            (QueueDiscipline::FqCoDel(fq_codel(1024, signal)), 200),
            // It lets a burst of 150 ms through, and rises slowly.
            (QueueDiscipline::Pie(pie(signal)), 900),
        ] {
            pair.change(with(discipline));
            let outcome = overload(&pair, Duration::from_millis(time), Ecn::Ect0);
            assert_eq!(outcome.queue_drops, 0, "{discipline:?}: {outcome:?}");
            match signal {
                // PIE drops where its probability is above 10 % (RFC 8033 section 5.1), which a guest that stumbles takes it to.
                Signal::Mark if matches!(discipline, QueueDiscipline::Pie(_)) => {
                    let struck = outcome.marks + outcome.early_drops;
                    assert!(struck > 0, "{discipline:?}: {outcome:?}");
                }
                Signal::Mark => assert!(outcome.marks > 0, "{discipline:?}: {outcome:?}"),
                Signal::Drop => assert!(
                    outcome.marks == 0 && outcome.early_drops > 0,
                    "{discipline:?}: {outcome:?}"
                ),
            }
        }
    }
    // What the limit refuses is no early drop.
    pair.change(|channel| {
        with(QueueDiscipline::CoDel(codel(Signal::Mark)))(channel);
        channel.queue_limit = Some(QueueLimit::Packets(30));
    });
    let outcome = burst(&pair, 100, Ecn::Ect0);
    assert!((50..=70).contains(&outcome.queue_drops), "{outcome:?}");
    assert_eq!(outcome.early_drops, 0);
}

/// Sends at twice the rate for that long.
pub fn overload(pair: &Pair, time: Duration, ecn: Ecn) -> Outcome {
    let before = pair.forward();
    let (sender, _sink) = sender(pair, ecn);
    let gap = Duration::from_micros(606);
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < time {
        let due = (began.elapsed().as_nanos() / gap.as_nanos()) as u64;
        while sent < due {
            sender.send(&[0; FULL]).unwrap();
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    outcome(pair, before, sent)
}
