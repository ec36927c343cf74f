//! One rank's program carried out over its queue pairs.
//!
//! A send is finished when its message has been copied: the queue pair keeps it until it has arrived. Messages count over the
//! life of a queue pair; those of a program follow the ones before it, as both ends run the same programs in the same order.

use std::time::Duration;

use super::endpoint::Endpoint;
use crate::collective::progress::Progress;
use crate::collective::schedule::{Action, Program};
use crate::collective::{DataType, ReduceOp};
use crate::transport::exchange::{apply, copy, scaled};
use crate::transport::memory::Memory;
use crate::transport::{Attendant, TransportError};

/// A program about to run.
pub(crate) struct Exchange<'a> {
    endpoint: &'a mut Endpoint,
    program: &'a Program,
    data_type: DataType,
    op: ReduceOp,
    progress: Progress,
    outbound: Vec<Outbound>,
    inbound: Vec<Inbound>,
    copies: Vec<usize>,
    copied: usize,
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
    /// Prepares `program`, whose queue pairs are open.
    pub(crate) fn new(
        endpoint: &'a mut Endpoint,
        program: &'a Program,
        data_type: DataType,
        op: ReduceOp,
    ) -> Self {
        let those = |wanted: &dyn Fn(&Action) -> bool| -> Vec<usize> {
            let operations = program.operations.iter().enumerate();
            let wanted = operations.filter(|(_, operation)| wanted(&operation.action));
            wanted.map(|(index, _)| index).collect()
        };
        let outbound = program.destinations().into_iter().map(|peer| Outbound {
            peer,
            operations: those(&|action| matches!(action, Action::Send { to, .. } if *to == peer)),
            done: 0,
        });
        let inbound = program.sources().into_iter().map(|peer| Inbound {
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
            copies: those(&|action| matches!(action, Action::Copy { .. })),
            copied: 0,
            progress: Progress::new(program),
            endpoint,
            program,
            data_type,
            op,
        }
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// If a peer is lost, or nothing moves for `patience`.
    pub(crate) fn run(
        mut self,
        memory: &mut Memory,
        patience: Duration,
        attendant: &mut dyn Attendant,
    ) -> Result<(), TransportError> {
        let mut last_move = self.endpoint.now();
        while !self.progress.is_complete() {
            self.endpoint.turn()?;
            let moved = self.copy(memory) | self.send(memory) | self.receive(memory)?;
            let now = self.endpoint.now();
            attendant.attend(now.as_nanos(), self.endpoint);
            if moved {
                last_move = now;
                // What moved may let more move, and took time.
                self.endpoint.look(Duration::ZERO, None)?;
            } else {
                self.check_patience(now.since(last_move), patience)?;
                self.endpoint.wait(None)?;
            }
        }
        // What was handed over last leaves.
        self.endpoint.turn()
    }

    fn copy(&mut self, memory: &mut Memory) -> bool {
        let next = self.copies.get(self.copied);
        let Some(&operation) = next.filter(|&&next| self.progress.is_ready(next)) else {
            return false;
        };
        copy(
            &self.program.operations[operation].action,
            self.data_type,
            memory,
        );
        self.progress.finish(operation);
        self.copied += 1;
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
                if let Action::Send { from, .. } = &self.program.operations[operation].action {
                    let bytes = &memory.bytes()[scaled(from, self.data_type)];
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
                let (program, data_type, op) = (self.program, self.data_type, self.op);
                self.endpoint.take(inbound.peer, ready, |message, bytes| {
                    if let Some(operation) = operation_of(message) {
                        let action = &program.operations[operation].action;
                        used = Some((operation, check(inbound.peer, action, data_type, bytes)));
                        if let Some((_, Ok(()))) = used {
                            apply(action, data_type, op, memory, bytes);
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
    action: &Action,
    data_type: DataType,
    bytes: &[u8],
) -> Result<(), TransportError> {
    let Action::Receive { into, .. } = action else {
        return Ok(());
    };
    let expected = scaled(into, data_type).len();
    match bytes.len() == expected {
        true => Ok(()),
        false => Err(TransportError::OutOfStep {
            peer,
            expected: format!("{expected} B"),
            got: format!("{} B", bytes.len()),
        }),
    }
}
