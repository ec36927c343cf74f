//! A topology drawn on the globe or, without coordinates, as a graph.

use std::path::Path;

use longhaul_topologies::Topology;

use crate::folder::FolderError;

/// Draws `topology` into `file`; the ending says the format: `.svg` or `.png`.
///
/// # Errors
/// If the ending is neither, or the file cannot be written.
pub fn draw(topology: &Topology, file: &Path) -> Result<(), FolderError> {
    let _ = (topology, file);
    unimplemented!()
}
