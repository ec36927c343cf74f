//! One rank's program carried out over its queue pairs.
//!
//! A send is finished when its message has been copied: the queue pair keeps it until it has arrived. Messages count over the
//! life of a queue pair; those of a program follow the ones before it, as both ends run the same programs in the same order.

use std::time::Duration;

use super::endpoint::Endpoint;
use crate::collective::pauses::Pause;
use crate::collective::progress::Progress;
use crate::collective::schedule::{Action, destinations, sources};
use crate::transport::carry::{Carrier, NOTHING_FROM, NOTHING_TAKEN, apply, carry_out};
use crate::transport::memory::Memory;
use crate::transport::work::Work;
use crate::transport::{ATTENTION, Attendant, Connections, TransportError};

/// A program about to run.
pub(crate) struct Exchange<'a> {
    endpoint: &'a mut Endpoint,
    work: Work<'a>,
    outbound: Vec<Outbound>,
    inbound: Vec<Inbound>,
}

/// The operations that send to one peer, and how many are done.
struct Outbound {
    peer: usize,
    operations: Vec<usize>,
    done: usize,
}

/// The operations that receive from one peer, the number of the first one's message, and how many are done.
struct Inbound {
    peer: usize,
    operations: Vec<usize>,
    first: u64,
    done: usize,
}

impl<'a> Exchange<'a> {
    /// Prepares `work`, whose queue pairs are open.
    pub(crate) fn new(endpoint: &'a mut Endpoint, work: Work<'a>) -> Self {
        let those = |wanted: &dyn Fn(&Action) -> bool| -> Vec<usize> {
            let operations = work.operations.iter().enumerate();
            let wanted = operations.filter(|(_, operation)| wanted(&operation.action));
            wanted.map(|(index, _)| index).collect()
        };
        let outbound = destinations(work.operations)
            .into_iter()
            .map(|peer| Outbound {
                peer,
                operations: those(
                    &|action| matches!(action, Action::Send { to, .. } if *to == peer),
                ),
                done: 0,
            });
        let inbound = sources(work.operations).into_iter().map(|peer| Inbound {
            peer,
            operations: those(
                &|action| matches!(action, Action::Receive { from, .. } if *from == peer),
            ),
            first: endpoint.used(peer),
            done: 0,
        });
        Self {
            outbound: outbound.collect(),
            inbound: inbound.collect(),
            endpoint,
            work,
        }
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
        // The thread slept until the program's beginning.
        self.endpoint.slept();
        // A message that is whole waits for its playout: that is no silence.
        let patience = patience.saturating_add(self.endpoint.playout());
        let pauses = carry_out(self.work, &mut self, memory, patience, attendant)?;
        // What was handed over last leaves.
        self.endpoint.turn()?;
        Ok(pauses)
    }

    /// Hands over messages that are ready, in the program's order, as far as there is room.
    fn send(&mut self, progress: &mut Progress, memory: &Memory) -> bool {
        let mut moved = false;
        for outbound in &mut self.outbound {
            while let Some(&operation) = outbound.operations.get(outbound.done)
                && progress.is_ready(operation)
                && self.endpoint.has_room(outbound.peer)
            {
                if let Action::Send { from, .. } = &self.work.operations[operation].action {
                    let bytes = &memory.bytes()[self.work.bytes(operation, from)];
                    self.endpoint.send(outbound.peer, bytes);
                }
                progress.finish(operation);
                outbound.done += 1;
                moved = true;
            }
        }
        moved
    }

    /// Uses messages that have come and whose operations are ready.
    fn receive(
        &mut self,
        progress: &mut Progress,
        memory: &mut Memory,
    ) -> Result<bool, TransportError> {
        let mut moved = false;
        for inbound in &mut self.inbound {
            let operation_of = |message: u64| -> Option<usize> {
                let index = message.checked_sub(inbound.first)?;
                inbound.operations.get(index as usize).copied()
            };
            loop {
                let ready = |message| {
                    operation_of(message).is_some_and(|operation| progress.is_ready(operation))
                };
                let mut used = None;
                let work = self.work;
                self.endpoint.take(inbound.peer, ready, |message, bytes| {
                    if let Some(operation) = operation_of(message) {
                        used = Some((operation, check(inbound.peer, work, operation, bytes)));
                        if let Some((_, Ok(()))) = used {
                            apply(work, operation, memory, bytes);
                        }
                    }
                });
                let Some((operation, checked)) = used else {
                    break;
                };
                checked?;
                progress.finish(operation);
                inbound.done += 1;
                moved = true;
            }
        }
        Ok(moved)
    }
}

impl Carrier for Exchange<'_> {
    fn now_ns(&mut self) -> u64 {
        self.endpoint.now().as_nanos()
    }

    fn pass(
        &mut self,
        progress: &mut Progress,
        memory: &mut Memory,
    ) -> Result<bool, TransportError> {
        self.endpoint.turn()?;
        Ok(self.send(progress, memory) | self.receive(progress, memory)?)
    }

    fn under_way(&self) -> u64 {
        self.endpoint.pieces_moved()
    }

    fn look(&mut self) -> Result<(), TransportError> {
        self.endpoint.look(Duration::ZERO, None).map(drop)
    }

    fn wait(&mut self, most: Option<Duration>) -> Result<(), TransportError> {
        let most = most.unwrap_or(ATTENTION);
        self.endpoint.wait_at_most(most, None).map(drop)
    }

    fn waits_for(&self) -> Option<(usize, &'static str)> {
        let mut inbound = self.inbound.iter();
        let unheard = inbound.find(|inbound| inbound.done < inbound.operations.len());
        let mut outbound = self.outbound.iter();
        let unsent = outbound.find(|outbound| outbound.done < outbound.operations.len());
        unheard
            .map(|inbound| (inbound.peer, NOTHING_FROM))
            .or_else(|| unsent.map(|outbound| (outbound.peer, NOTHING_TAKEN)))
    }

    fn connections(&self) -> &dyn Connections {
        self.endpoint
    }
}

/// A message is as long as the schedule says.
fn check(
    peer: usize,
    work: Work<'_>,
    operation: usize,
    bytes: &[u8],
) -> Result<(), TransportError> {
    let Action::Receive { into, .. } = &work.operations[operation].action else {
        return Ok(());
    };
    let expected = work.bytes(operation, into).len();
    match bytes.len() == expected {
        true => Ok(()),
        false => Err(TransportError::OutOfStep {
            peer,
            expected: format!("{expected} B"),
            got: format!("{} B", bytes.len()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::thread;

    use longhaul_reports::result::Placement;
    use longhaul_topologies::units::{ByteSize, Rate};

    use super::*;
    use crate::collective::schedule::Shape;
    use crate::collective::{Algorithm, Collective, DataType, ReduceOp};
    use crate::congestion::{FixedWindow, Law};
    use crate::message::{Paths, Recovery};
    use crate::transport::mesh::tests::Alone;
    use crate::transport::work::Arithmetic;
    use crate::world::MessageOptions;

    const PATIENCE: Duration = Duration::from_millis(500);
    const CONNECTING: Duration = Duration::from_secs(10);

    fn options() -> MessageOptions {
        MessageOptions {
            law: Law::FixedWindow(FixedWindow {
                window: ByteSize::from_bytes(100_000),
            }),
            line_rate: None,
            recovery: Recovery::SelectiveRepeat,
            erasure: None,
            paths: Paths::default(),
            mtu: Some(1500),
            hops: 0,
            credits: None,
            playout: None,
            ports: None,
        }
    }

    /// A broadcast of so many messages of so many bytes from rank 0 to rank 1: what became of it on each.
    fn broadcast(
        options: &MessageOptions,
        messages: usize,
        bytes: usize,
    ) -> [Result<(), TransportError>; 2] {
        let shape = Shape {
            collective: Collective::Broadcast,
            algorithm: Algorithm::Ring,
            sites: vec![0; 2],
            count: messages * bytes / 4,
            chunk: bytes / 4,
            root: 0,
            placement: Placement::InPlace,
        };
        let address = Ipv4Addr::LOCALHOST.into();
        let open = |rank| Endpoint::open(rank, address, 7, options.clone(), bytes).unwrap();
        let (mut first, mut second) = (open(0), open(1));
        let peers = vec![first.address(), second.address()];
        for endpoint in [&mut first, &mut second] {
            endpoint.set_peers(peers.clone());
        }
        let run = |endpoint: &mut Endpoint, rank: usize| {
            let program = shape.program(rank).unwrap();
            let (to, from) = (
                destinations(&program.operations),
                sources(&program.operations),
            );
            endpoint.connect(&to, &from, CONNECTING, &mut Alone)?;
            let mut memory = Memory::default();
            memory.resize(program.layout.len() * 4);
            let work = Work {
                operations: &program.operations,
                arithmetic: Arithmetic::Same(DataType::F32, ReduceOp::Sum),
            };
            Exchange::new(endpoint, work).run(&mut memory, PATIENCE, &mut Alone)?;
            while !endpoint.is_drained() {
                endpoint.turn()?;
                endpoint.wait(None)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let sender = scope.spawn(|| run(&mut first, 0));
            let received = run(&mut second, 1);
            while !sender.is_finished() && second.turn().is_ok() {
                second.wait(None).unwrap();
            }
            [sender.join().unwrap(), received]
        })
    }

    #[test]
    fn a_message_that_takes_longer_than_the_patience_is_waited_for_while_it_comes() {
        let slow = MessageOptions {
            line_rate: Some(Rate::from_bits_per_second(32_000_000)),
            ..options()
        };
        // A second for each; the sender has no room for the second before most of the first has left.
        let ends = broadcast(&slow, 2, 4_000_000);
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    }

    #[test]
    fn a_message_that_waits_for_its_playout_is_no_silence() {
        let held = MessageOptions {
            playout: Some(PATIENCE * 2),
            ..options()
        };
        let ends = broadcast(&held, 1, 1000);
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    }
}
