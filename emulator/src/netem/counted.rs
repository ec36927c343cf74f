//! From the kernel's counters, which start again with their qdiscs, to a channel's.

use longhaul_topologies::model::{Channel, LaneState, Loss};

use crate::engine::ChannelCounters;
use crate::tc::stats::{EarlyStats, QdiscStats};

/// What the kernel's counters of one channel have told so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// All that the bottleneck dropped: the token bucket counts what the queue below it drops, too.
    bottleneck_drops: Meter,
    early_drops: Meter,
    marks: Meter,
    queue_drops: u64,
    netem_drops: Meter,
    interface_drops: Meter,
    losses: u64,
    outage_drops: u64,
    engine_drops: u64,
}

/// New readings of one channel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readings {
    pub bottleneck: QdiscStats,
    /// Of the queue below the bottleneck's token bucket.
    pub early: EarlyStats,
    pub delay_line: QdiscStats,
    /// What its interfaces dropped.
    pub interface_drops: u64,
}

/// Follows a counter of the kernel that starts again when its qdisc is replaced.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    last: u64,
    total: u64,
}

impl Counted {
    /// Takes new readings; `channel` is what the channel was since the last ones.
    pub(super) fn read(&mut self, channel: &Channel, readings: Readings) -> ChannelCounters {
        let Readings {
            bottleneck,
            early,
            delay_line,
            interface_drops,
        } = readings;
        self.bottleneck_drops.follow(bottleneck.drops.into());
        self.early_drops.follow(early.drops.into());
        self.marks.follow(early.marks.into());
        // What a queue drops as packets leave it, the bucket may get to know a packet later; a counter does not fall.
        let full = self
            .bottleneck_drops
            .total
            .saturating_sub(self.early_drops.total);
        self.queue_drops = self.queue_drops.max(full);
        let drops = self.netem_drops.follow(delay_line.drops.into());
        match (channel.state, &channel.loss) {
            (LaneState::Down, _) => self.outage_drops += drops,
            // Its limit is out of reach, but memory is not.
            (LaneState::Up, Loss::None) => self.engine_drops += drops,
            (LaneState::Up, _) => self.losses += drops,
        }
        self.engine_drops += self.interface_drops.follow(interface_drops);
        ChannelCounters {
            packets: delay_line.packets,
            bytes: delay_line.bytes,
            queue_drops: self.queue_drops,
            early_drops: self.early_drops.total,
            marks: self.marks.total,
            outage_drops: self.outage_drops,
            losses: Some(self.losses),
            engine_drops: self.engine_drops,
            queue_packets: bottleneck.queued_packets.into(),
            queue_bytes: bottleneck.queued_bytes.into(),
        }
    }
}

impl Meter {
    /// Takes a new reading; returns what came on top of the last.
    fn follow(&mut self, reading: u64) -> u64 {
        let more = if reading < self.last {
            reading
        } else {
            reading - self.last
        };
        self.last = reading;
        self.total += more;
        more
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use longhaul_topologies::units::Probability;

    use super::*;

    #[test]
    fn a_meter_goes_on_when_its_counter_starts_again() {
        let mut meter = Meter::default();
        assert_eq!(
            [5, 7, 7, 2].map(|reading| meter.follow(reading)),
            [5, 2, 0, 2]
        );
        assert_eq!(meter.total, 9);
    }

    fn channel(state: LaneState, loss: Loss) -> Channel {
        Channel {
            state,
            loss,
            ..Channel::of_delay(Duration::ZERO)
        }
    }

    fn dropped(drops: u32) -> QdiscStats {
        QdiscStats {
            drops,
            ..QdiscStats::default()
        }
    }

    #[test]
    fn drops_are_losses_only_where_loss_was_asked_for() {
        let mut counted = Counted::default();
        let readings = |queue, line, interface_drops| Readings {
            bottleneck: dropped(queue),
            delay_line: dropped(line),
            interface_drops,
            ..Readings::default()
        };
        let without = channel(LaneState::Up, Loss::None);
        let counters = counted.read(&without, readings(3, 2, 0));
        assert_eq!(
            (counters.queue_drops, counters.losses, counters.engine_drops),
            (3, Some(0), 2)
        );
        let half = Loss::Independent(Probability::new(0.5).unwrap());
        let lossy = channel(LaneState::Up, half.clone());
        let counters = counted.read(&lossy, readings(3, 12, 1));
        assert_eq!(
            (counters.queue_drops, counters.losses, counters.engine_drops),
            (3, Some(10), 3)
        );
        let cut = channel(LaneState::Down, half);
        let counters = counted.read(&cut, readings(3, 17, 1));
        assert_eq!((counters.losses, counters.outage_drops), (Some(10), 5));
    }

    #[test]
    fn early_drops_are_not_those_of_a_full_queue() {
        let mut counted = Counted::default();
        let mut read = |all, early, marks| {
            let readings = Readings {
                bottleneck: dropped(all),
                early: EarlyStats {
                    index: 1,
                    marks,
                    drops: early,
                },
                ..Readings::default()
            };
            let counters = counted.read(&channel(LaneState::Up, Loss::None), readings);
            (counters.queue_drops, counters.early_drops, counters.marks)
        };
        assert_eq!(read(10, 4, 2), (6, 4, 2));
        // The bucket does not know of the last one yet.
        assert_eq!(read(10, 5, 2), (6, 5, 2));
        assert_eq!(read(11, 5, 3), (6, 5, 3));
        // Another discipline takes over, and the queue that went held seven.
        assert_eq!(read(18, 1, 1), (12, 6, 4));
    }
}
