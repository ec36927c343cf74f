//! The summaries of every point, and what its programs or its steps measured, as lines and as JSON.

use serde_json::{Value, json};

use crate::folder::Opened;
use crate::result::{Measure, Percentiles, Point, Summary};
use crate::side_by_side;

/// Which point a line is of.
const PLACE: [&str; 5] = ["result", "point", "stack", "settings", "repeat"];

/// What a summary has.
const OF_SUMMARY: [&str; 13] = [
    "size_bytes",
    "count",
    "placement",
    "iterations",
    "time_us",
    "algbw_gbps",
    "busbw_gbps",
    "p50_us",
    "p95_us",
    "p99_us",
    "stdev_us",
    "wrong",
    "bound_share",
];

/// What a measure has, all values in its unit.
const OF_MEASURE: [&str; 10] = [
    "figure", "host", "unit", "values", "mean", "least", "p50", "p95", "p99", "greatest",
];

pub(super) fn csv(results: &[Opened]) -> String {
    let columns = [&["faithful"][..], &OF_SUMMARY, &OF_MEASURE].concat();
    let none = |columns: usize| vec![String::new(); columns];
    lines(&columns, results, |point| {
        let of_summary = |one: &Summary| {
            let cells = vec![
                one.size_bytes.to_string(),
                one.count.to_string(),
                one.placement.name().to_owned(),
                one.iterations.to_string(),
                one.time_us.to_string(),
                one.algbw_gbps.to_string(),
                one.busbw_gbps.to_string(),
                one.p50_us.to_string(),
                one.p95_us.to_string(),
                one.p99_us.to_string(),
                one.stdev_us.to_string(),
                one.wrong.to_string(),
                one.bound_share
                    .map_or_else(String::new, |share| share.to_string()),
            ];
            [cells, none(OF_MEASURE.len())].concat()
        };
        let of_measure = |one: &Measure| {
            let Percentiles {
                count,
                mean,
                min,
                p50,
                p95,
                p99,
                max,
            } = one.summary;
            let mut cells = none(OF_SUMMARY.len());
            cells.extend([&one.name, &one.host, &one.unit].map(String::clone));
            cells.push(count.to_string());
            cells.extend([mean, min, p50, p95, p99, max].map(|value| value.to_string()));
            cells
        };
        let summaries = point.summaries.iter().map(of_summary);
        let all = summaries.chain(point.measures.iter().map(of_measure));
        let faithful = point.fidelity.faithful.to_string();
        all.map(|cells| [vec![faithful.clone()], cells].concat())
            .collect()
    })
}

/// As CSV with a head: whatever `of_point` has of each point, behind what says which point it is.
pub(super) fn lines(
    columns: &[&str],
    results: &[Opened],
    of_point: impl Fn(&Point) -> Vec<Vec<String>>,
) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |line: &[String]| {
        let written = writer.write_record(line);
        written.expect("writing into memory does not fail");
    };
    let head = PLACE.iter().chain(columns);
    write(&head.map(|name| (*name).to_owned()).collect::<Vec<_>>());
    for (opened, name) in results.iter().zip(side_by_side::names(results)) {
        for point in &opened.folder.result.points {
            let place = [
                name.clone(),
                point.index.to_string(),
                point.stack.clone(),
                settings(point),
                point.repeat.to_string(),
            ];
            for line in of_point(point) {
                write(&[&place[..], &line].concat());
            }
        }
    }
    let bytes = writer.into_inner().expect("memory takes all");
    String::from_utf8(bytes).expect("texts are UTF-8")
}

/// `links.0.queue=1bdp algorithm=ring`, as in `samples.csv`.
pub(super) fn settings(point: &Point) -> String {
    let settings = point.settings.iter();
    let settings: Vec<String> = settings
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    settings.join(" ")
}

pub(super) fn json(results: &[Opened]) -> String {
    let all: Vec<Value> = results
        .iter()
        .zip(side_by_side::names(results))
        .map(|(opened, name)| one(opened, &name))
        .collect();
    let text = serde_json::to_string_pretty(&json!({ "results": all }));
    text.expect("our own types serialise") + "\n"
}

fn one(opened: &Opened, name: &str) -> Value {
    let result = &opened.folder.result;
    let points: Vec<Value> = result
        .points
        .iter()
        .map(|point| {
            json!({
                "index": point.index,
                "stack": point.stack,
                "settings": point.settings,
                "repeat": point.repeat,
                "workload": point.workload,
                "faithful": point.fidelity.faithful,
                "findings": point.fidelity.findings,
                "summaries": point.summaries,
                "measures": point.measures,
                "bound": point.bound,
                "delays": point.delays,
                "channels": point.channels,
                "flows": point.flows,
                "shares": point.shares,
                "nics": point.nics,
                "timeline": point.timeline,
                "commands": point.commands,
            })
        })
        .collect();
    json!({
        "name": name,
        "schema_version": result.schema_version,
        "longhaul_version": result.longhaul_version,
        "seed": result.seed,
        "outcome": result.outcome,
        "remarks": opened.remarks,
        "run_details": result.run_details,
        "environment": result.environment,
        "points": points,
    })
}
