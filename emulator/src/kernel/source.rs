//! Kernel sources: where they lie, and what of them a build needs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::recipe::Sum;
use super::version::Version;
use super::{KernelError, process};

/// Where Debian's and Ubuntu's `linux-source` packages put them.
const PACKAGED: &str = "usr/src";

/// What those packages call them.
const PREFIX: &str = "linux-source-";

/// Parts of the source that the lab kernel has nothing of: two thirds of it. Their Makefiles and Kconfig files stay, because the
/// others name them.
const UNUSED: [&str; 14] = [
    "*/drivers/gpu/*.[ch]",
    "*/drivers/infiniband/*.[ch]",
    "*/drivers/media/*.[ch]",
    "*/drivers/net/ethernet/*.[ch]",
    "*/drivers/net/wireless/*.[ch]",
    "*/drivers/scsi/*.[ch]",
    "*/drivers/staging/*.[ch]",
    "*/sound/*.[ch]",
    "*/Documentation/*.rst",
    "*/Documentation/*.yaml",
    "*/tools/perf",
    "*/tools/testing",
    "*.dts",
    "*.dtsi",
];

/// What the kernel's own Makefile calls a tree unclean by.
const BUILT_IN_PLACE: [&str; 3] = [".config", "include/config", "include/generated"];

/// A kernel source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub path: PathBuf,
    pub form: Form,
}

/// How it lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A folder.
    Tree,
    /// A file.
    Tarball(Compression),
}

/// How a tarball is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Xz,
    Gzip,
    Bzip2,
}

/// A source's bytes, as a tarball.
pub(super) struct Stream {
    reader: Box<dyn AsyncRead + Unpin>,
    /// What makes a tarball of a tree; it dies with the stream.
    packer: Option<Child>,
}

impl Compression {
    const ALL: [(&str, Compression); 3] = [
        (".tar.xz", Compression::Xz),
        (".tar.gz", Compression::Gzip),
        (".tar.bz2", Compression::Bzip2),
    ];

    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        Self::ALL
            .into_iter()
            .find_map(|(ending, compression)| name.ends_with(ending).then_some(compression))
    }

    /// The program that undoes it, which is also tar's option for it.
    pub(super) fn program(self) -> &'static str {
        match self {
            Compression::Xz => "xz",
            Compression::Gzip => "gzip",
            Compression::Bzip2 => "bzip2",
        }
    }
}

impl Source {
    /// The source that a user named.
    pub(super) fn named(path: &Path) -> Result<Self, KernelError> {
        let wrong = |problem: String| KernelError::source(path, problem);
        let metadata = path
            .metadata()
            .map_err(|error| wrong(format!("it cannot be read: {error}")))?;
        let form = if metadata.is_dir() {
            check_tree(path).map_err(wrong)?;
            Form::Tree
        } else {
            let compression = Compression::of(path).ok_or_else(|| {
                wrong("it is neither a folder nor named .tar.xz, .tar.gz or .tar.bz2".into())
            })?;
            File::open(path).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
            Form::Tarball(compression)
        };
        let path = std::path::absolute(path)
            .map_err(|error| wrong(format!("it cannot be read: {error}")))?;
        Ok(Source { path, form })
    }

    /// Those of the distribution's packages below `root`, the newest first.
    pub(super) fn packaged(root: &Path) -> Vec<Self> {
        let mut found: Vec<(Version, Source)> = Vec::new();
        let folder = root.join(PACKAGED);
        for path in paths_in(&folder) {
            // Debian keeps the tarball there, Ubuntu in a folder of that name, with a link to it beside the folder.
            found.extend(packaged_tarball(&path));
            if path.is_dir() && has_prefix(&path) {
                found.extend(
                    paths_in(&path)
                        .iter()
                        .filter_map(|path| packaged_tarball(path)),
                );
            }
        }
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        found.into_iter().map(|(_, source)| source).collect()
    }

    /// Its bytes; of a tree always the same as long as its files are.
    pub(super) async fn open(&self) -> Result<Stream, KernelError> {
        match self.form {
            Form::Tarball(_) => {
                let file = tokio::fs::File::open(&self.path).await;
                let file = file.map_err(|e| self.wrong(format!("it cannot be read: {e}")))?;
                Ok(Stream {
                    reader: Box::new(file),
                    packer: None,
                })
            }
            Form::Tree => {
                let mut command = Command::new("tar");
                command
                    .args(["--create", "--file=-", "--sort=name", "--mtime=@0"])
                    .args([
                        "--owner=0",
                        "--group=0",
                        "--numeric-owner",
                        "--mode=go=u,go-w",
                    ])
                    .args(["--exclude=./.git"])
                    .args(exclusions())
                    .arg("--directory")
                    .arg(&self.path)
                    .arg(".")
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .kill_on_drop(true);
                let mut packer = process::spawn(&mut command)?;
                let reader = packer.stdout.take().expect("it is piped");
                Ok(Stream {
                    reader: Box::new(reader),
                    packer: Some(packer),
                })
            }
        }
    }

    /// What its content is told by, and how many bytes [`open`](Self::open) gives.
    pub(super) async fn digest(&self) -> Result<(String, u64), KernelError> {
        let mut stream = self.open().await?;
        let (mut sum, mut bytes) = (Sum::default(), 0);
        let mut buffer = buffer();
        loop {
            let read = stream.read(&mut buffer).await;
            match read.map_err(|e| self.wrong(format!("it cannot be read: {e}")))? {
                0 => break Ok((sum.digits(), bytes)),
                count => {
                    sum.add(&buffer[..count]);
                    bytes += count as u64;
                }
            }
        }
    }

    /// The command that unpacks what [`open`](Self::open) gives, from its standard input, into the folder `into`.
    pub(super) fn unpacking(&self, into: &Path) -> Command {
        let mut command = Command::new("tar");
        command.args(["--extract", "--file=-", "--strip-components=1"]);
        command.args(["--no-same-owner", "--no-same-permissions"]);
        if let Form::Tarball(compression) = self.form {
            command.arg(format!("--{}", compression.program()));
        }
        command.args(exclusions()).arg("--directory").arg(into);
        command
    }

    pub(super) fn wrong(&self, problem: String) -> KernelError {
        KernelError::source(&self.path, problem)
    }
}

impl Stream {
    /// The next bytes; 0 at the end.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer).await?;
        if count == 0
            && let Some(mut packer) = self.packer.take()
            && !packer.wait().await?.success()
        {
            return Err(io::Error::other("some of its files cannot be read"));
        }
        Ok(count)
    }
}

/// For a stream's bytes on their way.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; 1 << 18]
}

/// Says what is wrong with a folder as a kernel source.
pub(super) fn check_tree(path: &Path) -> Result<(), String> {
    if !["Makefile", "Kconfig", "arch/um/Kconfig", "kernel/fork.c"]
        .iter()
        .all(|file| path.join(file).is_file())
    {
        return Err("it does not hold a Linux source with ARCH=um".into());
    }
    match BUILT_IN_PLACE.iter().find(|file| path.join(file).exists()) {
        Some(file) => Err(format!(
            "it is not clean (there is {file}): run `make mrproper` in it, or name the tarball it came from"
        )),
        None => Ok(()),
    }
}

fn exclusions() -> impl Iterator<Item = String> {
    UNUSED.iter().map(|pattern| format!("--exclude={pattern}"))
}

/// The tarball at `path`, if it is named as a package names it.
fn packaged_tarball(path: &Path) -> Option<(Version, Source)> {
    let version = path.file_name()?.to_str()?.strip_prefix(PREFIX)?;
    let form = Form::Tarball(Compression::of(path)?);
    let is_own_file = path.symlink_metadata().ok()?.is_file();
    let path = path.to_owned();
    is_own_file.then_some((Version::parse(version)?, Source { path, form }))
}

fn has_prefix(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with(PREFIX))
}

fn paths_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// As little as counts as a kernel source.
    fn tree(root: &Path) {
        for file in ["Makefile", "Kconfig", "arch/um/Kconfig", "kernel/fork.c"] {
            write(root, file, "x\n");
        }
    }

    async fn digest(path: &Path) -> String {
        Source::named(path).unwrap().digest().await.unwrap().0
    }

    #[test]
    fn packages_are_found_the_newest_first() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for path in [
            "usr/src/linux-source-6.1.tar.xz",
            "usr/src/linux-source-6.12.tar.xz",
            "usr/src/linux-source-6.12.patch.xz",
            "usr/src/linux-source-6.8.0/linux-source-6.8.0.tar.bz2",
            "usr/src/linux-headers-6.18/linux-source-6.18.tar.bz2",
            "usr/src/linux-source-next.tar.xz",
        ] {
            write(root, path, "");
        }
        symlink(
            "linux-source-6.8.0/linux-source-6.8.0.tar.bz2",
            root.join("usr/src/linux-source-6.8.0.tar.bz2"),
        )
        .unwrap();
        let found: Vec<PathBuf> = Source::packaged(root)
            .into_iter()
            .map(|source| source.path.strip_prefix(root).unwrap().to_owned())
            .collect();
        let expected = [
            "usr/src/linux-source-6.12.tar.xz",
            "usr/src/linux-source-6.8.0/linux-source-6.8.0.tar.bz2",
            "usr/src/linux-source-6.1.tar.xz",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        assert!(Source::packaged(&root.join("nowhere")).is_empty());
    }

    #[test]
    fn what_is_no_source_is_refused_with_the_reason() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let refusal = |path: &Path| Source::named(path).unwrap_err().to_string();
        assert!(refusal(&root.join("nowhere")).contains("No such file"));
        assert!(refusal(root).contains("does not hold a Linux source"));
        write(root, "linux.zip", "");
        assert!(refusal(&root.join("linux.zip")).contains(".tar.xz"));

        tree(root);
        assert_eq!(Source::named(root).unwrap().form, Form::Tree);
        write(root, "include/config/auto.conf", "");
        assert!(refusal(root).contains("make mrproper"));
    }

    #[tokio::test]
    async fn a_tree_is_told_by_its_files_not_by_their_times() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        tree(&one);
        tree(&two);
        write(&two, "drivers/gpu/drm/card.c", "of no use here");
        write(&two, ".git/HEAD", "ref: refs/heads/master");
        let old = std::time::SystemTime::UNIX_EPOCH;
        let file = File::options()
            .write(true)
            .open(two.join("Makefile"))
            .unwrap();
        file.set_modified(old).unwrap();
        // Folders count, too.
        for folder in ["drivers/gpu/drm", "include"] {
            fs::create_dir_all(one.join(folder)).unwrap();
            fs::create_dir_all(two.join(folder)).unwrap();
        }
        assert_eq!(digest(&one).await, digest(&two).await);
        write(&two, "kernel/fork.c", "y\n");
        assert_ne!(digest(&one).await, digest(&two).await);
    }

    #[tokio::test]
    async fn a_tarball_is_told_by_its_bytes() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a.tar.gz", "abc");
        write(root.path(), "b.tar.xz", "abc");
        write(root.path(), "c.tar.bz2", "abd");
        let of = |name: &str| {
            let path = root.path().join(name);
            async move { digest(&path).await }
        };
        assert_eq!(of("a.tar.gz").await, of("b.tar.xz").await);
        assert_ne!(of("a.tar.gz").await, of("c.tar.bz2").await);
    }
}
