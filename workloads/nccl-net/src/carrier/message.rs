//! By queue pairs, with the TCP connection beside them: its end shows at once that the peer's has come.
//!
//! A message goes as pieces of [`PIECE`] bytes, each a message of the queue pair; the last one is shorter, and may be empty. One that
//! is sent is done when it has been copied: the queue pair keeps it until it has arrived. So NCCL's own buffers bound neither what
//! is under way nor the rate over a long way, as far as the congestion control lets go.

use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use longhaul_workloads::{ReceivingEnd, SendingEnd};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::{Advance, Carrier, Sleep, Transfer, Wake};
use crate::error::{Error, system};

/// Bytes of a whole piece. The queue pair's bound is one of messages, so pieces are to be large; and no power of two, as NCCL's
/// own sizes are, which would need an empty piece each to end them.
pub(crate) const PIECE: usize = (256 << 10) + (1 << 10);

/// The sending end.
#[derive(Debug)]
pub(crate) struct Outgoing {
    end: SendingEnd,
    connection: Connection,
    arrived: u64,
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Incoming {
    end: ReceivingEnd,
    connection: Connection,
}

/// The TCP connection, over which nothing comes but its end.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Readable when the connection or the wake is.
    either: Epoll,
    closed: bool,
}

impl Outgoing {
    pub(crate) fn new(end: SendingEnd, connection: Connection) -> Self {
        Self {
            end,
            connection,
            arrived: 0,
        }
    }
}

impl Carrier for Outgoing {
    fn turn(&mut self) -> Result<(), Error> {
        if self.connection.closed {
            return Err(Error::PeerClosed);
        }
        Ok(self.end.turn()?)
    }

    fn advance(&mut self, transfer: &mut Transfer) -> Result<Advance, Error> {
        let rest = &transfer.memory.bytes()[transfer.done..];
        let piece = &rest[..rest.len().min(PIECE)];
        if !self.end.send(piece) {
            return Ok(Advance::Blocked);
        }
        transfer.done += piece.len();
        Ok(ended(piece.len()))
    }

    fn wait(&mut self, wake: &Wake, sleep: Sleep) -> Result<(), Error> {
        let woken = match sleep {
            Sleep::Long => self.end.wait(self.connection.as_fd()),
            Sleep::None => self.end.look(self.connection.as_fd()),
        };
        self.arrived = self.end.arrived();
        self.connection.woken(woken?, wake)
    }

    fn lingering(&self) -> Option<u64> {
        (!self.end.is_drained()).then_some(self.arrived)
    }
}

impl Incoming {
    pub(crate) fn new(end: ReceivingEnd, connection: Connection) -> Self {
        Self { end, connection }
    }
}

impl Carrier for Incoming {
    fn turn(&mut self) -> Result<(), Error> {
        Ok(self.end.turn()?)
    }

    fn advance(&mut self, transfer: &mut Transfer) -> Result<Advance, Error> {
        let mut advance = Ok(Advance::Blocked);
        self.end.take(|piece| {
            let room = transfer.memory.len();
            let end = transfer.done + piece.len();
            match transfer.memory.bytes_mut().get_mut(transfer.done..end) {
                Some(place) => {
                    place.copy_from_slice(piece);
                    transfer.done = end;
                    advance = Ok(ended(piece.len()));
                }
                None => advance = Err(Error::TooLong("a receive", end, room)),
            }
        });
        // What came before the end is used first.
        match advance {
            Ok(Advance::Blocked) if self.connection.closed => Err(Error::PeerClosed),
            advance => advance,
        }
    }

    fn wait(&mut self, wake: &Wake, sleep: Sleep) -> Result<(), Error> {
        let woken = match sleep {
            Sleep::Long => self.end.wait(self.connection.as_fd()),
            Sleep::None => self.end.look(self.connection.as_fd()),
        };
        self.connection.woken(woken?, wake)
    }
}

/// After a piece of so many bytes.
fn ended(piece: usize) -> Advance {
    match piece < PIECE {
        true => Advance::Complete,
        false => Advance::Moved,
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, wake: &Wake) -> Result<Self, Error> {
        let watch = || -> io::Result<Epoll> {
            stream.set_nonblocking(true)?;
            let either = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            either.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
            either.add(wake, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
            Ok(either)
        };
        let either = watch().map_err(system("watch the connection to the peer"))?;
        Ok(Self {
            stream,
            either,
            closed: false,
        })
    }

    /// The sleep is over; `woken` if this was why.
    fn woken(&mut self, woken: bool, wake: &Wake) -> Result<(), Error> {
        if !woken {
            return Ok(());
        }
        wake.clear();
        if self.closed {
            return Ok(());
        }
        match self.stream.read(&mut [0]) {
            Ok(0) => {
                self.closed = true;
                // Its end stays readable.
                self.either
                    .delete(&self.stream)
                    .map_err(|errno| system("watch the connection to the peer")(errno.into()))
            }
            Ok(_) => Err(Error::PeerLost(io::ErrorKind::InvalidData.into())),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
                _ => Err(Error::PeerLost(error)),
            },
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.either.0.as_fd()
    }
}
