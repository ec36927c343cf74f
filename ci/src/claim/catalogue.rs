//! The claims embedded in the binary.

use longhaul_topologies::embedded::{Catalogue, Entry};
use longhaul_topologies::{Document, InputError, embedded};

use super::Claim;

macro_rules! claims {
    ($($number:literal $name:literal),* $(,)?) => {
        /// In the list of claims; from 21 on they are aims of longhaul's own.
        const NUMBERS: &[u32] = &[$($number),*];
        const CATALOGUE: Catalogue = embedded!["claim" in "../../claims": $($name),*];
    };
}

claims![
    1 "xgs-all-reduce",
    2 "deep-buffers",
    3 "buffer-law",
    4 "low-thresholds",
    5 "timer-and-distance",
    6 "flows-and-windows",
    7 "distance-blind",
    8 "near-and-far",
    14 "repeat-or-code",
    15 "go-back-n",
    16 "ring-order",
    17 "hierarchical",
    18 "slowest-socket",
    19 "window-cap",
    20 "edge-shaping",
    21 "any-distance",
    22 "any-distance-shared",
    23 "quick-start",
    24 "longer-way",
    25 "outage",
    26 "lane-failure",
    27 "mixed-distances",
];

/// Every embedded claim with its number, in that order.
pub fn entries() -> impl Iterator<Item = (u32, Entry)> {
    let entries = CATALOGUE.entries().iter().copied();
    NUMBERS.iter().copied().zip(entries)
}

/// A claim by name or number, else by path; and what it was read from.
///
/// # Errors
/// If there is no such claim or file, or it is not a claim.
pub fn open(name: &str) -> Result<(Claim, Document), InputError> {
    let numbered = entries().find(|(number, _)| number.to_string() == name);
    let document = CATALOGUE.open(numbered.map_or(name, |(_, entry)| entry.name))?;
    Ok((Claim::of(&document)?, document))
}
