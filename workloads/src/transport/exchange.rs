//! One rank's program carried out over its connections, on one thread.
//!
//! Everything that may run does: each pass makes at most one system call per connection, so none starves another. When
//! nothing moves, the thread sleeps in epoll until a connection can go on or a pause ends.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;

use super::carry::{Carrier, NOTHING_FROM, NOTHING_TAKEN, apply, carry_out};
use super::inbound::{Inbound, Message};
use super::memory::Memory;
use super::mesh::Mesh;
use super::outbound::Outbound;
use super::work::Work;
use super::{ATTENTION, Attendant, Connections, TransportError};
use crate::collective::pauses::Pause;
use crate::collective::progress::Progress;
use crate::collective::schedule::{Action, Apply, destinations, sources};
use crate::world::clock::now_ns;

/// A program about to run.
pub(crate) struct Exchange<'a> {
    mesh: &'a Mesh,
    work: Work<'a>,
    outbound: Vec<Outbound<'a>>,
    inbound: Vec<Inbound<'a>>,
    epoll: Epoll,
}

/// Which connection an epoll event is about.
#[derive(Clone, Copy)]
struct Token {
    way: Way,
    peer: usize,
    lane: usize,
}

#[derive(Clone, Copy)]
enum Way {
    Out,
    In,
}

impl<'a> Exchange<'a> {
    /// Prepares `work`, whose connections are open. `number` counts the exchanges on this mesh, alike on all ranks.
    ///
    /// # Errors
    /// If the system refuses an epoll.
    pub(crate) fn new(mesh: &'a Mesh, work: Work<'a>, number: u32) -> Result<Self, TransportError> {
        let operations = || work.operations.iter().enumerate();
        let outbound = destinations(work.operations).into_iter().map(|peer| {
            let messages = operations().filter_map(|(index, operation)| match &operation.action {
                Action::Send { to, from } if *to == peer => Some((index, work.bytes(index, from))),
                _ => None,
            });
            Outbound::new(peer, number, messages, mesh.outbound(peer))
        });
        let inbound = sources(work.operations).into_iter().map(|peer| {
            let messages = operations().filter_map(|(index, operation)| match &operation.action {
                Action::Receive { from, into, apply } if *from == peer => Some(Message {
                    operation: index,
                    bytes: work.bytes(index, into),
                    stored: *apply == Apply::Store,
                }),
                _ => None,
            });
            Inbound::new(peer, number, messages, mesh.inbound(peer))
        });
        let mut exchange = Self {
            mesh,
            work,
            outbound: outbound.collect(),
            inbound: inbound.collect(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(epoll_failed)?,
        };
        exchange.watch().map_err(epoll_failed)?;
        Ok(exchange)
    }

    /// Runs the program to its end, and tells of its pauses.
    ///
    /// # Errors
    /// If a peer is lost, or nothing moves for `patience` while no pause is under way.
    pub(crate) fn run(
        mut self,
        memory: &mut Memory,
        patience: Duration,
        attendant: &mut dyn Attendant,
    ) -> Result<Vec<Pause>, TransportError> {
        carry_out(self.work, &mut self, memory, patience, attendant)
    }

    /// Registers every connection: what is sent on by edges, and what is received from once each time that it is asked for.
    fn watch(&mut self) -> nix::Result<()> {
        for (peer, outbound) in self.outbound.iter().enumerate() {
            for (lane, stream) in self.mesh.outbound(outbound.peer).into_iter().enumerate() {
                let token = Token {
                    way: Way::Out,
                    peer,
                    lane,
                };
                let interest = EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
                self.epoll
                    .add(stream, EpollEvent::new(interest, token.encode()))?;
            }
        }
        for (peer, inbound) in self.inbound.iter().enumerate() {
            for (lane, stream) in self.mesh.inbound(inbound.peer).into_iter().enumerate() {
                self.epoll.add(stream, incoming(peer, lane))?;
            }
        }
        Ok(())
    }
}

impl Carrier for Exchange<'_> {
    fn now_ns(&mut self) -> u64 {
        now_ns()
    }

    fn pass(
        &mut self,
        progress: &mut Progress,
        memory: &mut Memory,
    ) -> Result<bool, TransportError> {
        let mut moved = false;
        let mut sent = Vec::new();
        for outbound in &mut self.outbound {
            let ready = |operation| progress.is_ready(operation);
            moved |= outbound.pump(memory.bytes(), ready, &mut sent)?;
        }
        for operation in sent {
            progress.finish(operation);
        }
        let (work, epoll) = (self.work, &self.epoll);
        for (peer, inbound) in self.inbound.iter_mut().enumerate() {
            moved |= inbound.pump(
                memory,
                |operation| progress.is_ready(operation),
                |lane, stream| Ok(epoll.modify(stream, &mut incoming(peer, lane))?),
            )?;
            let mut applied = Vec::new();
            moved |= inbound.settle(
                |operation| progress.is_ready(operation),
                |operation, received| {
                    if let Some(received) = received {
                        apply(work, operation, memory, received);
                    }
                    applied.push(operation);
                },
            );
            for operation in applied {
                progress.finish(operation);
            }
        }
        Ok(moved)
    }

    /// A pass tells of every byte.
    fn under_way(&self) -> u64 {
        0
    }

    /// Each pass tries every connection that may go on.
    fn look(&mut self) -> Result<(), TransportError> {
        Ok(())
    }

    fn wait(&mut self, most: Option<Duration>) -> Result<(), TransportError> {
        let mut events = [EpollEvent::empty(); 64];
        let mut timeout = EpollTimeout::try_from(ATTENTION).unwrap_or(EpollTimeout::NONE);
        if let Some(most) = most {
            // epoll counts milliseconds.
            let mut polled = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
            let within = TimeSpec::from(most.min(ATTENTION));
            match ppoll(&mut polled, Some(within), None) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => timeout = EpollTimeout::ZERO,
                Err(errno) => return Err(epoll_failed(errno)),
            }
        }
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(errno) => return Err(epoll_failed(errno)),
        };
        let closing = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        for event in &events[..count] {
            let token = Token::decode(event.data());
            match token.way {
                Way::Out => self.outbound[token.peer].unblock(token.lane),
                Way::In => {
                    let closing = event.events().intersects(closing);
                    self.inbound[token.peer].unblock(token.lane, closing);
                }
            }
        }
        Ok(())
    }

    fn waits_for(&self) -> Option<(usize, &'static str)> {
        let unheard = self.inbound.iter().find(|inbound| inbound.is_waiting());
        let unsent = self.outbound.iter().find(|outbound| outbound.is_waiting());
        unheard
            .map(|inbound| (inbound.peer, NOTHING_FROM))
            .or_else(|| unsent.map(|outbound| (outbound.peer, NOTHING_TAKEN)))
    }

    fn connections(&self) -> &dyn Connections {
        self.mesh
    }
}

/// One event when there is enough to receive, or never will be.
fn incoming(peer: usize, lane: usize) -> EpollEvent {
    let token = Token {
        way: Way::In,
        peer,
        lane,
    };
    let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLONESHOT;
    EpollEvent::new(interest, token.encode())
}

impl Token {
    fn encode(self) -> u64 {
        let way = match self.way {
            Way::Out => 0,
            Way::In => 1,
        };
        way << 63 | (self.peer as u64) << 32 | self.lane as u64
    }

    fn decode(data: u64) -> Self {
        let way = if data >> 63 == 0 { Way::Out } else { Way::In };
        Self {
            way,
            peer: (data >> 32 & 0x7FFF_FFFF) as usize,
            lane: (data & 0xFFFF_FFFF) as usize,
        }
    }
}

fn epoll_failed(errno: nix::errno::Errno) -> TransportError {
    TransportError::System {
        step: "wait on connections with epoll".into(),
        source: io::Error::from(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use longhaul_reports::result::Placement;

    use super::super::mesh::tests::{Alone, pair};
    use super::super::work::Arithmetic;
    use super::*;
    use crate::collective::schedule::{Program, Shape};
    use crate::collective::{Algorithm, Collective, DataType, ReduceOp};

    const PATIENCE: Duration = Duration::from_millis(300);

    /// The receiver's half of a broadcast from rank 0 to rank 1.
    fn receiver_program() -> Program {
        let shape = Shape {
            collective: Collective::Broadcast,
            algorithm: Algorithm::Ring,
            sites: vec![0; 2],
            count: 100,
            chunk: 30,
            root: 0,
            placement: Placement::OutOfPlace,
        };
        shape.program(1).unwrap()
    }

    fn receive(mesh: &Mesh) -> Result<(), TransportError> {
        let program = receiver_program();
        let mut memory = Memory::default();
        memory.resize(program.layout.len() * 4);
        let work = Work {
            operations: &program.operations,
            arithmetic: Arithmetic::Same(DataType::F32, ReduceOp::Sum),
        };
        let exchange = Exchange::new(mesh, work, 5)?;
        exchange.run(&mut memory, PATIENCE, &mut Alone).map(drop)
    }

    #[test]
    fn a_connection_out_of_step_is_noticed() {
        let (sender, receiver) = pair();
        sender.outbound(1)[0].write_all(&[7; 64]).unwrap();
        let error = receive(&receiver).unwrap_err();
        assert!(
            matches!(&error, TransportError::OutOfStep { peer: 0, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_peer_that_closes_is_named() {
        let (sender, receiver) = pair();
        drop(sender);
        let error = receive(&receiver).unwrap_err();
        assert!(
            matches!(&error, TransportError::Lost { peer: 0, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_peer_that_sends_nothing_is_named() {
        let (_sender, receiver) = pair();
        let error = receive(&receiver).unwrap_err();
        assert!(
            error.to_string().starts_with("nothing from rank 0 for 0."),
            "{error}"
        );
    }
}
