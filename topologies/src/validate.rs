//! From the file format to the model: every check of meaning.

use crate::document::{Document, InputError};
use crate::model::Topology;

/// Reads and checks the topology that `document` describes.
///
/// # Errors
/// The first thing that is wrong, with its place and what would be right.
pub fn topology(document: &Document) -> Result<Topology, InputError> {
    let _ = document;
    unimplemented!()
}
