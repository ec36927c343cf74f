//! The folder that host and guest share, watched: without it neither hears of the other, and each would wait for ever.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Notices when the folder goes.
#[derive(Debug)]
pub(super) struct Bond {
    folder: PathBuf,
    /// Its device and inode: another of the same name is not it.
    identity: (u64, u64),
    changes: Inotify,
}

impl Bond {
    /// Watches `folder` from now on.
    pub(super) fn watch(folder: &Path) -> io::Result<Self> {
        let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        // The folder above hears of it, too, while the guest's kernel works in the one that was removed.
        let above = folder.parent().unwrap_or(folder);
        let goes = AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        changes.add_watch(above, goes)?;
        Ok(Bond {
            folder: folder.to_owned(),
            identity: identity(folder)?,
            changes,
        })
    }

    /// Which folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it is gone. To be asked when the descriptor can be read, or from time to time.
    pub(super) fn is_broken(&self) -> bool {
        // What exactly happened does not matter; an event that is not there is no error.
        let _ = self.changes.read_events();
        identity(&self.folder).ok() != Some(self.identity)
    }
}

impl AsFd for Bond {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}

fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(folder)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn has_news(bond: &Bond) -> bool {
        let mut source = [PollFd::new(bond.as_fd(), PollFlags::POLLIN)];
        poll(&mut source, PollTimeout::from(1000_u16)).unwrap() == 1
    }

    #[test]
    fn a_folder_that_is_removed_is_missed_and_one_of_its_name_is_not_taken_for_it() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("guest");
        fs::create_dir(&folder).unwrap();
        let bond = Bond::watch(&folder).unwrap();
        let working_in_it = fs::File::open(&folder).unwrap();
        assert!(!bond.is_broken());
        fs::remove_dir(&folder).unwrap();
        assert!(has_news(&bond));
        assert!(bond.is_broken());
        fs::create_dir(&folder).unwrap();
        assert!(bond.is_broken());
        drop(working_in_it);
    }

    #[test]
    fn a_folder_that_is_moved_away_is_missed() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("guest");
        fs::create_dir(&folder).unwrap();
        let bond = Bond::watch(&folder).unwrap();
        fs::rename(&folder, above.path().join("elsewhere")).unwrap();
        assert!(has_news(&bond));
        assert!(bond.is_broken());
    }
}
