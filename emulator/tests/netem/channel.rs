//! One lane: delay, rate, loss, jitter, order, duplicates, queue.

use std::time::Duration;

use longhaul_topologies::model::{
    Channel, FourState, Jitter, JitterDistribution, JitterShape, Loss, PacketOrder, QueueLimit,
};
use longhaul_topologies::units::ByteSize;

use super::pair::{Pair, chance, close, hold_within_99_percent, nothing};
use super::pings::within_99_percent;

pub async fn the_kernel_reads_back_what_was_asked() {
    let pair = Pair::up(
        |channel| {
            channel.rate = Some("100Mbit".parse().unwrap());
            channel.queue_limit = Some(QueueLimit::Bytes(ByteSize::from_bytes(500_000)));
            channel.delay = Duration::from_micros(40_123);
            channel.jitter = Some(Jitter {
                deviation: Duration::from_millis(2),
                shape: JitterShape::Distribution(JitterDistribution::Pareto),
                order: PacketOrder::Preserved,
            });
            channel.loss = Loss::GilbertElliott {
                to_bad: chance(1.0),
                to_good: chance(25.0),
                loss_in_bad: chance(50.0),
                loss_in_good: chance(0.1),
            };
            channel.duplication = chance(3.0);
            channel.corruption = chance(0.5);
        },
        nothing,
    )
    .await;
    let gateway = pair.lab.plan().lanes[0].a.gateway;
    let tbf = &pair.qdisc(Some(gateway), "l0.0", "tbf")["options"];
    assert_eq!(tbf["rate"], 12_500_000);
    // A frame and 2 ms; tc computes it back from ticks of 64 ns.
    let burst = tbf["burst"].as_u64().unwrap();
    assert!((26_510..=26_514).contains(&burst), "{burst}");
    let fifo = &pair.qdisc(Some(gateway), "l0.0", "bfifo")["options"];
    assert_eq!(fifo["limit"], 500_000);

    let netem = &pair.qdisc(None, "l0.0b", "netem")["options"];
    close(&netem["delay"]["delay"], 0.040_123);
    close(&netem["delay"]["jitter"], 0.002);
    let model = &netem["loss-gemodel"];
    for (field, chance) in [("p", 0.01), ("r", 0.25), ("1-h", 0.5), ("1-k", 0.001)] {
        close(&model[field], chance);
    }
    close(&netem["duplicate"]["duplicate"], 0.03);
    close(&netem["corrupt"]["corrupt"], 0.005);
    close(&netem["rate"]["rate"], 1e14);

    // What is not asked again is gone.
    pair.change(|channel| {
        channel.jitter = None;
        channel.loss = Loss::Independent(chance(0.25));
        channel.duplication = chance(0.0);
        channel.corruption = chance(0.0);
        channel.queue_limit = Some(QueueLimit::Packets(77));
    });
    let netem = &pair.qdisc(None, "l0.0b", "netem")["options"];
    close(&netem["loss-random"]["loss"], 0.0025);
    for gone in ["loss-gemodel", "duplicate", "corrupt", "rate"] {
        assert!(netem[gone].is_null(), "{netem}");
    }
    let fifo = &pair.qdisc(Some(gateway), "l0.0", "pfifo")["options"];
    assert_eq!(fifo["limit"], 77);
}

/// UML's timers are late by some tens of microseconds, and its one CPU runs all of both round trips.
pub async fn a_round_trip_takes_both_delays() {
    let pair = Pair::up(
        |channel| channel.delay = Duration::from_millis(40),
        |channel| channel.delay = Duration::from_millis(20),
    )
    .await;
    let pings = pair.ping(&["-c", "20", "-i", "0.01"]);
    assert_eq!(pings.lost(), 0);
    let median = pings.median_milliseconds();
    assert!((60.0..61.0).contains(&median), "{median} ms");
}

pub async fn tcp_fills_the_rate_and_no_more() {
    let slow = |channel: &mut Channel| {
        channel.rate = Some("50Mbit".parse().unwrap());
        channel.delay = Duration::from_millis(5);
        channel.queue_limit = Some(QueueLimit::Bytes(ByteSize::from_bytes(125_000)));
    };
    let pair = Pair::up(slow, slow).await;
    let rate = pair.iperf3(&["-t", "4", "-O", "1"], || ());
    // The guest has one CPU for all, and the machine may have others to serve; what it must not do is exceed the share of
    // 1514-byte frames that is data.
    let most = 50e6 * 1448.0 / 1514.0;
    assert!((0.5 * most..1.01 * most).contains(&rate), "{rate} bit/s");
    let counters = pair.forward();
    assert_eq!((counters.losses, counters.engine_drops), (Some(0), 0));
}

pub async fn independent_loss_is_as_asked() {
    let pair = Pair::up(
        |channel| channel.loss = Loss::Independent(chance(2.0)),
        nothing,
    )
    .await;
    hold_within_99_percent(|| {
        let before = pair.forward().losses.unwrap();
        let pings = pair.ping(&["-f", "-q", "-c", "15000"]);
        let counted = pair.forward().losses.unwrap() - before;
        // The gateways have a word of their own to say now and then (IPv6 neighbour discovery).
        assert!(
            (pings.lost()..=pings.lost() + 3).contains(&counted),
            "{counted}: {pings:?}"
        );
        within_99_percent(pings.lost(), pings.sent, 0.02, 1.0)
    });
}

pub async fn gilbert_elliott_losses_come_in_bursts() {
    let (to_bad, to_good) = (0.01, 0.25);
    let model = Loss::GilbertElliott {
        to_bad: chance(100.0 * to_bad),
        to_good: chance(100.0 * to_good),
        loss_in_bad: chance(100.0),
        loss_in_good: chance(0.0),
    };
    let pair = Pair::up(|channel| channel.loss = model, nothing).await;
    // A state's share of the packets, and by how much its persistence inflates the variance of a sum (1 + ρ) ÷ (1 − ρ).
    let share = to_bad / (to_bad + to_good);
    let persistence = 1.0 - to_bad - to_good;
    let inflation = (1.0 + persistence) / (1.0 - persistence);
    hold_within_99_percent(|| {
        let pings = pair.ping(&["-c", "5000", "-i", "0.0002"]);
        // Bursts are geometric with the mean 4: independent losses of that share would make bursts of 1.04.
        let burst = pings.mean_burst();
        assert!((2.5..6.0).contains(&burst), "bursts of {burst}");
        within_99_percent(pings.lost(), pings.sent, share, inflation)
    });
}

pub async fn jitter_keeps_order_unless_told_otherwise() {
    let jitter = |order| {
        move |channel: &mut Channel| {
            channel.delay = Duration::from_millis(20);
            let deviation = Duration::from_millis(4);
            channel.jitter = Some(Jitter {
                deviation,
                shape: JitterShape::Distribution(JitterDistribution::Normal),
                order,
            });
        }
    };
    let pair = Pair::up(jitter(PacketOrder::Preserved), nothing).await;
    let pings = pair.ping(&["-c", "500", "-i", "0.001"]);
    assert_eq!((pings.lost(), pings.overtaken()), (0, 0));

    pair.change(jitter(PacketOrder::ByDelay));
    let pings = pair.ping(&["-c", "500", "-i", "0.001"]);
    assert!(pings.overtaken() > 20, "{} overtaken", pings.overtaken());
    let (mean, deviation) = (pings.mean_milliseconds(), pings.deviation_milliseconds());
    // 500 draws: the mean's deviation is 0.18 ms, the deviation's 0.13 ms; the guest adds some of its own.
    assert!((19.2..22.0).contains(&mean), "{mean} ms");
    assert!((3.5..5.0).contains(&deviation), "{deviation} ms");
}

pub async fn duplicates_arrive_twice() {
    let pair = Pair::up(|channel| channel.duplication = chance(10.0), nothing).await;
    hold_within_99_percent(|| {
        let pings = pair.ping(&["-f", "-q", "-c", "3000"]);
        within_99_percent(pings.duplicates, pings.sent, 0.1, 1.0)
    });
}

pub async fn a_queue_of_packets_holds_wire_packets() {
    let pair = Pair::up(
        |channel| {
            channel.rate = Some("20Mbit".parse().unwrap());
            channel.delay = Duration::from_millis(5);
            channel.queue_limit = Some(QueueLimit::Packets(30));
        },
        nothing,
    )
    .await;
    let mut most = 0;
    pair.iperf3(&["-t", "2"], || {
        for _ in 0..100 {
            most = most.max(pair.forward().queue_packets);
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    assert!((20..=30).contains(&most), "{most} packets queued");
    assert!(pair.forward().queue_drops > 0);
}

pub async fn a_live_channel_changes() {
    let pair = Pair::up(|channel| channel.rate = None, nothing).await;
    pair.change(|channel| {
        channel.delay = Duration::from_millis(30);
        channel.rate = Some("10Mbit".parse().unwrap());
        channel.queue_limit = Some(QueueLimit::Packets(100));
    });
    let median = pair.ping(&["-c", "9", "-i", "0.01"]).median_milliseconds();
    assert!((30.0..31.0).contains(&median), "{median} ms");
    pair.change(|channel| channel.loss = Loss::Independent(chance(100.0)));
    assert_eq!(pair.ping(&["-c", "5", "-i", "0.01", "-W", "0.2"]).lost(), 5);
    pair.change(nothing);
    assert_eq!(pair.ping(&["-c", "5", "-i", "0.01"]).lost(), 0);
    let losses = pair.forward().losses.unwrap();
    assert!((5..=8).contains(&losses), "{losses}, of which 5 pings");
}

pub async fn four_state_losses_are_as_the_chain_says() {
    let states = FourState {
        p13: chance(1.0),
        p31: chance(20.0),
        p32: chance(30.0),
        p23: chance(40.0),
        p14: chance(1.0),
    };
    let pair = Pair::up(|channel| channel.loss = Loss::FourState(states), nothing).await;
    // Bursts make the sum's variance larger than that of independent losses: by about (1 + ρ) ÷ (1 − ρ) with the slower of
    // the chain's two memories, ρ = 0.87.
    hold_within_99_percent(|| {
        let pings = pair.ping(&["-q", "-c", "4000", "-i", "0.0002"]);
        within_99_percent(pings.lost(), pings.sent, states.mean_loss(), 14.0)
    });
}

pub async fn one_lab_after_another_leaves_nothing() {
    let interfaces = || -> Vec<String> {
        let listed = nix::net::if_::if_nameindex().unwrap();
        let names = listed.iter().map(|one| one.name().to_string_lossy());
        names.map(std::borrow::Cow::into_owned).collect()
    };
    let before = interfaces();
    for _ in 0..2 {
        let pair = Pair::up(
            |channel| {
                channel.rate = Some("10Mbit".parse().unwrap());
                channel.queue_limit = Some(QueueLimit::Packets(10));
            },
            nothing,
        )
        .await;
        assert_eq!(pair.ping(&["-c", "2", "-i", "0.01"]).lost(), 0);
        assert_eq!(interfaces().len(), before.len() + 2);
        pair.lab.down().await;
        assert_eq!(interfaces(), before);
    }
}
