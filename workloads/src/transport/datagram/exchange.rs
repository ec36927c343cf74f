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
