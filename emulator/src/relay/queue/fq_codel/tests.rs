use longhaul_topologies::model::{CoDel, QueueDiscipline, QueueLimit};
use longhaul_topologies::units::ByteSize;
use proptest::prelude::*;

use super::super::tests::{BUSY, CODEL, at, queue, rng, sized, traffic};
use super::super::{Ecn, Queue};
use super::*;

const MILLISECOND: u64 = 1_000_000;

fn fq_codel(quantum: u64, limit: Option<QueueLimit>) -> Queue<u32> {
    let discipline = FqCoDel {
        codel: CODEL,
        quantum: ByteSize::from_bytes(quantum),
        flows: 1024,
    };
    queue(QueueDiscipline::FqCoDel(discipline), limit)
}

/// Packets of a flow, which has its number as name.
fn offer(queue: &mut Queue<u32>, flow: u32, segments: u32) {
    let traffic = traffic(segments, Ecn::NotEct, flow);
    queue.offer(&Arrival::whole(at(0), &flow, traffic), BUSY, &mut rng());
}

/// The flows of the next `count` wire packets.
fn next(queue: &mut Queue<u32>, count: usize) -> Vec<u32> {
    let mut rng = rng();
    let flows = std::iter::from_fn(|| queue.take(at(0), 1, &mut rng));
    flows.take(count).map(|train| train.packet).collect()
}

proptest! {
    #[test]
    fn backlogged_flows_get_equal_bytes_whatever_their_packets(
        quantum in 300u64..9_000,
        frames in prop::collection::vec(60u32..9_000, 2..12),
    ) {
        let mut queue = fq_codel(quantum, None);
        let mut rng = rng();
        for (flow, &frame) in (0..).zip(&frames) {
            queue.offer(&Arrival::whole(at(0), &flow, sized(100_000, frame, Ecn::NotEct, flow)), BUSY, &mut rng);
        }
        let mut bytes = vec![0; frames.len()];
        for _ in 0..4_000 {
            let train = queue.take(at(0), 1, &mut rng).expect("a backlog");
            bytes[train.packet as usize] += u64::from(frames[train.packet as usize]);
        }
        let (least, most) = (bytes.iter().min().expect("flows"), bytes.iter().max().expect("flows"));
        // Deficit round robin: a turn, and what a frame reaches beyond it, at either end.
        prop_assert!(most - least <= 2 * (quantum + 9_000), "{bytes:?}");
    }
}

#[test]
fn a_flow_that_sends_little_does_not_wait_for_those_that_send_much() {
    let mut queue = fq_codel(1514, None);
    offer(&mut queue, 1, 100);
    offer(&mut queue, 2, 100);
    assert_eq!(next(&mut queue, 4), [1, 2, 1, 2]);
    offer(&mut queue, 3, 1);
    assert_eq!(next(&mut queue, 3), [3, 1, 2]);
}

#[test]
fn a_flow_is_new_only_once_per_round() {
    let mut queue = fq_codel(1514, None);
    offer(&mut queue, 1, 100);
    offer(&mut queue, 2, 100);
    assert_eq!(next(&mut queue, 2), [1, 2]);
    // Flow 3 comes back as soon as it has sent: it has to wait for the round now.
    offer(&mut queue, 3, 1);
    assert_eq!(next(&mut queue, 1), [3]);
    offer(&mut queue, 3, 1);
    assert_eq!(next(&mut queue, 3), [1, 2, 3]);
}

#[test]
fn the_fattest_flow_makes_room_at_its_head() {
    let mut queue = fq_codel(1514, Some(QueueLimit::Packets(100)));
    offer(&mut queue, 1, 90);
    offer(&mut queue, 2, 10);
    assert_eq!(queue.counters().dropped_full, 0);
    offer(&mut queue, 3, 1);
    // Half of what it has.
    assert_eq!(queue.counters().dropped_full, 45);
    assert_eq!(queue.depth().packets, 56);
    let first = queue.take(at(0), 1, &mut rng()).expect("a backlog");
    assert_eq!((first.packet, first.segments), (1, 45..46));
    let rest = next(&mut queue, 100);
    let of = |flow| rest.iter().filter(|&&other| other == flow).count();
    assert_eq!([of(1), of(2), of(3)], [44, 10, 1]);
}

#[test]
fn a_batch_is_of_64_at_most() {
    let mut queue = fq_codel(1514, Some(QueueLimit::Packets(1000)));
    offer(&mut queue, 1, 999);
    offer(&mut queue, 2, 2);
    assert_eq!(queue.counters().dropped_full, 64);
}

#[test]
fn a_super_packet_that_overflows_the_queue_pays_itself_if_it_is_the_fattest() {
    let mut queue = fq_codel(1514, Some(QueueLimit::Packets(20)));
    offer(&mut queue, 1, 45);
    // The 21st makes 11 of them go (half the bytes, in whole frames), and so do the 32nd and the 43rd.
    assert_eq!(queue.counters().dropped_full, 33);
    assert_eq!(queue.depth().packets, 12);
    let trains: Vec<_> = std::iter::from_fn(|| queue.take(at(0), 1, &mut rng()))
        .map(|train| train.segments.start)
        .collect();
    assert_eq!(trains, (33..45).collect::<Vec<_>>());
}

#[test]
fn room_in_bytes_is_made_for_the_whole_frame() {
    let limit = QueueLimit::Bytes(ByteSize::from_bytes(1_800));
    let mut queue = fq_codel(1514, Some(limit));
    let small = sized(30, 60, Ecn::NotEct, 1);
    queue.offer(&Arrival::whole(at(0), &1, small), BUSY, &mut rng());
    assert_eq!(queue.counters().dropped_full, 0);
    // Half of the first flow is not enough; then the second is the fattest.
    offer(&mut queue, 2, 1);
    assert_eq!(queue.counters().dropped_full, 16);
    assert_eq!(queue.depth().bytes, 900);
}

#[test]
fn only_the_flow_that_builds_a_queue_is_struck() {
    let mut queue = fq_codel(1514, None);
    let mut rng = rng();
    queue.offer(
        &Arrival::whole(at(0), &1, traffic(100_000, Ecn::NotEct, 1)),
        BUSY,
        &mut rng,
    );
    let mut sparse = 0;
    for millisecond in 1..2_000u64 {
        let now = at(millisecond * MILLISECOND);
        queue.offer(
            &Arrival::whole(now, &2, traffic(1, Ecn::NotEct, 2)),
            BUSY,
            &mut rng,
        );
        for _ in 0..2 {
            let train = queue.take(now, 1, &mut rng).expect("a backlog");
            sparse += u32::from(train.packet == 2);
        }
    }
    assert!(queue.counters().dropped_early > 20);
    assert!(sparse >= 1_998, "all of the sparse flow: {sparse}");
}

#[test]
fn with_as_many_flows_it_keeps_its_state_and_with_others_its_packets() {
    let mut queue = fq_codel(1514, None);
    offer(&mut queue, 1, 10);
    offer(&mut queue, 2, 10);
    assert_eq!(next(&mut queue, 1), [1]);
    let mut parameters = FqCoDel {
        codel: CoDel {
            target: CODEL.target * 2,
            ..CODEL
        },
        quantum: ByteSize::from_bytes(3028),
        flows: 1024,
    };
    queue.set(&QueueDiscipline::FqCoDel(parameters), None, None);
    assert_eq!(next(&mut queue, 4), [2, 1, 1, 2]);
    parameters.flows = 1;
    queue.set(&QueueDiscipline::FqCoDel(parameters), None, None);
    assert_eq!(queue.depth().packets, 15);
    // One flow: first in, first out.
    assert_eq!(next(&mut queue, 15)[..7], [1; 7]);
}
