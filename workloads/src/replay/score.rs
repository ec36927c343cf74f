//! One rank's part of a trace as operations that an exchange carries out, and as data that is checked. Pure.
//!
//! The schedules of all its collectives become one program: peers by their ranks in the world, each array in a place of
//! its own, so that all can be checked at the end. A pause of no length stands before and after every collective: it holds the
//! collective back until what it waits for is done, and its time is when that was.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::part::{self, Part};
use crate::collective::data::Dataset;
use crate::collective::pauses::Pause;
use crate::collective::schedule::{Action, Apply, Layout, Operation, Shape};
use crate::collective::{DataType, ReduceOp, Unsupported};

/// What a rank plays.
#[derive(Debug)]
pub struct Score {
    operations: Vec<Operation>,
    /// Of each operation.
    arithmetic: Vec<(DataType, ReduceOp)>,
    /// Of each step of the part.
    passages: Vec<Passage>,
    bytes: usize,
}

/// A step of the part.
#[derive(Debug)]
struct Passage {
    /// The trace's node.
    node: usize,
    /// The operation before all others; of computing, all there is.
    begin: usize,
    /// The operation after all others.
    end: usize,
    /// What is communicated.
    array: Option<Array>,
}

/// The data of a collective.
#[derive(Debug)]
struct Array {
    shape: Shape,
    layout: Layout,
    /// This rank among those of the shape.
    rank: usize,
    operation: crate::world::Operation,
    /// Where it lies in the rank's memory.
    bytes: Range<usize>,
}

/// When a rank did its share of a node. Nanoseconds of the clock that ranks share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The trace's node.
    pub node: usize,
    /// When everything that it waits for there was done.
    pub began_ns: u64,
    /// When it was done there.
    pub ended_ns: u64,
}

/// Arrays begin at multiples of it: of every element's size.
const ALIGNMENT: usize = 8;

/// Elements without arithmetic: those of pauses, which have none.
const NONE: (DataType, ReduceOp) = (DataType::F32, ReduceOp::Sum);

impl Score {
    /// The score of `rank`, which plays `part` in a world with these `sites` of its ranks, in chunks of at most `chunk_bytes`.
    ///
    /// # Errors
    /// If a collective has no such schedule, or `rank` is not among its ranks.
    pub fn new(
        part: &Part,
        rank: usize,
        sites: &[usize],
        chunk_bytes: u64,
    ) -> Result<Self, Unsupported> {
        let mut score = Self {
            operations: Vec::new(),
            arithmetic: Vec::new(),
            passages: Vec::new(),
            bytes: 0,
        };
        for step in &part.steps {
            let ends = step.after.iter();
            let after = ends.map(|&earlier| score.passages[earlier].end).collect();
            let passage = match &step.action {
                part::Action::Compute(lasts) => {
                    let pause = score.pause(*lasts, after);
                    Passage {
                        node: step.node,
                        begin: pause,
                        end: pause,
                        array: None,
                    }
                }
                part::Action::Communicate { operation, ranks } => {
                    let outside = || Unsupported(format!("rank {rank} is not one of {ranks:?}"));
                    let within = ranks.iter().position(|&one| one == rank);
                    let within = within.ok_or_else(outside)?;
                    let begin = score.pause(Duration::ZERO, after);
                    let of_ranks = ranks.iter().map(|&rank| sites[rank]);
                    let shape = operation.shape(of_ranks.collect(), chunk_bytes)?;
                    let (array, last) = score.play(operation, shape, within, ranks, begin)?;
                    Passage {
                        node: step.node,
                        begin,
                        end: score.pause(Duration::ZERO, last),
                        array: Some(array),
                    }
                }
            };
            score.passages.push(passage);
        }
        Ok(score)
    }

    /// What there is to do; messages between two ranks keep this order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The element type and operator of each operation.
    pub fn arithmetic(&self) -> &[(DataType, ReduceOp)] {
        &self.arithmetic
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Fills a rank's memory for an iteration.
    ///
    /// # Panics
    /// If `memory` is not as long as [`Score::bytes`].
    pub fn fill(&self, iteration: u64, memory: &mut [u8]) {
        for array in self.arrays() {
            let memory = &mut memory[array.bytes.clone()];
            let dataset = array.dataset(iteration);
            dataset.fill(&array.shape, &array.layout, array.rank, memory);
        }
    }

    /// How many elements of all outputs are not what they must be.
    ///
    /// # Panics
    /// As [`Score::fill`].
    pub fn count_wrong(&self, iteration: u64, memory: &[u8]) -> u64 {
        let wrong = |array: &Array| {
            let memory = &memory[array.bytes.clone()];
            let dataset = array.dataset(iteration);
            dataset.count_wrong(&array.shape, &array.layout, array.rank, memory)
        };
        self.arrays().map(wrong).sum()
    }

    /// When each node was done, of the `pauses` that an exchange tells.
    pub fn spans(&self, pauses: &[Pause]) -> Vec<Span> {
        let mut of_operation = vec![None; self.operations.len()];
        for pause in pauses {
            of_operation[pause.operation] = Some(*pause);
        }
        let span = |passage: &Passage| {
            Some(Span {
                node: passage.node,
                began_ns: of_operation[passage.begin]?.began_ns,
                ended_ns: of_operation[passage.end]?.ended_ns,
            })
        };
        self.passages.iter().filter_map(span).collect()
    }

    fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.passages
            .iter()
            .filter_map(|passage| passage.array.as_ref())
    }

    fn pause(&mut self, lasts: Duration, after: Vec<usize>) -> usize {
        self.push(Action::Pause { lasts }, after, NONE)
    }

    fn push(
        &mut self,
        action: Action,
        after: Vec<usize>,
        arithmetic: (DataType, ReduceOp),
    ) -> usize {
        self.operations.push(Operation { action, after });
        self.arithmetic.push(arithmetic);
        self.operations.len() - 1
    }

    /// Adds the program of `shape` that member `within` of `ranks` has, after operation `begin`; its array, and the operations
    /// that nothing else of it waits for.
    fn play(
        &mut self,
        operation: &crate::world::Operation,
        shape: Shape,
        within: usize,
        ranks: &[usize],
        begin: usize,
    ) -> Result<(Array, Vec<usize>), Unsupported> {
        let program = shape.program(within)?;
        let size = operation.data_type.bytes();
        let start = self.bytes.next_multiple_of(ALIGNMENT);
        let first = self.operations.len();
        let moved = |range: Range<usize>| range.start + start / size..range.end + start / size;
        let mut last = BTreeSet::from([begin]);
        for one in program.operations {
            let action = match one.action {
                Action::Send { to, from } => Action::Send {
                    to: ranks[to],
                    from: moved(from),
                },
                Action::Receive { from, into, apply } => Action::Receive {
                    from: ranks[from],
                    into: moved(into),
                    apply: match apply {
                        Apply::Store => Apply::Store,
                        Apply::ReduceWith(with) => Apply::ReduceWith(moved(with)),
                    },
                },
                Action::Copy { from, into } => Action::Copy {
                    from: moved(from),
                    into: moved(into),
                },
                pause @ Action::Pause { .. } => pause,
            };
            let mut after: Vec<usize> = one.after.iter().map(|earlier| first + earlier).collect();
            if after.is_empty() {
                after.push(begin);
            }
            for earlier in &after {
                last.remove(earlier);
            }
            last.insert(self.push(action, after, (operation.data_type, operation.op)));
        }
        let bytes = start..start + program.layout.len() * size;
        self.bytes = bytes.end;
        let array = Array {
            shape,
            layout: program.layout,
            rank: within,
            operation: *operation,
            bytes,
        };
        Ok((array, last.into_iter().collect()))
    }
}

impl Array {
    fn dataset(&self, iteration: u64) -> Dataset {
        Dataset {
            data_type: self.operation.data_type,
            op: self.operation.op,
            seed: self.operation.seed,
            iteration,
        }
    }
}
