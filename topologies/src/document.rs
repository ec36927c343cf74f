//! A YAML document with overrides, and errors that know their line and column.

use serde::de::DeserializeOwned;

/// A YAML file (or catalogue entry) and the overrides laid over it.
#[derive(Clone, Debug)]
pub struct Document {
    name: String,
    text: String,
    value: serde_json::Value,
    overrides: Vec<Override>,
}

/// One `--set key=value`.
#[derive(Clone, Debug)]
struct Override {
    path: DocumentPath,
    text: String,
}

/// A place in a document: `links.0.loss`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentPath(Vec<String>);

/// What is wrong with an input file: where, what, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct InputError {
    /// The file's path or the catalogue entry's name.
    pub document: String,
    /// 1-based line and column; absent if the value came from `--set`, or the file could not be read.
    pub position: Option<(usize, usize)>,
    /// Where in the document, as `--set` would write it.
    pub path: DocumentPath,
    /// What is wrong, in lower case.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Document {
    /// Reads the text of `name` as YAML within limits of size and nesting.
    ///
    /// # Errors
    /// If the text is not YAML, too long or too deep.
    pub fn from_text(name: &str, text: &str) -> Result<Self, InputError> {
        let _ = (name, text);
        unimplemented!()
    }

    /// Sets the value at `path` (`links.0.loss`) to `text`, read as a YAML scalar or flow collection.
    ///
    /// # Errors
    /// If the path leads through something that is not there.
    pub fn set(&mut self, path: &str, text: &str) -> Result<(), InputError> {
        let _ = (path, text, &self.text, &self.overrides);
        unimplemented!()
    }

    /// The document as `T`; an error points at the line that `T` refused.
    ///
    /// # Errors
    /// If a field is unknown, missing or of the wrong kind.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        let _ = (&self.value, &self.name);
        unimplemented!()
    }
}
