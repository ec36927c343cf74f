//! One-way delay and its variation, over time and as distributions.

use std::collections::BTreeMap;

use crate::chart::axis::Axis;
use crate::chart::bandwidth::{line_legend, range_of, share_axis, steps};
use crate::chart::figure::{Curve, Figure, Key, Panel};
use crate::chart::traffic::{direction_legend, runs, time_range, way_key};
use crate::chart::{spans, subject};
use crate::folder::ResultFolder;
use crate::result::{Entity, metric};
use crate::series::Series;
use crate::stats::{self, InterarrivalJitter};
use crate::theme::{self, MUTED, Stroke};

/// More pairs than this are too many small panels; those that vary most are shown.
const MOST_PAIRS: usize = 6;

/// The delays (send time in seconds, milliseconds) of one path during one point.
type Delays = Vec<(f64, f64)>;

/// The delays of every path, by point.
type Paths = BTreeMap<(String, String), BTreeMap<usize, Delays>>;

/// The one-way delay of every probe, per pair of sites.
pub(super) fn delay_over_time(folder: &ResultFolder) -> Option<Figure> {
    let described = Key::line(Stroke::dashed(MUTED, 1.5));
    let mut figure = over_time(folder, "one-way delay (ms)", |delays| runs(delays))?;
    for panel in &mut figure.panels {
        let (a, b) = panel.title.split_once(" – ").unwrap_or((&panel.title, ""));
        let (mut low, mut high) = ends(&panel.curves);
        if let Some(delay) = described_delay(folder, a, b) {
            let (from, to) = time_range(folder);
            panel.curves.insert(
                0,
                Curve {
                    key: described,
                    runs: vec![vec![(from, delay), (to, delay)]],
                },
            );
            (low, high) = (low.min(delay), high.max(delay));
        }
        let margin = (high - low) * 0.06;
        panel.y = Axis::linear(panel.y.label.clone(), low - margin, high + margin);
    }
    figure
        .legend
        .push((described, "described delay".to_owned()));
    Some(Figure {
        name: "delay-over-time",
        title: "One-way delay between sites over time".to_owned(),
        subtitle: format!(
            "{} · probes during the workload, by the time they were sent",
            subject(&folder.result)
        ),
        ..figure
    })
}

/// Interarrival jitter after every probe, per pair of sites.
pub(super) fn jitter_over_time(folder: &ResultFolder) -> Option<Figure> {
    let figure = over_time(folder, "jitter (ms)", |delays| {
        let mut jitter = InterarrivalJitter::default();
        runs(
            &delays
                .iter()
                .map(|&(time, delay)| (time, jitter.observe(delay)))
                .collect::<Vec<_>>(),
        )
    })?;
    Some(Figure {
        name: "jitter-over-time",
        title: "Jitter between sites over time".to_owned(),
        subtitle: format!(
            "{} · interarrival jitter of the probes (RFC 3550 section 6.4.1)",
            subject(&folder.result)
        ),
        ..figure
    })
}

/// How far delays lie above the described one, all paths pooled, per series.
pub(super) fn delay_cdf(folder: &ResultFolder) -> Option<Figure> {
    let paths = paths(folder);
    let figure = distributions(
        folder,
        "one-way delay above the described (ms)",
        |point, pool| {
            for ((from, to), points) in &paths {
                let Some(delays) = points.get(&point) else {
                    continue;
                };
                if let Some(described) = described_delay(folder, from, to) {
                    pool.extend(delays.iter().map(|delay| delay.1 - described));
                }
            }
        },
    )?;
    Some(Figure {
        name: "delay-cdf",
        title: "How far one-way delay rose above the described".to_owned(),
        subtitle: format!(
            "{} · probes of all paths pooled: queueing, jitter and the lab's own share",
            subject(&folder.result)
        ),
        ..figure
    })
}

/// How much delay changes from probe to probe, all paths pooled, per series.
pub(super) fn jitter_cdf(folder: &ResultFolder) -> Option<Figure> {
    let paths = paths(folder);
    let figure = distributions(
        folder,
        "change of one-way delay from probe to probe (ms)",
        |point, pool| {
            for delays in paths.values().filter_map(|points| points.get(&point)) {
                pool.extend(delays.windows(2).map(|pair| (pair[1].1 - pair[0].1).abs()));
            }
        },
    )?;
    Some(Figure {
        name: "jitter-cdf",
        title: "How much one-way delay changed from probe to probe".to_owned(),
        subtitle: format!(
            "{} · inter-packet delay variation (RFC 5481 section 4.1), all paths pooled",
            subject(&folder.result)
        ),
        ..figure
    })
}

/// One panel per pair of sites with a curve per direction; `curve` turns the delays of a point into runs.
fn over_time(
    folder: &ResultFolder,
    label: &str,
    curve: impl Fn(&Delays) -> Vec<Vec<(f64, f64)>>,
) -> Option<Figure> {
    let paths = paths(folder);
    let mut pairs = pairs(folder);
    let variation = |path: &(String, String)| {
        let delays = paths
            .get(path)
            .into_iter()
            .flat_map(BTreeMap::values)
            .flatten()
            .map(|delay| delay.1);
        crate::result::Percentiles::of(&delays.collect::<Vec<_>>()).packet_delay_variation()
    };
    let mut notes = Vec::new();
    if pairs.len() > MOST_PAIRS {
        notes.push(format!(
            "the {MOST_PAIRS} of {} pairs of sites whose delay varied most",
            pairs.len()
        ));
        let most = |(a, b): &(String, String)| {
            variation(&(a.clone(), b.clone())).max(variation(&(b.clone(), a.clone())))
        };
        pairs.sort_by(|a, b| most(b).total_cmp(&most(a)));
        pairs.truncate(MOST_PAIRS);
    }
    let (from, to) = time_range(folder);
    let panels: Vec<Panel> = pairs
        .into_iter()
        .map(|(a, b)| {
            let curves: Vec<Curve> = [(&a, &b), (&b, &a)]
                .into_iter()
                .enumerate()
                .filter_map(|(way, (from, to))| {
                    let points = paths.get(&(from.clone(), to.clone()))?;
                    Some(Curve {
                        key: way_key(way),
                        runs: points.values().flat_map(&curve).collect(),
                    })
                })
                .collect();
            let (_, high) = ends(&curves);
            Panel {
                title: format!("{a} – {b}"),
                x: Axis::linear("time since the run's start (s)", from, to),
                y: Axis::from_zero(label, high),
                curves,
                spans: spans(&folder.result),
            }
        })
        .collect();
    (!panels.is_empty()).then(|| Figure {
        name: "",
        title: String::new(),
        subtitle: String::new(),
        panels,
        legend: direction_legend(),
        notes,
    })
}

/// One curve per series of the values that `collect` finds for each of its points.
fn distributions(
    folder: &ResultFolder,
    label: &str,
    collect: impl Fn(usize, &mut Vec<f64>),
) -> Option<Figure> {
    let series = Series::of(&folder.result);
    let mut curves = Vec::new();
    for (index, one) in series.iter().enumerate() {
        let mut pool = Vec::new();
        for point in &one.points {
            collect(point.index, &mut pool);
        }
        if !pool.is_empty() {
            curves.push(Curve {
                key: Key::line(theme::stroke(index)),
                runs: vec![steps(&stats::cdf(&pool))],
            });
        }
    }
    if curves.is_empty() {
        return None;
    }
    let x = range_of(&curves, label);
    Some(Figure {
        name: "",
        title: String::new(),
        subtitle: String::new(),
        panels: vec![Panel {
            title: String::new(),
            x,
            y: share_axis(),
            curves,
            spans: Vec::new(),
        }],
        legend: line_legend(&series),
        notes: Vec::new(),
    })
}

/// The pairs of sites that probes ran between, each in the direction seen first.
fn pairs(folder: &ResultFolder) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for row in folder
        .telemetry
        .iter()
        .filter(|row| row.entity == Entity::Probe && row.metric == metric::ONE_WAY_DELAY_US)
    {
        let Some((from, to)) = row.name.split_once('>') else {
            continue;
        };
        if !pairs
            .iter()
            .any(|(a, b)| (a == from && b == to) || (a == to && b == from))
        {
            pairs.push((from.to_owned(), to.to_owned()));
        }
    }
    pairs
}

/// All delays, by path and point.
fn paths(folder: &ResultFolder) -> Paths {
    let mut paths = Paths::new();
    for row in folder
        .telemetry
        .iter()
        .filter(|row| row.entity == Entity::Probe && row.metric == metric::ONE_WAY_DELAY_US)
    {
        let Some((from, to)) = row.name.split_once('>') else {
            continue;
        };
        let points = paths.entry((from.to_owned(), to.to_owned())).or_default();
        points
            .entry(row.point)
            .or_default()
            .push((row.time_s, row.value / 1e3));
    }
    paths
}

/// The described one-way delay of a path in milliseconds.
fn described_delay(folder: &ResultFolder, from: &str, to: &str) -> Option<f64> {
    let mut delays = folder.result.points.iter().flat_map(|point| &point.delays);
    delays
        .find(|delay| delay.from == from && delay.to == to)
        .map(|delay| delay.described_us / 1e3)
}

/// The least and the greatest value of all curves.
fn ends(curves: &[Curve]) -> (f64, f64) {
    let values = || {
        curves
            .iter()
            .flat_map(|curve| curve.runs.iter().flatten())
            .map(|point| point.1)
    };
    (
        values().fold(f64::INFINITY, f64::min),
        values().fold(f64::NEG_INFINITY, f64::max),
    )
}
