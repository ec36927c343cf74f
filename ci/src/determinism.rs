//! Whether two runs gave the same bytes, as those of a virtual lab with one seed do.
//!
//! Every file in the two folders is compared, charts and logs included. Left out is what may differ: [`LEFT_OUT`]. A difference is
//! told where a reader would look for it: a place in `result.json`, a column of a line, a packet of a capture.
//!
//! - `csv`: tables, line by line.
//! - `json`: `result.json`, without the section that may differ.
//! - `pcap`: captures, packet by packet.
//! - `bytes`: text line by line; anything else by its first byte that differs.
//! - `tally`: the first differences of a file, and how many there are.
//! - `text`: what came of it, for people.

mod bytes;
mod csv;
mod json;
mod pcap;
mod tally;
mod text;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use longhaul_reports::folder::{RESULT_FILE, UNDER_WAY_FILE};
use serde::{Deserialize, Serialize};

pub use tally::{Difference, FileComparison, PacketPart, Place};

use tally::Tally;

/// What is not compared, and why.
pub const LEFT_OUT: [(&str, &str); 3] = [
    (
        "result.json: run_details",
        "the command, the wall clock and the machine outside",
    ),
    (
        "report.html",
        "made from the other files, and tells run_details",
    ),
    (UNDER_WAY_FILE, "a result whose writing was cut off"),
];

/// How many differences of a file are told: enough to see what kind they are, however many there are.
const TOLD: usize = 20;

/// Files that are not looked at; of `result.json` only a section is left out.
const SKIPPED: [&str; 2] = [LEFT_OUT[1].0, LEFT_OUT[2].0];

/// What came of comparing two results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The first folder.
    pub a: PathBuf,
    /// The second folder.
    pub b: PathBuf,
    /// How many files there are in either.
    pub files: usize,
    /// Bytes of those in the first.
    pub bytes: u64,
    /// How many differences there are, all files together.
    pub count: u64,
    /// The files that differ, by name.
    pub differing: Vec<FileComparison>,
    /// What was not compared, and why.
    pub left_out: Vec<LeftOut>,
}

/// What is not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// A file, or a section of one.
    pub what: String,
    /// The reason.
    pub why: String,
}

impl Comparison {
    /// Whether everything that was compared is the same.
    pub fn same(&self) -> bool {
        self.count == 0
    }

    /// For people: the verdict, then a table of the differences.
    pub fn text(&self, width: usize) -> String {
        text::text(self, width)
    }
}

/// Why two folders could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A folder is none of a run's.
    #[error("{} holds no {RESULT_FILE}: name the folder that `longhaul run` wrote (its last line says which)", .0.display())]
    NoResult(PathBuf),
    /// The file system said no.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

/// Compares the results in two folders, byte by byte but for [`LEFT_OUT`]. Of a file's differences the first
/// twenty are told, and how many there are. All but `result.json` is read as a stream, whatever its length. Empty folders are not looked at.
///
/// # Errors
/// If a folder holds no result, or a file cannot be read.
pub fn compare(a: &Path, b: &Path) -> Result<Comparison, CompareError> {
    let (mut names, mut bytes) = (BTreeSet::new(), 0);
    for (folder, total) in [(a, &mut bytes), (b, &mut 0)] {
        if !folder.join(RESULT_FILE).is_file() {
            return Err(CompareError::NoResult(folder.to_owned()));
        }
        collect(folder, Path::new(""), &mut names, total)?;
    }
    let mut differing = Vec::new();
    for name in &names {
        let mut tally = Tally::new(TOLD);
        compare_file(&a.join(name), &b.join(name), &mut tally)?;
        differing.extend(tally.differing(name));
    }
    Ok(Comparison {
        a: a.to_owned(),
        b: b.to_owned(),
        files: names.len(),
        bytes,
        count: differing.iter().map(|file| file.count).sum(),
        differing,
        left_out: LEFT_OUT
            .map(|(what, why)| LeftOut {
                what: what.to_owned(),
                why: why.to_owned(),
            })
            .into(),
    })
}

/// Adds the files of `folder`, from `inside` on, by their paths below it.
fn collect(
    folder: &Path,
    inside: &Path,
    names: &mut BTreeSet<PathBuf>,
    bytes: &mut u64,
) -> Result<(), CompareError> {
    let here = folder.join(inside);
    for entry in fs::read_dir(&here).map_err(io_error(&here))? {
        let entry = entry.map_err(io_error(&here))?;
        let name = inside.join(entry.file_name());
        let metadata = entry.metadata().map_err(io_error(&entry.path()))?;
        if metadata.is_dir() {
            collect(folder, &name, names, bytes)?;
        } else if !SKIPPED.iter().any(|&skipped| name == Path::new(skipped)) {
            *bytes += metadata.len();
            names.insert(name);
        }
    }
    Ok(())
}

/// How a file is read, by its name.
fn compare_file(a: &Path, b: &Path, tally: &mut Tally) -> Result<(), CompareError> {
    let (kind_of_a, kind_of_b) = (Kind::of(a)?, Kind::of(b)?);
    if (kind_of_a, kind_of_b) != (Kind::File, Kind::File) {
        if kind_of_a != kind_of_b || kind_of_a == Kind::Other {
            tally.found(Place::File, kind_of_a.told(), kind_of_b.told());
        }
        return Ok(());
    }
    if a.ends_with(RESULT_FILE) {
        let read = |path: &Path| fs::read(path).map_err(io_error(path));
        json::compare(&read(a)?, &read(b)?, tally);
        return Ok(());
    }
    let open = |path: &Path| File::open(path).map_err(io_error(path));
    let (mut from_a, mut from_b) = (BufReader::new(open(a)?), BufReader::new(open(b)?));
    let compare = match a.extension().and_then(|ending| ending.to_str()) {
        Some("csv") => csv::compare,
        Some("pcap") => pcap::compare,
        Some("log" | "txt" | "svg" | "json" | "md" | "html" | "xml" | "yaml") => bytes::lines,
        _ => bytes::bytes,
    };
    compare(&mut from_a, &mut from_b, tally).map_err(io_error(a))
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Missing,
    File,
    Folder,
    /// A link, a pipe: a run writes none, and to follow one would leave its folder.
    Other,
}

impl Kind {
    fn of(path: &Path) -> Result<Self, CompareError> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(Self::File),
            Ok(metadata) if metadata.is_dir() => Ok(Self::Folder),
            Ok(_) => Ok(Self::Other),
            Err(error) => match error.kind() {
                // The latter where a part of the path is a file in this folder.
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Self::Missing),
                _ => Err(io_error(path)(error)),
            },
        }
    }

    /// `None` if there is nothing.
    fn told(self) -> Option<String> {
        match self {
            Self::Missing => None,
            Self::File => Some("a file".to_owned()),
            Self::Folder => Some("a folder".to_owned()),
            Self::Other => Some("no regular file".to_owned()),
        }
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> CompareError {
    |source| CompareError::Io {
        path: path.to_owned(),
        source,
    }
}
