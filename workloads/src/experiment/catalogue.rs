//! The experiments embedded in the binary.

use std::path::Path;

use longhaul_topologies::document::DocumentPath;
use longhaul_topologies::embedded::{Catalogue, Entry};
use longhaul_topologies::{InputError, embedded};

use super::source::ExperimentSource;

/// The one to start with first.
const CATALOGUE: Catalogue = embedded!["experiment" in "../../experiments":
    "quickstart",
    "buffer-sweep",
    "ring-order",
    "hierarchical",
    "sockets",
    "replay",
    "iperf3",
    "torch-gloo",
    "torch-training",
    "local-steps",
    "mpi",
];

/// Every embedded experiment; the one to start with first.
pub fn entries() -> &'static [Entry] {
    CATALOGUE.entries()
}

/// Opens an experiment by catalogue name, else by path; of a claim's file, the experiment in it.
///
/// # Errors
/// If there is no such entry or file, or it is not YAML.
pub fn open(name_or_path: &str) -> Result<ExperimentSource, InputError> {
    let document = CATALOGUE.open(name_or_path)?;
    let folder = Path::new(name_or_path).parent();
    let part = document.at(&DocumentPath::root().key("experiment"));
    Ok(ExperimentSource::new(
        part.unwrap_or(document),
        folder.unwrap_or(Path::new(".")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(name: &str) -> String {
        let Err(error) = open(name) else {
            panic!("{name} is in the catalogue");
        };
        error.help.unwrap()
    }

    #[test]
    fn a_name_that_is_not_there_gets_the_way_on() {
        assert!(help("quikstart").starts_with("did you mean `quickstart`? The catalogue has: "));
        assert!(help("xyz").starts_with("the catalogue has: quickstart, "));
    }
}
