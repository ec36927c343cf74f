//! Writing: `result.json` as a whole, the CSV files line by line.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::folder::{
    FolderError, RESULT_FILE, SAMPLE_COLUMNS, SAMPLES_FILE, SampleRow, TELEMETRY_COLUMNS,
    TELEMETRY_FILE, UNDER_WAY_FILE, io_error,
};
use crate::result::{Point, RunResult, Sample, TelemetryRow};

/// A folder being written.
#[derive(Debug)]
pub struct ResultWriter {
    path: PathBuf,
    samples: csv::Writer<File>,
    telemetry: csv::Writer<File>,
}

impl ResultWriter {
    /// Makes the folder (and its parents). An existing empty folder is fine; one that holds anything is refused.
    ///
    /// # Errors
    /// If it exists and is not empty, or cannot be made.
    pub fn create(path: &Path) -> Result<Self, FolderError> {
        fs::create_dir_all(path).map_err(io_error("make the folder", path))?;
        Self::check(path)?;
        let samples = start_csv(&path.join(SAMPLES_FILE), &SAMPLE_COLUMNS)?;
        let telemetry = start_csv(&path.join(TELEMETRY_FILE), &TELEMETRY_COLUMNS)?;
        Ok(Self {
            path: path.to_owned(),
            samples,
            telemetry,
        })
    }

    /// Whether [`create`](Self::create) would take the folder as it is: that it is not there, or empty. Makes nothing.
    ///
    /// # Errors
    /// If it holds anything, or is no folder.
    pub fn check(path: &Path) -> Result<(), FolderError> {
        match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(FolderError::Exists(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error("look into", path)(error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one iteration of `point` to `samples.csv` and flushes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn sample(&mut self, point: &Point, sample: &Sample) -> Result<(), FolderError> {
        let row = SampleRow::of(point, sample);
        append(&mut self.samples, [row]).map_err(io_error("write", &self.path.join(SAMPLES_FILE)))
    }

    /// Appends rows to `telemetry.csv` and flushes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn telemetry(&mut self, rows: &[TelemetryRow]) -> Result<(), FolderError> {
        append(&mut self.telemetry, rows)
            .map_err(io_error("write", &self.path.join(TELEMETRY_FILE)))
    }

    /// Replaces `result.json`: at every moment, and after a power cut, the file is the older or the newer result.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn result(&mut self, result: &RunResult) -> Result<(), FolderError> {
        replace_result(&self.path, result)
    }
}

/// What [`ResultWriter::result`] says, of the result in `folder`.
pub(super) fn replace_result(folder: &Path, result: &RunResult) -> Result<(), FolderError> {
    let file = folder.join(RESULT_FILE);
    let beside = folder.join(UNDER_WAY_FILE);
    let replace = || {
        let mut new = File::create(&beside)?;
        let mut text = serde_json::to_vec_pretty(result)?;
        text.push(b'\n');
        new.write_all(&text)?;
        new.sync_all()?;
        fs::rename(&beside, &file)?;
        File::open(folder)?.sync_all()
    };
    replace().map_err(|error| {
        // On a full disk it is but room taken.
        let _ = fs::remove_file(&beside);
        io_error("write", &file)(error)
    })
}

/// Makes a CSV file that has its header and nothing else.
fn start_csv(path: &Path, columns: &[&str]) -> Result<csv::Writer<File>, FolderError> {
    let start = || {
        let file = File::create_new(path)?;
        let mut writer = csv::WriterBuilder::new()
            .has_headers(false)
            .from_writer(file);
        writer.write_record(columns)?;
        writer.flush()?;
        Ok(writer)
    };
    start().map_err(io_error("make", path))
}

fn append<T: Serialize>(
    writer: &mut csv::Writer<File>,
    rows: impl IntoIterator<Item = T>,
) -> io::Result<()> {
    for row in rows {
        writer.serialize(row)?;
    }
    writer.flush()
}
