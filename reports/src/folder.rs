//! A result's folder, written as the run goes and read back.
//!
//! `result.json` is replaced as a whole (written beside, then renamed), so it is always one whole state; the
//! CSV files are appended to and flushed per iteration and per sampling period.

use std::io;
use std::path::{Path, PathBuf};

use crate::result::{RunResult, Sample, TelemetryRow};

/// A folder being written.
#[derive(Debug)]
pub struct ResultWriter {
    path: PathBuf,
}

/// A folder that was written.
#[derive(Clone, Debug)]
pub struct ResultFolder {
    /// `result.json`.
    pub result: RunResult,
    /// `telemetry.csv`, in time order.
    pub telemetry: Vec<TelemetryRow>,
}

/// What can go wrong with a result's folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Never over an older result.
    #[error("{} already holds a result", .0.display())]
    Exists(PathBuf),
    /// The file system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, with the line where there is one.
        message: String,
    },
}

impl ResultWriter {
    /// Makes the folder (and its parents). An existing empty folder is fine; one that holds anything is refused.
    ///
    /// # Errors
    /// If it exists and is not empty, or cannot be made.
    pub fn create(path: &Path) -> Result<Self, FolderError> {
        let _ = path;
        unimplemented!()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one iteration of `point` to `samples.csv` and flushes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn sample(
        &mut self,
        point: usize,
        stack: &str,
        sample: &Sample,
    ) -> Result<(), FolderError> {
        let _ = (point, stack, sample);
        unimplemented!()
    }

    /// Appends rows to `telemetry.csv` and flushes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn telemetry(&mut self, rows: &[TelemetryRow]) -> Result<(), FolderError> {
        let _ = rows;
        unimplemented!()
    }

    /// Replaces `result.json`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn result(&mut self, result: &RunResult) -> Result<(), FolderError> {
        let _ = result;
        unimplemented!()
    }
}

impl ResultFolder {
    /// Reads a folder back.
    ///
    /// # Errors
    /// If a file is missing, truncated or of a newer schema.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let _ = path;
        unimplemented!()
    }
}
