//! A machine's files out of a text: what tests without the hardware stand on.
//!
//! `[/a/folder]` says below which folder the lines after it are; `file = text` is a file, `link -> target` a link as the kernel makes
//! them, relative to where it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Lays the files of `text` below `root`.
pub fn lay(root: &Path, text: &str) {
    let mut folder = PathBuf::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(path) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            folder = root.join(path.trim_start_matches('/'));
            fs::create_dir_all(&folder).unwrap();
        } else if let Some((link, target)) = line.split_once(" -> ") {
            symlink(target, place(&folder, link)).unwrap();
        } else {
            let (file, value) = line.split_once(" =").unwrap_or_else(|| panic!("{line}"));
            fs::write(place(&folder, file), format!("{}\n", value.trim())).unwrap();
        }
    }
}

fn place(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}
