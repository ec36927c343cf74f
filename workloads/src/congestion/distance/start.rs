//! The start: two short trains, a round trip each.
//!
//! The first leaves as fast as it can; how its packets are spaced when they arrive is what the bottleneck carries (acknowledgements may be
//! spaced otherwise, by what waits on their way). The second leaves at
//! that pace: what others send through the bottleneck meanwhile makes its delay grow, by as much per time as they use of it.

use std::time::Duration;

use super::super::{Ack, Conditions, Loss, Sent};
use super::train::Train;

/// Packets of the first train: about what RFC 6928 lets any flow begin with.
const FIRST: u32 = 16;
/// Of the second.
const SECOND: u32 = 64;
/// And at most so much of a round trip at the pace found, down to [`FIRST`].
const PART: f64 = 0.1;
/// What others seem to use, up to this, may as well be a first train that a bottleneck's burst let through too fast.
const DOUBT: f64 = 0.15;

/// It under way.
#[derive(Debug)]
pub(super) struct Start {
    packet: f64,
    /// What the interface can send, in bytes per second: no bottleneck carries more.
    line: f64,
    train: Train,
    /// What the first train told, in bytes per second.
    capacity: Option<f64>,
}

/// What the trains told, in bytes per second.
#[derive(Debug)]
pub(super) struct Verdict {
    pub capacity: f64,
    pub free: f64,
}

impl Start {
    pub fn new(conditions: Conditions) -> Self {
        Start {
            packet: conditions.packets(1.0),
            line: conditions.ceiling(),
            train: Train::new(FIRST),
            capacity: None,
        }
    }

    /// Nothing came back: from the beginning.
    pub fn restart(&mut self) {
        self.train = Train::new(FIRST);
        self.capacity = None;
    }

    pub fn pace(&self) -> f64 {
        self.capacity.unwrap_or(f64::INFINITY)
    }

    pub fn window(&self) -> f64 {
        // What is sent is not sent again when its acknowledgement makes room. Where the last of a train are lost, and nothing is to
        // come any more that would end it, one more packet asks.
        f64::from(self.train.unsettled().max(1)) * self.packet
    }

    pub fn on_sent(&mut self, sent: &Sent) {
        self.train.on_sent(sent);
    }

    pub fn on_loss(&mut self, loss: &Loss) {
        self.train.on_loss(loss);
    }

    pub fn on_ack(&mut self, ack: &Ack<'_>, base: Duration) -> Option<Verdict> {
        if !self.train.on_ack(ack) {
            return None;
        }
        if let Some(capacity) = self.capacity {
            let used = self.train.others().min(1.0);
            let arrived = self.train.arrived_at().unwrap_or(capacity);
            return Some(Verdict {
                capacity: if used < DOUBT {
                    capacity.min(arrived)
                } else {
                    capacity
                },
                free: capacity * (1.0 - used),
            });
        }
        // One acknowledgement for all tells of no spacing: what came in a round trip is known.
        let in_a_round_trip = f64::from(self.train.settled().max(1)) * self.packet;
        let capacity = self
            .train
            .arrived_at()
            .unwrap_or(in_a_round_trip / ack.rtt.as_secs_f64().max(1e-6))
            .min(self.line);
        let fitting = capacity * base.as_secs_f64() * PART / self.packet;
        self.train = Train::new((fitting as u32).clamp(FIRST, SECOND));
        self.capacity = Some(capacity);
        None
    }
}

#[cfg(test)]
mod tests {
    use longhaul_emulator::time::Time;

    use super::*;
    use crate::congestion::testing::{acknowledged, conditions};

    const GAP: Duration = Duration::from_micros(12);

    /// A train's acknowledgements, whose round trips rise by this each.
    fn train(start: &mut Start, at: Time, packets: u32, rise: Duration) -> Option<Verdict> {
        for packet in 0..packets {
            start.on_sent(&Sent {
                now: at + GAP * packet,
                bytes: 1500,
                in_flight: 1500,
                backlogged: true,
            });
        }
        let mut verdict = None;
        for packet in 0..packets {
            let mut ack = acknowledged(at + Duration::from_millis(10) + (GAP + rise) * packet);
            ack.sent = at + GAP * packet;
            ack.rtt = ack.now.since(ack.sent);
            ack.in_flight = 1500;
            verdict = verdict.or(start.on_ack(&ack, Duration::from_millis(10)));
        }
        verdict
    }

    #[test]
    fn the_trains_tell_what_the_bottleneck_carries_and_what_of_it_is_free() {
        for (rise, part) in [(Duration::ZERO, 1.0), (GAP / 4, 0.75), (GAP * 2, 0.0)] {
            let mut start = Start::new(conditions());
            assert!(train(&mut start, Time::default(), FIRST, Duration::ZERO).is_none());
            // A packet of 1500 bytes each 12 µs.
            assert!((start.pace() - 125e6).abs() < 1e3);
            let second = start.train.length();
            let at = Time::default() + Duration::from_millis(20);
            let verdict = train(&mut start, at, second, rise).unwrap();
            assert!((verdict.free - 125e6 * part).abs() < 1e5, "{rise:?}");
        }
    }

    #[test]
    fn a_train_whose_end_is_lost_is_not_the_end() {
        let mut start = Start::new(conditions());
        for packet in 0..FIRST {
            start.on_sent(&Sent {
                now: Time::default() + GAP * packet,
                bytes: 1500,
                in_flight: 1500,
                backlogged: true,
            });
        }
        let mut ack = acknowledged(Time::default() + Duration::from_millis(10));
        ack.sent = Time::default();
        ack.in_flight = 15 * 1500;
        assert!(start.on_ack(&ack, Duration::from_millis(10)).is_none());
        start.on_loss(&Loss {
            now: Time::default() + Duration::from_millis(12),
            bytes: 15 * 1500,
            packets: 15,
            sent: Time::default() + GAP * 15,
            in_flight: 0,
        });
        assert!(start.window() >= 1500.0);
        ack.now = Time::default() + Duration::from_millis(30);
        ack.in_flight = 0;
        start.on_ack(&ack, Duration::from_millis(10));
        assert!(start.capacity.is_some_and(f64::is_normal));
    }

    #[test]
    fn a_train_that_was_lost_is_sent_again() {
        let mut start = Start::new(conditions());
        start.restart();
        assert_eq!(start.window(), f64::from(FIRST) * 1500.0);
        assert!(start.pace().is_infinite());
    }
}
