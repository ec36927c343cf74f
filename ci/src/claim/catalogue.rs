//! The claims embedded in the binary.

use std::path::Path;

use longhaul_topologies::{Document, InputError, closest};

use super::Claim;

/// An embedded claim.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its number in the list of claims; from 21 on they are aims of longhaul's own.
    pub number: u32,
    /// The name a user types.
    pub name: &'static str,
    /// Its YAML.
    pub text: &'static str,
}

macro_rules! entries {
    ($($number:literal $name:literal),* $(,)?) => {
        &[$(Entry {
            number: $number,
            name: $name,
            text: include_str!(concat!("../../claims/", $name, ".yaml")),
        }),*]
    };
}

/// Every embedded claim, by number.
pub fn entries() -> &'static [Entry] {
    entries![
        1 "xgs-all-reduce",
        2 "deep-buffers",
        3 "buffer-law",
        4 "low-thresholds",
        5 "timer-and-distance",
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
    ]
}

/// A claim by name or number, else by path; and its text.
///
/// # Errors
/// If there is no such claim or file, or it is not a claim.
pub fn open(name: &str) -> Result<(Claim, String), InputError> {
    let known = entries()
        .iter()
        .find(|entry| entry.name == name || entry.number.to_string() == name);
    let document = match known {
        Some(entry) => Document::from_text(entry.name, entry.text)?,
        None => {
            let path = Path::new(name);
            if !path.exists() && path.components().count() == 1 && path.extension().is_none() {
                return Err(unknown(name));
            }
            Document::read(path)?
        }
    };
    Ok((Claim::of(&document)?, document.text().to_owned()))
}

fn unknown(name: &str) -> InputError {
    let names = || entries().iter().map(|entry| entry.name);
    let error = InputError::new(name, "there is no claim of that name, and no such file");
    match closest(name, names()) {
        Some(close) => error.with_help(format!("did you mean `{close}`?")),
        None => error.with_help("`longhaul reproduce --list` shows all"),
    }
}
