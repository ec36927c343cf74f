//! Laws on a bottleneck, held against what their papers and this project say of them.

use super::*;
use crate::congestion::{DocaRtt, FixedWindow};

const LINE: Rate = Rate::from_bits_per_second(100_000_000);
const PACKET: u64 = 1500;

fn law(name: &str) -> Law {
    serde_json::from_value(name.into()).unwrap()
}

fn flow(law: &Law, rtt: Duration) -> Flow {
    Flow {
        law: law.clone(),
        rtt,
        lane: 0,
        start: Duration::ZERO,
        packet: PACKET,
        line_rate: Some(Rate::from_bits_per_second(LINE.bits_per_second() * 4)),
        supply: Supply::Endless,
    }
}

/// Flows of these round trips over one lane that holds a BDP of the longest and marks from a tenth of that on.
fn scenario(law: &Law, round_trips: &[Duration]) -> Scenario {
    let longest = *round_trips.iter().max().unwrap();
    let bdp = LINE.size_in(longest).bytes().max(20 * PACKET);
    let mark = ByteSize::from_bytes(bdp / 10);
    Scenario {
        lanes: vec![Lane {
            rate: LINE,
            bucket: ByteSize::from_bytes(0),
            queue: ByteSize::from_bytes(bdp),
            marks: Some((mark, mark)),
            loss: 0.0,
            jitter: Duration::ZERO,
            telemetry: true,
        }],
        flows: round_trips.iter().map(|rtt| flow(law, *rtt)).collect(),
        changes: Vec::new(),
        length: longest * 100,
        grain: longest / 20,
        seed: 1,
    }
}

fn last_half(scenario: &Scenario) -> std::ops::Range<Duration> {
    scenario.length / 2..scenario.length
}

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_millis(50);

#[test]
fn a_fixed_window_has_a_window_per_round_trip() {
    let window = ByteSize::from_bytes(LINE.size_in(LONG).bytes() / 4);
    let scenario = scenario(&Law::FixedWindow(FixedWindow { window }), &[LONG]);
    let utilisation = scenario.run().utilisation(last_half(&scenario));
    assert!((0.24..0.26).contains(&utilisation), "{utilisation}");
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let mut scenario = scenario(&law("bbr"), &[SHORT, LONG]);
    scenario.lanes[0].loss = 0.01;
    let outcome = || format!("{:?}", scenario.run());
    assert_eq!(outcome(), outcome());
}

#[test]
fn every_law_of_windows_or_models_fills_a_short_path_and_shares_it() {
    for name in ["dctcp", "bbr", "cubic", "gemini", "hpcc", "uno", "distance"] {
        let law = law(name);
        let mut scenario = scenario(&law, &[SHORT; 4]);
        scenario.length = SHORT * 400;
        let outcome = scenario.run();
        let half = last_half(&scenario);
        let (utilisation, fairness) = (outcome.utilisation(half.clone()), outcome.fairness(half));
        assert!(utilisation > 0.85, "{name}: {utilisation}");
        assert!(fairness > 0.7, "{name}: {fairness}");
    }
}

#[test]
fn laws_of_the_data_centre_starve_at_a_distance() {
    // TIMELY's and Swift's delays are absolute; the template's base round trip is 13 µs.
    for name in ["timely", "swift", "doca-rtt"] {
        let scenario = scenario(&law(name), &[LONG]);
        let utilisation = scenario.run().utilisation(last_half(&scenario));
        assert!(utilisation < 0.1, "{name}: {utilisation}");
    }
    // Told the way's own round trip, the template fills it.
    let told = Law::DocaRtt(DocaRtt {
        base_rtt: (LONG + Duration::from_millis(1)).into(),
        max_delay: (LONG * 2).into(),
        ..DocaRtt::default()
    });
    let scenario = scenario(&told, &[LONG]);
    let utilisation = scenario.run().utilisation(last_half(&scenario));
    assert!(utilisation > 0.8, "{utilisation}");
}

#[test]
fn dctcp_keeps_the_queue_about_its_threshold() {
    let scenario = scenario(&law("dctcp"), &[SHORT; 2]);
    let outcome = scenario.run();
    let threshold = LINE.time_for(scenario.lanes[0].marks.unwrap().0);
    let median = outcome.queue_delay(0.5, last_half(&scenario));
    assert!(median < threshold * 2, "{median:?} {threshold:?}");
    assert_eq!(outcome.drops, 0);
}

#[test]
fn hpcc_leaves_its_headroom_free_and_the_queue_empty() {
    let scenario = scenario(&law("hpcc"), &[LONG]);
    let outcome = scenario.run();
    let half = last_half(&scenario);
    let utilisation = outcome.utilisation(half.clone());
    assert!((0.93..0.97).contains(&utilisation), "{utilisation}");
    assert!(outcome.queue_delay(0.99, half) < Duration::from_millis(1));
}

#[test]
fn bbr_needs_no_absence_of_loss_and_cubic_does() {
    let under_loss = |name: &str| {
        let mut scenario = scenario(&law(name), &[LONG]);
        scenario.lanes[0].loss = 0.01;
        scenario.run().utilisation(last_half(&scenario))
    };
    let (bbr, cubic) = (under_loss("bbr"), under_loss("cubic"));
    assert!(bbr > 0.8, "{bbr}");
    assert!(cubic < 0.3, "{cubic}");
}

#[test]
fn distance_fills_any_distance_with_hardly_a_queue() {
    for rtt in [Duration::from_micros(100), SHORT, LONG, LONG * 4] {
        for marks in [true, false] {
            let mut scenario = scenario(&law("distance"), &[rtt]);
            scenario.length = scenario.length.max(Duration::from_millis(200));
            if !marks {
                scenario.lanes[0].marks = None;
            }
            let outcome = scenario.run();
            let half = last_half(&scenario);
            let utilisation = outcome.utilisation(half.clone());
            assert!(utilisation > 0.95, "{rtt:?}: {utilisation}");
            // Packets take 120 µs: six of them. At a tenth of the rate growth is three times as much of it.
            let queue = outcome.queue_delay(0.99, half);
            let limit = Duration::from_micros(720).max(rtt / 30);
            assert!(queue <= limit, "{rtt:?}: {queue:?}");
            assert_eq!(outcome.drops, 0, "{rtt:?}");
        }
    }
}

#[test]
fn distance_is_at_its_rate_within_four_round_trips_without_a_drop() {
    let mut scenario = scenario(&law("distance"), &[LONG * 4]);
    let bdp = LINE.size_in(LONG * 4).bytes();
    scenario.lanes[0].queue = ByteSize::from_bytes(bdp / 4);
    scenario.length = LONG * 4 * 10;
    let outcome = scenario.run();
    let reached = outcome.reaches(0.9, Duration::ZERO, LONG * 2).unwrap();
    assert!(reached < LONG * 16, "{reached:?}");
    assert_eq!(outcome.drops, 0);
}

#[test]
fn distance_shares_between_near_and_far() {
    let mut scenario = scenario(&law("distance"), &[SHORT, LONG, SHORT, LONG]);
    scenario.length = Duration::from_secs(40);
    let outcome = scenario.run();
    let steady = scenario.length * 3 / 4..scenario.length;
    let fairness = outcome.fairness(steady.clone());
    assert!(fairness > 0.95, "{fairness}");
    assert!(outcome.utilisation(steady) > 0.95);
}

#[test]
fn distance_does_not_take_random_loss_for_congestion() {
    let mut scenario = scenario(&law("distance"), &[LONG]);
    scenario.lanes[0].loss = 0.01;
    let utilisation = scenario.run().utilisation(last_half(&scenario));
    assert!(utilisation > 0.94, "{utilisation}");
}

#[test]
fn distance_learns_a_longer_way_and_a_shorter_one() {
    for (before, after) in [(LONG, LONG + Duration::from_millis(30)), (LONG, LONG / 2)] {
        let mut scenario = scenario(&law("distance"), &[before]);
        let at = before * 30;
        scenario.changes = vec![(at, Change::RoundTrip(0, after))];
        let outcome = scenario.run();
        let back = outcome.reaches(0.9, at + after, after / 2).unwrap();
        assert!(back < after * 5, "{back:?}");
        let steady = outcome.utilisation(at + after * 5..scenario.length);
        assert!(steady > 0.93, "{steady}");
    }
}

#[test]
fn distance_takes_up_what_it_knew_after_a_cut() {
    let mut scenario = scenario(&law("distance"), &[LONG]);
    let (at, pause) = (LONG * 30, Duration::from_millis(200));
    scenario.changes = vec![(at, Change::Down(0)), (at + pause, Change::Up(0))];
    let back = scenario.run().reaches(0.9, at + pause, LONG / 2).unwrap();
    // A timeout of up to four round trips passes before anything asks.
    assert!(back < LONG * 6, "{back:?}");
}

#[test]
fn distance_keeps_a_lane_in_use_that_has_to_carry_the_flows_of_one_that_failed() {
    for flows in [2, 8] {
        let mut scenario = scenario(&law("distance"), &vec![LONG; flows]);
        scenario.lanes = vec![scenario.lanes[0]; 2];
        let at = LONG * 60;
        scenario.changes = vec![(at, Change::Down(1))];
        for flow in (1..flows).step_by(2) {
            scenario.flows[flow].lane = 1;
            scenario.changes.push((at, Change::Move(flow, 0)));
        }
        let outcome = scenario.run();
        // Of both lanes together; with what was under way when the lane failed.
        let back = outcome.recovers(0.44, at + LONG, LONG, LONG * 20).unwrap();
        assert!(back < LONG * 5, "{flows}: {back:?}");
    }
}

#[test]
fn distance_is_as_calm_with_slow_flows_as_with_fast_ones() {
    let mut scenario = scenario(&law("distance"), &[LONG; 8]);
    scenario.length = LONG * 400;
    let outcome = scenario.run();
    let steady = last_half(&scenario);
    let queue = outcome.queue_delay(0.99, steady.clone());
    assert!(queue < LONG / 30, "{queue:?}");
    let utilisation = outcome.utilisation(steady);
    assert!(utilisation > 0.985, "{utilisation}");
}

#[test]
fn distance_sends_bursts_at_what_it_knows_and_queues_nothing() {
    let mut scenario = scenario(&law("distance"), &[LONG]);
    let bytes = LINE.size_in(LONG * 4).bytes();
    let every = LONG * 10;
    scenario.flows[0].supply = Supply::Bursts { bytes, every };
    let outcome = scenario.run();
    let burst = every * 5..every * 5 + LONG * 5;
    let rate = outcome.goodput(0, burst) / LINE.bytes_per_second() as f64;
    assert!(rate > 0.75, "{rate}");
    let queue = outcome.queue_delay(0.999, every..scenario.length);
    assert!(queue < LONG / 15, "{queue:?}");
    assert_eq!(outcome.drops, 0);
}

#[test]
fn distance_is_steady_where_a_token_bucket_hides_the_queue() {
    // Three packets long, and the bucket takes two.
    for rtt in [10, 100] {
        let mut scenario = scenario(&law("distance"), &[Duration::from_micros(rtt)]);
        scenario.flows[0].packet = 4160;
        scenario.flows[0].line_rate = None;
        let lane = &mut scenario.lanes[0];
        lane.rate = Rate::from_bits_per_second(1_000_000_000);
        lane.bucket = ByteSize::from_bytes(9000);
        lane.queue = ByteSize::from_bytes(300_000);
        lane.marks = None;
        scenario.length = Duration::from_millis(200);
        scenario.grain = Duration::from_micros(100);
        let outcome = scenario.run();
        let steady = last_half(&scenario);
        let utilisation = outcome.utilisation(steady.clone());
        assert!(utilisation > 0.97, "{rtt} µs: {utilisation}");
        let queue = outcome.queue_delay(0.99, steady);
        assert!(queue < Duration::from_micros(100), "{rtt} µs: {queue:?}");
    }
}

#[test]
fn distance_tells_jitter_from_a_queue() {
    // Of half as much as full congestion, in the least of a slice, to many times that.
    for (rtt, jitter) in [(1, 50), (10, 50), (10, 200)] {
        let rtt = Duration::from_millis(rtt);
        let mut scenario = scenario(&law("distance"), &[rtt]);
        // Packets of 12 µs, so that the jitter is many of them.
        scenario.lanes[0].rate = Rate::from_bits_per_second(LINE.bits_per_second() * 10);
        scenario.lanes[0].queue = ByteSize::from_bytes(1 << 20);
        scenario.lanes[0].marks = None;
        scenario.lanes[0].jitter = Duration::from_micros(jitter);
        scenario.flows[0].line_rate = None;
        scenario.length = rtt * 500;
        let outcome = scenario.run();
        let utilisation = outcome.utilisation(last_half(&scenario));
        assert!(utilisation > 0.9, "{rtt:?}, {jitter} µs: {utilisation}");
        let queue = outcome.queue_delay(0.99, last_half(&scenario));
        assert!(
            queue < Duration::from_micros(600),
            "{rtt:?}, {jitter} µs: {queue:?}"
        );
    }
}

#[test]
fn distance_shares_evenly_between_flows_that_begin_at_once() {
    // Each sees an eighth of the bottleneck at first, as their first trains meet.
    for rtt in [5, 20, 100] {
        let rtt = Duration::from_millis(rtt);
        let mut scenario = scenario(&law("distance"), &[rtt; 8]);
        scenario.lanes[0].rate = Rate::from_bits_per_second(LINE.bits_per_second() * 10);
        scenario.lanes[0].queue = ByteSize::from_bytes(4 << 20);
        for flow in &mut scenario.flows {
            let line = LINE.bits_per_second() * 40;
            flow.line_rate = Some(Rate::from_bits_per_second(line));
        }
        scenario.length = rtt * 120;
        let outcome = scenario.run();
        let steady = last_half(&scenario);
        let fairness = outcome.fairness(steady.clone());
        assert!(fairness > 0.95, "{rtt:?}: {fairness}");
        let utilisation = outcome.utilisation(steady.clone());
        assert!(utilisation > 0.95, "{rtt:?}: {utilisation}");
        let queue = outcome.queue_delay(0.99, steady);
        let bound = Duration::from_micros(150).max(rtt / 50);
        assert!(queue < bound, "{rtt:?}: {queue:?}");
    }
}

#[test]
fn distance_comes_up_to_a_full_line_without_haste() {
    // What all grow by in a round trip is a queue before any of them sees it.
    let rtt = Duration::from_millis(5);
    let mut scenario = scenario(&law("distance"), &[rtt; 8]);
    let lane = &mut scenario.lanes[0];
    lane.rate = Rate::from_bits_per_second(LINE.bits_per_second() * 100);
    lane.queue = ByteSize::from_bytes(2 << 20);
    lane.marks = None;
    for flow in &mut scenario.flows {
        flow.packet = 4160;
        flow.line_rate = Some(Rate::from_bits_per_second(LINE.bits_per_second() * 400));
    }
    scenario.length = rtt * 40;
    let outcome = scenario.run();
    let steady = last_half(&scenario);
    let queue = outcome.queue_delay(0.99, steady.clone());
    assert!(queue < rtt / 65, "{queue:?}");
    let utilisation = outcome.utilisation(steady);
    assert!(utilisation > 0.97, "{utilisation}");
}
