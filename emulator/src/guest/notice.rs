//! What the command in a guest last told of its lab: one small file in the folder that both sides share, replaced whole.
//!
//! It is written whether or not anybody reads it, and read without a word to the guest: who looks on changes nothing inside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::job::Shared;

/// Tells the command in a guest where it is.
pub(super) const NOTICE: &str = "LONGHAUL_GUEST_NOTICE";

/// Where it is.
#[derive(Clone, Debug)]
pub struct Notice(PathBuf);

impl Notice {
    /// Inside: the one that this process's command writes. `None` outside of a guest, and in one that takes sessions.
    pub fn inside() -> Option<Self> {
        std::env::var_os(NOTICE).map(|path| Notice(path.into()))
    }

    /// Outside: that of the guest whose shared folder is or will be `folder`.
    pub fn of(folder: &Path) -> Self {
        Notice(Shared(folder.to_owned()).notice())
    }

    /// Puts `text` in place of what was there.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn put(&self, text: &[u8]) -> io::Result<()> {
        // A reader sees the old or the new, and never some of each.
        let next = self.0.with_extension("next");
        fs::write(&next, text)?;
        fs::rename(next, &self.0)
    }

    /// What is there; `None` before anything was.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn get(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(&self.0) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_is_read_whole_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let notice = Notice::of(folder.path());
        assert_eq!(notice.get().unwrap(), None);
        for text in ["a longer one", "one"] {
            notice.put(text.as_bytes()).unwrap();
            assert_eq!(notice.get().unwrap().as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
