//! Files that appear whole or not at all.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// As many links lead on at most, as in the kernel (`MAXSYMLINKS` in `include/linux/namei.h`).
const MOST_LINKS: usize = 40;

/// Where writing to a path leads.
enum Target {
    /// A file, and what is there now.
    File(PathBuf, Option<Metadata>),
    /// What takes bytes as they come: a pipe, a terminal, what a process has open.
    Stream(PathBuf),
}

/// Makes `bytes` the content of the file at `path`, over an older one, whose mode and owner it gets. At every moment, and after a power cut,
/// the file is the older one or the newer; if it fails, nothing has changed. A link stays one: what it leads to is written. What is no file,
/// such as a pipe or `/dev/stdout`, is written to.
///
/// A file that lies where no other may be made, or that is mounted on its own, is written over in place, and can then be cut short.
///
/// # Errors
/// If the system says no. [`way_out`] says what to do.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (path, old) = match target(path)? {
        Target::File(path, old) => (path, old),
        Target::Stream(path) => return stream(&path, bytes),
    };
    let Some(old) = old else {
        fresh(&path, bytes)?.persist(&path)?;
        return Ok(());
    };
    // A file that may not be written stays as it is, though its folder would let it be replaced.
    let mut in_place = File::options().write(true).open(&path)?;
    let mut over = || {
        in_place.set_len(0)?;
        in_place.write_all(bytes)
    };
    let mut new = match beside(&path, 0o600) {
        Err(error) if is_closed(&error) => return over(),
        new => new?,
    };
    let made = new.as_file().metadata()?;
    if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
        // Who may not give files away has them as their own.
        let _ = fchown(new.as_file(), Some(old.uid()), Some(old.gid()));
    }
    let mode = Permissions::from_mode(old.mode() & 0o7777);
    new.as_file().set_permissions(mode)?;
    fill(&mut new, bytes)?;
    match new.persist(&path) {
        Ok(_) => Ok(()),
        Err(refused) if is_mounted(&refused.error) => over(),
        Err(refused) => Err(refused.error),
    }
}

/// As [`replace`], but only where there is nothing yet.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] where there is; else if the system says no.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fresh(path, bytes)?.persist_noclobber(path)?;
    Ok(())
}

/// Whether `path` is no file, but what takes bytes as they come: a pipe, a terminal, `/dev/stdout`.
pub fn is_stream(path: &Path) -> bool {
    matches!(target(path), Ok(Target::Stream(_)))
}

/// What to do when a file cannot be written.
pub fn way_out(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            Some("name a file in a folder that is there")
        }
        ErrorKind::IsADirectory => Some("name a file, not a folder"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Some("name a file in a folder that you may write to")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("make room there, or name a file on another disk")
        }
        _ => None,
    }
}

/// Follows links.
fn target(path: &Path) -> io::Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let folder = folder_of(&path);
        // The links there lead to what is open, which may have no name.
        if folder.canonicalize()?.starts_with("/proc") {
            return Ok(Target::Stream(path));
        }
        match fs::symlink_metadata(&path) {
            Ok(there) if there.is_symlink() => path = folder.join(fs::read_link(&path)?),
            Ok(there) if there.is_file() => return Ok(Target::File(path, Some(there))),
            Ok(_) => return Ok(Target::Stream(path)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Target::File(path, None));
            }
            Err(error) => return Err(error),
        }
    }
    // Opening it says what is wrong.
    Ok(Target::Stream(path))
}

fn stream(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Opened once more, a file that is standard output would be written from its beginning.
    let own = Path::new("/proc")
        .join(std::process::id().to_string())
        .join("fd");
    let name = path.file_name().and_then(|name| name.to_str());
    let is_own = folder_of(path).canonicalize()? == own;
    match name.filter(|_| is_own) {
        Some("1") => all_to(io::stdout(), bytes),
        Some("2") => all_to(io::stderr(), bytes),
        _ => all_to(File::options().write(true).open(path)?, bytes),
    }
}

fn all_to(mut stream: impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

/// A new file of these bytes in the same folder, with the permissions of any new file, not of a secret.
fn fresh(path: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut new = beside(path, 0o666)?;
    fill(&mut new, bytes)?;
    Ok(new)
}

/// A new file in the same folder, under a name that no file of the user's has; it goes if it does not become the file.
fn beside(path: &Path, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder_of(path))
        // Its own message names the folder, which is not what was asked for.
        .map_err(|error| error.kind().into())
}

fn fill(file: &mut tempfile::NamedTempFile, bytes: &[u8]) -> io::Result<()> {
    file.as_file_mut().write_all(bytes)?;
    file.as_file().sync_all()
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

/// Whether a folder takes no new file.
fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
    )
}

/// Whether something is mounted on a file's name.
fn is_mounted(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ResourceBusy | ErrorKind::CrossesDevices
    )
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::thread;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_another_one_afterwards_with_the_mode_of_the_older() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"first").unwrap();
        let plain = folder.path().join("plain");
        fs::write(&plain, "").unwrap();
        let [new, usual] = [&path, &plain].map(|path| fs::metadata(path).unwrap());
        assert_eq!(new.mode(), usual.mode());

        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let mut older = File::open(&path).unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        // Who has the older one open sees all of it.
        let mut text = String::new();
        older.read_to_string(&mut text).unwrap();
        assert_eq!(text, "first");
        assert_eq!(names(folder.path()), ["file", "plain"]);
    }

    #[test]
    fn a_link_stays_one_and_what_it_leads_to_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let link = folder.path().join("link");
        symlink("inner/chain", &link).unwrap();
        symlink("file", inner.join("chain")).unwrap();
        for text in ["new", "again"] {
            replace(&link, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(inner.join("file")).unwrap(), text);
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(names(&inner), ["chain", "file"]);

        let circle = folder.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert!(replace(&circle, b"").is_err());
    }

    #[test]
    fn what_is_no_file_is_written_to() {
        let (mut reader, writer) = io::pipe().unwrap();
        let open = std::os::fd::AsRawFd::as_raw_fd(&writer);
        let reading = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        replace(Path::new(&format!("/dev/fd/{open}")), b"through a pipe").unwrap();
        drop(writer);
        assert_eq!(reading.join().unwrap(), "through a pipe");
        replace(Path::new("/dev/null"), b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind_and_has_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let failed = |path: &Path| {
            let error = replace(path, b"text").unwrap_err();
            way_out(&error).unwrap_or_else(|| panic!("{error}"))
        };
        let there = "name a file in a folder that is there";
        assert_eq!(failed(&folder.path().join("none/file")), there);
        assert_eq!(failed(folder.path()), "name a file, not a folder");
        fs::write(folder.path().join("file"), "old").unwrap();
        assert_eq!(failed(&folder.path().join("file/in")), there);
        let full = io::Error::from(ErrorKind::StorageFull);
        assert!(way_out(&full).unwrap().contains("make room"));
        assert_eq!(names(folder.path()), ["file"]);
    }
}
