//! Random loss: whether super-packets that are cut where a segment is lost show a transport the same as packets carried
//! one by one, and for how much less.

use std::io;

use longhaul_topologies::model::{Channel, Loss, QueueLimit};
use longhaul_topologies::units::{ByteSize, Probability};

use super::Effort;
use super::flows::{Flow, Offload, Trial, flow, limited};
use super::table::{Table, median};

pub fn run(effort: Effort, table: &mut Table) -> io::Result<()> {
    let trial = |offload| Trial {
        channel: Some(Channel {
            loss: Loss::Independent(Probability::new(1e-3).expect("a share")),
            // Four bandwidth-delay products, so that nothing is lost but at random.
            queue_limit: Some(QueueLimit::Bytes(ByteSize::from_bytes(10_000_000))),
            ..limited(1000, 10)
        }),
        ramp: effort.ramp,
        measure: effort.measure,
        control: "bbr",
        offload,
    };
    let mut rounds = Vec::new();
    for _ in 0..effort.rounds {
        rounds.push([
            flow(&trial(Offload::None))?,
            flow(&trial(Offload::SuperPackets))?,
        ]);
    }
    let of = |way: usize, value: fn(&Flow) -> f64| {
        median(rounds.iter().map(move |round| value(&round[way])))
    };
    // Of all rounds together: a thousand losses are counted to 3 %.
    let retransmitted = |way: usize| -> f64 {
        rounds
            .iter()
            .map(|round| f64::from(round[way].retransmitted))
            .sum()
    };
    let per_million = |way: usize| {
        let segments: f64 = rounds
            .iter()
            .map(|round| f64::from(round[way].segments))
            .sum();
        retransmitted(way) * 1e6 / segments.max(1.0)
    };
    for (way, name) in [
        (0, "loss 0.1 %, 1 Gbit/s, 20 ms RTT, packet by packet"),
        (1, "  super-packets, cut"),
    ] {
        table.figure(
            name,
            format!(
                "{:.0} retransmitted per million, {:.3} Gbit/s",
                per_million(way),
                of(way, |flow| flow.gigabits_per_second)
            ),
        );
    }
    // Per segment that the model took, as the ways do not send equally many, and so do not draw equal losses.
    let per_loss = |way: usize| {
        let lost: u64 = rounds.iter().map(|round| round[way].lost).sum();
        retransmitted(way) / (lost.max(1) as f64)
    };
    let off = per_loss(1) / per_loss(0) - 1.0;
    table.goal(
        "  retransmissions, against packet by packet",
        format!(
            "{:+.1} % ({:.3} and {:.3} for each loss)",
            off * 100.0,
            per_loss(1),
            per_loss(0)
        ),
        "within 5 %",
        off.abs() <= 0.05,
    );
    // Per gigabit carried, as the flow without offload may not reach the rate.
    let cost = |flow: &Flow| flow.relay / flow.gigabits_per_second;
    let share = of(1, cost) / of(0, cost);
    table.goal(
        "  the relay's CPU, against packet by packet",
        format!(
            "{:.0} % ({:.0} and {:.0} % of a core)",
            share * 100.0,
            of(1, |flow| flow.relay) * 100.0,
            of(0, |flow| flow.relay) * 100.0
        ),
        "≤ 20 %",
        share <= 0.2,
    );
    Ok(())
}
