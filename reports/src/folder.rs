//! A result's folder, written as the run goes and read back.
//!
//! `result.json` is replaced as a whole (written beside, then renamed), so it is always one whole state; the
//! CSV files are appended to and flushed per iteration and per sampling period. A run that was killed can leave
//! its last CSV line cut off: readers use the whole lines.

mod lenient;
mod reader;
mod writer;

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

pub use lenient::Opened;
pub use reader::ResultFolder;
pub use writer::ResultWriter;

use crate::result::{Placement, Point, Sample};

/// What a run found, as a whole.
pub const RESULT_FILE: &str = "result.json";
/// [`RESULT_FILE`] while it is being written; it stays behind only if that was cut off.
pub const UNDER_WAY_FILE: &str = ".result.json.new";
const SAMPLES_FILE: &str = "samples.csv";
const TELEMETRY_FILE: &str = "telemetry.csv";

/// The columns of `samples.csv`, the fields of [`SampleRow`].
const SAMPLE_COLUMNS: [&str; 12] = [
    "point",
    "stack",
    "settings",
    "repeat",
    "size_bytes",
    "count",
    "placement",
    "iteration",
    "warmup",
    "start_s",
    "time_us",
    "wrong",
];

/// The columns of `telemetry.csv`, the fields of [`TelemetryRow`](crate::result::TelemetryRow).
const TELEMETRY_COLUMNS: [&str; 6] = ["time_s", "point", "entity", "name", "metric", "value"];

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
    /// A PNG would show boxes.
    #[error(
        "cannot draw {}: the font of PNGs has no {letters}; draw it as .svg, whose readers have other fonts",
        path.display()
    )]
    NoLetters {
        /// Which file.
        path: PathBuf,
        /// What its font lacks.
        letters: String,
    },
    /// A result file ends in the middle, so early that nothing of it is of use.
    #[error("{} is cut off {at}: run it again, or name the folder that `longhaul run` wrote", path.display())]
    CutOff {
        /// Which file.
        path: PathBuf,
        /// Where, after "is cut off".
        at: String,
    },
}

/// One line of `samples.csv`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SampleRow {
    point: usize,
    stack: String,
    /// `links.0.queue=1bdp algorithm=ring`: for who reads the file without `result.json`.
    settings: String,
    repeat: usize,
    size_bytes: u64,
    count: u64,
    placement: Placement,
    iteration: u64,
    warmup: bool,
    start_s: f64,
    time_us: f64,
    wrong: u64,
}

impl SampleRow {
    fn of(point: &Point, sample: &Sample) -> Self {
        let settings = point.settings.iter();
        let settings: Vec<String> = settings
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Self {
            point: point.index,
            stack: point.stack.clone(),
            settings: settings.join(" "),
            repeat: point.repeat,
            size_bytes: sample.size_bytes,
            count: sample.count,
            placement: sample.placement,
            iteration: sample.iteration,
            warmup: sample.warmup,
            start_s: sample.start_s,
            time_us: sample.time_us,
            wrong: sample.wrong,
        }
    }

    fn into_sample(self) -> Sample {
        Sample {
            size_bytes: self.size_bytes,
            count: self.count,
            placement: self.placement,
            iteration: self.iteration,
            warmup: self.warmup,
            start_s: self.start_s,
            time_us: self.time_us,
            wrong: self.wrong,
        }
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

/// Whether a file is at `path`. That nobody may look there is an error, not a no.
pub(crate) fn is_file(path: &Path) -> Result<bool, FolderError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(false),
            _ => Err(io_error("look at", path)(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::example::{self, Shape};
    use crate::result::{RunResult, SCHEMA_VERSION, TelemetryRow};

    fn written(result: &RunResult, telemetry: &[TelemetryRow]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ResultWriter::create(dir.path()).unwrap();
        writer.result(result).unwrap();
        for point in &result.points {
            for sample in &point.samples {
                writer.sample(point, sample).unwrap();
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
            writer.sample(&result.points[0], sample).unwrap();
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
            error.contains("schema version 3 is newer than 2") && error.contains("longhaul 9.9.9"),
            "{error}"
        );
    }

    #[test]
    fn a_virtual_labs_result_is_completed_from_outside_and_is_the_same_otherwise() {
        let (mut result, telemetry) = example::run(&Shape::default());
        let details = result.run_details.take().unwrap();
        let dir = written(&result, &telemetry);
        let text = || fs::read_to_string(dir.path().join(RESULT_FILE)).unwrap();
        let inside = text();
        assert_eq!(
            ResultFolder::open(dir.path()).unwrap().result,
            result,
            "a result that was never completed reads"
        );

        ResultFolder::complete(dir.path(), details.clone()).unwrap();
        result.run_details = Some(details);
        let completed = ResultFolder::open(dir.path()).unwrap();
        assert_eq!(
            (&completed.result, completed.telemetry),
            (&result, telemetry)
        );
        assert!(!dir.path().join(UNDER_WAY_FILE).exists());
        let section = serde_json::to_string_pretty(&result.run_details).unwrap();
        assert_eq!(
            inside,
            text().replace(&section.replace('\n', "\n  "), "null")
        );
    }

    #[test]
    fn a_result_that_cannot_be_written_leaves_nothing_behind() {
        let (result, telemetry) = example::run(&Shape::default());
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ResultWriter::create(dir.path()).unwrap();
        writer.telemetry(&telemetry).unwrap();
        // No file takes its place.
        fs::create_dir(dir.path().join(RESULT_FILE)).unwrap();
        let error = writer.result(&result).unwrap_err();
        assert!(error.to_string().starts_with("cannot write"), "{error}");
        assert!(!dir.path().join(UNDER_WAY_FILE).exists());
    }

    #[test]
    fn a_run_that_wrote_no_result_cannot_be_completed() {
        let dir = tempfile::tempdir().unwrap();
        let details = example::run(&Shape::default()).0.run_details.unwrap();
        let error = ResultFolder::complete(dir.path(), details).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot read") && error.to_string().contains(RESULT_FILE),
            "{error}"
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
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
