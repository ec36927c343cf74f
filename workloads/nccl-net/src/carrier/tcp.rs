//! By the TCP connection itself: a message's length in 8 bytes, then the message.

use std::io::{self, IoSlice, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use super::{Advance, Carrier, Sleep, Transfer, Wake};
use crate::error::{Error, system};

const HEADER: usize = 8;

/// The sending end.
#[derive(Debug)]
pub(crate) struct Outgoing(Ended);

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Incoming(Ended);

/// One end of the connection.
#[derive(Debug)]
struct Ended {
    stream: TcpStream,
    /// Of the message under way: its length, and how many of these bytes are moved.
    header: [u8; HEADER],
    header_done: usize,
    /// The connection is waited for.
    blocked: bool,
}

impl Outgoing {
    pub(crate) fn new(stream: TcpStream) -> Result<Self, Error> {
        Ended::new(stream).map(Self)
    }
}

impl Incoming {
    pub(crate) fn new(stream: TcpStream) -> Result<Self, Error> {
        Ended::new(stream).map(Self)
    }
}

impl Carrier for Outgoing {
    fn advance(&mut self, transfer: &mut Transfer) -> Result<Advance, Error> {
        let Self(this) = self;
        if this.header_done == 0 {
            this.header = (transfer.memory.len() as u64).to_be_bytes();
        }
        let parts = [
            IoSlice::new(&this.header[this.header_done..]),
            IoSlice::new(&transfer.memory.bytes()[transfer.done..]),
        ];
        // A program that loads this may not have SIGPIPE ignored, and is not to die of it.
        let sent =
            SockRef::from(&this.stream).send_vectored_with_flags(&parts, nix::libc::MSG_NOSIGNAL);
        let Some(sent) = this.moved(sent)? else {
            return Ok(Advance::Blocked);
        };
        let header = sent.min(HEADER - this.header_done);
        this.header_done += header;
        transfer.done += sent - header;
        Ok(this.ended(transfer.done == transfer.memory.len()))
    }

    fn wait(&mut self, wake: &Wake, sleep: Sleep) -> Result<(), Error> {
        self.0.wait(wake, sleep, PollFlags::POLLOUT)
    }
}

impl Carrier for Incoming {
    fn advance(&mut self, transfer: &mut Transfer) -> Result<Advance, Error> {
        let Self(this) = self;
        if this.header_done < HEADER {
            let got = this.stream.read(&mut this.header[this.header_done..]);
            let Some(got) = this.moved(got)? else {
                return Ok(Advance::Blocked);
            };
            if got == 0 {
                return Err(Error::PeerClosed);
            }
            this.header_done += got;
            if this.header_done < HEADER {
                return Ok(Advance::Moved);
            }
        }
        let length = usize::try_from(u64::from_be_bytes(this.header)).unwrap_or(usize::MAX);
        let room = transfer.memory.len();
        let Some(rest) = transfer.memory.bytes_mut().get_mut(transfer.done..length) else {
            return Err(Error::TooLong("a receive", length, room));
        };
        if !rest.is_empty() {
            let got = this.stream.read(rest);
            let Some(got) = this.moved(got)? else {
                return Ok(Advance::Blocked);
            };
            if got == 0 {
                return Err(Error::PeerClosed);
            }
            transfer.done += got;
        }
        Ok(this.ended(transfer.done == length))
    }

    fn wait(&mut self, wake: &Wake, sleep: Sleep) -> Result<(), Error> {
        self.0.wait(wake, sleep, PollFlags::POLLIN)
    }
}

impl Ended {
    fn new(stream: TcpStream) -> Result<Self, Error> {
        stream
            .set_nonblocking(true)
            .map_err(system("use the connection to the peer"))?;
        Ok(Self {
            stream,
            header: [0; HEADER],
            header_done: 0,
            blocked: false,
        })
    }

    /// What the kernel moved; `None` if it can move nothing now.
    fn moved(&mut self, result: io::Result<usize>) -> Result<Option<usize>, Error> {
        self.blocked = false;
        match result {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                    self.blocked = true;
                    Ok(None)
                }
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                    Err(Error::PeerClosed)
                }
                _ => Err(Error::PeerLost(error)),
            },
        }
    }

    /// Whether the message is; the next one has a header of its own.
    fn ended(&mut self, complete: bool) -> Advance {
        if !complete || self.header_done < HEADER {
            return Advance::Moved;
        }
        self.header_done = 0;
        Advance::Complete
    }

    /// Between messages the connection is not looked at: its end would be seen again and again.
    fn wait(&mut self, wake: &Wake, sleep: Sleep, events: PollFlags) -> Result<(), Error> {
        let mut polled = vec![PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
        if self.blocked {
            polled.push(PollFd::new(self.stream.as_fd(), events));
        }
        let timeout = match sleep {
            Sleep::Long => PollTimeout::NONE,
            Sleep::None => PollTimeout::ZERO,
        };
        match poll(&mut polled, timeout) {
            Ok(_) | Err(Errno::EINTR) => {
                wake.clear();
                Ok(())
            }
            Err(errno) => Err(system("wait for the connection to the peer")(errno.into())),
        }
    }
}
