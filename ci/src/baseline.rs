//! Baselines: the figures of a run that later ones are held against, as a file small enough to review.
//!
//! JSON with one figure a line, sorted, so that a diff of two baselines shows which figures moved. Numbers are written with as
//! many digits as it takes to read the same bits back.

use std::path::{Path, PathBuf};
use std::{fs, io};

use longhaul_reports::file;
use longhaul_reports::result::RunResult;
use serde::{Deserialize, Serialize};

use crate::figures::{self, Figure};
use crate::likeness::Likeness;
use crate::verdict::{Verdict, judge};

/// The version of a baseline's format; raised when a field changes its meaning or goes.
pub const BASELINE_VERSION: u32 = 1;

/// Longest baseline that is read: a thousand figures of a hundred repeats are 2 MB.
const MOST_BYTES: u64 = 64 << 20;

/// The figures of a run, and what a run must have in common with it to be compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// [`BASELINE_VERSION`] of the longhaul that wrote it.
    pub baseline_version: u32,
    /// What was run, where.
    pub run: Likeness,
    /// Every figure, sorted.
    pub figures: Vec<Figure>,
}

/// What becomes of an older file of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// It stays, and nothing is written.
    Keep,
    /// It is replaced.
    Replace,
}

/// Why a baseline could not be made, written or read.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// A run that may not pass is no measure for others.
    #[error("the result is no baseline: {}", reason(.0))]
    NotPassed(Verdict),
    /// A run without figures.
    #[error("the result has no figures: no point of it was finished")]
    Empty,
    /// Never over an older one unasked.
    #[error("{} is there already: name another file, or replace it with --force", .0.display())]
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
    /// Not a baseline.
    #[error("{} is no baseline: {message} (`longhaul baseline save` makes one)", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, with the line.
        message: String,
    },
    /// From the future.
    #[error("{} is of baseline version {version}, newer than {BASELINE_VERSION}, the newest known here: use a newer longhaul, or save it again with this one", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
}

impl Baseline {
    /// That of a run which may pass.
    ///
    /// # Errors
    /// If the run was unfaithful, wrong or unfinished, or has no figures.
    pub fn of(result: &RunResult) -> Result<Self, BaselineError> {
        match judge(result) {
            Verdict::Passed => {}
            other => return Err(BaselineError::NotPassed(other)),
        }
        let figures = figures::of(result);
        if figures.is_empty() {
            return Err(BaselineError::Empty);
        }
        Ok(Self {
            baseline_version: BASELINE_VERSION,
            run: Likeness::of(result),
            figures,
        })
    }

    /// The file's text: a figure a line.
    pub fn text(&self) -> String {
        let head =
            serde_json::json!({ "baseline_version": self.baseline_version, "run": self.run });
        let head = serde_json::to_string_pretty(&head).expect("our own types serialise");
        let figures: Vec<String> = self
            .figures
            .iter()
            .map(|figure| {
                let line = serde_json::to_string(figure).expect("our own types serialise");
                format!("    {line}")
            })
            .collect();
        format!(
            "{},\n  \"figures\": [\n{}\n  ]\n}}\n",
            head.trim_end_matches('}').trim_end(),
            figures.join(",\n")
        )
    }

    /// Writes it as a whole: a reader sees the older file, if there is one, or the newer; and if it fails, nothing has changed.
    ///
    /// # Errors
    /// If there is an older file that is to be kept, or the system says no.
    pub fn save(&self, path: &Path, older: Older) -> Result<(), BaselineError> {
        let text = self.text();
        let saved = match older {
            Older::Keep => file::create(path, text.as_bytes()),
            Older::Replace => file::replace(path, text.as_bytes()),
        };
        saved.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BaselineError::Exists(path.to_owned()),
            _ => io_error("write", path)(error),
        })
    }

    /// Reads one.
    ///
    /// # Errors
    /// If there is none at `path`, or it is of a newer version.
    pub fn open(path: &Path) -> Result<Self, BaselineError> {
        let malformed = |message: String| BaselineError::Malformed {
            path: path.to_owned(),
            message,
        };
        let length = fs::metadata(path).map_err(io_error("read", path))?.len();
        if length > MOST_BYTES {
            return Err(malformed(format!(
                "{length} bytes are more than {MOST_BYTES}"
            )));
        }
        let text = fs::read_to_string(path).map_err(io_error("read", path))?;
        let any: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let version = any["baseline_version"]
            .as_u64()
            .ok_or_else(|| malformed("it has no baseline_version".to_owned()))?;
        if version > u64::from(BASELINE_VERSION) {
            return Err(BaselineError::Newer {
                path: path.to_owned(),
                version,
            });
        }
        // Read again from the text: an error then tells its line.
        serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))
    }
}

/// Why a run may not pass, in a sentence.
pub fn reason(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed => "it passed".to_owned(),
        Verdict::Interrupted => "its run was interrupted: run it to its end".to_owned(),
        Verdict::Failed { message } => format!("its run failed: {message}"),
        Verdict::WrongResults { elements } => {
            format!("{elements} elements of its collectives were wrong")
        }
        Verdict::Unfaithful { findings } => format!(
            "its links were not as described ({}): run it again on a quieter machine, or in a virtual lab",
            findings.join("; ")
        ),
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BaselineError {
    move |source| BaselineError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use longhaul_reports::result::LabKind;

    use super::*;
    use crate::example;

    #[test]
    fn a_baseline_reads_back_to_the_bit_a_figure_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("baseline.json");
        let result = example::run(LabKind::Host, &[0.1 + 0.2, 1.0 / 3.0]);
        let baseline = Baseline::of(&result).unwrap();
        baseline.save(&path, Older::Keep).unwrap();
        assert_eq!(Baseline::open(&path).unwrap(), baseline);
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| line.contains("\"metric\""));
        assert_eq!(lines.count(), baseline.figures.len());
    }

    #[test]
    fn an_older_file_stays_unless_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("baseline.json");
        let baseline = Baseline::of(&example::run(LabKind::Host, &[1.0])).unwrap();
        fs::write(&path, "mine").unwrap();
        let refused = baseline.save(&path, Older::Keep);
        assert!(matches!(refused, Err(BaselineError::Exists(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        baseline.save(&path, Older::Replace).unwrap();
        assert_eq!(Baseline::open(&path).unwrap(), baseline);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_of_other_names_stay_and_a_baseline_is_as_readable_as_they() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("baseline.json");
        let other = dir.path().join("baseline.json.new");
        let baseline = Baseline::of(&example::run(LabKind::Host, &[1.0])).unwrap();
        fs::write(&other, "mine").unwrap();
        for older in [Older::Keep, Older::Replace] {
            baseline.save(&path, older).unwrap();
            assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
            let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode(&path), mode(&other));
        }
    }

    #[test]
    fn what_may_not_pass_is_no_baseline() {
        let mut result = example::run(LabKind::Host, &[1.0]);
        result.points[0].fidelity.faithful = false;
        assert!(matches!(
            Baseline::of(&result),
            Err(BaselineError::NotPassed(Verdict::Unfaithful { .. }))
        ));
        result.points.clear();
        assert!(matches!(Baseline::of(&result), Err(BaselineError::Empty)));
    }

    #[test]
    fn foreign_files_are_told_what_is_wrong_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("baseline.json");
        let whole = Baseline::of(&example::run(LabKind::Host, &[1.0]))
            .unwrap()
            .text();
        for (text, said) in [
            (whole[..whole.len() / 2].to_owned(), "line"),
            ("{}".to_owned(), "no baseline_version"),
            (whole.replace("busbw", "speed"), "unknown variant `speed`"),
            (
                whole.replace("\"baseline_version\": 1", "\"baseline_version\": 7"),
                "version 7, newer than 1",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let error = Baseline::open(&path).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
