//! A rank's end of the control connection.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::sys::socket::{MsgFlags, recv};

use crate::world::protocol::{CONTROL_VARIABLE, HEARTBEAT, Reply, Request};

/// Reads requests, sends replies.
pub(super) struct Control {
    reader: BufReader<UnixStream>,
    last_reply: Instant,
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
        if fd <= libc::STDERR_FILENO
            || unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == -1
        {
            return Err(usage);
        }
        // SAFETY: the descriptor is open, and this process was given it to own: nothing else in it uses that number.
        let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Self {
            reader: BufReader::new(stream),
            last_reply: Instant::now(),
        })
    }

    /// The next request; `None` when the world has closed the connection.
    pub(super) fn next_request(&mut self) -> io::Result<Option<Request>> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }

    pub(super) fn send(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        self.last_reply = Instant::now();
        self.reader.get_mut().write_all(&line)
    }

    /// Says that the rank is at work, if it has not said anything for a while.
    pub(super) fn beat(&mut self) -> io::Result<()> {
        if self.last_reply.elapsed() < HEARTBEAT {
            Ok(())
        } else {
            self.send(&Reply::Alive)
        }
    }

    /// Whether the world has closed the connection.
    pub(super) fn is_closed(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        !matches!(
            recv(self.reader.get_ref().as_raw_fd(), &mut [0], flags),
            Ok(1) | Err(nix::errno::Errno::EAGAIN)
        )
    }
}
