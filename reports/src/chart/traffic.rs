//! What the links carried and queued, over time.

use std::collections::BTreeMap;

use crate::chart::axis::Axis;
use crate::chart::figure::{Curve, Figure, Key, Panel};
use crate::chart::{spans, subject};
use crate::folder::ResultFolder;
use crate::result::{Entity, TelemetryRow, metric};
use crate::theme::{self, MUTED, Stroke};

/// More links than this are too many small panels; the busiest are shown.
const MOST_LINKS: usize = 6;

/// A pause of this many sampling periods is a gap.
const GAP_PERIODS: f64 = 3.5;

/// Samples of one lane in one direction during one point.
type Samples = Vec<(f64, f64)>;

/// Both directions of one link, lanes apart: by direction, lane and point.
#[derive(Debug, Default)]
struct LinkSamples {
    lanes: [BTreeMap<(String, usize), Samples>; 2],
}

/// A link by its two sites.
type NamedLink = ((String, String), LinkSamples);

/// Delivered bits per second, per link and direction.
pub(super) fn throughput_over_time(folder: &ResultFolder) -> Option<Figure> {
    let links = by_link(folder, metric::BYTES);
    let carried = |link: &LinkSamples| {
        link.lanes
            .iter()
            .flat_map(BTreeMap::values)
            .map(|lane| increase(lane))
            .sum::<f64>()
    };
    let (links, notes) = busiest(links, carried);
    let panels = links.iter().map(|((a, b), link)| {
        let curves = [0, 1].map(|way| {
            let points = total(&link.lanes[way], |lane| rates(lane));
            Curve {
                key: way_key(way),
                runs: points,
            }
        });
        (a, b, curves)
    });
    let mut legend = direction_legend();
    let described = Key::line(Stroke::dashed(MUTED, 1.5));
    let mut any_described = false;
    let panels: Vec<Panel> = panels
        .map(|(a, b, curves)| {
            let mut curves = curves.to_vec();
            if let Some(rate) = described_rate(folder, a, b) {
                any_described = true;
                let ends = time_range(folder);
                curves.insert(
                    0,
                    Curve {
                        key: described,
                        runs: vec![vec![(ends.0, rate), (ends.1, rate)]],
                    },
                );
            }
            panel(folder, a, b, curves, "throughput (Mbit/s)")
        })
        .collect();
    if any_described {
        legend.push((described, "described rate, all lanes".to_owned()));
    }
    (!panels.is_empty()).then(|| Figure {
        name: "throughput-over-time",
        title: "Throughput of the links over time".to_owned(),
        subtitle: format!(
            "{} · Ethernet frames delivered, per sampling period",
            subject(&folder.result)
        ),
        panels,
        legend,
        notes,
    })
}

/// Bytes in the bottleneck queues, per link and direction.
pub(super) fn queue_over_time(folder: &ResultFolder) -> Option<Figure> {
    let links = by_link(folder, metric::QUEUE_BYTES);
    let most = |link: &LinkSamples| {
        link.lanes
            .iter()
            .flat_map(BTreeMap::values)
            .flatten()
            .map(|sample| sample.1)
            .fold(0.0, f64::max)
    };
    let (links, notes) = busiest(links, most);
    let panels: Vec<Panel> = links
        .iter()
        .map(|((a, b), link)| {
            let curves = [0, 1].map(|way| {
                let kib = |lane: &Samples| {
                    runs(
                        &lane
                            .iter()
                            .map(|&(time, bytes)| (time, bytes / 1024.0))
                            .collect::<Vec<_>>(),
                    )
                };
                Curve {
                    key: way_key(way),
                    runs: total(&link.lanes[way], kib),
                }
            });
            panel(folder, a, b, curves.to_vec(), "queued (KiB)")
        })
        .collect();
    (!panels.is_empty()).then(|| Figure {
        name: "queue-over-time",
        title: "Bottleneck queues over time".to_owned(),
        subtitle: format!("{} · occupancy when sampled", subject(&folder.result)),
        panels,
        legend: direction_legend(),
        notes,
    })
}

fn panel(folder: &ResultFolder, a: &str, b: &str, curves: Vec<Curve>, label: &str) -> Panel {
    let highest = curves
        .iter()
        .flat_map(|curve| curve.runs.iter().flatten())
        .map(|point| point.1)
        .fold(0.0, f64::max);
    let (from, to) = time_range(folder);
    Panel {
        title: format!("{a} – {b}"),
        x: Axis::linear("time since the run's start (s)", from, to),
        y: Axis::from_zero(label, highest),
        curves,
        spans: spans(&folder.result),
    }
}

/// From the first to the last thing observed.
pub(super) fn time_range(folder: &ResultFolder) -> (f64, f64) {
    let times = || folder.telemetry.iter().map(|row| row.time_s);
    (
        times().fold(f64::INFINITY, f64::min),
        times().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// The look of a direction: thin, because series over time are dense.
pub(super) fn way_key(way: usize) -> Key {
    Key::line(Stroke {
        width: 1.3,
        ..theme::stroke(way)
    })
}

/// The two directions of a pair, for panels titled `a – b`.
pub(super) fn direction_legend() -> Vec<(Key, String)> {
    [
        "from the first to the second",
        "from the second to the first",
    ]
    .into_iter()
    .enumerate()
    .map(|(way, text)| (way_key(way), text.to_owned()))
    .collect()
}

/// The samples of a metric of every channel, by the link's two sites.
fn by_link(folder: &ResultFolder, metric: &str) -> Vec<NamedLink> {
    let rows = folder
        .telemetry
        .iter()
        .filter(|row| row.entity == Entity::Channel && row.metric == metric);
    let mut links: Vec<NamedLink> = Vec::new();
    for row in rows {
        let TelemetryRow {
            name,
            point,
            time_s,
            value,
            ..
        } = row;
        let (path, lane) = name.rsplit_once('/').unwrap_or((name, "0"));
        let Some((from, to)) = path.split_once('>') else {
            continue;
        };
        let known = links
            .iter()
            .position(|((a, b), _)| (a == from && b == to) || (a == to && b == from));
        let index = known.unwrap_or_else(|| {
            links.push(((from.to_owned(), to.to_owned()), LinkSamples::default()));
            links.len() - 1
        });
        let ((a, _), link) = &mut links[index];
        let way = usize::from(a != from);
        link.lanes[way]
            .entry((lane.to_owned(), *point))
            .or_default()
            .push((*time_s, *value));
    }
    links
}

/// The links with the most, and a note if some were left out.
fn busiest(
    mut links: Vec<NamedLink>,
    most: impl Fn(&LinkSamples) -> f64,
) -> (Vec<NamedLink>, Vec<String>) {
    if links.len() <= MOST_LINKS {
        return (links, Vec::new());
    }
    let note = format!("the {MOST_LINKS} busiest of {} links", links.len());
    links.sort_by(|a, b| most(&b.1).total_cmp(&most(&a.1)));
    links.truncate(MOST_LINKS);
    (links, vec![note])
}

/// How much a cumulative counter rose.
fn increase(samples: &Samples) -> f64 {
    match (samples.first(), samples.last()) {
        (Some(first), Some(last)) => last.1 - first.1,
        _ => 0.0,
    }
}

/// Megabits per second between the samples of a byte counter, as stairs; a counter that went back is a gap.
fn rates(samples: &Samples) -> Vec<Vec<(f64, f64)>> {
    let mut all = Vec::new();
    for run in runs(samples) {
        let mut stairs = Vec::new();
        for pair in run.windows(2) {
            let ((from, before), (to, after)) = (pair[0], pair[1]);
            if to > from && after >= before {
                let mbit = (after - before) * 8e-6 / (to - from);
                stairs.extend([(from, mbit), (to, mbit)]);
            } else if !stairs.is_empty() {
                all.push(std::mem::take(&mut stairs));
            }
        }
        all.push(stairs);
    }
    all.retain(|run| !run.is_empty());
    all
}

/// Samples in time order, cut where none came for longer than the usual period.
pub(super) fn runs(samples: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let periods: Vec<f64> = samples
        .windows(2)
        .map(|pair| pair[1].0 - pair[0].0)
        .collect();
    let sorted = crate::stats::sorted(&periods);
    let usual = crate::stats::percentile(&sorted, 50.0).unwrap_or(0.0);
    let together = |a: &(f64, f64), b: &(f64, f64)| b.0 - a.0 <= GAP_PERIODS * usual;
    samples.chunk_by(together).map(<[_]>::to_vec).collect()
}

/// The sum of the lanes of each point, which are sampled at the same moments.
fn total(
    lanes: &BTreeMap<(String, usize), Samples>,
    of_lane: impl Fn(&Samples) -> Vec<Vec<(f64, f64)>>,
) -> Vec<Vec<(f64, f64)>> {
    let mut points: BTreeMap<usize, Vec<Vec<Vec<(f64, f64)>>>> = BTreeMap::new();
    for ((_, point), samples) in lanes {
        points.entry(*point).or_default().push(of_lane(samples));
    }
    let mut all = Vec::new();
    for mut lanes in points.into_values() {
        let mut sum = lanes.remove(0);
        for lane in lanes {
            for (total, run) in sum.iter_mut().zip(lane) {
                for (total, value) in total.iter_mut().zip(run) {
                    total.1 += value.1;
                }
            }
        }
        all.extend(sum);
    }
    all
}

/// The described rate of a link, all lanes together, in megabits per second, if both directions have the same.
fn described_rate(folder: &ResultFolder, a: &str, b: &str) -> Option<f64> {
    let of = |link: &str| -> Option<u64> {
        let point = folder
            .result
            .points
            .iter()
            .find(|point| point.channels.iter().any(|channel| channel.link == link))?;
        point
            .channels
            .iter()
            .filter(|channel| channel.link == link)
            .map(|channel| channel.rate_bps)
            .sum()
    };
    let forward = of(&format!("{a}>{b}"))?;
    let same = of(&format!("{b}>{a}")).is_none_or(|reverse| reverse == forward);
    same.then_some(forward as f64 / 1e6)
}
