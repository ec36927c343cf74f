//! A program carried out to its end, on one thread, over whatever carries its messages.

use std::time::Duration;

use super::memory::Memory;
use super::work::Work;
use super::{Attendant, Connections, TransportError};
use crate::collective::pauses::{Pause, Pauses};
use crate::collective::progress::Progress;
use crate::collective::reduce::{accumulate, combine};
use crate::collective::schedule::{Action, Apply};

/// What carries messages.
pub(super) trait Carrier {
    /// Now on CLOCK_MONOTONIC.
    fn now_ns(&mut self) -> u64;

    /// Moves of the messages that `progress` has ready what can be moved, and tells whether anything was.
    fn pass(
        &mut self,
        progress: &mut Progress,
        memory: &mut Memory,
    ) -> Result<bool, TransportError>;

    /// How much of messages has moved, whole ones or not: it grows where a pass, which tells of whole ones, has nothing to tell.
    fn under_way(&self) -> u64;

    /// Between a pass that moved something, which may let more move, and the next.
    fn look(&mut self) -> Result<(), TransportError>;

    /// Sleeps until something may move or so much time is over, at most [`ATTENTION`](super::ATTENTION).
    fn wait(&mut self, most: Option<Duration>) -> Result<(), TransportError>;

    /// Whom it waits for, and for what of theirs.
    fn waits_for(&self) -> Option<(usize, &'static str)>;

    /// How its connections are.
    fn connections(&self) -> &dyn Connections;
}

/// What a carrier waits for: a message of the peer, or that the peer takes one.
pub(super) const NOTHING_FROM: &str = "nothing from";
pub(super) const NOTHING_TAKEN: &str = "nothing taken by";

/// Carries `work` out, and tells of its pauses.
///
/// # Errors
/// If a peer is lost, or nothing moves for `patience` while no pause is under way.
pub(super) fn carry_out(
    work: Work<'_>,
    carrier: &mut impl Carrier,
    memory: &mut Memory,
    patience: Duration,
    attendant: &mut dyn Attendant,
) -> Result<Vec<Pause>, TransportError> {
    let mut progress = Progress::new(work.operations);
    let mut pauses = Pauses::default();
    let mut now = carrier.now_ns();
    let mut last_move = now;
    let mut under_way = carrier.under_way();
    while !progress.is_complete() {
        // Before what has come since: a pause that was over by then does not wait for it.
        let passed = pauses.advance(now, work.operations, &mut progress);
        let copied = copy(work, &mut progress, memory);
        let moved = passed | copied | carrier.pass(&mut progress, memory)?;
        now = carrier.now_ns();
        attendant.attend(now, carrier.connections());
        let pause = pauses.next(now);
        let was_under_way = std::mem::replace(&mut under_way, carrier.under_way());
        if moved || pause.is_some() || under_way > was_under_way {
            last_move = now;
        }
        if moved {
            carrier.look()?;
            continue;
        }
        let waited = Duration::from_nanos(now - last_move);
        if let Some((peer, what)) = carrier.waits_for().filter(|_| waited > patience) {
            return Err(TransportError::Stalled { peer, what, waited });
        }
        carrier.wait(pause.into_iter().chain(attendant.next(now)).min())?;
        now = carrier.now_ns();
    }
    Ok(pauses.into_ended())
}

/// Does the next local copy, if one may run.
fn copy(work: Work<'_>, progress: &mut Progress, memory: &mut Memory) -> bool {
    let Some(operation) = progress.next_copy() else {
        return false;
    };
    if let Action::Copy { from, into } = &work.operations[operation].action {
        let (from, into) = (work.bytes(operation, from), work.bytes(operation, into));
        let (from, into) = memory.read_and_write(&from, &into);
        into.copy_from_slice(from);
    }
    progress.finish(operation);
    true
}

/// Puts a staged message where it belongs.
pub(super) fn apply(work: Work<'_>, operation: usize, memory: &mut Memory, received: &[u8]) {
    let Action::Receive { into, apply, .. } = &work.operations[operation].action else {
        return;
    };
    let (data_type, op) = work.arithmetic(operation);
    let into = work.bytes(operation, into);
    match apply {
        Apply::Store => memory.bytes_mut()[into].copy_from_slice(received),
        Apply::ReduceWith(with) => {
            let with = work.bytes(operation, with);
            if with == into {
                accumulate(data_type, op, &mut memory.bytes_mut()[into], received);
            } else {
                let (with, into) = memory.read_and_write(&with, &into);
                combine(data_type, op, into, with, received);
            }
        }
    }
}
