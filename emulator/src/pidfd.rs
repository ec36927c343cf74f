//! Processes as file descriptors (pidfd_open(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

/// A process, held so that its id cannot become another's.
#[derive(Debug)]
pub(crate) struct PidFd(OwnedFd);

impl PidFd {
    /// Takes hold of the process that has the id now.
    pub(crate) fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: takes two numbers, returns a new descriptor.
        let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
        // SAFETY: the descriptor is new and nobody else's; it fits as all descriptors do.
        Ok(PidFd(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// Sends a signal; one that is gone already needs none.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let fd = self.0.as_raw_fd();
        let info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: a null siginfo is allowed and means that of kill(2).
        match Errno::result(unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, fd, signal as i32, info, 0)
        }) {
            Err(Errno::ESRCH) => Ok(()),
            outcome => Ok(outcome.map(drop)?),
        }
    }

    /// Whether it ends within `patience`.
    pub(crate) fn wait(&self, patience: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(
                &mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)],
                timeout,
            ) {
                Err(Errno::EINTR) => {}
                outcome => return Ok(outcome? > 0),
            }
        }
    }
}

/// Can be read once the process has ended.
impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
