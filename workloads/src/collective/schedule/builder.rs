//! Collects a program's operations and derives their dependencies from the elements they read and write.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Action, Apply, Operation};

/// A program in the making.
pub(super) struct Builder {
    chunk: usize,
    operations: Vec<Operation>,
    /// Who last touched which elements: disjoint, by first element.
    touched: BTreeMap<usize, Touched>,
}

/// Elements up to `end` that were last written by `writer` and read by `readers` since.
#[derive(Clone)]
struct Touched {
    end: usize,
    writer: Option<usize>,
    readers: Vec<usize>,
}

impl Builder {
    /// A program without operations, whose messages hold at most `chunk` elements.
    pub(super) fn new(chunk: usize) -> Self {
        Self {
            chunk,
            operations: Vec::new(),
            touched: BTreeMap::new(),
        }
    }

    /// `range` cut into chunks. Sender and receiver of a range cut it alike.
    pub(super) fn chunks(
        &self,
        range: &Range<usize>,
    ) -> impl Iterator<Item = Range<usize>> + use<> {
        let (chunk, end) = (self.chunk, range.end);
        range
            .clone()
            .step_by(chunk)
            .map(move |start| start..(start + chunk).min(end))
    }

    /// Sends `from`, which is one chunk.
    pub(super) fn send(&mut self, to: usize, from: Range<usize>) {
        self.push(Some(from.clone()), None, Action::Send { to, from });
    }

    /// Receives one chunk into `into`.
    pub(super) fn receive(&mut self, from: usize, into: Range<usize>) {
        self.push(
            None,
            Some(into.clone()),
            Action::Receive {
                from,
                into,
                apply: Apply::Store,
            },
        );
    }

    /// Receives one chunk and stores its reduction with `with` in `into`.
    pub(super) fn reduce(&mut self, from: usize, with: Range<usize>, into: Range<usize>) {
        let apply = Apply::ReduceWith(with.clone());
        self.push(
            Some(with),
            Some(into.clone()),
            Action::Receive { from, into, apply },
        );
    }

    /// Copies `from` to `into`, chunk by chunk; nothing if they are the same place.
    pub(super) fn copy(&mut self, from: Range<usize>, into: Range<usize>) {
        if from == into {
            return;
        }
        for (from, into) in self.chunks(&from).zip(self.chunks(&into)) {
            self.push(
                Some(from.clone()),
                Some(into.clone()),
                Action::Copy { from, into },
            );
        }
    }

    /// The operations.
    pub(super) fn finish(self) -> Vec<Operation> {
        self.operations
    }

    fn push(&mut self, read: Option<Range<usize>>, write: Option<Range<usize>>, action: Action) {
        let index = self.operations.len();
        let mut after = Vec::new();
        if let Some(range) = read {
            self.touch(&range, |touched| {
                after.extend(touched.writer);
                touched.readers.push(index);
            });
        }
        if let Some(range) = write {
            self.touch(&range, |touched| {
                after.extend(touched.writer);
                after.append(&mut touched.readers);
                touched.writer = Some(index);
            });
        }
        after.sort_unstable();
        after.dedup();
        after.retain(|&earlier| earlier != index);
        self.operations.push(Operation { action, after });
    }

    /// Calls `visit` on every stretch of `range`, having cut stretches at its ends and filled its gaps.
    fn touch(&mut self, range: &Range<usize>, mut visit: impl FnMut(&mut Touched)) {
        self.cut(range.start);
        self.cut(range.end);
        let mut start = range.start;
        while start < range.end {
            let next = self
                .touched
                .range(start..range.end)
                .next()
                .map_or(range.end, |(&next, _)| next);
            if next > start {
                self.touched.insert(
                    start,
                    Touched {
                        end: next,
                        writer: None,
                        readers: Vec::new(),
                    },
                );
            }
            let touched = self
                .touched
                .get_mut(&start)
                .expect("the gap was just filled");
            visit(touched);
            start = touched.end;
        }
    }

    fn cut(&mut self, at: usize) {
        if let Some((&start, touched)) = self.touched.range_mut(..at).next_back()
            && touched.end > at
        {
            let upper = touched.clone();
            touched.end = at;
            debug_assert!(start < at);
            self.touched.insert(at, upper);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(builder: Builder) -> Vec<Vec<usize>> {
        builder
            .finish()
            .into_iter()
            .map(|operation| operation.after)
            .collect()
    }

    #[test]
    fn a_send_waits_for_every_chunk_it_overlaps_and_no_other() {
        let mut builder = Builder::new(4);
        builder.receive(1, 0..4);
        builder.receive(1, 4..8);
        builder.receive(1, 8..12);
        builder.send(2, 2..6);
        assert_eq!(after(builder), [vec![], vec![], vec![], vec![0, 1]]);
    }

    #[test]
    fn elements_are_overwritten_only_after_they_were_sent() {
        let mut builder = Builder::new(4);
        builder.send(1, 0..4);
        builder.send(2, 0..4);
        builder.receive(3, 2..6);
        builder.receive(3, 2..6);
        assert_eq!(after(builder), [vec![], vec![], vec![0, 1], vec![2]]);
    }

    #[test]
    fn a_reduction_in_place_waits_for_what_it_reduces_with() {
        let mut builder = Builder::new(4);
        builder.receive(1, 0..4);
        builder.reduce(2, 0..4, 0..4);
        assert_eq!(after(builder), [vec![], vec![0]]);
    }

    #[test]
    fn a_range_is_cut_into_whole_chunks_and_a_rest() {
        let builder = Builder::new(4);
        assert_eq!(
            builder.chunks(&(1..10)).collect::<Vec<_>>(),
            [1..5, 5..9, 9..10]
        );
        assert_eq!(builder.chunks(&(3..3)).count(), 0);
    }
}
