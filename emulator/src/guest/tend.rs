//! A guest that stays, looked after: whether it lives, and a program in it that stops its time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::boot::{Guest, kill as kill_kernel};
use super::spinning;
use super::watch::{Passed, Stall};
use super::{GuestError, Reception};
use crate::pidfd::PidFd;

/// How long a program may compute and keep time from passing once a session was interrupted: the signal could reach it only then.
const INTERRUPTED: Duration = Duration::from_secs(2);

/// A guest that stays.
#[derive(Debug)]
pub struct Tended {
    guest: Guest,
    /// Readable once the kernel has ended.
    end: PidFd,
    stall: Stall,
    patience: Duration,
}

impl Tended {
    /// Looks after `guest`. A program of it that computes for `patience` while no time passes is ended.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn new(guest: Guest, patience: Duration) -> io::Result<Self> {
        let end = PidFd::open(guest.kernel.id().cast_signed())?;
        Ok(Tended {
            guest,
            end,
            stall: Stall::default(),
            patience,
        })
    }

    /// Can be read once the guest has ended.
    pub fn end(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }

    /// Can be read once it may be [cut off](Self::is_cut_off).
    pub fn bond(&self) -> BorrowedFd<'_> {
        self.guest.bond.as_fd()
    }

    /// Whether the folder that it shares with this side is gone: nothing can be done in it any more.
    pub fn is_cut_off(&self) -> bool {
        self.guest.bond.is_broken()
    }

    /// How much time has passed since the boot.
    pub fn passed(&self) -> Passed {
        self.guest.passed()
    }

    /// Ends a program for which time has waited too long: one that waits in a loop for others, and so for ever. Its kernel
    /// takes the death of the process that is its program for a fault of that. Says what it has done.
    pub fn end_what_spins(&mut self, reception: &Reception) -> Option<String> {
        let patience = if reception.is_interrupting() {
            INTERRUPTED.min(self.patience)
        } else {
            self.patience
        };
        let kernel = self.guest.kernel.id();
        let found = self.stall.look(self.guest.clock.now(), kernel)?;
        if found.computed < patience {
            return None;
        }
        let culprit = spinning::describe(found.pid);
        kill(Pid::from_raw(found.pid.cast_signed()), Signal::SIGKILL).ok()?;
        self.stall = Stall::default();
        Some(format!(
            "no virtual time passed while {culprit} computed for {} s, so it was ended: in virtual time computing takes no time, and a program that waits in a loop for others waits for ever",
            found.computed.as_secs()
        ))
    }

    /// Why it has ended.
    pub fn autopsy(&mut self) -> GuestError {
        self.guest.autopsy()
    }

    /// Switches it off. Its clock's controller is left as it is: it may wait for somebody who does not listen.
    pub fn kill(mut self) {
        kill_kernel(&mut self.guest.kernel);
        std::mem::forget(self.guest);
    }
}
