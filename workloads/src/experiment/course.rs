//! How far a run is, told at its desk while it goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_emulator::keeper::{ConnectionStatus, Desk, IterationStatus, RunStatus};
use longhaul_emulator::telemetry::Reading;
use longhaul_reports::result::Sample;
use longhaul_reports::stats::bus_factor;

use super::points::{PointPlan, WorkloadPlan};
use crate::world::ConnectionSample;

/// Whoever is told: the desk of a run, if it has one.
#[derive(Clone, Debug)]
pub(super) struct Course(Option<Arc<Desk>>);

impl Course {
    pub(super) fn new(desk: Option<Arc<Desk>>) -> Self {
        Course(desk)
    }

    /// The run begins.
    pub(super) fn run_begins(&self, points: usize) {
        self.tell(|run| run.points = points);
    }

    /// A point begins; `hosts` are those of its ranks.
    pub(super) fn point_begins(
        &self,
        index: usize,
        plan: &PointPlan,
        iterations: u64,
        hosts: Vec<String>,
    ) {
        self.tell(|run| {
            *run = RunStatus {
                point: index + 1,
                points: run.points,
                title: title(plan),
                iterations,
                done: 0,
                iterations_done: run.iterations_done,
                wrong: run.wrong,
                last: None,
                ranks: hosts,
                connections: Vec::new(),
            };
        });
    }

    /// An iteration is done.
    pub(super) fn iteration_done(&self, workload: &WorkloadPlan, sample: &Sample) {
        let factor = match workload {
            WorkloadPlan::Collective(plan) => {
                bus_factor(&plan.collective.to_string(), plan.ranks.len()).ok()
            }
            // What of many collectives and computing together has none.
            WorkloadPlan::Replay(_) | WorkloadPlan::Program(_) => None,
        };
        let seconds = sample.time_us / 1e6;
        let of_bus = |factor| factor * sample.size_bytes as f64 * 8.0 / seconds;
        let last = IterationStatus {
            size_bytes: sample.size_bytes,
            time_us: sample.time_us,
            bus_bandwidth_bps: factor.filter(|_| seconds > 0.0).map(of_bus),
        };
        self.tell(|run| {
            run.done += 1;
            run.iterations_done += 1;
            run.wrong += sample.wrong;
            run.last = Some(last);
        });
    }

    /// Connections were sampled, in the order of time; of each the last counts.
    pub(super) fn connections(&self, samples: &[ConnectionSample]) {
        self.tell(|run| {
            let key = |one: &ConnectionStatus| (one.from, one.to, one.connection);
            let known = std::mem::take(&mut run.connections).into_iter();
            let mut all: BTreeMap<_, _> = known.map(|one| (key(&one), one)).collect();
            for one in samples.iter().map(status) {
                all.insert(key(&one), one);
            }
            run.connections = all.into_values().collect();
        });
    }

    /// The lab was sampled; of readings that have all that there is the last counts.
    pub(super) fn sampled(&self, readings: &[Reading]) {
        let last = readings.iter().rfind(|one| !one.hosts.is_empty());
        if let (Some(desk), Some(last)) = (&self.0, last) {
            desk.sampled(last);
        }
    }

    fn tell(&self, tell: impl FnOnce(&mut RunStatus)) {
        if let Some(desk) = &self.0 {
            desk.tell(tell);
        }
    }
}

fn status(sample: &ConnectionSample) -> ConnectionStatus {
    ConnectionStatus {
        from: sample.from,
        to: sample.to,
        connection: sample.connection,
        rtt_us: sample.rtt_us,
        cwnd_bytes: sample.cwnd_bytes,
        retransmits: sample.retransmits,
        delivery_rate_bps: sample.delivery_rate_bps,
        bytes_acked: sample.bytes_acked,
    }
}

/// `cubic, links.0.queue 1bdp, repeat 2`.
fn title(plan: &PointPlan) -> String {
    let settings = plan.settings.iter();
    let mut title = plan.stack.name.clone();
    title.extend(settings.map(|(key, value)| format!(", {key} {value}")));
    if plan.repeat > 0 {
        title.push_str(&format!(", repeat {}", plan.repeat + 1));
    }
    title
}
