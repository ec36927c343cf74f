//! The lab kernel: Linux as an ordinary process (User-mode Linux), in virtual time, which virtual labs boot. It is built once
//! per user from the distribution's kernel source and kept in the user's cache.
//!
//! - [`LabKernel::find`]: the one to boot. [`build()`]: makes it. [`inventory()`]: what there is.
//! - `recipe`: the options and the patch that make it (`emulator/kernel/` in the repository), and the keys of kernels.
//! - `options`: whether a kernel got the options it was to have.
//! - `source`: kernel sources, packaged, unpacked or as tarballs.
//! - `tools`: the programs that a build needs, and how to get them.
//! - `cache`: where kernels are kept, one build at a time.
//! - `order`: what is asked of a build and what it tells. `build`: its story; `workshop`: its steps; `process`: the programs that
//!   they start.
//! - `version`: kernel versions in their order.

mod build;
mod cache;
mod inventory;
mod options;
mod order;
mod process;
mod recipe;
mod source;
mod tools;
mod version;
mod workshop;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

pub use build::build;
pub use inventory::{InCache, Inventory, inventory};
pub use order::{Built, Event, How, Install, Observer, Order, Step};

use cache::Cache;

/// Overrides the cache: the path of an executable.
const OVERRIDE: &str = "LONGHAUL_KERNEL";

/// A boot parameter that only a kernel with longhaul's patch knows. Its name is in the executable.
const PATCHED_PARAMETER: &[u8] = b"random.seed\0";

/// A kernel that virtual labs can boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabKernel {
    /// The executable.
    pub path: PathBuf,
    /// The source's version, as `make kernelversion` prints: `6.12.94`.
    pub version: String,
    /// A digest of source, options and patch: what the result names the kernel by.
    pub key: String,
}

impl LabKernel {
    /// The kernel that virtual labs boot: the newest one in the cache that was built with the options and the patch of this
    /// longhaul, or the executable that `$LONGHAUL_KERNEL` names, whose key is a digest of its bytes.
    ///
    /// # Errors
    /// If there is none, or `$LONGHAUL_KERNEL` names something else.
    pub fn find() -> Result<LabKernel, KernelError> {
        architecture()?;
        match std::env::var_os(OVERRIDE) {
            Some(path) if !path.is_empty() => LabKernel::at(Path::new(&path)),
            _ => {
                let cache = Cache::of_this_user()?;
                cache
                    .in_use()
                    .map(|kept| kept.kernel)
                    .ok_or_else(|| KernelError::Missing {
                        folder: cache.folder().to_owned(),
                    })
            }
        }
    }

    /// The kernel that the executable `path` is.
    fn at(path: &Path) -> Result<LabKernel, KernelError> {
        let error = |reason: String| KernelError::Override {
            path: path.to_owned(),
            reason,
        };
        let bytes = std::fs::read(path).map_err(|e| error(e.to_string()))?;
        if !bytes
            .windows(PATCHED_PARAMETER.len())
            .any(|window| window == PATCHED_PARAMETER)
        {
            return Err(error("it is no kernel with longhaul's patch".into()));
        }
        Ok(LabKernel {
            path: std::path::absolute(path).map_err(|e| error(e.to_string()))?,
            version: version_of(path).map_err(error)?,
            key: recipe::key_of_bytes(&bytes),
        })
    }
}

/// Why there is no lab kernel, or none could be built.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// None was built yet, or only by a longhaul with other options or another patch.
    #[error(
        "no kernel for virtual labs in {}: build it once with `longhaul kernel build` (a few minutes)", folder.display()
    )]
    Missing {
        /// Where kernels are kept.
        folder: PathBuf,
    },
    /// The kernel's code for it is for x86 alone.
    #[error(
        "User-mode Linux exists on x86-64 only, and this machine is {}: use the host lab (`--lab host`)",
        std::env::consts::ARCH
    )]
    Architecture,
    /// `$LONGHAUL_KERNEL` is wrong.
    #[error("{OVERRIDE} names {}, which cannot be booted: {reason}; unset it to use what `longhaul kernel build` built", path.display())]
    Override {
        /// What it names.
        path: PathBuf,
        /// What is wrong with that.
        reason: String,
    },
    /// There is neither a home nor a cache.
    #[error(
        "there is no home folder to keep kernels in: set XDG_CACHE_HOME to a folder that you may write to"
    )]
    NoCache,
    /// The cache cannot be used.
    #[error("cannot {action} {}, so set XDG_CACHE_HOME to a folder that you may write to: {source}", path.display())]
    Cache {
        /// What was tried: `create`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// Kernels cannot be built below such a path.
    #[error("kernels cannot be built in {}, because its name has a space or a colon: set XDG_CACHE_HOME to another folder", folder.display())]
    CacheName {
        /// Where kernels are kept.
        folder: PathBuf,
    },
    /// The disk is full, or soon would be.
    #[error(
        "building a kernel takes {needed_mb} MiB of disk, and {} has {available_mb} MiB: free some, or set XDG_CACHE_HOME to a folder on another disk", folder.display()
    )]
    Space {
        /// Where it would be built.
        folder: PathBuf,
        /// What a build takes.
        needed_mb: u64,
        /// What there is.
        available_mb: u64,
    },
    /// A source cannot be built from.
    #[error("cannot build a kernel from {}: {problem}", path.display())]
    Source {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Programs or the source are missing.
    #[error("building a kernel needs {}, which this machine lacks: {remedy}", what.join(", "))]
    Lacking {
        /// What.
        what: Vec<String>,
        /// How to get all of it.
        remedy: String,
    },
    /// A program did not start, or could not be talked to.
    #[error("cannot run {program}: {source}")]
    Start {
        /// Which.
        program: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The patch does not apply.
    #[error(
        "longhaul's patch does not fit Linux {version}: {failed}; it is known to fit {}: name another source with --source",
        recipe::TRIED
    )]
    Patch {
        /// The source's version.
        version: String,
        /// Which files and hunks.
        failed: String,
    },
    /// The kernel has not got the options it was to have.
    #[error(
        "Linux {version} cannot be configured as labs need it, it leaves out {}: name another source with --source", options.join(", ")
    )]
    Options {
        /// The source's version.
        version: String,
        /// Which it has not got.
        options: Vec<String>,
    },
    /// A program of a step failed.
    #[error("{step} failed; the last lines of {} are:\n{tail}", log.display())]
    Failed {
        /// Which.
        step: String,
        /// The end of the log.
        tail: String,
        /// The whole log.
        log: PathBuf,
    },
}

impl KernelError {
    fn source(path: &Path, problem: String) -> Self {
        let path = path.to_owned();
        KernelError::Source { path, problem }
    }

    /// What to make of an error of `action` on `path`, which is in the cache.
    fn cache(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| KernelError::Cache {
            action,
            path,
            source,
        }
    }
}

/// Whether this machine can run such a kernel at all.
fn architecture() -> Result<(), KernelError> {
    if cfg!(target_arch = "x86_64") {
        Ok(())
    } else {
        Err(KernelError::Architecture)
    }
}

/// What a kernel says its version is, which it does without booting; or why that cannot be found out.
fn version_of(executable: &Path) -> Result<String, String> {
    let mut command = Command::new(executable);
    command.arg("--version").stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next() {
        Some(version) if output.status.success() && version::Version::parse(version).is_some() => {
            Ok(version.to_owned())
        }
        _ => Err("it does not tell its version".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// An executable that answers like a kernel. Another process writes it: a file that a test's fork still has open for writing
    /// cannot be started.
    fn executable(folder: &Path, text: &str) -> PathBuf {
        let (script, path) = (folder.join("script"), folder.join("linux"));
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let copied = Command::new("cp").arg(&script).arg(&path).status();
        assert!(copied.unwrap().success());
        path
    }

    #[test]
    fn a_kernel_named_by_the_user_is_known_by_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = executable(folder.path(), "#!/bin/sh\necho 6.12.94\n#random.seed\0");
        let kernel = LabKernel::at(&path).unwrap();
        assert_eq!((&kernel.path, &*kernel.version), (&path, "6.12.94"));
        executable(folder.path(), "#!/bin/sh\necho 6.12.94\n# random.seed\0");
        assert_ne!(LabKernel::at(&path).unwrap().key, kernel.key);
    }

    #[test]
    fn what_is_no_lab_kernel_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| LabKernel::at(path).unwrap_err().to_string();
        assert!(refusal(&folder.path().join("nowhere")).contains("No such file"));
        let path = executable(folder.path(), "#!/bin/sh\necho 6.12.94\n");
        assert!(refusal(&path).contains("no kernel with longhaul's patch"));
        let path = executable(folder.path(), "#!/bin/sh\necho hello\n#random.seed\0");
        assert!(refusal(&path).contains("does not tell its version"));
    }

    #[test]
    fn a_missing_kernel_comes_with_the_command_that_builds_it() {
        let error = KernelError::Missing {
            folder: "/cache".into(),
        };
        assert!(error.to_string().contains("`longhaul kernel build`"));
    }
}
