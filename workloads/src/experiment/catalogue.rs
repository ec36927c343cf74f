//! The experiments embedded in the binary.

use std::path::Path;

use longhaul_topologies::{Document, InputError};

use super::source::ExperimentSource;

/// An embedded experiment.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name a user types.
    pub name: &'static str,
    /// Its YAML.
    pub text: &'static str,
}

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
        "sockets"
    ]
}

/// Opens an experiment by catalogue name, else by path.
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
        let error = InputError::new(
            name_or_path,
            "there is no such experiment, and no such file",
        );
        let names: Vec<String> = entries()
            .iter()
            .map(|entry| format!("`{}`", entry.name))
            .collect();
        return Err(error.with_help(format!(
            "the catalogue has {}; or name a file",
            names.join(", ")
        )));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    Ok(ExperimentSource::new(Document::read(path)?, folder))
}
