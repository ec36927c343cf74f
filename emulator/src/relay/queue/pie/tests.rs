use super::super::closed_loop::{Bottleneck, Control, Outcome};
use super::super::tests::{assert_binomial, at, millis, rng};
use super::*;
use longhaul_topologies::model::QueueDiscipline;

/// A line that takes a millisecond per 1514 bytes.
const RATE: u64 = 12_112_000;

/// The values of RFC 8033.
const PIE: Pie = Pie {
    target: Duration::from_millis(15),
    update: Duration::from_millis(15),
    burst: Duration::from_millis(150),
    alpha: 0.125,
    beta: 1.25,
    signal: Signal::Mark,
};

fn control() -> PieControl {
    PieControl::new(PIE, Some(Rate::from_bits_per_second(RATE)))
}

/// Past its burst allowance, with the delay above the target.
fn striking(probability: f64) -> PieControl {
    PieControl {
        probability,
        delay: millis(20),
        allowance: Duration::ZERO,
        ..control()
    }
}

fn packets(packets: u64) -> Depth {
    Depth {
        packets,
        bytes: packets * 1514,
    }
}

#[test]
fn the_probability_moves_as_in_the_pseudocode() {
    // Computed by hand: 0.125 · (delay − 15 ms) + 1.25 · (delay − before), divided as the probability asks.
    for (probability, before, delay, expected) in [
        (0.0, 0, 30, 0.039_375 / 2048.0),
        (0.000_005, 30, 30, 0.000_005 + 0.001_875 / 512.0),
        (0.000_05, 30, 20, 0.0),
        (0.000_05, 20, 21, 0.000_05 + 0.002 / 128.0),
        (0.000_5, 15, 15, 0.000_5),
        (0.000_5, 15, 25, 0.000_5 + 0.013_75 / 32.0),
        (0.005, 15, 25, 0.006_718_75),
        (0.05, 15, 25, 0.056_875),
        (0.2, 15, 25, 0.213_75),
        // Capped, section 5.5; falling is not.
        (0.2, 15, 40, 0.22),
        (0.2, 100, 15, 0.2 - 0.106_25),
        // An empty queue: 98 % of (0.2 − 0.001875).
        (0.2, 0, 0, 0.194_162_5),
        (0.995, 100, 200, 1.0),
    ] {
        let mut control = PieControl {
            delay: millis(before),
            ..striking(probability)
        };
        control.update(millis(delay));
        let got = control.probability;
        assert!(
            (got - expected).abs() < 1e-12,
            "{got} instead of {expected} from {probability}, {before} ms, {delay} ms"
        );
        assert_eq!(control.delay, millis(delay));
    }
}

#[test]
fn the_delay_is_the_queue_over_the_rate_and_late_calls_change_nothing() {
    let mut timely = striking(0.01);
    let mut late = timely.clone();
    timely.catch_up(at(0), packets(0));
    late.catch_up(at(0), packets(0));
    for millisecond in 1..=60 {
        timely.catch_up(at(0) + millis(millisecond), packets(33));
    }
    late.catch_up(at(0) + millis(60), packets(33));
    assert_eq!(late.delay, millis(33));
    assert_eq!(late.probability.to_bits(), timely.probability.to_bits());
    assert_ne!(late.probability.to_bits(), 0.01f64.to_bits());
}

#[test]
fn a_burst_is_let_through_for_as_long_as_it_may_last() {
    let mut control = control();
    control.catch_up(at(0), packets(0));
    control.catch_up(at(0) + millis(10), packets(0));
    let mut rng = rng();
    let mut judge = |control: &mut PieControl, milliseconds| {
        control.catch_up(at(0) + millis(milliseconds), packets(400));
        let trials = (0..1_000).map(|_| control.judge(packets(400), Ecn::NotEct, &mut rng));
        trials.filter(|&fate| fate == Fate::Drop).count()
    };
    for millisecond in 10..150 {
        assert_eq!(judge(&mut control, millisecond), 0);
    }
    assert!(control.probability > 0.0, "the controller does not wait");
    let later = (150..600).map(|time| judge(&mut control, time));
    assert!(later.sum::<usize>() > 0);
}

#[test]
fn the_allowance_comes_back_after_two_calm_updates() {
    let mut control = striking(0.0);
    control.update(millis(3));
    assert_eq!(control.allowance, Duration::ZERO);
    control.update(millis(3));
    assert_eq!(control.allowance, PIE.burst);
}

#[test]
fn strikes_are_as_frequent_as_the_probability_says() {
    let mut rng = rng();
    for probability in [0.01, 0.1, 0.3] {
        let control = striking(probability);
        let fates = (0..50_000).map(|_| control.judge(packets(20), Ecn::NotEct, &mut rng));
        let dropped = fates.filter(|&fate| fate == Fate::Drop).count();
        assert_binomial(dropped as u64, 50_000, probability);
    }
}

#[test]
fn two_packets_and_a_short_delay_are_safe() {
    let mut rng = rng();
    let certain = striking(1.0);
    assert_eq!(certain.judge(packets(2), Ecn::NotEct, &mut rng), Fate::Pass);
    assert_eq!(certain.judge(packets(3), Ecn::NotEct, &mut rng), Fate::Drop);
    let short = PieControl {
        delay: millis(7),
        ..striking(0.19)
    };
    let fates = (0..1_000).map(|_| short.judge(packets(20), Ecn::NotEct, &mut rng));
    assert_eq!(fates.filter(|&fate| fate != Fate::Pass).count(), 0);
}

#[test]
fn it_marks_up_to_a_tenth_and_drops_above() {
    let mut rng = rng();
    for (probability, ecn, expected) in [
        (0.1, Ecn::Ect0, Fate::Mark),
        (0.1, Ecn::NotEct, Fate::Drop),
        (0.11, Ecn::Ect0, Fate::Drop),
        (0.11, Ecn::Ce, Fate::Drop),
    ] {
        let control = striking(probability);
        let fates = (0..1_000).map(|_| control.judge(packets(20), ecn, &mut rng));
        let struck: Vec<_> = fates.filter(|&fate| fate != Fate::Pass).collect();
        assert!(!struck.is_empty());
        assert!(struck.iter().all(|&fate| fate == expected));
    }
}

#[test]
fn after_a_day_without_packets_it_is_as_new() {
    let mut control = striking(1.0);
    control.catch_up(at(0), packets(0));
    control.catch_up(at(0) + Duration::from_secs(86_400), packets(0));
    assert_eq!(control.probability, 0.0);
    assert_eq!(control.allowance, PIE.burst);
    let next = control.ticks.due(at(0) + Duration::from_secs(86_401));
    assert_eq!(next, Some(at(0) + Duration::from_nanos(86_400_015_000_000)));
}

#[test]
fn reno_senders_are_held_at_the_target_and_the_line_is_busy() {
    let bottleneck = Bottleneck {
        discipline: QueueDiscipline::Pie(PIE),
        rate: Rate::from_bits_per_second(20_000_000),
        round_trip: millis(50),
        senders: vec![(Control::Reno, Ecn::NotEct); 8],
    };
    let outcomes = bottleneck.run(Duration::from_secs(10), Duration::from_secs(60));
    let all = Outcome::of_all(&outcomes);
    let mean = all.mean_delay();
    assert!((12.0..18.0).contains(&mean), "{mean} ms");
    let utilisation = all.bytes as f64 * 8.0 / 50.0 / 20e6;
    assert!(utilisation > 0.95, "{utilisation}");
}
