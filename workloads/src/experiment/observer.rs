//! What a runner tells while it works; the command line draws progress from it.

use std::time::Duration;

use longhaul_emulator::engine::EngineKind;
use longhaul_reports::result::{FidelityRow, Point, Sample, TimelineEntry};
use longhaul_topologies::Topology;

use super::points::PointPlan;

/// Something happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// All is checked, the first lab comes up next.
    RunStarts {
        /// How many points there are.
        points: usize,
        /// The least time the workload can take, if the links bound it.
        at_least: Option<Duration>,
    },
    /// A lab is coming up.
    LabComesUp {
        /// What is being built.
        topology: &'a Topology,
    },
    /// A lab is up; its links are measured next.
    LabIsUp {
        /// What carries the links.
        engine: EngineKind,
        /// How long it took.
        took: Duration,
    },
    /// The machines of a physical lab are being reached.
    MachinesAreReached {
        /// How many there are.
        hosts: usize,
    },
    /// The machines of a physical lab answer; the ways between them are measured next.
    MachinesAnswer {
        /// How many there are.
        hosts: usize,
        /// How long it took.
        took: Duration,
    },
    /// A quantity of a channel was held against its description.
    LinkChecked(&'a FidelityRow),
    /// Something worth knowing that is not a fault: a check that could not be made, probes further apart than asked.
    Note(&'a str),
    /// A point begins.
    PointStarts {
        /// From 0.
        index: usize,
        /// How many there are.
        of: usize,
        /// Its settings.
        plan: &'a PointPlan,
        /// Iterations to come, warm-up included; 0 for programs.
        iterations: u64,
    },
    /// An iteration was done, and lies in the result's folder.
    IterationDone {
        /// The point it belongs to.
        point: usize,
        /// What it gave.
        sample: &'a Sample,
    },
    /// A link changed while the workload runs.
    LinkChanged(&'a TimelineEntry),
    /// The lab was not what was asked for.
    Finding {
        /// The point it belongs to.
        point: usize,
        /// What was off, by how much and what to do.
        text: &'a str,
    },
    /// A point is done, and lies in the result's folder.
    PointDone(&'a Point),
}

/// Whoever wants to know.
pub trait Observer {
    /// Takes notice of `event`; called from the runner's task, so it must not block.
    fn event(&mut self, event: Event<'_>);
}

/// Nobody wants to know.
impl Observer for () {
    fn event(&mut self, _: Event<'_>) {}
}
