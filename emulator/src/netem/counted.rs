//! From the kernel's counters, which start again with their qdiscs, to a channel's.

use longhaul_topologies::model::Loss;

use crate::engine::ChannelCounters;
use crate::tc::stats::QdiscStats;

/// What the kernel's counters of one channel have told so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    queue_drops: Meter,
    netem_drops: Meter,
    interface_drops: Meter,
    losses: u64,
    engine_drops: u64,
}

/// Follows a counter of the kernel that starts again when its qdisc is replaced.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    last: u64,
    total: u64,
}

impl Counted {
    /// Takes new readings of the channel's two qdiscs and of what its interfaces dropped; `loss` is the channel's since the
    /// last ones.
    pub(super) fn read(
        &mut self,
        loss: &Loss,
        bottleneck: QdiscStats,
        delay_line: QdiscStats,
        interface_drops: u64,
    ) -> ChannelCounters {
        self.queue_drops.follow(bottleneck.drops.into());
        let drops = self.netem_drops.follow(delay_line.drops.into());
        match loss {
            // Its limit is out of reach, but memory is not.
            Loss::None => self.engine_drops += drops,
            _ => self.losses += drops,
        }
        self.engine_drops += self.interface_drops.follow(interface_drops);
        ChannelCounters {
            packets: delay_line.packets,
            bytes: delay_line.bytes,
            queue_drops: self.queue_drops.total,
            early_drops: 0,
            marks: 0,
            outage_drops: 0,
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

    #[test]
    fn drops_are_losses_only_where_loss_was_asked_for() {
        let mut counted = Counted::default();
        let line = |drops| QdiscStats {
            drops,
            ..QdiscStats::default()
        };
        let counters = counted.read(&Loss::None, line(3), line(2), 0);
        assert_eq!(
            (counters.queue_drops, counters.losses, counters.engine_drops),
            (3, Some(0), 2)
        );
        let half = Loss::Independent(Probability::new(0.5).unwrap());
        let counters = counted.read(&half, line(3), line(12), 1);
        assert_eq!(
            (counters.queue_drops, counters.losses, counters.engine_drops),
            (3, Some(10), 3)
        );
    }
}
