//! What probes of a point's paths found.

use std::time::Duration;

use longhaul_emulator::plan::LabPlan;
use longhaul_emulator::probe::ProbeSample;
use longhaul_reports::result::{DelaySummary, Entity, Percentiles, metric};
use longhaul_reports::stats::InterarrivalJitter;
use longhaul_topologies::model::SiteId;
use longhaul_topologies::route::Routes;

use super::super::bound::way;
use super::super::flows::Flows;
use super::clock::micros;
use super::rows::Rows;

/// One-way delays, path by path.
#[derive(Debug)]
pub(super) struct Delays {
    paths: Vec<Path>,
}

#[derive(Debug)]
struct Path {
    from: SiteId,
    to: SiteId,
    /// In telemetry.
    name: String,
    /// Each with when it was sent, in seconds since the run's start.
    probes: Vec<(f64, ProbeSample)>,
}

impl Delays {
    /// None yet, between the `pairs` that are probed.
    pub(super) fn between(pairs: &[(SiteId, SiteId)], plan: &LabPlan) -> Self {
        let name = |site| &plan.topology.site(site).name;
        let path = |&(from, to): &(SiteId, SiteId)| Path {
            from,
            to,
            name: format!("{}>{}", name(from), name(to)),
            probes: Vec::new(),
        };
        Self {
            paths: pairs.iter().map(path).collect(),
        }
    }

    /// Takes a probe that was sent at `time_s`.
    pub(super) fn take(&mut self, probe: &ProbeSample, time_s: f64, rows: &mut Rows) {
        let path = &mut self.paths[probe.path];
        let mut row = rows.about(time_s, Entity::Probe, &path.name);
        match probe.delay {
            Some(delay) => row(metric::ONE_WAY_DELAY_US, micros(delay)),
            None => row(metric::PROBE_LOST, 1.0),
        }
        path.probes.push((time_s, *probe));
    }

    /// What they come to, beside what is described and while `flows` shared the links.
    pub(super) fn summaries(&self, plan: &LabPlan, flows: &Flows) -> Vec<DelaySummary> {
        let topology = &plan.topology;
        let routes = Routes::new(topology);
        let described = |path: &Path| -> Duration {
            way(topology, &routes, path.from, path.to)
                .map(|(link, direction)| topology.links[link.0].channel(direction).delay)
                .sum()
        };
        let summary = |path: &Path| {
            let delays = path.in_order_of_arrival(|_| true);
            let settled = path.in_order_of_arrival(|at| flows.are_settled(path.from, path.to, at));
            let delay_us = Percentiles::of(&delays);
            DelaySummary {
                from: topology.site(path.from).name.clone(),
                to: topology.site(path.to).name.clone(),
                described_us: micros(described(path)),
                delay_us,
                settled_us: (!settled.is_empty()).then(|| Percentiles::of(&settled)),
                pdv_us: delay_us.packet_delay_variation(),
                rfc3550_us: InterarrivalJitter::of(&delays),
                sent: path.probes.len() as u64,
                lost: (path.probes.len() - delays.len()) as u64,
            }
        };
        let probed = self.paths.iter().filter(|path| !path.probes.is_empty());
        probed.map(summary).collect()
    }
}

impl Path {
    /// The delays of probes that arrived, of those sent at the `wanted` seconds, in microseconds.
    fn in_order_of_arrival(&self, wanted: impl Fn(f64) -> bool) -> Vec<f64> {
        let probes = self.probes.iter().filter(|(at, _)| wanted(*at));
        let arrived = probes.filter_map(|(_, probe)| {
            let delay = probe.delay?;
            Some((probe.sent + delay, delay))
        });
        let mut arrived: Vec<_> = arrived.collect();
        arrived.sort_by_key(|&(at, _)| at);
        arrived
            .into_iter()
            .map(|(_, delay)| micros(delay))
            .collect()
    }
}
