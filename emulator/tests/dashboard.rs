//! The Grafana dashboard asks for nothing that is not in the model, and is what Grafana's documentation says a dashboard is.

use std::collections::BTreeSet;

use longhaul_emulator::metrics::{model, prometheus};
use serde::Deserialize;
use serde_json::Value;

const DASHBOARD: &str = include_str!("../../docs/grafana/longhaul.json");

/// The model of "Dashboard JSON model" in Grafana's documentation; fields that it does not name are refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[allow(
    dead_code,
    reason = "what is not read has to be there, and of its type"
)]
struct Dashboard {
    id: Option<u64>,
    uid: String,
    title: String,
    description: String,
    tags: Vec<String>,
    timezone: String,
    editable: bool,
    graph_tooltip: u8,
    fiscal_year_start_month: u8,
    live_now: bool,
    links: Vec<Value>,
    annotations: Annotations,
    templating: Templating,
    time: Time,
    timepicker: Value,
    refresh: String,
    schema_version: u32,
    version: u32,
    panels: Vec<Panel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it has to be there")]
struct Annotations {
    list: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Templating {
    list: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "they have to be there")]
struct Time {
    from: String,
    to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[allow(dead_code, reason = "what is not read has to be there")]
struct Panel {
    id: u32,
    #[serde(rename = "type")]
    kind: String,
    title: String,
    description: String,
    datasource: Source,
    grid_pos: Place,
    field_config: Value,
    options: Value,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    #[serde(rename = "type")]
    kind: String,
    uid: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    x: u32,
    y: u32,
    w: u32,
    h: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[allow(dead_code, reason = "what is not read has to be there")]
struct Target {
    datasource: Source,
    editor_mode: String,
    expr: String,
    legend_format: String,
    range: bool,
    ref_id: String,
}

fn dashboard() -> Dashboard {
    serde_json::from_str(DASHBOARD).unwrap()
}

/// The words of a query that could be names.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
}

fn labels() -> BTreeSet<String> {
    let of_metrics = model::ALL.iter().flat_map(|metric| metric.attributes);
    let all = of_metrics.chain([&model::Attribute::Lab]);
    all.map(|&attribute| prometheus::label(attribute)).collect()
}

#[test]
fn every_name_in_a_query_is_in_the_model() {
    let (labels, mut asked) = (labels(), BTreeSet::new());
    let metrics: BTreeSet<String> = model::ALL.iter().map(prometheus::name).collect();
    for panel in dashboard().panels {
        for target in &panel.targets {
            for word in words(&target.expr).filter(|word| word.starts_with("longhaul_")) {
                let is_known = metrics.contains(word) || labels.contains(word);
                assert!(is_known, "{}: {word}", panel.title);
                asked.extend(metrics.get(word).cloned());
            }
            for (_, rest) in target
                .legend_format
                .match_indices("{{")
                .map(|(at, _)| target.legend_format.split_at(at + 2))
            {
                let label = rest.split("}}").next().unwrap();
                assert!(labels.contains(label), "{}: {label}", panel.title);
            }
            assert!(
                target.expr.contains("longhaul_lab_name=\"$lab\""),
                "{}",
                panel.title
            );
        }
    }
    assert!(
        asked.len() > model::ALL.len() / 2,
        "it shows most of what there is"
    );
    for variable in dashboard().templating.list {
        let query = variable["definition"].as_str().unwrap_or_default();
        for word in words(query).filter(|word| word.starts_with("longhaul_")) {
            assert!(metrics.contains(word) || labels.contains(word), "{word}");
        }
    }
}

#[test]
fn counters_are_asked_for_their_rate_and_gauges_are_not() {
    for panel in dashboard()
        .panels
        .iter()
        .filter(|panel| panel.kind == "timeseries")
    {
        for Target { expr, .. } in &panel.targets {
            for metric in model::ALL {
                let name = prometheus::name(metric);
                for (at, _) in expr.match_indices(&format!("{name}{{")) {
                    let is_rate = expr[..at].ends_with("rate(");
                    assert_eq!(is_rate, metric.kind == model::Kind::Counter, "{expr}");
                }
            }
        }
    }
}

#[test]
fn panels_lie_beside_each_other_on_the_grid() {
    // Grafana's grid is 24 columns wide.
    const COLUMNS: u32 = 24;
    let panels = dashboard().panels;
    let ids: BTreeSet<u32> = panels.iter().map(|panel| panel.id).collect();
    assert_eq!(ids.len(), panels.len());
    for (index, panel) in panels.iter().enumerate() {
        let place = &panel.grid_pos;
        assert!(
            place.x + place.w <= COLUMNS && place.h > 0,
            "{}",
            panel.title
        );
        for other in &panels[..index] {
            let other_place = &other.grid_pos;
            let apart = |a: u32, size: u32, b: u32| a + size <= b;
            let are_apart = apart(place.x, place.w, other_place.x)
                || apart(other_place.x, other_place.w, place.x)
                || apart(place.y, place.h, other_place.y)
                || apart(other_place.y, other_place.h, place.y);
            assert!(are_apart, "{} and {}", panel.title, other.title);
        }
        let refs: BTreeSet<&str> = panel
            .targets
            .iter()
            .map(|target| target.ref_id.as_str())
            .collect();
        assert_eq!(refs.len(), panel.targets.len(), "{}", panel.title);
        for source in panel
            .targets
            .iter()
            .map(|target| &target.datasource)
            .chain([&panel.datasource])
        {
            assert_eq!(
                (source.kind.as_str(), source.uid.as_str()),
                ("prometheus", "${datasource}")
            );
        }
    }
}

#[test]
fn its_data_source_and_lab_are_chosen_by_who_looks() {
    let list = dashboard().templating.list;
    let names: Vec<&str> = list
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "lab"]);
    assert_eq!(list[0]["type"], "datasource");
    assert_eq!(list[0]["query"], "prometheus");
}
