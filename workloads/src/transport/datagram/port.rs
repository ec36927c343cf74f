//! The interface that all queue pairs of a host share, as a network card's scheduler has it.
//!
//! A card takes from its queue pairs what its port sends. Datagrams go into the kernel's queue instead, as many as there are: a
//! few queue pairs that may each fill the port would fill that queue, and wait in it for milliseconds.

use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;

use super::socket::MOST_BATCH;
use crate::message::pacer::{BURST, Pacer};

/// Bytes around each datagram: Ethernet, IPv6, UDP.
const HEADERS: usize = 14 + 40 + 8;

#[derive(Debug)]
pub(super) struct Port {
    /// Unknown of real interfaces, and not held to then.
    rate: Option<Rate>,
    pacer: Pacer,
}

impl Port {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            pacer: Pacer::default(),
        }
    }

    /// Bytes after which a queue pair's turn is over: what may leave at once, and at least a batch; as many as it has if the port
    /// takes everything.
    pub(super) fn turn(&self) -> usize {
        self.rate.map_or(usize::MAX, |rate| {
            let at_once = usize::try_from(rate.size_in(BURST).bytes());
            at_once.unwrap_or(usize::MAX).max(MOST_BATCH)
        })
    }

    /// When the next datagram may be handed over, if not now.
    pub(super) fn wait(&self, now: Time) -> Option<Time> {
        self.pacer.wait(now, self.rate, HEADERS as u64)
    }

    /// Datagrams were handed over.
    pub(super) fn sent(&mut self, now: Time, bytes: usize, datagrams: usize) {
        let bytes = bytes + datagrams * HEADERS;
        self.pacer.sent(now, self.rate, bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_leave_at_the_ports_rate() {
        let mut port = Port::new(Some(Rate::from_bits_per_second(8_000_000)));
        let start = Time::from_nanos(1_000_000_000);
        let mut now = start;
        for _ in 0..100 {
            now = port.wait(now).unwrap_or(now);
            port.sent(now, 938, 1);
        }
        // A datagram of 1000 B on the wire lasts 1 ms; the last is handed over while the one before it leaves.
        let took = now.since(start).as_micros();
        assert!((98_000..=99_100).contains(&took), "{took} us");
    }

    #[test]
    fn a_port_of_unknown_rate_takes_everything() {
        let mut port = Port::new(None);
        port.sent(Time::default(), 1 << 30, 1);
        assert_eq!(port.wait(Time::default()), None);
    }
}
