//! Why a run ends before its last point.

use std::io;
use std::time::Duration;

use longhaul_emulator::capture::CaptureError;
use longhaul_emulator::engine::EngineError;
use longhaul_emulator::lab::LabError;
use longhaul_emulator::physical::PhysicalError;
use longhaul_emulator::probe::ProbeError;
use longhaul_emulator::telemetry::TelemetryError;
use longhaul_reports::folder::FolderError;
use longhaul_topologies::units::ByteSize;
use tokio::task::JoinError;

use super::congestion::CongestionControlError;
use crate::collective::Unsupported;
use crate::program::processes::CommandError;
use crate::program::{Missing, ProgramError};
use crate::world::WorldError;

/// Why a run could not be made. What a workload does wrong is no such error: it is the [`Outcome`](longhaul_reports::result::Outcome) of a result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The results could not be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A lab did not come up.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The link engine stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// One-way delay could not be measured.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Counters could not be read.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The kernel lacks a stack's congestion control.
    #[error("the stack `{stack}` cannot be used: {source}")]
    CongestionControl {
        /// Which stack.
        stack: String,
        /// What is missing.
        source: CongestionControlError,
    },
    /// The workload would take longer than anyone waits.
    #[error("the links allow this workload no less than {} hours; use fewer or smaller sizes, fewer iterations or higher rates", .0.as_secs() / 3600)]
    TooLong(Duration),
    /// The arrays do not fit into memory; the kernel would end other programs for them.
    #[error(
        "every one of {ranks} ranks holds {size} at least, more than this machine's {memory} of memory together; use smaller sizes"
    )]
    TooLarge {
        /// How many ranks.
        ranks: usize,
        /// The greatest size.
        size: ByteSize,
        /// What there is.
        memory: ByteSize,
    },
    /// A program is not here.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A collective has no such schedule.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// Packets could not be captured.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// No thread for the schedule of the links.
    #[error("cannot start the schedule of the links: {0}")]
    Schedule(io::Error),
    /// What programs left behind could not be ended.
    #[error("cannot end the programs in the lab's hosts: {0}")]
    Programs(io::Error),
    /// A machine could not be reached, or not be used.
    #[error(transparent)]
    Unreached(PhysicalError),
    /// A machine stopped answering.
    #[error(transparent)]
    Machine(#[from] PhysicalError),
    /// Nothing but collectives runs on machines that are there.
    #[error("a physical lab runs longhaul's own collectives, and this experiment runs a program")]
    ProgramsThere,
    /// A thread of the run failed.
    #[error("a thread of the run failed: {0}")]
    Thread(#[from] JoinError),
}

/// What ends a run before its last point.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Run(RunError),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Program(#[from] ProgramError),
}

impl<E: Into<RunError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Run(error.into())
    }
}
