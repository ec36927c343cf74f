//! The topology that a result describes, and what was measured of its links.

use longhaul_topologies::model::{Channel, Direction, Link};
use longhaul_topologies::{Document, Topology, catalogue, validate};

use crate::format::{quantity, rate, time};
use crate::result::{ChannelSummary, DelaySummary, FidelityRow, RunResult, fidelity};

/// The topology of the experiment, without what is swept; in words why there is none.
pub(crate) fn topology(result: &RunResult) -> Result<Topology, String> {
    let described = &result.experiment["topology"];
    let document = match described.as_str() {
        // A result never names a file to be read: it may come from anywhere.
        Some(name) => {
            let mut entries = catalogue::entries().iter();
            let entry = entries.find(|entry| entry.name == name);
            let entry = entry.ok_or_else(|| {
                format!("it is only named, {name}, and no topology of the catalogue is called so")
            })?;
            Document::from_text(entry.name, entry.text)
        }
        None if described.is_null() => return Err("the result describes none".to_owned()),
        None => Document::from_text("topology", &described.to_string()),
    };
    document
        .and_then(|document| validate::topology(&document))
        .map_err(|error| error.message)
}

/// A link in one direction: asked and measured.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub from: String,
    pub to: String,
    /// In a few words, with a topology file's terms.
    pub asked: String,
    /// Each measured quantity with what was allowed, over all points the worst.
    pub measured: Vec<Measured>,
    /// Bytes delivered over all points and lanes.
    pub bytes: u64,
    /// Dropped and marked packets over all points and lanes, in words; empty if none.
    pub losses: String,
    /// While the workload ran: median and 99th percentile of the one-way delay over all points, the worst, in microseconds.
    pub loaded_us: Option<(f64, f64)>,
}

/// One quantity of one direction of a link.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub quantity: String,
    pub value: String,
    pub within: bool,
}

/// Both directions of every link, in the topology's order.
pub(crate) fn ways(topology: &Topology, result: &RunResult) -> Vec<[Way; 2]> {
    let both =
        |link: &Link| Direction::BOTH.map(|direction| way(topology, link, direction, result));
    topology.links.iter().map(both).collect()
}

fn way(topology: &Topology, link: &Link, direction: Direction, result: &RunResult) -> Way {
    let [from, to] = link
        .ends(direction)
        .map(|site| topology.site(site).name.clone());
    let name = format!("{from}>{to}");
    let points = || result.points.iter();
    let channels: Vec<&ChannelSummary> = points()
        .flat_map(|point| &point.channels)
        .filter(|channel| channel.link == name)
        .collect();
    let delays: Vec<&DelaySummary> = points()
        .flat_map(|point| &point.delays)
        .filter(|delay| delay.from == from && delay.to == to)
        .collect();
    let of_link = |(_, check): &(usize, &FidelityRow)| {
        let lane = check.channel.strip_prefix(&name);
        lane.is_some_and(|lane| lane.starts_with(" lane "))
    };
    let checks = result.checks().into_iter();
    let worst =
        |pick: fn(&DelaySummary) -> f64| delays.iter().map(|delay| pick(delay)).reduce(f64::max);
    Way {
        asked: asked(link, direction),
        measured: measured(checks.filter(of_link)),
        bytes: channels.iter().map(|channel| channel.bytes).sum(),
        losses: losses(&channels),
        loaded_us: worst(|delay| delay.delay_us.p50).zip(worst(|delay| delay.delay_us.p99)),
        from,
        to,
    }
}

/// `2 × 500 Mbit/s, 40 ms, jitter 2 ms`.
fn asked(link: &Link, direction: Direction) -> String {
    let channel: &Channel = link.channel(direction);
    let limit = link.least_rate(direction);
    let limit = limit.map_or("unlimited".to_owned(), |limit| {
        rate(limit.bits_per_second() as f64)
    });
    let lanes = match link.lanes.len() {
        1 => String::new(),
        lanes => format!("{lanes} × "),
    };
    let mut parts = vec![
        format!("{lanes}{limit}"),
        time(channel.delay.as_secs_f64() * 1e6),
    ];
    if let Some(jitter) = &channel.jitter {
        let deviation = time(jitter.deviation.as_secs_f64() * 1e6);
        parts.push(format!("jitter {deviation}"));
    }
    parts.join(", ")
}

/// The worst of each quantity.
fn measured<'a>(checks: impl IntoIterator<Item = (usize, &'a FidelityRow)>) -> Vec<Measured> {
    let told = |(_, check): (usize, &FidelityRow)| Measured {
        quantity: check.quantity.clone(),
        value: quantity(check.measured, &check.unit),
        within: check.within,
    };
    fidelity::worst(checks).into_iter().map(told).collect()
}

fn losses(channels: &[&ChannelSummary]) -> String {
    let sum = |pick: fn(&ChannelSummary) -> u64| channels.iter().map(|one| pick(one)).sum::<u64>();
    let counts = [
        (sum(|one| one.queue_drops), "dropped by the full queue"),
        (sum(|one| one.early_drops), "dropped early"),
        (sum(|one| one.marks), "marked"),
        (sum(|one| one.losses.unwrap_or(0)), "lost on the way"),
        (sum(|one| one.outage_drops), "lost in outages"),
    ];
    let told = counts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    told.join(", ")
}

/// The links with what was measured, a line per direction and quantity.
pub(crate) fn links_csv(topology: &Topology, result: &RunResult) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut row = |fields: [&str; 6]| {
        let written = writer.write_record(fields);
        written.expect("writing into memory does not fail");
    };
    row(["from", "to", "asked", "quantity", "measured", "within"]);
    for way in ways(topology, result).iter().flatten() {
        row([
            &way.from,
            &way.to,
            &way.asked,
            "bytes",
            &way.bytes.to_string(),
            "",
        ]);
        for one in &way.measured {
            let within = one.within.to_string();
            row([
                &way.from,
                &way.to,
                &way.asked,
                &one.quantity,
                &one.value,
                &within,
            ]);
        }
    }
    let text = writer.into_inner().expect("memory takes all");
    String::from_utf8(text).expect("texts are UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};

    #[test]
    fn a_link_tells_what_was_asked_and_the_worst_that_was_measured() {
        let (mut result, _) = example::run(&Shape {
            sites: &["virginia", "dublin", "tokyo"],
            ..Shape::default()
        });
        result.experiment = serde_json::json!({ "topology": "three-continents" });
        let row = &mut result.points[1].fidelity.checks[0];
        (row.measured, row.within) = (29_000.0, false);
        let topology = topology(&result).unwrap();
        let [forward, back] = &ways(&topology, &result)[0];
        assert_eq!((&*forward.from, &*forward.to), ("virginia", "dublin"));
        assert!(
            forward.asked.starts_with("500 Mbit/s, "),
            "{}",
            forward.asked
        );
        assert_eq!(forward.measured[0].value, "29 ms");
        assert!(!forward.measured[0].within && back.measured[0].within);
        let csv = links_csv(&topology, &result);
        assert!(csv.contains("one-way delay,29 ms,false"), "{csv}");
    }

    #[test]
    fn a_result_never_names_a_file_to_read() {
        let (mut result, _) = example::run(&Shape::default());
        for name in ["/etc/passwd", "./topology.yaml", "no-such"] {
            result.experiment = serde_json::json!({ "topology": name });
            let refusal = topology(&result).unwrap_err();
            assert!(
                refusal.contains("no topology of the catalogue"),
                "{refusal}"
            );
        }
    }
}
