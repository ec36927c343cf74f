//! Bus bandwidth against size, and how iteration times are distributed.

use crate::chart::axis::Axis;
use crate::chart::figure::{Curve, Figure, Key, Panel};
use crate::chart::{marked_key, subject};
use crate::folder::ResultFolder;
use crate::format;
use crate::result::{Placement, Workload};
use crate::series::Series;
use crate::stats;
use crate::theme::{self, MUTED, Stroke};

/// More sizes than this are too many small panels; the largest are shown.
const MOST_SIZES: usize = 6;

/// One curve per series, with the bound that the links set.
pub(super) fn busbw_vs_size(folder: &ResultFolder) -> Option<Figure> {
    let series = Series::of(&folder.result);
    let placement = placement(&series)?;
    let mbit = |gbps: f64| gbps * 8e3;
    let (mut curves, mut legend) = (Vec::new(), Vec::new());
    for (index, series) in series.iter().enumerate() {
        let rows = series.summaries();
        let points: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| row.placement == placement)
            .map(|row| (row.size_bytes as f64, mbit(row.busbw_gbps)))
            .collect();
        if !points.is_empty() {
            curves.push(Curve {
                key: marked_key(index),
                runs: vec![points],
            });
            legend.push((marked_key(index), series.label.clone()));
        }
    }
    let measured: Vec<(f64, f64)> = curves
        .iter()
        .flat_map(|curve| curve.runs.iter().flatten().copied())
        .collect();
    let highest = measured.iter().map(|point| point.1).fold(0.0, f64::max);
    let mut notes = vec!["bus bandwidth of the mean time, as in nccl-tests".to_owned()];

    let bounds = distinct_bounds(&series);
    let alone = bounds.len() == 1;
    for (index, label, mut points) in bounds {
        if let [(size, busbw)] = points[..] {
            // The bound of a lone size is drawn as a line, not as a point among the measured ones.
            points = vec![(size / 1.2, busbw), (size * 1.2, busbw)];
        }
        let colour = if alone {
            MUTED
        } else {
            theme::stroke(index).colour
        };
        let key = Key::line(Stroke::dashed(colour, 1.5));
        curves.insert(
            0,
            Curve {
                key,
                runs: vec![points],
            },
        );
        legend.push((
            key,
            if alone {
                "bound of that size".to_owned()
            } else {
                format!("bound, {label}")
            },
        ));
    }
    let unlimited = series
        .iter()
        .filter_map(Series::bound)
        .map(|bound| bound.busbw_bps / 1e6)
        .fold(0.0, f64::max);
    let sizes = || measured.iter().map(|point| point.0);
    let (least, largest) = (
        sizes().fold(f64::INFINITY, f64::min),
        sizes().fold(0.0, f64::max),
    );
    let top = curves
        .iter()
        .flat_map(|curve| curve.runs.iter().flatten())
        .map(|point| point.1)
        .fold(highest, f64::max);
    if unlimited > 0.0 {
        // The asymptote is drawn where it does not press the data into a corner.
        if unlimited < 3.0 * top {
            let key = Key::line(Stroke {
                dash: theme::Dash::Dotted,
                ..Stroke::solid(MUTED, 1.5)
            });
            curves.insert(
                0,
                Curve {
                    key,
                    runs: vec![vec![(least / 1.2, unlimited), (largest * 1.2, unlimited)]],
                },
            );
            legend.push((key, "bound of an endless message".to_owned()));
        } else {
            notes.push(format!(
                "the bound of an endless message is {}",
                format::rate(unlimited * 1e6)
            ));
        }
    }
    let top = curves
        .iter()
        .flat_map(|curve| curve.runs.iter().flatten())
        .map(|point| point.1)
        .fold(0.0, f64::max);
    let x = Axis::bytes("size of the whole array", least, largest);
    let y = Axis::from_zero("bus bandwidth (Mbit/s)", top);
    Some(Figure {
        name: "busbw-vs-size",
        title: "Bus bandwidth against size".to_owned(),
        subtitle: format!(
            "{} · {}",
            subject(&folder.result),
            placement_name(placement)
        ),
        panels: vec![Panel {
            title: String::new(),
            x,
            y,
            curves,
            spans: Vec::new(),
        }],
        legend,
        notes,
    })
}

/// One panel per size, one curve per series.
pub(super) fn iteration_time_cdf(folder: &ResultFolder) -> Option<Figure> {
    let series = Series::of(&folder.result);
    let placement = placement(&series)?;
    let mut sizes: Vec<u64> = series
        .iter()
        .flat_map(Series::samples)
        .filter(|sample| sample.placement == placement)
        .map(|sample| sample.size_bytes)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    if sizes.is_empty() {
        return None;
    }
    let mut notes = Vec::new();
    if sizes.len() > MOST_SIZES {
        notes.push(format!("the {MOST_SIZES} largest of {} sizes", sizes.len()));
        sizes.drain(..sizes.len() - MOST_SIZES);
    }
    let panels = sizes.iter().map(|&size| {
        let curves: Vec<Curve> = series
            .iter()
            .enumerate()
            .filter_map(|(index, series)| {
                let times: Vec<f64> = series
                    .samples()
                    .filter(|sample| sample.placement == placement && sample.size_bytes == size)
                    .map(|sample| sample.time_us / 1e3)
                    .collect();
                let key = Key::line(theme::stroke(index));
                (!times.is_empty()).then(|| Curve {
                    key,
                    runs: vec![steps(&stats::cdf(&times))],
                })
            })
            .collect();
        let x = range_of(&curves, "time of an iteration (ms)");
        Panel {
            title: format::bytes(size as f64),
            x,
            y: share_axis(),
            curves,
            spans: Vec::new(),
        }
    });
    Some(Figure {
        name: "iteration-time-cdf",
        title: "How long iterations took".to_owned(),
        subtitle: format!(
            "{} · {} · warm-up left out",
            subject(&folder.result),
            placement_name(placement)
        ),
        panels: panels.collect(),
        legend: line_legend(&series),
        notes,
    })
}

/// Series by the look of their lines.
pub(super) fn line_legend(series: &[Series<'_>]) -> Vec<(Key, String)> {
    series
        .iter()
        .enumerate()
        .map(|(index, one)| (Key::line(theme::stroke(index)), one.label.clone()))
        .collect()
}

/// The axis of a cumulative distribution.
pub(super) fn share_axis() -> Axis {
    Axis::linear("cumulative share", 0.0, 1.0)
}

/// A cumulative distribution drawn as the staircase that it is.
pub(super) fn steps(cdf: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut below = 0.0;
    let mut corners = Vec::with_capacity(2 * cdf.len());
    for &(value, share) in cdf {
        corners.extend([(value, below), (value, share)]);
        below = share;
    }
    corners
}

/// An axis over all values. It is logarithmic if none is negative and they span more than two decades: then it
/// begins at the first percentile, and what is less lies at its low end.
pub(super) fn range_of(curves: &[Curve], label: &str) -> Axis {
    let values: Vec<f64> = curves
        .iter()
        .flat_map(|curve| curve.runs.iter().flatten())
        .map(|point| point.0)
        .collect();
    let values = stats::sorted(&values);
    let (low, high) = (
        values.first().copied().unwrap_or(0.0),
        values.last().copied().unwrap_or(1.0),
    );
    let positive = &values[values.partition_point(|&value| value <= 0.0)..];
    match stats::percentile(positive, 1.0) {
        Some(first) if low >= 0.0 && high / first > 100.0 => Axis::log(label, first, high),
        _ => {
            let margin = (high - low) * 0.03;
            Axis::linear(label, low - margin, high + margin)
        }
    }
}

/// The placement that is shown: out-of-place where there is one.
fn placement(series: &[Series<'_>]) -> Option<Placement> {
    series
        .iter()
        .flat_map(|series| series.points.iter().flat_map(|point| &point.summaries))
        .map(|row| row.placement)
        .min()
}

fn placement_name(placement: Placement) -> &'static str {
    match placement {
        Placement::OutOfPlace => "out-of-place",
        Placement::InPlace => "in-place",
    }
}

/// The bounds per size that differ, each with the index and the label of the first series that has it.
fn distinct_bounds(series: &[Series<'_>]) -> Vec<(usize, String, Vec<(f64, f64)>)> {
    let mut distinct: Vec<(usize, String, Vec<(f64, f64)>)> = Vec::new();
    for (index, series) in series.iter().enumerate() {
        let (
            Some(bound),
            Workload::Collective {
                collective, ranks, ..
            },
        ) = (series.bound(), series.workload())
        else {
            continue;
        };
        let Ok(factor) = stats::bus_factor(collective, *ranks) else {
            continue;
        };
        let busbw = |size, time| stats::algbw_gbps(size, time) * factor * 8e3;
        let mut points: Vec<(f64, f64)> = bound
            .times
            .iter()
            .map(|time| (time.size_bytes as f64, busbw(time.size_bytes, time.time_us)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if !points.is_empty() && distinct.iter().all(|known| known.2 != points) {
            distinct.push((index, series.label.clone(), points));
        }
    }
    distinct
}
