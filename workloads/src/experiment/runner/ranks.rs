//! Ranks of longhaul's own, and what an iteration of theirs gives.

use longhaul_reports::result::Sample;
use longhaul_topologies::units::ByteSize;

use super::super::error::RunError;
use super::super::ground::Ground;
use super::super::observer::Event;
use super::super::points::{PointPlan, WorkloadPlan, derived_seed};
use super::Run;
use super::sampling::Sampling;
use crate::world::{TransportOptions, World, WorldError};

impl Run<'_> {
    /// Starts the ranks of `point`, with its stack.
    pub(super) async fn world(
        &self,
        point: &PointPlan,
        ground: &Ground,
    ) -> Result<World, WorldError> {
        let places = point.workload.ranks().iter();
        let ranks = places.map(|&place| ground.rank(place, self.options));
        let ranks = ranks.collect();
        // One draw for all that is compared: which flows share a lane is chance, and no stack's doing.
        let ports = derived_seed(self.experiment.seed, point.repeat);
        let transport = TransportOptions {
            congestion_control: point.stack.kernel_congestion_control().map(str::to_owned),
            connections: point.stack.connections,
            socket_buffer: point.stack.socket_buffer.map(ByteSize::bytes),
            chunk_bytes: point.stack.chunk.bytes(),
            message: point.stack.message_options(ports),
        };
        World::start(ranks, transport, self.experiment.telemetry_period).await
    }

    /// Keeps and tells what an iteration of `world` gave.
    pub(super) fn iteration_done(
        &mut self,
        point: usize,
        workload: &WorkloadPlan,
        sample: &Sample,
        world: &mut World,
        sampling: &mut Sampling,
    ) -> Result<(), RunError> {
        sampling.clocks = sampling.clocks.max(world.clock_uncertainty());
        self.recorder.sample(sample.clone())?;
        let (connections, arrivals) = (world.connection_samples(), world.arrivals());
        self.recorder.connections(sample, &connections, &arrivals)?;
        self.course.iteration_done(workload, sample);
        self.course.connections(&connections);
        self.observer.event(Event::IterationDone { point, sample });
        Ok(())
    }
}
