//! When the next packet may leave.

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::{ByteSize, Rate};

/// How much may leave at once, as time at the pace: below it, timers of a busy machine would set the rate; above it, bursts
/// would fill shallow queues.
pub(crate) const BURST: Duration = Duration::from_micros(100);

/// The bounds of a burst: two packets, so that one can be late, and what one segmentation offload takes.
const LEAST_PACKETS: u64 = 2;
const MOST_BYTES: u64 = 64 << 10;

/// What leaves as one super-packet at most, as time at the pace: links and interfaces may deliver it as one, when its last byte has
/// come, and what the first ones waited for those behind them looks like a queue then.
const SUPER_PACKET: Duration = Duration::from_micros(15);

/// Spaces packets by the rate that each left at.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// When the next packet would leave if packets left singly.
    due: Time,
}

impl Pacer {
    /// When a packet of `bytes` may leave, if not now.
    pub(crate) fn wait(&self, now: Time, rate: Option<Rate>, bytes: u64) -> Option<Time> {
        let burst = burst(rate?, bytes);
        (self.due > now + burst).then(|| self.due - burst)
    }

    /// A packet left.
    pub(crate) fn sent(&mut self, now: Time, rate: Option<Rate>, bytes: u64) {
        if let Some(rate) = rate {
            self.due = self.due.max(now) + time(rate, bytes);
        }
    }
}

/// Bytes of one super-packet at most; all that there is if nothing paces them.
pub(super) fn super_packet(rate: Option<Rate>) -> u64 {
    rate.map_or(u64::MAX, |rate| rate.size_in(SUPER_PACKET).bytes())
}

fn burst(rate: Rate, packet: u64) -> Duration {
    let most = time(rate, MOST_BYTES);
    let least = time(rate, packet * (LEAST_PACKETS - 1));
    BURST.min(most).max(least)
}

/// A rate of zero is a law's word for "hardly anything": a byte a second keeps the arithmetic whole.
fn time(rate: Rate, bytes: u64) -> Duration {
    let rate = rate.max(Rate::from_bits_per_second(8));
    rate.time_for(ByteSize::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_burst_packets_leave_at_the_rate() {
        let rate = Some(Rate::from_bits_per_second(8_000_000));
        let mut pacer = Pacer::default();
        let mut now = Time::from_nanos(1_000_000_000);
        let start = now;
        for _ in 0..100 {
            if let Some(later) = pacer.wait(now, rate, 1000) {
                now = later;
            }
            pacer.sent(now, rate, 1000);
        }
        // A packet lasts 1 ms at this rate; the first two go at once.
        assert_eq!(now.since(start), Duration::from_millis(98));
    }

    #[test]
    fn a_super_packet_is_short_at_any_pace_and_as_long_as_can_be_without_one() {
        let rate = Rate::from_bits_per_second(8_000_000_000);
        assert_eq!(super_packet(Some(rate)), 15_000);
        assert_eq!(super_packet(None), u64::MAX);
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut pacer = Pacer::default();
        for _ in 0..10 {
            assert_eq!(pacer.wait(Time::default(), None, 9000), None);
            pacer.sent(Time::default(), None, 9000);
        }
    }
}
