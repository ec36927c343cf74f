//! What a lab may be called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A lab's name, by the rule for sites: lower-case letters, digits and dashes, starting with a letter, at most 20 bytes.
/// So it is safe as the name of a folder and as part of a namespace's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

/// Why a text is no lab's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a lab: use lower-case letters, digits and dashes, start with a letter, and keep to 20 bytes"
)]
pub struct LabNameError(String);

impl LabName {
    /// Longest name, in bytes.
    const LONGEST: usize = 20;

    /// A name for a run of this process: `run-PID`.
    pub fn of_this_run() -> Self {
        LabName(format!("run-{}", std::process::id()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabName {
    type Err = LabNameError;

    fn from_str(text: &str) -> Result<Self, LabNameError> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        let rest_is_well = text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if starts_well && rest_is_well && text.len() <= Self::LONGEST {
            Ok(LabName(text.to_owned()))
        } else {
            Err(LabNameError(text.to_owned()))
        }
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for LabName {
    type Error = LabNameError;

    fn try_from(text: String) -> Result<Self, LabNameError> {
        text.parse()
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in [
            "",
            "-a",
            "1a",
            "..",
            ".lab",
            "a/b",
            "a b",
            "A",
            "ä",
            "a\n",
            "abcdefghijklmnopqrstu",
        ] {
            assert!(bad.parse::<LabName>().is_err(), "{bad:?}");
        }
        for good in [
            "a",
            "wan",
            "three-continents",
            "a-1",
            "abcdefghijklmnopqrst",
        ] {
            assert_eq!(good.parse::<LabName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_run_has_a_valid_name() {
        let name = LabName::of_this_run();
        assert_eq!(name.as_str().parse(), Ok(name.clone()));
    }
}
