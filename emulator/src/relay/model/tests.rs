use longhaul_topologies::model::{
    CoDel, DelayTrace, Direction, DualPi2, FqCoDel, Jitter, JitterDistribution, JitterShape,
    LinkId, Loss, PacketOrder, Pie, QueueDiscipline, QueueLimit, RateStep, RateTrace, Red,
    Reordering, Signal, Step,
};
use longhaul_topologies::units::{ByteSize, Probability, Rate};
use proptest::prelude::*;

use super::super::propagation::PacketState;
use super::super::queue::Ecn;
use super::*;
use crate::plan::ChannelId;

const MILLISECOND: Duration = Duration::from_millis(1);
/// A wire packet: packet, segment.
type Wire = (u32, u32);

fn channel(rate: Option<u64>, limit: Option<QueueLimit>, delay: Duration) -> Channel {
    Channel {
        rate: rate.map(Rate::from_bits_per_second),
        delay,
        queue_limit: limit,
        ..Channel::of_delay(Duration::ZERO)
    }
}

fn model(channel: &Channel) -> ChannelModel<u32> {
    let id = ChannelId {
        link: LinkId(0),
        lane: 0,
        direction: Direction::Forward,
    };
    ChannelModel::new(channel, Streams::new(1, id))
}

fn offer(model: &mut ChannelModel<u32>, now: Time, packet: u32, shape: PacketShape) {
    offer_as(model, now, packet, shape, 0);
}

/// Of one of 20 kinds of ECN field and flow.
fn offer_as(model: &mut ChannelModel<u32>, now: Time, packet: u32, shape: PacketShape, kind: u32) {
    let ecn = [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce][kind as usize % 4];
    let traffic = Traffic {
        shape,
        ecn,
        flow: kind % 5,
    };
    model.offer(&Arrival::whole(now, &packet, traffic));
}

fn at(nanoseconds: u64) -> Time {
    Time::from_nanos(nanoseconds)
}

fn bytes(limit: u64) -> Option<QueueLimit> {
    Some(QueueLimit::Bytes(ByteSize::from_bytes(limit)))
}

fn chance(fraction: f64) -> Probability {
    Probability::new(fraction).expect("a probability")
}

fn shape(segments: u32) -> PacketShape {
    PacketShape {
        segments,
        full: 1514,
        last: 1514,
    }
}

/// Everything that comes out, polled as a driver does: exactly when the model asks for it.
fn drain(model: &mut ChannelModel<u32>) -> Vec<Delivery<u32>> {
    let mut out = Vec::new();
    while let Some(now) = model.next_event() {
        let before = out.len();
        while let Some(delivery) = model.poll(now, now) {
            assert_eq!(delivery.release, now, "released when it was due");
            out.push(delivery);
        }
        assert!(
            out.len() > before || model.next_event() > Some(now),
            "the model asks for the same instant again"
        );
    }
    out
}

fn wires(deliveries: &[Delivery<u32>]) -> Vec<(Wire, PacketState)> {
    let of = |delivery: &Delivery<u32>| {
        let (packet, state) = (delivery.packet, delivery.state);
        delivery
            .segments
            .clone()
            .map(move |segment| ((packet, segment), state))
    };
    deliveries.iter().flat_map(of).collect()
}

/// Settings of a link as large as their units go.
const ABSURD: [&str; 38] = [
    "delay: 18446744073709551615s",
    "rtt: 18446744073709551615s",
    "delay: 18446744073709551615s, rate: 1kbit",
    "delay: 1ms, rate: 18446744Tbit",
    "delay: 1ms, rate: 1kbit, queue: 16777215TiB",
    "delay: 1ms, rate: 400Gbit, queue: 16777215TiB",
    "delay: 1ms, rate: 1kbit, queue: 4294967295p",
    "delay: 1ms, rate: 1kbit, queue: 18446744073709551615s",
    "delay: 10s, rate: 400Gbit, queue: 99999999999999999999bdp",
    "delay: 1ms, rate: 1kbit, queue: {codel: {target: 18446744073709551615s}}",
    "delay: 1ms, rate: 1kbit, queue: {codel: {target: 1ns, interval: 18446744073709551615s}}",
    "delay: 1ms, rate: 1kbit, queue: {codel: {target: 1ns, interval: 1ns}}",
    "delay: 1ms, rate: 1kbit, queue: {fq_codel: {quantum: 16777215TiB, interval: 18446744073709551615s}}",
    "delay: 1ms, rate: 1kbit, queue: {limit: 16777215TiB, pie: {target: 18446744073709551615s, alpha: 1000, beta: 1000}}",
    "delay: 1ms, rate: 1kbit, queue: {limit: 16777215TiB, pie: {update: 18446744073709551615s, burst: 18446744073709551615s}}",
    "delay: 1ms, rate: 1kbit, queue: {limit: 16777215TiB, pie: {target: 1ns, burst: 0s, alpha: 1000, beta: 1000}}",
    "delay: 1ms, rate: 1kbit, queue: {limit: 16777215TiB, dualpi2: {target: 18446744073709551615s, alpha: 1000}}",
    "delay: 1ms, rate: 1kbit, queue: {limit: 16777215TiB, dualpi2: {update: 18446744073709551615s, step: 18446744073709551615s}}",
    "delay: 1ms, rate: 1kbit, queue: {limit: 16777215TiB, dualpi2: {target: 1ns, coupling: 1000, beta: 1000}}",
    "delay: 1ms, rate: 1kbit, queue: {limit: 16777215TiB, red: {min: 16777214TiB, max: 16777215TiB, weight: 0.000001}}",
    "delay: 1ms, rate: 1kbit, queue: {limit: 16777215TiB, red: {min: 1p, max: 4294967295p}}",
    "delay: 1ms, rate: 1kbit, queue: {limit: 16777215TiB, red: {min: 18446744073709551615s, max: 18446744073709551615s}}",
    "delay: 1ms, rate: 1kbit, queue: {limit: 16777215TiB, step: {at: 18446744073709551615s}}",
    "delay: 1ms, jitter: 18446744073709551615s",
    "delay: 10s, jitter: {deviation: 5.7s, distribution: uniform}",
    "delay: 10s, jitter: {deviation: 12s, distribution: pareto, order: by-delay}",
    "delay: 10s, jitter: {samples: [0s, 18446744073709551615s]}",
    "delay: 10s, jitter: {deviation: 10s, samples: [0s, 18446744073709551615s]}",
    "delay: 10s, jitter: {samples: [18446744073709551614s, 18446744073709551615s]}",
    "delay: 0s, jitter: {points: [{at: 0s, delay: 10s}, {at: 31622400s, delay: 0s}]}",
    "delay: 0s, jitter: {points: [{at: 0s, delay: 10s}, {at: 18446744073709551615s, delay: 0s}]}",
    "delay: 0s, jitter: {points: [{at: 0s, delay: 18446744073709551615s}, {at: 1ns, delay: 0s}]}",
    "delay: 1ms, rate: {steps: [{at: 0s, rate: 400Gbit}], period: 31622400s}",
    "delay: 1ms, rate: {steps: [{at: 0s, rate: 18446744Tbit}, {at: 1ns}], period: 31622400s}",
    "delay: 1ms, rate: {steps: [{at: 0s, rate: 400Gbit}, {at: 18446744073709551614s}], period: 18446744073709551615s}",
    "delay: 10s, loss: {packets: [1, 18446744073709551615]}",
    "delay: 10s, reordering: {chance: 99.99%, depth: 1000}, rate: 1kbit",
    "delay: 1ms, schedule: [{at: 604800s, delay: 10s}, {at: 1s, for: 18446744073709551614s, delay: 2ms}]",
];

/// What validation lets through has to be carried; here a panic is the fault.
#[test]
fn settings_as_large_as_their_units_go_are_refused_or_carried() {
    let mut carried = 0;
    for settings in ABSURD {
        let text = format!(
            "{{name: lab, sites: [{{name: a}}, {{name: b}}], links: [{{between: [a, b], {settings}}}]}}"
        );
        let document = longhaul_topologies::Document::from_text("lab.yaml", &text).unwrap();
        let Ok(topology) = longhaul_topologies::validate::topology(&document) else {
            continue;
        };
        carried += 1;
        let plan = crate::plan::LabPlan::new(topology);
        let needed = crate::relay::memory(&plan).total();
        assert!(needed.bytes() > 0, "{settings}");
        let link = &plan.topology.links[0];
        let channel = &link.lanes[0].forward;
        let _ = channel.describe();
        let _ = crate::tc::delay_line::delay_line(channel, 1);
        let mut model = model(channel);
        // As late as a machine that has been up for thirty years, and its link idle for ten.
        for begin in [0, 20, 30].map(|years| years * 31_622_400_000_000_000) {
            for packet in 0..100 {
                let now = at(begin + u64::from(packet) * 1_000_000);
                offer_as(&mut model, now, packet, shape(1 + packet % 3), packet);
                while model.poll(now, now).is_some() {}
            }
            let now = at(begin + 1_000_000_000);
            model.set(now, channel);
            model.begin(now);
            let _ = (model.queue(now), model.backlog(now));
        }
        for _ in 0..1000 {
            let Some(now) = model.next_event() else {
                break;
            };
            while model.poll(now, now).is_some() {}
        }
    }
    assert!(carried > 10, "{carried}");
}

fn jittery(order: PacketOrder) -> Channel {
    let jitter = Jitter {
        deviation: MILLISECOND,
        shape: JitterShape::Distribution(JitterDistribution::Normal),
        order,
    };
    Channel {
        jitter: Some(jitter),
        ..channel(Some(100_000_000), None, 5 * MILLISECOND)
    }
}

#[test]
fn without_a_rate_a_packet_takes_exactly_the_delay_and_stays_whole() {
    let mut model = model(&channel(None, None, 40 * MILLISECOND));
    offer(&mut model, at(123), 9, shape(45));
    assert_eq!(model.queue(at(123)), Depth::default());
    let expected = Delivery {
        release: at(40_000_123),
        packet: 9,
        segments: 0..45,
        bytes: 45 * 1514,
        state: PacketState::Intact,
        marking: Marking::Unmarked,
        stamp: Stamp {
            at: at(123),
            queue: Depth::default(),
            sent: 45 * 1514,
        },
    };
    assert_eq!(model.poll(at(40_000_122), at(40_000_122)), None);
    assert_eq!(drain(&mut model), [expected]);
}

#[test]
fn a_super_packet_leaves_in_bursts_of_link_time() {
    let mut model = model(&channel(Some(1_000_000_000), None, MILLISECOND));
    offer(&mut model, at(0), 1, shape(45));
    let out = drain(&mut model);
    // 1514 bytes take 12.112 µs; 20 of them fit into 250 µs.
    let runs: Vec<_> = out
        .iter()
        .map(|run| (run.segments.clone(), run.release.as_nanos()))
        .collect();
    let expected = [(0..20, 1_242_240), (20..40, 1_484_480), (40..45, 1_545_040)];
    assert_eq!(runs, expected);
}

#[test]
fn the_queue_takes_exactly_its_limit_beside_the_frame_on_the_line() {
    for (limit, fit) in [
        (bytes(15_140), 10),
        (bytes(15_139), 9),
        (Some(QueueLimit::Packets(7)), 7),
    ] {
        let mut model = model(&channel(Some(1_000_000), limit, MILLISECOND));
        for packet in 0..20 {
            offer(&mut model, at(0), packet, shape(1));
        }
        assert_eq!(
            model.queue(at(0)),
            Depth {
                packets: fit,
                bytes: fit * 1514
            }
        );
        assert_eq!(model.tally().queue_drops, 20 - 1 - fit);
        assert_eq!(drain(&mut model).len() as u64, fit + 1);
    }
}

#[test]
fn the_last_segment_of_a_super_packet_may_fit_where_longer_ones_did_not() {
    let mut model = model(&channel(Some(1_000_000), bytes(1514 + 100), MILLISECOND));
    offer(
        &mut model,
        at(0),
        1,
        PacketShape {
            segments: 5,
            full: 1514,
            last: 60,
        },
    );
    let arrived: Vec<_> = wires(&drain(&mut model))
        .into_iter()
        .map(|((_, segment), _)| segment)
        .collect();
    assert_eq!(arrived, [0, 1, 4]);
    assert_eq!(model.tally().queue_drops, 2);
}

#[test]
fn a_lost_packet_has_used_the_line() {
    let all = Channel {
        loss: Loss::Independent(chance(1.0)),
        ..channel(Some(1_000_000), None, MILLISECOND)
    };
    let mut model = model(&all);
    offer(&mut model, at(0), 1, shape(1));
    model.set(at(1), &channel(Some(1_000_000), None, MILLISECOND));
    offer(&mut model, at(1), 2, shape(1));
    let out = drain(&mut model);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].release, at(2 * 12_112_000 + 1_000_000));
    assert_eq!(model.tally().losses, 1);
}

#[test]
fn a_duplicate_follows_its_original_at_once() {
    let twice = Channel {
        duplication: chance(1.0),
        ..channel(Some(1_000_000_000), None, MILLISECOND)
    };
    let mut model = model(&twice);
    offer(&mut model, at(0), 1, shape(3));
    let order: Vec<_> = wires(&drain(&mut model))
        .into_iter()
        .map(|((_, segment), _)| segment)
        .collect();
    assert_eq!(order, [0, 0, 1, 1, 2, 2]);
}

#[test]
fn a_corrupted_packet_travels_alone() {
    let some = Channel {
        corruption: chance(0.2),
        ..channel(None, None, MILLISECOND)
    };
    let mut model = model(&some);
    for packet in 0..100 {
        offer(&mut model, at(0), packet, shape(40));
    }
    let out = drain(&mut model);
    let corrupted = out
        .iter()
        .filter(|delivery| delivery.state != PacketState::Intact);
    assert!(
        corrupted
            .clone()
            .all(|delivery| delivery.segments.len() == 1)
    );
    let share = corrupted.count() as f64 / 4_000.0;
    assert!(
        (share - 0.2).abs() < 2.576 * (0.2 * 0.8 / 4_000.0_f64).sqrt(),
        "{share}"
    );
    assert_eq!(wires(&out).len(), 4_000);
}

#[test]
fn by_delay_lets_packets_overtake_and_preserved_does_not() {
    let order = |order| {
        let mut model = model(&jittery(order));
        for packet in 0..1_000 {
            offer(
                &mut model,
                at(u64::from(packet) * 200_000),
                packet,
                shape(1),
            );
        }
        wires(&drain(&mut model))
            .into_iter()
            .map(|(wire, _)| wire)
            .collect::<Vec<_>>()
    };
    assert!(order(PacketOrder::Preserved).is_sorted());
    let overtaken = order(PacketOrder::ByDelay);
    assert!(!overtaken.is_sorted());
    assert_eq!(overtaken.len(), 1_000);
}

#[test]
fn a_lane_that_gets_shorter_keeps_the_order() {
    let mut model = model(&channel(None, None, 100 * MILLISECOND));
    offer(&mut model, at(0), 1, shape(1));
    model.set(at(1), &channel(None, None, MILLISECOND));
    offer(&mut model, at(2), 2, shape(1));
    let releases: Vec<_> = drain(&mut model)
        .iter()
        .map(|d| (d.packet, d.release.as_nanos()))
        .collect();
    assert_eq!(releases, [(1, 100_000_000), (2, 100_000_000)]);
}

#[test]
fn a_new_rate_counts_from_the_frame_after_the_one_on_the_line() {
    let mut model = model(&channel(Some(1_000_000), None, Duration::ZERO));
    for packet in 0..3 {
        offer(&mut model, at(0), packet, shape(1));
    }
    model.set(at(5), &channel(Some(10_000_000), None, Duration::ZERO));
    assert_eq!(model.queue(at(5)).packets, 2);
    let releases: Vec<_> = drain(&mut model)
        .iter()
        .map(|d| d.release.as_nanos())
        .collect();
    assert_eq!(releases, [12_112_000, 13_323_200, 14_534_400]);
}

#[test]
fn lifting_the_rate_empties_the_queue() {
    let mut model = model(&channel(Some(1_000), None, Duration::ZERO));
    for packet in 0..3 {
        offer(&mut model, at(0), packet, shape(1));
    }
    model.set(at(5), &channel(None, None, Duration::ZERO));
    assert_eq!(model.queue(at(5)), Depth::default());
    assert_eq!(wires(&drain(&mut model)).len(), 3);
}

#[test]
fn an_unlimited_channel_holds_a_bounded_amount() {
    let mut model = model(&channel(None, None, 1_000 * MILLISECOND));
    let packets = 3 * UNLIMITED_IN_FLIGHT / (45 * 1514);
    for packet in 0..packets {
        offer(&mut model, at(packet), packet as u32, shape(45));
    }
    let overflow = model.tally().overflow;
    let delivered = wires(&drain(&mut model)).len() as u64;
    assert!(overflow > 0);
    assert_eq!(delivered + overflow, packets * 45);
    assert!(delivered * 1514 <= UNLIMITED_IN_FLIGHT);
    // And recovers.
    offer(&mut model, at(u64::MAX / 2), 0, shape(1));
    assert_eq!(drain(&mut model).len(), 1);
}

fn any_channel() -> impl Strategy<Value = Channel> {
    let rate = prop::option::of(1_000_000u64..10_000_000_000);
    let limit = prop_oneof![
        Just(None),
        (0u64..200_000).prop_map(bytes),
        (0u32..100).prop_map(|packets| Some(QueueLimit::Packets(packets)))
    ];
    let jitter =
        prop::option::of(
            (0u64..3_000, any::<bool>()).prop_map(|(deviation, keep)| Jitter {
                deviation: Duration::from_micros(deviation),
                shape: JitterShape::Distribution(JitterDistribution::ParetoNormal),
                order: if keep {
                    PacketOrder::Preserved
                } else {
                    PacketOrder::ByDelay
                },
            }),
        );
    let loss = prop_oneof![
        Just(Loss::None),
        (0.0..0.5).prop_map(|share| Loss::Independent(chance(share))),
        (0.0..0.3, 0.1..1.0).prop_map(|(to_bad, to_good)| Loss::GilbertElliott {
            to_bad: chance(to_bad),
            to_good: chance(to_good),
            loss_in_bad: chance(0.9),
            loss_in_good: chance(0.01),
        })
    ];
    let reordering = prop::option::of((0.0..0.3, 1u32..8).prop_map(|(share, depth)| Reordering {
        chance: chance(share),
        depth,
    }));
    let trace = prop::option::of(prop::collection::vec(
        prop_oneof![Just(0), 1_000_000u64..1_000_000_000],
        1..6,
    ));
    let bottleneck = (rate, trace, limit, any_discipline());
    let impairments = (jitter, loss, 0.0..0.2, 0.0..0.2, reordering);
    (bottleneck, 0u64..20_000, impairments).prop_map(|(bottleneck, delay, impairments)| {
        let (rate, trace, limit, discipline) = bottleneck;
        let (jitter, loss, duplication, corruption, reordering) = impairments;
        Channel {
            rate_trace: rate.and(trace).and_then(|rates| rate_trace(&rates)),
            discipline,
            jitter,
            loss,
            duplication: chance(duplication),
            corruption: chance(corruption),
            reordering,
            ..channel(rate, limit, Duration::from_micros(delay))
        }
    })
}

/// A rate for each 700 µs; `None` if nothing ever passes.
fn rate_trace(rates: &[u64]) -> Option<RateTrace> {
    let each = Duration::from_micros(700);
    let step = |(at, &bits_per_second): (usize, &u64)| RateStep {
        at: each * at as u32,
        bits_per_second,
    };
    RateTrace::new(
        rates.iter().enumerate().map(step).collect(),
        each * rates.len() as u32,
    )
    .ok()
}

fn any_discipline() -> impl Strategy<Value = QueueDiscipline> {
    let codel = CoDel {
        target: Duration::from_micros(500),
        interval: 5 * MILLISECOND,
        signal: Signal::Mark,
    };
    prop_oneof![
        3 => Just(QueueDiscipline::DropTail),
        1 => Just(QueueDiscipline::Red(Red {
            min: QueueLimit::Packets(5),
            max: QueueLimit::Packets(50),
            chance: chance(0.3),
            weight: 0.1,
            signal: Signal::Mark,
        })),
        1 => Just(QueueDiscipline::Step(Step { at: QueueLimit::Packets(10) })),
        1 => Just(QueueDiscipline::CoDel(codel)),
        1 => Just(QueueDiscipline::FqCoDel(FqCoDel {
            codel,
            quantum: ByteSize::from_bytes(1514),
            flows: 64,
        })),
        1 => Just(QueueDiscipline::Pie(Pie {
            target: MILLISECOND,
            update: MILLISECOND,
            burst: MILLISECOND,
            alpha: 0.125,
            beta: 1.25,
            signal: Signal::Mark,
        })),
        1 => Just(QueueDiscipline::DualPi2(DualPi2 {
            target: MILLISECOND,
            update: MILLISECOND,
            alpha: 0.16,
            beta: 3.2,
            coupling: 2.0,
            step: MILLISECOND / 4,
            classic_share: chance(0.1),
        })),
    ]
}

/// Gaps in nanoseconds and shapes.
fn any_traffic() -> impl Strategy<Value = Vec<(u64, PacketShape)>> {
    let packet = (0u64..2_000_000, 1u32..45, 100u32..1514, 60u32..=100);
    let shaped = packet.prop_map(|(gap, segments, full, last)| {
        (
            gap,
            if segments == 1 {
                PacketShape::single(full)
            } else {
                PacketShape {
                    segments,
                    full,
                    last,
                }
            },
        )
    });
    prop::collection::vec(shaped, 1..60)
}

proptest! {
    #[test]
    fn serialisation_is_exact_to_the_byte(
        rate in 1_000_000u64..100_000_000_000,
        lengths in prop::collection::vec(60u32..9_014, 1..100),
    ) {
        let mut model = model(&channel(Some(rate), None, MILLISECOND));
        for (packet, &length) in (0..).zip(&lengths) {
            offer(&mut model, at(77), packet, PacketShape::single(length));
        }
        let mut bits = 0u128;
        for (delivery, &length) in drain(&mut model).iter().zip(&lengths) {
            bits += u128::from(length) * 8;
            let exact = 77 + 1_000_000 + (bits * 1_000_000_000).div_ceil(u128::from(rate));
            prop_assert_eq!(u128::from(delivery.release.as_nanos()), exact);
        }
    }

    #[test]
    fn the_depth_at_any_time_is_what_has_not_begun_to_leave(
        rate in 1_000_000u64..10_000_000_000,
        segments in 1u32..45,
        now in 0u64..1_000_000_000,
    ) {
        let mut model = model(&channel(Some(rate), None, MILLISECOND));
        let shape = PacketShape { segments, full: 1514, last: 200 };
        offer(&mut model, at(0), 1, shape);
        let begun = |segment: u32| u128::from(now) * u128::from(rate) / 1_000_000_000 >= u128::from(segment) * 1514 * 8;
        let waiting: Vec<u32> = (0..segments).filter(|&segment| !begun(segment)).collect();
        let bytes = waiting.iter().map(|&segment| u64::from(shape.length(segment))).sum();
        prop_assert_eq!(model.queue(at(now)), Depth { packets: waiting.len() as u64, bytes });
    }

    #[test]
    fn every_wire_packet_is_delivered_lost_or_dropped(channel in any_channel(), traffic in any_traffic()) {
        let channel = Channel { duplication: Probability::default(), ..channel };
        let mut model = model(&channel);
        let (mut now, mut offered) = (0, 0);
        for (packet, &(gap, shape)) in (0..).zip(&traffic) {
            now += gap;
            offered += u64::from(shape.segments);
            offer_as(&mut model, at(now), packet, shape, packet);
        }
        // Polled once, long after: time is logical, so nothing changes but when it is seen.
        let late = at(now + 1_000_000_000_000);
        let mut delivered = 0;
        while let Some(delivery) = model.poll(late, late) {
            delivered += delivery.segments.len() as u64;
            prop_assert!(delivery.release < late);
        }
        let lost = model.tally();
        prop_assert_eq!(offered, delivered + lost.losses + lost.queue_drops + lost.early_drops);
        prop_assert_eq!(model.next_event(), None);
        prop_assert_eq!(model.queue(late), Depth::default());
    }

    #[test]
    fn nothing_is_found_later_that_leaves_before_what_was_handed_over_ahead(channel in any_channel(), traffic in any_traffic()) {
        // As the driver has it: frames are read up to a quarter of the shortest delay late.
        let channel = Channel { reordering: None, ..channel };
        let least = channel.delay_range().0;
        let (ahead, patience) = (least / 2, least / 4);
        let (mut model, mut handed_until) = (model(&channel), Time::default());
        let hand_over = |model: &mut ChannelModel<u32>, by: Option<Time>, handed_until: &mut Time| {
            while let Some(event) = model.next_event().filter(|&event| by.is_none_or(|by| event <= by)) {
                let until = event + ahead;
                while let Some(delivery) = model.poll(event, until) {
                    prop_assert!(delivery.release >= *handed_until, "{delivery:?} after {handed_until:?}");
                    prop_assert!(delivery.release <= until);
                }
                *handed_until = until;
            }
            Ok(())
        };
        let mut now = 0;
        for (packet, &(gap, shape)) in (0..).zip(&traffic) {
            now += gap;
            hand_over(&mut model, Some(at(now) + patience), &mut handed_until)?;
            offer_as(&mut model, at(now), packet, shape, packet);
        }
        hand_over(&mut model, None, &mut handed_until)?;
    }

    #[test]
    fn what_happens_does_not_depend_on_when_it_is_looked_at(channel in any_channel(), traffic in any_traffic()) {
        let run = |punctual: bool| {
            let mut model = model(&channel);
            let (mut now, mut out) = (0, Vec::new());
            for (packet, &(gap, shape)) in (0..).zip(&traffic) {
                now += gap;
                while let Some(event) = model.next_event().filter(|&event| punctual && event <= at(now)) {
                    while let Some(delivery) = model.poll(event, event) {
                        out.push(delivery);
                    }
                }
                offer_as(&mut model, at(now), packet, shape, packet);
            }
            while let Some(delivery) = model.poll(at(now + 1_000_000_000_000), at(now + 1_000_000_000_000)) {
                out.push(delivery);
            }
            (out, model.tally())
        };
        let ((punctual, tally), (late, late_tally)) = (run(true), run(false));
        prop_assert_eq!(tally, late_tally);
        if matches!(channel.discipline, QueueDiscipline::DropTail) {
            prop_assert_eq!(punctual, late);
            return Ok(());
        }
        // What left the queue packet by packet may arrive in more pieces if each is looked at as it comes.
        let fates = |deliveries: &[Delivery<u32>]| -> Vec<_> {
            let of = |delivery: &Delivery<u32>| {
                let Delivery { packet, state, marking, release, .. } = *delivery;
                delivery.segments.clone().map(move |segment| ((packet, segment), state, marking, release))
            };
            deliveries.iter().flat_map(of).collect()
        };
        let (mut punctual, mut late) = (fates(&punctual), fates(&late));
        for fates in [&mut punctual, &mut late] {
            fates.sort_by_key(|&(wire, .., release)| (wire, release));
        }
        prop_assert_eq!(punctual.len(), late.len());
        for (a, b) in punctual.into_iter().zip(late) {
            prop_assert_eq!((a.0, a.1, a.2), (b.0, b.1, b.2));
            let (early, late) = (a.3.min(b.3), a.3.max(b.3));
            prop_assert!(late.since(early) <= BURST);
        }
    }

    #[test]
    fn offload_does_not_change_the_fate_of_wire_packets(channel in any_channel(), traffic in any_traffic()) {
        // What overflows FQ-CoDel is shed at the head, where of a whole super-packet the first wire packet still stands.
        let limit = channel.queue_limit.filter(|_| !matches!(channel.discipline, QueueDiscipline::FqCoDel(_)));
        let channel = Channel { queue_limit: limit, ..channel };
        let fates = |grouped: bool| {
            let mut model = model(&channel);
            let mut now = 0;
            for (packet, &(gap, shape)) in (0..).zip(&traffic) {
                now += gap;
                if grouped {
                    offer_as(&mut model, at(now), packet, shape, packet);
                } else {
                    for segment in 0..shape.segments {
                        let single = PacketShape::single(shape.length(segment));
                        offer_as(&mut model, at(now), packet * 100 + segment, single, packet);
                    }
                }
            }
            let mut out = Vec::new();
            while let Some(delivery) = model.poll(at(now + 1_000_000_000_000), at(now + 1_000_000_000_000)) {
                let number = |segment| if grouped { delivery.packet * 100 + segment } else { delivery.packet };
                out.extend(delivery.segments.clone().map(|segment| (number(segment), (delivery.state, delivery.marking), delivery.release)));
            }
            out.sort_by_key(|&(number, _, release)| (number, release));
            (out, model.tally())
        };
        let ((grouped, lost), (single, lost_singly)) = (fates(true), fates(false));
        prop_assert_eq!(lost, lost_singly);
        prop_assert_eq!(grouped.len(), single.len());
        for ((number, state, release), (expected, expected_state, earliest)) in grouped.into_iter().zip(single) {
            prop_assert_eq!((number, state), (expected, expected_state));
            prop_assert!(release >= earliest && release.since(earliest) <= BURST);
        }
    }
}

#[test]
fn a_packet_that_is_read_late_leaves_as_if_it_had_been_read_in_time() {
    let mut model = model(&channel(Some(1_000_000_000), None, MILLISECOND));
    offer(&mut model, at(0), 1, shape(1));
    assert_eq!(model.poll(at(900_000), at(900_000)), None);
    offer(&mut model, at(5_000), 2, shape(1));
    offer(&mut model, at(500_000), 3, shape(1));
    let releases: Vec<_> = drain(&mut model)
        .iter()
        .map(|d| d.release.as_nanos())
        .collect();
    assert_eq!(releases, [1_012_112, 1_024_224, 1_512_112]);
}

#[test]
fn a_packet_that_is_struck_is_overtaken_by_just_so_many() {
    let deep = Channel {
        reordering: Some(Reordering {
            chance: chance(0.02),
            depth: 3,
        }),
        ..channel(Some(100_000_000), None, 10 * MILLISECOND)
    };
    let mut model = model(&deep);
    for packet in 0..5_000 {
        offer(&mut model, at(0), packet, shape(1));
    }
    let order: Vec<u32> = drain(&mut model).iter().map(|d| d.packet).collect();
    assert_eq!(order.len(), 5_000);
    // RFC 4737 section 4.2.1: a packet's extent is how far before it the first stands that was sent later.
    let mut struck = 0;
    for (place, packet) in order.iter().enumerate() {
        let first_later = order[..place].iter().position(|earlier| earlier > packet);
        if let Some(first_later) = first_later {
            struck += 1;
            // Others that were struck among those that overtake do not count as overtaking.
            let by = order[first_later..place]
                .iter()
                .filter(|other| *other > packet);
            assert_eq!(by.count(), 3, "packet {packet} at {place}");
        }
    }
    assert!((60..=140).contains(&struck), "{struck} of about 100");
}

#[test]
fn a_duplicate_of_a_packet_that_is_overtaken_follows_it_all_the_same() {
    let both = Channel {
        duplication: chance(1.0),
        reordering: Some(Reordering {
            chance: chance(0.5),
            depth: 1,
        }),
        ..channel(Some(100_000_000), None, 10 * MILLISECOND)
    };
    let mut model = model(&both);
    for packet in 0..100 {
        offer(&mut model, at(0), packet, shape(1));
    }
    let order: Vec<u32> = drain(&mut model).iter().map(|d| d.packet).collect();
    assert_eq!(order.len(), 200);
    assert!(order.chunks(2).all(|pair| pair[0] == pair[1]), "{order:?}");
}

#[test]
fn a_packet_that_nothing_comes_to_overtake_arrives_all_the_same() {
    let all = Channel {
        reordering: Some(Reordering {
            chance: chance(0.999_999),
            depth: 2,
        }),
        ..channel(None, None, 10 * MILLISECOND)
    };
    let mut model = model(&all);
    offer(&mut model, at(0), 1, shape(1));
    let out = drain(&mut model);
    assert_eq!(out[0].release, at(20_000_000));
}

#[test]
fn a_lane_that_goes_down_loses_what_comes_and_waits_and_not_what_is_under_way() {
    let up = channel(Some(1_000_000), None, 50 * MILLISECOND);
    let down = Channel {
        state: LaneState::Down,
        ..up.clone()
    };
    let mut model = model(&up);
    for packet in 0..4 {
        offer(&mut model, at(0), packet, shape(1));
    }
    // The first has left, the second is leaving.
    model.set(at(13_000_000), &down);
    offer(&mut model, at(14_000_000), 9, shape(45));
    assert_eq!(model.tally().outage, 2 + 45);
    assert_eq!(model.queue(at(14_000_000)), Depth::default());
    model.set(at(100_000_000), &up);
    offer(&mut model, at(100_000_000), 10, shape(1));
    let arrived: Vec<u32> = drain(&mut model).iter().map(|d| d.packet).collect();
    assert_eq!(arrived, [0, 1, 10]);
}

#[test]
fn a_rate_that_is_zero_for_a_while_holds_packets_up_and_loses_none() {
    let gap = Channel {
        rate_trace: rate_trace(&[12_112_000, 0, 0]),
        ..channel(Some(4_000_000), None, MILLISECOND)
    };
    let mut model = model(&gap);
    model.begin(at(0));
    for packet in 0..2 {
        offer(&mut model, at(0), packet, PacketShape::single(1_000));
    }
    let releases: Vec<u64> = drain(&mut model)
        .iter()
        .map(|d| d.release.as_nanos())
        .collect();
    // 8000 bits take 660.5 µs, 16000 bits 1321.004 µs, of which the gap of 1400 µs begins after 700.
    assert_eq!(releases, [1_660_502, 3_721_004]);
}

#[test]
fn marks_of_a_step_travel_with_the_wire_packets_they_are_for() {
    let step = Channel {
        discipline: QueueDiscipline::Step(Step {
            at: QueueLimit::Packets(10),
        }),
        ..channel(Some(1_000_000_000), None, MILLISECOND)
    };
    let mut model = model(&step);
    offer_as(&mut model, at(0), 1, shape(45), 1);
    let out = drain(&mut model);
    let marked: Vec<u32> = out
        .iter()
        .filter(|delivery| delivery.marking == Marking::Marked)
        .flat_map(|delivery| delivery.segments.clone())
        .collect();
    // The first goes to the line at once, so the twelfth is the first that finds more than ten.
    assert_eq!(marked, (12..45).collect::<Vec<_>>());
    assert_eq!(model.tally().marks, 33);
}

#[test]
fn what_leaves_the_queue_packet_by_packet_arrives_in_bursts() {
    let codel = Channel {
        discipline: QueueDiscipline::CoDel(CoDel {
            target: 50 * MILLISECOND,
            interval: 100 * MILLISECOND,
            signal: Signal::Mark,
        }),
        ..channel(Some(1_000_000_000), None, MILLISECOND)
    };
    let mut model = model(&codel);
    offer(&mut model, at(0), 1, shape(45));
    let runs: Vec<_> = drain(&mut model)
        .iter()
        .map(|d| d.segments.clone())
        .collect();
    assert_eq!(runs, [0..20, 20..40, 40..45]);
}

#[test]
fn stamps_tell_what_waited_and_what_was_sent() {
    let mut model = model(&channel(Some(1_000_000), None, MILLISECOND));
    for packet in 0..3 {
        offer(&mut model, at(5), packet, shape(1));
    }
    let stamps: Vec<Stamp> = drain(&mut model).iter().map(|d| d.stamp).collect();
    let stamp = |number: u64| Stamp {
        at: at(5 + number * 12_112_000),
        // The first left before the others came.
        queue: match number {
            1 => Depth {
                packets: 1,
                bytes: 1514,
            },
            _ => Depth::default(),
        },
        sent: (number + 1) * 1514,
    };
    assert_eq!(stamps, [stamp(0), stamp(1), stamp(2)]);
}

#[test]
fn a_change_beside_a_trace_lets_it_go_on_and_another_trace_begins() {
    let rising = |most: u32| {
        let points = vec![
            (Duration::ZERO, Duration::ZERO),
            (100 * MILLISECOND, most * MILLISECOND),
        ];
        let trace = DelayTrace::new(points).unwrap();
        Jitter {
            deviation: trace.moments().1,
            shape: JitterShape::Trace(trace),
            order: PacketOrder::Preserved,
        }
    };
    let base = Channel {
        jitter: Some(rising(100)),
        ..channel(None, None, MILLISECOND)
    };
    let ms = |ms: u64| at(ms * 1_000_000);
    let took = |model: &mut ChannelModel<u32>, now: u64| {
        offer(model, ms(now), 0, shape(1));
        drain(model)[0].release.since(ms(now))
    };
    let mut model = model(&base);
    model.begin(ms(1000));
    let lossy = Channel {
        loss: Loss::Packets([999].into()),
        ..base.clone()
    };
    model.set(ms(1050), &lossy);
    assert_eq!(took(&mut model, 1060), 61 * MILLISECOND);
    let other = Channel {
        jitter: Some(rising(50)),
        ..base
    };
    model.set(ms(1160), &other);
    assert_eq!(took(&mut model, 1180), 11 * MILLISECOND);
    model.begin(ms(1240));
    assert_eq!(took(&mut model, 1260), 11 * MILLISECOND);
}

#[test]
fn a_change_beside_a_trace_of_rates_lets_it_go_on() {
    // Every 2.1 ms a packet passes in the first 700 µs.
    let base = Channel {
        rate_trace: rate_trace(&[17_302_858, 0, 0]),
        ..channel(Some(5_767_619), None, MILLISECOND)
    };
    let mut model = model(&base);
    let longer = Channel {
        delay: 2 * MILLISECOND,
        ..base
    };
    let now = at(1_000_000);
    model.set(now, &longer);
    offer(&mut model, now, 0, shape(1));
    // In the second period, which begins at 2.1 ms.
    let release = drain(&mut model)[0].release;
    assert!(
        (at(4_799_000)..=at(4_801_000)).contains(&release),
        "{release:?}"
    );
}
