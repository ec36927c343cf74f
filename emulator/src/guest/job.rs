//! What both sides know of a guest.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use longhaul_topologies::units::ByteSize;
use serde::{Deserialize, Serialize};

use crate::kernel::LabKernel;

/// The environment variable that tells the guest's init which folder its job lies in.
pub(super) const JOB: &str = "LONGHAUL_JOB";

/// When the guest's clock starts: 2026-01-01 00:00:00 UTC, in seconds since 1970.
pub(super) const EPOCH: u64 = 1_767_225_600;

/// A guest to be.
#[derive(Clone, Debug)]
pub struct GuestSpec {
    /// What it boots.
    pub kernel: LabKernel,
    /// How much memory it has; what it does not touch costs nothing.
    pub memory: ByteSize,
    /// Seeds everything random in the kernel.
    pub seed: u64,
    /// What this executable is to be called with inside.
    pub arguments: Vec<OsString>,
    /// Variables beside those that every guest has.
    pub environment: BTreeMap<OsString, OsString>,
    /// The working folder inside.
    pub folder: PathBuf,
    /// What it sees of the host's files, beside this executable and its libraries.
    pub mounts: Vec<Mount>,
    /// Whether it also sees the host's programs, libraries and their data: /usr, /bin, /lib and their like.
    pub programs: bool,
}

/// A file or folder of the host's, at the same place inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, and there.
    pub path: PathBuf,
    /// Whether the guest may write to it.
    pub writable: bool,
}

impl Mount {
    /// To be read only.
    pub fn read_only(path: impl Into<PathBuf>) -> Self {
        Mount {
            path: path.into(),
            writable: false,
        }
    }

    /// To be written, too.
    pub fn writable(path: impl Into<PathBuf>) -> Self {
        Mount {
            path: path.into(),
            writable: true,
        }
    }
}

/// The job as the host leaves it for the guest's init.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub executable: PathBuf,
    pub work: Work,
    /// Pairs, since keys of JSON are text.
    pub environment: Vec<(OsString, OsString)>,
    pub folder: PathBuf,
    pub mounts: Vec<Mount>,
    pub kernel: LabKernel,
}

/// What a guest is there for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Work {
    /// One command, with these arguments; it is switched off when that has ended.
    Command(Vec<OsString>),
    /// Sessions, until it is switched off from outside.
    Sessions,
}

/// Where everything lies in the folder that host and guest share.
#[derive(Clone, Debug)]
pub(super) struct Shared(pub PathBuf);

impl Shared {
    /// The [`Job`].
    pub(super) fn job(&self) -> PathBuf {
        self.0.join("job.json")
    }

    /// What the kernel itself prints.
    pub(super) fn console(&self) -> PathBuf {
        self.0.join("console")
    }

    /// What the command prints.
    pub(super) fn stdout(&self) -> PathBuf {
        self.0.join("stdout")
    }

    /// And complains.
    pub(super) fn stderr(&self) -> PathBuf {
        self.0.join("stderr")
    }

    /// What it tells of its progress: a line each.
    pub(super) fn progress(&self) -> PathBuf {
        self.0.join("progress")
    }

    /// What it told last of its lab (see super::notice).
    pub(super) fn notice(&self) -> PathBuf {
        self.0.join("notice")
    }

    /// How it ended: an exit code, or why there was none.
    pub(super) fn ended(&self) -> PathBuf {
        self.0.join("ended")
    }

    /// The signals that its command is to get: an empty file each, named by its number.
    pub(super) fn signals(&self) -> PathBuf {
        self.0.join("signals")
    }

    /// The sessions of a guest that stays: a folder each, named by its number.
    pub(super) fn sessions(&self) -> PathBuf {
        self.0.join("sessions")
    }

    /// Where the host puts one together.
    pub(super) fn next_session(&self) -> PathBuf {
        self.0.join("next-session")
    }

    /// The socket of the clock's controller.
    pub(super) fn clock(&self) -> PathBuf {
        self.0.join("clock")
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

/// How the guest's command ended, as its init tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    /// With this exit code; 128 + n for signal n.
    Code(u8),
    /// It did not start.
    Failed(String),
}
