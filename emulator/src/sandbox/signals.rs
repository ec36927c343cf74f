//! A process that waits for another and lives through what would end it meanwhile.

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::SandboxError;

/// The signals that such a process waits for instead of dying from; unblocked again on drop.
pub(crate) struct SignalMask {
    /// What is blocked.
    blocked: SigSet,
    /// The mask before.
    before: SigSet,
}

impl SignalMask {
    /// Blocks them.
    pub(crate) fn block() -> Result<Self, SandboxError> {
        // A parent may have left SIGCHLD ignored; then children vanish before their code is read.
        // SAFETY: SIG_DFL is no handler that could run.
        unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigDfl) }
            .map_err(|errno| SandboxError::step("reset SIGCHLD", errno))?;
        let blocked: SigSet = [
            Signal::SIGCHLD,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGTERM,
            Signal::SIGHUP,
        ]
        .into_iter()
        .collect();
        let before = blocked
            .thread_swap_mask(SigmaskHow::SIG_BLOCK)
            .map_err(|errno| SandboxError::step("block signals", errno))?;
        Ok(SignalMask { blocked, before })
    }

    /// The mask before, for children.
    pub(crate) fn before(&self) -> SigSet {
        self.before
    }

    /// Waits for the end of `child` and returns its exit code. Signals sent to this process alone go to `pass_on`.
    pub(crate) fn wait_for(
        &self,
        child: Pid,
        mut pass_on: impl FnMut(Signal),
    ) -> Result<i32, SandboxError> {
        loop {
            let status = waitpid(child, Some(WaitPidFlag::WNOHANG))
                .map_err(|errno| SandboxError::step("wait for the lab", errno))?;
            if let Some(code) = exit_code(status) {
                return Ok(code);
            }
            if let Some(signal) = self.next_sent_to_us_alone() {
                pass_on(signal);
            }
        }
    }

    /// Waits for a signal; `None` for one that is about a child or that the whole process group got from its terminal.
    fn next_sent_to_us_alone(&self) -> Option<Signal> {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
        // SAFETY: both pointers are valid for the call, and the set is initialised.
        let number = unsafe { libc::sigwaitinfo(self.blocked.as_ref(), info.as_mut_ptr()) };
        let signal = Signal::try_from(number).ok()?;
        // SAFETY: sigwaitinfo returned a signal, so it has filled the structure in.
        let from_terminal = unsafe { info.assume_init() }.si_code == libc::SI_KERNEL;
        (signal != Signal::SIGCHLD && !from_terminal).then_some(signal)
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        // Cannot fail with a mask that the kernel itself gave.
        let _ = self.before.thread_set_mask();
    }
}

/// A process's end as a shell counts it; `None` if it has not ended.
pub(super) fn exit_code(status: WaitStatus) -> Option<i32> {
    match status {
        WaitStatus::Exited(_, code) => Some(code),
        WaitStatus::Signaled(_, signal, _) => Some(128 + signal as i32),
        _ => None,
    }
}
