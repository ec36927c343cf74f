use longhaul_topologies::units::Probability;

use super::super::bottleneck::BELOW_ROOT;
use super::super::encode::hex;
use super::*;

fn chance(fraction: f64) -> Probability {
    Probability::new(fraction).unwrap()
}

fn bytes(bytes: u64) -> QueueLimit {
    QueueLimit::Bytes(ByteSize::from_bytes(bytes))
}

fn queue(discipline: QueueDiscipline, limit: QueueLimit) -> Queue {
    Queue {
        discipline,
        limit,
        frame: ByteSize::from_bytes(1514),
    }
}

fn qdiscs(discipline: QueueDiscipline) -> Vec<Qdisc> {
    queue(discipline, bytes(1_514_000)).qdiscs(BELOW_ROOT, None)
}

/// What one that stands alone says.
fn options(discipline: QueueDiscipline) -> String {
    let [qdisc] = &qdiscs(discipline)[..] else {
        panic!("one qdisc");
    };
    hex(&qdisc.options)
}

fn red() -> Red {
    Red {
        min: bytes(30_000),
        max: bytes(90_000),
        chance: chance(0.1),
        weight: 1.0,
        signal: Signal::Mark,
    }
}

fn codel() -> CoDel {
    CoDel {
        target: Duration::from_millis(5),
        interval: Duration::from_millis(100),
        signal: Signal::Mark,
    }
}

fn fq_codel() -> FqCoDel {
    FqCoDel {
        codel: codel(),
        quantum: ByteSize::from_bytes(1514),
        flows: 1024,
    }
}

fn pie() -> Pie {
    Pie {
        target: Duration::from_millis(15),
        update: Duration::from_millis(15),
        burst: Duration::from_millis(150),
        alpha: 0.125,
        beta: 1.25,
        signal: Signal::Drop,
    }
}

fn dualpi2() -> DualPi2 {
    DualPi2 {
        target: Duration::from_millis(15),
        update: Duration::from_millis(16),
        alpha: 0.16,
        beta: 3.2,
        coupling: 2.0,
        step: Duration::from_millis(1),
        classic_share: chance(0.1),
    }
}

/// RED's parameters, its table, and what follows.
fn red_parts(discipline: QueueDiscipline) -> [String; 3] {
    let options = &qdiscs(discipline)[0].options;
    [
        hex(&options[..20]),
        hex(&options[20..28]),
        hex(&options[280..]),
    ]
}

#[test]
#[cfg(target_endian = "little")]
fn red_has_thresholds_from_which_on_it_strikes() {
    // 30,001 = 0x7531 and 90,001 = 0x15f91; a chance of 0.1 ÷ 1.9 is 3,768 × 2⁻³² per byte: 226,080,000 = 0xd79b500.
    let [parameters, table, rest] = red_parts(QueueDiscipline::Red(red()));
    insta::assert_snapshot!(parameters, @"14000100 00000000 31750000 915f0100 00000001");
    insta::assert_snapshot!(table, @"04010200 1f1f1f1f");
    insta::assert_snapshot!(rest, @"08000300 00b5790d");
}

#[test]
#[cfg(target_endian = "little")]
fn red_with_an_average_has_its_weight_as_a_shift() {
    let averaging = Red {
        weight: 0.002,
        signal: Signal::Drop,
        ..red()
    };
    // 0.1 ÷ 60,000 bytes is 7,158 × 2⁻³² per byte: 429,480,000 = 0x19995840.
    let [parameters, _, rest] = red_parts(QueueDiscipline::Red(averaging));
    insta::assert_snapshot!(parameters, @"14000100 00000000 31750000 915f0100 09000000");
    insta::assert_snapshot!(rest, @"08000300 40589919");
}

#[test]
#[cfg(target_endian = "little")]
fn a_step_is_red_in_one_place_that_drops_nothing() {
    // ECN and nodrop, of all four flags.
    let step = Step { at: bytes(100_000) };
    let [parameters, _, rest] = red_parts(QueueDiscipline::Step(step));
    insta::assert_snapshot!(parameters, @"14000100 00000000 a1860100 a1860100 00000000");
    insta::assert_snapshot!(rest, @"08000300 ffffffff 0c000400 09000000 0f000000");
    let without = nodrop_without_ecn(&step, BELOW_ROOT);
    assert_eq!(hex(&without.options[288..]), "0c000400 08000000 0f000000");
}

#[test]
#[cfg(target_endian = "little")]
fn codel_counts_full_frames_and_microseconds() {
    insta::assert_snapshot!(options(QueueDiscipline::CoDel(codel())), @"08000100 88130000 08000200 e8030000 08000300 a0860100 08000400 01000000");
}

#[test]
#[cfg(target_endian = "little")]
fn fq_codel_has_codels_parameters_and_its_own() {
    insta::assert_snapshot!(options(QueueDiscipline::FqCoDel(fq_codel())), @"08000100 88130000 08000200 e8030000 08000300 a0860100 08000400 01000000 08000600 ea050000 08000900 00000080 08000500 00040000");
}

#[test]
#[cfg(target_endian = "little")]
fn pie_has_gains_in_sixteenths() {
    insta::assert_snapshot!(options(QueueDiscipline::Pie(pie())), @"08000100 983a0000 08000200 e8030000 08000300 983a0000 08000400 02000000 08000500 14000000 08000600 00000000 08000700 00000000 08000800 00000000");
}

#[test]
#[cfg(target_endian = "little")]
fn dualpi2_has_gains_in_256ths_and_bytes_of_one() {
    insta::assert_snapshot!(options(QueueDiscipline::DualPi2(dualpi2())), @"08000100 e8030000 08000300 983a0000 08000400 803e0000 08000500 29000000 08000600 33030000 08000800 e8030000 08000900 00000000 05000a00 02000000 05000b00 01000000 05000c00 00000000 05000d00 0a000000 05000e00 01000000 05000f00 01000000");
}

#[test]
fn red_keeps_its_packets_in_a_fifo_of_the_limits_unit() {
    let discipline = QueueDiscipline::Red(red());
    for (limit, kind) in [
        (bytes(1_000_000), "bfifo"),
        (QueueLimit::Packets(1000), "pfifo"),
    ] {
        let [red, fifo] = &queue(discipline, limit).qdiscs(BELOW_ROOT, None)[..] else {
            panic!("two qdiscs");
        };
        assert_eq!((red.parent, fifo.kind), (BELOW_ROOT, kind));
        assert_eq!(
            (fifo.parent.major, fifo.parent.minor),
            (red.handle.major, 1)
        );
    }
}

#[test]
fn every_kind_and_number_of_flows_has_a_handle_of_its_own() {
    let with = |flows| {
        QueueDiscipline::FqCoDel(FqCoDel {
            flows,
            ..fq_codel()
        })
    };
    let disciplines = [
        QueueDiscipline::DropTail,
        QueueDiscipline::Red(red()),
        QueueDiscipline::Step(Step { at: bytes(1) }),
        QueueDiscipline::CoDel(codel()),
        QueueDiscipline::Pie(pie()),
        QueueDiscipline::DualPi2(dualpi2()),
        with(1),
        with(1024),
        with(FQ_CODEL_FLOWS_MOST),
    ];
    let mut handles: Vec<_> = disciplines
        .into_iter()
        .flat_map(qdiscs)
        .map(|qdisc| qdisc.handle.major)
        .collect();
    let count = handles.len();
    handles.sort_unstable();
    handles.dedup();
    // RED and step marking have the same FIFO, never at the same time.
    assert_eq!(handles.len(), count - 1);
    assert!(handles.last() < Some(&0xffff));
}

#[test]
fn a_live_fq_codel_is_not_told_its_number_of_queues() {
    let live = |before: FqCoDel, after: FqCoDel| {
        let [before, after] =
            [before, after].map(|one| queue(QueueDiscipline::FqCoDel(one), bytes(1_000_000)));
        let [qdisc] = &after.qdiscs(BELOW_ROOT, Some(&before))[..] else {
            panic!("one qdisc");
        };
        hex(&qdisc.options).contains("08000500")
    };
    let wider = FqCoDel {
        quantum: ByteSize::from_bytes(3028),
        ..fq_codel()
    };
    assert!(!live(fq_codel(), wider));
    let fewer = FqCoDel {
        flows: 512,
        ..fq_codel()
    };
    assert!(live(fq_codel(), fewer));
}

#[test]
fn what_the_kernel_does_not_have_is_refused_with_its_parameter() {
    let refused = |discipline| expressible(&discipline).expect_err("inexpressible");
    let in_packets = QueueDiscipline::Step(Step {
        at: QueueLimit::Packets(65),
    });
    assert!(refused(in_packets).contains("counts bytes"));
    let weight = QueueDiscipline::Red(Red {
        weight: 0.3,
        ..red()
    });
    assert!(refused(weight).contains("a weight of 0.3"));
    let faint = QueueDiscipline::Red(Red {
        chance: chance(0.000_1),
        max: bytes(1_000_000_000),
        ..red()
    });
    assert!(refused(faint).contains("as fine"));
    let long = QueueDiscipline::Red(Red {
        max: bytes(1 << 31),
        ..red()
    });
    assert!(refused(long).contains("too large"));
    let quantum = QueueDiscipline::FqCoDel(FqCoDel {
        quantum: ByteSize::from_bytes(2 << 20),
        ..fq_codel()
    });
    assert!(refused(quantum).contains("quantum"));
    let burst = QueueDiscipline::Pie(Pie {
        burst: Duration::ZERO,
        ..pie()
    });
    assert!(refused(burst).contains("burst"));
    let gain = QueueDiscipline::Pie(Pie {
        alpha: 0.1,
        ..pie()
    });
    assert!(refused(gain).contains("alpha 0.1"));
    let coupling = QueueDiscipline::DualPi2(DualPi2 {
        coupling: 1.5,
        ..dualpi2()
    });
    assert!(refused(coupling).contains("coupling"));
    let share = QueueDiscipline::DualPi2(DualPi2 {
        classic_share: chance(0.125),
        ..dualpi2()
    });
    assert!(refused(share).contains("classic share"));
}

#[test]
fn the_usual_parameters_are_expressible() {
    for discipline in [
        QueueDiscipline::DropTail,
        QueueDiscipline::Red(red()),
        QueueDiscipline::Red(Red {
            weight: 0.002,
            ..red()
        }),
        QueueDiscipline::Red(Red {
            chance: Probability::ZERO,
            ..red()
        }),
        QueueDiscipline::Step(Step { at: bytes(0) }),
        QueueDiscipline::CoDel(codel()),
        QueueDiscipline::FqCoDel(fq_codel()),
        QueueDiscipline::Pie(pie()),
        QueueDiscipline::DualPi2(dualpi2()),
    ] {
        assert_eq!(expressible(&discipline), Ok(()));
    }
}
