//! After overload: from the cut to a line that is in use, without a queue.
//!
//! What the cut makes of the rate is as rough as what it was seen by. But in the round trip after it arrives what had been sent before, out of a
//! bottleneck that was full: so much of that is the flow's share, and all shares are what the bottleneck carries. The queue that is left
//! drains while all send a little less than their shares, and keeps the line in use meanwhile; the law, to which it is congestion, would go on
//! yielding until nothing is left of either.

use std::time::Duration;

use longhaul_emulator::time::Time;

use super::super::Ack;

/// Part of the share that is sent while the queue drains.
const DRAIN: f64 = 0.8;
/// Packets that have to arrive after the cut for a share to be told from them; of fewer, what the cut made of the rate is taken for it.
const FEWEST: u32 = 8;

/// What is under way.
#[derive(Debug)]
pub(super) struct Settle {
    stage: Stage,
    since: Time,
    /// The longest queue so far, in seconds.
    queue: f64,
}

#[derive(Debug)]
enum Stage {
    /// What was sent before the cut arrives: so much so far, and the share, in bytes per second, once it all has.
    Measure {
        packets: u32,
        bytes: u64,
        share: Option<f64>,
    },
    /// The queue drains, until then at the latest: others may fill it.
    Drain { share: f64, until: Time },
    /// The rate is the share; what was sent before tells of the queue.
    Wait,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Nothing yet.
    Stay,
    /// The rate is to be this, in bytes per second.
    Drain(f64),
    /// The share is this, in bytes per second, and free to be taken.
    Claim(f64),
    /// It is over.
    Done,
}

impl Settle {
    /// The rate was cut.
    pub fn new(now: Time) -> Self {
        Settle {
            stage: Stage::Measure {
                packets: 0,
                bytes: 0,
                share: None,
            },
            since: now,
            queue: 0.0,
        }
    }

    /// So many seconds more than a round trip a packet is under way.
    pub fn queue(&self) -> f64 {
        self.queue
    }

    /// The rate is this now, and the packet met this queue (in seconds).
    pub fn on_ack(&mut self, ack: &Ack<'_>, rate: f64, queue: f64) {
        self.queue = self.queue.max(queue);
        let Stage::Measure {
            packets,
            bytes,
            share: share @ None,
        } = &mut self.stage
        else {
            return;
        };
        *packets += ack.packets;
        *bytes += ack.bytes;
        if ack.sent >= self.since {
            // Not over the time in which it was sent: what was lost of that had no room in the bottleneck.
            let took = ack.now.since(self.since).as_secs_f64();
            let tells = *packets >= FEWEST && !ack.application_limited;
            *share = Some(if tells { *bytes as f64 / took } else { rate });
        }
    }

    /// A slice ended that met this queue in seconds, where a round trip without it is so many.
    pub fn step(&mut self, ack: &Ack<'_>, queue: f64, trip: f64) -> Step {
        // Nothing has told yet of what drained since its packets left.
        let is_drained = queue <= (1.0 - DRAIN) * (trip + queue);
        match self.stage {
            Stage::Measure {
                share: Some(share), ..
            } => {
                if is_drained {
                    return self.claim(ack.now, share);
                }
                let drains = Duration::from_secs_f64(queue / (1.0 - DRAIN));
                self.stage = Stage::Drain {
                    share,
                    until: ack.now + drains,
                };
                Step::Drain(share * DRAIN)
            }
            Stage::Drain { share, until } if is_drained || ack.now >= until => {
                self.claim(ack.now, share)
            }
            Stage::Wait if ack.sent >= self.since => Step::Done,
            _ => Step::Stay,
        }
    }

    fn claim(&mut self, now: Time, share: f64) -> Step {
        self.stage = Stage::Wait;
        self.since = now;
        Step::Claim(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::acknowledged;

    const TRIP: f64 = 0.01;
    const SHARE: f64 = 125e6;
    /// What the cut made of the rate.
    const CUT: f64 = 100e6;

    fn at(millis: u64) -> Time {
        Time::default() + Duration::from_millis(millis)
    }

    /// The newest of so many packets sent and acknowledged then.
    fn ack(sent: u64, now: u64, packets: u32) -> Ack<'static> {
        let mut ack = acknowledged(at(now));
        ack.sent = at(sent);
        ack.packets = packets;
        ack.bytes = 125_000 * u64::from(packets);
        ack
    }

    /// One cut at 100 ms, with a queue of this long, of which the first packet sent after it has told, and so many before it.
    fn measured(queue: f64, packets: u32) -> (Settle, Step) {
        let mut settle = Settle::new(at(100));
        let before = ack(99, 110, packets);
        settle.on_ack(&before, CUT, queue);
        assert_eq!(settle.step(&before, queue, TRIP), Step::Stay);
        let after = ack(101, 120, 1);
        settle.on_ack(&after, CUT, queue);
        let step = settle.step(&after, queue, TRIP);
        (settle, step)
    }

    #[test]
    fn the_share_is_what_arrives_after_the_cut_and_the_queue_drains_below_it() {
        let (mut settle, step) = measured(TRIP, 19);
        assert_eq!(step, Step::Drain(SHARE * DRAIN));
        assert_eq!(settle.queue(), TRIP, "is room in flight");
        assert_eq!(settle.step(&ack(120, 140, 1), TRIP / 2.0, TRIP), Step::Stay);
        // A fifth of what is under way drains until more has arrived.
        let step = settle.step(&ack(138, 150, 1), TRIP / 5.0, TRIP);
        assert_eq!(step, Step::Claim(SHARE));
        assert_eq!(settle.step(&ack(149, 155, 1), TRIP / 8.0, TRIP), Step::Stay);
        assert_eq!(settle.step(&ack(150, 160, 1), 0.0, TRIP), Step::Done);
    }

    #[test]
    fn a_short_queue_drains_by_itself() {
        assert_eq!(measured(TRIP / 8.0, 19).1, Step::Claim(SHARE));
    }

    #[test]
    fn a_queue_that_others_fill_is_not_waited_for() {
        let (mut settle, _) = measured(TRIP, 19);
        assert_eq!(settle.step(&ack(150, 169, 1), TRIP, TRIP), Step::Stay);
        assert_eq!(
            settle.step(&ack(151, 170, 1), TRIP, TRIP),
            Step::Claim(SHARE)
        );
    }

    #[test]
    fn what_an_application_sent_and_a_few_packets_are_no_share() {
        assert_eq!(measured(0.0, FEWEST - 2).1, Step::Claim(CUT));
        let mut settle = Settle::new(at(100));
        let mut after = ack(101, 120, 20);
        after.application_limited = true;
        settle.on_ack(&after, CUT, 0.0);
        assert_eq!(settle.step(&after, 0.0, TRIP), Step::Claim(CUT));
    }
}
