//! A result's folder, written as the run goes and read back.
//!
//! `result.json` is replaced as a whole (written beside, then renamed), so it is always one whole state; the
//! CSV files are appended to and flushed per iteration and per sampling period. A run that was killed can leave
//! its last CSV line cut off: readers use the whole lines.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::result::{Placement, Point, RunResult, SCHEMA_VERSION, Sample, TelemetryRow, Workload};
use crate::stats;

const RESULT_FILE: &str = "result.json";
const SAMPLES_FILE: &str = "samples.csv";
const TELEMETRY_FILE: &str = "telemetry.csv";

/// The columns of `samples.csv`, the fields of [`SampleRow`].
const SAMPLE_COLUMNS: [&str; 10] = [
    "point",
    "stack",
    "size_bytes",
    "count",
    "placement",
    "iteration",
    "warmup",
    "start_s",
    "time_us",
    "wrong",
];

/// The columns of `telemetry.csv`, the fields of [`TelemetryRow`].
const TELEMETRY_COLUMNS: [&str; 6] = ["time_s", "point", "entity", "name", "metric", "value"];

/// A folder being written.
#[derive(Debug)]
pub struct ResultWriter {
    path: PathBuf,
    samples: csv::Writer<File>,
    telemetry: csv::Writer<File>,
}

/// A folder that was written.
#[derive(Clone, Debug)]
pub struct ResultFolder {
    /// `result.json`; a point that it has without samples, because the run was killed, has those of `samples.csv`.
    pub result: RunResult,
    /// `telemetry.csv`, in time order.
    pub telemetry: Vec<TelemetryRow>,
}

/// What can go wrong with a result's folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Never over an older result.
    #[error("{} is not empty, and a result never goes over older files: name another folder", .0.display())]
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

/// One line of `samples.csv`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SampleRow {
    point: usize,
    stack: String,
    size_bytes: u64,
    count: u64,
    placement: Placement,
    iteration: u64,
    warmup: bool,
    start_s: f64,
    time_us: f64,
    wrong: u64,
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
    pub fn sample(
        &mut self,
        point: usize,
        stack: &str,
        sample: &Sample,
    ) -> Result<(), FolderError> {
        let row = SampleRow {
            point,
            stack: stack.to_owned(),
            size_bytes: sample.size_bytes,
            count: sample.count,
            placement: sample.placement,
            iteration: sample.iteration,
            warmup: sample.warmup,
            start_s: sample.start_s,
            time_us: sample.time_us,
            wrong: sample.wrong,
        };
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
        let file = self.path.join(RESULT_FILE);
        let beside = self.path.join(".result.json.new");
        let replace = || {
            let mut new = File::create(&beside)?;
            let mut text = serde_json::to_vec_pretty(result)?;
            text.push(b'\n');
            new.write_all(&text)?;
            new.sync_all()?;
            fs::rename(&beside, &file)?;
            File::open(&self.path)?.sync_all()
        };
        replace().map_err(io_error("write", &file))
    }
}

impl ResultFolder {
    /// Reads a folder back.
    ///
    /// # Errors
    /// If a file is missing, malformed or of a newer schema.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let mut result = read_result(&path.join(RESULT_FILE))?;
        let rows = read_csv(&path.join(SAMPLES_FILE))?;
        complete(&mut result.points, rows);
        let mut telemetry: Vec<TelemetryRow> = read_csv(&path.join(TELEMETRY_FILE))?;
        telemetry.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
        Ok(Self { result, telemetry })
    }
}

/// Turns an I/O error into one that says what was attempted on what.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    move |source| FolderError::Io {
        action,
        path: path.to_owned(),
        source,
    }
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

fn read_result(path: &Path) -> Result<RunResult, FolderError> {
    #[derive(Deserialize)]
    struct Version {
        schema_version: u32,
        longhaul_version: String,
    }
    let malformed = |message| FolderError::Malformed {
        path: path.to_owned(),
        message,
    };
    let text = fs::read(path).map_err(io_error("read", path))?;
    let version: Version =
        serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
    if version.schema_version > SCHEMA_VERSION {
        return Err(malformed(format!(
            "schema version {} is newer than {SCHEMA_VERSION}, the newest known here; read it with longhaul {} or newer",
            version.schema_version, version.longhaul_version
        )));
    }
    serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))
}

/// The whole lines of a CSV file: what follows the last line feed was cut off by a kill.
fn read_csv<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, FolderError> {
    let text = fs::read(path).map_err(io_error("read", path))?;
    let whole = text
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    csv::Reader::from_reader(&text[..whole])
        .into_deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| FolderError::Malformed {
            path: path.to_owned(),
            message: error.to_string(),
        })
}

/// Gives points without samples those of `samples.csv`, and their summaries.
fn complete(points: &mut [Point], rows: Vec<SampleRow>) {
    let mut by_point: BTreeMap<usize, Vec<Sample>> = BTreeMap::new();
    for row in rows {
        by_point.entry(row.point).or_default().push(Sample {
            size_bytes: row.size_bytes,
            count: row.count,
            placement: row.placement,
            iteration: row.iteration,
            warmup: row.warmup,
            start_s: row.start_s,
            time_us: row.time_us,
            wrong: row.wrong,
        });
    }
    for point in points.iter_mut().filter(|point| point.samples.is_empty()) {
        let Workload::Collective {
            collective, ranks, ..
        } = &point.workload
        else {
            continue;
        };
        let Some(samples) = by_point.remove(&point.index) else {
            continue;
        };
        point.summaries = stats::summarise(&samples, collective, *ranks, point.bound.as_ref())
            .unwrap_or_default();
        point.samples = samples;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};

    fn written(result: &RunResult, telemetry: &[TelemetryRow]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ResultWriter::create(dir.path()).unwrap();
        writer.result(result).unwrap();
        for point in &result.points {
            for sample in &point.samples {
                writer.sample(point.index, &point.stack, sample).unwrap();
            }
        }
        writer.telemetry(telemetry).unwrap();
        dir
    }

    #[test]
    fn what_was_written_is_read_back() {
        let (result, telemetry) = example::run(&Shape::default());
        let dir = written(&result, &telemetry);
        let folder = ResultFolder::open(dir.path()).unwrap();
        assert_eq!(folder.result, result);
        assert_eq!(folder.telemetry, telemetry);
    }

    #[test]
    fn a_killed_run_keeps_its_whole_lines() {
        let (mut result, telemetry) = example::run(&Shape::default());
        let samples = std::mem::take(&mut result.points[0].samples);
        let summaries = std::mem::take(&mut result.points[0].summaries);
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ResultWriter::create(dir.path()).unwrap();
        writer.result(&result).unwrap();
        for sample in &samples {
            writer.sample(0, &result.points[0].stack, sample).unwrap();
        }
        writer.telemetry(&telemetry).unwrap();
        let path = dir.path().join(TELEMETRY_FILE);
        let length = fs::metadata(&path).unwrap().len();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(length - 3)
            .unwrap();

        let folder = ResultFolder::open(dir.path()).unwrap();
        assert_eq!(folder.result.points[0].samples, samples);
        assert_eq!(folder.result.points[0].summaries, summaries);
        assert_eq!(folder.telemetry, telemetry[..telemetry.len() - 1]);
    }

    #[test]
    fn results_never_go_over_older_files() {
        let dir = tempfile::tempdir().unwrap();
        let nested = dir.path().join("a/b");
        ResultWriter::create(&nested).unwrap();
        for error in [
            ResultWriter::check(&nested).unwrap_err(),
            ResultWriter::create(&nested).unwrap_err(),
        ] {
            assert!(
                matches!(&error, FolderError::Exists(path) if *path == nested),
                "{error}"
            );
        }
    }

    #[test]
    fn a_folder_is_checked_without_being_made() {
        let dir = tempfile::tempdir().unwrap();
        let nested = dir.path().join("a/b");
        ResultWriter::check(&nested).unwrap();
        ResultWriter::check(dir.path()).unwrap();
        assert!(!dir.path().join("a").exists());
        let file = dir.path().join("file");
        File::create(&file).unwrap();
        let error = ResultWriter::check(&file).unwrap_err().to_string();
        assert!(error.starts_with("cannot look into "), "{error}");
    }

    #[test]
    fn a_newer_schema_is_named() {
        let (mut result, telemetry) = example::run(&Shape::default());
        result.schema_version = SCHEMA_VERSION + 1;
        result.longhaul_version = "9.9.9".to_owned();
        let error = ResultFolder::open(written(&result, &telemetry).path())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("schema version 2 is newer than 1") && error.contains("longhaul 9.9.9"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        for file in [RESULT_FILE, SAMPLES_FILE, TELEMETRY_FILE] {
            let (result, telemetry) = example::run(&Shape::default());
            let dir = written(&result, &telemetry);
            fs::remove_file(dir.path().join(file)).unwrap();
            let error = ResultFolder::open(dir.path()).unwrap_err().to_string();
            assert!(
                error.starts_with("cannot read") && error.contains(file),
                "{error}"
            );
        }
    }

    #[test]
    fn a_malformed_line_is_named_with_its_number() {
        let (result, telemetry) = example::run(&Shape::default());
        let dir = written(&result, &telemetry);
        let path = dir.path().join(TELEMETRY_FILE);
        let text = fs::read_to_string(&path)
            .unwrap()
            .replacen("channel", "chanel", 1);
        fs::write(&path, text).unwrap();
        let error = ResultFolder::open(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(TELEMETRY_FILE) && error.contains("line: 2"),
            "{error}"
        );
    }
}
