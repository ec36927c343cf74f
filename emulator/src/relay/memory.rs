//! How much memory the relay may need for a lab, told before the lab comes up.

use std::collections::HashMap;
use std::time::Duration;

use longhaul_topologies::Topology;
use longhaul_topologies::model::{Channel, Direction, LinkId, QueueLimit};
use longhaul_topologies::units::{ByteSize, Rate};

use super::port::RING_MEMORY;
use crate::engine::EngineError;
use crate::plan::{ChannelId, LabPlan};

/// What one thread cannot exceed, with a margin (prototypes reached 16 Gbit/s): so no more is ever in
/// flight, in all links together, than this and the longest delay make.
const FASTEST: Rate = Rate::from_bits_per_second(40_000_000_000);
/// A packet's buffer is the next power of two, so up to twice as long as its frame.
const ROUNDING: u64 = 2;
/// What a queue without a limit is taken to hold.
const UNLIMITED_QUEUE: u64 = 256 << 20;

/// The most memory that the relay takes for a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNeed {
    /// The receive rings: the kernel's, taken at once.
    pub rings: ByteSize,
    /// Packets in propagation, as much as rates and delays allow.
    pub in_flight: ByteSize,
    /// Full bottleneck queues.
    pub queues: ByteSize,
    /// The channel with the most in flight and in its queue, and how much that is.
    pub largest: Option<(ChannelId, ByteSize)>,
}

/// What the relay may need for `plan`.
pub fn memory(plan: &LabPlan) -> MemoryNeed {
    let (mut in_flight, mut queues, mut longest) = (0_u64, 0_u64, Duration::ZERO);
    let mut largest: Option<(ChannelId, ByteSize)> = None;
    let mut scheduled = scheduled(&plan.topology);
    for lane in &plan.lanes {
        for direction in Direction::BOTH {
            let channel = match direction {
                Direction::Forward => &lane.forward,
                Direction::Reverse => &lane.reverse,
            };
            let id = ChannelId {
                link: lane.link,
                lane: lane.lane,
                direction,
            };
            let to_be = scheduled.remove(&id).unwrap_or_default();
            let (mut reach, mut flying, mut waiting) = (Duration::ZERO, 0, 0);
            for channel in to_be.into_iter().chain([channel]) {
                let longest = channel.delay_range().1;
                reach = reach.max(longest);
                flying = flying.max(product(greatest_rate(channel), longest));
                waiting = waiting.max(queue(channel, plan.topology.mtu));
            }
            in_flight = in_flight.saturating_add(flying);
            queues = queues.saturating_add(waiting);
            longest = longest.max(reach);
            let own = flying.saturating_add(waiting);
            if largest.is_none_or(|(_, most)| own > most.bytes()) {
                largest = Some((id, ByteSize::from_bytes(own)));
            }
        }
    }
    MemoryNeed {
        rings: ByteSize::from_bytes(RING_MEMORY as u64),
        in_flight: ByteSize::from_bytes(in_flight.min(product(FASTEST, longest))),
        queues: ByteSize::from_bytes(queues),
        largest,
    }
}

/// What the schedules of `topology` make of its channels.
pub(crate) fn scheduled(topology: &Topology) -> HashMap<ChannelId, Vec<&Channel>> {
    let mut scheduled: HashMap<ChannelId, Vec<&Channel>> = HashMap::new();
    for (link, described) in topology.links.iter().enumerate() {
        for change in &described.schedule {
            let id = ChannelId {
                link: LinkId(link),
                lane: change.lane,
                direction: change.direction,
            };
            scheduled.entry(id).or_default().push(&change.channel);
        }
    }
    scheduled
}

impl MemoryNeed {
    /// All of it.
    pub fn total(&self) -> ByteSize {
        let parts = [self.rings, self.in_flight, self.queues].map(ByteSize::bytes);
        ByteSize::from_bytes(parts.into_iter().fold(0, u64::saturating_add))
    }

    /// Whether it fits into what this machine has `available`.
    ///
    /// # Errors
    /// [`EngineError::Memory`], with the sum and the way out, if it does not.
    pub(super) fn check(&self, plan: &LabPlan, available: ByteSize) -> Result<(), EngineError> {
        let total = self.total();
        if total <= available {
            return Ok(());
        }
        let largest = match self.largest {
            Some((id, size)) => {
                format!("{} needs most ({})", plan.channel_name(id), mebibytes(size))
            }
            None => "it has no links".to_owned(),
        };
        Err(EngineError::Memory {
            total: mebibytes(total),
            parts: format!(
                "rings {}, packets in flight {}, queues {}",
                mebibytes(self.rings),
                mebibytes(self.in_flight),
                mebibytes(self.queues)
            ),
            available: mebibytes(available),
            largest,
        })
    }

    /// The same for a relay that is at work and was `granted` so much: it has its rings, and what is `available` lies beside them.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(super) fn check_more_than(
        &self,
        granted: ByteSize,
        plan: &LabPlan,
        available: ByteSize,
    ) -> Result<(), EngineError> {
        if self.total() <= granted {
            return Ok(());
        }
        let with_rings = available.bytes().saturating_add(self.rings.bytes());
        self.check(plan, ByteSize::from_bytes(with_rings))
    }
}

/// The buffers of what `channel` can have in flight and in its queue.
pub(crate) fn bytes_held(channel: &Channel, mtu: u32) -> u64 {
    let in_flight = product(greatest_rate(channel), channel.delay_range().1);
    in_flight.saturating_add(queue(channel, mtu))
}

fn greatest_rate(channel: &Channel) -> Rate {
    match &channel.rate_trace {
        Some(trace) => Rate::from_bits_per_second(trace.greatest().max(1)),
        None => channel.rate.unwrap_or(FASTEST),
    }
}

/// The buffers of what a rate sends within a time.
fn product(rate: Rate, time: Duration) -> u64 {
    let bytes = u128::from(rate.bytes_per_second()) * time.as_nanos() / 1_000_000_000;
    u64::try_from(bytes)
        .unwrap_or(u64::MAX)
        .saturating_mul(ROUNDING)
}

/// The buffers of a full queue. Nothing waits where there is no rate.
fn queue(channel: &Channel, mtu: u32) -> u64 {
    let bytes = match (channel.rate, channel.queue_limit) {
        (None, _) => 0,
        (Some(_), None) => UNLIMITED_QUEUE,
        (Some(_), Some(QueueLimit::Bytes(limit))) => limit.bytes(),
        (Some(_), Some(QueueLimit::Packets(packets))) => u64::from(packets) * u64::from(mtu),
    };
    bytes.saturating_mul(ROUNDING)
}

fn mebibytes(size: ByteSize) -> String {
    format!("{} MiB", size.bytes().div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::{
        Fabric, Jitter, JitterDistribution, JitterShape, Link, PacketOrder, ScheduledChange, Site,
        SiteId,
    };

    use super::*;

    /// One lane between two sites, both ways 8 Gbit/s, 50 ms and a queue of 1 MiB, but for what `change` changes.
    fn plan(change: impl Fn(&mut Channel)) -> LabPlan {
        let site = |name: &str| Site {
            name: name.to_owned(),
            place: None,
            coordinates: None,
            hosts: 1,
            fabric: Fabric::default(),
        };
        let mut channel = Channel {
            rate: Some(Rate::from_bits_per_second(8_000_000_000)),
            queue_limit: Some(QueueLimit::Bytes(ByteSize::from_bytes(1 << 20))),
            ..Channel::of_delay(Duration::from_millis(50))
        };
        change(&mut channel);
        LabPlan::new(Topology {
            name: "pair".to_owned(),
            description: String::new(),
            sites: vec![site("here"), site("there")],
            links: vec![Link::alike(SiteId(0), SiteId(1), 1, &channel)],
            mtu: 1500,
        })
    }

    #[test]
    fn a_channel_needs_what_its_rate_sends_within_its_delay_and_its_queue() {
        let need = memory(&plan(|_| {}));
        // Two channels of 50 MB in buffers of up to twice the size.
        assert_eq!(need.in_flight.bytes(), 2 * 2 * 50_000_000);
        assert_eq!(need.queues.bytes(), 2 * 2 * (1 << 20));
        assert_eq!(need.rings.bytes(), RING_MEMORY as u64);
        let jitter = Jitter {
            deviation: Duration::from_millis(5),
            shape: JitterShape::Distribution(JitterDistribution::Normal),
            order: PacketOrder::Preserved,
        };
        let need = memory(&plan(|channel| channel.jitter = Some(jitter.clone())));
        assert_eq!(need.in_flight.bytes(), 2 * 2 * 70_000_000);
    }

    #[test]
    fn what_a_channel_will_be_counts_too() {
        let mut plan = plan(|_| {});
        let longer = Channel {
            delay: Duration::from_millis(100),
            ..plan.lanes[0].forward.clone()
        };
        plan.topology.links[0].schedule = vec![ScheduledChange {
            at: Duration::from_secs(9),
            lane: 0,
            direction: Direction::Forward,
            channel: longer,
        }];
        assert_eq!(memory(&plan).in_flight.bytes(), 2 * 150_000_000);
    }

    #[test]
    fn links_without_a_rate_share_what_one_thread_can_carry() {
        let mut plan = plan(|channel| channel.rate = None);
        let one = memory(&plan);
        plan.lanes = vec![plan.lanes[0].clone(); 1_000];
        assert_eq!(memory(&plan).in_flight, one.in_flight);
        assert_eq!(one.in_flight.bytes(), 2 * 250_000_000);
        assert_eq!(one.queues.bytes(), 0);
    }

    #[test]
    fn links_may_become_what_was_granted_or_what_fits_and_nothing_else() {
        let plan = plan(|_| {});
        let need = memory(&plan);
        let (none, little) = (ByteSize::from_bytes(0), ByteSize::from_bytes(1 << 20));
        let check = |granted, available| need.check_more_than(granted, &plan, available);
        assert!(check(need.total(), little).is_ok());
        assert!(check(none, little).is_err());
        // The rings are there already.
        let beside = need.total().bytes() - need.rings.bytes();
        assert!(check(none, ByteSize::from_bytes(beside)).is_ok());
    }

    #[test]
    fn a_lab_that_does_not_fit_is_refused_with_the_sum_and_the_way_out() {
        let plan = plan(|_| {});
        let need = memory(&plan);
        assert!(need.check(&plan, need.total()).is_ok());
        let refusal = need
            .check(&plan, ByteSize::from_bytes(256 << 20))
            .unwrap_err();
        assert_eq!(
            refusal.to_string(),
            format!(
                "the relay may need 307 MiB for this lab (rings 112 MiB, packets in flight 191 MiB, queues 4 MiB), and \
                 this machine has 256 MiB available: here>there lane 0 needs most (98 MiB); lower its rate, its delay or its queue"
            )
        );
    }
}
