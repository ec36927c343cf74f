//! Steps that wait for the kernel, taken at the same time.
//!
//! To give a packet socket its ring, and to close it again, each take an RCU grace period or two (`synchronize_net` in
//! `packet_set_ring` and `packet_release`, net/packet/af_packet.c): some 15 ms, in which the machine idles. Threads that
//! wait at the same time share them; one after the other, the 180 rings of ten sites in a full mesh take seconds.

use std::panic::resume_unwind;
use std::thread;

/// Threads at a time: enough that grace periods no longer count.
const THREADS: usize = 64;

/// Takes `step` for every item, each on a thread of its own; the results in the items' order.
pub(super) fn at_once<T: Send, R: Send>(
    items: impl IntoIterator<Item = T>,
    step: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let mut items = items.into_iter().peekable();
    let mut results = Vec::new();
    while items.peek().is_some() {
        thread::scope(|scope| {
            let step = &step;
            let threads: Vec<_> = items
                .by_ref()
                .take(THREADS)
                .map(|item| scope.spawn(move || step(item)))
                .collect();
            results.extend(
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))),
            );
        });
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_more_items_than_threads() {
        let items = 0..3 * THREADS + 1;
        assert_eq!(
            at_once(items.clone(), |item| item * 2),
            items.map(|item| item * 2).collect::<Vec<_>>()
        );
    }
}
