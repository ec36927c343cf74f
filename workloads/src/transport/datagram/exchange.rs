//! One rank's program carried out over its queue pairs.
//!
//! A send is finished when its message has been copied: the queue pair keeps it until it has arrived. Messages count over the
//! life of a queue pair; those of a program follow the ones before it, as both ends run the same programs in the same order.

use std::time::Duration;

use super::endpoint::Endpoint;
use crate::collective::pauses::{Pause, Pauses};
use crate::collective::progress::Progress;
use crate::collective::schedule::{Action, destinations, sources};
use crate::transport::exchange::{apply, copy};
use crate::transport::memory::Memory;
use crate::transport::work::Work;
use crate::transport::{ATTENTION, Attendant, TransportError};

/// A program about to run.
pub(crate) struct Exchange<'a> {
    endpoint: &'a mut Endpoint,
    work: Work<'a>,
    progress: Progress,
    pauses: Pauses,
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
            progress: Progress::new(work.operations),
            pauses: Pauses::default(),
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
        let mut last_move = self.endpoint.now();
        while !self.progress.is_complete() {
            // Before what has come since: a pause that was over by then does not wait for it.
            let now = self.endpoint.now().as_nanos();
            let passed = self
                .pauses
                .advance(now, self.work.operations, &mut self.progress);
            self.endpoint.turn()?;
            let moved = passed | self.copy(memory) | self.send(memory) | self.receive(memory)?;
            let now = self.endpoint.now();
            attendant.attend(now.as_nanos(), self.endpoint);
            let pause = self.pauses.next(now.as_nanos());
            if moved || pause.is_some() {
                last_move = now;
            }
            if moved {
                // What moved may let more move, and took time.
                self.endpoint.look(Duration::ZERO, None)?;
            } else {
                self.check_patience(now.since(last_move), patience)?;
                self.endpoint
                    .wait_at_most(pause.unwrap_or(ATTENTION), None)?;
            }
        }
        // What was handed over last leaves.
        self.endpoint.turn()?;
        Ok(self.pauses.into_ended())
    }

    fn copy(&mut self, memory: &mut Memory) -> bool {
        let Some(operation) = self.progress.next_copy() else {
            return false;
        };
        copy(self.work, operation, memory);
        self.progress.finish(operation);
        true
    }

    /// Hands over messages that are ready, in the program's order, as far as there is room.
    fn send(&mut self, memory: &Memory) -> bool {
        let mut moved = false;
        for outbound in &mut self.outbound {
            while let Some(&operation) = outbound.operations.get(outbound.done)
                && self.progress.is_ready(operation)
                && self.endpoint.has_room(outbound.peer)
            {
                if let Action::Send { from, .. } = &self.work.operations[operation].action {
                    let bytes = &memory.bytes()[self.work.bytes(operation, from)];
                    self.endpoint.send(outbound.peer, bytes);
                }
                self.progress.finish(operation);
                outbound.done += 1;
                moved = true;
            }
        }
        moved
    }

    /// Uses messages that have come and whose operations are ready.
    fn receive(&mut self, memory: &mut Memory) -> Result<bool, TransportError> {
        let mut moved = false;
        for inbound in &mut self.inbound {
            let operation_of = |message: u64| -> Option<usize> {
                let index = message.checked_sub(inbound.first)?;
                inbound.operations.get(index as usize).copied()
            };
            loop {
                let ready = |message| {
                    operation_of(message).is_some_and(|operation| self.progress.is_ready(operation))
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
                self.progress.finish(operation);
                inbound.done += 1;
                moved = true;
            }
        }
        Ok(moved)
    }

    fn check_patience(&self, waited: Duration, patience: Duration) -> Result<(), TransportError> {
        if waited <= patience {
            return Ok(());
        }
        let unreceived = self
            .inbound
            .iter()
            .find(|inbound| inbound.done < inbound.operations.len());
        let unsent = self
            .outbound
            .iter()
            .find(|outbound| outbound.done < outbound.operations.len());
        let (peer, what) = match (unreceived, unsent) {
            (Some(inbound), _) => (inbound.peer, "nothing from"),
            (None, Some(outbound)) => (outbound.peer, "nothing taken by"),
            (None, None) => return Ok(()),
        };
        Err(TransportError::Stalled { peer, what, waited })
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
