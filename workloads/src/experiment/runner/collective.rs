//! A collective of every size on a lab that is up.

use longhaul_reports::result::{Placement, Sample, Workload};
use longhaul_topologies::Topology;

use super::super::error::Stop;
use super::super::ground::Ground;
use super::super::points::{CollectivePlan, PointPlan};
use super::super::recorder::micros;
use super::Run;
use super::sampling::Sampling;
use crate::world::Operation;

impl Run<'_> {
    /// Runs every size and placement of `plan` as often as it says.
    pub(super) async fn collective(
        &mut self,
        index: usize,
        point: &PointPlan,
        plan: &CollectivePlan,
        ground: &Ground,
        sampling: &mut Sampling,
    ) -> Result<(), Stop> {
        let mut world = self.world(point, ground).await?;
        self.begin(ground, sampling).await?;
        for &size_bytes in &plan.sizes {
            for &placement in &plan.placements {
                let operation = operation(plan, size_bytes, placement, point.seed);
                for iteration in 0..plan.warmup + plan.iterations {
                    let work = world.iterate(&operation, iteration, plan.patience);
                    let done = self.while_sampling(sampling, work).await??;
                    let sample = Sample {
                        size_bytes,
                        count: operation.count(plan.ranks.len())?,
                        placement,
                        iteration: iteration.checked_sub(plan.warmup).unwrap_or(iteration),
                        warmup: iteration < plan.warmup,
                        start_s: self.recorder.seconds(done.start),
                        time_us: micros(done.time),
                        wrong: done.wrong,
                    };
                    self.iteration_done(index, &point.workload, &sample, &mut world, sampling)?;
                }
            }
        }
        world.stop().await;
        Ok(())
    }
}

fn operation(plan: &CollectivePlan, size_bytes: u64, placement: Placement, seed: u64) -> Operation {
    Operation {
        collective: plan.collective,
        algorithm: plan.algorithm,
        data_type: plan.data_type,
        op: plan.op,
        root: plan.root,
        size_bytes,
        placement,
        seed,
    }
}

/// What a collective is in a result.
pub(super) fn describe(plan: &CollectivePlan, topology: &Topology) -> Workload {
    Workload::Collective {
        program: None,
        collective: plan.collective.to_string(),
        algorithm: plan.algorithm.to_string(),
        data_type: plan.data_type.to_string(),
        op: if plan.collective.reduces() {
            plan.op.to_string()
        } else {
            "none".to_owned()
        },
        root: if plan.collective.has_root() {
            i32::try_from(plan.root).unwrap_or(i32::MAX)
        } else {
            -1
        },
        ranks: plan.ranks.len(),
        hosts: plan
            .ranks
            .iter()
            .map(|place| place.host_name(topology))
            .collect(),
    }
}
