//! Ring algorithms: every rank sends to the next and receives from the one before.

use std::ops::Range;

use super::builder::Builder;
use super::layout::{Layout, at};
use super::part;

/// A rank's place in a ring.
pub(super) struct Ring {
    /// Its position.
    pub(super) index: usize,
    /// How many there are.
    pub(super) len: usize,
    /// The rank it sends to.
    pub(super) next: usize,
    /// The rank it receives from.
    pub(super) previous: usize,
}

/// Reduce-scatter and all-gather of one part per rank: 2(n−1) steps of one part each.
pub(super) fn all_reduce(ranks: usize, rank: usize, layout: &Layout, builder: &mut Builder) {
    let ring = Ring::of_ranks(ranks, rank);
    let whole = 0..layout.input.len();
    let parts = |index: usize| vec![part(&whole, index, ranks)];
    let input = |range: &Range<usize>| at(&layout.input, range);
    let output = |range: &Range<usize>| at(&layout.output, range);
    ring.reduce_scatter(parts, input, output, builder);
    ring.all_gather(parts, output, builder);
}

/// The second half of [`all_reduce`].
pub(super) fn all_gather(ranks: usize, rank: usize, layout: &Layout, builder: &mut Builder) {
    let output = |range: &Range<usize>| at(&layout.output, range);
    let parts = |index: usize| vec![part(&(0..layout.output.len()), index, ranks)];
    builder.copy(layout.input.clone(), output(&parts(rank)[0]));
    Ring::of_ranks(ranks, rank).all_gather(parts, output, builder);
}

/// The first half of [`all_reduce`]; partial sums of others' parts pass through scratch memory.
pub(super) fn reduce_scatter(ranks: usize, rank: usize, layout: &Layout, builder: &mut Builder) {
    let whole = 0..layout.input.len();
    let own = part(&whole, rank, ranks);
    Ring::of_ranks(ranks, rank).reduce_scatter(
        |index| vec![part(&whole, index, ranks)],
        |range| at(&layout.input, range),
        |range| {
            if own.contains(&range.start) {
                layout.output.start + (range.start - own.start)
                    ..layout.output.start + (range.end - own.start)
            } else {
                at(&layout.scratch, range)
            }
        },
        builder,
    );
}

/// From the root around the ring, chunk after chunk.
pub(super) fn broadcast(
    ranks: usize,
    rank: usize,
    root: usize,
    layout: &Layout,
    builder: &mut Builder,
) {
    let ring = Ring::of_ranks(ranks, rank);
    let source = if rank == root {
        &layout.input
    } else {
        &layout.output
    };
    for chunk in builder.chunks(&(0..layout.output.len())) {
        if rank != root {
            builder.receive(ring.previous, at(&layout.output, &chunk));
        }
        if ring.next != root {
            builder.send(ring.next, at(source, &chunk));
        }
    }
    if rank == root {
        builder.copy(layout.input.clone(), layout.output.clone());
    }
}

impl Ring {
    /// All ranks in their order.
    pub(super) fn of_ranks(ranks: usize, rank: usize) -> Self {
        Self::new(rank, ranks, |index| index)
    }

    /// `len` members, of which `member` tells the rank.
    pub(super) fn new(index: usize, len: usize, member: impl Fn(usize) -> usize) -> Self {
        Self {
            index,
            len,
            next: member((index + 1) % len),
            previous: member((index + len - 1) % len),
        }
    }

    /// Reduces so that member `i` ends with the whole of part `i`. `input` says where a member's own contribution lies,
    /// `partial` where what it received and reduced goes.
    pub(super) fn reduce_scatter(
        &self,
        parts: impl Fn(usize) -> Vec<Range<usize>>,
        input: impl Fn(&Range<usize>) -> Range<usize>,
        partial: impl Fn(&Range<usize>) -> Range<usize>,
        builder: &mut Builder,
    ) {
        for step in 0..self.len - 1 {
            self.reduce_step(step, &parts, &input, &partial, builder);
        }
    }

    /// One of the `len − 1` steps of [`Ring::reduce_scatter`].
    pub(super) fn reduce_step(
        &self,
        step: usize,
        parts: impl Fn(usize) -> Vec<Range<usize>>,
        input: impl Fn(&Range<usize>) -> Range<usize>,
        partial: impl Fn(&Range<usize>) -> Range<usize>,
        builder: &mut Builder,
    ) {
        for chunk in chunks(&parts(self.back(step + 1)), builder) {
            let from = if step == 0 {
                input(&chunk)
            } else {
                partial(&chunk)
            };
            builder.send(self.next, from);
        }
        for chunk in chunks(&parts(self.back(step + 2)), builder) {
            builder.reduce(self.previous, input(&chunk), partial(&chunk));
        }
    }

    /// Spreads part `i` from member `i` to all.
    pub(super) fn all_gather(
        &self,
        parts: impl Fn(usize) -> Vec<Range<usize>>,
        output: impl Fn(&Range<usize>) -> Range<usize>,
        builder: &mut Builder,
    ) {
        for step in 0..self.len - 1 {
            self.gather_step(step, &parts, &output, builder);
        }
    }

    /// One of the `len − 1` steps of [`Ring::all_gather`].
    pub(super) fn gather_step(
        &self,
        step: usize,
        parts: impl Fn(usize) -> Vec<Range<usize>>,
        output: impl Fn(&Range<usize>) -> Range<usize>,
        builder: &mut Builder,
    ) {
        for chunk in chunks(&parts(self.back(step)), builder) {
            builder.send(self.next, output(&chunk));
        }
        for chunk in chunks(&parts(self.back(step + 1)), builder) {
            builder.receive(self.previous, output(&chunk));
        }
    }

    /// The member `steps` before this one.
    fn back(&self, steps: usize) -> usize {
        (self.index + 2 * self.len - steps) % self.len
    }
}

fn chunks(ranges: &[Range<usize>], builder: &Builder) -> Vec<Range<usize>> {
    ranges
        .iter()
        .flat_map(|range| builder.chunks(range))
        .collect()
}
