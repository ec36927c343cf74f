//! The experiments embedded in the binary.

use std::path::Path;

pub use longhaul_topologies::catalogue::Entry;
use longhaul_topologies::document::DocumentPath;
use longhaul_topologies::{Document, InputError, closest};

use super::source::ExperimentSource;

macro_rules! entries {
    ($($name:literal),* $(,)?) => {
        &[$(Entry { name: $name, text: include_str!(concat!("../../experiments/", $name, ".yaml")) }),*]
    };
}

/// Every embedded experiment; the one to start with first.
pub fn entries() -> &'static [Entry] {
    entries![
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
        "mpi"
    ]
}

/// Opens an experiment by catalogue name, else by path; of a claim's file, the experiment in it.
///
/// # Errors
/// If there is no such entry or file, or it is not YAML.
pub fn open(name_or_path: &str) -> Result<ExperimentSource, InputError> {
    if let Some(entry) = entries().iter().find(|entry| entry.name == name_or_path) {
        let document = Document::from_text(entry.name, entry.text)?;
        return Ok(ExperimentSource::new(document, Path::new(".")));
    }
    let path = Path::new(name_or_path);
    if !path.exists() && path.components().count() == 1 && path.extension().is_none() {
        return Err(unknown(name_or_path));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let document = Document::read(path)?;
    let part = document.at(&DocumentPath::root().key("experiment"));
    Ok(ExperimentSource::new(part.unwrap_or(document), folder))
}

/// The error for a name that is neither in the catalogue nor a file's.
fn unknown(name: &str) -> InputError {
    let names = || entries().iter().map(|entry| entry.name);
    let list = names().collect::<Vec<_>>().join(", ");
    let is_topology = longhaul_topologies::catalogue::entries()
        .iter()
        .any(|entry| entry.name == name);
    let error = InputError::new(
        name,
        "there is no such experiment in the catalogue, and no such file",
    );
    error.with_help(match closest(name, names()) {
        _ if is_topology => format!(
            "it is a topology: bring it up with `longhaul up {name}`, or run an experiment on it with `--set topology={name}`; the catalogue has: {list}"
        ),
        Some(name) => format!("did you mean `{name}`? The catalogue has: {list}"),
        None => format!("the catalogue has: {list}"),
    })
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
        assert!(
            help("metro").starts_with("it is a topology: bring it up with `longhaul up metro`")
        );
    }
}
