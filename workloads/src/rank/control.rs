//! A rank's end of the control connection.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use longhaul_emulator::physical::streams;

use crate::world::protocol::{HEARTBEAT, Reply, Request};

/// Reads requests, sends replies. From a request to its end, a thread of its own says that the rank is at work, whatever
/// keeps it; and ends the process when the world is gone.
pub(super) struct Control {
    reader: BufReader<File>,
    shared: Arc<Shared>,
}

/// What the two threads share.
struct Shared {
    /// Locked for the length of a line, so that lines stay whole.
    writer: Mutex<File>,
    /// The same as the reader's, to see that it has ended.
    input: File,
    at_work: AtomicBool,
}

impl Control {
    /// The connection this process was started with: its standard input and output, which nothing else in it has from now on.
    pub(super) fn inherited() -> Result<Self, String> {
        let cannot = |error| format!("cannot use the control connection: {error}");
        let (input, output) = streams::take().map_err(cannot)?;
        let shared = Arc::new(Shared {
            writer: Mutex::new(output),
            input: input.try_clone().map_err(cannot)?,
            at_work: AtomicBool::new(false),
        });
        let heart = Arc::clone(&shared);
        thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || heart.beat())
            .map_err(|error| format!("cannot start the heartbeat's thread: {error}"))?;
        Ok(Self {
            reader: BufReader::new(input),
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
                && (streams::has_ended(&self.input) || self.send(&Reply::Alive).is_err())
            {
                // Nobody is left to work for, and the other thread may be busy for long.
                std::process::exit(0);
            }
        }
    }
}
