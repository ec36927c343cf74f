use longhaul_topologies::model::QueueDiscipline;
use longhaul_topologies::units::Rate;

use super::super::closed_loop::{Bottleneck, Control, Outcome};
use super::super::tests::{BUSY, assert_binomial, at, chance, millis, queue, rng, sized, traffic};
use super::super::{Discipline, Queue};
use super::*;

const TRIALS: u64 = 50_000;

/// The values of RFC 9332 and Linux' `sch_dualpi2`.
fn parameters() -> DualPi2 {
    DualPi2 {
        target: millis(15),
        update: millis(16),
        alpha: 0.16,
        beta: 3.2,
        coupling: 2.0,
        step: millis(1),
        classic_share: chance(0.1),
    }
}

fn dualpi2() -> Queue<u32> {
    queue(QueueDiscipline::DualPi2(parameters()), None)
}

/// Takes packets without any delay at a base probability; answers how many go, and how many of them are marked.
fn at_base(base: f64, ecn: Ecn) -> (u64, u64) {
    let mut queue = DualPi2Queue::new(parameters());
    queue.base = base;
    let shape = traffic(1, ecn, 0);
    let mut counters = QueueCounters::default();
    let mut rng = rng();
    let (mut sent, mut marked) = (0, 0);
    for _ in 0..TRIALS {
        queue.readmit(Train {
            packet: 0,
            traffic: shape,
            segments: 0..1,
            arrival: at(0),
            marking: Marking::Unmarked,
        });
        if let Some(train) = queue.take(at(0), &mut counters, &mut rng) {
            sent += 1;
            marked += u64::from(train.marking == Marking::Marked);
        }
    }
    assert_eq!(counters.dropped_early, TRIALS - sent);
    assert_eq!(counters.marked, marked);
    (sent, marked)
}

#[test]
fn scalable_packets_are_marked_with_k_times_what_classic_ones_are_struck_with_the_square_of() {
    for base in [0.0, 0.02, 0.1, 0.4] {
        let (sent, marked) = at_base(base, Ecn::Ect1);
        assert_eq!(sent, TRIALS);
        assert_binomial(marked, TRIALS, 2.0 * base);

        let (sent, marked) = at_base(base, Ecn::Ect0);
        assert_eq!(sent, TRIALS);
        assert_binomial(marked, TRIALS, base * base);

        let (sent, marked) = at_base(base, Ecn::NotEct);
        assert_eq!(marked, 0);
        assert_binomial(TRIALS - sent, TRIALS, base * base);
    }
}

#[test]
fn when_marks_cannot_get_denser_all_are_dropped_as_classic_packets_are() {
    for base in [0.5, 0.7] {
        for ecn in [Ecn::Ect0, Ecn::NotEct] {
            let (sent, marked) = at_base(base, ecn);
            assert_eq!(marked, 0);
            assert_binomial(TRIALS - sent, TRIALS, base * base);
        }
        let (sent, marked) = at_base(base, Ecn::Ect1);
        assert_eq!(marked, sent, "what is left of the scalable ones is marked");
        assert_binomial(TRIALS - sent, TRIALS, base * base);
    }
}

#[test]
fn scalable_packets_that_waited_longer_than_the_step_are_marked_unless_nothing_follows() {
    let mut queue = dualpi2();
    let mut rng = rng();
    queue.offer(
        &Arrival::whole(at(0), &0, traffic(3, Ecn::Ect1, 0)),
        BUSY,
        &mut rng,
    );
    let mut take = |time| {
        let train = queue.take(at(0) + time, 1, &mut rng).expect("a packet");
        train.marking
    };
    assert_eq!(take(millis(1)), Marking::Unmarked);
    assert_eq!(take(millis(1) + Duration::from_nanos(1)), Marking::Marked);
    assert_eq!(take(millis(2)), Marking::Unmarked, "the last");
}

#[test]
fn classic_packets_do_not_know_the_step() {
    let mut queue = dualpi2();
    let mut rng = rng();
    queue.offer(
        &Arrival::whole(at(0), &0, traffic(3, Ecn::Ect0, 0)),
        BUSY,
        &mut rng,
    );
    let train = queue.take(at(0) + millis(10), 1, &mut rng);
    assert_eq!(train.expect("a packet").marking, Marking::Unmarked);
}

#[test]
fn while_both_wait_the_classic_queue_gets_its_share_of_the_bytes() {
    let mut queue = dualpi2();
    let mut rng = rng();
    queue.offer(
        &Arrival::whole(at(0), &0, sized(100_000, 1514, Ecn::Ect1, 0)),
        BUSY,
        &mut rng,
    );
    queue.offer(
        &Arrival::whole(at(0), &1, sized(100_000, 500, Ecn::Ect0, 1)),
        BUSY,
        &mut rng,
    );
    let mut bytes = [0; 2];
    for number in 0..20_000 {
        let train = queue.take(at(0), 1, &mut rng).expect("a backlog");
        assert!(number > 0 || train.packet == 0, "scalable packets go first");
        bytes[train.packet as usize] += train.traffic.shape.bytes(&train.segments);
    }
    let share = bytes[1] as f64 / (bytes[0] + bytes[1]) as f64;
    assert!((share - 0.1).abs() < 0.001, "{share}");
}

#[test]
fn ce_goes_with_the_scalable_packets() {
    let mut queue = dualpi2();
    let mut rng = rng();
    for (packet, ecn) in [
        (0, Ecn::NotEct),
        (1, Ecn::Ect0),
        (2, Ecn::Ce),
        (3, Ecn::Ect1),
    ] {
        queue.offer(
            &Arrival::whole(at(0), &packet, traffic(1, ecn, packet)),
            BUSY,
            &mut rng,
        );
    }
    let order: Vec<_> = std::iter::from_fn(|| queue.take(at(0), 1, &mut rng))
        .map(|train| train.packet)
        .collect();
    assert_eq!(order, [2, 3, 0, 1]);
}

#[test]
fn the_base_probability_follows_the_longer_delay() {
    let mut queue: DualPi2Queue<u32> = DualPi2Queue::new(parameters());
    (queue.base, queue.delay) = (0.1, millis(10));
    // By hand: 0.16 · 5 ms + 3.2 · 10 ms.
    queue.update(millis(20));
    assert!((queue.base - 0.132_8).abs() < 1e-12);
    queue.update(millis(0));
    assert!((queue.base - (0.132_8 - 0.002_4 - 0.064)).abs() < 1e-12);

    // Timers fire at 16 ms and 32 ms; the classic head has waited since 4 ms, the scalable one since 10 ms.
    let mut queue = dualpi2();
    let mut rng = rng();
    queue.offer(
        &Arrival::whole(at(0), &0, traffic(1, Ecn::Ect0, 0)),
        BUSY,
        &mut rng,
    );
    queue.take(at(0), 1, &mut rng);
    let packet = traffic(2, Ecn::Ect0, 0);
    queue.offer(
        &Arrival::whole(at(0) + millis(4), &1, packet),
        BUSY,
        &mut rng,
    );
    let packet = traffic(2, Ecn::Ect1, 0);
    queue.offer(
        &Arrival::whole(at(0) + millis(10), &2, packet),
        BUSY,
        &mut rng,
    );
    queue.take(at(0) + millis(40), 1, &mut rng);
    let Discipline::DualPi2(inner) = &queue.discipline else {
        unreachable!("that is what it was made as");
    };
    assert_eq!(inner.delay, millis(28));
    let expected = (-0.16 * 0.003 + 3.2 * 0.012) + (0.16 * 0.013 + 3.2 * 0.016);
    assert!((inner.base - expected).abs() < 1e-12);
}

#[test]
fn after_a_day_without_packets_nothing_is_left_of_the_overload() {
    let mut queue: DualPi2Queue<u32> = DualPi2Queue::new(parameters());
    (queue.base, queue.delay) = (1.0, millis(500));
    queue.catch_up(at(0));
    queue.catch_up(at(0) + Duration::from_secs(86_400));
    assert_eq!((queue.base, queue.delay), (0.0, Duration::ZERO));
}

#[test]
fn scalable_and_reno_senders_share_about_equally_and_the_scalable_ones_hardly_wait() {
    const SENDERS: usize = 5;
    let scalable = [(Control::Scalable, Ecn::Ect1); SENDERS];
    let reno = [(Control::Reno, Ecn::NotEct); SENDERS];
    let bottleneck = Bottleneck {
        discipline: QueueDiscipline::DualPi2(parameters()),
        rate: Rate::from_bits_per_second(40_000_000),
        round_trip: millis(30),
        senders: [scalable, reno].concat(),
    };
    let outcomes = bottleneck.run(Duration::from_secs(10), Duration::from_secs(60));
    let (scalable, reno) = outcomes.split_at(SENDERS);
    let (scalable, reno) = (Outcome::of_all(scalable), Outcome::of_all(reno));

    let ratio = scalable.bytes as f64 / reno.bytes as f64;
    assert!((0.7..1.4).contains(&ratio), "{ratio}");
    let (mean, high) = (scalable.mean_delay(), scalable.delay_quantile(0.99));
    assert!(mean < 1.0 && high < 2.0, "{mean} ms, at most {high} ms");
    let classic = reno.mean_delay();
    assert!((12.0..18.0).contains(&classic), "{classic} ms");
    let utilisation = (scalable.bytes + reno.bytes) as f64 * 8.0 / 50.0 / 40e6;
    assert!(utilisation > 0.95, "{utilisation}");
}
