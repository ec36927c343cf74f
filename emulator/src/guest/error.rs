//! Why a guest did not do its job.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use longhaul_topologies::units::ByteSize;

/// Why a guest did not boot, or not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// A step on the host's side failed.
    #[error("cannot {step}: {source}")]
    Step {
        /// What was attempted.
        step: String,
        /// What the system answered.
        source: io::Error,
    },
    /// The machine has less memory than the guest needs.
    #[error(
        "this lab needs {needed} of memory and the machine has {available} to spare: use smaller arrays, lower rates or shorter delays, or say how much it may take with --memory"
    )]
    TooLittleMemory {
        /// By what the experiment asks for.
        needed: ByteSize,
        /// MemAvailable of /proc/meminfo.
        available: ByteSize,
    },
    /// A guest's memory is a file, and none of the usual places can hold it.
    #[error(
        "no place for the lab kernel's memory: it needs {needed} in a folder that allows programs ({tried}); name one with TMPDIR"
    )]
    NoPlaceForMemory {
        /// How much.
        needed: ByteSize,
        /// What each has, in words.
        tried: String,
    },
    /// The kernel ended before its clock ran.
    #[error("the lab kernel did not boot: {said}")]
    NoBoot {
        /// The last it printed.
        said: String,
    },
    /// The kernel panicked.
    #[error("the lab kernel panicked: {said}")]
    Panicked {
        /// The line that says why, and those after it.
        said: String,
    },
    /// It used more memory than it was given.
    #[error("the lab ran out of its {memory} of memory: give it more with --memory; {said}")]
    OutOfMemory {
        /// What it had.
        memory: ByteSize,
        /// The line of the kernel that says so.
        said: String,
    },
    /// The host could not back the guest's memory.
    #[error(
        "the machine ran out of memory under the lab kernel, or the file system with its memory is full ({place}): free some, or name another folder with TMPDIR"
    )]
    HostOutOfMemory {
        /// Where its memory lay.
        place: PathBuf,
    },
    /// The folder that both sides share is no longer there.
    #[error(
        "{} is gone, through which longhaul and the lab kernel speak to each other, so the lab was ended: keep what cleans up away from it, or name another place with LONGHAUL_RUNTIME_DIR", folder.display()
    )]
    CutOff {
        /// Where it was.
        folder: PathBuf,
    },
    /// The kernel ended without a word.
    #[error("the lab kernel ended before its command did: {said}")]
    Died {
        /// The last it printed.
        said: String,
    },
    /// Init could not start the command.
    #[error("the lab kernel could not start the command: {0}")]
    NotStarted(String),
    /// No virtual time passed.
    #[error(
        "no virtual time has passed while {culprit} computed for {} s: in virtual time computing takes no time, so a program that waits in a loop for others waits for ever; let it sleep or block instead (MPI: `mpi_yield_when_idle` alone is not enough), or give the lab longer with --patience",
        computed.as_secs()
    )]
    Stalled {
        /// The program that computed most.
        culprit: String,
        /// CPU time of the lab since.
        computed: Duration,
    },
    /// The user would not wait.
    #[error("killed, with the lab inside")]
    Killed,
}

impl GuestError {
    /// A failed step.
    pub(super) fn step(step: impl Into<String>, source: impl Into<io::Error>) -> Self {
        GuestError::Step {
            step: step.into(),
            source: source.into(),
        }
    }
}
