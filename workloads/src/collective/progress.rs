//! Which operations of a program may run, as others finish.

use super::schedule::Program;

/// How far a program has come. Pure: the transport and the tests drive it alike.
#[derive(Debug)]
pub struct Progress {
    /// Per operation: how many it still waits for.
    waiting: Vec<usize>,
    /// Per operation: who waits for it.
    dependents: Vec<Vec<usize>>,
    finished: Vec<bool>,
    remaining: usize,
}

impl Progress {
    /// A program of which nothing has run.
    pub fn new(program: &Program) -> Self {
        let count = program.operations.len();
        let mut dependents = vec![Vec::new(); count];
        for (index, operation) in program.operations.iter().enumerate() {
            for &earlier in &operation.after {
                dependents[earlier].push(index);
            }
        }
        Self {
            waiting: program
                .operations
                .iter()
                .map(|operation| operation.after.len())
                .collect(),
            dependents,
            finished: vec![false; count],
            remaining: count,
        }
    }

    /// Whether everything `operation` waits for has finished.
    pub fn is_ready(&self, operation: usize) -> bool {
        self.waiting[operation] == 0
    }

    /// Whether `operation` has finished.
    pub fn is_finished(&self, operation: usize) -> bool {
        self.finished[operation]
    }

    /// Whether everything has finished.
    pub fn is_complete(&self) -> bool {
        self.remaining == 0
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
        for &dependent in &self.dependents[operation] {
            self.waiting[dependent] -= 1;
        }
    }
}
