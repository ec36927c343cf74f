//! What tests of laws begin with.

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;

use super::{Ack, Conditions};

/// A path of 1 ms behind an interface of 10 Gbit/s.
pub(super) fn conditions() -> Conditions {
    Conditions {
        packet: 1500,
        line_rate: Some(Rate::from_bits_per_second(10_000_000_000)),
        handshake: Some(Duration::from_millis(1)),
        measured: None,
    }
}

/// The acknowledgement of one packet that met nothing.
pub(super) fn acknowledged(now: Time) -> Ack<'static> {
    Ack {
        now,
        bytes: 1500,
        packets: 1,
        marked: 0,
        rtt: Duration::from_millis(1),
        least_rtt: Duration::from_millis(1),
        met: None,
        one_way: None,
        sent: now,
        newest_bytes: 1500,
        delivered: 1500,
        delivered_at_sending: 0,
        delivery_rate: None,
        application_limited: false,
        in_flight: 0,
        hops: &[],
    }
}
