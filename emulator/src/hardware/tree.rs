//! The files in which the kernel shows devices and takes settings: of this machine, or a copy of another's below a folder.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A machine's files. All paths are as on that machine: `/sys/class/net`.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The machine's whose `/` lies at `root`; `/` itself is this machine.
    pub fn at(root: &Path) -> Self {
        Tree {
            root: root.canonicalize().unwrap_or_else(|_| root.to_owned()),
        }
    }

    /// Whether it is this machine, which can be asked by netlink, too.
    pub fn is_this_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a path of that machine is on this one.
    pub fn below(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What a file holds, without the white space around it.
    ///
    /// # Errors
    /// If it cannot be read: the kernel answers so for what a device does not have, too.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<String> {
        Ok(fs::read_to_string(self.below(path))?.trim().to_owned())
    }

    /// The same where it does not matter why there is nothing.
    pub fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        self.read(path).ok().filter(|text| !text.is_empty())
    }

    /// Writes a file that is there. In one piece: each write is a setting of its own for the kernel.
    ///
    /// # Errors
    /// If it is not there, or what the kernel answers.
    pub fn write(&self, path: impl AsRef<Path>, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.below(path))?;
        file.write_all(format!("{text}\n").as_bytes())
    }

    /// What is in a folder, in order; nothing if it is not there.
    pub fn entries(&self, path: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.below(path)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Whether there is anything at `path`.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.below(path).exists()
    }

    /// Where a link leads in the end, as a path of that machine.
    pub fn target(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        let found = self.below(path).canonicalize().ok()?;
        let within = found.strip_prefix(&self.root).ok()?;
        Some(Path::new("/").join(within))
    }
}
