//! What the times of a step's nodes come to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::score::Span;
use super::trace::{Activity, Trace};

/// One step, summed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFigures {
    /// How long the rank that computes most computes.
    pub compute: Duration,
    /// The rest of the step: that rank waits for communication, or for others.
    pub exposed: Duration,
    /// By kind, what its collectives or transfers took: each from when the last of its ranks was ready until the last of
    /// them was done, one after another even if they overlapped.
    pub communication: BTreeMap<&'static str, Duration>,
}

impl StepFigures {
    /// Of a step of `trace` that lasted so long, by the `spans` of each rank.
    pub fn new(trace: &Trace, lasted: Duration, spans: &[Vec<Span>]) -> Self {
        let compute = spans
            .iter()
            .map(|spans| computing(trace, spans))
            .max()
            .unwrap_or_default();
        // Of each node, when the last rank was ready, and when the last was done.
        let mut whole: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for span in spans.iter().flatten() {
            let (ready, done) = whole.entry(span.node).or_default();
            *ready = (*ready).max(span.began_ns);
            *done = (*done).max(span.ended_ns);
        }
        let mut communication = BTreeMap::new();
        for (node, (ready, done)) in whole {
            if let Some(kind) = trace.nodes()[node].activity.kind() {
                *communication.entry(kind).or_default() +=
                    Duration::from_nanos(done.saturating_sub(ready));
            }
        }
        Self {
            compute,
            exposed: lasted.saturating_sub(compute),
            communication,
        }
    }
}

/// How long a rank computes, whatever overlaps counted once.
fn computing(trace: &Trace, spans: &[Span]) -> Duration {
    let is_computing = |span: &&Span| {
        let activity = trace.nodes()[span.node].activity;
        matches!(activity, Activity::Compute { .. })
    };
    let mut times: Vec<(u64, u64)> = spans
        .iter()
        .filter(is_computing)
        .map(|span| (span.began_ns, span.ended_ns))
        .collect();
    times.sort_unstable();
    let (mut sum, mut until) = (0, 0);
    for (began, ended) in times {
        sum += ended.saturating_sub(began.max(until));
        until = until.max(ended);
    }
    Duration::from_nanos(sum)
}
