//! The interface that all queue pairs of a host share, as a network card's scheduler has it.
//!
//! A card takes from its queue pairs what its port sends. Datagrams go into the kernel's queue instead, as many as there are: a
//! few queue pairs that may each fill the port would fill that queue, and wait in it for milliseconds.

use std::net::IpAddr;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;

use super::socket::MOST_BATCH;
use crate::message::pacer::{BURST, Pacer};

#[derive(Debug)]
pub(super) struct Port {
    /// Unknown of real interfaces, and not held to then.
    rate: Option<Rate>,
    /// Bytes around each datagram: Ethernet, IP, UDP.
    headers: usize,
    pacer: Pacer,
}

impl Port {
    /// That of `address`.
    pub(super) fn new(rate: Option<Rate>, address: IpAddr) -> Self {
        Self {
            rate,
            headers: match address {
                IpAddr::V4(_) => 14 + 20 + 8,
                IpAddr::V6(_) => 14 + 40 + 8,
            },
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
        self.pacer.wait(now, self.rate, self.headers as u64)
    }

    /// Datagrams were handed over.
    pub(super) fn sent(&mut self, now: Time, bytes: usize, datagrams: usize) {
        let bytes = bytes + datagrams * self.headers;
        self.pacer.sent(now, self.rate, bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn all_together_leave_at_the_ports_rate() {
        let rate = Rate::from_bits_per_second(8_000_000);
        let of = |address: IpAddr, bytes| {
            let mut port = Port::new(Some(rate), address);
            let start = Time::from_nanos(1_000_000_000);
            let mut now = start;
            for _ in 0..100 {
                now = port.wait(now).unwrap_or(now);
                port.sent(now, bytes, 1);
            }
            // A datagram of 1000 B on the wire lasts 1 ms; the last is handed over while the one before it leaves.
            let took = now.since(start).as_micros();
            assert!((98_000..=99_100).contains(&took), "{took} us");
        };
        of(Ipv4Addr::LOCALHOST.into(), 1000 - 42);
        of(Ipv6Addr::LOCALHOST.into(), 1000 - 62);
    }

    #[test]
    fn a_port_of_unknown_rate_takes_everything() {
        let mut port = Port::new(None, Ipv4Addr::LOCALHOST.into());
        port.sent(Time::default(), 1 << 30, 1);
        assert_eq!(port.wait(Time::default()), None);
    }
}
