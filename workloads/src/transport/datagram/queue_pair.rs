//! One queue pair by itself, for programs that carry messages of their own and not a collective's.
//!
//! The two ends agree on a nonce and tell each other their addresses by a way of their own, a TCP connection for instance.
//! Neither has a thread: their program calls [`SendingEnd::turn`] and [`SendingEnd::wait`] by turns.

use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::endpoint::Endpoint;
use crate::transport::{Attendant, Connections, TransportError};
use crate::world::MessageOptions;

/// Why a queue pair failed.
#[derive(Debug, thiserror::Error)]
pub enum QueuePairError {
    /// The system refused a step.
    #[error("cannot {step}: {source}")]
    System {
        /// What was attempted, on what.
        step: String,
        /// What the system answered.
        source: io::Error,
    },
    /// The peer's end is gone, or not what was agreed on.
    #[error("lost the peer: {source}")]
    Lost {
        /// What was seen.
        source: io::Error,
    },
    /// The peer's end says nothing.
    #[error(
        "nothing from the peer for {:.1} s: see that UDP passes between the two hosts",
        .0.as_secs_f64()
    )]
    Silent(Duration),
}

/// One end of a queue pair: [`SendingEnd`] or [`ReceivingEnd`].
#[derive(Debug)]
pub struct End<S> {
    endpoint: Endpoint,
    side: PhantomData<S>,
}

/// The end that sends messages.
pub type SendingEnd = End<Sending>;

/// The end that messages come to.
pub type ReceivingEnd = End<Receiving>;

/// Marks a [`SendingEnd`].
#[derive(Debug)]
pub enum Sending {}

/// Marks a [`ReceivingEnd`].
#[derive(Debug)]
pub enum Receiving {}

/// Which end.
pub trait Side {
    /// What it is called in packets.
    const RANK: usize;
}

impl Side for Sending {
    const RANK: usize = 0;
}

impl Side for Receiving {
    const RANK: usize = 1;
}

impl<S: Side> End<S> {
    /// Opens UDP ports on `address` for messages of at most `most_message` bytes. `nonce`, `most_message` and, but for the
    /// congestion control, `options` are those of the other end.
    ///
    /// # Errors
    /// If the address is not this host's.
    pub fn open(
        address: IpAddr,
        nonce: u64,
        options: MessageOptions,
        most_message: usize,
    ) -> Result<Self, QueuePairError> {
        Ok(Self {
            endpoint: Endpoint::open(S::RANK, address, nonce, options, most_message)?,
            side: PhantomData,
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// Receives what the last look saw, does what timers ask for, sends.
    ///
    /// # Errors
    /// If the peer has vanished or the system refuses.
    pub fn turn(&mut self) -> Result<(), QueuePairError> {
        Ok(self.endpoint.turn()?)
    }

    /// Sleeps until something is to be done or `other` can be read, which it tells; a tenth of a second at most.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn wait(&mut self, other: BorrowedFd<'_>) -> Result<bool, QueuePairError> {
        Ok(self.endpoint.wait(Some(other))?)
    }

    /// As [`Self::wait`], without sleeping.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn look(&mut self, other: BorrowedFd<'_>) -> Result<bool, QueuePairError> {
        Ok(self.endpoint.look(Duration::ZERO, Some(other))?)
    }
}

impl SendingEnd {
    /// Greets the other end at `peer`, and waits until it has answered. It counts as gone after `patience`, now and later.
    ///
    /// # Errors
    /// If it does not answer, or was given other options.
    pub fn connect(&mut self, peer: SocketAddr, patience: Duration) -> Result<(), QueuePairError> {
        self.endpoint.set_peers(vec![self.address(), peer]);
        let to = [Receiving::RANK];
        Ok(self.endpoint.connect(&to, &[], patience, &mut Nobody)?)
    }

    /// Sends a copy of `message`, if there is room for it; tells whether there was. What waits to be sent is as much as the
    /// congestion control lets be under way, or a little.
    ///
    /// # Panics
    /// If the message is longer than was agreed on.
    pub fn send(&mut self, message: &[u8]) -> bool {
        let room = self.endpoint.has_room(Receiving::RANK);
        if room {
            self.endpoint.send(Receiving::RANK, message);
        }
        room
    }

    /// Whether all messages have arrived.
    pub fn is_drained(&self) -> bool {
        self.endpoint.is_drained()
    }

    /// Bytes that have arrived so far, as packets count them.
    pub fn arrived(&self) -> u64 {
        let sender = self.endpoint.outgoing.get(&Receiving::RANK);
        sender.map_or(0, |sender| sender.totals().arrived)
    }
}

impl ReceivingEnd {
    /// Waits until the other end, at `peer`, has greeted.
    ///
    /// # Errors
    /// If it has not within `patience`.
    pub fn accept(&mut self, peer: SocketAddr, patience: Duration) -> Result<(), QueuePairError> {
        self.endpoint.set_peers(vec![peer, self.address()]);
        let from = [Sending::RANK];
        Ok(self.endpoint.connect(&[], &from, patience, &mut Nobody)?)
    }

    /// Hands the next message, in the order of sending, to `apply` if it is whole; tells whether it was.
    pub fn take(&mut self, apply: impl FnOnce(&[u8])) -> bool {
        let next = self.endpoint.used(Sending::RANK);
        let wanted = |message| message == next;
        self.endpoint
            .take(Sending::RANK, wanted, |_, message| apply(message))
    }
}

/// Nobody looks at these connections.
struct Nobody;

impl Attendant for Nobody {
    fn attend(&mut self, _: u64, _: &dyn Connections) {}
}

impl From<TransportError> for QueuePairError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::System { step, source } => Self::System { step, source },
            TransportError::Unreachable { source, .. } | TransportError::Lost { source, .. } => {
                Self::Lost { source }
            }
            TransportError::Stalled { waited, .. } => Self::Silent(waited),
            error @ TransportError::OutOfStep { .. } => Self::Lost {
                source: io::Error::other(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::os::fd::AsFd;
    use std::thread;

    use super::*;
    use crate::congestion::Law;
    use crate::message::{Paths, Recovery};

    const PATIENCE: Duration = Duration::from_secs(10);
    const MOST: usize = 100_000;

    fn options() -> MessageOptions {
        MessageOptions {
            law: Law::Distance(Default::default()),
            line_rate: None,
            recovery: Recovery::SelectiveRepeat,
            erasure: None,
            paths: Paths::default(),
            mtu: None,
            hops: 0,
            credits: None,
            playout: None,
            ports: None,
        }
    }

    #[test]
    fn messages_of_any_size_arrive_in_order() {
        let address = Ipv4Addr::LOCALHOST.into();
        let mut sending = SendingEnd::open(address, 7, options(), MOST).unwrap();
        let mut receiving = ReceivingEnd::open(address, 7, options(), MOST).unwrap();
        let (from, to) = (sending.address(), receiving.address());
        let sizes = [0, 1, 0, MOST, 8192, 0, MOST - 1];
        let (pipe, _held) = nix::unistd::pipe().unwrap();
        let sender = thread::spawn(move || {
            sending.connect(to, PATIENCE).unwrap();
            for (index, size) in sizes.into_iter().enumerate() {
                while !sending.send(&vec![index as u8; size]) {
                    sending.turn().unwrap();
                    sending.wait(pipe.as_fd()).unwrap();
                }
            }
            while !sending.is_drained() {
                sending.turn().unwrap();
                sending.wait(pipe.as_fd()).unwrap();
            }
        });
        receiving.accept(from, PATIENCE).unwrap();
        let (pipe, _held) = nix::unistd::pipe().unwrap();
        let mut got = Vec::new();
        while !(got.len() == sizes.len() && sender.is_finished()) {
            receiving.turn().unwrap();
            while receiving.take(|message| got.push(message.to_vec())) {}
            receiving.wait(pipe.as_fd()).unwrap();
        }
        sender.join().unwrap();
        for (index, (message, size)) in got.iter().zip(sizes).enumerate() {
            assert_eq!(message, &vec![index as u8; size]);
        }
    }

    #[test]
    fn ends_of_other_sizes_do_not_meet() {
        let address = Ipv4Addr::LOCALHOST.into();
        let mut sending = SendingEnd::open(address, 7, options(), MOST).unwrap();
        let mut receiving = ReceivingEnd::open(address, 7, options(), MOST + 1).unwrap();
        let (from, to) = (sending.address(), receiving.address());
        let sender = thread::spawn(move || sending.connect(to, PATIENCE));
        receiving.accept(from, PATIENCE).unwrap();
        while !sender.is_finished() {
            receiving.turn().unwrap();
            receiving.endpoint.wait(None).unwrap();
        }
        let error = sender.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("other transport settings"), "{error}");
    }
}
