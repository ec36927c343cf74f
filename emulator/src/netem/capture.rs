//! Captures of what channels deliver: what the far gateways' interfaces receive, taken in by a thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::kernel;
use crate::clocks::now;
use crate::engine::EngineError;
use crate::relay::listener::Listener;

/// The thread, until it is dropped: then what has arrived is with the taps.
#[derive(Debug)]
pub(super) struct Capture {
    stop: Arc<EventFd>,
    /// Absent once it was joined.
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Capture {
    /// Begins to take in.
    pub(super) fn start(listeners: Vec<Listener>) -> Result<Self, EngineError> {
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)
            .map_err(|error| kernel("create an eventfd", error.into()))?;
        let stop = Arc::new(stop);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("netem-capture".to_owned())
            .spawn(move || listen(listeners, &stopped))
            .map_err(|error| kernel("start a thread for the capture", error))?;
        Ok(Capture {
            stop,
            thread: Some(thread),
        })
    }

    /// Takes in the last and lets the taps go.
    ///
    /// # Errors
    /// If it had ended early.
    pub(super) fn end(mut self) -> Result<(), EngineError> {
        self.join()
            .map_err(|error| kernel("read from a lane's interface", error))
    }

    fn join(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        self.stop.write(1)?;
        match thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if !std::thread::panicking()
            && let Err(error) = self.join()
        {
            tracing::warn!(%error, "a capture had ended early");
        }
    }
}

fn listen(mut listeners: Vec<Listener>, stop: &EventFd) -> io::Result<()> {
    while !wait(&listeners, stop.as_fd())? {
        for listener in &mut listeners {
            listener.take()?;
        }
    }
    // What arrives from now on is not of the capture: on a busy lane there would be no end to it.
    let stopped = now();
    for listener in &mut listeners {
        while listener.take()? && listener.last_arrival() <= stopped {}
    }
    Ok(())
}

/// Waits until something arrives; answers whether it is time to stop.
fn wait(listeners: &[Listener], stop: BorrowedFd<'_>) -> io::Result<bool> {
    let readable = |socket| PollFd::new(socket, PollFlags::POLLIN);
    let sockets = listeners.iter().flat_map(Listener::sockets);
    let mut watched: Vec<PollFd<'_>> = std::iter::once(stop).chain(sockets).map(readable).collect();
    loop {
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) => return Ok(watched[0].any() == Some(true)),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
