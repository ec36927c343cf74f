//! The end that waits for peers.

use std::io;
use std::net::{IpAddr, TcpListener};

use longhaul_workloads::world::nonce;

use crate::comm::{Comm, Stage};
use crate::error::{Error, system};
use crate::handle::Handle;
use crate::meeting::{Terms, accept};

/// What NCCL holds of it.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    key: u64,
    terms: Terms,
    /// Who has connected; which of them are peers shows when they have greeted.
    meeting: Vec<Comm>,
}

impl Listener {
    /// Listens at the interface's address; answers what the peer is to be told.
    pub(crate) fn new(address: IpAddr, terms: Terms) -> Result<(Self, Handle), Error> {
        let listen = || -> io::Result<_> {
            let listener = TcpListener::bind((address, 0))?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listen().map_err(system(format!("listen at {address}")))?;
        let key = nonce();
        let this = Self {
            listener,
            key,
            terms,
            meeting: Vec::new(),
        };
        Ok((this, Handle { key, address }))
    }

    /// The next peer that has connected and greeted, if there is one.
    pub(crate) fn accept(&mut self) -> Result<Option<Comm>, Error> {
        self.take_connections()?;
        let mut index = 0;
        while let Some(comm) = self.meeting.get(index) {
            match comm.stage() {
                Stage::Opening => index += 1,
                Stage::Open => return Ok(Some(self.meeting.remove(index))),
                Stage::Failed(outcome) => {
                    self.meeting.remove(index);
                    return Err(Error::Told(outcome));
                }
                Stage::Dismissed => {
                    self.meeting.remove(index);
                }
            }
        }
        Ok(None)
    }

    fn take_connections(&mut self) -> Result<(), Error> {
        loop {
            let (stream, peer) = match self.listener.accept() {
                Ok(connected) => connected,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(()),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => continue,
                    _ => return Err(system("accept a connection")(error)),
                },
            };
            let (key, terms) = (self.key, self.terms.clone());
            let name = format!("receiving from {}", peer.ip());
            let comm = Comm::open(name, terms.patience, move |wake| {
                accept(stream, peer, key, terms, wake)
            })?;
            self.meeting.push(comm);
        }
    }
}
