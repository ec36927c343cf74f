//! Charts as SVG and PNG, fonts embedded.

use std::path::{Path, PathBuf};

use crate::folder::{FolderError, ResultFolder};

/// Draws every chart that `folder` has data for into `out` (made if missing), each as SVG and PNG; returns the
/// files in the order a reader wants them.
///
/// # Errors
/// If a file cannot be written.
pub fn draw_all(folder: &ResultFolder, out: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let _ = (folder, out);
    unimplemented!()
}
