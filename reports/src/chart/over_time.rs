//! Series over time: one panel per pair of sites, one below the other, both directions in each. Where samples are
//! too dense to be told apart, means are drawn before the range that the samples span.

use std::collections::BTreeMap;

use crate::chart::axis::Axis;
use crate::chart::figure::{Area, Curve, Figure, Key, Layout, Panel, Part, Run, Span, span_fits};
use crate::chart::marks::Marks;
use crate::chart::{subject, unit};
use crate::folder::ResultFolder;
use crate::format::ranges;
use crate::result::{Point, RunResult};
use crate::series::Series;
use crate::side_by_side::is_combined;
use crate::stats;
use crate::theme::{self, Stroke};

/// So many means at most, over the whole run: what is more cannot be told apart.
const MOST_BINS: f64 = 150.0;

/// Means of fewer samples than this say no more than the samples.
const LEAST_SAMPLES_PER_BIN: f64 = 3.0;

/// A pause of this many sampling periods is a gap.
const GAP_PERIODS: f64 = 3.5;

/// How much a range lets through of what is behind it.
const RANGE_OPACITY: f64 = 0.22;

/// Of more points than this a note does not say what each was.
const MOST_TOLD: usize = 40;

/// What was observed at an instant (`from` is `to`), or held over a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Observation {
    pub from: f64,
    pub to: f64,
    pub value: f64,
}

impl Observation {
    pub fn at(time: f64, value: f64) -> Self {
        Self {
            from: time,
            to: time,
            value,
        }
    }
}

/// Observations in time order without a gap.
pub(super) type Stretch = Vec<Observation>;

/// Both directions between two sites.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub sites: (String, String),
    /// From the first site to the second, and back.
    pub ways: [Vec<Stretch>; 2],
    /// What the topology's description says of each way.
    pub described: [Option<f64>; 2],
}

/// Where the upright axis begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Floor {
    Zero,
    /// A little below the least value.
    Least,
}

/// What a figure is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub name: &'a str,
    pub title: &'a str,
    pub subtitle: &'a str,
    pub axis: &'a str,
    /// What values come in that are shown in the unit that suits them; without it, `axis` names theirs.
    pub unit: Option<&'a str>,
    pub floor: Floor,
    /// What the described value is called in the legend.
    pub described: &'a str,
    /// How wide the figure will be drawn.
    pub width: f64,
}

/// One panel per pair; nothing if there is none.
pub(super) fn figure(
    folder: &ResultFolder,
    about: About<'_>,
    pairs: &[Pair],
    mut notes: Vec<String>,
) -> Option<Figure> {
    if pairs.is_empty() {
        return None;
    }
    let time = time_range(folder);
    let pairs = &near(pairs, time);
    let bin = bin_width(time.1 - time.0).filter(|&bin| {
        let stretches = pairs.iter().flat_map(|pair| pair.ways.iter().flatten());
        period(stretches).is_some_and(|period| bin >= LEAST_SAMPLES_PER_BIN * period)
    });
    if let Some(bin) = bin {
        notes.push(format!(
            "lines are means of every {bin} s; shades reach from the least to the greatest sample"
        ));
    }
    let (spans, numbered) = spans(&folder.result, time, about.width);
    notes.extend(numbered);
    let sites: Vec<_> = pairs.iter().map(|pair| &pair.sites).collect();
    let marks = Marks::of(&folder.result, &sites, time, about.width);
    notes.extend(marks.notes);
    let before = if marks.any {
        ", before the links changed"
    } else {
        ""
    };
    let described = (
        Key::line(theme::BOUND),
        format!("{}{before}", about.described),
    );
    let any_described = pairs.iter().any(|pair| pair.described != [None; 2]);
    if pairs.iter().any(|pair| differ(pair.described)) {
        let told = "what is described differently of each direction has the direction's colour";
        notes.push(told.to_owned());
    }
    let mut panels: Vec<Panel> = pairs
        .iter()
        .zip(marks.panels)
        .map(|(pair, marks)| Panel {
            x: Axis::linear(time_label(&folder.result), time.0, time.1),
            spans: spans.clone(),
            marks,
            ..panel(pair, about, time, bin, &described)
        })
        .collect();
    if let Some(unit) = about.unit {
        unit::fit(&mut panels, about.axis, unit);
    }
    Some(Figure {
        name: about.name.to_owned(),
        title: about.title.to_owned(),
        subtitle: format!("{} · {}", subject(&folder.result), about.subtitle),
        layout: Layout::Stack,
        warning: None,
        panels,
        legend: any_described.then_some(described).into_iter().collect(),
        notes,
    })
}

/// Without what was not observed near the time that is shown: of a probe whose delay makes no sense, neither does when it was sent.
fn near(pairs: &[Pair], (from, to): (f64, f64)) -> Vec<Pair> {
    let room = to - from;
    let is_near =
        |one: &Observation| one.from >= from - room && one.to <= to + room && one.value.is_finite();
    let mut pairs = pairs.to_vec();
    for stretch in pairs
        .iter_mut()
        .flat_map(|pair| pair.ways.iter_mut().flatten())
    {
        stretch.retain(is_near);
    }
    pairs
}

/// Samples in time order, cut where none came for longer than the usual period.
pub(super) fn stretches(samples: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let periods: Vec<f64> = samples
        .windows(2)
        .map(|pair| pair[1].0 - pair[0].0)
        .collect();
    let usual = stats::percentile(&stats::sorted(&periods), 50.0).unwrap_or(0.0);
    let together = |a: &(f64, f64), b: &(f64, f64)| b.0 - a.0 <= GAP_PERIODS * usual;
    samples.chunk_by(together).map(<[_]>::to_vec).collect()
}

/// Samples as observations of instants.
pub(super) fn instants(samples: &[(f64, f64)]) -> Vec<Stretch> {
    let instant = |(time, value): (f64, f64)| Observation::at(time, value);
    let stretch = |samples: Vec<_>| samples.into_iter().map(instant).collect();
    stretches(samples).into_iter().map(stretch).collect()
}

/// What the axis of times is called.
pub(super) fn time_label(result: &RunResult) -> &'static str {
    match is_combined(result) {
        true => "time (s), one result after the other",
        false => "time since the run's start (s)",
    }
}

/// From the first to the last thing observed.
pub(crate) fn time_range(folder: &ResultFolder) -> (f64, f64) {
    let times = || folder.telemetry.iter().map(|row| row.time_s);
    (
        times().fold(f64::INFINITY, f64::min),
        times().fold(f64::NEG_INFINITY, f64::max),
    )
}

fn panel(
    pair: &Pair,
    about: About<'_>,
    time: (f64, f64),
    bin: Option<f64>,
    described: &(Key, String),
) -> Panel {
    let (a, b) = &pair.sites;
    let names = [(a, b), (b, a)].map(|(from, to)| format!("{from} → {to}"));
    let keys = (0..).map(way_key).zip(names.iter().cloned());
    let (mut areas, mut curves) = (Vec::new(), Vec::new());
    for (way, stretches) in pair.ways.iter().enumerate() {
        let key = way_key(way);
        let runs = match bin {
            None => stretches.iter().map(|stretch| stairs(stretch)).collect(),
            Some(width) => {
                let bins: Vec<Vec<Bin>> = stretches.iter().map(|s| bins(s, width)).collect();
                areas.extend(bins.iter().map(|bins| Area {
                    outline: range(bins),
                    colour: key.stroke.colour,
                    opacity: RANGE_OPACITY,
                    part: Part::Range,
                    name: names[way].clone(),
                }));
                let means = |bins: &Vec<Bin>| bins.iter().map(|bin| bin.mean).collect::<Vec<_>>();
                bins.iter().map(|bins| stairs(&means(bins))).collect()
            }
        };
        curves.push(Curve {
            key,
            name: names[way].clone(),
            runs,
        });
    }
    // Above the data, which often lie right on it.
    let level = |(way, level): (usize, f64)| {
        let (key, name) = match differ(pair.described) {
            true => (
                Key::line(theme::bound(way)),
                format!("{}, {}", described.1, names[way]),
            ),
            false => described.clone(),
        };
        let runs = vec![vec![(time.0, level), (time.1, level)]];
        Curve { key, name, runs }
    };
    let levels = pair.described.iter().enumerate();
    let levels = levels.filter_map(|(way, level)| Some((way, (*level)?)));
    let shown = if differ(pair.described) { 2 } else { 1 };
    curves.extend(levels.take(shown).map(level));
    let drawn = curves.iter().flat_map(|curve| curve.runs.iter().flatten());
    let values = drawn.chain(areas.iter().flat_map(|area| &area.outline));
    let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), point| {
        (low.min(point.1), high.max(point.1))
    });
    let y = match about.floor {
        Floor::Zero => Axis::from_zero(about.axis, high),
        Floor::Least => {
            let margin = (high - low) * 0.06;
            Axis::linear(about.axis, low - margin, high + margin)
        }
    };
    Panel {
        title: String::new(),
        keys: keys.collect(),
        x: Axis::linear("", time.0, time.1),
        y,
        areas,
        curves,
        spans: Vec::new(),
        marks: Vec::new(),
    }
}

/// Whether the description says something else of each way.
fn differ(described: [Option<f64>; 2]) -> bool {
    described[0] != described[1]
}

/// The look of a direction: thin, because series over time are dense.
fn way_key(way: usize) -> Key {
    Key::line(Stroke {
        width: 1.3,
        ..theme::stroke(way)
    })
}

/// What was seen during a part of a stretch.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bin {
    mean: Observation,
    least: f64,
    greatest: f64,
}

/// The shortest round time that parts `span` seconds into few enough bins; nothing parts a moment.
fn bin_width(span: f64) -> Option<f64> {
    if span <= 0.0 {
        return None;
    }
    let least = span / MOST_BINS;
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|&width| width >= least)
}

/// The usual time from one observation to the next.
fn period<'a>(stretches: impl Iterator<Item = &'a Stretch>) -> Option<f64> {
    let periods: Vec<f64> = stretches
        .flat_map(|stretch| stretch.windows(2).map(|pair| pair[1].from - pair[0].from))
        .collect();
    stats::percentile(&stats::sorted(&periods), 50.0)
}

/// A stretch in bins of `width` that begin at its multiples. What held over a time weighs as long as it did in that
/// bin; instants weigh the same.
fn bins(stretch: &Stretch, width: f64) -> Vec<Bin> {
    let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else {
        return Vec::new();
    };
    let (start, end) = (first.from, last.to);
    // By the number of the bin: the values with their weights.
    let mut values: BTreeMap<i64, Vec<(f64, f64)>> = BTreeMap::new();
    for observation in stretch {
        let of = |time: f64| (time / width).floor() as i64;
        for bin in of(observation.from)..=of(observation.to) {
            let (from, to) = (bin as f64 * width, (bin + 1) as f64 * width);
            let weight = if observation.from == observation.to {
                1.0
            } else {
                observation.to.min(to) - observation.from.max(from)
            };
            if weight > 0.0 {
                let values = values.entry(bin).or_default();
                values.push((observation.value, weight));
            }
        }
    }
    let bin = |(number, values): (i64, Vec<(f64, f64)>)| {
        let weights: f64 = values.iter().map(|value| value.1).sum();
        let each = || values.iter().map(|value| value.0);
        Bin {
            mean: Observation {
                from: (number as f64 * width).max(start),
                to: ((number + 1) as f64 * width).min(end),
                value: values
                    .iter()
                    .map(|(value, weight)| value * weight)
                    .sum::<f64>()
                    / weights,
            },
            least: each().fold(f64::INFINITY, f64::min),
            greatest: each().fold(f64::NEG_INFINITY, f64::max),
        }
    };
    values.into_iter().map(bin).collect()
}

/// Level over what held for a time; straight from instant to instant.
fn stairs(stretch: &[Observation]) -> Run {
    let mut run = Vec::new();
    for &Observation { from, to, value } in stretch {
        run.push((from, value));
        if to > from {
            run.push((to, value));
        }
    }
    run
}

/// Around all between the least and the greatest of each bin.
fn range(bins: &[Bin]) -> Run {
    let above = bins
        .iter()
        .flat_map(|bin| [bin.mean.from, bin.mean.to].map(|time| (time, bin.greatest)));
    let below = bins
        .iter()
        .rev()
        .flat_map(|bin| [bin.mean.to, bin.mean.from].map(|time| (time, bin.least)));
    above.chain(below).collect()
}

/// The points as parts of the time axis, by the names of their series; by their own numbers, with a note of what they are, if a name does
/// not fit.
pub(super) fn spans(
    result: &RunResult,
    time: (f64, f64),
    width: f64,
) -> (Vec<Span>, Option<String>) {
    let series = Series::of(result);
    let named = |name: &dyn Fn(&Series<'_>, &Point) -> String| -> Vec<Span> {
        let of = |one: &Series<'_>| {
            let span = |point: &&Point| Span {
                from: point.began_s,
                to: point.ended_s,
                name: name(one, point),
            };
            one.points.iter().map(span).collect::<Vec<_>>()
        };
        let mut spans: Vec<Span> = series.iter().flat_map(of).collect();
        // Lines and names keep clear of those before them.
        spans.sort_by(|a, b| a.from.total_cmp(&b.from));
        spans
    };
    let spans = named(&|series, _| series.label.clone());
    if spans.len() < 2 || spans.iter().all(|span| span_fits(span, time, width)) {
        return (spans, None);
    }
    let note = if spans.len() > MOST_TOLD {
        "numbers are those of points: result.json says what each was".to_owned()
    } else {
        let told = |one: &Series<'_>| {
            let numbers = one.points.iter().map(|point| point.index);
            format!("{}: {}", ranges(numbers), one.label)
        };
        let told: Vec<String> = series.iter().map(told).collect();
        format!("points {}", told.join("; "))
    };
    (named(&|_, point| point.index.to_string()), Some(note))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::example::{self, Shape};

    #[test]
    fn bins_weigh_what_held_by_how_long_it_did() {
        let held = |from, to, value| Observation { from, to, value };
        let stretch = vec![
            held(0.5, 1.0, 10.0),
            held(1.0, 1.25, 40.0),
            held(1.25, 2.5, 0.0),
        ];
        let bins = bins(&stretch, 1.0);
        assert_eq!(
            bins.iter().map(|bin| bin.mean).collect::<Vec<_>>(),
            [
                held(0.5, 1.0, 10.0),
                held(1.0, 2.0, 10.0),
                held(2.0, 2.5, 0.0)
            ]
        );
        assert_eq!((bins[1].least, bins[1].greatest), (0.0, 40.0));
    }

    #[test]
    fn what_is_described_of_each_way_is_told_apart_where_it_differs() {
        let (result, telemetry) = example::run(&Shape {
            seconds: 1.0,
            ..Shape::default()
        });
        let folder = ResultFolder { result, telemetry };
        let about = About {
            name: "",
            title: "",
            subtitle: "",
            axis: "",
            unit: None,
            floor: Floor::Zero,
            described: "described",
            width: 1000.0,
        };
        let drawn = |described| {
            let pair = Pair {
                sites: ("a".to_owned(), "b".to_owned()),
                ways: [vec![], vec![]],
                described,
            };
            let figure = figure(&folder, about, &[pair], Vec::new()).unwrap();
            let lines = figure.panels[0].curves[2..].iter();
            let lines = lines.map(|curve| (curve.name.clone(), curve.key.stroke));
            (lines.collect::<Vec<_>>(), figure.notes)
        };
        let (lines, notes) = drawn([Some(1.0), Some(1.0)]);
        assert_eq!(lines, [("described".to_owned(), theme::BOUND)]);
        assert!(notes.is_empty(), "{notes:?}");
        let (lines, notes) = drawn([Some(1.0), Some(2.0)]);
        let named = |name: &str, way| (format!("described, {name}"), theme::bound(way));
        assert_eq!(lines, [named("a → b", 0), named("b → a", 1)]);
        assert_eq!(notes.len(), 1);
        assert_eq!(drawn([None, Some(2.0)]).0, [named("b → a", 1)]);
    }

    #[test]
    fn points_have_the_numbers_that_the_result_gives_them() {
        let (mut result, _) = example::run(&Shape {
            repeats: 2,
            seconds: 1.0,
            ..Shape::default()
        });
        // Those of a part of a sweep.
        for point in &mut result.points {
            point.index += 8;
        }
        let time = (0.0, result.points[3].ended_s);
        let told = |width: f64| {
            let (spans, note) = spans(&result, time, width);
            let names: Vec<String> = spans.into_iter().map(|span| span.name).collect();
            (names, note)
        };
        let (names, note) = told(1000.0);
        assert_eq!((&*names[0], note), ("cubic", None));
        let (names, note) = told(200.0);
        assert_eq!(names, ["8", "9", "10", "11"], "in the order of time");
        let numbers = |stack: &str| {
            let points = result.points.iter();
            ranges(points.filter(|one| one.stack == stack).map(|one| one.index))
        };
        let expected = format!(
            "points {}: cubic; {}: bbr",
            numbers("cubic"),
            numbers("bbr")
        );
        assert_eq!(note, Some(expected));
    }

    #[test]
    fn stretches_end_where_samples_are_missing() {
        let samples = [0.0, 0.1, 0.2, 0.3, 1.0, 1.1].map(|time| (time, 1.0));
        let lengths: Vec<usize> = stretches(&samples).iter().map(Vec::len).collect();
        assert_eq!(lengths, [4, 2]);
    }

    proptest! {
        #[test]
        fn bins_keep_the_total_and_the_extremes(values in prop::collection::vec(0.0..1e3_f64, 1..300), width in 0.05..5.0_f64) {
            let held = |(index, &value): (usize, &f64)| {
                let from = index as f64 * 0.1;
                Observation { from, to: from + 0.1, value }
            };
            let stretch: Stretch = values.iter().enumerate().map(held).collect();
            let total = |all: &mut dyn Iterator<Item = Observation>| all.map(|o| o.value * (o.to - o.from)).sum::<f64>();
            let bins = bins(&stretch, width);
            let (before, after) = (total(&mut stretch.iter().copied()), total(&mut bins.iter().map(|bin| bin.mean)));
            prop_assert!((before - after).abs() <= 1e-6 * before.max(1.0), "{} {}", before, after);
            let greatest = bins.iter().map(|bin| bin.greatest).fold(f64::MIN, f64::max);
            prop_assert_eq!(greatest, values.iter().copied().fold(f64::MIN, f64::max));
            prop_assert!(bins.iter().all(|bin| bin.least <= bin.greatest));
        }
    }
}
