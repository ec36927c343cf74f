//! A rank's end of the control connection.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::socket::{MsgFlags, recv};

use crate::world::protocol::{CONTROL_VARIABLE, HEARTBEAT, Reply, Request};

/// Reads requests, sends replies. From a request to its end, a thread of its own says that the rank is at work, whatever
/// keeps it; and ends the process when the world is gone.
pub(super) struct Control {
    reader: BufReader<UnixStream>,
    shared: Arc<Shared>,
}

/// What the two threads share.
struct Shared {
    /// Locked for the length of a line, so that lines stay whole.
    writer: Mutex<UnixStream>,
    at_work: AtomicBool,
}

impl Control {
    /// The connection this process was started with.
    pub(super) fn inherited() -> Result<Self, String> {
        let usage = format!(
            "a rank is started by longhaul itself, with {CONTROL_VARIABLE} naming an open socket"
        );
        let fd: RawFd = std::env::var(CONTROL_VARIABLE)
            .ok()
            .and_then(|fd| fd.parse().ok())
            .ok_or(usage.clone())?;
        // SAFETY: fcntl only looks the number up.
        let is_open = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } != -1;
        if fd <= libc::STDERR_FILENO || !is_open {
            return Err(usage);
        }
        // SAFETY: the descriptor is open, and this process was given it to own: nothing else in it uses that number.
        let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
        let writer = stream
            .try_clone()
            .map_err(|error| format!("cannot use the control connection: {error}"))?;
        let shared = Arc::new(Shared {
            writer: Mutex::new(writer),
            at_work: AtomicBool::new(false),
        });
        let heart = Arc::clone(&shared);
        thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || heart.beat())
            .map_err(|error| format!("cannot start the heartbeat's thread: {error}"))?;
        Ok(Self {
            reader: BufReader::new(stream),
            shared,
        })
    }

    /// What becomes readable with the next request; `None` if that has come already.
    pub(super) fn awaited(&self) -> Option<BorrowedFd<'_>> {
        self.reader
            .buffer()
            .is_empty()
            .then(|| self.reader.get_ref().as_fd())
    }

    /// The next request; `None` when the world has closed the connection.
    pub(super) fn next_request(&mut self) -> io::Result<Option<Request>> {
        self.shared.at_work.store(false, Ordering::Relaxed);
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        self.shared.at_work.store(true, Ordering::Relaxed);
        Ok(Some(serde_json::from_str(&line)?))
    }

    pub(super) fn send(&mut self, reply: &Reply) -> io::Result<()> {
        self.shared.send(reply)
    }
}

impl Shared {
    fn send(&self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        self.writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&line)
    }

    /// The heartbeat thread's body.
    fn beat(&self) {
        loop {
            thread::sleep(HEARTBEAT);
            if self.at_work.load(Ordering::Relaxed)
                && (self.is_closed() || self.send(&Reply::Alive).is_err())
            {
                // Nobody is left to work for, and the other thread may be busy for long.
                std::process::exit(0);
            }
        }
    }

    /// Whether the world has closed the connection.
    fn is_closed(&self) -> bool {
        let fd = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_raw_fd();
        recv(fd, &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) == Ok(0)
    }
}
