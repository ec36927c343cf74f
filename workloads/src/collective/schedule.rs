//! Each rank's program: what it sends, receives, reduces and copies, and what must come first.
//!
//! A generator writes the operations of one rank as if they ran one after another, chunk by chunk. From the elements each
//! operation reads and writes, the builder derives what it has to wait for, so that everything else overlaps: a chunk
//! that was received and reduced goes on while the rest of its block is still on the way. Messages between two ranks
//! keep the order of the programs; the generators emit both ends in the same order.

mod builder;
mod direct;
mod halving;
mod hierarchical;
mod layout;
mod ring;
mod tree;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use longhaul_reports::result::Placement;

use super::{Algorithm, Collective, Unsupported, supports};
use builder::Builder;
pub use layout::Layout;

/// Everything that decides a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What.
    pub collective: Collective,
    /// How.
    pub algorithm: Algorithm,
    /// The site of each rank; its length is the number of ranks.
    pub sites: Vec<usize>,
    /// Elements of the whole array, as [`Collective::count`] gives it.
    pub count: usize,
    /// Elements of a pipelined chunk; at least 1.
    pub chunk: usize,
    /// Root rank of a broadcast.
    pub root: usize,
    /// In place or not.
    pub placement: Placement,
}

/// What one rank does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its operations. Those with the same peer and direction happen in this order.
    pub operations: Vec<Operation>,
    /// Where its data lies.
    pub layout: Layout,
}

/// One step of a program, and what has to finish before it starts: indices of earlier operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What to do.
    pub action: Action,
    /// Which operations come first. A send finishes when its elements may be overwritten.
    pub after: Vec<usize>,
}

/// What an operation does. Ranges are elements of the rank's memory and never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends elements as one message.
    Send {
        /// The receiving rank.
        to: usize,
        /// What.
        from: Range<usize>,
    },
    /// Receives one message.
    Receive {
        /// The sending rank.
        from: usize,
        /// Where the result goes.
        into: Range<usize>,
        /// What becomes of it.
        apply: Apply,
    },
    /// Copies elements inside the rank.
    Copy {
        /// Where from.
        from: Range<usize>,
        /// Where to; disjoint from `from`.
        into: Range<usize>,
    },
    /// Waits. No collective does; a replayed trace computes so, and marks where its collectives begin and end.
    Pause {
        /// For so long.
        lasts: Duration,
    },
}

/// What a receiver does with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apply {
    /// Stores it.
    Store,
    /// Stores its reduction with these elements: the destination itself, or a range disjoint from it.
    ReduceWith(Range<usize>),
}

impl Shape {
    /// How many ranks there are.
    pub fn ranks(&self) -> usize {
        self.sites.len()
    }

    /// Whether there is such a schedule.
    ///
    /// # Errors
    /// If the collective has no such algorithm, or the root is not a rank.
    pub fn check(&self) -> Result<(), Unsupported> {
        supports(self.collective, self.algorithm)?;
        if self.root >= self.ranks() {
            return Err(Unsupported(format!(
                "root {} is not one of the {} ranks; they count from 0",
                self.root,
                self.ranks()
            )));
        }
        Ok(())
    }

    /// The program of `rank`.
    ///
    /// # Errors
    /// As [`Shape::check`].
    pub fn program(&self, rank: usize) -> Result<Program, Unsupported> {
        self.check()?;
        let layout = Layout::new(self, rank);
        let mut builder = Builder::new(self.chunk.max(1));
        if self.ranks() == 1 {
            builder.copy(layout.input.clone(), layout.output.clone());
        } else {
            self.generate(rank, &layout, &mut builder);
        }
        Ok(Program {
            operations: builder.finish(),
            layout,
        })
    }

    /// The programs of all ranks.
    ///
    /// # Errors
    /// As [`Shape::check`].
    pub fn programs(&self) -> Result<Vec<Program>, Unsupported> {
        (0..self.ranks()).map(|rank| self.program(rank)).collect()
    }

    fn generate(&self, rank: usize, layout: &Layout, builder: &mut Builder) {
        match (self.collective, self.algorithm) {
            (Collective::AllReduce, Algorithm::HalvingDoubling) => {
                halving::all_reduce(self.ranks(), rank, layout, builder);
            }
            (Collective::AllReduce, Algorithm::Tree) => {
                tree::all_reduce(self.ranks(), rank, layout, builder);
            }
            (Collective::AllReduce, Algorithm::Hierarchical) => {
                hierarchical::all_reduce(&self.sites, rank, layout, builder);
            }
            (Collective::AllReduce, _) => ring::all_reduce(self.ranks(), rank, layout, builder),
            (Collective::AllGather, _) => ring::all_gather(self.ranks(), rank, layout, builder),
            (Collective::ReduceScatter, _) => {
                ring::reduce_scatter(self.ranks(), rank, layout, builder);
            }
            (Collective::Broadcast, Algorithm::Tree) => {
                tree::broadcast(self.ranks(), rank, self.root, layout, builder);
            }
            (Collective::Broadcast, _) => {
                ring::broadcast(self.ranks(), rank, self.root, layout, builder);
            }
            (Collective::AllToAll, _) => direct::all_to_all(self.ranks(), rank, layout, builder),
            (Collective::SendRecv, _) => direct::send_recv(self.ranks(), rank, layout, builder),
            (Collective::Pairs, _) => direct::pairs(self.ranks(), rank, layout, builder),
        }
    }
}

/// Ranks that the one with these operations sends to, ascending.
pub fn destinations(operations: &[Operation]) -> Vec<usize> {
    peers(operations, |action| match action {
        Action::Send { to, .. } => Some(*to),
        Action::Receive { .. } | Action::Copy { .. } | Action::Pause { .. } => None,
    })
}

/// Ranks that it receives from, ascending.
pub fn sources(operations: &[Operation]) -> Vec<usize> {
    peers(operations, |action| match action {
        Action::Receive { from, .. } => Some(*from),
        Action::Send { .. } | Action::Copy { .. } | Action::Pause { .. } => None,
    })
}

fn peers(operations: &[Operation], peer: impl Fn(&Action) -> Option<usize>) -> Vec<usize> {
    let peers = operations.iter().filter_map(|one| peer(&one.action));
    let peers: BTreeSet<usize> = peers.collect();
    peers.into_iter().collect()
}

/// Part `index` of `range` cut into `parts` of nearly equal length, the longer ones first.
fn part(range: &Range<usize>, index: usize, parts: usize) -> Range<usize> {
    let (quotient, longer) = (range.len() / parts, range.len() % parts);
    let bound = |index: usize| range.start + index * quotient + index.min(longer);
    bound(index)..bound(index + 1)
}

#[cfg(test)]
mod tests;
