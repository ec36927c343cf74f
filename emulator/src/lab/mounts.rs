//! What a lab lays over the files of the machine, in the sandbox's private mount namespace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A lab's own folder in its sandbox's; removed on drop.
#[derive(Debug)]
pub(super) struct LabFolder(PathBuf);

impl LabFolder {
    /// A new one in `parent`.
    pub fn create(parent: &Path) -> io::Result<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let path = parent.join(format!("lab-{}", LABS.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for LabFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the lab's folder");
        }
    }
}

/// A file or folder that hides another; gone on drop.
#[derive(Debug)]
pub(super) struct Overlay(PathBuf);

impl Overlay {
    /// Lays `source`, with what is mounted below it, over `target`. `None` if there is no `target`: it would have to be
    /// created where everybody sees it.
    pub fn lay(source: &Path, target: &str) -> io::Result<Option<Self>> {
        let target = PathBuf::from(target);
        if !target.try_exists()? {
            return Ok(None);
        }
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(source), &target, None::<&str>, flags, None::<&str>)?;
        Ok(Some(Self(target)))
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // Lazily: a program may have the file open.
        if let Err(error) = umount2(&self.0, MntFlags::MNT_DETACH) {
            tracing::warn!(path = %self.0.display(), %error, "cannot uncover");
        }
    }
}
