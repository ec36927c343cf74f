//! What a command is given by name or as a file: a topology, an experiment or a claim. Each has its own commands, and who gives one to
//! those of another is told.

use std::fmt;
use std::path::Path;

use longhaul_ci::claim;
use longhaul_topologies::{Document, catalogue as topologies};
use longhaul_workloads::experiment::catalogue as experiments;

use crate::exit::Exit;
use crate::failure::Failure;

/// What a command wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Sites and links.
    Topology,
    /// What is run on them.
    Experiment,
    /// An experiment and what it must show.
    Claim,
}

impl Subject {
    /// What `failure`, of reading `named` as this, comes from: it may be of another kind.
    pub fn or_other(self, named: &str, failure: Failure) -> Failure {
        let Failure::Input(error) = failure else {
            return failure;
        };
        if Path::new(named).exists() {
            return self.refusal(named).unwrap_or(Failure::Input(error));
        }
        match Self::of_name(named).filter(|other| *other != self) {
            Some(other) => error.with_help(other.way_on(named)).into(),
            None => Failure::Input(error),
        }
    }

    /// That the file `named` is of another kind, if it is.
    pub fn refusal(self, named: &str) -> Option<Failure> {
        let other = Self::of_file(Path::new(named))?;
        // A claim has an experiment, which can be run alone.
        let fits = other == self || (self, other) == (Self::Experiment, Self::Claim);
        (!fits).then(|| {
            let message = format!("{named}: this is {other}, and {self} is wanted here");
            Failure::with_help(Exit::Usage, message, other.way_on(named))
        })
    }

    /// By a field that files of the other kinds have not.
    fn of_file(file: &Path) -> Option<Self> {
        let document = Document::read(file).ok()?;
        let has = |field: &str| document.value().get(field).is_some();
        let lists = |field: &str| document.value()[field].is_array();
        match () {
            () if has("expect") && has("experiment") => Some(Self::Claim),
            () if has("workload") => Some(Self::Experiment),
            () if lists("sites") && lists("links") => Some(Self::Topology),
            () => None,
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        let is_topology = topologies::entries().iter().any(|entry| entry.name == name);
        let is_experiment = experiments::entries()
            .iter()
            .any(|entry| entry.name == name);
        let is_claim = claim::entries().any(|(_, entry)| entry.name == name);
        match (is_topology, is_experiment, is_claim) {
            (true, _, _) => Some(Self::Topology),
            (_, true, _) => Some(Self::Experiment),
            (_, _, true) => Some(Self::Claim),
            (false, false, false) => None,
        }
    }

    /// What to do with one.
    fn way_on(self, named: &str) -> String {
        match self {
            Self::Topology => format!(
                "it is a topology: bring it up with `longhaul up {named}`, or run an experiment on it with `--set topology={named}`; \
                 `longhaul experiments list` shows all there are"
            ),
            Self::Experiment => format!("it is an experiment: run it with `longhaul run {named}`"),
            Self::Claim => format!("it is a claim: judge it with `longhaul reproduce {named}`"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topology => "a topology",
            Self::Experiment => "an experiment",
            Self::Claim => "a claim",
        })
    }
}
