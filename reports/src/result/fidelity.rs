//! The links held against their description.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Point, RunResult};
use crate::format::{plural, time};

/// The lab's faithfulness during a point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FidelitySection {
    /// No finding.
    pub faithful: bool,
    /// What was off, by how much and what to do.
    pub findings: Vec<String>,
    /// What is worth knowing and no fault: what could not be measured and why, what this machine lacks, late readings.
    pub notes: Vec<String>,
    /// Asked against measured, per channel and quantity.
    pub checks: Vec<FidelityRow>,
    /// How late the link engine released packets, if it can tell.
    pub lateness: Option<EngineLateness>,
    /// Packets the engine lost against the description.
    pub engine_drops: u64,
    /// Share of the machine's CPU time in use during the workload (niced processes left out), 0–1.
    pub cpu_use: f64,
}

/// How late the link engine released packets, against the instant that the link's description set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EngineLateness {
    /// Releases counted.
    pub releases: u64,
    /// Median, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// The worst, microseconds.
    pub max_us: f64,
    /// The share of the releases that were later than 5 ms, 0–1.
    #[serde(default)]
    pub late: f64,
    /// The share of those that the engine's thread slept through, 0–1; it was at work during the others.
    #[serde(default)]
    pub slept_through: f64,
    /// How often the thread was taken off its processor.
    #[serde(default)]
    pub preempted: u64,
    /// How often it waited for memory that had to be read from disk.
    #[serde(default)]
    pub major_faults: u64,
}

/// One quantity of one channel: asked against measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FidelityRow {
    /// `virginia>dublin lane 0`.
    pub channel: String,
    /// `one-way delay`, `jitter`, `rate`, `loss`.
    pub quantity: String,
    /// `us`, `bit/s`, `%`.
    pub unit: String,
    /// What the description asks for.
    pub asked: f64,
    /// What was measured.
    pub measured: f64,
    /// Allowed distance either way.
    pub bound: f64,
    /// Within the bound.
    pub within: bool,
}

impl FidelityRow {
    /// How far off it was, as a share of the allowed distance.
    pub(crate) fn strain(&self) -> f64 {
        let off = (self.measured - self.asked).abs();
        if self.bound > 0.0 {
            off / self.bound
        } else {
            off
        }
    }
}

/// Whether a run's links were as described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faithfulness {
    /// There is no point that could tell.
    Unmeasured,
    /// In every point.
    Faithful,
    /// Some links of `off` of `points` points were not.
    Off { off: usize, points: usize },
}

impl fmt::Display for Faithfulness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmeasured => f.write_str("nothing was measured"),
            Self::Faithful => f.write_str("faithful: the links were as described"),
            Self::Off { off, points } => {
                write!(f, "not faithful in {off} of {}", plural(*points, "point"))
            }
        }
    }
}

/// Each text with the numbers of the points that have it.
pub(crate) fn by_text(
    points: &[Point],
    texts: impl Fn(&Point) -> &[String],
) -> BTreeMap<&str, Vec<String>> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for point in points {
        for text in texts(point) {
            found.entry(text).or_default().push(point.index.to_string());
        }
    }
    found
}

/// Of each quantity the check that is furthest off in terms of its bound, with the point that it was made in.
pub(crate) fn worst<'a>(
    checks: impl IntoIterator<Item = (usize, &'a FidelityRow)>,
) -> Vec<(usize, &'a FidelityRow)> {
    let mut worst: Vec<(usize, &FidelityRow)> = Vec::new();
    for check in checks {
        match worst
            .iter_mut()
            .find(|kept| kept.1.quantity == check.1.quantity)
        {
            Some(kept) if check.1.strain() > kept.1.strain() => *kept = check,
            Some(_) => {}
            None => worst.push(check),
        }
    }
    worst
}

impl RunResult {
    /// Over all points.
    pub(crate) fn faithfulness(&self) -> Faithfulness {
        let off = self.points.iter().filter(|one| !one.fidelity.faithful);
        match (off.count(), self.points.len()) {
            (_, 0) => Faithfulness::Unmeasured,
            (0, _) => Faithfulness::Faithful,
            (off, points) => Faithfulness::Off { off, points },
        }
    }

    /// Every check, with the point that it was made in.
    pub(crate) fn checks<'a>(&'a self) -> Vec<(usize, &'a FidelityRow)> {
        let of_point = |point: &'a Point| {
            let checks = point.fidelity.checks.iter();
            checks.map(|check| (point.index, check))
        };
        self.points.iter().flat_map(of_point).collect()
    }

    /// Every finding, with the points that have it.
    pub(crate) fn findings(&self) -> Vec<String> {
        by_text(&self.points, |point| &point.fidelity.findings)
            .into_iter()
            .map(|(finding, points)| format!("{finding} (point {})", points.join(", ")))
            .collect()
    }

    /// How the link engine did at its worst, in a few words each.
    pub(crate) fn engine(&self) -> Vec<String> {
        let points = || self.points.iter().map(|point| &point.fidelity);
        let drops: u64 = points().map(|fidelity| fidelity.engine_drops).sum();
        let cpu = points().map(|fidelity| fidelity.cpu_use);
        let cpu = cpu.fold(0.0, f64::max) * 100.0;
        let late = points().filter_map(|fidelity| fidelity.lateness);
        let late = late.map(|late| late.p99_us).reduce(f64::max);
        let late = late.map(|late| format!("engine late by up to {} (p99)", time(late)));
        let mut told = vec![
            format!("packets lost by the engine: {drops}"),
            format!("CPU in use: up to {cpu:.0} %"),
        ];
        told.extend(late);
        told
    }
}
