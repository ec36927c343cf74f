//! The first differences of a file, and how many there are.

use std::fmt::{self, Display};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileComparison {
    /// Its path below the result's folder.
    pub file: String,
    /// How many differences it has.
    pub count: u64,
    /// The first of them, in the file's order.
    pub first: Vec<Difference>,
}

/// One place that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Where.
    pub place: Place,
    /// What the first result has there; absent if nothing.
    pub a: Option<String>,
    /// What the second has.
    pub b: Option<String>,
}

/// Where a difference is. Lines and packets count from 1, as editors and `tshark` do; offsets from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Place {
    /// The file as a whole: what there is under its name.
    File,
    /// A value of a JSON file.
    Value {
        /// `points[0].samples[3].time_us`.
        path: String,
    },
    /// A column of a table.
    Cell {
        /// Line, of which the first is the header.
        line: u64,
        /// The column's name.
        column: String,
    },
    /// A line of text.
    Line {
        /// Line.
        line: u64,
    },
    /// The header of a capture.
    CaptureHeader {
        /// The first byte that differs.
        offset: u64,
    },
    /// A packet of a capture.
    Packet {
        /// Packet.
        packet: u64,
        /// What of it.
        #[serde(flatten)]
        part: PacketPart,
    },
    /// A byte of any other file; all behind it counts as part of the one difference.
    Byte {
        /// The first byte that differs.
        offset: u64,
    },
}

/// What of a packet differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "kebab-case")]
pub enum PacketPart {
    /// All: there is one on one side alone.
    Whole,
    /// Its time stamp.
    Time,
    /// Its length on the wire.
    Length,
    /// How much of it was kept.
    Kept,
    /// What was kept of it.
    Bytes {
        /// The first byte that differs, from the packet's first.
        offset: u64,
    },
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => write!(f, "the file"),
            Self::Value { path } => write!(f, "{path}"),
            Self::Cell { line, column } => write!(f, "line {line}, {column}"),
            Self::Line { line } => write!(f, "line {line}"),
            Self::CaptureHeader { offset } => write!(f, "the header, byte {offset}"),
            Self::Packet { packet, part } => match part {
                PacketPart::Whole => write!(f, "packet {packet}"),
                PacketPart::Time => write!(f, "packet {packet}, time"),
                PacketPart::Length => write!(f, "packet {packet}, length"),
                PacketPart::Kept => write!(f, "packet {packet}, kept length"),
                PacketPart::Bytes { offset } => write!(f, "packet {packet}, byte {offset}"),
            },
            Self::Byte { offset } => write!(f, "byte {offset}"),
        }
    }
}

/// Counts differences, and keeps the first.
#[derive(Debug)]
pub(super) struct Tally {
    most: usize,
    count: u64,
    first: Vec<Difference>,
}

impl Tally {
    /// Keeps so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            count: 0,
            first: Vec::new(),
        }
    }

    pub(super) fn found(&mut self, place: Place, a: Option<String>, b: Option<String>) {
        self.count += 1;
        if self.first.len() < self.most {
            self.first.push(Difference { place, a, b });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The file, if it differs.
    pub(super) fn differing(self, file: &Path) -> Option<FileComparison> {
        (self.count > 0).then(|| FileComparison {
            file: file.display().to_string(),
            count: self.count,
            first: self.first,
        })
    }
}
