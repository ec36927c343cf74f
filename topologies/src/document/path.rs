//! Places in a document.

use std::fmt;
use std::sync::Arc;

/// A place in a document, from its root: `links.0.loss`. A list's entries are counted from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentPath(Arc<[String]>);

impl DocumentPath {
    /// The document itself.
    pub fn root() -> Self {
        DocumentPath::default()
    }

    /// The value of `key` in the mapping at this place.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.0.iter().cloned().chain([key.into()]).collect()
    }

    /// The entry at `index` of the list at this place.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.key(index.to_string())
    }

    /// The place `rest` leads to from here.
    #[must_use]
    pub fn join(&self, rest: &DocumentPath) -> Self {
        self.0.iter().chain(rest.0.iter()).cloned().collect()
    }

    /// Its keys and indices, outermost first.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.0.iter().map(String::as_str)
    }

    /// Whether this is the document itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `other` is this place or lies inside it.
    pub fn contains(&self, other: &DocumentPath) -> bool {
        other.0.starts_with(&self.0[..])
    }
}

impl FromIterator<String> for DocumentPath {
    fn from_iter<I: IntoIterator<Item = String>>(segments: I) -> Self {
        DocumentPath(segments.into_iter().collect())
    }
}

impl fmt::Display for DocumentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}
