//! The start: two short trains, a round trip each.
//!
//! The first leaves as fast as it can; how its packets are spaced when they arrive is what the bottleneck carries (acknowledgements may be
//! spaced otherwise, by what waits on their way). The second leaves at
//! that pace: what others send through the bottleneck meanwhile makes its delay grow, by as much per time as they use of it. Where other flows
//! start at the same time, first trains meet, and each is told a part: a few packets behind the second train, as fast as they can again, pass
//! between those of others' second trains.

use std::time::Duration;

use super::super::{Ack, Conditions, Loss, Sent};
use super::train::{ASKING, MORE, Train};

/// Packets of the first train…
const FIRST: u32 = 16;
/// … and down to [`LEAST`] where those are long: bytes, about what RFC 6928 lets any flow begin with.
const FIRST_BYTES: f64 = 24_000.0;
/// Packets of a train at least: fewer tell too little.
const LEAST: u32 = 8;
/// Of the second at most.
const SECOND: u32 = 60;
/// And at most so much of a round trip at the pace found, down to [`LEAST`].
const PART: f64 = 0.1;
/// What others seem to use, up to this, may as well be a first train that a bottleneck's burst let through too fast.
const DOUBT: f64 = 0.15;

/// It under way. Rates in bytes per second.
#[derive(Debug)]
pub(super) struct Start {
    packet: f64,
    /// What the interface can send: no bottleneck carries more.
    line: f64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// As fast as it can.
    First(Train),
    /// At the pace that the first train arrived at, and then a few as fast as they can.
    Second {
        pace: f64,
        train: Train,
        /// What others used meanwhile, once that is known.
        used: Option<f64>,
        asking: Train,
    },
}

/// What the trains told, in bytes per second.
#[derive(Debug)]
pub(super) struct Verdict {
    pub capacity: f64,
    /// Of the pace of the second train, what others have left.
    pub free: f64,
    /// That pace: a part of the capacity, where other starts were met.
    pub pace: f64,
}

impl Start {
    pub fn new(conditions: Conditions) -> Self {
        let packet = conditions.packets(1.0);
        Start {
            packet,
            line: conditions.ceiling(),
            stage: Stage::first(packet),
        }
    }

    /// Nothing came back: from the beginning.
    pub fn restart(&mut self) {
        self.stage = Stage::first(self.packet);
    }

    pub fn pace(&self) -> f64 {
        match &self.stage {
            Stage::Second { pace, train, .. } if train.remaining() > 0 => *pace,
            _ => f64::INFINITY,
        }
    }

    pub fn window(&self) -> f64 {
        let unsettled = match &self.stage {
            Stage::First(train) => train.unsettled(),
            Stage::Second { train, asking, .. } => train.unsettled() + asking.unsettled(),
        };
        // What is sent is not sent again when its acknowledgement makes room. Where the last of a train are lost, and nothing is to
        // come any more that would end it, one more packet asks.
        f64::from(unsettled.max(1)) * self.packet
    }

    pub fn on_sent(&mut self, sent: &Sent) {
        match &mut self.stage {
            Stage::Second { train, asking, .. } if train.remaining() == 0 => asking.on_sent(sent),
            Stage::First(train) | Stage::Second { train, .. } => train.on_sent(sent),
        }
    }

    pub fn on_loss(&mut self, loss: &Loss) {
        match &mut self.stage {
            Stage::First(train) => train.on_loss(loss),
            Stage::Second { train, asking, .. } => {
                train.on_loss(loss);
                asking.on_loss(loss);
            }
        }
    }

    pub fn on_ack(&mut self, ack: &Ack<'_>, base: Duration) -> Option<Verdict> {
        match &mut self.stage {
            Stage::First(train) => {
                if train.on_ack(ack) {
                    // One acknowledgement for all tells of no spacing: what came in a round trip is known.
                    let in_a_round_trip = f64::from(train.settled().max(1)) * self.packet;
                    let pace = train
                        .arrived_at()
                        .unwrap_or(in_a_round_trip / ack.rtt.as_secs_f64().max(1e-6))
                        .min(self.line);
                    let fitting = pace * base.as_secs_f64() * PART / self.packet;
                    let length = (fitting as u32).clamp(LEAST, SECOND);
                    self.stage = Stage::Second {
                        pace,
                        train: Train::new(length),
                        used: None,
                        asking: Train::new(ASKING),
                    };
                }
                None
            }
            Stage::Second {
                pace,
                train,
                used,
                asking,
            } => {
                if used.is_none() && train.on_ack(ack) {
                    *used = Some(train.others().min(1.0));
                }
                let used = (*used)?;
                // An application that had no more to send does not ask.
                if !asking.on_ack(ack) && ack.in_flight > 0 {
                    return None;
                }
                let arrived = train.arrived_at().filter(|_| used < DOUBT);
                let seen = pace.min(arrived.unwrap_or(*pace));
                let asked = asking.arrived_at().unwrap_or(0.0).min(self.line);
                Some(Verdict {
                    capacity: if asked > MORE * seen { asked } else { seen },
                    free: *pace * (1.0 - used),
                    pace: *pace,
                })
            }
        }
    }
}

impl Stage {
    fn first(packet: f64) -> Self {
        let fitting = (FIRST_BYTES / packet) as u32;
        Stage::First(Train::new(fitting.clamp(LEAST, FIRST)))
    }
}

#[cfg(test)]
mod tests {
    use longhaul_emulator::time::Time;

    use super::*;
    use crate::congestion::testing::{acknowledged, conditions};

    const GAP: Duration = Duration::from_micros(12);
    const WAY: Duration = Duration::from_millis(10);

    /// A train that leaves at `at`, and its acknowledgements, which come at this spacing after a packet each 12 µs.
    fn train(start: &mut Start, at: Time, packets: u32, spacing: Duration) -> Option<Verdict> {
        for packet in 0..packets {
            start.on_sent(&sent(at + GAP * packet));
        }
        let mut verdict = None;
        for packet in 0..packets {
            let mut ack = acknowledged(at + WAY + spacing * packet);
            ack.sent = at + GAP * packet;
            ack.rtt = ack.now.since(ack.sent);
            ack.in_flight = 1500;
            verdict = verdict.or(start.on_ack(&ack, WAY));
        }
        verdict
    }

    fn sent(now: Time) -> Sent {
        Sent {
            now,
            bytes: 1500,
            in_flight: 1500,
            backlogged: true,
        }
    }

    /// Packets of the second train.
    fn second(start: &Start) -> u32 {
        match &start.stage {
            Stage::Second { train, .. } => train.length(),
            Stage::First(_) => panic!("the first is not over"),
        }
    }

    #[test]
    fn the_trains_tell_what_the_bottleneck_carries_and_what_of_it_is_free() {
        for (spacing, part) in [(GAP, 1.0), (GAP + GAP / 4, 0.75), (GAP * 3, 0.0)] {
            let mut start = Start::new(conditions());
            assert!(train(&mut start, Time::default(), FIRST, GAP).is_none());
            // A packet of 1500 bytes each 12 µs.
            assert!((start.pace() - 125e6).abs() < 1e3);
            let at = Time::default() + WAY * 2;
            let length = second(&start);
            assert!(train(&mut start, at, length, spacing).is_none());
            assert!(start.pace().is_infinite());
            let verdict = train(&mut start, at + WAY, ASKING, GAP).unwrap();
            assert!((verdict.free - 125e6 * part).abs() < 1e5, "{spacing:?}");
            assert!((verdict.capacity - 125e6).abs() < 1e3);
        }
    }

    #[test]
    fn what_first_trains_that_met_did_not_see_is_asked_again() {
        let mut start = Start::new(conditions());
        train(&mut start, Time::default(), FIRST, GAP * 8);
        assert!((start.pace() - 125e6 / 8.0).abs() < 1e3);
        let at = Time::default() + WAY * 2;
        let length = second(&start);
        train(&mut start, at, length, GAP);
        let verdict = train(&mut start, at + WAY, ASKING, GAP).unwrap();
        assert!((verdict.capacity - 125e6).abs() < 1e3);
        assert!((verdict.pace - 125e6 / 8.0).abs() < 1e3);
    }

    #[test]
    fn an_application_with_less_to_send_ends_it() {
        let mut start = Start::new(conditions());
        train(&mut start, Time::default(), FIRST, GAP);
        let at = Time::default() + WAY * 2;
        start.on_sent(&sent(at));
        let mut ack = acknowledged(at + WAY);
        ack.sent = at;
        assert!(start.on_ack(&ack, WAY).is_some());
    }

    #[test]
    fn long_packets_make_short_first_trains() {
        for (packet, length) in [
            (500.0, FIRST),
            (1500.0, FIRST),
            (2400.0, 10),
            (9000.0, LEAST),
        ] {
            let Stage::First(train) = Stage::first(packet) else {
                panic!("it begins with the first");
            };
            assert_eq!(train.length(), length);
        }
    }

    #[test]
    fn a_train_whose_end_is_lost_is_not_the_end() {
        let mut start = Start::new(conditions());
        for packet in 0..FIRST {
            start.on_sent(&sent(Time::default() + GAP * packet));
        }
        let mut ack = acknowledged(Time::default() + WAY);
        ack.sent = Time::default();
        ack.in_flight = 15 * 1500;
        assert!(start.on_ack(&ack, WAY).is_none());
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
        start.on_ack(&ack, WAY);
        assert!(start.pace().is_normal());
    }

    #[test]
    fn a_train_that_was_lost_is_sent_again() {
        let mut start = Start::new(conditions());
        start.restart();
        assert_eq!(start.window(), f64::from(FIRST) * 1500.0);
        assert!(start.pace().is_infinite());
    }
}
