//! The kernel's options: which were asked for, and whether a `.config` has them.

use std::collections::BTreeSet;

/// Opens a part of the options that a kernel may be too old to know; the next comment ends it.
const WHERE_KNOWN: &str = "# where the kernel has it";

/// What became of the options asked for, in the order of the fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What the kernel must have and has not: `CONFIG_VETH=y`.
    pub lost: Vec<String>,
    /// The names of what it may lack and lacks: `NET_SCH_DUALPI2`.
    pub unknown: Vec<String>,
}

/// Holds the `.config` that a kernel's configuration made against the fragment it was made from. The configuration itself
/// leaves out in silence what it does not know and what depends on something that is off.
pub(super) fn check(fragment: &str, config: &str) -> Outcome {
    let config: BTreeSet<&str> = config.lines().map(str::trim_end).collect();
    let mut outcome = Outcome::default();
    let mut may_lack = false;
    for line in fragment.lines().map(str::trim_end) {
        if line.starts_with('#') {
            may_lack = line == WHERE_KNOWN;
        } else if !line.is_empty() && !config.contains(line) {
            if may_lack {
                outcome.unknown.push(name(line).to_owned());
            } else {
                outcome.lost.push(line.to_owned());
            }
        }
    }
    outcome
}

/// The name of the option that `line` sets.
fn name(line: &str) -> &str {
    let name = line.split_once('=').map_or(line, |(name, _)| name);
    name.strip_prefix("CONFIG_").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::super::recipe;
    use super::*;

    const FRAGMENT: &str = "# Networks.\nCONFIG_NET=y\nCONFIG_HOST=\"lab\"\n\n# where the kernel has it\nCONFIG_NEW=y\n# More.\nCONFIG_TUN=y\n";

    #[test]
    fn an_option_that_did_not_make_it_is_named() {
        let config = "CONFIG_NET=y\n# CONFIG_TUN is not set\nCONFIG_HOST=\"other\"\nCONFIG_NEW=y\n";
        assert_eq!(
            check(FRAGMENT, config).lost,
            ["CONFIG_HOST=\"lab\"", "CONFIG_TUN=y"]
        );
    }

    #[test]
    fn an_option_that_older_kernels_do_not_know_may_be_missing() {
        let outcome = check(
            FRAGMENT,
            "CONFIG_NET=y\nCONFIG_HOST=\"lab\"\nCONFIG_TUN=y\n",
        );
        assert_eq!(outcome.lost, [""; 0]);
        assert_eq!(outcome.unknown, ["NEW"]);
    }

    #[test]
    fn an_option_whose_name_is_longer_is_another() {
        assert_eq!(
            check("CONFIG_A=y", "CONFIG_AB=y\nXCONFIG_A=y").lost.len(),
            1
        );
    }

    #[test]
    fn our_own_fragment_is_options_and_comments_alone() {
        for line in recipe::OPTIONS.lines() {
            let is_option = line
                .strip_prefix("CONFIG_")
                .is_some_and(|rest| rest.contains('='));
            assert!(
                is_option || line.is_empty() || line.starts_with("# "),
                "{line}"
            );
        }
        assert!(recipe::OPTIONS.lines().any(|line| line == WHERE_KNOWN));
    }
}
