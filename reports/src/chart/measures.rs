//! What external programs measured, or a replay's steps took: over time, and how it is spread. A panel per figure, whatever host told it.

use crate::chart::axis::Axis;
use crate::chart::boxes;
use crate::chart::figure::{Curve, Figure, Key, Layout, Panel, Run};
use crate::chart::over_time::stretches;
use crate::chart::unit::Unit;
use crate::chart::{many, subject};
use crate::folder::ResultFolder;
use crate::result::{Measure, RunResult, Workload};
use crate::series::Series;
use crate::stats;
use crate::theme::{self, Stroke};

/// More figures than this are too many panels; the first are shown.
const MOST_PANELS: usize = 8;

/// A figure by one host of one series.
struct Told<'a> {
    /// `cubic`, or `cubic, a-0` where several hosts tell it.
    label: String,
    /// Each repeat's.
    repeats: Vec<(f64, &'a Measure)>,
}

/// A figure with all who told it.
struct Subject<'a> {
    name: &'a str,
    unit: Unit,
    told: Vec<Told<'a>>,
}

impl Subject<'_> {
    /// The mean of each that is told of.
    fn means(&self) -> Vec<f64> {
        self.told.iter().map(|told| mean(&told.repeats)).collect()
    }

    /// Who told it more than once, with what they told over time.
    fn lines(&self) -> Vec<(&Told<'_>, Vec<Run>)> {
        let lines = self.told.iter().map(|told| {
            let repeats = told.repeats.iter();
            let runs = repeats.flat_map(|&(began, measure)| runs(measure, began, self.unit.scale));
            (told, runs.collect::<Vec<Run>>())
        });
        lines
            .filter(|(_, runs)| runs.iter().map(Vec::len).sum::<usize>() > 1)
            .collect()
    }
}

/// What the figures are.
fn told(result: &RunResult) -> &'static str {
    match result.points.first().map(|point| &point.workload) {
        Some(Workload::Replay { .. }) => "a step took",
        _ => "the programs measured",
    }
}

/// Every figure, each by the time since its workload began, so that what ran one after another lies on top of each other.
pub(super) fn measures_over_time(folder: &ResultFolder) -> Option<Figure> {
    let (subjects, mut notes) = subjects(&folder.result);
    let lines: Vec<Vec<(&Told<'_>, Vec<Run>)>> = subjects.iter().map(Subject::lines).collect();
    // All panels show the same ones, as they share a legend; by what the first figure is that tells of each.
    let mut named: Vec<(&str, f64)> = Vec::new();
    for (told, _) in lines.iter().flatten() {
        if !named.iter().any(|(name, _)| *name == told.label) {
            named.push((&told.label, mean(&told.repeats)));
        }
    }
    let means: Vec<f64> = named.iter().map(|(_, mean)| *mean).collect();
    let (chosen, note) = many::choose(&means, many::MOST, "curves");
    notes.extend(note);
    let names: Vec<&str> = chosen.into_iter().map(|index| named[index].0).collect();
    let mut panels = Vec::new();
    for (subject, lines) in subjects.iter().zip(lines) {
        let curves: Vec<Curve> = lines
            .into_iter()
            .filter_map(|(told, runs)| {
                let look = names.iter().position(|name| *name == told.label)?;
                Some(Curve {
                    key: thin_key(look),
                    name: told.label.clone(),
                    runs,
                })
            })
            .collect();
        let points = || curves.iter().flat_map(|curve| curve.runs.iter().flatten());
        let Some(end) = points().map(|point| point.0).reduce(f64::max) else {
            continue;
        };
        let values = points().map(|point| point.1);
        let y = Axis::around_zero(subject.unit.label(subject.name), values);
        panels.push((
            end,
            Panel {
                title: subject.name.to_owned(),
                keys: Vec::new(),
                x: Axis::linear("", 0.0, end),
                y,
                areas: Vec::new(),
                curves,
                spans: Vec::new(),
                marks: Vec::new(),
            },
        ));
    }
    let end = panels.iter().map(|panel| panel.0).reduce(f64::max)?;
    notes.dedup();
    let legend = names.into_iter().enumerate();
    Some(Figure {
        name: "measures-over-time".to_owned(),
        title: format!("What {}, over time", told(&folder.result)),
        subtitle: format!(
            "{} · as the ranks or programs tell it",
            subject(&folder.result)
        ),
        layout: Layout::Stack,
        warning: None,
        panels: panels
            .into_iter()
            .map(|(_, panel)| Panel {
                // One axis for all: they stand below each other.
                x: Axis::linear("time since the workload's start (s)", 0.0, end),
                ..panel
            })
            .collect(),
        legend: legend
            .map(|(index, name)| (thin_key(index), name.to_owned()))
            .collect(),
        notes,
    })
}

/// A box for each series in a panel per figure.
pub(super) fn measures_box(folder: &ResultFolder) -> Option<Figure> {
    let (subjects, mut notes) = subjects(&folder.result);
    let mut names: Vec<String> = Vec::new();
    let mut panels = Vec::new();
    for subject in &subjects {
        let (chosen, note) = many::choose(&subject.means(), boxes::MOST_BOXES, "series");
        notes.extend(note);
        let told: Vec<(&str, Vec<f64>)> = chosen
            .into_iter()
            .map(|index| &subject.told[index])
            .map(|told| {
                let values = told.repeats.iter().flat_map(|(_, measure)| &measure.values);
                let scaled: Vec<f64> = values
                    .map(|value| value.value * subject.unit.scale)
                    .collect();
                (told.label.as_str(), stats::sorted(&scaled))
            })
            .collect();
        if told.iter().all(|(_, values)| values.is_empty()) {
            continue;
        }
        for (label, _) in &told {
            if !names.iter().any(|name| name == label) {
                names.push((*label).to_owned());
            }
        }
        panels.push((subject, told));
    }
    if panels.is_empty() {
        return None;
    }
    let are_numbered = panels
        .iter()
        .any(|(_, told)| boxes::are_numbered(told.iter().map(|(label, _)| *label)));
    let place = |label: &str| names.iter().position(|name| name == label).unwrap_or(0);
    let panels = panels
        .into_iter()
        .map(|(subject, told)| {
            let label = subject.unit.label(subject.name);
            let told: Vec<(usize, &str, Vec<f64>)> = told
                .into_iter()
                .map(|(label, values)| (place(label), label, values))
                .collect();
            boxes::panel(&told, are_numbered, subject.name.to_owned(), &label)
        })
        .collect();
    notes.dedup();
    Some(Figure {
        name: "measures-box".to_owned(),
        title: format!("How what {} is spread", told(&folder.result)),
        subtitle: format!(
            "{} · boxes from the first to the third quartile",
            subject(&folder.result)
        ),
        layout: Layout::Grid,
        warning: None,
        panels,
        legend: boxes::legend(are_numbered, names.iter().map(String::as_str)),
        notes,
    })
}

/// The figures by first appearance; and what the reader should know of those left out.
fn subjects(result: &RunResult) -> (Vec<Subject<'_>>, Vec<String>) {
    let series = Series::of(result);
    let mut subjects: Vec<Subject<'_>> = Vec::new();
    for one in &series {
        for point in &one.points {
            for measure in &point.measures {
                let began = point.schedule_began_s.unwrap_or(point.began_s);
                let index = subjects.iter().position(|known| known.name == measure.name);
                let index = index.unwrap_or_else(|| {
                    subjects.push(Subject {
                        name: &measure.name,
                        unit: unit_of(result, measure),
                        told: Vec::new(),
                    });
                    subjects.len() - 1
                });
                let label = match hosts(result, &measure.name) {
                    0 | 1 => one.label.clone(),
                    _ => format!("{}, {}", one.label, measure.host),
                };
                let told = &mut subjects[index].told;
                match told.iter_mut().find(|told| told.label == label) {
                    Some(told) => told.repeats.push((began, measure)),
                    None => told.push(Told {
                        label,
                        repeats: vec![(began, measure)],
                    }),
                }
            }
        }
    }
    let mut notes = Vec::new();
    if subjects.len() > MOST_PANELS {
        let left_out = subjects.split_off(MOST_PANELS);
        let names: Vec<&str> = left_out.iter().map(|subject| subject.name).collect();
        notes.push(format!("not shown: {}", names.join(", ")));
    }
    (subjects, notes)
}

/// Every figure that is told of, each with its unit, and what the reader should know of those left out.
pub(super) fn figures(result: &RunResult) -> (Vec<(&str, Unit)>, Option<String>) {
    let (subjects, notes) = subjects(result);
    let figures = subjects.into_iter().map(|one| (one.name, one.unit));
    (figures.collect(), notes.into_iter().next())
}

/// All of one figure are in one unit.
fn unit_of(result: &RunResult, measure: &Measure) -> Unit {
    let all = result.points.iter().flat_map(|point| &point.measures);
    let greatest = all
        .filter(|other| other.name == measure.name)
        .flat_map(|other| [other.summary.min, other.summary.max])
        .map(f64::abs)
        .fold(0.0, f64::max);
    Unit::of(&measure.unit, greatest)
}

/// How many hosts tell a figure.
fn hosts(result: &RunResult, name: &str) -> usize {
    let all = result.points.iter().flat_map(|point| &point.measures);
    let mut hosts: Vec<&str> = all
        .filter(|measure| measure.name == name)
        .map(|measure| measure.host.as_str())
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts.len()
}

/// The values that have a time, cut where there is a gap.
fn runs(measure: &Measure, began: f64, scale: f64) -> Vec<Run> {
    let timed: Vec<(f64, f64)> = measure
        .values
        .iter()
        .filter_map(|value| Some((value.time_s? - began, value.value * scale)))
        .filter(|(time, _)| *time >= 0.0)
        .collect();
    stretches(&timed)
}

fn mean(repeats: &[(f64, &Measure)]) -> f64 {
    let means: Vec<f64> = repeats.iter().map(|(_, one)| one.summary.mean).collect();
    stats::mean(&means).unwrap_or(0.0)
}

/// Thin, because series over time are dense.
fn thin_key(index: usize) -> Key {
    Key::line(Stroke {
        width: 1.6,
        ..theme::stroke(index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    fn folder() -> ResultFolder {
        let (result, telemetry) = example::programs();
        ResultFolder { result, telemetry }
    }

    #[test]
    fn what_ran_one_after_another_begins_at_the_same_place() {
        let figure = measures_over_time(&folder()).unwrap();
        assert_eq!(figure.panels.len(), 2);
        let throughput = &figure.panels[0];
        assert_eq!(throughput.y.label, "throughput (Mbit/s)");
        let firsts: Vec<f64> = throughput
            .curves
            .iter()
            .map(|curve| curve.runs[0][0].0)
            .collect();
        assert_eq!(firsts, [1.0, 1.0]);
        figure.draw().assert_texts_apart("measures over time");
    }

    #[test]
    fn what_is_below_zero_is_drawn_below_it() {
        let mut folder = folder();
        for point in &mut folder.result.points {
            let measure = &mut point.measures[1];
            for value in &mut measure.values {
                value.value = -5e3 - value.value / 45.0;
            }
            *measure = Measure::new(
                "clock offset",
                "us",
                measure.better,
                &measure.host,
                std::mem::take(&mut measure.values),
            );
        }
        for figure in [measures_over_time(&folder), measures_box(&folder)] {
            let figure = figure.unwrap();
            let panel = &figure.panels[1];
            assert_eq!(panel.y.label, "clock offset (ms)");
            let heights = panel.curves.iter().flat_map(|curve| curve.runs.iter());
            let positions = heights.flatten().map(|point| panel.y.position(point.1));
            let (low, high) = positions.fold((1.0_f64, 0.0_f64), |(low, high), at| {
                (low.min(at), high.max(at))
            });
            assert!(0.0 < low && low < high && high < 0.5, "{low} to {high}");
            figure.draw().assert_texts_apart("below zero");
        }
    }

    #[test]
    fn boxes_stand_per_series_in_a_panel_per_figure() {
        let figure = measures_box(&folder()).unwrap();
        let boxes: Vec<usize> = figure.panels.iter().map(|one| one.areas.len()).collect();
        assert_eq!(boxes, [2, 2]);
        figure.draw().assert_texts_apart("measures' boxes");
    }
}
