//! The process tree a lab lives in.
//!
//! ```text
//! front    the process the user started; stays in the user's namespaces, waits, passes signals and the exit code on
//! └─ init  PID 1 of a new PID namespace (with new mount, network, IPC and, rootless, user namespaces); reaps
//!    └─ the lab process: `enter` returns here and the program goes on; ranks and commands are its children
//! ```
//! Whatever of the three is killed, the kernel ends everything in the PID namespace, and with the last process
//! go the mounts, the network namespaces and every interface. Nothing has to be cleaned up by code that may
//! not get to run.
//!
//! All three stay in the process group they were started in, so a terminal's Ctrl-C and Ctrl-Z reach the lab
//! process as they would reach any program. The front passes on what was sent to it alone (`kill`), and nothing
//! that came from the terminal: the lab process has had that already. A signal that `kill` sends to the whole
//! group arrives twice.

mod init;
mod refusal;
pub(crate) mod runtime;
mod signals;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;

use nix::fcntl::OFlag;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

pub(crate) use signals::SignalMask;

pub use runtime::RuntimeFolderError;

/// Whose privileges the lab runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Root (CAP_SYS_ADMIN) of the machine or container.
    Root,
    /// An ordinary user, root only in a user namespace of its own.
    Rootless,
}

/// What [`enter`] found out on the way in.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Whose privileges the lab runs on.
    pub privilege: Privilege,
    /// An empty folder (tmpfs) that only this sandbox sees and that goes with it: the place for a lab's files.
    pub folder: PathBuf,
}

/// Why no sandbox could be made; each variant names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Neither root nor user namespaces.
    #[error("cannot create namespaces: {reason}")]
    Refused {
        /// What the kernel answered.
        reason: String,
        /// What the user can do about it.
        help: String,
    },
    /// A step inside the new namespaces failed.
    #[error("cannot {step}: {source}")]
    Step {
        /// What was attempted.
        step: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The folder for longhaul's sockets and mount points cannot be used.
    #[error(transparent)]
    Folder(#[from] RuntimeFolderError),
}

impl SandboxError {
    /// A failed step.
    fn step(step: impl Into<String>, source: impl Into<io::Error>) -> Self {
        SandboxError::Step {
            step: step.into(),
            source: source.into(),
        }
    }
}

impl Privilege {
    /// What this process gets without asking for more: [`Root`](Privilege::Root) where it is root with every
    /// capability that a lab needs, else [`Rootless`](Privilege::Rootless).
    pub fn of_this_process() -> Self {
        // include/uapi/linux/capability.h
        const NET_ADMIN: u64 = 1 << 12;
        const NET_RAW: u64 = 1 << 13;
        const SYS_ADMIN: u64 = 1 << 21;
        const NEEDED: u64 = NET_ADMIN | NET_RAW | SYS_ADMIN;
        let capabilities =
            refusal::status_field("CapEff").and_then(|hex| u64::from_str_radix(&hex, 16).ok());
        let capable = capabilities.is_some_and(|set| set & NEEDED == NEEDED);
        if nix::unistd::geteuid().is_root() && capable {
            Privilege::Root
        } else {
            Privilege::Rootless
        }
    }
}

/// The sandbox this process is the lab process of.
pub fn current() -> Option<&'static Sandbox> {
    CURRENT.get()
}

/// Whether the sandbox that this process is in has a /proc of its own. Where it has not, what is in there of a process or thread is not
/// found by the id that it has in the sandbox.
pub fn has_own_proc() -> bool {
    let own = std::process::id().to_string();
    std::fs::read_link("/proc/self").is_ok_and(|shown| shown.as_os_str() == &*own)
}

/// Why there is none (`mount_too_revealing` in the kernel's fs/namespace.c).
pub(crate) const MASKED_PROC: &str = "a container runtime masks parts of /proc, and so the kernel lets a user namespace have none of its own";

/// What can be done about it (Docker's and Podman's `run`, Kubernetes' `securityContext`).
pub(crate) const MASKED_PROC_HELP: &str = "start the container with `--security-opt systempaths=unconfined` (Docker), `--security-opt unmask=ALL` \
                                           (Podman) or `procMount: Unmasked` (Kubernetes), or privileged with longhaul as root";

/// Set once by [`enter_with`] in the lab process.
static CURRENT: OnceLock<Sandbox> = OnceLock::new();

/// Moves the rest of the program into a lab's namespaces. Returns only in the lab process; the front process
/// waits for it and exits with its code (a death by signal `n` as 128 + n).
///
/// Must be called while the process has a single thread.
///
/// # Errors
/// If the kernel refuses namespaces to this user. The error returns in the process that called.
///
/// # Panics
/// If the process has other threads: they would not come along.
pub fn enter() -> Result<Sandbox, SandboxError> {
    enter_with(Privilege::of_this_process(), || ())
}

/// As [`enter`], with a chosen privilege and with `at_exit` run by the front once the lab is gone, in the user's
/// own namespaces. What `at_exit` owns stays alive (and undropped) in the lab process: a file lock in it is held for
/// as long as any of the three processes lives.
///
/// # Errors
/// As [`enter`].
///
/// # Panics
/// As [`enter`].
pub fn enter_with(privilege: Privilege, at_exit: impl FnOnce()) -> Result<Sandbox, SandboxError> {
    let threads = std::fs::read_dir("/proc/self/task")
        .map_err(|source| SandboxError::step("read /proc/self/task (is /proc mounted?)", source))?;
    assert_eq!(
        threads.count(),
        1,
        "a sandbox must be entered before any thread starts"
    );

    let request = init::Request {
        privilege,
        user: nix::unistd::geteuid(),
        group: nix::unistd::getegid(),
        folder: runtime::mount_point()?,
    };
    let signals = SignalMask::block()?;
    let (control_reader, control_writer) = pipe()?;
    let (status_reader, status_writer) = pipe()?;
    // What is still in the buffer would be printed by both processes.
    let _ = io::stdout().flush();

    match clone_init(privilege)? {
        Some(init) => {
            drop((control_reader, status_writer));
            wait_for_setup(init, privilege, status_reader)?;
            let mut control = File::from(control_writer);
            let code = signals.wait_for(init, |signal| {
                // If init is gone already, the wait is over anyway.
                let _ = control.write_all(&[signal as u8]);
            })?;
            at_exit();
            std::process::exit(code);
        }
        None => {
            drop((control_writer, status_reader));
            init::run(&request, control_reader, status_writer);
            // Here the lab process goes on.
            std::mem::forget(at_exit);
            Ok(CURRENT
                .get_or_init(|| Sandbox {
                    privilege,
                    folder: request.folder,
                })
                .clone())
        }
    }
}

/// A pipe that no program the lab starts inherits.
fn pipe() -> Result<(OwnedFd, OwnedFd), SandboxError> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| SandboxError::step("create a pipe", errno))
}

/// Forks into new namespaces: the child's PID in the parent, `None` in the child.
fn clone_init(privilege: Privilege) -> Result<Option<Pid>, SandboxError> {
    let mut flags = libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC;
    if privilege == Privilege::Rootless {
        flags |= libc::CLONE_NEWUSER;
    }
    let flags = flags | libc::SIGCHLD;
    // As wide as what syscall(2) reads: of an `int` it would read half from whatever lies beside it.
    const NONE: libc::c_long = 0;
    // The argument order of s390x and cris; the rest has the flags first (clone(2)).
    #[cfg(target_arch = "s390x")]
    compile_error!("clone(2) takes its arguments in another order here");
    // SAFETY: without CLONE_VM and a stack this is a fork: the child gets a copy of everything. The process has one
    // thread (checked by the caller), so no lock is held by a thread that the child lacks. The C library's cached
    // thread id is stale in the child only until that forks the lab process through the C library.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags),
            NONE,
            NONE,
            NONE,
            NONE,
        )
    };
    match pid {
        -1 => match io::Error::last_os_error() {
            // Out of memory or processes: no matter of permission.
            error if matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN)) => Err(
                SandboxError::step("start a process in new namespaces", error),
            ),
            error => Err(refusal::explain(privilege, &error, "create new namespaces")),
        },
        0 => Ok(None),
        pid => Ok(Some(Pid::from_raw(pid as libc::pid_t))),
    }
}

/// Blocks until the lab process runs.
fn wait_for_setup(init: Pid, privilege: Privilege, status: OwnedFd) -> Result<(), SandboxError> {
    let mut report = Vec::new();
    File::from(status)
        .read_to_end(&mut report)
        .map_err(|source| SandboxError::step("hear from the sandbox", source))?;
    let Some((source, step)) = init::read_report(&report) else {
        return Ok(());
    };
    let _ = waitpid(init, None);
    match source.kind() {
        io::ErrorKind::PermissionDenied => Err(refusal::explain(privilege, &source, &step)),
        _ => Err(SandboxError::step(step, source)),
    }
}
