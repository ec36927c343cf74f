//! Use, queue and marks of every lane over time, as maps of heat: where and when a network was busy, at a glance.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::chart::{shorten, time_range};
use crate::folder::ResultFolder;
use crate::format::{bytes, plural, rate, significant};
use crate::html::charts::{NARROW, WIDE as WIDE_CHARTS};
use crate::result::{Entity, metric};
use crate::theme::SMALL;

/// More rows than this are not told apart; the busiest are shown.
const MOST_ROWS: usize = 24;

/// Steps of shade: more cannot be told apart.
const LEVELS: usize = 10;

/// Less than this share of the full shade is left white.
const LEAST_SHARE: f64 = 0.01;

/// The size of a map: its width, that of the names, and its columns.
#[derive(Clone, Copy, Debug)]
struct Size {
    width: f64,
    names: f64,
    columns: usize,
}

const WIDE: Size = Size {
    width: WIDE_CHARTS,
    names: 170.0,
    columns: 160,
};
const PHONE: Size = Size {
    width: NARROW,
    names: 120.0,
    columns: 60,
};

/// Small text, in a style sheet's measure.
const TEXT: &str = "11";

const ROW: f64 = 20.0;
const GAP: f64 = 2.0;
const AXIS: f64 = 24.0;

/// What a map shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heat {
    Use,
    Queue,
    Marks,
}

impl Heat {
    const ALL: [Self; 3] = [Self::Use, Self::Queue, Self::Marks];

    fn title(self) -> &'static str {
        match self {
            Self::Use => "Use",
            Self::Queue => "Queue",
            Self::Marks => "Marks and drops",
        }
    }

    fn caption(self, full: f64) -> String {
        match self {
            Self::Use => "mean rate of each column; full shade is the described rate, or the highest seen where it is unlimited".to_owned(),
            Self::Queue => format!("the fullest of each column; full shade is {}", bytes(full)),
            Self::Marks => format!("packets marked, dropped early or refused in each column; full shade is {}", plural(full as usize, "packet")),
        }
    }

    fn value(self, value: f64) -> String {
        match self {
            Self::Use => rate(value),
            Self::Queue => bytes(value),
            Self::Marks => significant(value),
        }
    }
}

/// Counted over a time, or seen at its end.
#[derive(Clone, Copy, Debug)]
struct Seen {
    from: f64,
    to: f64,
    value: f64,
}

/// One lane in one direction.
#[derive(Clone, Debug, Default)]
struct Lane {
    bytes: Vec<Seen>,
    queue: Vec<Seen>,
    marks: Vec<Seen>,
}

/// The maps that there is something to show on.
pub(super) fn section(folder: &ResultFolder) -> Option<Markup> {
    let mut lanes: Vec<(&str, Lane)> = lanes(folder).into_iter().collect();
    let (all, time) = (lanes.len(), time_range(folder));
    if all == 0 || time.1 <= time.0 {
        return None;
    }
    let carried = |lane: &Lane| lane.bytes.iter().map(|seen| seen.value).sum::<f64>();
    if all > MOST_ROWS {
        lanes.sort_by(|a, b| carried(&b.1).total_cmp(&carried(&a.1)));
        lanes.truncate(MOST_ROWS);
    }
    let maps = Heat::ALL
        .iter()
        .filter_map(|&heat| map(folder, heat, &lanes, time));
    Some(html! {
        @for map in maps { (map) }
        @if all > MOST_ROWS { p.muted { "The " (MOST_ROWS) " busiest of " (all) " lanes." } }
    })
}

/// Every lane by its name, `virginia>dublin/0`.
fn lanes(folder: &ResultFolder) -> BTreeMap<&str, Lane> {
    let mut lanes: BTreeMap<&str, Lane> = BTreeMap::new();
    let mut last: BTreeMap<(&str, &str, usize), (f64, f64)> = BTreeMap::new();
    for row in folder
        .telemetry
        .iter()
        .filter(|row| row.entity == Entity::Channel)
    {
        let kind = match row.metric.as_str() {
            metric::BYTES => Heat::Use,
            metric::QUEUE_BYTES => Heat::Queue,
            metric::MARKS | metric::EARLY_DROPS | metric::QUEUE_DROPS => Heat::Marks,
            _ => continue,
        };
        let lane = lanes.entry(&row.name).or_default();
        let key = (row.name.as_str(), row.metric.as_str(), row.point);
        let before = last.insert(key, (row.time_s, row.value));
        let Some((from, value)) = before.filter(|(from, _)| *from < row.time_s) else {
            continue;
        };
        let to = row.time_s;
        match kind {
            Heat::Queue => lane.queue.push(Seen {
                from,
                to,
                value: row.value,
            }),
            // A counter that went back is a gap.
            Heat::Use if row.value >= value => lane.bytes.push(Seen {
                from,
                to,
                value: row.value - value,
            }),
            Heat::Marks if row.value > value => lane.marks.push(Seen {
                from,
                to,
                value: row.value - value,
            }),
            Heat::Use | Heat::Marks => {}
        }
    }
    lanes
}

/// Nothing if all of it is 0.
fn map(
    folder: &ResultFolder,
    heat: Heat,
    lanes: &[(&str, Lane)],
    time: (f64, f64),
) -> Option<Markup> {
    let rows = |columns: usize| -> Vec<Vec<f64>> {
        let row = |(_, lane): &(&str, Lane)| columns_of(heat, lane, time, columns);
        lanes.iter().map(row).collect()
    };
    let draw = |size: Size| {
        let rows = rows(size.columns);
        let most = rows.iter().flatten().copied().fold(0.0, f64::max);
        let full: Vec<f64> = lanes
            .iter()
            .map(|(name, _)| match heat {
                Heat::Use => described_rate(folder, name).unwrap_or(most),
                Heat::Queue | Heat::Marks => most,
            })
            .collect();
        (most > 0.0).then(|| (picture(heat, lanes, &rows, &full, time, size), most))
    };
    let ((wide, most), (narrow, _)) = draw(WIDE).zip(draw(PHONE))?;
    Some(html! {
        h3 { (heat.title()) }
        figure { div.wide { (wide) } div.narrow { (narrow) } }
        p.muted { (heat.caption(most)) }
    })
}

/// What a lane was at in each column.
fn columns_of(heat: Heat, lane: &Lane, time: (f64, f64), columns: usize) -> Vec<f64> {
    let mut values = vec![0.0; columns];
    let width = (time.1 - time.0) / columns as f64;
    let column = |at: f64| (((at - time.0) / width) as usize).min(columns - 1);
    match heat {
        Heat::Use => {
            for seen in &lane.bytes {
                let per_second = seen.value * 8.0 / (seen.to - seen.from);
                for (index, value) in values
                    .iter_mut()
                    .enumerate()
                    .take(column(seen.to) + 1)
                    .skip(column(seen.from))
                {
                    let (from, to) = (
                        time.0 + index as f64 * width,
                        time.0 + (index + 1) as f64 * width,
                    );
                    *value += per_second * (seen.to.min(to) - seen.from.max(from)).max(0.0) / width;
                }
            }
        }
        Heat::Queue => {
            for seen in &lane.queue {
                let value = &mut values[column(seen.to)];
                *value = value.max(seen.value);
            }
        }
        Heat::Marks => {
            for seen in &lane.marks {
                values[column(seen.to)] += seen.value;
            }
        }
    }
    values
}

/// The described rate of a lane, `virginia>dublin/0`.
fn described_rate(folder: &ResultFolder, name: &str) -> Option<f64> {
    let (link, lane) = name.rsplit_once('/')?;
    let mut channels = folder
        .result
        .points
        .iter()
        .flat_map(|point| &point.channels);
    let channel = channels.find(|one| one.link == link && one.lane.to_string() == lane)?;
    channel.rate_bps.map(|rate| rate as f64)
}

fn picture(
    heat: Heat,
    lanes: &[(&str, Lane)],
    rows: &[Vec<f64>],
    full: &[f64],
    time: (f64, f64),
    size: Size,
) -> Markup {
    let height = rows.len() as f64 * (ROW + GAP) + AXIS;
    let cell = (size.width - size.names) / size.columns as f64;
    let seconds = (time.1 - time.0) / size.columns as f64;
    let y = |row: usize| row as f64 * (ROW + GAP);
    let ticks = [0.0, 0.25, 0.5, 0.75, 1.0];
    html! {
        svg viewBox={ "0 0 " (size.width) " " (height) } role="img" aria-label={ (heat.title()) " of every lane over time" } {
            @for (row, ((name, _), values)) in lanes.iter().zip(rows).enumerate() {
                text x="0" y=(y(row) + ROW / 2.0) dy=".35em" font-size=(TEXT) fill="var(--ink)" {
                    (shorten(name, SMALL, size.names - 8.0))
                }
                rect x=(size.names) y=(y(row)) width=(size.width - size.names) height=(ROW) fill="var(--grid)" fill-opacity=".45" {}
                @for (level, path) in levels(values, full[row], (size.names, y(row)), cell) {
                    path d=(path) fill="var(--s1)" fill-opacity=(format!("{:.1}", level as f64 / LEVELS as f64)) {}
                }
                rect.heat x=(size.names) y=(y(row)) width=(size.width - size.names) height=(ROW) fill="transparent"
                    data-name=(name) data-from=(time.0) data-step=(seconds)
                    data-values=(told(heat, values)) {}
            }
            @for share in ticks {
                text x=(format!("{:.1}", size.names + share * (size.width - size.names))) y=(height - 8.0) font-size=(TEXT) fill="var(--muted)"
                    text-anchor=(if share == 0.0 { "start" } else if share == 1.0 { "end" } else { "middle" }) {
                    (significant(time.0 + share * (time.1 - time.0))) " s"
                }
            }
        }
    }
}

/// For each step of shade the cells that have it, neighbours joined.
fn levels(values: &[f64], full: f64, (left, top): (f64, f64), cell: f64) -> Vec<(usize, String)> {
    let level = |value: f64| match value > 0.0 && full > 0.0 {
        // What is more than the lab's own probes is seen.
        true if value / full >= LEAST_SHARE => {
            ((value / full * LEVELS as f64).round() as usize).clamp(1, LEVELS)
        }
        _ => 0,
    };
    let mut paths = vec![String::new(); LEVELS + 1];
    let mut at = 0;
    for run in values.chunk_by(|a, b| level(*a) == level(*b)) {
        let (x, width) = (left + at as f64 * cell, run.len() as f64 * cell);
        paths[level(run[0])] += &format!("M{x:.1} {top:.1}h{width:.1}v{ROW}h-{width:.1}z");
        at += run.len();
    }
    let drawn = paths.into_iter().enumerate().skip(1);
    drawn.filter(|(_, path)| !path.is_empty()).collect()
}

/// The values in words, as few as can be.
fn told(heat: Heat, values: &[f64]) -> String {
    let each = values.iter().map(|&value| match value > 0.0 {
        true => heat.value(value),
        false => String::new(),
    });
    each.collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_carried_is_spread_over_its_time_and_queues_keep_their_peak() {
        let lane = Lane {
            bytes: vec![Seen {
                from: 0.5,
                to: 2.5,
                value: 200.0,
            }],
            queue: vec![
                Seen {
                    from: 0.0,
                    to: 1.2,
                    value: 7.0,
                },
                Seen {
                    from: 1.2,
                    to: 1.8,
                    value: 900.0,
                },
                Seen {
                    from: 1.8,
                    to: 1.9,
                    value: 3.0,
                },
            ],
            marks: vec![Seen {
                from: 3.0,
                to: 4.0,
                value: 5.0,
            }],
        };
        let columns = |heat| columns_of(heat, &lane, (0.0, 4.0), 4);
        assert_eq!(columns(Heat::Use), [400.0, 800.0, 400.0, 0.0]);
        assert_eq!(columns(Heat::Queue), [0.0, 900.0, 0.0, 0.0]);
        assert_eq!(columns(Heat::Marks), [0.0, 0.0, 0.0, 5.0]);
    }

    #[test]
    fn cells_alike_are_one_shape_and_the_least_is_seen() {
        let levels = levels(&[0.0, 1.0, 1.0, 100.0], 100.0, (10.0, 0.0), 2.0);
        let steps: Vec<usize> = levels.iter().map(|level| level.0).collect();
        assert_eq!(steps, [1, 10]);
        assert_eq!(levels[0].1, "M12.0 0.0h4.0v20h-4.0z");
    }
}
