//! How a communicator's bytes are moved: one way, one message after another.
//!
//! - `message`: by queue pairs.
//! - `tcp`: by the connection itself.

pub(crate) mod message;
pub(crate) mod tcp;

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::error::{Error, system};
use crate::request::Memory;

/// What moves them. Never blocks but in [`Carrier::wait`].
pub(crate) trait Carrier {
    /// Does what is due, whether or not a message is under way.
    fn turn(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Moves the next bytes of `transfer`, which is the same until it is complete.
    fn advance(&mut self, transfer: &mut Transfer) -> Result<Advance, Error>;

    /// Sleeps until there may be something to do, or until it is woken.
    fn wait(&mut self, wake: &Wake, sleep: Sleep) -> Result<(), Error>;

    /// How many bytes have arrived so far, while some have not; `None` once all have.
    fn lingering(&self) -> Option<u64> {
        None
    }
}

/// A message under way.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) memory: Memory,
    /// Bytes moved.
    pub(crate) done: usize,
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advance {
    /// Nothing can be moved now.
    Blocked,
    /// Something was, and more may be.
    Moved,
    /// The message is done.
    Complete,
}

/// Whether there is time to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// Nothing is to be done.
    Long,
    /// What was moved may let more move.
    None,
}

/// Wakes a communicator's thread.
#[derive(Debug)]
pub(crate) struct Wake(EventFd);

impl Wake {
    pub(crate) fn new() -> Result<Self, Error> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let event = EventFd::from_value_and_flags(0, flags);
        event
            .map(Self)
            .map_err(|errno| system("make an event descriptor")(errno.into()))
    }

    /// The thread has something to do.
    pub(crate) fn up(&self) {
        // It fails only where it would count beyond 2^64: the thread is woken then.
        let _ = self.0.write(1);
    }

    /// It knows.
    pub(crate) fn clear(&self) {
        // It fails only if there was nothing.
        let _ = self.0.read();
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
