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
        step: &'static str,
        /// What the kernel answered.
        source: std::io::Error,
    },
}

/// Moves the rest of the program into a lab's namespaces. Returns only in the lab process; the front process
/// waits for it and exits with its code (a death by signal `n` as 128 + n).
///
/// Must be called while the process has a single thread.
///
/// # Errors
/// If the kernel refuses namespaces to this user.
pub fn enter() -> Result<Sandbox, SandboxError> {
    unimplemented!()
}
