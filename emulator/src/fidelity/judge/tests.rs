use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use longhaul_topologies::model::{
    Channel, DelayTrace, Jitter, JitterDistribution, JitterTable, Loss, QueueDiscipline,
    QueueLimit, RateStep, RateTrace, Reordering, Step,
};
use longhaul_topologies::units::{ByteSize, Probability, Rate};
use proptest::prelude::*;

use super::super::subject::{EVERYTHING, Subject};
use super::super::train::tests::train;
use super::super::{Fidelity, FidelityCheck, ideal};
use super::loss::{binomial_interval, mean_loss};
use super::*;
use crate::probe::End;

const MS: Duration = Duration::from_millis(1);
const PROBES: Probes = Probes {
    interval: Duration::from_millis(4),
    frame: 66,
};
const NAME: &str = "virginia>dublin lane 0";

/// Judged in everything. Its ends lead nowhere.
pub(in super::super) fn subject(channel: Channel) -> Subject<'static> {
    static NOWHERE: std::sync::OnceLock<std::fs::File> = std::sync::OnceLock::new();
    let nowhere = NOWHERE.get_or_init(|| std::fs::File::open("/dev/null").unwrap());
    let end = |name| End {
        name,
        net: nowhere.as_fd(),
        address: Ipv4Addr::LOCALHOST.into(),
    };
    Subject {
        from: end("virginia-gw"),
        to: end("dublin-gw"),
        expected: expected(channel),
    }
}

/// Judged in everything.
fn expected(channel: Channel) -> Expected {
    Expected {
        name: NAME.to_owned(),
        channel,
        judged: EVERYTHING.into_iter().collect(),
        mtu: 1500,
        shaper: Shaper::Line,
    }
}

fn channel(delay_ms: u64) -> Channel {
    Channel::of_delay(Duration::from_millis(delay_ms))
}

fn share(share: f64) -> Probability {
    Probability::new(share).unwrap()
}

fn independent(chance: f64) -> Loss {
    Loss::Independent(share(chance))
}

fn jitter(deviation: Duration, distribution: JitterDistribution, order: PacketOrder) -> Jitter {
    Jitter {
        deviation,
        shape: JitterShape::Distribution(distribution),
        order,
    }
}

/// Probes 4 ms apart with these delays, in microseconds.
fn observed(delays_us: impl IntoIterator<Item = Option<u64>>) -> Observed {
    let sample = |(number, delay): (u32, Option<u64>)| ProbeSample {
        path: 0,
        sent: 4 * MS * number,
        delay: delay.map(Duration::from_micros),
        extent: 0,
        copies: u32::from(delay.is_some()),
        corrupted: false,
    };
    let samples: Vec<ProbeSample> = (0..).zip(delays_us).map(sample).collect();
    Observed {
        interval: 4 * MS,
        frame: 66,
        headers: 42,
        clocks: Duration::ZERO,
        lasted: 4 * MS * samples.len() as u32,
        samples,
        train: Err("it is unlimited".to_owned()),
        flood: Err("without a rate nothing queues".to_owned()),
    }
}

/// Probes that a jitter of `shape` gave, 40 ms added.
fn drawn(jitter: &Jitter) -> Observed {
    let jittered = Channel {
        jitter: Some(jitter.clone()),
        ..channel(0)
    };
    let delays = ideal::in_order(&jittered, PROBES, 1500);
    observed(
        delays
            .into_iter()
            .map(|delay| Some((40_000.0 + delay) as u64)),
    )
}

fn found(channel: &Channel, observed: &Observed) -> Found {
    judge(&expected(channel.clone()), observed, 1, Depth::Full)
}

fn judged(channel: &Channel, observed: &Observed, quantity: Quantity) -> FidelityCheck {
    let found = found(channel, observed);
    let mut measurements = found.measurements.iter();
    let measurement = measurements.find(|measurement| measurement.quantity == quantity);
    let check = measurement.and_then(Measurement::check);
    check.unwrap_or_else(|| panic!("no check of {quantity}: {:?}", found.skipped))
}

#[test]
fn a_delay_within_one_percent_is_faithful_and_its_late_tail_does_not_matter() {
    let tail = |index| if index % 50 == 0 { 9000 } else { 300 };
    let seen = observed((0..200).map(|index| Some(40_000 + tail(index))));
    assert!(judged(&channel(40), &seen, Quantity::Delay).within);
    assert!(judged(&channel(40), &seen, Quantity::Jitter).within);
    let late = judged(&channel(41), &seen, Quantity::Delay);
    assert_eq!(
        (late.within, late.asked, late.measured),
        (false, 41_000.0, 40_300.0)
    );
}

#[test]
fn a_slow_channel_s_own_serialisation_is_part_of_its_delay() {
    let slow = Channel {
        rate: Some(Rate::from_bits_per_second(64_000)),
        ..channel(40)
    };
    let seen = observed((0..200).map(|_| Some(48_250)));
    assert!(judged(&slow, &seen, Quantity::Delay).within);
}

#[test]
fn one_lost_probe_is_off_on_a_link_without_loss_and_fine_on_one_with() {
    let seen = observed((0..200).map(|index| (index != 7).then_some(40_000)));
    assert!(!judged(&channel(40), &seen, Quantity::Loss).within);
    let lossy = Channel {
        loss: independent(0.01),
        ..channel(40)
    };
    assert!(judged(&lossy, &seen, Quantity::Loss).within);
    let none = Channel {
        loss: independent(0.2),
        ..channel(40)
    };
    assert!(!judged(&none, &seen, Quantity::Loss).within);
}

#[test]
fn jitter_is_held_against_its_deviation() {
    let jittery = |order| Channel {
        jitter: Some(jitter(5 * MS, JitterDistribution::Uniform, order)),
        ..channel(40)
    };
    for order in [PacketOrder::ByDelay, PacketOrder::Preserved] {
        let asked = jittery(order);
        let seen = drawn(asked.jitter.as_ref().unwrap());
        let check = judged(&asked, &seen, Quantity::Jitter);
        assert!(
            check.within && check.asked == 5000.0,
            "{order:?}: {check:?}"
        );
        assert!(
            (check.measured - 5000.0).abs() < 500.0,
            "{order:?}: {check:?}"
        );
        assert!(judged(&asked, &seen, Quantity::Delay).within);
        assert!(!judged(&channel(40), &seen, Quantity::Jitter).within);
        let still = observed((0..200).map(|_| Some(40_000)));
        assert!(!judged(&asked, &still, Quantity::Jitter).within);
    }
}

#[test]
fn a_jitter_of_another_shape_is_found_whatever_its_deviation() {
    use JitterDistribution::{Normal, Pareto, ParetoNormal, Uniform};
    for order in [PacketOrder::ByDelay, PacketOrder::Preserved] {
        let seen = |distribution| drawn(&jitter(8 * MS, distribution, order));
        let within = |asked, seen: &Observed| {
            let asked = Channel {
                jitter: Some(jitter(8 * MS, asked, order)),
                ..channel(40)
            };
            judged(&asked, seen, Quantity::Shape).within
        };
        for shape in [Normal, Uniform, Pareto, ParetoNormal] {
            assert!(within(shape, &seen(shape)), "{shape:?} {order:?}");
        }
        for (asked, other) in [(Normal, Pareto), (Pareto, Uniform), (Uniform, ParetoNormal)] {
            assert!(
                !within(asked, &seen(other)),
                "{other:?} for {asked:?}, {order:?}"
            );
        }
    }
}

#[test]
fn a_jitter_that_wake_ups_drown_has_no_shape() {
    let asked = Channel {
        jitter: Some(jitter(
            MS / 10,
            JitterDistribution::Normal,
            PacketOrder::Preserved,
        )),
        ..channel(40)
    };
    let found = found(&asked, &observed((0..200).map(|_| Some(40_000))));
    assert_eq!(
        found.skipped[0],
        "virginia>dublin lane 0: the jitter's shape, as a deviation of 100 us drowns in this machine's wake-ups"
    );
}

#[test]
fn a_trace_of_delays_is_judged_over_whole_periods_or_not_at_all() {
    let points = vec![
        (Duration::ZERO, Duration::ZERO),
        (400 * MS, 20 * MS),
        (800 * MS, Duration::ZERO),
    ];
    let trace = DelayTrace::new(points).unwrap();
    let asked = Channel {
        jitter: Some(Jitter {
            deviation: trace.moments().1,
            shape: JitterShape::Trace(trace),
            order: PacketOrder::Preserved,
        }),
        ..channel(40)
    };
    let seen = drawn(asked.jitter.as_ref().unwrap());
    let delay = judged(&asked, &seen, Quantity::Delay);
    assert!(delay.within && delay.asked == 50_000.0, "{delay:?}");
    assert!(judged(&asked, &seen, Quantity::Shape).within);
    assert!(!judged(&channel(50), &seen, Quantity::Jitter).within);
    let short = Observed {
        lasted: 700 * MS,
        ..seen
    };
    let found = found(&asked, &short);
    assert!(
        found.skipped[0].contains("repeats after 800ms only"),
        "{:?}",
        found.skipped
    );
}

/// 20 Mbit/s and nothing in turn, so long each.
fn gaps(each: Duration) -> Channel {
    let steps = [(Duration::ZERO, 20_000_000), (each, 0)];
    let steps = steps.map(|(at, bits_per_second)| RateStep {
        at,
        bits_per_second,
    });
    let trace = RateTrace::new(steps.into(), 2 * each).unwrap();
    Channel {
        rate: trace.mean(),
        rate_trace: Some(trace),
        ..channel(40)
    }
}

#[test]
fn what_probes_wait_in_the_gaps_of_a_rate_is_neither_delay_nor_jitter() {
    let normal = jitter(5 * MS, JitterDistribution::Normal, PacketOrder::Preserved);
    let jittered = Channel {
        jitter: Some(normal),
        ..gaps(100 * MS)
    };
    for asked in [gaps(100 * MS), jittered] {
        let waits = ideal::in_order(&asked, PROBES, 1500);
        let seen = |more: f64| {
            let delay = |wait: &f64| Some((40_000.0 + more + wait) as u64);
            observed(waits.iter().map(delay))
        };
        for quantity in [Quantity::Delay, Quantity::Jitter] {
            let check = judged(&asked, &seen(0.0), quantity);
            assert!(check.within, "{check:?}");
        }
        assert_eq!(judged(&asked, &seen(0.0), Quantity::Delay).asked, 40_000.0);
        let still = observed((0..1500).map(|_| Some(40_000)));
        assert!(!judged(&asked, &still, Quantity::Jitter).within);
        assert!(!judged(&asked, &seen(40_000.0), Quantity::Delay).within);
    }
}

#[test]
fn probes_that_a_gap_may_keep_too_long_say_nothing_of_delay_and_loss() {
    let seen = observed((0..200).map(|index| (index < 100).then_some(40_000)));
    let found = found(&gaps(3000 * MS), &seen);
    assert_eq!(
        found.skipped[..2],
        [
            "virginia>dublin lane 0: delay and jitter, as nothing passes for 3s at a time",
            "virginia>dublin lane 0: loss, as nothing passes for 3s at a time"
        ]
    );
}

#[test]
fn a_trace_that_adds_the_same_always_may_not_vary() {
    let trace = DelayTrace::new(vec![(Duration::ZERO, 5 * MS), (100 * MS, 5 * MS)]).unwrap();
    let asked = Channel {
        jitter: Some(Jitter {
            deviation: trace.moments().1,
            shape: JitterShape::Trace(trace),
            order: PacketOrder::Preserved,
        }),
        ..channel(40)
    };
    let seen = |off: u64| observed((0..200).map(|at| Some(45_000 + off * (at % 2))));
    assert!(judged(&asked, &seen(0), Quantity::Jitter).within);
    let off = judged(&asked, &seen(6_000), Quantity::Jitter);
    assert!(!off.within, "{off:?}");
}

#[test]
fn a_table_of_a_few_outliers_has_no_width_and_no_other_may_be_seen() {
    let table = (0..100).map(|at| MS * if at < 93 { 1 } else { 21 });
    let table = JitterTable::new(table.collect()).unwrap();
    let few = Jitter {
        deviation: table.moments().1,
        shape: JitterShape::Table(table),
        order: PacketOrder::ByDelay,
    };
    let wide = jitter(
        few.deviation,
        JitterDistribution::Normal,
        PacketOrder::ByDelay,
    );
    let asked = Channel {
        jitter: Some(few.clone()),
        ..channel(40)
    };
    assert!(judged(&asked, &drawn(&few), Quantity::Jitter).within);
    assert!(!judged(&asked, &drawn(&wide), Quantity::Jitter).within);
    // Wake-ups alone make all of so sharp a shape another: it is not judged.
    let found = found(&asked, &drawn(&wide));
    let is_shape = |one: &Measurement| one.quantity == Quantity::Shape;
    let held = found.measurements.iter().find(|one| is_shape(one));
    assert!(held.is_none(), "{held:?}");
    assert!(
        found.skipped[0].contains("the jitter's shape"),
        "{:?}",
        found.skipped
    );
}

#[test]
fn a_packet_that_overtakes_is_off_only_where_order_is_kept() {
    let mut seen = observed((0..200).map(|_| Some(40_000)));
    seen.samples[7].extent = 1;
    seen.samples[9].extent = 2;
    let check = judged(&channel(40), &seen, Quantity::Reordered);
    assert_eq!((check.within, check.measured), (false, 2.0));
    let free = Channel {
        jitter: Some(jitter(
            5 * MS,
            JitterDistribution::Normal,
            PacketOrder::ByDelay,
        )),
        ..channel(40)
    };
    let found = found(&free, &seen);
    let told = found
        .measurements
        .iter()
        .find(|one| one.quantity == Quantity::Reordered);
    assert_eq!(
        told.map(|told| (told.asked, told.measured)),
        Some((None, 1.0))
    );
}

#[test]
fn reordering_is_held_against_its_chance_and_its_depth() {
    let reordering = |chance, depth| Channel {
        reordering: Some(Reordering {
            chance: share(chance),
            depth,
        }),
        ..channel(40)
    };
    let mut seen = observed((0..1000).map(|_| Some(40_000)));
    for sample in seen.samples.iter_mut().step_by(20) {
        sample.extent = 3;
        sample.delay = sample.delay.map(|delay| delay + 12 * MS);
    }
    let asked = reordering(0.05, 3);
    for quantity in [Quantity::Reordered, Quantity::Extent, Quantity::Delay] {
        assert!(judged(&asked, &seen, quantity).within, "{quantity}");
    }
    assert!(!judged(&reordering(0.2, 3), &seen, Quantity::Reordered).within);
    assert!(!judged(&reordering(0.05, 7), &seen, Quantity::Extent).within);
}

#[test]
fn duplicates_and_flipped_bits_are_counted_against_what_arrived() {
    let mut seen = observed((0..1000).map(|index| (index % 10 != 0).then_some(40_000)));
    for sample in seen.samples.iter_mut().skip(1).step_by(50) {
        (sample.copies, sample.corrupted) = (2, true);
    }
    let asked = |chance: f64| Channel {
        loss: independent(0.1),
        duplication: share(chance),
        corruption: share(chance),
        ..channel(40)
    };
    for quantity in [Quantity::Duplication, Quantity::Corruption] {
        let check = judged(&asked(0.022), &seen, quantity);
        assert!(
            check.within && (check.measured - 100.0 * 20.0 / 900.0).abs() < 1e-9,
            "{check:?}"
        );
        assert!(!judged(&asked(0.0), &seen, quantity).within);
        assert!(!judged(&asked(0.2), &seen, quantity).within);
    }
}

#[test]
fn nothing_may_arrive_on_a_lane_that_is_down() {
    let down = Channel {
        state: LaneState::Down,
        ..channel(40)
    };
    let silent = found(&down, &observed((0..200).map(|_| None)));
    assert_eq!(silent.measurements.len(), 1);
    assert!(!silent.measurements[0].is_off());
    let one = observed((0..200).map(|index| (index == 3).then_some(40_000)));
    assert!(!judged(&down, &one, Quantity::Arrivals).within);
}

#[test]
fn too_few_arrivals_are_said_and_not_judged() {
    let seen = observed((0..200).map(|index| (index < 5).then_some(40_000)));
    let found = found(&channel(40), &seen);
    assert_eq!(
        found.skipped[0],
        "virginia>dublin lane 0: delay and jitter, as 5 of 200 probes arrived"
    );
    assert!(
        found
            .measurements
            .iter()
            .all(|one| one.quantity != Quantity::Delay)
    );
}

#[test]
fn what_was_not_asked_is_told_without_a_verdict() {
    let mut open = expected(channel(0));
    open.judged = [Quantity::Loss].into();
    let seen = observed((0..200).map(|_| Some(40_000)));
    let found = judge(&open, &seen, 1, Depth::Full);
    let asked: Vec<Quantity> = found
        .measurements
        .iter()
        .filter(|one| one.asked.is_some())
        .map(|one| one.quantity)
        .collect();
    assert_eq!(asked, [Quantity::Loss]);
    assert_eq!(found.measurements[0].measured, 40_000.0);
}

#[test]
fn bursty_loss_has_a_wider_interval_of_the_same_mean() {
    let bursty = Loss::GilbertElliott {
        to_bad: share(0.01),
        to_good: share(0.19),
        loss_in_bad: share(1.0),
        loss_in_good: share(0.0),
    };
    assert!((mean_loss(&bursty) - 0.05).abs() < 1e-12);
    let seen = observed((0..1000).map(|index| (index % 20 != 0).then_some(40_000)));
    let bound = |loss| {
        let lossy = Channel {
            loss,
            ..channel(40)
        };
        judged(&lossy, &seen, Quantity::Loss).bound
    };
    assert!(bound(bursty) > 2.0 * bound(independent(0.05)));
}

#[test]
fn a_list_of_lost_packets_may_have_struck_probes_or_not() {
    let listed = Channel {
        loss: Loss::Packets([3, 9].into()),
        ..channel(40)
    };
    let lost = |count| observed((0..200).map(move |index| (index >= count).then_some(40_000)));
    assert!(judged(&listed, &lost(0), Quantity::Loss).within);
    assert!(judged(&listed, &lost(2), Quantity::Loss).within);
    assert!(!judged(&listed, &lost(3), Quantity::Loss).within);
    // Three lost in a row, then a thousand that arrive: 200 probes see none or all three.
    let fates: Vec<bool> = (0..1003).map(|index| index < 3).collect();
    let traced = Channel {
        loss: Loss::Trace(fates.into()),
        ..channel(40)
    };
    assert!(judged(&traced, &lost(3), Quantity::Loss).within);
    assert!(!judged(&traced, &lost(9), Quantity::Loss).within);
}

/// 80 Mbit/s and `queue`, seen as it is: a flood of 1500-byte frames at twice the rate waits until `holds` bytes are before it.
fn flooded(holds: f64) -> Observed {
    let mut flood = train(8e7, 3000, 0);
    flood.arrivals = flood
        .arrivals
        .into_iter()
        .filter(|arrival| {
            arrival.number % 2 == 0 || arrival.at < Duration::from_secs_f64(holds * 8.0 / 8e7)
        })
        .map(|mut arrival| {
            let waited = (arrival.number as f64 * 1500.0 / 2.0).min(holds);
            let wait = Duration::from_secs_f64((waited + 1500.0) * 8.0 / 8e7);
            arrival.at = flood.sent[arrival.number] + 40 * MS + wait;
            arrival
        })
        .collect();
    Observed {
        train: Ok(train(8e7, 900, 0)),
        flood: Ok(flood),
        ..observed((0..200).map(|_| Some(40_007)))
    }
}

fn limited(queue: QueueLimit) -> Channel {
    Channel {
        rate: Some(Rate::from_bits_per_second(80_000_000)),
        queue_limit: Some(queue),
        ..channel(40)
    }
}

#[test]
fn a_queue_holds_what_waits_behind_it_says() {
    let bytes = |bytes| limited(QueueLimit::Bytes(ByteSize::from_bytes(bytes)));
    let check = judged(&bytes(300_000), &flooded(300_000.0), Quantity::Queue);
    assert!(
        check.within && (check.measured / 300_000.0 - 1.0).abs() < 0.02,
        "{check:?}"
    );
    assert!(!judged(&bytes(200_000), &flooded(300_000.0), Quantity::Queue).within);
    assert!(!judged(&bytes(400_000), &flooded(300_000.0), Quantity::Queue).within);
    let packets = judged(
        &limited(QueueLimit::Packets(200)),
        &flooded(300_000.0),
        Quantity::Queue,
    );
    assert!(packets.within && packets.unit == "packets", "{packets:?}");
}

#[test]
fn a_flood_that_was_too_slow_says_nothing_of_the_queue() {
    let mut slow = flooded(300_000.0);
    if let Ok(flood) = &mut slow.flood {
        flood.sent_rate = 9e7;
    }
    let channel = limited(QueueLimit::Packets(200));
    let reason = "virginia>dublin lane 0: queue, as the sender reached 90 Mbit/s, too little to fill it at 80";
    assert!(found(&channel, &slow).skipped.contains(&reason.to_owned()));
}

#[test]
fn marks_have_to_come_where_the_queue_marks_and_nowhere_else() {
    let plain = limited(QueueLimit::Packets(200));
    let marking = Channel {
        discipline: QueueDiscipline::Step(Step {
            at: QueueLimit::Packets(20),
        }),
        ..plain.clone()
    };
    let unmarked = flooded(300_000.0);
    let mut marked = flooded(300_000.0);
    if let Ok(flood) = &mut marked.flood {
        flood.arrivals[700].marked = true;
    }
    let within = |channel, seen| judged(channel, seen, Quantity::Marks).within;
    let told = |quantity| move |one: &Measurement| one.quantity == quantity;
    let quiet = found(&plain, &unmarked);
    assert!(!quiet.measurements.iter().any(told(Quantity::Marks)));
    assert!(!within(&plain, &marked));
    assert!(within(&marking, &marked) && !within(&marking, &unmarked));
}

#[test]
fn findings_say_what_by_how_much_and_what_to_do() {
    let seen = observed((0..200).map(|_| Some(42_000)));
    let found = judge(&expected(channel(40)), &seen, 1, Depth::Brief);
    let checks = found
        .measurements
        .iter()
        .filter_map(Measurement::check)
        .collect();
    let lateness = crate::engine::Lateness {
        releases: 1000,
        p50_us: 40.0,
        p99_us: 9000.0,
        max_us: 20_000.0,
        late: 0.02,
        slept_through: 0.9,
        ..crate::engine::Lateness::default()
    };
    let fidelity = Fidelity::new(checks, Some(lateness), 3, 0.99);
    insta::assert_snapshot!(fidelity.findings.join("\n"), @r"
    one-way delay of virginia>dublin lane 0 is 42000.000 us instead of 40000.000 (±400.000): stop other work on this machine, or raise the delay until the noise does not matter
    the link engine lost 3 packets that the description does not lose; give the run more CPU, or lower the rates
    the link engine released packets late: by 40 µs in the median and 9000 µs at the 99th percentile (allowed: 500 and 5000): its thread was not woken in time; allow longhaul real-time priority, stop other work on this machine, or use one whose processors are its own
    the CPU was 99 % in use, so that it may have bounded the figures; use fewer ranks, lower rates or more cores
    ");
    assert!(!fidelity.faithful());
    assert!(Fidelity::new(Vec::new(), None, 0, 0.5).faithful());
}

proptest! {
    #[test]
    fn the_interval_leaves_at_most_the_tail_on_each_side(trials in 1_u64..2000, probability in 0.0001..0.9999_f64) {
        let tail = 0.005;
        let (least, most) = binomial_interval(trials, probability, tail);
        prop_assert!(least <= most && most <= trials);
        // The mean lies inside, give or take the step from one count to the next.
        let mean = trials as f64 * probability;
        prop_assert!(least as f64 <= mean + 1.0 && mean - 1.0 <= most as f64);
    }
}
