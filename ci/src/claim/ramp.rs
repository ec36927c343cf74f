//! How soon a link is in use, from what its lanes carried over time.

use std::ops::Range;

use longhaul_reports::result::{Entity, Point, TelemetryRow, metric};

/// Part of what the lanes carry from which on they are in use.
const IN_USE: f64 = 0.9;
/// Readings of a lane in a window below which they do not tell.
const FEWEST: f64 = 2.0;
/// Round trips that a link is to stay in use.
const WATCHED: f64 = 20.0;

/// A lane over time, seconds since the run's start.
struct Lane {
    /// Bytes per second that it carries.
    rate: f64,
    /// Bytes carried so far.
    carried: Vec<(f64, f64)>,
    /// Whether it was up from then on.
    up: Vec<(f64, bool)>,
}

impl Lane {
    /// Bytes carried by `at`, in a straight line between readings; nothing outside them.
    fn carried(&self, at: f64) -> Option<f64> {
        let next = self.carried.partition_point(|(read, _)| *read < at);
        let &(right, more) = self.carried.get(next)?;
        let &(left, less) = self.carried.get(next.checked_sub(1)?)?;
        Some(less + (at - left) / (right - left) * (more - less))
    }

    fn is_up(&self, at: f64) -> bool {
        let mut told = self.up.iter().rev();
        told.find(|(read, _)| *read <= at).is_none_or(|(_, up)| *up)
    }
}

/// How soon a link is in use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ramp {
    /// From when on it first is.
    Up,
    /// From when on it is again, and stays so for twenty round trips from the beginning on; at once if it always is.
    Again,
}

/// How many seconds after `during` began all lanes of `link` that are up carry 90 % of what they can, for half of `round_trip`
/// (seconds); all of it, if they never do. Nothing without rates, where it is over before, or where readings are too far apart to
/// tell.
pub(super) fn ramp(
    ramp: Ramp,
    point: &Point,
    rows: &[&TelemetryRow],
    link: &str,
    during: Range<f64>,
    round_trip: f64,
) -> Option<f64> {
    let lanes = point.channels.iter().filter(|lane| lane.link == link);
    let lanes = lanes.map(|lane| {
        let name = format!("{link}/{}", lane.lane);
        let of_metric = |metric: &str| {
            let rows = rows.iter().filter(|row| {
                row.entity == Entity::Channel && row.name == name && row.metric == metric
            });
            rows.map(|row| (row.time_s, row.value)).collect::<Vec<_>>()
        };
        let up = of_metric(metric::UP).into_iter();
        Some(Lane {
            rate: lane.rate_bps? as f64 / 8.0,
            carried: of_metric(metric::BYTES),
            up: up.map(|(at, up)| (at, up > 0.0)).collect(),
        })
    });
    let lanes: Vec<Lane> = lanes.collect::<Option<_>>()?;
    let window = round_trip / 2.0;
    let Range { start, end } = during;
    let times = lanes.first()?.carried.iter().map(|(at, _)| *at);
    let times: Vec<f64> = times
        .filter(|at| (start..=end - window).contains(at))
        .collect();
    let readings = times.len() as f64;
    if times.is_empty() || readings * window < FEWEST * (end - start - window) {
        return None;
    }
    let is_in_use = |at: f64| {
        let carried = lanes
            .iter()
            .map(|lane| Some(lane.carried(at + window)? - lane.carried(at)?));
        let up = lanes.iter().filter(|lane| lane.is_up(at + window));
        let rate: f64 = up.map(|lane| lane.rate).sum();
        Some(rate > 0.0 && carried.sum::<Option<f64>>()? >= IN_USE * rate * window)
    };
    let in_use = times.iter().filter_map(|at| Some((*at, is_in_use(*at)?)));
    let in_use: Vec<(f64, bool)> = in_use.collect();
    let begin = match ramp {
        Ramp::Up => 0,
        Ramp::Again => {
            let watched = in_use.partition_point(|(at, _)| *at <= start + WATCHED * round_trip);
            let lapse = in_use[..watched].iter().rposition(|(_, in_use)| !in_use);
            match lapse {
                Some(lapse) => lapse,
                None => return Some(0.0),
            }
        }
    };
    let reached = in_use[begin..].iter().find(|(_, in_use)| *in_use);
    Some(reached.map_or(end, |(at, _)| *at) - start)
}
