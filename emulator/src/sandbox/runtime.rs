//! The folder where longhaul keeps what only matters while labs are up: sockets, locks, mount points.
//!
//! `/run/longhaul` for root; `$XDG_RUNTIME_DIR/longhaul` for others, or `/tmp/longhaul-UID` where no such folder of
//! theirs exists. `$LONGHAUL_RUNTIME_DIR`, an absolute path, overrides both; labs of different folders do not know of
//! each other.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, geteuid};

/// Overrides the place.
const OVERRIDE: &str = "LONGHAUL_RUNTIME_DIR";

/// No lab can have this name: it does not start with a letter.
const MOUNT_POINT: &str = ".lab";

/// A Unix socket's path has 107 bytes and a zero (unix(7)). The longest in the folder is `/NAME/guest/clock`, with a name of 20.
const LONGEST: usize = 107 - "/".len() - 20 - "/guest/clock".len();

/// Why the runtime folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeFolderError {
    /// It cannot be created or opened.
    #[error("cannot use {} as a private folder: {source}; set {OVERRIDE} to a folder that you may write to", path.display())]
    Unusable {
        /// Which folder.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// Somebody else made it.
    #[error("{} belongs to another user: remove it, or set {OVERRIDE} to a folder of your own", path.display())]
    Foreign {
        /// Which folder.
        path: PathBuf,
    },
    /// The override is a folder that others use, too: to close it to them would break what they use it for.
    #[error("{} is open to other users: set {OVERRIDE} to a folder that does not exist yet, or to one of mode 0700", path.display())]
    Open {
        /// Which folder.
        path: PathBuf,
    },
    /// The sockets in it could not be reached.
    #[error("the path {} is too long for a lab's sockets below it: set {OVERRIDE} to one of at most {LONGEST} bytes", path.display())]
    Long {
        /// Which folder.
        path: PathBuf,
    },
    /// The override is not absolute.
    #[error("{OVERRIDE} must be an absolute path, not {}", path.display())]
    Relative {
        /// What it is.
        path: PathBuf,
    },
}

/// The runtime folder; made if missing, and the caller's own whatever was there before.
pub(crate) fn folder() -> Result<PathBuf, RuntimeFolderError> {
    let path = match std::env::var_os(OVERRIDE) {
        Some(path) if Path::new(&path).is_absolute() => {
            let path = PathBuf::from(path);
            refuse_long(&path)?;
            refuse_open(&path)?;
            path
        }
        Some(path) => return Err(RuntimeFolderError::Relative { path: path.into() }),
        None => standard_place(
            geteuid(),
            std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
        ),
    };
    make_private(&path)?;
    Ok(path)
}

/// Whether it is the one that all labs of this user share unless told otherwise.
pub(crate) fn is_standard() -> bool {
    std::env::var_os(OVERRIDE).is_none()
}

/// The empty folder in it that a sandbox mounts its private tmpfs on, each in a mount namespace of its own.
pub(crate) fn mount_point() -> Result<PathBuf, RuntimeFolderError> {
    let path = folder()?.join(MOUNT_POINT);
    make_private(&path)?;
    Ok(path)
}

/// Where the folder is if nothing else is said. `su` and `sudo -u` leave another user's XDG_RUNTIME_DIR behind.
fn standard_place(user: Uid, xdg: Option<PathBuf>) -> PathBuf {
    if user.is_root() {
        return "/run/longhaul".into();
    }
    let own = |path: &PathBuf| {
        path.is_absolute()
            && path
                .metadata()
                .is_ok_and(|meta| meta.uid() == user.as_raw())
    };
    match xdg.filter(own) {
        Some(path) => path.join("longhaul"),
        None => format!("/tmp/longhaul-{user}").into(),
    }
}

/// Refuses a folder whose labs could have no sockets.
fn refuse_long(path: &Path) -> Result<(), RuntimeFolderError> {
    match path.as_os_str().len() > LONGEST {
        true => Err(RuntimeFolderError::Long {
            path: path.to_owned(),
        }),
        false => Ok(()),
    }
}

/// Refuses a folder of the caller's that others can enter, such as root's /tmp: it is not longhaul's to close.
fn refuse_open(path: &Path) -> Result<(), RuntimeFolderError> {
    let is_open = |found: &Metadata| {
        found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 != 0
    };
    match path.symlink_metadata() {
        Ok(found) if is_open(&found) => Err(RuntimeFolderError::Open {
            path: path.to_owned(),
        }),
        // Whatever else is wrong with it shows when it is made private.
        _ => Ok(()),
    }
}

/// Makes `path` a folder of the caller's that nobody else can enter. What is there already must be the caller's own and no
/// symbolic link: in /tmp anybody could have planted it.
fn make_private(path: &Path) -> Result<(), RuntimeFolderError> {
    let unusable = |source| RuntimeFolderError::Unusable {
        path: path.to_owned(),
        source,
    };
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(error)),
        _ => {}
    }
    let folder = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)
        .map_err(unusable)?;
    let found = folder.metadata().map_err(unusable)?;
    if found.uid() != geteuid().as_raw() {
        return Err(RuntimeFolderError::Foreign {
            path: path.to_owned(),
        });
    }
    if found.mode() & 0o077 != 0 {
        folder
            .set_permissions(Permissions::from_mode(0o700))
            .map_err(unusable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_longest_folder_has_room_for_the_longest_socket_and_a_longer_one_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let fill = LONGEST - base.path().as_os_str().len() - 1;
        let folder = base.path().join("r".repeat(fill));
        refuse_long(&folder).unwrap();
        let lab = folder.join("n".repeat(20));
        std::fs::create_dir_all(lab.join("guest")).unwrap();
        UnixListener::bind(lab.join("guest/clock")).unwrap();
        let refused = refuse_long(&base.path().join("r".repeat(fill + 1))).unwrap_err();
        assert!(refused.to_string().contains("LONGHAUL_RUNTIME_DIR"));
    }

    #[test]
    fn a_folder_that_others_use_is_neither_taken_nor_closed() {
        let shared = tempfile::tempdir().unwrap();
        std::fs::set_permissions(shared.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(
            refuse_open(shared.path()),
            Err(RuntimeFolderError::Open { .. })
        ));
        std::fs::set_permissions(shared.path(), Permissions::from_mode(0o700)).unwrap();
        refuse_open(shared.path()).unwrap();
        refuse_open(&shared.path().join("new")).unwrap();
    }
}
