//! NCCL's rules by which a name of an interface is let pass: `NCCL_SOCKET_IFNAME`.
//!
//! A list with commas. `eth,ib` lets pass what begins with one of these; `=eth0` what is one of these; `^docker` and `^=eth0` what
//! does not begin with, or is not, one of these. Without the variable, everything but `docker…` and `lo` passes; then `docker…`,
//! if there is nothing else; then `lo`.

/// A list and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    listed: Listed,
    matching: Matching,
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    Pass,
    Stay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matching {
    Prefix,
    Exact,
}

/// What is tried in turn without the variable.
const DEFAULTS: [&str; 3] = ["^docker,lo", "docker", "=lo"];

impl Choice {
    /// A list as the variable has it.
    pub(crate) fn new(text: &str) -> Self {
        let text = text.trim();
        let (listed, text) = match text.strip_prefix('^') {
            Some(rest) => (Listed::Stay, rest),
            None => (Listed::Pass, text),
        };
        let (matching, text) = match text.strip_prefix('=') {
            Some(rest) => (Matching::Exact, rest),
            None => (Matching::Prefix, text),
        };
        // What follows a colon is a port, which only InfiniBand has.
        let name = |entry: &str| {
            entry
                .split(':')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let names = text.split(',').map(name).filter(|name| !name.is_empty());
        Self {
            listed,
            matching,
            names: names.collect(),
        }
    }

    /// What is tried in turn until something passes.
    pub(crate) fn tried(variable: Option<&str>) -> Vec<Self> {
        match variable.filter(|text| !text.trim().is_empty()) {
            Some(text) => vec![Self::new(text)],
            None => DEFAULTS.into_iter().map(Self::new).collect(),
        }
    }

    /// Whether `name` passes.
    pub(crate) fn lets_pass(&self, name: &str) -> bool {
        let is_listed = self.names.iter().any(|listed| match self.matching {
            Matching::Prefix => name.starts_with(listed),
            Matching::Exact => name == listed,
        });
        is_listed == (self.listed == Listed::Pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(text: &str) -> Vec<&'static str> {
        let choice = Choice::new(text);
        let names = ["lo", "eth0", "eth1", "eth10", "docker0", "ib0"];
        let passing = names.into_iter().filter(|name| choice.lets_pass(name));
        passing.collect()
    }

    #[test]
    fn a_list_is_of_prefixes_unless_it_says_otherwise() {
        assert_eq!(passing("eth"), ["eth0", "eth1", "eth10"]);
        assert_eq!(passing("eth1,ib"), ["eth1", "eth10", "ib0"]);
        assert_eq!(passing("=eth1"), ["eth1"]);
        assert_eq!(passing("=eth1,=eth0"), ["eth1"], "one `=` is for the list");
        assert_eq!(passing("=eth1, eth0:1"), ["eth0", "eth1"]);
        assert_eq!(passing("^eth,lo"), ["docker0", "ib0"]);
        assert_eq!(passing("^=eth1"), ["lo", "eth0", "eth10", "docker0", "ib0"]);
    }

    #[test]
    fn without_a_list_loopback_comes_last() {
        let tried = Choice::tried(None);
        let first = |names: &[&'static str]| {
            let passing =
                |choice: &Choice| names.iter().copied().find(|name| choice.lets_pass(name));
            tried.iter().find_map(passing)
        };
        assert_eq!(first(&["lo", "docker0", "eth0"]), Some("eth0"));
        assert_eq!(first(&["lo", "docker0"]), Some("docker0"));
        assert_eq!(first(&["lo"]), Some("lo"));
        assert_eq!(Choice::tried(Some("lo")), [Choice::new("lo")]);
        assert_eq!(Choice::tried(Some("")), tried);
    }
}
