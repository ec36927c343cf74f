//! A trace's steps on a lab that is up.

use longhaul_reports::result::{Better, Carried, Placement, Sample, Workload};
use longhaul_topologies::Topology;

use super::super::error::Stop;
use super::super::ground::Ground;
use super::super::points::{PointPlan, ReplayPlan};
use super::super::recorder::micros;
use super::Run;
use super::sampling::Sampling;
use crate::collective::Collective;
use crate::program::{Told, When};
use crate::replay::figures::StepFigures;
use crate::world::ReplayedStep;

/// Whose the figures of a step are.
const EVERYONE: &str = "all ranks";

impl Run<'_> {
    /// Plays the trace of `plan` as often as it says.
    pub(super) async fn replay(
        &mut self,
        index: usize,
        point: &PointPlan,
        plan: &ReplayPlan,
        ground: &Ground,
        sampling: &mut Sampling,
    ) -> Result<(), Stop> {
        let trace = &plan.trace;
        let size_bytes = trace.carried().values().map(|carried| carried.bytes).sum();
        // While a rank computes, others hear nothing of it.
        let patience = plan.patience + trace.compute_time(&plan.terms);
        let mut world = self.world(point, ground).await?;
        let parts = (0..trace.ranks).map(|rank| trace.part(rank, &plan.terms, point.seed));
        world.learn(parts.collect()).await;
        self.begin(ground, sampling).await?;
        for iteration in 0..plan.warmup + plan.iterations {
            let work = world.replay(iteration, patience);
            let step = self.while_sampling(sampling, work).await??;
            let sample = Sample {
                size_bytes,
                count: trace.nodes().len() as u64,
                placement: Placement::InPlace,
                iteration: iteration.checked_sub(plan.warmup).unwrap_or(iteration),
                warmup: iteration < plan.warmup,
                start_s: self.recorder.seconds(step.iteration.start),
                time_us: micros(step.iteration.time),
                wrong: step.iteration.wrong,
            };
            self.iteration_done(index, &point.workload, &sample, &mut world, sampling)?;
            if !sample.warmup {
                self.recorder.step(figures(plan, &step));
            }
        }
        world.stop().await;
        Ok(())
    }
}

/// What a step comes to, at its end.
fn figures(plan: &ReplayPlan, step: &ReplayedStep) -> Vec<Told> {
    let time = step.iteration.time;
    let figures = StepFigures::new(&plan.trace, time, &step.spans);
    let ends = step.spans.iter().flatten().map(|span| span.ended_ns);
    let when = ends.max().map_or(When::Unknown, When::Monotonic);
    let told = |name: String, better, value| Told {
        name,
        unit: "us".to_owned(),
        better,
        host: EVERYONE.to_owned(),
        values: vec![(when, micros(value))],
    };
    let whole = [
        told("step time".to_owned(), Better::Lower, time),
        told(
            "exposed communication".to_owned(),
            Better::Lower,
            figures.exposed,
        ),
        told("computing".to_owned(), Better::Neither, figures.compute),
    ];
    let kinds = figures.communication.into_iter();
    let kinds = kinds.map(|(kind, time)| told(format!("{kind} time"), Better::Lower, time));
    whole.into_iter().chain(kinds).collect()
}

/// What a replay is in a result.
pub(super) fn describe(plan: &ReplayPlan, topology: &Topology) -> Workload {
    let carried = plan.trace.carried().into_iter();
    let algorithm = |kind: &str| {
        let mut all = Collective::ALL.into_iter();
        let collective = all.find(|collective| collective.name() == kind)?;
        Some(plan.terms.algorithm(collective).to_string())
    };
    let hosts = plan.ranks.iter();
    Workload::Replay {
        trace: plan.trace.name.clone(),
        description: plan.trace.description.clone(),
        compute: plan.terms.compute.to_string(),
        carries: carried
            .map(|(kind, carried)| Carried {
                algorithm: algorithm(kind),
                kind: kind.to_owned(),
                count: carried.count,
                bytes: carried.bytes,
            })
            .collect(),
        ranks: plan.ranks.len(),
        hosts: hosts.map(|place| place.host_name(topology)).collect(),
    }
}
