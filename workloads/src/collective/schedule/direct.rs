//! Straight from source to destination, all at once.

use super::builder::Builder;
use super::layout::{Layout, at};
use super::part;
use crate::collective::Collective;

/// Every rank sends part `i` of its input to rank `i`; each begins with the rank after itself.
pub(super) fn all_to_all(ranks: usize, rank: usize, layout: &Layout, builder: &mut Builder) {
    let whole = 0..layout.input.len();
    for to in (1..ranks).map(|step| (rank + step) % ranks) {
        for chunk in builder.chunks(&part(&whole, to, ranks)) {
            builder.send(to, at(&layout.input, &chunk));
        }
    }
    // After all sends: in place, a part that arrives replaces one that has to be gone by then.
    for from in (1..ranks).map(|step| (rank + ranks - step) % ranks) {
        for chunk in builder.chunks(&part(&whole, from, ranks)) {
            builder.receive(from, at(&layout.output, &chunk));
        }
    }
    let own = part(&whole, rank, ranks);
    builder.copy(at(&layout.input, &own), at(&layout.output, &own));
}

/// Every rank sends its input to the next and receives from the one before, as nccl-tests' sendrecv does.
pub(super) fn send_recv(ranks: usize, rank: usize, layout: &Layout, builder: &mut Builder) {
    for chunk in builder.chunks(&layout.input) {
        builder.send((rank + 1) % ranks, chunk);
    }
    for chunk in builder.chunks(&layout.output) {
        builder.receive((rank + ranks - 1) % ranks, chunk);
    }
}

/// Every rank of the first half sends its input to one of the second. What a rank has no part in is empty.
pub(super) fn pairs(ranks: usize, rank: usize, layout: &Layout, builder: &mut Builder) {
    for chunk in builder.chunks(&layout.input) {
        builder.send(rank + ranks.div_ceil(2), chunk);
    }
    if let Some(source) = Collective::source_in_pairs(ranks, rank) {
        for chunk in builder.chunks(&layout.output) {
            builder.receive(source, chunk);
        }
    }
}
