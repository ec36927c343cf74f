//! What holds for every discipline.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use longhaul_topologies::model::{CoDel, DualPi2, FqCoDel, Pie, Red, Signal, Step};
use longhaul_topologies::units::{ByteSize, Probability};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

/// A line that is sending and has begun with all it was given.
pub(super) const BUSY: LineState = LineState::Busy {
    unsent: Depth {
        packets: 0,
        bytes: 0,
    },
};

pub(super) fn at(nanoseconds: u64) -> Time {
    Time::from_nanos(nanoseconds)
}

pub(super) fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) fn chance(fraction: f64) -> Probability {
    Probability::new(fraction).expect("a probability")
}

pub(super) fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

/// `segments` wire packets of 1514 bytes.
pub(super) fn traffic(segments: u32, ecn: Ecn, flow: u32) -> Traffic {
    sized(segments, 1514, ecn, flow)
}

pub(super) fn sized(segments: u32, frame: u32, ecn: Ecn, flow: u32) -> Traffic {
    let shape = PacketShape {
        segments,
        full: frame,
        last: frame,
    };
    Traffic { shape, ecn, flow }
}

/// A queue before a line of 100 Mbit/s.
pub(super) fn queue(discipline: QueueDiscipline, limit: Option<QueueLimit>) -> Queue<u32> {
    let rate = Rate::from_bits_per_second(100_000_000);
    Queue::new(&discipline, limit, Some(rate))
}

/// Everything that comes out at the origin of time, when no packet has waited.
pub(super) fn drain(queue: &mut Queue<u32>) -> Vec<Train<u32>> {
    let mut rng = rng();
    std::iter::from_fn(|| queue.take(at(0), u64::MAX, &mut rng)).collect()
}

/// That `count` of `trials` agrees with a probability, but for one time in 15 000.
pub(super) fn assert_binomial(count: u64, trials: u64, chance: f64) {
    let expected = trials as f64 * chance;
    let deviation = (expected * (1.0 - chance)).sqrt();
    assert!(
        (count as f64 - expected).abs() <= 4.0 * deviation,
        "{count} of {trials} at {chance}"
    );
}

/// CoDel's values of RFC 8289.
pub(super) const CODEL: CoDel = CoDel {
    target: Duration::from_millis(5),
    interval: Duration::from_millis(100),
    signal: Signal::Mark,
};

fn limits() -> impl Strategy<Value = Option<QueueLimit>> {
    prop_oneof![
        Just(None),
        (0u32..60).prop_map(|limit| Some(QueueLimit::Packets(limit))),
        (0u64..90_000).prop_map(|limit| Some(QueueLimit::Bytes(ByteSize::from_bytes(limit)))),
    ]
}

/// Each discipline, so keen that it strikes within a short test.
fn disciplines() -> impl Strategy<Value = QueueDiscipline> {
    let signal = || prop_oneof![Just(Signal::Mark), Just(Signal::Drop)];
    let codel = move || {
        (signal(), 1u64..5, 1u64..5).prop_map(|(signal, target, interval)| CoDel {
            target: millis(target),
            interval: millis(interval),
            signal,
        })
    };
    prop_oneof![
        Just(QueueDiscipline::DropTail),
        (signal(), prop_oneof![Just(1.0), Just(0.2)]).prop_map(|(signal, weight)| {
            QueueDiscipline::Red(Red {
                min: QueueLimit::Packets(5),
                max: QueueLimit::Packets(30),
                chance: chance(0.5),
                weight,
                signal,
            })
        }),
        (0u32..40).prop_map(|at| QueueDiscipline::Step(Step {
            at: QueueLimit::Packets(at),
        })),
        codel().prop_map(QueueDiscipline::CoDel),
        (codel(), 1u32..9).prop_map(|(codel, flows)| QueueDiscipline::FqCoDel(FqCoDel {
            codel,
            quantum: ByteSize::from_bytes(1514),
            flows,
        })),
        signal().prop_map(|signal| QueueDiscipline::Pie(Pie {
            target: millis(1),
            update: millis(1),
            burst: millis(2),
            alpha: 200.0,
            beta: 2000.0,
            signal,
        })),
        (0.0..1.0f64).prop_map(|share| QueueDiscipline::DualPi2(DualPi2 {
            target: millis(1),
            update: millis(1),
            alpha: 10.0,
            beta: 50.0,
            coupling: 2.0,
            step: millis(1),
            classic_share: chance(share),
        })),
    ]
}

#[derive(Clone, Debug)]
enum Action {
    Offer(PacketShape, u32, LineState),
    Take(u32),
    Set(QueueDiscipline, Option<QueueLimit>),
}

fn offers() -> impl Strategy<Value = Action> {
    let line = prop_oneof![
        Just(LineState::Free),
        (0u64..5).prop_map(|packets| LineState::Busy {
            unsent: Depth {
                packets,
                bytes: packets * 1000,
            },
        }),
    ];
    (1u32..50, 60u32..1515, 0.0..=1.0f64, 0u32..8, line).prop_map(
        |(segments, full, last, flow, line)| {
            let last = ((f64::from(full) * last) as u32).max(60);
            let full = if segments == 1 { last } else { full };
            let shape = PacketShape {
                segments,
                full,
                last,
            };
            Action::Offer(shape, flow, line)
        },
    )
}

fn actions() -> impl Strategy<Value = Vec<(u64, Action)>> {
    let action = prop_oneof![
        6 => offers(),
        20 => (1u32..60).prop_map(Action::Take),
        1 => (disciplines(), limits()).prop_map(|(discipline, limit)| Action::Set(discipline, limit)),
    ];
    prop::collection::vec((0u64..2_000_000, action), 1..120)
}

/// Flows differ in their ECN field, and each has always the same.
fn ecn(flow: u32) -> Ecn {
    [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce][flow as usize % 4]
}

fn waiting(queue: &Queue<u32>) -> Depth {
    let trains = queue.clone().discipline.drain();
    let depth = |train: &Train<u32>| Depth::of(train.traffic.shape, &train.segments);
    trains
        .iter()
        .map(depth)
        .fold(Depth::default(), |sum, depth| sum + depth)
}

proptest! {
    #[test]
    fn every_wire_packet_is_taken_once_and_in_order_or_dropped_for_a_reason(
        discipline in disciplines(),
        limit in limits(),
        actions in actions(),
    ) {
        let mut queue = queue(discipline, limit);
        let mut rng = rng();
        let (mut now, mut offered, mut taken, mut marked) = (0, 0, 0, 0);
        let mut last: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        let mut numbers = 0u32..;
        for (pause, action) in actions {
            now += pause;
            match action {
                Action::Offer(shape, flow, line) => {
                    let traffic = Traffic { shape, ecn: ecn(flow), flow };
                    let packet = numbers.next().expect("a number");
                    queue.offer(&Arrival::whole(at(now), &packet, traffic), line, &mut rng);
                    offered += u64::from(shape.segments);
                }
                Action::Take(most) => {
                    let room = u64::from(most) * 1000;
                    if let Some(train) = queue.take(at(now), room, &mut rng) {
                        let fitting = (room / u64::from(train.traffic.shape.full)).max(1);
                        prop_assert!(!train.segments.is_empty() && train.segments.len() as u64 <= fitting);
                        prop_assert!(train.arrival <= at(now));
                        let first = (train.packet, train.segments.start);
                        let end = (train.packet, train.segments.end);
                        let before = last.insert(train.traffic.flow, end);
                        prop_assert!(before.is_none_or(|before| before <= first));
                        taken += train.segments.len() as u64;
                        if train.marking == Marking::Marked {
                            prop_assert!(matches!(train.traffic.ecn, Ecn::Ect0 | Ecn::Ect1));
                            marked += train.segments.len() as u64;
                        }
                    }
                }
                Action::Set(discipline, limit) => {
                    let before = queue.depth();
                    let rate = Rate::from_bits_per_second(50_000_000);
                    queue.set(&discipline, limit, Some(rate));
                    prop_assert_eq!(queue.depth(), before);
                }
            }
            prop_assert_eq!(queue.depth(), waiting(&queue));
            prop_assert_eq!(queue.waiting_since().is_some(), !queue.is_empty());
            let QueueCounters { dropped_full, dropped_early, .. } = queue.counters();
            prop_assert_eq!(offered, taken + dropped_full + dropped_early + queue.depth().packets);
        }
        prop_assert!(marked <= queue.counters().marked);
    }

    #[test]
    fn drop_tail_does_what_a_queue_of_single_packets_does(
        limit in limits(),
        actions in prop::collection::vec(prop_oneof![2 => offers(), 3 => (1u32..60).prop_map(Action::Take)], 1..100),
    ) {
        let mut queue = queue(QueueDiscipline::DropTail, limit);
        let mut naive = Naive { waiting: VecDeque::new(), limit, refused: 0 };
        for (packet, action) in (0..).zip(actions) {
            match action {
                Action::Offer(shape, flow, line) => {
                    let traffic = Traffic { shape, ecn: ecn(flow), flow };
                    queue.offer(&Arrival::whole(at(0), &packet, traffic), line, &mut rng());
                    naive.offer(packet, shape, line);
                }
                Action::Take(most) => {
                    let room = u64::from(most) * 1000;
                    let segments = queue.take(at(0), room, &mut rng()).map(|train| (train.packet, train.segments));
                    prop_assert_eq!(segments, naive.take(room));
                }
                Action::Set(..) => unreachable!("not among the actions"),
            }
            let dropped_full = naive.refused;
            prop_assert_eq!(queue.counters(), QueueCounters { dropped_full, ..QueueCounters::default() });
            prop_assert_eq!(queue.depth().packets, naive.waiting.len() as u64);
        }
    }
}

/// Drop-tail, packet by packet.
struct Naive {
    waiting: VecDeque<(u32, u32, u32, u32)>,
    limit: Option<QueueLimit>,
    refused: u64,
}

impl Naive {
    fn offer(&mut self, packet: u32, shape: PacketShape, line: LineState) {
        let (mut free, unsent) = match line {
            LineState::Free => (self.waiting.is_empty(), Depth::default()),
            LineState::Busy { unsent } => (false, unsent),
        };
        let mut straight = 0;
        for segment in 0..shape.segments {
            let frame = shape.length(segment);
            let queued = &self.waiting.range(straight..);
            let packets = queued.len() as u64 + unsent.packets;
            let frames = self.waiting.range(straight..).map(|waiting| waiting.2);
            let bytes = frames.map(u64::from).sum::<u64>() + unsent.bytes;
            let fits = match self.limit {
                None => true,
                Some(QueueLimit::Packets(limit)) => packets < u64::from(limit),
                Some(QueueLimit::Bytes(limit)) => bytes + u64::from(frame) <= limit.bytes(),
            };
            if free {
                straight = 1;
            }
            if std::mem::take(&mut free) || fits {
                self.waiting.push_back((packet, segment, frame, shape.full));
            } else {
                self.refused += 1;
            }
        }
    }

    fn take(&mut self, room: u64) -> Option<(u32, Range<u32>)> {
        let (packet, first, _, full) = self.waiting.pop_front()?;
        let mut segments = first..first + 1;
        while (segments.len() as u64) < room / u64::from(full)
            && self
                .waiting
                .front()
                .is_some_and(|next| (next.0, next.1) == (packet, segments.end))
        {
            self.waiting.pop_front();
            segments.end += 1;
        }
        Some((packet, segments))
    }
}

#[test]
fn the_packet_that_goes_straight_to_the_line_needs_no_room() {
    for discipline in [
        QueueDiscipline::DropTail,
        QueueDiscipline::Step(Step {
            at: QueueLimit::Packets(0),
        }),
        QueueDiscipline::CoDel(CODEL),
    ] {
        let mut queue = queue(discipline, Some(QueueLimit::Packets(0)));
        let three = traffic(3, Ecn::NotEct, 0);
        queue.offer(
            &Arrival::whole(at(0), &1, three),
            LineState::Free,
            &mut rng(),
        );
        assert_eq!(queue.counters().dropped_full, 2, "{discipline:?}");
        // It has not been taken yet, so the next finds a queue.
        queue.offer(
            &Arrival::whole(at(0), &2, three),
            LineState::Free,
            &mut rng(),
        );
        assert_eq!(queue.counters().dropped_full, 5, "{discipline:?}");
        assert_eq!(drain(&mut queue).len(), 1, "{discipline:?}");
    }
}

#[test]
fn what_the_line_has_not_begun_to_send_counts_against_the_limit() {
    let mut queue = queue(QueueDiscipline::DropTail, Some(QueueLimit::Packets(10)));
    let unsent = Depth {
        packets: 4,
        bytes: 4 * 1514,
    };
    let line = LineState::Busy { unsent };
    queue.offer(
        &Arrival::whole(at(0), &1, traffic(45, Ecn::NotEct, 0)),
        line,
        &mut rng(),
    );
    assert_eq!(queue.depth().packets, 6);
}

#[test]
fn it_has_been_waiting_since_the_first_arrival_after_it_was_empty() {
    let mut queue = queue(QueueDiscipline::CoDel(CODEL), None);
    let one = traffic(1, Ecn::NotEct, 0);
    queue.offer(&Arrival::whole(at(5), &1, one), BUSY, &mut rng());
    queue.offer(&Arrival::whole(at(9), &2, one), BUSY, &mut rng());
    assert_eq!(queue.waiting_since(), Some(at(5)));
    queue.take(at(10), 1, &mut rng());
    assert_eq!(queue.waiting_since(), Some(at(5)));
    queue.take(at(10), 1, &mut rng());
    assert_eq!(queue.waiting_since(), None);
}

#[test]
fn a_lower_limit_keeps_what_waits_and_refuses_what_comes() {
    let mut queue = queue(QueueDiscipline::DropTail, None);
    queue.offer(
        &Arrival::whole(at(0), &1, traffic(45, Ecn::NotEct, 0)),
        BUSY,
        &mut rng(),
    );
    queue.set(
        &QueueDiscipline::CoDel(CODEL),
        Some(QueueLimit::Packets(3)),
        None,
    );
    queue.offer(
        &Arrival::whole(at(1), &2, traffic(45, Ecn::NotEct, 0)),
        BUSY,
        &mut rng(),
    );
    assert_eq!(queue.depth().packets, 45);
    assert_eq!(queue.counters().dropped_full, 45);
}
