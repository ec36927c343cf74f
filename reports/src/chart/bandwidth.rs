//! Bus bandwidth against size, and how iteration times are distributed.

use std::collections::BTreeSet;

use crate::chart::axis::Axis;
use crate::chart::distribution::{line_legend, range_of, share_axis, steps};
use crate::chart::figure::{Curve, Figure, Key, Layout, Panel, Run};
use crate::chart::{many, marked_key, subject, unit};
use crate::folder::ResultFolder;
use crate::format;
use crate::result::{Placement, RunResult, Workload};
use crate::series::Series;
use crate::stats;
use crate::theme;

/// More sizes than this are too many small panels; the largest are shown.
const MOST_SIZES: usize = 6;

/// What the line over what was measured is called: it is of one size, not that of an endless message.
pub(super) const BOUND: &str = "bound of that size";

/// How many sizes were measured.
pub(super) fn sizes(result: &RunResult) -> usize {
    let rows = result.points.iter().flat_map(|point| &point.summaries);
    BTreeSet::from_iter(rows.map(|row| row.size_bytes)).len()
}

/// One curve per series, with the bound that the links set.
pub(super) fn busbw_vs_size(folder: &ResultFolder) -> Option<Figure> {
    let mut series = Series::of(&folder.result);
    let placement = placement(&series)?;
    let mut notes = vec!["bus bandwidth of the mean time, as in nccl-tests".to_owned()];
    notes.extend(placement_note(&series, placement));
    let mut rows = folder.result.points.iter().flat_map(|one| &one.summaries);
    if rows.any(|row| row.size_bytes == 0) {
        notes.push("arrays of 0 B are left out: they have no place on this axis".to_owned());
    }
    // What ran nothing of this has no line.
    series.retain(|one| !measured(one, placement).is_empty());
    let runs: Vec<Run> = series.iter().map(|one| measured(one, placement)).collect();
    let mean = |run: &Run| stats::mean(&run.iter().map(|point| point.1).collect::<Vec<_>>());
    let means: Vec<f64> = runs.iter().map(|run| mean(run).unwrap_or(0.0)).collect();
    let (chosen, note) = many::choose(&means, many::MOST, "series");
    notes.extend(note);
    let drawn: Vec<&Series<'_>> = chosen.iter().map(|&index| &series[index]).collect();
    let mut lines: Vec<(Key, Run, String)> = chosen
        .iter()
        .enumerate()
        .map(|(look, &index)| {
            let name = series[index].label.clone();
            (marked_key(look), runs[index].clone(), name)
        })
        .collect();
    if lines.is_empty() {
        return None;
    }
    let sizes = || lines.iter().flat_map(|line| &line.1).map(|point| point.0);
    let x = Axis::bytes(
        "size of the whole array",
        sizes().fold(f64::INFINITY, f64::min),
        sizes().fold(0.0, f64::max),
    );

    let bounds = distinct_bounds(&drawn);
    let alone = bounds.len() == 1;
    lines.extend(bounds.into_iter().map(|(index, label, run)| {
        let (stroke, text) = if alone {
            (theme::BOUND, BOUND.to_owned())
        } else {
            (theme::bound(index), format!("bound, {label}"))
        };
        (Key::line(stroke), run, text)
    }));
    let highest = |lines: &[(Key, Run, String)]| {
        let points = lines.iter().flat_map(|line| &line.1);
        points.map(|point| point.1).fold(0.0, f64::max)
    };
    let bounds = drawn.iter().filter_map(|one| one.bound());
    if let Some(bps) = bounds.map(|bound| bound.busbw_bps).reduce(f64::max) {
        let asymptote = bps / 1e6;
        // It is drawn where it does not press the data into a corner.
        if asymptote < 3.0 * highest(&lines) {
            let key = Key::line(theme::OTHER_BOUND);
            let run = vec![(x.low(), asymptote), (x.high(), asymptote)];
            lines.push((key, run, "bound of an endless message".to_owned()));
        } else {
            let bound = format::rate(bps);
            notes.push(format!("the bound of an endless message is {bound}"));
        }
    }
    let y = Axis::from_zero("bus bandwidth (Mbit/s)", highest(&lines));
    let legend = lines.iter().map(|line| (line.0, line.2.clone())).collect();
    // Bounds lie below what was measured.
    let curves = lines.into_iter().rev().map(|(key, run, name)| Curve {
        key,
        name,
        runs: vec![run],
    });
    let mut panels = vec![Panel {
        title: String::new(),
        keys: Vec::new(),
        x,
        y,
        areas: Vec::new(),
        curves: curves.collect(),
        spans: Vec::new(),
        marks: Vec::new(),
    }];
    unit::fit(&mut panels, "bus bandwidth", "Mbit/s");
    Some(Figure {
        name: "busbw-vs-size".to_owned(),
        title: "Bus bandwidth against size".to_owned(),
        subtitle: format!("{} · {}", subject(&folder.result), placement.name()),
        layout: Layout::Grid,
        warning: None,
        panels,
        legend,
        notes,
    })
}

/// One panel per size, one curve per series.
pub(super) fn iteration_time_cdf(folder: &ResultFolder) -> Option<Figure> {
    let mut series = Series::of(&folder.result);
    let placement = placement(&series)?;
    // What ran nothing of this has no line.
    series.retain(|one| one.samples().any(|sample| sample.placement == placement));
    let (sizes, mut notes) = largest_sizes(&series, placement)?;
    let medians: Vec<f64> = series
        .iter()
        .map(|one| {
            let times = times_ms(one, placement, sizes[sizes.len() - 1]);
            stats::percentile(&stats::sorted(&times), 50.0).unwrap_or(0.0)
        })
        .collect();
    let (chosen, note) = many::choose(&medians, many::MOST, "series");
    notes.extend(note);
    let drawn: Vec<&Series<'_>> = chosen.iter().map(|&index| &series[index]).collect();
    let legend = line_legend(&drawn);
    let panels = sizes.iter().map(|&size| {
        let curves: Vec<Curve> = drawn
            .iter()
            .zip(&legend)
            .filter_map(|(series, (key, name))| {
                let times = times_ms(series, placement, size);
                (!times.is_empty()).then(|| Curve {
                    key: *key,
                    name: name.clone(),
                    runs: vec![steps(&stats::cdf(&times))],
                })
            })
            .collect();
        let x = range_of(&curves, "time of an iteration");
        Panel {
            title: format::bytes(size as f64),
            x,
            y: share_axis(),
            curves,
            keys: Vec::new(),
            areas: Vec::new(),
            spans: Vec::new(),
            marks: Vec::new(),
        }
    });
    Some(Figure {
        name: "iteration-time-cdf".to_owned(),
        title: "How long iterations took".to_owned(),
        subtitle: format!(
            "{} · {} · warm-up left out",
            subject(&folder.result),
            placement.name()
        ),
        layout: Layout::Grid,
        warning: None,
        panels: panels.collect(),
        legend,
        notes,
    })
}

/// The largest sizes that were measured at a placement, ascending, and a note if some were left out.
pub(super) fn largest_sizes(
    series: &[Series<'_>],
    placement: Placement,
) -> Option<(Vec<u64>, Vec<String>)> {
    let samples = series.iter().flat_map(Series::samples);
    let sizes: BTreeSet<u64> = samples
        .filter(|sample| sample.placement == placement)
        .map(|sample| sample.size_bytes)
        .collect();
    let mut sizes: Vec<u64> = sizes.into_iter().collect();
    let mut notes = Vec::new();
    if sizes.len() > MOST_SIZES {
        notes.push(format!("the {MOST_SIZES} largest of {} sizes", sizes.len()));
        sizes.drain(..sizes.len() - MOST_SIZES);
    }
    (!sizes.is_empty()).then_some((sizes, notes))
}

/// The times of a series' iterations of a size, in milliseconds.
pub(super) fn times_ms(series: &Series<'_>, placement: Placement, size: u64) -> Vec<f64> {
    let samples = series.samples();
    samples
        .filter(|sample| sample.placement == placement && sample.size_bytes == size)
        .map(|sample| sample.time_us / 1e3)
        .collect()
}

/// How far the placement that is not shown is from the one that is, where both were run.
fn placement_note(series: &[Series<'_>], shown: Placement) -> Option<String> {
    let other = match shown {
        Placement::OutOfPlace => Placement::InPlace,
        Placement::InPlace => Placement::OutOfPlace,
    };
    let mut most: Option<(f64, u64, &str)> = None;
    for one in series {
        let rows = one.summaries();
        for row in rows.iter().filter(|row| row.placement == other) {
            let drawn = rows
                .iter()
                .find(|drawn| drawn.placement == shown && drawn.size_bytes == row.size_bytes);
            let Some(drawn) = drawn.filter(|drawn| drawn.busbw_gbps > 0.0) else {
                continue;
            };
            let difference = row.busbw_gbps / drawn.busbw_gbps - 1.0;
            if most.is_none_or(|most| difference.abs() > most.0.abs()) {
                most = Some((difference, row.size_bytes, &one.label));
            }
        }
    }
    let (difference, size, label) = most?;
    Some(format!(
        "{} differs by up to {:.1} %: {} for {label} at {}",
        other.name(),
        difference.abs() * 100.0,
        if difference < 0.0 { "slower" } else { "faster" },
        format::bytes(size as f64)
    ))
}

/// The placement that is shown: the one that most series ran, out-of-place where that is both.
pub(crate) fn placement(series: &[Series<'_>]) -> Option<Placement> {
    let ran = |placement| {
        let rows = |one: &&Series<'_>| {
            let mut rows = one.points.iter().flat_map(|point| &point.summaries);
            rows.any(|row| row.placement == placement)
        };
        series.iter().filter(rows).count()
    };
    let counted = [Placement::OutOfPlace, Placement::InPlace].map(|one| (one, ran(one)));
    let some = counted.into_iter().filter(|(_, count)| *count > 0);
    some.reduce(|first, second| if second.1 > first.1 { second } else { first })
        .map(|(placement, _)| placement)
}

/// The bus bandwidth of a series at each size, in megabits per second. An array of no bytes, which nccl-tests can send, has no place on
/// an axis of ratios.
fn measured(series: &Series<'_>, placement: Placement) -> Run {
    let rows = series.summaries().into_iter();
    rows.filter(|row| row.placement == placement && row.size_bytes > 0)
        .map(|row| (row.size_bytes as f64, row.busbw_gbps * 8e3))
        // A file may say any number.
        .filter(|point| point.1.is_finite())
        .collect()
}

/// The bus bandwidth of a series that its bound allows at a size, in megabits per second.
pub(super) fn bound_busbw_mbps(series: &Series<'_>, size: u64) -> Option<f64> {
    let Workload::Collective {
        collective, ranks, ..
    } = series.workload()
    else {
        return None;
    };
    let mut times = series.bound()?.times.iter();
    let time = times.find(|time| time.size_bytes == size)?;
    let factor = stats::bus_factor(collective, *ranks).ok()?;
    let mbps = stats::algbw_gbps(size, time.time_us) * factor * 8e3;
    mbps.is_finite().then_some(mbps)
}

/// The bounds per size that differ, each with the index and the label of the first series that has it.
fn distinct_bounds(series: &[&Series<'_>]) -> Vec<(usize, String, Run)> {
    let mut distinct: Vec<(usize, String, Run)> = Vec::new();
    for (index, series) in series.iter().enumerate() {
        let times = series.bound().into_iter().flat_map(|bound| &bound.times);
        let mut points: Run = times
            .filter(|time| time.size_bytes > 0)
            .filter_map(|time| {
                let busbw = bound_busbw_mbps(series, time.size_bytes)?;
                Some((time.size_bytes as f64, busbw))
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if !points.is_empty() && distinct.iter().all(|known| known.2 != points) {
            distinct.push((index, series.label.clone(), points));
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::delay::delay_cdf;
    use crate::example::{self, Shape};

    /// A run of as many stacks, each slower than the one before.
    fn stacks(count: usize) -> ResultFolder {
        let (mut result, mut telemetry) = example::run(&Shape {
            stacks: &["cubic"],
            seconds: 1.0,
            ..Shape::default()
        });
        let (point, rows) = (result.points.remove(0), std::mem::take(&mut telemetry));
        for index in 0..count {
            let mut point = point.clone();
            point.index = index;
            point.stack = format!("stack-{index:02}");
            for sample in &mut point.samples {
                sample.time_us = 1e3 * (index + 1) as f64;
            }
            for row in &mut point.summaries {
                row.busbw_gbps /= (index + 1) as f64;
            }
            result.points.push(point);
            telemetry.extend(rows.iter().cloned().map(|mut row| {
                row.point = index;
                row.value += 1e3 * index as f64;
                row
            }));
        }
        ResultFolder { result, telemetry }
    }

    #[test]
    fn bandwidths_and_bounds_without_limit_are_left_out() {
        let mut folder = stacks(1);
        let point = &mut folder.result.points[0];
        point.summaries[0].busbw_gbps = 1e306;
        point.bound.as_mut().unwrap().times[0].time_us = 0.0;
        let figure = busbw_vs_size(&folder).unwrap();
        let panel = &figure.panels[0];
        let curves = panel.curves.iter();
        let mut points = curves.flat_map(|curve| curve.runs.iter().flatten());
        assert!(points.all(|point| point.1.is_finite()));
        assert!(panel.y.high() < 1e3, "{:?}", panel.y);
        figure
            .draw()
            .assert_texts_apart("a bandwidth without limit");
    }

    #[test]
    fn the_note_tells_of_the_placement_that_is_not_drawn() {
        let mut folder = stacks(2);
        let note = |folder: &ResultFolder| {
            let figure = busbw_vs_size(folder).unwrap();
            let note = figure.notes.iter().find(|note| note.contains("differs by"));
            note.unwrap().clone()
        };
        assert!(note(&folder).starts_with("in-place differs by"));
        let point = &mut folder.result.points[0];
        point
            .samples
            .retain(|one| one.placement == Placement::InPlace);
        point
            .summaries
            .retain(|one| one.placement == Placement::InPlace);
        let note = note(&folder);
        assert!(note.starts_with("out-of-place differs by"), "{note}");
    }

    #[test]
    fn arrays_of_no_bytes_are_left_out_and_the_reader_is_told() {
        let mut folder = stacks(1);
        let point = &mut folder.result.points[0];
        point.summaries[0].size_bytes = 0;
        point.bound.as_mut().unwrap().times[0].size_bytes = 0;
        let figure = busbw_vs_size(&folder).unwrap();
        let curves = figure.panels[0].curves.iter();
        let mut points = curves.flat_map(|curve| curve.runs.iter().flatten());
        assert!(points.all(|point| point.0 > 0.0));
        assert!(figure.panels[0].x.low() > 0.0);
        let told = |note: &String| note.starts_with("arrays of 0 B are left out");
        assert!(figure.notes.iter().any(told), "{:?}", figure.notes);
        figure.draw().assert_texts_apart("an array of no bytes");
    }

    #[test]
    fn however_many_series_each_that_is_drawn_has_a_line_and_numbers_of_its_own() {
        for count in [24, 60] {
            let folder = stacks(count);
            for figure in [
                busbw_vs_size(&folder).unwrap(),
                iteration_time_cdf(&folder).unwrap(),
                delay_cdf(&folder).unwrap(),
            ] {
                let curves = || figure.panels[0].curves.iter();
                let drawn = curves().filter(|curve| curve.name.starts_with("stack-"));
                let drawn: Vec<&Curve> = drawn.collect();
                assert_eq!(drawn.len(), many::MOST, "{} of {count}", figure.name);
                for (index, curve) in drawn.iter().enumerate() {
                    let alike = |other: &&Curve| other.key == curve.key;
                    assert!(!drawn[..index].iter().any(alike), "{}", figure.name);
                    let entry = (curve.key, curve.name.clone());
                    assert!(figure.legend.contains(&entry), "{}", figure.name);
                }
            }
            let figure = iteration_time_cdf(&folder).unwrap();
            for row in figure.to_csv().lines().skip(1) {
                let mut fields = row.split(',').skip(1);
                let (series, x) = (fields.next().unwrap(), fields.nth(1).unwrap());
                let stack: f64 = series.trim_start_matches("stack-").parse().unwrap();
                assert_eq!(x.parse(), Ok(stack + 1.0), "{row}");
            }
        }
    }
}
