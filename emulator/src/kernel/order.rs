//! What is asked of a build, what it tells meanwhile, and what comes of it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::LabKernel;

/// What is to be built.
#[derive(Clone, Debug)]
pub struct Order {
    /// An unpacked source, which is left as it is, or a tarball; none for the newest that the distribution has put on this
    /// machine.
    pub source: Option<PathBuf>,
    /// Whether packages that are missing are installed, which takes root on Debian or Ubuntu.
    pub install: Install,
    /// How many compilers may run at once.
    pub jobs: NonZeroUsize,
}

/// Whether packages that are missing may be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Install {
    /// They may.
    Allowed,
    /// They may not: what is missing is an error.
    Forbidden,
}

/// A kernel that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Built {
    /// It.
    pub kernel: LabKernel,
    /// How it came to be.
    pub how: How,
}

/// How a kernel that was asked for came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It was built.
    Built,
    /// It was there already.
    Found,
}

/// Watches a build.
pub trait Observer {
    /// Something has happened.
    fn event(&mut self, event: Event<'_>);
}

/// What happens while a kernel is built.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Packages are installed.
    Installing(&'a [String]),
    /// Another process builds a kernel; this one waits for it to end.
    Waiting,
    /// A step begins.
    Step(Step<'a>),
    /// This much of the step is done; never more than all.
    Progress {
        /// Bytes read, files compiled.
        done: u64,
        /// Of about so many.
        of: u64,
    },
}

/// The steps of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The source is read: what it is decides whether there is such a kernel already.
    Read(&'a Path),
    /// The source is unpacked.
    Unpack(&'a Path),
    /// The patch is applied.
    Patch,
    /// The options are set.
    Configure,
    /// It is compiled.
    Compile,
    /// It is kept.
    Keep,
}
