//! What is read from a run.

use std::collections::BTreeMap;

use longhaul_reports::folder::ResultFolder;
use longhaul_reports::result::{
    DelaySummary, LinkShares, Percentiles, Point, Summary, TelemetryRow, Workload,
};
use serde::{Deserialize, Serialize};

use super::ramp::{Ramp, ramp};

/// The points of a run, each with its telemetry.
pub(super) struct Run<'a>(Vec<(&'a Point, Vec<&'a TelemetryRow>)>);

impl<'a> Run<'a> {
    pub(super) fn of(folder: &'a ResultFolder) -> Self {
        let mut rows: BTreeMap<usize, Vec<&TelemetryRow>> = BTreeMap::new();
        for row in &folder.telemetry {
            rows.entry(row.point).or_default().push(row);
        }
        let points = folder.result.points.iter();
        let points = points.map(|point| (point, rows.remove(&point.index).unwrap_or_default()));
        Self(points.collect())
    }

    pub(super) fn points(&self) -> impl Iterator<Item = (&'a Point, &[&'a TelemetryRow])> {
        self.0.iter().map(|(point, rows)| (*point, rows.as_slice()))
    }
}

/// A figure of a point, or of each of its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Bus bandwidth of the mean time, 1e9 bytes per second.
    Busbw,
    /// Share of the bus bandwidth that the links allow at that size.
    BoundShare,
    /// Mean time of an iteration, milliseconds.
    Time,
    /// 99th percentile of the iterations' times over their median.
    TimeSpread,
    /// Median one-way delay above the described one, milliseconds; of the path where it is greatest.
    QueueingDelay,
    /// 99th percentile of the one-way delay above the described one, milliseconds; of the path where it is greatest.
    QueueingDelayP99,
    /// Packet delay variation (RFC 5481 section 4.2), milliseconds; of the path where it is greatest.
    Pdv,
    /// Packets that the links' queues dropped.
    Drops,
    /// Jain's index of the flows over the busiest lane's link, 1 / flows to 1, in the second half of the time in which all were sending.
    Fairness,
    /// Share of the rate of the busiest lane's link that the flows over it used in that time: acknowledged data, without headers.
    Utilisation,
    /// 99th percentile of the one-way delay above the described one, over what it should stay below: 100 µs, or 2 % of the described
    /// round trip if that is more; of the path where it is greatest.
    StandingQueue,
    /// The same of probes that left in the time of [`Self::Utilisation`].
    SettledQueue,
    /// Round trips from the first measured iteration's begin until the lanes of the busiest lane's link carry 90 % of what they can, for half
    /// a round trip: the longest described one. As long as the workload took, if they never do.
    StartUp,
    /// The same from the last change of that link on, of what the lanes can that are up then, until they stay so for twenty round trips.
    Recovery,
    /// Greatest sampled occupancy of a lane's queue, as the time to send it, milliseconds.
    PeakQueue,
    /// Bytes of frames over all WAN links, both ways, per byte of the arrays.
    WanBytes,
}

impl Measure {
    /// As files write it.
    pub fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// The unit of its figures; empty for ratios and counts.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Busbw => "GB/s",
            Self::Time
            | Self::QueueingDelay
            | Self::QueueingDelayP99
            | Self::Pdv
            | Self::PeakQueue => "ms",
            Self::StartUp | Self::Recovery => "round trips",
            Self::BoundShare
            | Self::TimeSpread
            | Self::Fairness
            | Self::Utilisation
            | Self::StandingQueue
            | Self::SettledQueue
            | Self::Drops
            | Self::WanBytes => "",
        }
    }

    /// Its figures of `point`, whose telemetry `rows` are, each with its size if it is one of a size.
    pub(super) fn read(self, point: &Point, rows: &[&TelemetryRow]) -> Vec<(Option<u64>, f64)> {
        let one = |figure: Option<f64>| figure.map(|figure| (None, figure)).into_iter().collect();
        let sizes = |figure: &dyn Fn(&Summary) -> Option<f64>| {
            let figures = point.summaries.iter();
            let figures = figures.filter_map(|row| Some((Some(row.size_bytes), figure(row)?)));
            figures.collect()
        };
        let paths = |figure: &dyn Fn(&DelaySummary) -> f64| {
            let seen = point.delays.iter().filter(|path| path.delay_us.count > 0);
            one(seen.map(figure).reduce(f64::max).map(|us| us / 1e3))
        };
        match self {
            Self::Busbw => sizes(&|row| Some(row.busbw_gbps)),
            Self::BoundShare => sizes(&|row| row.bound_share),
            Self::Time => sizes(&|row| Some(row.time_us / 1e3)),
            Self::TimeSpread => sizes(&|row| Some(row.p99_us / row.p50_us)),
            Self::QueueingDelay => paths(&|path| path.delay_us.p50 - path.described_us),
            Self::QueueingDelayP99 => paths(&|path| path.delay_us.p99 - path.described_us),
            Self::Pdv => paths(&|path| path.pdv_us),
            Self::Drops => {
                let drops = point.channels.iter();
                let drops: u64 = drops.map(|lane| lane.queue_drops + lane.early_drops).sum();
                one(Some(drops as f64))
            }
            Self::Fairness => one(shares_of_busiest(point).map(|shares| shares.jain)),
            Self::Utilisation => one(utilisation(point)),
            Self::StandingQueue => one(queue(point, |path| Some(path.delay_us))),
            Self::SettledQueue => one(queue(point, |path| path.settled_us)),
            Self::StartUp => {
                let began = point.samples.iter().find(|sample| !sample.warmup);
                one(began.and_then(|sample| fills(Ramp::Up, point, rows, sample.start_s)))
            }
            Self::Recovery => {
                let link = busiest(point);
                let mut changes = point.timeline.iter();
                let last = changes.rfind(|change| Some(&change.link) == link);
                one(last.and_then(|change| fills(Ramp::Again, point, rows, change.time_s)))
            }
            Self::PeakQueue => {
                let lanes = point.channels.iter();
                let times = lanes.filter_map(|lane| {
                    Some(lane.queue_peak_bytes as f64 * 8e3 / lane.rate_bps? as f64)
                });
                one(times.reduce(f64::max))
            }
            Self::WanBytes => {
                let arrays: u64 = point.samples.iter().map(|sample| sample.size_bytes).sum();
                let carried: u64 = point.channels.iter().map(|lane| lane.bytes).sum();
                let collective = matches!(point.workload, Workload::Collective { .. });
                one((collective && arrays > 0).then(|| carried as f64 / arrays as f64))
            }
        }
    }
}

/// What a standing queue should stay below, microseconds, and as a share of the round trip.
const STANDING_US: f64 = 100.0;
const STANDING_SHARE: f64 = 0.02;

/// 99th percentile of such delays above the described one, over what it should stay below; of the path where it is greatest.
fn queue(point: &Point, of: impl Fn(&DelaySummary) -> Option<Percentiles>) -> Option<f64> {
    let shares = point.delays.iter().filter_map(|path| {
        let delays = of(path).filter(|delays| delays.count > 0)?;
        let round_trip = path.described_us + way_back(point, path);
        let bound = (STANDING_SHARE * round_trip).max(STANDING_US);
        Some((delays.p99 - path.described_us) / bound)
    });
    shares.reduce(f64::max)
}

/// What the way back of `path` is described to take, microseconds.
fn way_back(point: &Point, path: &DelaySummary) -> f64 {
    let mut paths = point.delays.iter();
    let back = paths.find(|back| back.from == path.to && back.to == path.from);
    back.map_or(0.0, |back| back.described_us)
}

/// The link whose lane was busiest for its rate.
fn busiest(point: &Point) -> Option<&String> {
    let lanes = point.channels.iter();
    let uses = lanes.filter_map(|lane| Some((lane, lane.bytes as f64 / lane.rate_bps? as f64)));
    let (busiest, _) = uses.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    Some(&busiest.link)
}

/// What flows had of that link.
fn shares_of_busiest(point: &Point) -> Option<&LinkShares> {
    let link = busiest(point)?;
    let mut shares = point.shares.iter();
    shares.find(|shares| shares.link == *link)
}

/// Round trips, the longest described ones, from `from` on until that link is in use for half of one.
fn fills(how: Ramp, point: &Point, rows: &[&TelemetryRow], from: f64) -> Option<f64> {
    let paths = point.delays.iter();
    let longest = paths.map(|path| path.described_us + way_back(point, path));
    let round_trip = longest.reduce(f64::max)? / 1e6;
    let samples = point.samples.iter();
    let end = samples.map(|sample| sample.start_s + sample.time_us / 1e6);
    let during = from..end.reduce(f64::max).unwrap_or(point.ended_s);
    let seconds = ramp(how, point, rows, busiest(point)?, during, round_trip)?;
    Some(seconds / round_trip)
}

fn utilisation(point: &Point) -> Option<f64> {
    let shares = shares_of_busiest(point)?;
    let lanes = || {
        point
            .channels
            .iter()
            .filter(|lane| lane.link == shares.link)
    };
    let rate: u64 = lanes().map(|lane| lane.rate_bps).sum::<Option<u64>>()?;
    Some(shares.goodput_bps? / rate as f64)
}
