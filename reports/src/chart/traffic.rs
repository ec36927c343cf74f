//! What the links carried and queued, over time.

use std::collections::{BTreeMap, BTreeSet};

use crate::chart::figure::Figure;
use crate::chart::over_time::{self, About, Floor, Observation, Pair, Stretch};
use crate::folder::ResultFolder;
use crate::result::{Entity, TelemetryRow, metric};

/// More links than this are too many small panels; the busiest are shown.
const MOST_LINKS: usize = 6;

/// Samples (seconds, value) of one lane in one direction during one point.
type Samples = Vec<(f64, f64)>;

/// Both directions of one link, lanes apart: by direction, lane and point.
#[derive(Debug, Default)]
struct LinkSamples {
    lanes: [BTreeMap<(String, usize), Samples>; 2],
}

/// A link by its two sites.
type NamedLink = ((String, String), LinkSamples);

/// Delivered bits per second, per link and direction.
pub(super) fn throughput_over_time(folder: &ResultFolder, width: f64) -> Option<Figure> {
    let carried = |samples: &Samples| increase(samples);
    let (links, notes) = busiest(by_link(folder, metric::BYTES), carried);
    let about = About {
        name: "throughput-over-time",
        title: "Throughput of the links over time",
        subtitle: "Ethernet frames delivered, per sampling period",
        axis: "throughput",
        unit: Some("Mbit/s"),
        floor: Floor::Zero,
        described: "described rate, all lanes",
        width,
    };
    let pairs: Vec<Pair> = links
        .into_iter()
        .map(|((a, b), link)| Pair {
            ways: link.lanes.map(|lanes| total(&lanes, rates)),
            described: [(&a, &b), (&b, &a)].map(|(from, to)| described_rate(folder, from, to)),
            sites: (a, b),
        })
        .collect();
    over_time::figure(folder, about, &pairs, notes)
}

/// Bytes in the bottleneck queues, per link and direction.
pub(super) fn queue_over_time(folder: &ResultFolder, width: f64) -> Option<Figure> {
    let most = |samples: &Samples| samples.iter().map(|sample| sample.1).fold(0.0, f64::max);
    let (links, notes) = busiest(by_link(folder, metric::QUEUE_BYTES), most);
    let about = About {
        name: "queue-over-time",
        title: "Bottleneck queues over time",
        subtitle: "occupancy when sampled",
        axis: "queued",
        unit: Some("KiB"),
        floor: Floor::Zero,
        described: "",
        width,
    };
    let kib = |samples: &Samples| {
        let kib = samples.iter().map(|&(time, bytes)| (time, bytes / 1024.0));
        over_time::instants(&kib.collect::<Vec<_>>())
    };
    let pairs: Vec<Pair> = links
        .into_iter()
        .map(|(sites, link)| Pair {
            sites,
            ways: link.lanes.map(|lanes| total(&lanes, kib)),
            described: [None; 2],
        })
        .collect();
    over_time::figure(folder, about, &pairs, notes)
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

/// The links with the most of what `amount` finds in each lane, and a note if some were left out.
fn busiest(
    mut links: Vec<NamedLink>,
    amount: impl Fn(&Samples) -> f64,
) -> (Vec<NamedLink>, Vec<String>) {
    if links.len() <= MOST_LINKS {
        return (links, Vec::new());
    }
    let note = format!("the {MOST_LINKS} busiest of {} links", links.len());
    let all = |link: &LinkSamples| {
        let lanes = link.lanes.iter().flat_map(BTreeMap::values);
        lanes.map(&amount).sum::<f64>()
    };
    links.sort_by(|a, b| all(&b.1).total_cmp(&all(&a.1)));
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

/// Megabits per second between the samples of a byte counter; a counter that went back is a gap.
fn rates(samples: &Samples) -> Vec<Stretch> {
    let mut all = Vec::new();
    for samples in over_time::stretches(samples) {
        let mut stretch = Stretch::new();
        for pair in samples.windows(2) {
            let ((from, before), (to, after)) = (pair[0], pair[1]);
            if to > from && after >= before {
                let value = (after - before) * 8e-6 / (to - from);
                stretch.push(Observation { from, to, value });
            } else {
                all.push(std::mem::take(&mut stretch));
            }
        }
        all.push(stretch);
    }
    all.retain(|stretch| !stretch.is_empty());
    all
}

/// The sum of the lanes of each point, which are sampled at the same moments.
fn total(
    lanes: &BTreeMap<(String, usize), Samples>,
    of_lane: impl Fn(&Samples) -> Vec<Stretch>,
) -> Vec<Stretch> {
    let mut points: BTreeMap<usize, Vec<Vec<Stretch>>> = BTreeMap::new();
    for ((_, point), samples) in lanes {
        points.entry(*point).or_default().push(of_lane(samples));
    }
    let mut all = Vec::new();
    for mut lanes in points.into_values() {
        let mut sum = lanes.remove(0);
        for lane in lanes {
            for (total, stretch) in sum.iter_mut().zip(lane) {
                for (total, one) in total.iter_mut().zip(stretch) {
                    total.value += one.value;
                }
            }
        }
        all.extend(sum);
    }
    all
}

/// The described rate of a link in one direction, all lanes together, in megabits per second; nothing if it is
/// unlimited, or not the same in all points.
fn described_rate(folder: &ResultFolder, from: &str, to: &str) -> Option<f64> {
    let link = format!("{from}>{to}");
    let rates = folder.result.points.iter().filter_map(|point| {
        let mut lanes = point
            .channels
            .iter()
            .filter(|channel| channel.link == link)
            .peekable();
        lanes.peek()?;
        Some(lanes.map(|lane| lane.rate_bps).sum::<Option<u64>>())
    });
    let rates = BTreeSet::from_iter(rates);
    match rates.into_iter().collect::<Vec<_>>()[..] {
        [Some(rate)] => Some(rate as f64 / 1e6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::canvas::Paint;
    use crate::chart::figure::WIDTH;
    use crate::example::{self, Shape};
    use crate::theme;

    /// A run whose links carry the same both ways.
    fn symmetric(shape: &Shape) -> ResultFolder {
        let (result, mut telemetry) = example::run(shape);
        let channel = |row: &TelemetryRow| row.entity == Entity::Channel;
        let back = |name: &str| {
            let (path, lane) = name.rsplit_once('/')?;
            let (from, to) = path.split_once('>')?;
            (from > to).then(|| format!("{to}>{from}/{lane}"))
        };
        let forth: BTreeMap<_, f64> = telemetry
            .iter()
            .filter(|row| channel(row) && back(&row.name).is_none())
            .map(|row| {
                let of = (row.name.clone(), row.metric.clone(), row.time_s.to_bits());
                (of, row.value)
            })
            .collect();
        for row in telemetry.iter_mut().filter(|row| channel(row)) {
            let twin = back(&row.name)
                .and_then(|name| forth.get(&(name, row.metric.clone(), row.time_s.to_bits())));
            row.value = twin.copied().unwrap_or(row.value);
        }
        ResultFolder { result, telemetry }
    }

    /// `LONGHAUL_KEEP_CHARTS=DIR` keeps the pictures, to be looked at.
    #[test]
    fn both_directions_of_a_link_that_carries_the_same_both_ways_are_seen() {
        let keep = std::env::var_os("LONGHAUL_KEEP_CHARTS").map(PathBuf::from);
        let temporary = tempfile::tempdir().unwrap();
        let out = keep.as_deref().unwrap_or(temporary.path());
        for (name, seconds) in [("samples", 3.0), ("means", 60.0)] {
            let folder = symmetric(&Shape {
                sites: &["virginia", "dublin"],
                seconds,
                ..Shape::default()
            });
            let figure = throughput_over_time(&folder, WIDTH).unwrap();
            let canvas = figure.draw();
            let [png, svg] = ["png", "svg"].map(|end| out.join(format!("symmetric-{name}.{end}")));
            canvas.write_png(&png, Paint::PNG).unwrap();
            canvas.write_svg(&svg, Paint::SVG).unwrap();

            // Below the legend of the only panel.
            let image = image::open(&png).unwrap().to_rgb8();
            let rows = image.rows().skip(260);
            let pixels: Vec<[u8; 3]> = rows.flatten().map(|pixel| pixel.0).collect();
            let svg = std::fs::read_to_string(&svg).unwrap();
            let [first, second] = [0, 1].map(|way| {
                let theme::Colour(red, green, blue) = theme::stroke(way).colour;
                let painted = pixels.iter().filter(|one| **one == [red, green, blue]);
                let hex = format!("#{red:02X}{green:02X}{blue:02X}");
                (painted.count(), svg.matches(&hex).count())
            });
            assert!(first.0 > 300 && second.0 > 300, "{first:?} {second:?}");
            assert!(first.0 < 2 * second.0 && second.0 < 2 * first.0);
            // The legend has one of each.
            assert!(first.1 > 20 && second.1 >= 2, "{first:?} {second:?}");
        }
    }
}
