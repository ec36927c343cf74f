//! Lanes that go down and come back, and how flows spread over them.

use std::time::{Duration, Instant};

use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::plan::ChannelId;
use longhaul_topologies::model::{Channel, Direction, LaneState, Spread};

use super::pair::{FORWARD, Pair, chance, nothing};
use super::support::topology;

pub async fn a_lane_that_is_down_loses_what_comes_not_what_is_under_way() {
    let pair = Pair::up(
        |channel| {
            channel.delay = Duration::from_millis(200);
            channel.duplication = chance(50.0);
        },
        nothing,
    )
    .await;
    let (from, to) = (pair.udp(pair.from), pair.udp(pair.to));
    let address = to.local_addr().unwrap();
    from.send_to(b"under way", address).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while pair.qdisc(None, "l0.0b", "netem")["qlen"] == 0 {
        assert!(Instant::now() < deadline, "nothing is under way");
    }
    let cut = |channel: &mut Channel| channel.state = LaneState::Down;
    pair.change(cut);
    from.send_to(b"lost", address).unwrap();
    let mut buffer = [0; 100];
    let length = to.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"under way");
    while let Ok(length) = to.recv(&mut buffer) {
        assert_eq!(&buffer[..length], b"under way", "a duplicate");
    }
    assert_eq!(pair.ping(&["-c", "5", "-i", "0.01", "-W", "0.3"]).lost(), 5);
    let counters = pair.forward();
    assert!((6..=9).contains(&counters.outage_drops), "{counters:?}");
    assert_eq!((counters.losses, counters.engine_drops), (Some(0), 0));

    pair.change(nothing);
    assert_eq!(pair.ping(&["-c", "5", "-i", "0.01"]).lost(), 0);
    assert_eq!(pair.forward().outage_drops, counters.outage_drops);
}

const LANES: [usize; 2] = [0, 1];

/// Two lanes that spread flows as `spread` says.
async fn two_lanes(spread: Spread) -> Pair {
    let mut topology = topology(&[1, 1], &[(0, 1, 2)], Duration::ZERO);
    topology.links[0].spread = spread;
    Pair::of(topology, EngineChoice::Netem).await
}

/// What each lane has delivered in `direction`.
fn delivered(pair: &Pair, direction: Direction) -> [u64; 2] {
    LANES.map(|lane| {
        pair.counters(ChannelId {
            lane,
            direction,
            ..FORWARD
        })
        .packets
    })
}

/// Sends from 40 sockets of one host to one of the other, and back; returns how many packets came through, and which of them
/// came back by the lane they had gone by.
fn forty_flows(pair: &Pair, timeout: Duration) -> (usize, usize) {
    let to = pair.udp(pair.to);
    to.set_read_timeout(Some(timeout)).unwrap();
    let address = to.local_addr().unwrap();
    let mut buffer = [0; 100];
    let (mut arrived, mut together) = (0, 0);
    let lane = |direction, before: [u64; 2]| {
        let after = delivered(pair, direction);
        LANES
            .into_iter()
            .max_by_key(|&lane| after[lane] - before[lane])
    };
    for _ in 0..40 {
        let from = pair.udp(pair.from);
        from.connect(address).unwrap();
        let there = delivered(pair, Direction::Forward);
        // More than the gateways have to say of their own.
        for _ in 0..5 {
            from.send(b"there").unwrap();
        }
        let mut sender = None;
        for _ in 0..5 {
            sender = to.recv_from(&mut buffer).ok().or(sender);
        }
        let Some((_, sender)) = sender else {
            continue;
        };
        arrived += 1;
        let back = delivered(pair, Direction::Reverse);
        for _ in 0..5 {
            to.send_to(b"back", sender).unwrap();
        }
        for _ in 0..5 {
            from.recv(&mut buffer).unwrap();
        }
        together += usize::from(lane(Direction::Forward, there) == lane(Direction::Reverse, back));
    }
    (arrived, together)
}

pub async fn flows_leave_a_lane_that_is_down_and_come_back() {
    let pair = two_lanes(Spread::FlowHash).await;
    let timeout = Duration::from_millis(300);
    let set = |state| {
        for direction in Direction::BOTH {
            let lane = &pair.lab.plan().topology.links[0].lanes[0];
            let mut channel = lane.channel(direction).clone();
            channel.state = state;
            let id = ChannelId {
                direction,
                ..FORWARD
            };
            pair.lab.set(id, &channel).unwrap();
        }
    };
    let used = || {
        let before = delivered(&pair, Direction::Forward);
        assert_eq!(forty_flows(&pair, timeout).0, 40);
        let after = delivered(&pair, Direction::Forward);
        LANES.map(|lane| after[lane] - before[lane])
    };
    let both = used();
    assert!(both.iter().all(|&packets| packets >= 25), "{both:?}");
    set(LaneState::Down);
    let one = used();
    assert!(one[0] == 0 && one[1] >= 200, "{one:?}");
    assert_eq!(pair.ping(&["-6", "-c", "3", "-i", "0.01"]).lost(), 0);
    set(LaneState::Up);
    let both = used();
    assert!(both.iter().all(|&packets| packets >= 25), "{both:?}");
}

pub async fn a_symmetric_hash_keeps_both_directions_together() {
    let pair = two_lanes(Spread::SymmetricFlowHash).await;
    let before = delivered(&pair, Direction::Forward);
    assert_eq!(forty_flows(&pair, Duration::from_secs(1)), (40, 40));
    let after = delivered(&pair, Direction::Forward);
    for lane in LANES {
        let packets = after[lane] - before[lane];
        assert!(packets >= 25, "{packets} on lane {lane}");
    }
}
