//! What a swept setting changes: bus bandwidth and delay against its values, as lines where they are numbers and as
//! bars where they are names.

use std::collections::BTreeSet;
use std::str::FromStr;

use longhaul_topologies::units::{ByteSize, Rate, TimeSpan};

use crate::chart::axis::{Axis, Spread};
use crate::chart::bandwidth::{BOUND, bound_busbw_mbps, placement};
use crate::chart::delay::{above_described, paths};
use crate::chart::figure::{Area, Curve, Figure, Key, Layout, Panel, Run};
use crate::chart::{ChartError, many, marked_key, measures, subject, unit};
use crate::folder::ResultFolder;
use crate::format;
use crate::result::RunResult;
use crate::series::{Series, SettingNames};
use crate::side_by_side;
use crate::stats;
use crate::theme::{self, INK, Stroke};

/// More sizes than this are too many small panels; the largest are shown.
const MOST_SIZES: usize = 5;

/// Numbers further apart than this factor are spread by their ratios.
const LOG_FROM: f64 = 5.0;

/// Share of the room of a name that its bars fill.
const BARS_WIDTH: f64 = 0.8;

/// A setting of links that is measured, too.
const DELAY: &str = "delay";

/// A panel has room for this many bars.
const LEAST_BARS: f64 = 4.0;

/// One figure per swept setting that has more than one value, and follows no other.
pub(super) fn against_settings(folder: &ResultFolder) -> Vec<Figure> {
    let series = Series::of(&folder.result);
    let names = SettingNames::of(&folder.result);
    names
        .iter()
        .filter(|(setting, _)| !names.follows(setting))
        .filter_map(|(setting, short)| {
            let sweep = Sweep::of(&series, &names, setting)?;
            titled(folder, sweep, short)
        })
        .collect()
}

/// The figure of one setting by its full or its short name; without one, of the only one that varies.
///
/// # Errors
/// If there is no such setting, it does not vary, or it is not said which.
pub(super) fn against_setting(
    folder: &ResultFolder,
    asked: Option<&str>,
) -> Result<Option<Figure>, ChartError> {
    let series = Series::of(&folder.result);
    let names = SettingNames::of(&folder.result);
    let varies = |setting: &str| values(&series, setting).len() > 1;
    let varying = || names.iter().filter(|(setting, _)| varies(setting));
    let listed = || {
        let names: Vec<&str> = varying().map(|(_, short)| short).collect();
        match names.is_empty() {
            true => "no setting of this result varies".to_owned(),
            false => format!("those that vary are {}", names.join(", ")),
        }
    };
    let chosen = match asked {
        Some(asked) => {
            let mut all = names.iter();
            let called = all.find(|(full, short)| [*full, *short].contains(&asked));
            let (setting, short) = called.ok_or_else(|| ChartError::NoSuchSetting {
                setting: asked.to_owned(),
                listed: listed(),
            })?;
            if !varies(setting) {
                return Err(ChartError::Unvaried {
                    setting: short.to_owned(),
                    value: values(&series, setting).concat(),
                    listed: listed(),
                });
            }
            Some((setting, short))
        }
        None => {
            // Whose a point is stands for a setting where there is no other.
            let (of_results, mut leading): (Vec<_>, Vec<_>) = varying()
                .filter(|(setting, _)| !names.follows(setting))
                .partition(|(setting, _)| *setting == side_by_side::SETTING);
            if leading.len() > 1 {
                return Err(ChartError::SeveralSettings { listed: listed() });
            }
            leading.extend(of_results);
            leading.first().copied()
        }
    };
    let drawn = chosen.and_then(|(setting, short)| {
        let sweep = Sweep::of(&series, &names, setting)?;
        titled(folder, sweep, short)
    });
    Ok(drawn)
}

/// Whether there is a setting to draw against.
pub(super) fn any_varies(result: &RunResult) -> bool {
    let series = Series::of(result);
    let names = SettingNames::of(result);
    let mut settings = names.iter();
    settings.any(|(setting, _)| values(&series, setting).len() > 1)
}

/// Every value of a setting, by first appearance.
fn values(series: &[Series<'_>], setting: &str) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for text in series.iter().filter_map(|one| one.settings.get(setting)) {
        if !texts.contains(text) {
            texts.push(text.clone());
        }
    }
    texts
}

fn titled(folder: &ResultFolder, mut sweep: Sweep<'_>, short: &str) -> Option<Figure> {
    let left_out = sweep.leave_out();
    let mut figure = figure(folder, &sweep)?;
    figure.notes.extend(left_out);
    Some(Figure {
        name: format!("against-{}", file_name(short)),
        title: format!("{} against {}", figure.title, sweep.called(short)),
        ..figure
    })
}

/// The stacks side by side, for runs of one size and no sweep.
pub(super) fn by_stack(folder: &ResultFolder) -> Option<Figure> {
    let series = Series::of(&folder.result);
    let labels = series.iter().enumerate();
    let labels = labels.map(|(index, one)| (index as f64, one.label.clone()));
    let sweep = Sweep {
        label: "stack",
        scale: Scale::Names(labels.collect()),
        groups: vec![(String::new(), series.iter().map(Some).collect())],
    };
    let figure = figure(folder, &sweep)?;
    Some(Figure {
        // The file that readers look for, whatever the number of sizes.
        name: "busbw-vs-size".to_owned(),
        title: format!("{} by stack", figure.title),
        ..figure
    })
}

/// The series of a run by the value of one setting, and by what else sets them apart.
struct Sweep<'a> {
    /// What the axis of values is called.
    label: &'a str,
    scale: Scale,
    /// What is compared at each value, and its series by the index of the value.
    groups: Vec<(String, Vec<Option<&'a Series<'a>>>)>,
}

/// The values of a setting.
#[derive(Clone, Debug, PartialEq)]
enum Scale {
    /// Places on the axis, ascending, each with its text.
    Numbers(Vec<(f64, String)>),
    /// In the order of execution, each at its index.
    Names(Vec<(f64, String)>),
}

impl Scale {
    fn of(texts: &[String]) -> Self {
        match numbers(texts) {
            Some(mut numbers) => {
                numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
                Self::Numbers(numbers)
            }
            None => {
                let places = texts.iter().enumerate();
                Self::Names(places.map(|(i, text)| (i as f64, text.clone())).collect())
            }
        }
    }

    fn values(&self) -> &[(f64, String)] {
        match self {
            Self::Numbers(values) | Self::Names(values) => values,
        }
    }

    /// The axis for as many series.
    fn axis(&self, label: &str, series: usize) -> Axis {
        let values = self.values().to_vec();
        match self {
            Self::Names(_) => {
                // Half the room of a name at either end, and more where bars would be broad.
                let between = values.len() as f64 - 1.0;
                let names = (between + 1.0).max(LEAST_BARS / series.max(1) as f64);
                let room = (names - between) / 2.0 / between.max(1.0);
                Axis::named(label, Spread::Even, values, room)
            }
            Self::Numbers(_) => {
                let (first, last) = (values[0].0, values[values.len() - 1].0);
                let spread = if first > 0.0 && last / first >= LOG_FROM {
                    Spread::Log
                } else {
                    Spread::Even
                };
                Axis::named(label, spread, values, 0.06)
            }
        }
    }

    /// The look of the only bound, or that of a group: solid over bars, which are too narrow for dashes, and stand below their own.
    fn bound_key(&self, group: Option<usize>) -> Key {
        Key::line(match (self, group) {
            (Self::Names(_), _) => Stroke::solid(INK, theme::BOUND.width),
            (Self::Numbers(_), None) => theme::BOUND,
            (Self::Numbers(_), Some(group)) => theme::bound(group),
        })
    }
}

impl<'a> Sweep<'a> {
    /// Nothing if the setting has but one value.
    fn of(series: &'a [Series<'a>], names: &SettingNames<'_>, setting: &'a str) -> Option<Self> {
        let texts = values(series, setting);
        if texts.len() < 2 {
            return None;
        }
        // What moves with it tells nothing apart, even where it leads.
        let without: Vec<&str> = names
            .iter()
            .map(|(other, _)| other)
            .filter(|other| *other == setting || names.move_together(setting, other))
            .collect();
        let scale = Scale::of(&texts);
        let mut groups: Vec<(String, Vec<Option<&Series<'_>>>)> = Vec::new();
        for one in series {
            let Some(text) = one.settings.get(setting) else {
                continue;
            };
            let value = scale.values().iter().position(|value| value.1 == *text)?;
            let label = names.label(one.stack, one.settings, &without);
            let known = groups.iter().position(|group| group.0 == label);
            let index = known.unwrap_or_else(|| {
                groups.push((label, vec![None; texts.len()]));
                groups.len() - 1
            });
            groups[index].1[value] = Some(one);
        }
        Some(Self {
            label: setting,
            scale,
            groups,
        })
    }

    /// Whether it is over a delay, beside which "delay" would not say which.
    fn is_of_delay(&self) -> bool {
        self.label.rsplit('.').next() == Some(DELAY)
    }

    /// What the setting is called in a title, where `short` is its name: a delay that is set by whose it is, as another is measured.
    fn called(&self, short: &str) -> String {
        let is_of_link = self.label.split('.').any(|part| part == "links");
        match short {
            DELAY if is_of_link => "the link's delay".to_owned(),
            DELAY => "the delay that was set".to_owned(),
            // With whose it is.
            short => short.to_owned(),
        }
    }

    /// Keeps as many groups as have lines that differ, by their mean bandwidth; what to tell the reader, if that is not all.
    fn leave_out(&mut self) -> Option<String> {
        let mean = |(_, series): &(String, Vec<Option<&Series<'_>>>)| {
            let rows = series.iter().flatten().flat_map(|one| one.summaries());
            stats::mean(&rows.map(|row| row.busbw_gbps).collect::<Vec<_>>()).unwrap_or(0.0)
        };
        let means: Vec<f64> = self.groups.iter().map(mean).collect();
        let (chosen, note) = many::choose(&means, many::MOST, "series");
        let mut index = 0;
        self.groups.retain(|_| {
            index += 1;
            chosen.contains(&(index - 1))
        });
        note
    }

    /// A panel of what `measure` finds for each series, and what `bound` sets over it.
    fn panel(
        &self,
        title: String,
        label: &str,
        measure: impl Fn(&Series<'_>) -> Option<f64>,
        bound: impl Fn(&Series<'_>) -> Option<f64>,
    ) -> Option<Panel> {
        let (mut areas, mut curves, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
        let mut lines: Vec<(usize, Run)> = Vec::new();
        for (index, (name, series)) in self.groups.iter().enumerate() {
            let found = |of: &dyn Fn(&Series<'_>) -> Option<f64>| -> Run {
                let places = self.scale.values().iter().zip(series);
                places
                    .filter_map(|(place, series)| Some((place.0, of((*series)?)?)))
                    // A file may say any number.
                    .filter(|point| point.1.is_finite())
                    .collect()
            };
            let (measured, limits) = (found(&measure), found(&bound));
            match self.scale {
                Scale::Numbers(_) => {
                    if !limits.is_empty() && lines.iter().all(|known| known.1 != limits) {
                        lines.push((index, limits));
                    }
                    curves.push(Curve {
                        key: marked_key(index),
                        name: name.clone(),
                        runs: vec![measured],
                    });
                }
                Scale::Names(_) => {
                    let width = BARS_WIDTH / self.groups.len() as f64;
                    let left = |place: f64| place - BARS_WIDTH / 2.0 + index as f64 * width;
                    areas.extend(measured.into_iter().map(|(place, value)| {
                        let ends = (left(place), left(place) + width * 0.94);
                        Area::bar(ends, value, theme::stroke(index).colour, name)
                    }));
                    bounds.extend(limits.into_iter().map(|(place, limit)| {
                        vec![(left(place), limit), (left(place) + width * 0.94, limit)]
                    }));
                }
            }
        }
        let drawn = curves.iter().flat_map(|curve| curve.runs.iter().flatten());
        let mut drawn = drawn.chain(areas.iter().flat_map(|area| &area.outline));
        let first = drawn.next()?;
        let limits = bounds.iter().chain(lines.iter().map(|line| &line.1));
        let all = drawn.chain(limits.flatten()).chain([first]);
        let y = Axis::around_zero(label, all.map(|point| point.1));
        match &lines[..] {
            [_, _, ..] => curves.extend(lines.into_iter().map(|(index, run)| Curve {
                key: self.scale.bound_key(Some(index)),
                name: format!("{BOUND}, {}", self.groups[index].0),
                runs: vec![run],
            })),
            _ => curves.push(Curve {
                key: self.scale.bound_key(None),
                name: BOUND.to_owned(),
                runs: lines.into_iter().map(|line| line.1).chain(bounds).collect(),
            }),
        }
        Some(Panel {
            title,
            keys: Vec::new(),
            x: self.scale.axis(self.label, self.groups.len()),
            y,
            areas,
            curves,
            spans: Vec::new(),
            marks: Vec::new(),
        })
    }
}

/// All panels of a sweep, without a name; its title says what they show.
fn figure(folder: &ResultFolder, sweep: &Sweep<'_>) -> Option<Figure> {
    let all = || {
        sweep
            .groups
            .iter()
            .flat_map(|group| group.1.iter().flatten())
    };
    let placement = placement(&Series::of(&folder.result));
    let of_series = all().map(|series| {
        let rows = series.summaries().into_iter();
        let placed = rows.filter(|row| Some(row.placement) == placement);
        placed.map(|row| row.size_bytes).collect::<BTreeSet<_>>()
    });
    let of_series: Vec<BTreeSet<u64>> = of_series.collect();
    let mut sizes: Vec<Vec<u64>> = of_series.iter().flatten().map(|&size| vec![size]).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut notes = Vec::new();
    if sizes.len() > 1 && of_series.iter().all(|sizes| sizes.len() < 2) {
        // A size follows the setting: each value has its own.
        sizes = vec![sizes.concat()];
    } else if sizes.len() > MOST_SIZES {
        notes.push(format!("the {MOST_SIZES} largest of {} sizes", sizes.len()));
        sizes.drain(..sizes.len() - MOST_SIZES);
    }
    let mut panels: Vec<Panel> = sizes
        .into_iter()
        .filter_map(|sizes| {
            let busbw = |series: &Series<'_>| {
                let mut rows = series.summaries().into_iter();
                rows.find(|row| sizes.contains(&row.size_bytes) && Some(row.placement) == placement)
                    .map(|row| row.busbw_gbps * 8e3)
            };
            let bound = |series: &Series<'_>| {
                let mut sizes = sizes.iter();
                sizes.find_map(|&size| bound_busbw_mbps(series, size))
            };
            let bytes = |size: &u64| format::bytes(*size as f64);
            let named = match &sizes[..] {
                [size] => bytes(size),
                [first, .., last] => format!("{} to {}", bytes(first), bytes(last)),
                [] => return None,
            };
            sweep.panel(
                format!("bus bandwidth, {named}"),
                "bus bandwidth (Mbit/s)",
                busbw,
                bound,
            )
        })
        .collect();
    unit::fit(&mut panels, "bus bandwidth", "Mbit/s");
    let mut bounds: Vec<(Key, String)> = Vec::new();
    for curve in panels.iter().flat_map(|panel| &panel.curves) {
        let entry = (curve.key, curve.name.clone());
        let is_bound =
            curve.name.starts_with(BOUND) && curve.runs.iter().any(|run| !run.is_empty());
        if is_bound && !bounds.contains(&entry) {
            bounds.push(entry);
        }
    }
    let mut shown: Vec<&str> = Vec::new();
    if !panels.is_empty() {
        shown.push("Bus bandwidth");
    }
    let (measured, left_out) = measured(&folder.result, sweep);
    if !measured.is_empty() {
        shown.push(match shown.is_empty() {
            true => "What was measured",
            false => "what programs measured",
        });
    }
    panels.extend(measured);
    notes.extend(left_out);
    let paths = paths(folder);
    let delay = sweep.panel(
        "one-way delay, 99th percentile".to_owned(),
        "above the described (ms)",
        |series| {
            let points = series.points.iter();
            let delays = points.flat_map(|point| above_described(folder, &paths, point.index));
            stats::percentile(&stats::sorted(&delays.collect::<Vec<_>>()), 99.0)
        },
        |_| None,
    );
    if delay.is_some() {
        shown.push(match (shown.is_empty(), sweep.is_of_delay()) {
            (true, false) => "Delay",
            (false, false) => "delay",
            (true, true) => "One-way delay",
            (false, true) => "one-way delay",
        });
    }
    panels.extend(delay);
    if panels.is_empty() {
        return None;
    }
    let mut legend: Vec<(Key, String)> = sweep
        .groups
        .iter()
        .enumerate()
        .filter(|(_, group)| !group.0.is_empty())
        .map(|(index, group)| {
            let key = match sweep.scale {
                Scale::Numbers(_) => marked_key(index),
                Scale::Names(_) => Key::bar(theme::stroke(index).colour),
            };
            (key, group.0.clone())
        })
        .collect();
    legend.extend(bounds);
    let mut subtitle = subject(&folder.result);
    if let Some(placement) = placement {
        subtitle += &format!(" · {}, mean time", placement.name());
    }
    Some(Figure {
        name: String::new(),
        title: match &shown[..] {
            [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
            _ => shown.concat(),
        },
        subtitle: subtitle + " · delay of all paths pooled",
        layout: Layout::Grid,
        warning: None,
        panels,
        legend,
        notes,
    })
}

/// A panel for each figure that programs tell, or that a replay's steps took: the mean over hosts and repeats; and what the reader should
/// know of those left out.
fn measured(result: &RunResult, sweep: &Sweep<'_>) -> (Vec<Panel>, Option<String>) {
    let (subjects, left_out) = measures::figures(result);
    let panels = subjects.into_iter().filter_map(|(name, unit)| {
        let mean = |series: &Series<'_>| {
            let told = series.measures().into_iter();
            let told = told.filter(|(measure, _)| measure.name == name);
            let means: Vec<f64> = told.map(|(_, summary)| summary.mean * unit.scale).collect();
            stats::mean(&means)
        };
        sweep.panel(format!("{name}, mean"), &unit.label(name), mean, |_| None)
    });
    (panels.collect(), left_out)
}

/// The numbers that all of the texts are, if they are of one unit, or of one quantity of the topology's units.
fn numbers(texts: &[String]) -> Option<Vec<(f64, String)>> {
    let plain = || {
        let split = |text: &String| -> Option<(f64, String)> {
            let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            let number = text[..text.len() - digits.len()].parse().ok()?;
            Some((number, digits.trim().to_owned()))
        };
        let split: Vec<_> = texts.iter().map(split).collect::<Option<_>>()?;
        let same = split.windows(2).all(|pair| pair[0].1 == pair[1].1);
        same.then(|| split.into_iter().map(|(number, _)| number).collect())
    };
    let values: Vec<f64> = plain()
        .or_else(|| all(texts, |time: TimeSpan| time.duration().as_secs_f64()))
        .or_else(|| all(texts, |rate: Rate| rate.bits_per_second() as f64))
        .or_else(|| all(texts, |size: ByteSize| size.bytes() as f64))?;
    Some(values.into_iter().zip(texts.iter().cloned()).collect())
}

/// Every text as the quantity `T`.
fn all<T: FromStr>(texts: &[String], value: impl Fn(T) -> f64) -> Option<Vec<f64>> {
    let texts = texts.iter();
    texts.map(|text| text.parse().ok().map(&value)).collect()
}

/// A setting's name without what file systems or shells could take amiss.
fn file_name(setting: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    setting.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::example::{self, Shape};
    use crate::folder::Opened;
    use crate::result::metric;

    fn scale(texts: &[&str]) -> Scale {
        Scale::of(
            &texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    fn named(values: &[(f64, &str)]) -> Vec<(f64, String)> {
        let own = |(value, text): &(f64, &str)| (*value, (*text).to_owned());
        values.iter().map(own).collect()
    }

    #[test]
    fn a_size_that_follows_the_setting_has_no_panel_and_no_chart_of_its_own() {
        let (mut result, telemetry) = example::run(&Shape {
            sweep: ("topology.links.0.delay", &["1ms", "2ms", "4ms"]),
            sizes: &[1 << 20, 2 << 20, 4 << 20],
            seconds: 1.0,
            ..Shape::default()
        });
        for point in &mut result.points {
            let milliseconds = point.settings["topology.links.0.delay"].replace("ms", "");
            let size: u64 = milliseconds.parse::<u64>().unwrap() << 20;
            let text = format!("{milliseconds}MiB");
            point.settings.insert("workload.sizes".to_owned(), text);
            point.summaries.retain(|row| row.size_bytes == size);
            point.samples.retain(|sample| sample.size_bytes == size);
        }
        let mut folder = ResultFolder { result, telemetry };
        let figures = against_settings(&folder);
        let names: Vec<&str> = figures.iter().map(|figure| &*figure.name).collect();
        assert_eq!(names, ["against-delay"]);
        // The one that is measured is told from the one that is set.
        let title = "Bus bandwidth and one-way delay against the link's delay";
        assert_eq!(figures[0].title, title);
        let panels = figures[0].panels.iter();
        let titles: Vec<&str> = panels.map(|panel| &*panel.title).collect();
        let delay = "one-way delay, 99th percentile";
        assert_eq!(titles, ["bus bandwidth, 1 MiB to 4 MiB", delay]);
        let curves = &figures[0].panels[0].curves;
        let told: Vec<(&str, usize)> = curves
            .iter()
            .map(|curve| (&*curve.name, curve.runs[0].len()))
            .collect();
        assert_eq!(told, [("cubic", 3), ("bbr", 3), (BOUND, 3)]);
        figures[0].draw().assert_texts_apart("a size that follows");

        let mut title = |full: &str| {
            for point in &mut folder.result.points {
                let delay = point.settings.values().find(|value| value.ends_with("ms"));
                point.settings = BTreeMap::from([(full.to_owned(), delay.unwrap().clone())]);
            }
            against_settings(&folder)[0].title.clone()
        };
        let of = "Bus bandwidth and one-way delay against";
        assert_eq!(title("delay"), format!("{of} the delay that was set"));
        assert_eq!(title("links.0.rtt"), "Bus bandwidth and delay against rtt");
    }

    /// A sweep of queues, with a rate that moves with it, and one of a loss.
    fn two_settings() -> ResultFolder {
        let (mut result, telemetry) = example::run(&Shape {
            sweep: ("links.0.queue", &["0.5bdp", "1bdp", "4bdp"]),
            sizes: &[1 << 20],
            seconds: 1.0,
            ..Shape::default()
        });
        let few = result.points.clone();
        for loss in ["0%", "1%"] {
            for point in &few {
                let mut point = point.clone();
                point.index = result.points.len();
                point.settings.insert("loss".to_owned(), loss.to_owned());
                let queue = &point.settings["links.0.queue"];
                let rate = queue.replace("bdp", "Gbit");
                point.settings.insert("rate".to_owned(), rate);
                point.settings.insert("seed".to_owned(), "1".to_owned());
                result.points.push(point);
            }
        }
        result.points.drain(..few.len());
        ResultFolder { result, telemetry }
    }

    #[test]
    fn a_chart_is_drawn_against_the_setting_that_is_named() {
        let folder = two_settings();
        for (asked, label, lines) in [
            ("queue", "links.0.queue", "cubic, loss 0%, seed 1"),
            ("links.0.queue", "links.0.queue", "cubic, loss 0%, seed 1"),
            // What leads it is not told beside it.
            ("rate", "rate", "cubic, loss 0%, seed 1"),
            ("loss", "loss", "cubic, queue 0.5bdp, seed 1"),
        ] {
            let figure = against_setting(&folder, Some(asked)).unwrap().unwrap();
            let short = label.rsplit('.').next().unwrap();
            assert_eq!(figure.title, format!("Bus bandwidth against {short}"));
            let panel = &figure.panels[0];
            assert_eq!(panel.x.label, label);
            assert_eq!(panel.curves[0].name, lines);
            let several = panel.curves[0].runs[0].len();
            assert_eq!(several, if asked == "loss" { 2 } else { 3 });
        }
    }

    #[test]
    fn a_setting_that_cannot_be_drawn_against_is_told_with_those_that_can() {
        let folder = two_settings();
        let refused = |asked| against_setting(&folder, asked).unwrap_err().to_string();
        let listed = "those that vary are queue, loss, rate";
        assert_eq!(
            refused(Some("delay")),
            format!("no setting that was swept over is called delay: {listed}")
        );
        assert_eq!(
            refused(Some("seed")),
            format!("seed is 1 in every point: {listed}")
        );
        assert_eq!(
            refused(None),
            format!("more than one setting varies: name one with --setting; {listed}")
        );
        let (result, telemetry) = example::run(&Shape::default());
        let alike = ResultFolder { result, telemetry };
        assert!(against_setting(&alike, None).unwrap().is_none());
        let error = against_setting(&alike, Some("queue")).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("no setting of this result varies"),
            "{error}"
        );
    }

    #[test]
    fn what_programs_measured_is_drawn_against_a_setting_and_results_are_one() {
        let (result, telemetry) = example::programs();
        let opened = Opened::from(ResultFolder { result, telemetry });
        let combined = crate::combine(&[opened.clone(), opened]);
        let figure = against_setting(&combined, None).unwrap().unwrap();
        assert_eq!(figure.title, "What was measured and delay against result");
        let titles: Vec<&str> = figure.panels.iter().map(|panel| &*panel.title).collect();
        assert_eq!(titles[..2], ["throughput, mean", "rtt, mean"]);
        assert_eq!(figure.panels[0].y.label, "throughput (Mbit/s)");
        figure
            .draw()
            .assert_texts_apart("programs against a setting");
    }

    #[test]
    fn of_more_series_than_lines_that_differ_some_are_drawn_and_the_reader_is_told() {
        let mut folder = two_settings();
        let few = folder.result.points.clone();
        for number in 0..30 {
            folder.result.points.extend(few.iter().map(|point| {
                let mut point = point.clone();
                point.stack = format!("stack-{number}");
                point
            }));
        }
        let figure = against_setting(&folder, Some("queue")).unwrap().unwrap();
        let looks = figure.panels[0].curves.iter().map(|curve| curve.key.stroke);
        let looks: Vec<Stroke> = looks.collect();
        assert_eq!(looks.len(), many::MOST + 1);
        let is_first = |(index, look)| looks.iter().position(|other| other == look) == Some(index);
        assert!(looks.iter().enumerate().all(is_first));
        assert!(
            figure
                .notes
                .iter()
                .any(|note| note.starts_with("21 of 64 series")),
            "{:?}",
            figure.notes
        );
    }

    #[test]
    fn bounds_that_differ_look_different_and_are_in_the_legend() {
        let mut folder = two_settings();
        let drawn = |folder: &ResultFolder| {
            let figure = against_setting(folder, Some("queue")).unwrap().unwrap();
            let legend = figure.legend.into_iter();
            legend
                .filter(|(_, name)| name.starts_with(BOUND))
                .map(|(key, name)| (key.stroke, name))
                .collect::<Vec<_>>()
        };
        assert_eq!(drawn(&folder), [(theme::BOUND, BOUND.to_owned())]);
        for point in &mut folder.result.points {
            if point.settings["loss"] == "1%" {
                let bound = point.bound.as_mut().unwrap();
                bound.times.iter_mut().for_each(|time| time.time_us *= 2.0);
            }
        }
        let bounds = drawn(&folder);
        assert_eq!(bounds.len(), 2);
        assert_ne!(bounds[0].0, bounds[1].0);
        assert_eq!(bounds[0].1, format!("{BOUND}, cubic, loss 0%, seed 1"));
    }

    #[test]
    fn delays_below_the_described_are_drawn_below_zero() {
        let (result, mut telemetry) = example::run(&Shape {
            seconds: 1.0,
            ..Shape::default()
        });
        let probes = telemetry.iter_mut();
        for row in probes.filter(|row| row.metric == metric::ONE_WAY_DELAY_US) {
            row.value -= 100e3;
        }
        let figure = by_stack(&ResultFolder { result, telemetry }).unwrap();
        let panel = figure.panels.last().unwrap();
        for bar in &panel.areas {
            let height = bar.outline[1].1;
            assert!(height < 0.0 && panel.y.position(height) > 0.0);
        }
        assert_eq!(panel.areas.len(), 2);
        assert!(figure.draw().to_inline_svg("").contains("bbr: -"));
    }

    #[test]
    fn values_of_one_unit_are_numbers_and_others_names() {
        assert_eq!(
            scale(&["1bdp", "0.5bdp"]),
            Scale::Numbers(named(&[(0.5, "0.5bdp"), (1.0, "1bdp")]))
        );
        assert_eq!(
            scale(&["1ms", "1s", "20ms"]),
            Scale::Numbers(named(&[(0.001, "1ms"), (0.02, "20ms"), (1.0, "1s")]))
        );
        assert_eq!(
            scale(&["ring", "tree"]),
            Scale::Names(named(&[(0.0, "ring"), (1.0, "tree")]))
        );
        assert_eq!(
            scale(&["1bdp", "64KiB"]),
            Scale::Names(named(&[(0.0, "1bdp"), (1.0, "64KiB")]))
        );
    }
}
