//! What NICs counted while points ran: how they did, and all else that moved.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::format::{bytes, significant, time};
use crate::html::{sparse_table, table};
use crate::result::{NicCounter, RunResult};
use crate::series::Series;

/// More lines than this are not read; result.json has all.
const MOST: usize = 60;

/// A column: its title, the metric that it sums, and what series of it.
type Column = (&'static str, &'static str, &'static [&'static str]);

const COLUMNS: [Column; 11] = [
    ("sent", "longhaul.nic.io", &["transmit"]),
    ("received", "longhaul.nic.io", &["receive"]),
    ("ECN marked", "longhaul.nic.packet.marked", &[]),
    ("CNPs sent", "longhaul.nic.cnp.count", &["sent"]),
    ("CNPs handled", "longhaul.nic.cnp.count", &["handled"]),
    (
        "out of sequence",
        "longhaul.nic.event.count",
        &["out_of_sequence"],
    ),
    ("pauses sent", "longhaul.nic.pause.count", &["transmit"]),
    ("pauses received", "longhaul.nic.pause.count", &["receive"]),
    // What the NIC itself was kept from sending by.
    ("paused", "longhaul.nic.pause.duration", &["receive"]),
    (
        "discarded sending",
        "longhaul.nic.packet.dropped",
        &["transmit"],
    ),
    (
        "discarded receiving",
        "longhaul.nic.packet.dropped",
        &["receive"],
    ),
];

/// A line per series and NIC; nothing if no NIC was read.
pub(super) fn section(result: &RunResult) -> Option<Markup> {
    let (mut known, mut other) = (Vec::new(), Vec::new());
    for series in Series::of(result) {
        let mut by_source: BTreeMap<String, Vec<&NicCounter>> = BTreeMap::new();
        for counter in series.points.iter().flat_map(|point| &point.nics) {
            by_source.entry(counter.source()).or_default().push(counter);
        }
        for (source, counters) in by_source {
            let head = [html! { (series.label) }, html! { (source) }];
            let cells = COLUMNS.iter().map(|column| cell(*column, &counters));
            known.push(head.iter().cloned().chain(cells).collect::<Vec<_>>());
            other.extend(others(&counters).into_iter().map(|[name, growth]| {
                let [series, source] = head.clone();
                vec![series, source, name, growth]
            }));
        }
    }
    if known.is_empty() {
        return None;
    }
    let titles = COLUMNS.iter().map(|(title, ..)| *title);
    let titles: Vec<&str> = ["series", "NIC"].into_iter().chain(titles).collect();
    let (lines, others) = (known.len(), other.len());
    known.truncate(MOST);
    other.truncate(MOST);
    Some(html! {
        (sparse_table(&titles, &known, 2))
        p.muted {
            "What counters grew by, warm-up and repeats together; empty where one did not grow or is not there. An interface counts what its RDMA "
            "device counts once more."
            @if lines > MOST { " The first " (MOST) " of " (lines) " lines." }
        }
        @if others > 0 {
            details {
                summary { "What else was counted: " (others) }
                (table(&["series", "NIC", "counter", "growth"], &other, 3))
                @if others > MOST { p.muted { "The first " (MOST) " of " (others) " lines; result.json has all." } }
            }
        }
    })
}

/// What the counters of a column grew by.
fn cell((_, metric, values): Column, counters: &[&NicCounter]) -> Markup {
    let of_it: Vec<&&NicCounter> = counters
        .iter()
        .filter(|one| one.is(metric, values))
        .collect();
    let growth = of_it.iter().map(|one| one.growth).sum();
    html! { @if let Some(first) = of_it.first() { span.nowrap { (quantity(growth, &first.unit)) } } }
}

/// Name and growth of those that are in no column.
fn others(counters: &[&NicCounter]) -> Vec<[Markup; 2]> {
    let mut all: BTreeMap<&str, (f64, &str)> = BTreeMap::new();
    let is_known = |one: &NicCounter| {
        COLUMNS
            .iter()
            .any(|(_, metric, values)| one.is(metric, values))
    };
    for one in counters.iter().filter(|one| !is_known(one)) {
        let (growth, _) = all.entry(&one.counter).or_insert((0.0, &one.unit));
        *growth += one.growth;
    }
    let row = |(name, (growth, unit)): (&str, (f64, &str))| {
        [
            html! { (name) },
            html! { span.nowrap { (quantity(growth, unit)) } },
        ]
    };
    all.into_iter().map(row).collect()
}

/// A growth in one of UCUM's units.
fn quantity(growth: f64, unit: &str) -> String {
    match unit {
        "By" => bytes(growth),
        "s" => time(growth * 1e6),
        _ => significant(growth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};

    #[test]
    fn a_nic_has_a_line_and_what_no_column_has_a_table_of_its_own() {
        let (result, _) = example::run(&Shape::default());
        let text = section(&result).unwrap().into_string();
        for expected in [
            "virginia-0/mlx5_0/1",
            "16 MiB",
            "12",
            "packet_seq_err",
            "1.5 ms",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(text.contains("What else was counted: "));
    }

    #[test]
    fn where_nothing_was_read_there_is_no_section() {
        let (mut result, _) = example::run(&Shape::default());
        for point in &mut result.points {
            point.nics.clear();
        }
        assert!(section(&result).is_none());
    }
}
