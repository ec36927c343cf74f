//! What a lab may be called.

use std::fmt;
use std::str::FromStr;

use longhaul_topologies::validate;
use serde::{Deserialize, Serialize};

/// A lab's name, by the rule for sites ([`validate::fault_in_name`]), at most 20 characters.
/// So it is safe as the name of a folder and as part of a namespace's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

/// Why a text is no lab's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot name a lab: it {fault}", name.escape_debug())]
pub struct LabNameError {
    name: String,
    fault: String,
}

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
        match validate::fault_in_name(text, Self::LONGEST) {
            None => Ok(LabName(text.to_owned())),
            Some(fault) => Err(LabNameError {
                name: text.to_owned(),
                fault,
            }),
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
            "a-",
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
    fn what_is_wrong_with_a_name_is_told() {
        for (name, fault) in [
            ("", "is empty"),
            ("-a", "does not begin with a letter"),
            ("my_lab", "has `_` in it"),
            ("abcdefghijklmnopqrstu", "is longer than 20 characters"),
        ] {
            let told = name.parse::<LabName>().unwrap_err().to_string();
            assert_eq!(told.matches(fault).count(), 1, "{told}");
        }
    }

    #[test]
    fn a_run_has_a_valid_name() {
        let name = LabName::of_this_run();
        assert_eq!(name.as_str().parse(), Ok(name.clone()));
    }
}
