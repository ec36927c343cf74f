//! What several laws read out of acknowledgements alike.

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;

use super::{Ack, Conditions, Loss};

/// What an interface's rate is taken for that does not tell it: what Linux says of a veth (`drivers/net/veth.c`).
const LINE_RATE: Rate = Rate::from_bits_per_second(10_000_000_000);

impl Conditions {
    /// Where a law of hardware starts, and its ceiling.
    pub(super) fn line(&self) -> Rate {
        self.line_rate.unwrap_or(LINE_RATE)
    }

    /// What the interface can send, in bytes per second; without end where that is not known.
    pub(super) fn ceiling(&self) -> f64 {
        self.line_rate
            .map_or(f64::INFINITY, |line| line.bytes_per_second() as f64)
    }

    /// `packets` of them.
    pub(super) fn packets(&self, packets: f64) -> f64 {
        self.packet as f64 * packets
    }
}

/// A rate out of a calculation, in bit/s.
pub(super) fn rate(bits_per_second: f64) -> Rate {
    Rate::from_bits_per_second(bits_per_second.max(1.0) as u64)
}

/// The pace that puts `bytes` evenly over `time`.
pub(super) fn spread(bytes: f64, time: Duration) -> Rate {
    rate(bytes * 8.0 / time.as_secs_f64().max(1e-9))
}

impl Ack<'_> {
    /// Whether a window of so many bytes may double: one that the application does not use says nothing of the path. Half of it in
    /// flight is enough (`tcp_is_cwnd_limited`, `include/net/tcp.h`).
    pub(super) fn lets_double(&self, window: f64) -> bool {
        !self.application_limited || 2.0 * (self.in_flight + self.bytes) as f64 > window
    }
}

/// Counts rounds: one has passed when a packet is acknowledged that was sent after the round began.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    end: u64,
}

impl Rounds {
    /// Whether `ack` ends a round; the next one begins with it.
    pub fn passed(&mut self, ack: &Ack<'_>) -> bool {
        let passed = ack.delivered_at_sending >= self.end;
        if passed {
            self.begin(ack);
        }
        passed
    }

    /// A round begins with `ack`, whatever became of the one before.
    pub fn begin(&mut self, ack: &Ack<'_>) {
        self.end = ack.delivered;
    }
}

/// Keeps a law from reacting twice to what is one congestion: what was sent before a reaction tells nothing of it.
#[derive(Debug, Default)]
pub(super) struct Reaction {
    last: Option<Time>,
}

impl Reaction {
    /// Whether something sent at `sent` is news at `now`. If so, what is on its way now no longer is.
    pub fn due(&mut self, sent: Time, now: Time) -> bool {
        let due = self.last.is_none_or(|last| sent > last);
        if due {
            self.last = Some(now);
        }
        due
    }

    /// The same for a loss.
    pub fn due_to(&mut self, loss: &Loss) -> bool {
        self.due(loss.sent, loss.now)
    }
}

/// The fraction of bytes that arrived marked, counted until it is taken.
#[derive(Debug, Default)]
pub(super) struct Marks {
    bytes: u64,
    marked: u64,
}

impl Marks {
    pub fn count(&mut self, ack: &Ack<'_>) {
        self.bytes += ack.bytes;
        self.marked += ack.marked;
    }

    /// 0 to 1, and counts anew.
    pub fn take(&mut self) -> f64 {
        let fraction = self.marked as f64 / self.bytes.max(1) as f64;
        *self = Marks::default();
        fraction
    }
}

/// The least round trip seen, by laws that never forget it.
#[derive(Debug)]
pub(super) struct Least(Option<Duration>);

impl Least {
    pub fn new(conditions: Conditions) -> Self {
        Least(conditions.handshake)
    }

    /// It, with what `ack` tells.
    pub fn with(&mut self, ack: &Ack<'_>) -> Duration {
        let least = self
            .0
            .map_or(ack.least_rtt, |least| least.min(ack.least_rtt));
        self.0 = Some(least);
        least
    }

    pub fn get(&self) -> Option<Duration> {
        self.0
    }
}
