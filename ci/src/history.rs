//! A history of figures over commits: a file of JSON lines that is only ever appended to.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use longhaul_reports::stats::mean;
use serde::{Deserialize, Serialize};

use crate::gate::{Judgement, Ruling};

/// How a line begins, as [`Entry`]'s first field is `commit`.
const BEGINNING: &str = "{\"commit\":";

/// One run of a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The commit that was judged, or what stands for it.
    pub commit: String,
    /// When (RFC 3339).
    pub date: String,
    /// [`Likeness::experiment`](crate::likeness::Likeness::experiment): figures of different experiments are not one series.
    pub experiment: String,
    /// Pass, fail, or neither.
    #[serde(flatten)]
    pub ruling: Ruling,
    /// The mean of every figure by its name.
    pub figures: BTreeMap<String, f64>,
}

/// Why a history could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
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
    /// Not a history.
    #[error("{} line {line}: {source}: this is no history of `longhaul gate`; name another file", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Entry {
    /// Of a judgement.
    pub fn of(judgement: &Judgement, commit: String, date: String) -> Self {
        Self {
            commit,
            date,
            experiment: judgement.run.experiment.clone(),
            ruling: judgement.ruling.clone(),
            figures: judgement
                .rows
                .iter()
                .filter_map(|row| Some((row.pair.name(), mean(&row.pair.after)?)))
                .collect(),
        }
    }
}

/// Every entry, oldest first; none if there is no file yet. A last line that was cut off is left out.
///
/// # Errors
/// If it cannot be read, or is no history.
pub fn read(path: &Path) -> Result<Vec<Entry>, HistoryError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(io_error("read", path))?,
    };
    let (whole, cut_off) = text.rsplit_once('\n').unwrap_or(("", &text));
    // It would make room for the next line: only what this writes may go.
    let is_ours = cut_off.starts_with(BEGINNING) || BEGINNING.starts_with(cut_off);
    whole
        .lines()
        .chain((!is_ours).then_some(cut_off))
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|source| HistoryError::Malformed {
                path: path.to_owned(),
                line: index + 1,
                source,
            })
        })
        .collect()
}

/// Adds an entry as a line of its own; what a kill left of the last line goes.
///
/// # Errors
/// If it cannot be written.
pub fn append(path: &Path, entry: &Entry) -> Result<(), HistoryError> {
    let mut line = serde_json::to_string(entry).expect("our own types serialise");
    line.push('\n');
    let write = || {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n');
        let whole = whole.map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
        }
        file.write_all(line.as_bytes())
    };
    write().map_err(io_error("append to", path))
}

/// Earlier values of every figure of one experiment, oldest first, of runs that were judged.
pub fn trails(entries: &[Entry], experiment: &str) -> BTreeMap<String, Vec<f64>> {
    let mut trails: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|entry| entry.experiment == experiment && entry.ruling.tells())
    {
        for (name, &value) in &entry.figures {
            trails.entry(name.clone()).or_default().push(value);
        }
    }
    trails
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HistoryError {
    move |source| HistoryError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(commit: &str, value: f64) -> Entry {
        Entry {
            commit: commit.to_owned(),
            date: "2026-01-01T00:00:00Z".to_owned(),
            experiment: "e".to_owned(),
            ruling: Ruling::Passed,
            figures: BTreeMap::from([("busbw".to_owned(), value)]),
        }
    }

    #[test]
    fn a_history_grows_line_by_line_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        assert!(read(&path).unwrap().is_empty());
        append(&path, &entry("a", 1.0)).unwrap();
        let worse = Entry {
            ruling: Ruling::Regressed { worse: 1 },
            ..entry("b", 0.1 + 0.2)
        };
        append(&path, &worse).unwrap();
        let entries = read(&path).unwrap();
        assert_eq!(entries, [entry("a", 1.0), worse]);
        assert_eq!(trails(&entries, "e")["busbw"], [1.0, 0.1 + 0.2]);
        assert!(trails(&entries, "other").is_empty());
    }

    #[test]
    fn a_line_that_was_cut_off_makes_room_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        append(&path, &entry("a", 1.0)).unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"comm").unwrap();
        assert_eq!(read(&path).unwrap(), [entry("a", 1.0)]);
        append(&path, &entry("b", 2.0)).unwrap();
        assert_eq!(read(&path).unwrap(), [entry("a", 1.0), entry("b", 2.0)]);
    }

    #[test]
    fn what_is_no_history_is_told_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        append(&path, &entry("a", 1.0)).unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap() + "mine\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_single_line_that_is_no_history_does_not_make_room_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes");
        fs::write(&path, "{\"mine\": 1}").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
        let line = serde_json::to_string(&entry("a", 1.0)).unwrap();
        assert!(line.starts_with(BEGINNING), "{line}");
    }
}
