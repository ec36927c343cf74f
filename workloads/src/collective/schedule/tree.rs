//! Binomial trees, with chunks pipelined along every path.

use super::builder::Builder;
use super::layout::{Layout, at};

/// A rank's place in the binomial tree over `ranks` that is rooted at `root`.
struct Place {
    parent: Option<usize>,
    /// Nearest first, so that the deepest subtree comes last when gathering.
    children: Vec<usize>,
}

/// Up the tree with reduction, down again with the result.
pub(super) fn all_reduce(ranks: usize, rank: usize, layout: &Layout, builder: &mut Builder) {
    let place = Place::new(ranks, rank, 0);
    let chunks: Vec<_> = builder.chunks(&(0..layout.input.len())).collect();
    for chunk in &chunks {
        let mut current = &layout.input;
        for &child in &place.children {
            builder.reduce(child, at(current, chunk), at(&layout.output, chunk));
            current = &layout.output;
        }
        if let Some(parent) = place.parent {
            builder.send(parent, at(current, chunk));
        }
    }
    for chunk in &chunks {
        if let Some(parent) = place.parent {
            builder.receive(parent, at(&layout.output, chunk));
        }
        for &child in place.children.iter().rev() {
            builder.send(child, at(&layout.output, chunk));
        }
    }
}

/// Down the tree from the root.
pub(super) fn broadcast(
    ranks: usize,
    rank: usize,
    root: usize,
    layout: &Layout,
    builder: &mut Builder,
) {
    let place = Place::new(ranks, rank, root);
    let source = if rank == root {
        &layout.input
    } else {
        &layout.output
    };
    for chunk in builder.chunks(&(0..layout.output.len())) {
        if let Some(parent) = place.parent {
            builder.receive(parent, at(&layout.output, &chunk));
        }
        for &child in place.children.iter().rev() {
            builder.send(child, at(source, &chunk));
        }
    }
    if rank == root {
        builder.copy(layout.input.clone(), layout.output.clone());
    }
}

impl Place {
    fn new(ranks: usize, rank: usize, root: usize) -> Self {
        let index = (rank + ranks - root) % ranks;
        let rank_of = |index: usize| (index + root) % ranks;
        // The parent lacks the lowest set bit; children add a lower one.
        let lowest = if index == 0 {
            ranks.next_power_of_two()
        } else {
            1 << index.trailing_zeros()
        };
        let children = (0..lowest.ilog2())
            .map(|bit| index + (1 << bit))
            .filter(|&child| child < ranks)
            .map(rank_of);
        Self {
            parent: (index != 0).then(|| rank_of(index - lowest)),
            children: children.collect(),
        }
    }
}
