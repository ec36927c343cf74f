//! Queue pairs in virtual time.

use std::time::Duration;

use longhaul_topologies::units::{ByteSize, Rate};
use proptest::prelude::*;

use super::simulation::incast::Incast;
use super::simulation::{Lane, Link, Pair};
use super::{Erasure, Failure, Parameters, PathChoice, Recovery};
use crate::congestion::{FixedWindow, Law};

const GIGABIT: Rate = Rate::from_bits_per_second(1_000_000_000);
const DELAY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);

/// A window of one bandwidth-delay product of [`GIGABIT`] over twice [`DELAY`].
fn parameters() -> Parameters {
    Parameters {
        datagram: 1500,
        recovery: Recovery::SelectiveRepeat,
        choice: PathChoice::Hash,
        paths: 1,
        law: window(1_250_000),
        hops: 0,
        erasure: None,
        most_message: 1 << 20,
        messages: 64,
        patience: Duration::from_secs(5),
        playout: None,
    }
}

fn window(bytes: u64) -> Law {
    Law::FixedWindow(FixedWindow {
        window: ByteSize::from_bytes(bytes),
    })
}

fn link(lane: Lane) -> Link {
    Link {
        lanes: vec![lane],
        seed: 1,
    }
}

fn clean() -> Lane {
    Lane::new(GIGABIT, DELAY)
}

fn megabytes(count: usize) -> Vec<Vec<u8>> {
    Pair::messages(3, &vec![1 << 20; count])
}

fn arrives_whole(pair: &Pair, messages: &[Vec<u8>]) {
    let mut received: Vec<_> = pair.received.clone();
    received.sort();
    assert_eq!(received.len(), messages.len());
    for ((number, bytes), (index, message)) in received.iter().zip(messages.iter().enumerate()) {
        assert_eq!(*number, index as u64);
        assert!(bytes == message, "message {number} differs");
    }
}

#[test]
fn a_clean_link_is_filled() {
    let mut pair = Pair::new(&parameters(), link(clean()));
    let messages = megabytes(20);
    let time = pair.transfer(&messages, PATIENCE).unwrap();
    arrives_whole(&pair, &messages);
    // 20 MiB at 1 Gbit/s with the headers is 175 ms; a handshake of two round trips and a flight's way there and back are 30 ms.
    assert!(time < Duration::from_millis(210), "{time:?}");
    assert_eq!((pair.dropped, pair.sender.totals().repeats), (0, 0));
}

#[test]
fn what_a_busy_host_takes_is_neither_the_ways_delay_nor_a_loss() {
    let parameters = Parameters {
        law: window(100_000),
        ..parameters()
    };
    let mut pair = Pair::new(&parameters, link(clean()));
    pair.late = Duration::from_millis(7);
    let messages = megabytes(2);
    pair.transfer(&messages, PATIENCE).unwrap();
    arrives_whole(&pair, &messages);
    let rtt = pair.sender.path_states().next().unwrap().rtt.unwrap();
    assert!(
        rtt >= DELAY * 2 && rtt < DELAY * 2 + pair.late / 2,
        "{rtt:?}"
    );
    assert_eq!(pair.sender.totals().repeats, 0);
}

#[test]
fn the_first_packets_of_a_path_make_no_super_packets() {
    let mut pair = Pair::new(&parameters(), link(clean()));
    assert_eq!(pair.sender.super_packet(0), 0);
    pair.transfer(&megabytes(1), PATIENCE).unwrap();
    assert!(pair.sender.super_packet(0) > 1500);
}

#[test]
fn selective_repeat_sends_again_what_was_lost_and_little_more() {
    let mut pair = Pair::new(
        &parameters(),
        link(Lane {
            loss: 0.01,
            ..clean()
        }),
    );
    let messages = megabytes(20);
    pair.transfer(&messages, PATIENCE).unwrap();
    arrives_whole(&pair, &messages);
    let repeats = pair.sender.totals().repeats;
    assert!(
        repeats <= pair.dropped + 10,
        "{repeats} for {}",
        pair.dropped
    );
}

#[test]
fn an_erasure_code_saves_the_round_trip_of_a_repeat() {
    let lossy = Lane {
        loss: 0.005,
        ..clean()
    };
    let coded = Parameters {
        erasure: Some(Erasure {
            data: 16,
            parity: 2,
        }),
        ..parameters()
    };
    let latencies = |parameters: &Parameters| {
        let mut pair = Pair::new(parameters, link(lossy));
        for message in Pair::messages(4, &[24_000; 400]) {
            pair.transfer(&[message], PATIENCE).unwrap();
        }
        let late = pair.receiver.latencies().value_at_quantile(0.98);
        (Duration::from_nanos(late), pair.sender.totals().repeats)
    };
    let (repeated, _) = latencies(&parameters());
    let (computed, _) = latencies(&coded);
    // A message is a block; without parity, each twelfth misses a packet, which takes a round trip or more to repeat.
    assert!(repeated > DELAY * 3, "{repeated:?}");
    assert!(computed < DELAY * 3 / 2, "{computed:?}");
}

#[test]
fn go_back_n_sends_a_flight_again_for_each_loss() {
    let lossy = Lane {
        loss: 0.001,
        ..clean()
    };
    let go_back = Parameters {
        recovery: Recovery::GoBackN,
        ..parameters()
    };
    let messages = megabytes(20);
    let mut selective = Pair::new(&parameters(), link(lossy));
    let least = selective.transfer(&messages, PATIENCE).unwrap();
    let mut pair = Pair::new(&go_back, link(lossy));
    let time = pair.transfer(&messages, PATIENCE).unwrap();
    arrives_whole(&pair, &messages);
    assert!(pair.sender.totals().repeats > 20 * pair.dropped);
    assert!(time > least * 3 / 2, "{time:?} after {least:?}");
}

#[test]
fn reordering_is_learned_and_not_taken_for_loss() {
    let reordered = Lane {
        reordering: 0.05,
        held_back: Duration::from_micros(400),
        ..clean()
    };
    let mut pair = Pair::new(&parameters(), link(reordered));
    let messages = megabytes(20);
    pair.transfer(&messages, PATIENCE).unwrap();
    arrives_whole(&pair, &messages);
    // Some 700 packets are overtaken by 30 others each.
    assert!(
        pair.sender.totals().repeats < 40,
        "{:?}",
        pair.sender.totals()
    );
}

#[test]
fn the_last_packet_of_all_is_probed_for() {
    let mut pair = Pair::new(&parameters(), link(clean()));
    pair.transfer(&megabytes(1), PATIENCE).unwrap();
    pair.link.lanes[0].loss = 1.0;
    pair.sender.push(pair.now, b"one packet");
    pair.step().unwrap();
    pair.link.lanes[0].loss = 0.0;
    let start = pair.now;
    while !pair.sender.is_drained() {
        pair.step().unwrap();
    }
    // A smoothed round trip, four deviations, and a round trip.
    assert!(
        pair.now.since(start) < DELAY * 8,
        "{:?}",
        pair.now.since(start)
    );
}

#[test]
fn marks_are_counted_by_the_packet() {
    let marking = Lane {
        mark_above: 100_000,
        ..clean()
    };
    let twice = Parameters {
        law: window(2_400_000),
        ..parameters()
    };
    let messages = megabytes(20);
    let mut pair = Pair::new(&twice, link(marking));
    pair.transfer(&messages, PATIENCE).unwrap();
    let totals = pair.sender.totals();
    // Twice the product stands in the queue all the time but at both ends of the transfer.
    assert!(totals.marked * 10 > totals.arrived * 8, "{totals:?}");
    assert!(totals.marked < totals.arrived);
}

#[test]
fn spraying_and_choosing_fill_every_lane() {
    let lanes = vec![clean(); 4];
    for choice in [PathChoice::Spray, PathChoice::Adaptive] {
        let four = Parameters {
            choice,
            paths: 4,
            law: window(if choice == PathChoice::Spray {
                5_000_000
            } else {
                1_250_000
            }),
            ..parameters()
        };
        let messages = megabytes(40);
        let mut pair = Pair::new(
            &four,
            Link {
                lanes: lanes.clone(),
                seed: 1,
            },
        );
        let time = pair.transfer(&messages, PATIENCE).unwrap();
        arrives_whole(&pair, &messages);
        // 40 MiB at 4 Gbit/s is 88 ms.
        assert!(time < Duration::from_millis(125), "{choice:?} {time:?}");
        assert_eq!(pair.sender.totals().repeats, 0, "{choice:?}");
    }
}

#[test]
fn a_path_that_goes_silent_is_left_and_comes_back() {
    let two = Parameters {
        choice: PathChoice::Adaptive,
        paths: 2,
        ..parameters()
    };
    let lanes = vec![clean(); 2];
    let mut pair = Pair::new(&two, Link { lanes, seed: 1 });
    pair.transfer(&megabytes(10), PATIENCE).unwrap();
    pair.link.lanes[1].loss = 1.0;
    let time = pair.transfer(&megabytes(10), PATIENCE).unwrap();
    // 10 MiB over the one that is left is 88 ms; finding out is a few round trips of 10 ms.
    assert!(time < Duration::from_millis(200), "{time:?}");
    pair.link.lanes[1].loss = 0.0;
    pair.transfer(&megabytes(20), PATIENCE).unwrap();
    let time = pair.transfer(&megabytes(20), PATIENCE).unwrap();
    assert!(time < Duration::from_millis(120), "both again: {time:?}");
}

#[test]
fn a_peer_that_vanishes_is_given_up() {
    let mut pair = Pair::new(&parameters(), link(clean()));
    pair.transfer(&megabytes(1), PATIENCE).unwrap();
    pair.link.lanes[0].loss = 1.0;
    let failure = pair.transfer(&megabytes(1), PATIENCE).unwrap_err();
    assert!(matches!(failure, Failure::Vanished(waited) if waited >= parameters().patience));
}

#[test]
fn a_lost_word_of_new_room_is_asked_for() {
    let narrow = Parameters {
        messages: 1,
        ..parameters()
    };
    let mut pair = Pair::new(
        &narrow,
        link(Lane {
            loss: 0.2,
            ..clean()
        }),
    );
    let messages = Pair::messages(5, &[2000; 50]);
    pair.transfer(&messages, PATIENCE).unwrap();
    arrives_whole(&pair, &messages);
}

#[test]
fn with_playout_every_message_takes_the_same_time() {
    let playout = Duration::from_millis(40);
    let even = Parameters {
        playout: Some(playout),
        ..parameters()
    };
    let mut pair = Pair::new(
        &even,
        link(Lane {
            loss: 0.01,
            ..clean()
        }),
    );
    pair.transfer(&megabytes(1), PATIENCE).unwrap();
    pair.transfer(&Pair::messages(5, &[20_000; 50]), PATIENCE)
        .unwrap();
    let latencies = pair.receiver.latencies();
    let least = Duration::from_nanos(latencies.min());
    let middle = Duration::from_nanos(latencies.value_at_quantile(0.5));
    assert!(least >= playout - playout / 1000, "{least:?}");
    assert!(middle <= playout + playout / 1000, "{middle:?}");
}

/// 10 Gbit/s to the receiver of all, that delay, and a queue with marks from a quarter of it on.
fn shared(delay: Duration, queue: u64) -> Lane {
    Lane {
        queue,
        mark_above: queue / 4,
        ..Lane::new(Rate::from_bits_per_second(10_000_000_000), delay)
    }
}

fn rack() -> Lane {
    shared(Duration::from_micros(10), 256 << 10)
}

/// What a lane's way there and back and its queue hold.
fn holds(lane: Lane) -> u64 {
    lane.rate.size_in(lane.delay * 2).bytes() + lane.queue
}

fn incast(law: Law, lane: Lane, credits: Option<u64>) -> Incast {
    let parameters = Parameters {
        datagram: 4096,
        law,
        ..parameters()
    };
    Incast::new(8, &parameters, lane, credits)
}

fn law(name: &str) -> Law {
    serde_json::from_value(name.into()).expect("the name of a law")
}

#[test]
fn credits_keep_senders_that_begin_at_once_from_overrunning_the_queue() {
    // A window of what the queue holds for each; and laws that adapt, as a rack has them and as a distance has.
    for law in [window(rack().queue), law("dcqcn"), law("distance")] {
        // Senders that begin behind one that has all bring as much again.
        let half = holds(rack()) / 2;
        let [without, with] = [None, Some(half)].map(|credits| {
            let mut incast = incast(law.clone(), rack(), credits);
            let messages = megabytes(1);
            let times = (0..3).map(|_| incast.transfer(8, &messages, PATIENCE).unwrap());
            let time: Duration = times.sum();
            assert!(incast.most_allowed <= half * 2, "{}", incast.most_allowed);
            (time, incast.dropped())
        });
        let law = law.name();
        assert!(without.1 > 100, "{law}: {without:?}");
        assert!(with.1 * 20 < without.1, "{law}: {with:?} for {without:?}");
        // A round trip more in a thousand, at most.
        assert!(
            with.0 <= without.0 * 1001 / 1000,
            "{law}: {with:?} for {without:?}"
        );
    }
}

#[test]
fn a_sender_that_is_alone_has_all_credits() {
    let mut incast = incast(window(rack().queue), rack(), Some(holds(rack()) / 8));
    incast.transfer(8, &megabytes(1), PATIENCE).unwrap();
    let time = incast.transfer(1, &megabytes(8), PATIENCE).unwrap();
    // 8 MiB at 10 Gbit/s are 6.7 ms; an eighth of the credits would take four times that.
    assert!(time < Duration::from_micros(7_000), "{time:?}");
}

#[test]
fn credits_hold_for_all_paths_of_a_queue_pair_together() {
    const ALLOWED: u64 = 100_000;
    let four = Parameters {
        choice: PathChoice::Adaptive,
        paths: 4,
        ..parameters()
    };
    let lanes = vec![clean(); 4];
    let mut pair = Pair::new(&four, Link { lanes, seed: 1 });
    pair.receiver.allowance = ALLOWED;
    pair.sender.push(pair.now, &[7; 1 << 20]);
    let mut most = 0;
    while pair.received.is_empty() {
        pair.step().unwrap();
        let flows = pair.sender.flows.iter();
        most = most.max(flows.map(|flow| flow.in_flight).sum());
    }
    // The last packet may begin below the bound and end above it.
    assert!(
        (ALLOWED..ALLOWED + four.datagram as u64).contains(&most),
        "{most}"
    );
}

#[test]
#[ignore = "prints the table of docs/congestion-control.md"]
fn what_credits_do_against_incast() {
    let lanes = [(10, 256 << 10), (500, 1 << 20), (5000, 2 << 20)];
    for (delay, queue) in lanes {
        let lane = shared(Duration::from_micros(delay), queue);
        let laws = ["dcqcn", "distance", "dctcp", "cubic"].map(law);
        for law in [window(holds(lane) / 4)].into_iter().chain(laws) {
            for credits in [None, Some(holds(lane) / 2)] {
                let mut incast = incast(law.clone(), lane, credits);
                let messages = megabytes(4);
                let times = [(); 3].map(|()| incast.transfer(8, &messages, PATIENCE).unwrap());
                let gigabits = (8 * 8 * messages.concat().len()) as f64 / 1e9;
                println!(
                    "{:?} {} {credits:?}: {} dropped, {:.2} Gbit/s",
                    lane.delay * 2,
                    law.name(),
                    incast.dropped(),
                    gigabits / times[2].as_secs_f64()
                );
            }
        }
    }
}

#[test]
fn an_end_is_said_and_answered() {
    let mut pair = Pair::new(&parameters(), link(clean()));
    pair.transfer(&megabytes(1), PATIENCE).unwrap();
    pair.sender.close(pair.now);
    let start = pair.now;
    while !pair.sender.is_closed() {
        pair.step().unwrap();
    }
    assert!(pair.receiver.is_ended());
    assert!(pair.now.since(start) < DELAY * 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_arrives_once_and_whole(
        lengths in prop::collection::vec(0usize..30_000, 1..40),
        (loss, duplication, reordering) in (0.0..0.3, 0.0..0.3, 0.0..0.3),
        held_back in 0u64..20_000,
        seed in any::<u64>(),
        paths in 1u8..4,
        choice in prop_oneof![Just(PathChoice::Hash), Just(PathChoice::Spray), Just(PathChoice::Adaptive)],
        go_back in any::<bool>(),
        messages in 1u64..20,
        hops in 0u8..3,
        erasure in prop::option::of((1u8..20, 1u8..5)),
    ) {
        let lane = Lane { loss, duplication, reordering, held_back: Duration::from_micros(held_back), ..clean() };
        let parameters = Parameters {
            recovery: if go_back { Recovery::GoBackN } else { Recovery::SelectiveRepeat },
            choice,
            paths,
            messages,
            hops,
            erasure: erasure.map(|(data, parity)| Erasure { data, parity }),
            law: window(60_000),
            patience: Duration::from_secs(600),
            ..parameters()
        };
        let lanes = vec![lane; paths.into()];
        let mut pair = Pair::new(&parameters, Link { lanes, seed });
        let sent = Pair::messages(seed, &lengths);
        pair.transfer(&sent, Duration::from_secs(600)).unwrap();
        arrives_whole(&pair, &sent);
        prop_assert!(pair.most_remembered < 500, "{}", pair.most_remembered);
    }

    #[test]
    fn hostile_packets_neither_stop_it_nor_take_memory(
        packets in prop::collection::vec((any::<bool>(), 0u8..8, 0u8..3, prop::collection::vec(any::<u8>(), 0..200)), 0..200),
        small in any::<bool>(),
    ) {
        let mut pair = Pair::new(&parameters(), link(clean()));
        pair.transfer(&Pair::messages(1, &[5000]), PATIENCE).unwrap();
        for (to_receiver, kind, path, body) in packets {
            let mut bytes = b"LM".to_vec();
            bytes.extend_from_slice(&[kind, path, 0, 0, 0, 0]);
            bytes.extend_from_slice(&11u64.to_be_bytes());
            // Small numbers are likelier to be taken for real ones.
            bytes.extend(body.iter().enumerate().map(|(at, &byte)| if small && at % 8 < 7 { 0 } else { byte }));
            // A bye is meant to end it.
            if kind != 5 {
                pair.inject(to_receiver, bytes).unwrap();
                pair.step().unwrap();
            }
        }
        prop_assert!(pair.most_remembered < 500, "{}", pair.most_remembered);
    }
}
