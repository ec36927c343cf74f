//! One-way delay and its variation, over time and as distributions.

use std::collections::BTreeMap;

use crate::chart::distribution::{line_legend, range_of, share_axis, steps};
use crate::chart::figure::{Curve, Figure, Layout, Panel};
use crate::chart::over_time::{self, About, Floor, Observation, Pair, Stretch};
use crate::chart::{many, subject};
use crate::folder::ResultFolder;
use crate::result::{Entity, Percentiles, TelemetryRow, metric};
use crate::series::Series;
use crate::stats::{self, InterarrivalJitter};

/// More pairs than this are too many small panels; those that vary most are shown.
const MOST_PAIRS: usize = 6;

/// The delays (send time in seconds, milliseconds) of one path during one point.
type Delays = Vec<(f64, f64)>;

/// The delays of every path, by point.
pub(super) type Paths = BTreeMap<(String, String), BTreeMap<usize, Delays>>;

/// The one-way delay of every probe, per pair of sites.
pub(super) fn delay_over_time(folder: &ResultFolder, width: f64) -> Option<Figure> {
    let about = About {
        name: "delay-over-time",
        title: "One-way delay between sites over time",
        subtitle: "probes during the workload, by the time they were sent",
        axis: "one-way delay (ms)",
        unit: None,
        floor: Floor::Least,
        described: "described delay",
        width,
    };
    let delays = |delays: &Delays| over_time::instants(delays);
    let (mut pairs, notes) = varied_pairs(folder, delays);
    for pair in &mut pairs {
        let (a, b) = &pair.sites;
        pair.described = [(a, b), (b, a)].map(|(from, to)| described_delay(folder, from, to, None));
    }
    over_time::figure(folder, about, &pairs, notes)
}

/// Interarrival jitter after every probe, per pair of sites.
pub(super) fn jitter_over_time(folder: &ResultFolder, width: f64) -> Option<Figure> {
    let about = About {
        name: "jitter-over-time",
        title: "Jitter between sites over time",
        subtitle: "interarrival jitter of the probes (RFC 3550 section 6.4.1)",
        axis: "jitter (ms)",
        unit: None,
        floor: Floor::Zero,
        described: "",
        width,
    };
    let (pairs, notes) = varied_pairs(folder, jitters);
    over_time::figure(folder, about, &pairs, notes)
}

/// The jitter after each probe, at its arrival, with a gap where none was sent: between arrivals a queue that drains may leave none.
fn jitters(delays: &Delays) -> Vec<Stretch> {
    let sent = over_time::stretches(delays);
    let mut stretches = vec![Stretch::new(); sent.len()];
    // It is defined over arrivals, which may be in another order.
    let mut arrived: Vec<(f64, f64, usize)> = Vec::with_capacity(delays.len());
    for (stretch, delays) in sent.iter().enumerate() {
        let arrival = |&(sent, delay): &(f64, f64)| (sent + delay / 1e3, delay, stretch);
        arrived.extend(delays.iter().map(arrival));
    }
    arrived.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut jitter = InterarrivalJitter::default();
    for (time, delay, stretch) in arrived {
        let value = jitter.observe(delay);
        stretches[stretch].push(Observation::at(time, value));
    }
    stretches
}

/// How far delays lie above the described one, all paths pooled, per series.
pub(super) fn delay_cdf(folder: &ResultFolder) -> Option<Figure> {
    let paths = paths(folder);
    let figure = distributions(folder, "one-way delay above the described", |point| {
        above_described(folder, &paths, point)
    })?;
    Some(Figure {
        name: "delay-cdf".to_owned(),
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
        "change of one-way delay from probe to probe",
        |point| {
            let delays = paths.values().filter_map(|points| points.get(&point));
            delays
                .flat_map(|delays| delays.windows(2))
                .map(|pair| (pair[1].1 - pair[0].1).abs())
                .collect()
        },
    )?;
    Some(Figure {
        name: "jitter-cdf".to_owned(),
        title: "How much one-way delay changed from probe to probe".to_owned(),
        subtitle: format!(
            "{} · inter-packet delay variation (RFC 5481 section 4.1), all paths pooled",
            subject(&folder.result)
        ),
        ..figure
    })
}

/// The pairs of sites with what `observe` makes of the delays of each point: those whose delay varied most, and a note
/// if some were left out.
fn varied_pairs(
    folder: &ResultFolder,
    observe: impl Fn(&Delays) -> Vec<Stretch>,
) -> (Vec<Pair>, Vec<String>) {
    let paths = paths(folder);
    let mut pairs = pairs(folder);
    let variation = |from: &str, to: &str| {
        let points = paths.get(&(from.to_owned(), to.to_owned()));
        let delays = points.into_iter().flat_map(BTreeMap::values).flatten();
        let delays: Vec<f64> = delays.map(|delay| delay.1).collect();
        Percentiles::of(&delays).packet_delay_variation()
    };
    let mut notes = Vec::new();
    if pairs.len() > MOST_PAIRS {
        notes.push(format!(
            "the {MOST_PAIRS} of {} pairs of sites whose delay varied most",
            pairs.len()
        ));
        let most = |(a, b): &(String, String)| variation(a, b).max(variation(b, a));
        pairs.sort_by(|a, b| most(b).total_cmp(&most(a)));
        pairs.truncate(MOST_PAIRS);
    }
    let pair = |(a, b): (String, String)| Pair {
        ways: [(&a, &b), (&b, &a)].map(|(from, to)| {
            let points = paths.get(&(from.clone(), to.clone()));
            let delays = points.into_iter().flat_map(BTreeMap::values);
            delays.flat_map(&observe).collect()
        }),
        described: [None; 2],
        sites: (a, b),
    };
    (pairs.into_iter().map(pair).collect(), notes)
}

/// One curve per series of the values that `of_point` finds for each of its points.
fn distributions(
    folder: &ResultFolder,
    label: &str,
    of_point: impl Fn(usize) -> Vec<f64>,
) -> Option<Figure> {
    let series = Series::of(&folder.result);
    let pools: Vec<Vec<f64>> = series
        .iter()
        .map(|one| {
            let points = one.points.iter();
            points.flat_map(|point| of_point(point.index)).collect()
        })
        .collect();
    let median = |pool: &Vec<f64>| stats::percentile(&stats::sorted(pool), 50.0).unwrap_or(0.0);
    let medians: Vec<f64> = pools.iter().map(median).collect();
    let (chosen, note) = many::choose(&medians, many::MOST, "series");
    let drawn: Vec<&Series<'_>> = chosen.iter().map(|&index| &series[index]).collect();
    let legend = line_legend(&drawn);
    let mut curves = Vec::new();
    for (&index, (key, name)) in chosen.iter().zip(&legend) {
        let pool = &pools[index];
        if !pool.is_empty() {
            curves.push(Curve {
                key: *key,
                name: name.clone(),
                runs: vec![steps(&stats::cdf(pool))],
            });
        }
    }
    if curves.is_empty() {
        return None;
    }
    let x = range_of(&curves, label);
    Some(Figure {
        name: String::new(),
        title: String::new(),
        subtitle: String::new(),
        layout: Layout::Grid,
        warning: None,
        panels: vec![Panel {
            title: String::new(),
            x,
            y: share_axis(),
            curves,
            keys: Vec::new(),
            areas: Vec::new(),
            spans: Vec::new(),
            marks: Vec::new(),
        }],
        legend,
        notes: note.into_iter().collect(),
    })
}

/// Every delay of a probe, with the two sites that it ran between.
fn probes(folder: &ResultFolder) -> impl Iterator<Item = (&TelemetryRow, (&str, &str))> {
    folder
        .telemetry
        .iter()
        .filter(|row| row.entity == Entity::Probe && row.metric == metric::ONE_WAY_DELAY_US)
        .filter_map(|row| Some((row, row.name.split_once('>')?)))
}

/// The pairs of sites that probes ran between, each in the direction seen first.
fn pairs(folder: &ResultFolder) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (_, (from, to)) in probes(folder) {
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
pub(super) fn paths(folder: &ResultFolder) -> Paths {
    let mut paths = Paths::new();
    for (row, (from, to)) in probes(folder) {
        let points = paths.entry((from.to_owned(), to.to_owned())).or_default();
        points
            .entry(row.point)
            .or_default()
            .push((row.time_s, row.value / 1e3));
    }
    paths
}

/// How far the delays of a point lie above the described one, all paths pooled, in milliseconds.
pub(super) fn above_described(folder: &ResultFolder, paths: &Paths, point: usize) -> Vec<f64> {
    let mut above = Vec::new();
    for ((from, to), points) in paths {
        let described = described_delay(folder, from, to, Some(point));
        if let (Some(described), Some(delays)) = (described, points.get(&point)) {
            above.extend(delays.iter().map(|delay| delay.1 - described));
        }
    }
    above
}

/// The described one-way delay of a path in a point, in milliseconds; with no point given, that of all points if it
/// is the same.
fn described_delay(
    folder: &ResultFolder,
    from: &str,
    to: &str,
    point: Option<usize>,
) -> Option<f64> {
    let points = folder.result.points.iter();
    let mut described: Vec<f64> = points
        .filter(|one| point.is_none_or(|index| one.index == index))
        .flat_map(|point| &point.delays)
        .filter(|delay| delay.from == from && delay.to == to)
        .map(|delay| delay.described_us / 1e3)
        .collect();
    described.dedup();
    match described[..] {
        [same] => Some(same),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::figure::{Run, WIDTH};
    use crate::example::{self, Shape};

    #[test]
    fn jitter_has_a_gap_where_nothing_was_sent() {
        let (result, mut telemetry) = example::run(&Shape {
            stacks: &["cubic"],
            sites: &["virginia", "dublin"],
            seconds: 3.0,
            ..Shape::default()
        });
        let began = result.points[0].began_s;
        let gap = (began + 1.0, began + 1.4);
        telemetry.retain(|row| {
            row.entity != Entity::Probe || !(gap.0 < row.time_s && row.time_s < gap.1)
        });
        // A queue before it: what was sent last arrives when what is sent next does.
        for row in &mut telemetry {
            if row.metric == metric::ONE_WAY_DELAY_US && row.time_s <= gap.0 {
                row.value += 400e3 * (row.time_s - began);
            }
        }
        let folder = ResultFolder { result, telemetry };
        let runs = |figure: Option<Figure>| -> Vec<Run> {
            let curves = &figure.unwrap().panels[0].curves;
            curves[..2]
                .iter()
                .flat_map(|way| way.runs.clone())
                .collect()
        };
        let jitter = runs(jitter_over_time(&folder, WIDTH));
        let lengths = |runs: &[Run]| runs.iter().map(Vec::len).collect::<Vec<_>>();
        let delays = runs(delay_over_time(&folder, WIDTH));
        assert_eq!(lengths(&jitter), lengths(&delays));
        assert_eq!(jitter.len(), 4, "two of each way");
        // The estimate goes on: it is one of all arrivals.
        assert!(jitter[1][0].1 > 0.0);
    }

    #[test]
    fn jitter_of_few_probes_is_that_of_those_there_are() {
        assert!(jitters(&vec![]).is_empty());
        let one = jitters(&vec![(1.0, 20.0)]);
        assert_eq!(one, [vec![Observation::at(1.02, 0.0)]]);
        // One that overtakes another counts first.
        let two = jitters(&vec![(1.0, 200.0), (1.01, 20.0)]);
        assert_eq!(
            two,
            [vec![
                Observation::at(1.03, 0.0),
                Observation::at(1.2, 11.25)
            ]]
        );
    }
}
