//! The window and the rate of each connection over time.

use std::collections::BTreeMap;

use crate::chart::axis::Axis;
use crate::chart::figure::{Curve, Figure, Key, Layout, Panel, Run};
use crate::chart::over_time::{spans, stretches, time_label, time_range};
use crate::chart::{many, subject, unit};
use crate::folder::ResultFolder;
use crate::result::{Entity, metric};
use crate::theme::{self, Stroke};

/// More flows than this are a tangle.
const MOST_FLOWS: usize = 12;

/// What is shown of each: its metric, what that is called, and what divides its values to be in which unit.
const SHOWN: [(&str, &str, f64, &str); 3] = [
    (metric::CWND_BYTES, "window", 1024.0, "KiB"),
    (metric::DELIVERY_RATE_BPS, "delivery rate", 1e6, "Mbit/s"),
    (metric::RTT_US, "smoothed RTT", 1.0, "us"),
];

/// Of one connection: its samples of each metric, by point.
type Flow = BTreeMap<&'static str, BTreeMap<usize, Vec<(f64, f64)>>>;

/// One panel each of windows, rates and round-trip times.
pub(super) fn flows_over_time(folder: &ResultFolder, width: f64) -> Option<Figure> {
    let mut flows: BTreeMap<&str, Flow> = BTreeMap::new();
    let mut carried: BTreeMap<(&str, usize), f64> = BTreeMap::new();
    for row in &folder.telemetry {
        if row.entity != Entity::Connection || is_inside_a_site(&row.name) {
            continue;
        }
        if row.metric == metric::BYTES_ACKED {
            carried.insert((&row.name, row.point), row.value);
        }
        if let Some((metric, _, size, _)) = SHOWN.iter().find(|shown| shown.0 == row.metric) {
            let flow = flows.entry(&row.name).or_default();
            let points = flow.entry(metric).or_default();
            let samples = points.entry(row.point).or_default();
            samples.push((row.time_s, row.value / size));
        }
    }
    if flows.is_empty() {
        return None;
    }
    let all = |name: &str| -> f64 {
        let points = carried.iter().filter(|((flow, _), _)| *flow == name);
        points.map(|(_, bytes)| bytes).sum()
    };
    let amounts: Vec<f64> = flows.keys().map(|name| all(name)).collect();
    let (chosen, note) = many::choose(&amounts, MOST_FLOWS, "flows by bytes carried");
    let flows: Vec<(&str, Flow)> = flows
        .into_iter()
        .enumerate()
        .filter(|(index, _)| chosen.contains(index))
        .map(|(_, flow)| flow)
        .collect();
    let time = time_range(folder);
    let (spans, numbered) = spans(&folder.result, time, width);
    let panels = SHOWN.iter().filter_map(|(metric, label, _, unit)| {
        let curves: Vec<Curve> = flows
            .iter()
            .enumerate()
            .filter_map(|(index, (name, flow))| {
                let points = flow.get(metric)?;
                let runs: Vec<Run> = points.values().flat_map(|s| stretches(s)).collect();
                Some(Curve {
                    key: key(index),
                    name: (*name).to_owned(),
                    runs,
                })
            })
            .collect();
        let values = curves.iter().flat_map(|curve| curve.runs.iter().flatten());
        let high = values.map(|point| point.1).reduce(f64::max)?;
        let mut panel = Panel {
            title: String::new(),
            keys: Vec::new(),
            x: Axis::linear(time_label(&folder.result), time.0, time.1),
            y: Axis::from_zero(*label, high),
            areas: Vec::new(),
            curves,
            spans: spans.clone(),
            marks: Vec::new(),
        };
        unit::fit(std::slice::from_mut(&mut panel), label, unit);
        Some(panel)
    });
    Some(Figure {
        name: "flows-over-time".to_owned(),
        title: "Windows, rates and round-trip times of the flows".to_owned(),
        subtitle: format!(
            "{} · connections between sites, at their sending end",
            subject(&folder.result)
        ),
        layout: Layout::Stack,
        warning: None,
        panels: panels.collect(),
        legend: flows
            .iter()
            .enumerate()
            .map(|(index, (name, _))| (key(index), (*name).to_owned()))
            .collect(),
        notes: note.into_iter().chain(numbered).collect(),
    })
}

/// Whether a connection's two hosts (`dublin-0>dublin-1/3`) are of one site: its link is not a long one.
fn is_inside_a_site(name: &str) -> bool {
    let site = |host: &str| host.rsplit_once('-').map(|(site, _)| site.to_owned());
    let path = name.rsplit_once('/').map_or(name, |(path, _)| path);
    let ends = path.split_once('>');
    ends.is_some_and(|(from, to)| site(from).is_some() && site(from) == site(to))
}

fn key(index: usize) -> Key {
    Key::line(Stroke {
        width: 1.3,
        ..theme::stroke(index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};
    use crate::result::TelemetryRow;

    #[test]
    fn connections_between_sites_are_drawn_and_others_not() {
        let (result, mut telemetry) = example::run(&Shape {
            seconds: 2.0,
            ..Shape::default()
        });
        assert!(
            flows_over_time(
                &ResultFolder {
                    result: result.clone(),
                    telemetry: telemetry.clone()
                },
                1000.0
            )
            .is_none()
        );
        for name in ["virginia-0>dublin-1/0", "virginia-0>virginia-1/0"] {
            for step in 0..20_u32 {
                for (metric, value) in [(metric::CWND_BYTES, 65536.0), (metric::RTT_US, 80e3)] {
                    telemetry.push(TelemetryRow {
                        time_s: 1.5 + 0.1 * f64::from(step),
                        point: 0,
                        entity: Entity::Connection,
                        name: name.to_owned(),
                        metric: metric.to_owned(),
                        value: value + f64::from(step),
                    });
                }
            }
        }
        let figure = flows_over_time(&ResultFolder { result, telemetry }, 1000.0).unwrap();
        let names: Vec<&str> = figure.legend.iter().map(|entry| &*entry.1).collect();
        assert_eq!(names, ["virginia-0>dublin-1/0"]);
        assert_eq!(figure.panels.len(), 2, "no rate was seen");
        figure.draw().assert_texts_apart("flows");
    }

    #[test]
    fn one_spike_among_a_hundred_thousand_samples_is_drawn() {
        const SAMPLES: u32 = 100_000;
        let (result, _) = example::run(&Shape {
            seconds: 0.0,
            ..Shape::default()
        });
        let value = |step| if step == 41_234 { 3e6 } else { 1e5 };
        let row = |step: u32| TelemetryRow {
            time_s: f64::from(step) * 0.01,
            point: 0,
            entity: Entity::Connection,
            name: "virginia-0>dublin-0/0".to_owned(),
            metric: metric::CWND_BYTES.to_owned(),
            value: value(step),
        };
        let telemetry = (0..SAMPLES).map(row).collect();
        let figure = flows_over_time(&ResultFolder { result, telemetry }, 1000.0).unwrap();
        let svg = figure.draw().to_inline_svg("");
        let line = svg.split("data-name=\"virginia-0").nth(1).unwrap();
        let points = line.split("d=\"M").nth(1).unwrap();
        let heights: Vec<f64> = points
            .split('"')
            .next()
            .unwrap()
            .split(' ')
            .map(|place| place.split(',').nth(1).unwrap().parse().unwrap())
            .collect();
        assert!(heights.len() < 5000, "{} points", heights.len());
        // Drawn heights grow downwards: the spike alone is thirty times as high as the rest.
        let top = heights.iter().copied().fold(f64::MAX, f64::min);
        let spikes = heights.iter().filter(|height| **height == top).count();
        let bottom = heights.iter().copied().fold(f64::MIN, f64::max);
        assert_eq!(spikes, 1);
        assert!(bottom - top > 300.0, "{top} to {bottom}");
        assert_eq!(
            figure.to_csv().lines().count(),
            SAMPLES as usize + 1,
            "numbers are not thinned"
        );
    }
}
