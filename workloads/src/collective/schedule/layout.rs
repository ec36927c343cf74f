//! Where a rank's data lies in its memory.

use std::ops::Range;

use longhaul_reports::result::Placement;

use super::Shape;
use crate::collective::Collective;

/// One rank's memory, in elements: input, output (in place: over each other, as NCCL has it) and room for what only
/// passes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What the rank brings.
    pub input: Range<usize>,
    /// What it ends with.
    pub output: Range<usize>,
    /// Room for partial results that are not part of the output.
    pub scratch: Range<usize>,
}

impl Layout {
    pub(super) fn new(shape: &Shape, rank: usize) -> Self {
        let part = shape.count / shape.ranks();
        let (input, output) = match shape.collective {
            Collective::AllGather => (part, shape.count),
            Collective::ReduceScatter => (shape.count, part),
            Collective::AllReduce
            | Collective::Broadcast
            | Collective::AllToAll
            | Collective::SendRecv => (shape.count, shape.count),
            Collective::Pairs => match Collective::source_in_pairs(shape.ranks(), rank) {
                Some(_) => (0, shape.count),
                None if rank < shape.ranks() / 2 => (shape.count, 0),
                None => (0, 0),
            },
        };
        // In place, the smaller of the two is the rank's own part of the larger one (NCCL's "In-place Operations").
        let (input, output) = match (shape.placement, shape.collective) {
            (Placement::OutOfPlace, _) => (0..input, input..input + output),
            (Placement::InPlace, Collective::AllGather) => {
                (rank * part..(rank + 1) * part, 0..output)
            }
            (Placement::InPlace, Collective::ReduceScatter) => {
                (0..input, rank * part..(rank + 1) * part)
            }
            (Placement::InPlace, _) => (0..input, 0..output),
        };
        let end = input.end.max(output.end);
        let scratch = match shape.collective {
            Collective::ReduceScatter => end..end + shape.count,
            _ => end..end,
        };
        Self {
            input,
            output,
            scratch,
        }
    }

    /// Elements of memory in all.
    pub fn len(&self) -> usize {
        self.scratch.end
    }

    /// Whether there is no memory at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// `range`, moved up by `base`.
pub(super) fn at(base: &Range<usize>, range: &Range<usize>) -> Range<usize> {
    base.start + range.start..base.start + range.end
}
