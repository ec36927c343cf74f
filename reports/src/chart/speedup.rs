//! How much faster stacks are than one of them, over distance.

use std::collections::BTreeMap;

use crate::chart::axis::{Axis, Spread};
use crate::chart::bandwidth::{largest_sizes, placement};
use crate::chart::figure::{Curve, Figure, Key, Layout, Panel, Run};
use crate::chart::{marked_key, subject};
use crate::folder::ResultFolder;
use crate::format;
use crate::series::Series;
use crate::theme;

/// Distances further apart than this factor are spread by their ratios.
const LOG_FROM: f64 = 5.0;

/// One panel per size: bus bandwidth over that of the stack `baseline` (the first if absent) with the same settings, by the round-trip
/// time that the description sets between the farthest sites.
pub(super) fn speedup_over_distance(
    folder: &ResultFolder,
    baseline: Option<&str>,
) -> Option<Figure> {
    let series = Series::of(&folder.result);
    let placement = placement(&series)?;
    let (sizes, mut notes) = largest_sizes(&series, placement)?;
    let baseline = baseline.or_else(|| Some(series.first()?.stack))?;
    let even = format!("as fast as {baseline}");
    let mut stacks: Vec<&str> = Vec::new();
    for one in &series {
        if one.stack != baseline && !stacks.contains(&one.stack) {
            stacks.push(one.stack);
        }
    }
    let busbw = |series: &Series<'_>, size: u64| {
        let mut rows = series.summaries().into_iter();
        rows.find(|row| row.size_bytes == size && row.placement == placement)
            .map(|row| row.busbw_gbps)
            .filter(|busbw| *busbw > 0.0)
    };
    let (mut panels, mut unlike) = (Vec::new(), Vec::new());
    for &size in &sizes {
        let mut curves = Vec::new();
        for (index, stack) in stacks.iter().enumerate() {
            let found = series.iter().filter(|one| one.stack == *stack);
            let ratios: Run = found
                .filter_map(|one| {
                    let like = |other: &&Series<'_>| {
                        other.stack == baseline && other.settings == one.settings
                    };
                    let base = series.iter().find(like)?;
                    Some((round_trip_ms(one)?, busbw(one, size)? / busbw(base, size)?))
                })
                // A file may say any number.
                .filter(|point| point.1.is_finite())
                .collect();
            curves.push(Curve {
                key: marked_key(index),
                name: (*stack).to_owned(),
                runs: lines(ratios),
            });
        }
        let points = || curves.iter().flat_map(|curve| curve.runs.iter().flatten());
        let Some(high) = points().map(|point| point.1).reduce(f64::max) else {
            unlike.push(format::bytes(size as f64));
            continue;
        };
        let x = axis(&points().map(|point| point.0).collect::<Vec<_>>());
        curves.insert(
            0,
            Curve {
                key: even_key(),
                name: even.clone(),
                runs: vec![vec![(x.low(), 1.0), (x.high(), 1.0)]],
            },
        );
        panels.push(Panel {
            title: format::bytes(size as f64),
            keys: Vec::new(),
            y: Axis::from_zero("busbw ÷ the baseline's", high.max(1.0)),
            x,
            areas: Vec::new(),
            curves,
            spans: Vec::new(),
            marks: Vec::new(),
        });
    }
    if panels.is_empty() {
        return None;
    }
    if !unlike.is_empty() {
        let sizes = unlike.join(", ");
        notes.push(format!("not shown, as nothing has a ratio there: {sizes}"));
    }
    notes.push(
        "distance is the round-trip time that is described between the farthest sites".to_owned(),
    );
    let mut legend: Vec<(Key, String)> = stacks
        .iter()
        .enumerate()
        .map(|(index, stack)| (marked_key(index), (*stack).to_owned()))
        .collect();
    legend.push((even_key(), even));
    Some(Figure {
        name: "speedup-over-distance".to_owned(),
        title: format!("Speed-up over {baseline} by distance"),
        subtitle: format!(
            "{} · {}, mean time",
            subject(&folder.result),
            placement.name()
        ),
        layout: Layout::Grid,
        warning: None,
        panels,
        legend,
        notes,
    })
}

/// A line where each distance has one value; else each value by itself, because a line between values of one distance means nothing.
fn lines(mut ratios: Run) -> Vec<Run> {
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    match ratios.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        true => ratios.into_iter().map(|point| vec![point]).collect(),
        false => vec![ratios],
    }
}

/// The described round-trip time between the farthest sites, in milliseconds.
fn round_trip_ms(series: &Series<'_>) -> Option<f64> {
    let mut ways: BTreeMap<[&str; 2], f64> = BTreeMap::new();
    for delay in series.points.iter().take(1).flat_map(|point| &point.delays) {
        let mut sites = [delay.from.as_str(), delay.to.as_str()];
        sites.sort_unstable();
        *ways.entry(sites).or_default() += delay.described_us / 1e3;
    }
    ways.into_values().reduce(f64::max)
}

fn axis(distances: &[f64]) -> Axis {
    let label = "round-trip time of the farthest sites";
    let (low, high) = (
        distances.iter().copied().fold(f64::INFINITY, f64::min),
        distances.iter().copied().fold(0.0, f64::max),
    );
    if low > 0.0 && high / low >= LOG_FROM {
        return Axis::times(label, low / 1.2, high * 1.2);
    }
    let mut names: Vec<f64> = distances.to_vec();
    names.sort_by(f64::total_cmp);
    names.dedup();
    let names = names
        .into_iter()
        .map(|value| (value, format::time(value * 1e3)));
    Axis::named(label, Spread::Even, names.collect(), 0.1)
}

fn even_key() -> Key {
    Key::line(theme::BOUND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};

    fn folder() -> ResultFolder {
        let (mut result, telemetry) = example::run(&Shape {
            sweep: ("topology.links.0.delay", &["10ms", "80ms"]),
            seconds: 1.0,
            ..Shape::default()
        });
        for point in &mut result.points {
            let far = point.settings.values().any(|value| value == "80ms");
            for delay in &mut point.delays {
                delay.described_us = if far { 80e3 } else { 10e3 };
            }
        }
        ResultFolder { result, telemetry }
    }

    #[test]
    fn a_stack_is_held_against_the_baseline_at_the_same_distance() {
        let folder = folder();
        let figure = speedup_over_distance(&folder, None).unwrap();
        let curve = &figure.panels[0].curves[1];
        let distances: Vec<f64> = curve.runs[0].iter().map(|point| point.0).collect();
        assert_eq!(distances, [20.0, 160.0]);
        let busbw = |stack: &str, delay: &str| {
            let mut points = folder.result.points.iter();
            let point =
                points.find(|p| p.stack == stack && p.settings.values().any(|v| v == delay));
            point.unwrap().summaries[0].busbw_gbps
        };
        for (at, delay) in [(0, "10ms"), (1, "80ms")] {
            let ratio = busbw("bbr", delay) / busbw("cubic", delay);
            assert!((curve.runs[0][at].1 - ratio).abs() < 1e-12);
        }
        figure.draw().assert_texts_apart("speed-up");
        let other = speedup_over_distance(&folder, Some("bbr")).unwrap();
        assert_eq!(other.legend[0].1, "cubic");
    }

    #[test]
    fn a_size_without_a_ratio_is_left_out_and_named() {
        let mut folder = folder();
        let sizes = |figure: &Figure| -> Vec<String> {
            let panels = figure.panels.iter();
            panels.map(|panel| panel.title.clone()).collect()
        };
        let all = sizes(&speedup_over_distance(&folder, None).unwrap());
        let first = folder.result.points[0].summaries[0].size_bytes;
        for point in &mut folder.result.points {
            if point.stack == "cubic" {
                point.samples.retain(|sample| sample.size_bytes != first);
                point.summaries.retain(|row| row.size_bytes != first);
            }
        }
        let figure = speedup_over_distance(&folder, None).unwrap();
        assert_eq!(sizes(&figure), all[1..]);
        let told = format!("not shown, as nothing has a ratio there: {}", all[0]);
        assert!(figure.notes.contains(&told), "{:?}", figure.notes);
    }

    #[test]
    fn a_stack_alone_has_no_speedup() {
        let (result, telemetry) = example::run(&Shape {
            stacks: &["cubic"],
            ..Shape::default()
        });
        assert!(speedup_over_distance(&ResultFolder { result, telemetry }, None).is_none());
    }
}
