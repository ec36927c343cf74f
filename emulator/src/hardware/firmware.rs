//! What a ConnectX's firmware is configured to, which it keeps without power and takes up when it is reset: by `mlxconfig` or `mstconfig`.
//!
//! Nothing here resets it: that takes the link, and the machine's other users, down.

use serde::{Deserialize, Serialize};

use super::place::{AccessError, Place};
use super::tool::CONFIGURATION;

/// Of which of the firmware's starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boot {
    /// What it runs with.
    Last,
    /// What it will run with.
    Next,
}

/// What `name` of the NIC at `pci` is, in decimal. Errors are about `place`.
///
/// # Errors
/// If there is no tool, it refuses, or the firmware does not tell.
pub(super) fn read(
    place: &Place,
    pci: &str,
    name: &str,
    boot: Boot,
) -> Result<String, AccessError> {
    let printed = CONFIGURATION.run(pci, &["-e", "q", name], place)?;
    parse(&printed, name, boot)
        .map(|number| number.to_string())
        .ok_or_else(|| AccessError::Failed {
            place: place.to_string(),
            reason: match boot {
                Boot::Last => "the firmware does not tell what it runs with".to_owned(),
                Boot::Next => "the tool shows no value of it: this firmware has none".to_owned(),
            },
        })
}

/// Sets it for the next start.
///
/// # Errors
/// As [`read`].
pub(super) fn write(place: &Place, pci: &str, name: &str, value: &str) -> Result<(), AccessError> {
    let setting = format!("{name}={value}");
    let arguments = ["-y", "s", setting.as_str()];
    CONFIGURATION.run(pci, &arguments, place).map(drop)
}

/// As `MlxCfg::printConfHeader` and `printSingleParam` write it (mstflint, mlxconfig/mlxcfg_ui.cpp): a header whose columns depend on what
/// the firmware tells, then `*  USER_PROGRAMMABLE_CC  False(0)  False(0)  True(1)`, or a bare number, or `N/A` for what does not count with
/// what else is configured, and so is off.
fn parse(printed: &str, name: &str, boot: Boot) -> Option<u32> {
    let header = printed
        .lines()
        .find_map(|line| line.trim().strip_prefix("Configurations:"))?;
    let wanted = match boot {
        Boot::Last => "Current",
        Boot::Next => "Next",
    };
    let column = ["Default", "Current", "Next"]
        .into_iter()
        .filter(|title| header.contains(title))
        .position(|title| title == wanted)?;
    let values = printed.lines().find_map(|line| {
        let words = line.trim_start().trim_start_matches('*').trim_start();
        words
            .strip_prefix(name)
            .filter(|rest| rest.starts_with(' '))
    })?;
    let value = match values.split_whitespace().nth(column)? {
        "N/A" => "0",
        value => value,
    };
    let number = match value.split_once('(') {
        Some((_, number)) => number.strip_suffix(')')?,
        None => value,
    };
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_is_that_of_the_start_that_is_asked_for() {
        let printed = "
Device #1:
----------

Device type:    ConnectX7
Configurations:                                      Default         Current         Next Boot
*        USER_PROGRAMMABLE_CC                        False(0)        False(0)        True(1)
         USER_PROGRAMMABLE_CC_X                      True(1)         True(1)         True(1)
         NUM_OF_VFS                                  0               4               8
         ROCE_CC_LEGACY_DCQCN                        N/A             N/A             N/A
The '*' shows parameters with next value different from default/current value.
";
        let of = |name, boot| parse(printed, name, boot);
        assert_eq!(of("USER_PROGRAMMABLE_CC", Boot::Next), Some(1));
        assert_eq!(of("USER_PROGRAMMABLE_CC", Boot::Last), Some(0));
        assert_eq!(of("NUM_OF_VFS", Boot::Last), Some(4));
        assert_eq!(of("ROCE_CC_LEGACY_DCQCN", Boot::Next), Some(0));
        assert_eq!(of("ROCE", Boot::Next), None);
    }

    #[test]
    fn firmware_that_tells_only_what_comes_next_tells_no_more() {
        let printed = "Configurations:                              Next Boot\n         USER_PROGRAMMABLE_CC                        True(1)\n";
        assert_eq!(parse(printed, "USER_PROGRAMMABLE_CC", Boot::Next), Some(1));
        assert_eq!(parse(printed, "USER_PROGRAMMABLE_CC", Boot::Last), None);
    }
}
