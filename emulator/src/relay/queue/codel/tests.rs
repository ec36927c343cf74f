use super::super::tests::{BUSY, CODEL, at, millis, queue, rng, traffic};
use super::super::{Ecn, Queue};
use super::*;
use longhaul_topologies::model::QueueDiscipline;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;

fn codel(signal: Signal) -> QueueDiscipline {
    QueueDiscipline::CoDel(CoDel { signal, ..CODEL })
}

/// A queue in which `segments` have waited since the origin.
fn backlog(signal: Signal, ecn: Ecn, segments: u32) -> Queue<u32> {
    let mut queue = queue(codel(signal), None);
    queue.offer(
        &Arrival::whole(at(0), &0, traffic(segments, ecn, 0)),
        BUSY,
        &mut rng(),
    );
    queue
}

/// When something is struck, if the line takes a packet every 10 µs from the time the delay reaches the target.
fn strikes(queue: &mut Queue<u32>, until: u64) -> Vec<u64> {
    let mut times = Vec::new();
    let struck = |queue: &Queue<u32>| {
        let counters = queue.counters();
        counters.dropped_early + counters.marked
    };
    for now in (5 * MILLISECOND..until).step_by(10_000) {
        let before = struck(queue);
        queue.take(at(now), 1, &mut rng()).expect("a backlog");
        times.extend((before..struck(queue)).map(|_| now));
    }
    times
}

/// The instants of RFC 8289 section 5: the first an interval after the delay got too high, then each after
/// interval / √count.
fn control_law(until: u64) -> Vec<f64> {
    let mut time = 105.0 * MILLISECOND as f64;
    let mut times = Vec::new();
    for count in 1.. {
        if time >= until as f64 {
            break;
        }
        times.push(time);
        time += 100.0 * MILLISECOND as f64 / f64::from(count).sqrt();
    }
    times
}

#[test]
fn under_lasting_overload_the_strikes_come_as_the_control_law_says() {
    const UNTIL: u64 = 2_000 * MILLISECOND;
    for (signal, ecn) in [
        (Signal::Drop, Ecn::Ect0),
        (Signal::Mark, Ecn::NotEct),
        (Signal::Mark, Ecn::Ect0),
    ] {
        let mut queue = backlog(signal, ecn, 300_000);
        let times = strikes(&mut queue, UNTIL);
        let expected = control_law(UNTIL);
        assert!(
            expected.len() > 80,
            "an overload that lasts: {}",
            expected.len()
        );
        assert_eq!(times.len(), expected.len());
        for (time, expected) in times.iter().zip(&expected) {
            let late = *time as f64 - expected;
            assert!((-1.0..=10_000.0).contains(&late), "{time} for {expected}");
        }
        let counters = queue.counters();
        let marks = signal == Signal::Mark && ecn == Ecn::Ect0;
        let (dropped, marked) = if marks {
            (0, times.len())
        } else {
            (times.len(), 0)
        };
        assert_eq!(
            (counters.dropped_early, counters.marked),
            (dropped as u64, marked as u64)
        );
    }
}

#[test]
fn a_packet_that_is_marked_already_passes() {
    let mut queue = backlog(Signal::Mark, Ecn::Ce, 100_000);
    assert!(strikes(&mut queue, 900 * MILLISECOND).is_empty());
}

#[test]
fn a_delay_shorter_than_an_interval_is_let_be() {
    let mut queue = backlog(Signal::Drop, Ecn::NotEct, 20_000);
    assert!(strikes(&mut queue, 105 * MILLISECOND).is_empty());
}

#[test]
fn a_queue_that_is_no_longer_than_a_frame_is_let_be() {
    let mut queue = queue(codel(Signal::Drop), None);
    let mut rng = rng();
    let one = traffic(1, Ecn::NotEct, 0);
    queue.offer(&Arrival::whole(at(0), &0, one), BUSY, &mut rng);
    for packet in 1..100 {
        // Each has waited for 50 ms, and leaves a single one behind.
        let now = u64::from(packet) * 50 * MILLISECOND;
        queue.offer(&Arrival::whole(at(now - 1), &packet, one), BUSY, &mut rng);
        assert!(queue.take(at(now), 1, &mut rng).is_some());
    }
    assert_eq!(queue.counters().dropped_early, 0);
}

#[test]
fn below_the_target_it_stops_and_waits_for_an_interval_again() {
    let mut queue = backlog(Signal::Drop, Ecn::NotEct, 50_000);
    strikes(&mut queue, 400 * MILLISECOND);
    let mut rng = rng();
    while queue.take(at(400 * MILLISECOND), 1, &mut rng).is_some() {}
    let before = queue.counters().dropped_early;

    let start = 500 * MILLISECOND;
    let many = traffic(100_000, Ecn::NotEct, 0);
    queue.offer(&Arrival::whole(at(start), &1, many), BUSY, &mut rng);
    for now in (start..start + 105 * MILLISECOND).step_by(10_000) {
        queue.take(at(now), 1, &mut rng);
    }
    assert_eq!(queue.counters().dropped_early, before);
    queue.take(at(start + 105 * MILLISECOND), 1, &mut rng);
    assert_eq!(queue.counters().dropped_early, before + 1);
}

/// A law whose last episode ended with 40 strikes, of which 10 were inherited, and a queue whose delay has been too
/// high for an interval `later` than the strike that the episode would have had next.
fn reentry(later: Duration) -> ControlLaw {
    let next = at(1_000 * MILLISECOND);
    let now = next + later;
    let mut law = ControlLaw {
        first_above: Some(now),
        phase: Phase::Passing,
        next,
        count: 40,
        last_count: 10,
    };
    let mut fifo = Fifo::new();
    fifo.load(&Arrival::whole(at(0), &0, traffic(100, Ecn::NotEct, 0)))
        .add(0..100, Marking::Unmarked);
    let mut counters = QueueCounters::default();
    law.take(now, &CODEL, 1514, &mut fifo, &mut counters);
    assert_eq!(counters.dropped_early, 1);
    assert_eq!(law.phase, Phase::Dropping);
    assert_eq!(law.last_count, law.count);
    let pause = law.next.since(now).as_secs_f64();
    assert!((pause - 0.1 / f64::from(law.count).sqrt()).abs() < 1e-9);
    law
}

#[test]
fn a_new_episode_soon_after_the_last_begins_with_the_strikes_that_one_added() {
    assert_eq!(reentry(millis(0)).count, 30);
    assert_eq!(reentry(millis(1_599)).count, 30);
}

#[test]
fn a_new_episode_after_sixteen_intervals_begins_afresh() {
    assert_eq!(reentry(millis(1_600)).count, 1);
}

#[test]
fn overdue_drops_are_made_up_for_at_once_but_only_one_mark() {
    for (ecn, dropped, marked) in [(Ecn::NotEct, 3, 0), (Ecn::Ect0, 0, 1)] {
        let mut law = ControlLaw {
            first_above: Some(at(0)),
            phase: Phase::Dropping,
            next: at(1_000 * MILLISECOND),
            count: 9_998,
            last_count: 1,
        };
        let mut fifo = Fifo::new();
        fifo.load(&Arrival::whole(at(0), &0, traffic(100, ecn, 0)))
            .add(0..100, Marking::Unmarked);
        let mut counters = QueueCounters::default();
        // The next are due after 0, 1 and 2 ms.
        let now = at(1_000 * MILLISECOND + 2_100 * MICROSECOND);
        let taken = law.take(now, &CODEL, 1514, &mut fifo, &mut counters);
        assert_eq!((counters.dropped_early, counters.marked), (dropped, marked));
        assert_eq!(
            taken.map(|train| train.segments.start),
            Some(dropped as u32)
        );
    }
}
