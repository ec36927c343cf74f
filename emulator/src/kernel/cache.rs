//! Where lab kernels are kept: a folder of the user's.
//!
//! ```text
//! $XDG_CACHE_HOME/longhaul/kernels/      ~/.cache where that is not set
//!   KEY/linux                            the executable
//!   KEY/build.json                       what it was built from: see Record
//!   .lock                                locked (flock) by the build that goes on
//!   .build/                              what that build works in; whoever has the lock may remove it
//!   failed.log                           what the programs of the last build said, if it failed
//! ```

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::unistd::{User, geteuid};
use serde::{Deserialize, Serialize};

use super::version::Version;
use super::{KernelError, LabKernel, recipe};

/// What a build takes at most: 688 MiB with Linux 6.12, of which the source without its unused parts is 600; the rest is for
/// sources to come, which grow.
const BUILD_BYTES: u64 = 1 << 30;

/// The executable's name in a kernel's folder; the kernel's Makefile calls it so, too.
pub(super) const EXECUTABLE: &str = "linux";

const RECORD: &str = "build.json";

/// The folder of this user's lab kernels. It need not exist.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

/// A kernel that is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub kernel: LabKernel,
    pub record: Record,
}

/// What a kernel was built from, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// As `make kernelversion` printed it.
    pub version: String,
    /// Of the options and the patch.
    pub recipe: String,
    /// Where the source lay.
    pub source: PathBuf,
    /// The longhaul that built it.
    pub longhaul: String,
    /// What the compiler says it is.
    pub compiler: String,
    /// In seconds since 1970 (UTC).
    pub built: u64,
    /// The executable's size.
    pub bytes: u64,
    /// How many files were compiled, archived and linked: how long the next build will be.
    pub objects: u64,
    /// Names of options that this kernel is too old for.
    pub unknown_options: Vec<String>,
}

/// The right to build: one process has it at a time.
#[derive(Debug)]
pub(super) struct Bench {
    cache: Cache,
    lock: File,
}

impl Cache {
    /// This user's.
    pub(super) fn of_this_user() -> Result<Self, KernelError> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        let home = variable("HOME").or_else(|| Some(User::from_uid(geteuid()).ok()??.dir));
        place(variable("XDG_CACHE_HOME"), home)
            .map(|folder| Cache { folder })
            .ok_or(KernelError::NoCache)
    }

    #[cfg(test)]
    pub(super) fn at(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Cache { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// All whole kernels, the newest first: by version and, of the same, by when they were built.
    pub(super) fn kept(&self) -> Vec<Kept> {
        let folders = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut kept: Vec<Kept> = folders
            .filter_map(|entry| self.kernel(entry.file_name().to_str()?))
            .collect();
        kept.sort_by_key(|kept| {
            let Record { version, built, .. } = &kept.record;
            std::cmp::Reverse((Version::parse(version), *built))
        });
        kept
    }

    /// The kernel of that key, if it is there and whole.
    pub(super) fn kernel(&self, key: &str) -> Option<Kept> {
        let folder = self.folder.join(key);
        let record: Record = serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()?;
        let path = folder.join(EXECUTABLE);
        (path.metadata().ok()?.len() == record.bytes).then(|| Kept {
            kernel: LabKernel {
                path,
                version: record.version.clone(),
                key: key.to_owned(),
            },
            record,
        })
    }

    /// The one that labs boot: the newest that this longhaul would build alike.
    pub(super) fn in_use(&self) -> Option<Kept> {
        let recipe = recipe::recipe();
        self.kept()
            .into_iter()
            .find(|kept| kept.record.recipe == recipe)
    }

    /// Makes the folder if need be, and claims the right to build in it; `None` while another process builds.
    pub(super) fn claim(&self) -> Result<Option<Bench>, KernelError> {
        // The kernel's Makefile takes no such folder.
        if self.folder.to_string_lossy().contains([' ', ':']) {
            let folder = self.folder.clone();
            return Err(KernelError::CacheName { folder });
        }
        fs::create_dir_all(&self.folder).map_err(KernelError::cache("create", &self.folder))?;
        let path = self.folder.join(".lock");
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(KernelError::cache("write", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Bench {
                cache: self.clone(),
                lock,
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(KernelError::cache("lock", &path)(error)),
        }
    }
}

impl Bench {
    /// An empty folder to build in, with what a killed build left in it gone; of a folder system with room for it.
    pub(super) fn clear(&self) -> Result<PathBuf, KernelError> {
        self.sweep();
        let Cache { folder } = &self.cache;
        let room = statvfs(folder).map_err(|e| KernelError::cache("measure", folder)(e.into()))?;
        let available = room.blocks_available() * room.fragment_size();
        if available < BUILD_BYTES {
            return Err(KernelError::Space {
                folder: folder.clone(),
                needed_mb: BUILD_BYTES >> 20,
                available_mb: available >> 20,
            });
        }
        let build = self.build();
        fs::create_dir(&build).map_err(KernelError::cache("create", &build))?;
        Ok(build)
    }

    /// Where the log of a build that fails goes.
    pub(super) fn failure_log(&self) -> PathBuf {
        self.cache.folder.join("failed.log")
    }

    /// Keeps the kernel that was built as `executable`, which lies in the folder to build in: all of it or nothing.
    pub(super) fn keep(
        &self,
        executable: &Path,
        key: &str,
        mut record: Record,
    ) -> Result<Kept, KernelError> {
        let (made, place) = (self.build().join(key), self.cache.folder.join(key));
        fs::create_dir(&made).map_err(KernelError::cache("create", &made))?;
        let path = made.join(EXECUTABLE);
        fs::rename(executable, &path).map_err(KernelError::cache("create", &path))?;
        let file = File::open(&path).map_err(KernelError::cache("read", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .and_then(|()| file.sync_all())
            .map_err(KernelError::cache("write", &path))?;
        record.bytes = file
            .metadata()
            .map_err(KernelError::cache("read", &path))?
            .len();
        let path = made.join(RECORD);
        let text = serde_json::to_vec_pretty(&record).expect("our own types serialise");
        File::create(&path)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .map_err(KernelError::cache("write", &path))?;
        // What is there under that name is not whole, or it would not have been built again.
        let _ = fs::remove_dir_all(&place);
        fs::rename(&made, &place).map_err(KernelError::cache("create", &place))?;
        let _ = fs::remove_file(self.failure_log());
        Ok(self.cache.kernel(key).expect("it was just written"))
    }

    fn build(&self) -> PathBuf {
        self.cache.folder.join(".build")
    }

    /// Removes what builds leave. A compiler that was killed a moment ago may still create a file meanwhile.
    fn sweep(&self) {
        const ATTEMPTS: usize = 5;
        let build = self.build();
        for _ in 0..ATTEMPTS {
            match fs::remove_dir_all(&build) {
                Err(_) if build.exists() => {}
                _ => return,
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.sweep();
        // A child that another thread has forked, and that has not executed its program yet, has the file open as well:
        // closing it would not unlock it.
        let _ = self.lock.unlock();
    }
}

/// The folder, by the XDG base directory specification: a relative `$XDG_CACHE_HOME` does not count.
fn place(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: Option<PathBuf>| path.filter(|path| path.is_absolute());
    let base = absolute(xdg).or_else(|| Some(absolute(home)?.join(".cache")))?;
    Some(base.join("longhaul/kernels"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(version: &str, built: u64) -> Record {
        Record {
            version: version.into(),
            recipe: recipe::recipe(),
            source: "/usr/src/linux.tar.xz".into(),
            longhaul: "0.1.0".into(),
            compiler: "gcc".into(),
            built,
            bytes: 0,
            objects: 1000,
            unknown_options: Vec::new(),
        }
    }

    fn keep(cache: &Cache, key: &str, record: Record) -> Kept {
        let bench = cache.claim().unwrap().expect("nobody builds");
        let built = bench.clear().unwrap().join("linux");
        fs::write(&built, format!("the kernel {key}")).unwrap();
        bench.keep(&built, key, record).unwrap()
    }

    #[test]
    fn the_folder_is_the_users_cache() {
        let path = |text: &str| Some(PathBuf::from(text));
        let kernels = path("/home/me/.cache/longhaul/kernels");
        assert_eq!(place(None, path("/home/me")), kernels);
        assert_eq!(place(path("relative"), path("/home/me")), kernels);
        assert_eq!(
            place(path("/var/cache"), path("/home/me")),
            path("/var/cache/longhaul/kernels")
        );
        assert_eq!(place(None, None), None);
        assert_eq!(place(None, path("")), None);
    }

    #[test]
    fn labs_boot_the_newest_kernel_of_this_longhaul() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("not/yet"));
        assert!(cache.in_use().is_none());
        keep(&cache, "old", record("6.1.170", 30));
        keep(&cache, "new", record("6.12.94", 10));
        keep(&cache, "again", record("6.12.94", 20));
        let other = Record {
            recipe: "of another longhaul".into(),
            ..record("6.18", 40)
        };
        keep(&cache, "foreign", other);
        let order: Vec<String> = cache
            .kept()
            .into_iter()
            .map(|kept| kept.kernel.key)
            .collect();
        assert_eq!(order, ["foreign", "again", "new", "old"]);
        let used = cache.in_use().unwrap().kernel;
        assert_eq!((&*used.key, &*used.version), ("again", "6.12.94"));
        assert_eq!(fs::read_to_string(used.path).unwrap(), "the kernel again");
    }

    #[test]
    fn a_kernel_that_is_not_whole_is_none_and_is_built_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let kept = keep(&cache, "key", record("6.12", 1));
        fs::write(&kept.kernel.path, "cut").unwrap();
        assert!(cache.kernel("key").is_none() && cache.kept().is_empty());
        keep(&cache, "key", record("6.12", 2));
        assert_eq!(cache.kernel("key").unwrap().record.built, 2);
    }

    #[test]
    fn two_do_not_build_at_once_and_a_killed_build_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        fs::create_dir_all(folder.path().join(".build/left/by/a/killed/one")).unwrap();
        let bench = cache.claim().unwrap().unwrap();
        assert!(cache.claim().unwrap().is_none());
        let build = bench.clear().unwrap();
        assert_eq!(fs::read_dir(&build).unwrap().count(), 0);
        drop(bench);
        assert!(!build.exists());
        assert!(cache.claim().unwrap().is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let cache = Cache::at(&folder.path().join("file/kernels"));
        let text = cache.claim().unwrap_err().to_string();
        assert!(
            text.contains("file/kernels") && text.contains("XDG_CACHE_HOME"),
            "{text}"
        );
        let spaced = Cache::at(&folder.path().join("a folder"));
        assert!(matches!(spaced.claim(), Err(KernelError::CacheName { .. })));
    }
}
