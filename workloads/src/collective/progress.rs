//! Which operations of a program may run, as others finish.

use std::collections::VecDeque;

use super::schedule::{Action, Operation};

/// How far a program has come. Pure: the transport and the tests drive it alike.
#[derive(Debug)]
pub struct Progress {
    /// Per operation: how many it still waits for.
    waiting: Vec<usize>,
    /// Per operation: who waits for it.
    dependents: Vec<Vec<usize>>,
    kinds: Vec<Kind>,
    finished: Vec<bool>,
    remaining: usize,
    /// Copies that may run.
    copies: VecDeque<usize>,
    /// Pauses that may begin.
    pauses: VecDeque<usize>,
}

/// Who carries an operation out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A connection, in the program's order.
    Message,
    /// The rank itself, as soon as it may.
    Copy,
    /// The clock.
    Pause,
}

impl Progress {
    /// Operations of which none has run.
    pub fn new(operations: &[Operation]) -> Self {
        let count = operations.len();
        let mut dependents = vec![Vec::new(); count];
        for (index, operation) in operations.iter().enumerate() {
            for &earlier in &operation.after {
                dependents[earlier].push(index);
            }
        }
        let kind = |operation: &Operation| match operation.action {
            Action::Send { .. } | Action::Receive { .. } => Kind::Message,
            Action::Copy { .. } => Kind::Copy,
            Action::Pause { .. } => Kind::Pause,
        };
        let waiting = operations.iter().map(|operation| operation.after.len());
        let mut progress = Self {
            waiting: waiting.collect(),
            dependents,
            kinds: operations.iter().map(kind).collect(),
            finished: vec![false; count],
            remaining: count,
            copies: VecDeque::new(),
            pauses: VecDeque::new(),
        };
        for operation in 0..count {
            progress.announce(operation);
        }
        progress
    }

    /// Whether everything `operation` waits for has finished.
    pub fn is_ready(&self, operation: usize) -> bool {
        self.waiting[operation] == 0
    }

    /// Whether everything has finished.
    pub fn is_complete(&self) -> bool {
        self.remaining == 0
    }

    /// The next copy that may run; each is told once.
    pub fn next_copy(&mut self) -> Option<usize> {
        self.copies.pop_front()
    }

    /// The next pause that may begin; each is told once.
    pub fn next_pause(&mut self) -> Option<usize> {
        self.pauses.pop_front()
    }

    /// Marks `operation` as finished.
    ///
    /// # Panics
    /// If it was not ready, or had finished before: its data would be wrong.
    pub fn finish(&mut self, operation: usize) {
        assert!(
            self.is_ready(operation) && !self.finished[operation],
            "operation {operation} out of turn"
        );
        self.finished[operation] = true;
        self.remaining -= 1;
        for dependent in std::mem::take(&mut self.dependents[operation]) {
            self.waiting[dependent] -= 1;
            self.announce(dependent);
        }
    }

    /// Queues `operation` if it may run and no connection looks for it.
    fn announce(&mut self, operation: usize) {
        if self.is_ready(operation) {
            match self.kinds[operation] {
                Kind::Message => {}
                Kind::Copy => self.copies.push_back(operation),
                Kind::Pause => self.pauses.push_back(operation),
            }
        }
    }
}
