//! A program run inside a host of a lab that is up.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::KeeperError;
use super::client::Connection;
use super::name::LabName;
use super::registry::Registry;
use super::wire::Namespaces;
use crate::sandbox::SignalMask;

/// Runs `program` inside `host`: its network, name, files, processes. Returns its exit code, or 128 + n if signal `n` ended
/// it.
///
/// The program has the caller's terminal, process group, environment and, where it exists inside, working folder. This
/// process moves into the host's namespaces for good, so do nothing after it but exit.
///
/// Must be called while the process has a single thread.
///
/// # Errors
/// If there is no such lab or host, or the program cannot be started.
pub fn exec(
    lab: &LabName,
    host: &str,
    program: &OsStr,
    arguments: &[OsString],
) -> Result<i32, KeeperError> {
    let namespaces = Connection::open_lab(&Registry::open()?, lab)?.namespaces(host)?;
    let terminal = Terminal::ours();
    let failed = |source| KeeperError::Enter {
        node: host.to_owned(),
        source,
    };
    let folder = std::env::current_dir().ok();
    enter(&namespaces).map_err(failed)?;
    // Entering a mount namespace leads to its root.
    let _ = std::env::set_current_dir(folder.unwrap_or_else(|| PathBuf::from("/")));

    let signals = SignalMask::block()?;
    let mut command = Command::new(program);
    command.args(arguments);
    let mask = signals.before();
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(move || become_the_program(&mask)) };
    let child = command.spawn().map_err(|source| KeeperError::Program {
        program: program.to_owned(),
        source,
    })?;
    let child = Pid::from_raw(child.id().cast_signed());
    let code = signals.wait_for(child, |signal| {
        // If it is gone already, there is nobody to tell.
        let _ = nix::sys::signal::kill(child, signal);
    })?;
    if let Some(terminal) = terminal {
        terminal.take_back();
    }
    Ok(code)
}

/// What the child does last before it becomes the program.
fn become_the_program(mask: &SigSet) -> io::Result<()> {
    // A killed `exec` takes its program along.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    mask.thread_set_mask()?;
    Ok(())
}

/// Enters all of them, the user namespace first: it gives the right to enter the others.
fn enter(namespaces: &Namespaces) -> io::Result<()> {
    if let Some(user) = &namespaces.user {
        setns(user, CloneFlags::CLONE_NEWUSER)?;
    }
    setns(&namespaces.mount, CloneFlags::CLONE_NEWNS)?;
    setns(&namespaces.pid, CloneFlags::CLONE_NEWPID)?;
    setns(&namespaces.ipc, CloneFlags::CLONE_NEWIPC)?;
    setns(&namespaces.network, CloneFlags::CLONE_NEWNET)?;
    setns(&namespaces.uts, CloneFlags::CLONE_NEWUTS)?;
    Ok(())
}

/// The terminal, if this process is in its foreground.
struct Terminal(File);

impl Terminal {
    fn ours() -> Option<Self> {
        let terminal = File::options()
            .read(true)
            .write(true)
            .open("/dev/tty")
            .ok()?;
        (tcgetpgrp(&terminal) == Ok(getpgrp())).then_some(Terminal(terminal))
    }

    /// Puts this process group into the foreground again: a shell with job control put its own there and cannot find ours
    /// from within its PID namespace.
    fn take_back(&self) {
        let mut stop: SigSet = SigSet::empty();
        stop.add(Signal::SIGTTOU);
        // Without this a process in the background is stopped for trying.
        if stop.thread_block().is_ok() {
            let _ = tcsetpgrp(&self.0, getpgrp());
            let _ = stop.thread_unblock();
        }
    }
}
