//! Recursive vector halving with distance doubling, and back (Rabenseifner 2004). Ranks beyond the greatest power of two
//! fold their input into a neighbour first and get the result from it last, as MPICH does (Thakur, Rabenseifner, Gropp
//! 2005, section 4.5).

use std::ops::Range;

use super::builder::Builder;
use super::layout::{Layout, at};
use super::part;

/// Any number of ranks; log₂ n steps each way, the longest messages to the nearest ranks.
pub(super) fn all_reduce(ranks: usize, rank: usize, layout: &Layout, builder: &mut Builder) {
    let whole = 0..layout.input.len();
    let power = 1 << ranks.ilog2();
    let folded = ranks - power;
    if rank < 2 * folded && rank.is_multiple_of(2) {
        for chunk in builder.chunks(&layout.input) {
            builder.send(rank + 1, chunk);
        }
        for chunk in builder.chunks(&layout.output) {
            builder.receive(rank + 1, chunk);
        }
        return;
    }
    let mut current = &layout.input;
    if rank < 2 * folded {
        for chunk in builder.chunks(&whole) {
            builder.reduce(rank - 1, at(current, &chunk), at(&layout.output, &chunk));
        }
        current = &layout.output;
    }
    let index = if rank < 2 * folded {
        rank / 2
    } else {
        rank - folded
    };
    let rank_of = |index: usize| {
        if index < folded {
            2 * index + 1
        } else {
            index + folded
        }
    };

    // What this rank still reduces, as parts of `power`; halves at each step.
    let mut own = 0..power;
    let mut given = Vec::new();
    for distance in (0..power.ilog2()).map(|step| 1 << step) {
        let middle = own.start + own.len() / 2;
        let (kept, sent) = if index & distance == 0 {
            (own.start..middle, middle..own.end)
        } else {
            (middle..own.end, own.start..middle)
        };
        let peer = rank_of(index ^ distance);
        for chunk in builder.chunks(&elements(&whole, &sent, power)) {
            builder.send(peer, at(current, &chunk));
        }
        for chunk in builder.chunks(&elements(&whole, &kept, power)) {
            builder.reduce(peer, at(current, &chunk), at(&layout.output, &chunk));
        }
        current = &layout.output;
        given.push((peer, sent));
        own = kept;
    }
    for (peer, sent) in given.into_iter().rev() {
        for chunk in builder.chunks(&elements(&whole, &own, power)) {
            builder.send(peer, at(&layout.output, &chunk));
        }
        for chunk in builder.chunks(&elements(&whole, &sent, power)) {
            builder.receive(peer, at(&layout.output, &chunk));
        }
        own = own.start.min(sent.start)..own.end.max(sent.end);
    }
    if rank < 2 * folded {
        for chunk in builder.chunks(&layout.output) {
            builder.send(rank - 1, chunk);
        }
    }
}

/// The elements of `parts` out of `of`.
fn elements(whole: &Range<usize>, parts: &Range<usize>, of: usize) -> Range<usize> {
    part(whole, parts.start, of).start..part(whole, parts.end - 1, of).end
}
