//! What of a topology another engine's links cannot be told: said to whoever exports it, and in the file.

use std::collections::BTreeMap;

use crate::Topology;
use crate::model::{
    Channel, Direction, JitterDistribution, JitterShape, LaneState, Link, Loss, QueueDiscipline,
    Spread,
};

/// Whole clauses, each with the links that it is true of: `the schedule of virginia-dublin`.
pub fn left_out(topology: &Topology) -> Vec<String> {
    let mut links_by_what: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for link in &topology.links {
        let name = [link.a, link.b].map(|site| topology.site(site).name.as_str());
        for what in of_link(link) {
            links_by_what.entry(what).or_default().push(name.join("-"));
        }
    }
    links_by_what
        .into_iter()
        .map(|(what, links)| format!("{what} ({})", links.join(", ")))
        .collect()
}

fn of_link(link: &Link) -> Vec<&'static str> {
    let mut found = Vec::new();
    if !link.schedule.is_empty() {
        found.push("the schedule: links stay as they are at its beginning");
    }
    if link.lanes.len() > 1 && link.spread != Spread::FlowHash {
        found.push("how packets are spread over lanes: it is the kernel's hash of flows");
    }
    for lane in &link.lanes {
        for direction in Direction::BOTH {
            found.extend(of_channel(lane.channel(direction), link.lanes.len()));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn of_channel(channel: &Channel, lanes: usize) -> impl Iterator<Item = &'static str> {
    let shape = channel.jitter.as_ref().map(|jitter| &jitter.shape);
    let all = [
        (
            channel.state == LaneState::Down && lanes > 1,
            "that flows leave a lane that is down: what is routed there is lost",
        ),
        (
            channel.rate_trace.is_some(),
            "the trace of the rate: it is the trace's mean",
        ),
        (
            matches!(shape, Some(JitterShape::Table(_) | JitterShape::Trace(_))),
            "jitter from a table or a trace: there is none",
        ),
        (
            matches!(
                shape,
                Some(JitterShape::Distribution(
                    JitterDistribution::Pareto | JitterDistribution::ParetoNormal
                ))
            ),
            "the deviation of heavy-tailed jitter to the digit: iproute2's tables are not scaled to it",
        ),
        (
            matches!(channel.loss, Loss::Packets(_) | Loss::Trace(_)),
            "losses from a list or a trace: there are none",
        ),
        (channel.reordering.is_some(), "reordering: there is none"),
        (
            channel.discipline != QueueDiscipline::DropTail,
            "the queue discipline: it is a FIFO of the same size",
        ),
    ];
    all.into_iter()
        .filter_map(|(is_so, what)| is_so.then_some(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Document, validate};

    fn of(settings: &str) -> Vec<String> {
        let text = format!(
            "{{sites: [{{name: a}}, {{name: b}}], links: [{{between: [a, b], delay: 10ms, rate: 1Gbit, {settings}}}]}}"
        );
        let document = Document::from_text("two", &text).unwrap();
        left_out(&validate::topology(&document).unwrap())
    }

    #[test]
    fn what_netem_can_do_is_not_told_of() {
        assert_eq!(
            of("lanes: 2, jitter: 1ms, loss: 1%, duplication: 1%, queue: 1bdp"),
            [""; 0]
        );
    }

    #[test]
    fn each_thing_is_told_once_with_its_links() {
        for (settings, expected) in [
            ("schedule: [{at: 1s, delay: 20ms}]", "the schedule"),
            ("lanes: 2, spread: round-robin", "how packets are spread"),
            ("lanes: [{state: down}, {}]", "that flows leave a lane"),
            (
                "rate: {steps: [{at: 0s, rate: 1Mbit}], period: 1s}",
                "the trace of the rate",
            ),
            ("jitter: {samples: [1ms, 2ms]}", "jitter from a table"),
            (
                "jitter: {deviation: 1ms, distribution: pareto}",
                "the deviation",
            ),
            ("loss: {packets: [3]}", "losses from a list"),
            ("reordering: {chance: 1%}", "reordering"),
            ("queue: {limit: 1MiB, codel: {}}", "the queue discipline"),
        ] {
            let settings = settings.replace("rate: {", "reverse: {rate: {");
            let settings = match settings.contains("reverse") {
                true => format!("{settings}}}"),
                false => settings,
            };
            let told = of(&settings);
            assert_eq!(told.len(), 1, "{settings}: {told:?}");
            assert!(told[0].starts_with(expected), "{}", told[0]);
            assert!(told[0].ends_with(" (a-b)"), "{}", told[0]);
        }
    }
}
