use longhaul_topologies::model::{QueueLimit, Signal};

use super::super::tests::{assert_binomial, at, chance, millis, rng};
use super::*;

/// A line that takes a millisecond per 1514 bytes.
const RATE: u64 = 12_112_000;

fn control(red: Red) -> RedControl {
    RedControl::new(red, Some(Rate::from_bits_per_second(RATE)))
}

/// From 10 to 30 packets, up to 10 %.
fn red(weight: f64) -> Red {
    Red {
        min: QueueLimit::Packets(10),
        max: QueueLimit::Packets(30),
        chance: chance(0.1),
        weight,
        signal: Signal::Mark,
    }
}

fn packets(packets: u64) -> Depth {
    Depth {
        packets,
        bytes: packets * 1514,
    }
}

/// The distances between strikes on a queue that stays at `found`.
fn distances(mut control: RedControl, found: Depth, strikes: usize) -> Vec<u64> {
    let mut rng = rng();
    let mut distances = Vec::new();
    let mut distance = 0;
    while distances.len() < strikes {
        distance += 1;
        if control.judge(at(0), found, 1514, Ecn::Ect0, &mut rng) == Fate::Mark {
            distances.push(std::mem::take(&mut distance));
        }
    }
    distances
}

#[test]
fn a_switch_strikes_in_proportion_to_the_queue_between_the_thresholds() {
    let of = |bytes: u64| QueueLimit::Bytes(ByteSize::from_bytes(bytes));
    let in_bytes = Red {
        min: of(10 * 1514),
        max: of(30 * 1514),
        ..red(1.0)
    };
    for red in [red(1.0), in_bytes] {
        let mut control = control(red);
        let mut rng = rng();
        for found in [0, 1, 10, 11, 15, 20, 29, 30, 31, 1000] {
            const TRIALS: u64 = 50_000;
            let mut struck = 0;
            for _ in 0..TRIALS {
                let fate = control.judge(at(0), packets(found), 1514, Ecn::Ect0, &mut rng);
                struck += u64::from(fate == Fate::Mark);
            }
            let expected = match found {
                0..=10 => 0.0,
                11..=30 => 0.1 * (found - 10) as f64 / 20.0,
                _ => 1.0,
            };
            assert_binomial(struck, TRIALS, expected);
        }
    }
}

#[test]
fn thresholds_that_coincide_make_a_step() {
    let step = Red {
        max: red(1.0).min,
        ..red(1.0)
    };
    let mut control = control(step);
    let mut judge = |found| control.judge(at(0), packets(found), 1514, Ecn::Ect0, &mut rng());
    assert_eq!([judge(10), judge(11)], [Fate::Pass, Fate::Mark]);
}

#[test]
fn what_cannot_be_marked_is_dropped() {
    let mut control = control(red(1.0));
    let mut judge = |ecn| control.judge(at(0), packets(31), 1514, ecn, &mut rng());
    assert_eq!(judge(Ecn::NotEct), Fate::Drop);
    assert_eq!(judge(Ecn::Ect1), Fate::Mark);
    assert_eq!(judge(Ecn::Ce), Fate::Pass);
}

#[test]
fn a_switch_strikes_independently() {
    let distances = distances(control(red(1.0)), packets(20), 50_000);
    // At 5 % the distances are geometric.
    let adjacent = distances.iter().filter(|&&distance| distance == 1).count();
    assert_binomial(adjacent as u64, 50_000, 0.05);
    let far = distances.iter().filter(|&&distance| distance > 20).count();
    assert_binomial(far as u64, 50_000, 0.95f64.powi(20));
}

#[test]
fn with_an_average_the_distances_between_strikes_are_uniform() {
    let mut control = control(red(0.002));
    control.average = 20.0;
    let distances = distances(control, packets(20), 100_000);
    // At 5 %: any of 1 to 20 (Floyd and Jacobson 1993, section 7, method 2).
    for expected in 1..=20 {
        let count = distances
            .iter()
            .filter(|&&distance| distance == expected)
            .count();
        assert_binomial(count as u64, 100_000, 0.05);
    }
    assert_eq!(distances.iter().max(), Some(&20));
}

#[test]
fn the_average_follows_the_queue_with_its_weight() {
    let mut control = control(red(0.002));
    for _ in 0..500 {
        control.judge(at(0), packets(9), 1514, Ecn::Ect0, &mut rng());
    }
    let expected = 9.0 * (1.0 - 0.998f64.powi(500));
    assert!((control.average - expected).abs() < 1e-9);
}

#[test]
fn a_burst_that_the_average_does_not_notice_is_let_through() {
    let mut control = control(red(0.002));
    for found in 0..60 {
        let fate = control.judge(at(0), packets(found), 1514, Ecn::Ect0, &mut rng());
        assert_eq!(fate, Fate::Pass);
    }
}

#[test]
fn while_the_line_is_idle_the_average_decays_by_the_packets_it_could_have_sent() {
    let mut control = control(red(0.002));
    control.average = 9.0;
    control.idle_from(at(0) + millis(1));
    // The line is busy for the first of 51 ms.
    let now = at(0) + millis(51);
    control.judge(now, packets(0), 1514, Ecn::Ect0, &mut rng());
    let decayed = 9.0 * 0.998f64.powi(50);
    assert!((control.average - decayed).abs() < 1e-9);
    // The next packet of the same burst has seen no idle time.
    control.judge(now, packets(1), 1514, Ecn::Ect0, &mut rng());
    let expected = 0.998 * decayed + 0.002;
    assert!((control.average - expected).abs() < 1e-9);
}

#[test]
fn a_packet_that_is_refused_does_not_end_the_idleness() {
    let average_after = |refused: &[u64]| {
        let mut control = control(red(0.002));
        control.average = 9.0;
        control.idle_from(at(0) + millis(1));
        for &when in refused {
            let now = at(0) + millis(when);
            control.judge(now, packets(0), 1514, Ecn::Ect0, &mut rng());
        }
        let now = at(0) + millis(51);
        control.judge(now, packets(0), 1514, Ecn::Ect0, &mut rng());
        control.average
    };
    // While the line sends its last, an average is moved; while it is idle, it decays no faster for being looked at.
    assert!((average_after(&[0]) - 9.0 * 0.998f64.powi(51)).abs() < 1e-9);
    assert!((average_after(&[21, 31]) - average_after(&[])).abs() < 1e-9);
}
