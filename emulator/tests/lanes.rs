//! How the relay spreads packets over the lanes of a link, in real labs.

mod support;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::fidelity;
use longhaul_emulator::lab::{Lab, LabOptions};
use longhaul_emulator::plan::{ChannelId, NodeId};
use longhaul_topologies::model::{Channel, Direction, LaneState, LinkId, Spread};
use support::{eventually, test, topology};

fn main() -> ExitCode {
    support::run(vec![
        test(
            "round_robin_gives_each_lane_its_turn_and_each_its_delay",
            round_robin_gives_each_lane_its_turn_and_each_its_delay,
        ),
        test(
            "a_flow_stays_on_its_lane_and_takes_the_same_one_in_a_lab_of_the_same_seed",
            a_flow_stays_on_its_lane_and_takes_the_same_one_in_a_lab_of_the_same_seed,
        ),
        test(
            "both_directions_share_a_lane_where_the_hash_is_symmetric",
            both_directions_share_a_lane_where_the_hash_is_symmetric,
        ),
        test(
            "every_lane_is_measured_by_itself_however_packets_are_spread",
            every_lane_is_measured_by_itself_however_packets_are_spread,
        ),
        test(
            "flows_leave_a_lane_that_fails_and_come_back",
            flows_leave_a_lane_that_fails_and_come_back,
        ),
    ])
}

const LANES: usize = 4;
const DEADLINE: Duration = Duration::from_secs(20);

/// Two sites of one host and a link of four lanes, each 2 ms longer than the one before.
async fn up(spread: Spread, seed: u64) -> Lab {
    let mut topology = topology(&[1, 1], &[(0, 1, LANES)], Duration::ZERO);
    let link = &mut topology.links[0];
    link.spread = spread;
    for (number, lane) in (1..).zip(&mut link.lanes) {
        for channel in [&mut lane.forward, &mut lane.reverse] {
            channel.delay = Duration::from_millis(2) * number;
        }
    }
    let options = LabOptions {
        engine: EngineChoice::Relay,
        seed,
        ..LabOptions::default()
    };
    Lab::up(topology, &options).await.unwrap()
}

/// A socket on each of the two hosts.
fn sockets(lab: &Lab, ports: [u16; 2]) -> [UdpSocket; 2] {
    let hosts: Vec<NodeId> = lab.plan().hosts().collect();
    let [a, b] = [0, 1].map(|host| {
        let address = (lab.plan().node(hosts[host]).ipv4, ports[host]);
        let bind = move || UdpSocket::bind(address).unwrap();
        let socket = lab.namespace(hosts[host]).run(bind).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    });
    a.connect(b.local_addr().unwrap()).unwrap();
    b.connect(a.local_addr().unwrap()).unwrap();
    [a, b]
}

const PAYLOAD: usize = 1000;

/// Packets of [`PAYLOAD`] that each lane has carried; what neighbours tell each other is far less.
fn carried(lab: &Lab, direction: Direction) -> Vec<u64> {
    let counters = lab.counters().unwrap();
    let mut lanes: BTreeMap<ChannelId, u64> = BTreeMap::new();
    for (id, counters) in counters {
        if id.direction == direction {
            lanes.insert(id, counters.bytes / (PAYLOAD as u64 + 42));
        }
    }
    lanes.into_values().collect()
}

/// The one lane by which the next packet of `from` goes to `to`.
fn lane_of_next(lab: &Lab, from: &UdpSocket, to: &UdpSocket, direction: Direction) -> usize {
    let before = carried(lab, direction);
    from.send(&[0; PAYLOAD]).unwrap();
    to.recv(&mut [0; PAYLOAD]).unwrap();
    // The packet may be read before it is counted.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let after = carried(lab, direction);
        let more: Vec<usize> = (0..LANES)
            .filter(|&lane| after[lane] > before[lane])
            .collect();
        match more[..] {
            [] => assert!(Instant::now() < deadline, "no lane counts the packet"),
            [lane] => return lane,
            _ => panic!("one packet took lanes {more:?}"),
        }
    }
}

async fn round_robin_gives_each_lane_its_turn_and_each_its_delay() {
    let lab = up(Spread::RoundRobin, 1).await;
    let [a, b] = sockets(&lab, [5000, 5000]);
    let mut shortest = [Duration::MAX; LANES];
    let mut rounds = 0;
    eventually(|| {
        for _ in 0..10 {
            for shortest in &mut shortest {
                let sent = Instant::now();
                a.send(&[0; PAYLOAD]).unwrap();
                b.recv(&mut [0; PAYLOAD]).unwrap();
                *shortest = (*shortest).min(sent.elapsed());
            }
            rounds += 1;
        }
        for (number, &shortest) in (1..).zip(&shortest) {
            let delay = Duration::from_millis(2) * number;
            assert!(shortest >= delay, "{shortest:?} for {delay:?}");
            if shortest >= delay + Duration::from_millis(1) {
                return Err(format!("{shortest:?} for {delay:?} at best"));
            }
        }
        Ok(())
    });
    let deadline = Instant::now() + DEADLINE;
    while carried(&lab, Direction::Forward) != [rounds; LANES] {
        assert!(
            Instant::now() < deadline,
            "{:?}",
            carried(&lab, Direction::Forward)
        );
    }
    lab.down().await;
}

async fn a_flow_stays_on_its_lane_and_takes_the_same_one_in_a_lab_of_the_same_seed() {
    let lanes = async |seed| {
        let lab = up(Spread::FlowHash, seed).await;
        let mut lanes = Vec::new();
        for port in 6000..6024 {
            let [a, b] = sockets(&lab, [port, 5000]);
            let lane = lane_of_next(&lab, &a, &b, Direction::Forward);
            assert_eq!(lane, lane_of_next(&lab, &a, &b, Direction::Forward));
            lanes.push(lane);
        }
        lab.down().await;
        lanes
    };
    let first = lanes(1).await;
    let used: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(used.len(), LANES, "24 flows: {first:?}");
    assert_eq!(first, lanes(1).await);
    assert_ne!(first, lanes(2).await);
}

async fn both_directions_share_a_lane_where_the_hash_is_symmetric() {
    let same = async |spread| {
        let lab = up(spread, 1).await;
        let mut same = 0;
        for port in 6000..6016 {
            let [a, b] = sockets(&lab, [port, 5000]);
            let there = lane_of_next(&lab, &a, &b, Direction::Forward);
            same += usize::from(there == lane_of_next(&lab, &b, &a, Direction::Reverse));
        }
        lab.down().await;
        same
    };
    assert_eq!(same(Spread::SymmetricFlowHash).await, 16);
    assert!(same(Spread::FlowHash).await < 16);
}

async fn every_lane_is_measured_by_itself_however_packets_are_spread() {
    let lab = up(Spread::RoundRobin, 1).await;
    eventually(|| {
        let measured = fidelity::measure(&lab, &AtomicBool::new(false)).unwrap();
        let delays = (measured.checks.iter()).filter(|check| check.quantity == "one-way delay");
        // The lanes are 2 ms apart.
        let right = delays.filter(|check| (check.measured - check.asked).abs() < 1000.0);
        match right.count() == 2 * LANES {
            true => Ok(()),
            false => Err(format!("{measured:?}")),
        }
    });
    lab.down().await;
}

async fn flows_leave_a_lane_that_fails_and_come_back() {
    let lab = up(Spread::FlowHash, 1).await;
    let [a, b] = sockets(&lab, [6000, 5000]);
    let own = lane_of_next(&lab, &a, &b, Direction::Forward);
    let id = ChannelId {
        link: LinkId(0),
        lane: own,
        direction: Direction::Forward,
    };
    let up = lab.plan().topology.links[0].lanes[own].forward.clone();
    let down = Channel {
        state: LaneState::Down,
        ..up.clone()
    };
    lab.set(id, &down).unwrap();
    assert_ne!(lane_of_next(&lab, &a, &b, Direction::Forward), own);
    lab.set(id, &up).unwrap();
    assert_eq!(lane_of_next(&lab, &a, &b, Direction::Forward), own);
    lab.down().await;
}
