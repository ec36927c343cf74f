//! What an exchange carries out.

use std::ops::Range;

use crate::collective::schedule::Operation;
use crate::collective::{DataType, ReduceOp};

/// Operations, and what the elements are that their ranges count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) operations: &'a [Operation],
    pub(crate) arithmetic: Arithmetic<'a>,
}

/// The type of elements, and the operator that combines them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arithmetic<'a> {
    /// The same for all operations.
    Same(DataType, ReduceOp),
    /// Each operation's own.
    Each(&'a [(DataType, ReduceOp)]),
}

impl Work<'_> {
    /// The arithmetic of `operation`.
    pub(crate) fn arithmetic(&self, operation: usize) -> (DataType, ReduceOp) {
        match self.arithmetic {
            Arithmetic::Same(data_type, op) => (data_type, op),
            Arithmetic::Each(all) => all[operation],
        }
    }

    /// Elements of `operation` as bytes.
    pub(crate) fn bytes(&self, operation: usize, range: &Range<usize>) -> Range<usize> {
        let size = self.arithmetic(operation).0.bytes();
        range.start * size..range.end * size
    }
}
