//! How the points of a run are grouped: those that differ in nothing but the repeat are one series.

use crate::result::{Bound, Point, RunResult, Sample, Summary, Workload};
use crate::stats;

/// A stack with its settings, over all repeats.
#[derive(Clone, Debug)]
pub(crate) struct Series<'a> {
    /// `cubic`, or `cubic, algorithm ring` in a sweep.
    pub label: String,
    /// Its repeats, in order; never empty.
    pub points: Vec<&'a Point>,
}

impl<'a> Series<'a> {
    /// Every series of `result`, by first appearance.
    pub fn of(result: &'a RunResult) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for point in &result.points {
            let label = label(point);
            match all.iter_mut().find(|series| series.label == label) {
                Some(series) => series.points.push(point),
                None => all.push(Self {
                    label,
                    points: vec![point],
                }),
            }
        }
        all
    }

    /// What all of its points ran.
    pub fn workload(&self) -> &'a Workload {
        &self.points[0].workload
    }

    /// The bound of its points.
    pub fn bound(&self) -> Option<&'a Bound> {
        self.points.iter().find_map(|point| point.bound.as_ref())
    }

    /// Every iteration after warm-up, repeats pooled.
    pub fn samples(&self) -> impl Iterator<Item = &'a Sample> {
        self.points
            .iter()
            .flat_map(|point| &point.samples)
            .filter(|sample| !sample.warmup)
    }

    /// One row per size and placement, repeats pooled.
    pub fn summaries(&self) -> Vec<Summary> {
        if let (
            [_, _, ..],
            Workload::Collective {
                collective, ranks, ..
            },
        ) = (&self.points[..], self.workload())
        {
            let samples: Vec<Sample> = self.samples().cloned().collect();
            if let Ok(pooled) = stats::summarise(&samples, collective, *ranks, self.bound()) {
                return pooled;
            }
        }
        self.points[0].summaries.clone()
    }
}

/// What tells a point's series from the others.
fn label(point: &Point) -> String {
    let settings = point
        .settings
        .iter()
        .map(|(name, value)| format!(", {name} {value}"));
    point.stack.clone() + &settings.collect::<String>()
}
