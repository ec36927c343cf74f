//! Rate and queue: a token bucket (`sch_tbf`) or, in a guest, a `line`, over a FIFO or another
//! [queue](super::queue).
//!
//! Layouts from `linux/pkt_sched.h`:
//! ```text
//! tc_tbf_qopt { tc_ratespec rate, peakrate; u32 limit, buffer, mtu }            1 TCA_TBF_PARMS
//! tc_ratespec { u8 cell_log, linklayer; u16 overhead; s16 cell_align; u16 mpu; u32 rate }
//! 4 TCA_TBF_RATE64   5 TCA_TBF_PRATE64   6 TCA_TBF_BURST   7 TCA_TBF_PBURST
//! ```

use std::time::Duration;

use longhaul_topologies::model::{QueueDiscipline, QueueLimit};
use longhaul_topologies::units::{ByteSize, Rate};
use netlink_packet_route::tc::TcHandle;

use super::encode::{Payload, needs_rate64, ratespec, saturated, ticks};
use super::line::Line;
use super::queue::Queue;
use super::{Object, Qdisc, ROOT_HANDLE};
use crate::guest;

const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_PRATE64: u16 = 5;
const TCA_TBF_BURST: u16 = 6;
const TCA_TBF_PBURST: u16 = 7;

/// How late the bucket's timer may fire before the rate falls short: tokens that do not fit the bucket are lost. Timer
/// interrupts come within some 50 µs, but the softirq they raise waits for a busy CPU. Measured with one TCP stream at
/// 100 Mbit/s on two cores with a load average of 18: a bucket of 1, 2 and 4 ms all carried 99 % of what headers leave.
/// So 2 ms is ample, and still short against the round trip of any WAN.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// A rate at which no packet takes a nanosecond.
const NO_RATE: Rate = Rate::from_bits_per_second(1_000_000_000_000_000);

/// The largest GSO super-packet (`GSO_LEGACY_MAX_SIZE`, 65,536) with the headers that qdiscs add for each of its segments.
const SUPER_PACKET: u64 = 2 * 65_536;

/// Fast enough to hold nothing up: a 1500-byte packet takes 12 ns. See [`Grain::WirePackets`].
const NO_PEAK: Rate = Rate::from_bits_per_second(1_000_000_000_000);

/// What the queue's unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// GSO super-packets are cut into wire packets before they queue, so that a queue of 100 packets holds 100 packets, and
    /// a full one refuses packets, not 64 KiB at a time.
    ///
    /// TBF cuts what is longer than its bucket, which must stay deep for the rate to be met; but its second bucket, of the
    /// peak rate, counts too. So that one is given the depth of one frame and a rate that never binds.
    WirePackets {
        /// The longest frame: MTU and Ethernet header.
        frame: ByteSize,
    },
    /// Super-packets pass whole: cheaper, for queues that are never to matter.
    SuperPackets,
}

/// TBF's only class.
pub(crate) const BELOW_ROOT: TcHandle = TcHandle { major: 1, minor: 1 };

/// A link's serialisation and the queue before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bottleneck {
    /// Bytes are those of Ethernet frames, as qdiscs count.
    pub rate: Rate,
    /// How much waits, the frame being sent included.
    pub queue: QueueLimit,
    /// What the queue does beside.
    pub discipline: QueueDiscipline,
    /// What the queue's unit is.
    pub grain: Grain,
}

impl Bottleneck {
    /// The qdiscs, parents first, for [`install`](super::install).
    pub fn qdiscs(&self) -> Vec<Qdisc> {
        self.qdiscs_after(None)
    }

    /// The qdiscs that make a live bottleneck, which was `before`, into this one. What waits stays, unless the queue's
    /// discipline or the unit of its limit changes.
    pub fn changes(&self, before: &Bottleneck) -> Vec<Qdisc> {
        self.qdiscs_after(Some(before))
    }

    fn qdiscs_after(&self, before: Option<&Bottleneck>) -> Vec<Qdisc> {
        self.paced(Timers::here(), before)
    }

    fn paced(&self, timers: Timers, before: Option<&Bottleneck>) -> Vec<Qdisc> {
        let queue = self.queue();
        let (mut qdiscs, below) = match (timers, self.grain) {
            (Timers::Late, _) => (vec![self.bucket(queue.limit()).root()], BELOW_ROOT),
            (Timers::Exact, Grain::WirePackets { frame }) => {
                let (line, below) = self.line().qdiscs(BELOW_ROOT, before.is_some());
                // TBF cuts what is longer than its bucket; HTB takes super-packets as they are.
                let cutter = TokenBucket {
                    rate: NO_RATE,
                    burst: frame,
                    peak: None,
                    limit: 0,
                };
                (std::iter::once(cutter.root()).chain(line).collect(), below)
            }
            (Timers::Exact, Grain::SuperPackets) => {
                self.line().qdiscs(TcHandle::ROOT, before.is_some())
            }
        };
        qdiscs.extend(queue.qdiscs(below, before.map(Bottleneck::queue).as_ref()));
        qdiscs
    }

    fn queue(&self) -> Queue {
        Queue {
            discipline: self.discipline,
            limit: self.queue,
            frame: self.longest(),
        }
    }

    /// The bucket's depth: the longest packet, and what the timer may be late by.
    fn burst(&self) -> ByteSize {
        let slack = self.rate.size_in(TIMER_SLACK);
        ByteSize::from_bytes(self.longest().bytes() + slack.bytes())
    }

    fn line(&self) -> Line {
        Line {
            rate: self.rate,
            frame: self.longest(),
        }
    }

    /// The longest of what queues.
    fn longest(&self) -> ByteSize {
        match self.grain {
            Grain::WirePackets { frame } => frame,
            Grain::SuperPackets => ByteSize::from_bytes(SUPER_PACKET),
        }
    }

    fn bucket(&self, limit: u32) -> TokenBucket {
        TokenBucket {
            rate: self.rate,
            burst: self.burst(),
            peak: match self.grain {
                Grain::WirePackets { frame } => Some((self.peak(), frame)),
                Grain::SuperPackets => None,
            },
            limit,
        }
    }

    /// The kernel wants the peak rate above the rate.
    fn peak(&self) -> Rate {
        let twice = Rate::from_bits_per_second(self.rate.bits_per_second().saturating_mul(2));
        NO_PEAK.max(twice)
    }
}

/// How late the timers go off that tell a shaper that a packet may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timers {
    /// Not at all: a guest's time waits for them.
    Exact,
    /// As much as the machine has to do.
    Late,
}

impl Timers {
    fn here() -> Self {
        if guest::init::is_guest() {
            Timers::Exact
        } else {
            Timers::Late
        }
    }
}

/// `sch_tbf`'s parameters.
struct TokenBucket {
    rate: Rate,
    burst: ByteSize,
    /// The second bucket: its rate and depth.
    peak: Option<(Rate, ByteSize)>,
    /// In the child's unit, bytes or packets: a change of TBF passes it on to whatever FIFO is there (`fifo_set_limit`).
    limit: u32,
}

impl TokenBucket {
    fn root(&self) -> Qdisc {
        Qdisc {
            object: Object::Qdisc,
            parent: TcHandle::ROOT,
            handle: ROOT_HANDLE,
            kind: "tbf",
            options: self.options(),
        }
    }

    fn options(&self) -> Vec<u8> {
        let rate = self.rate.bytes_per_second();
        let depth = |rate: Rate, size| ticks(saturated_nanoseconds(rate.time_for(size)));
        let peak_rate = self.peak.map_or(0, |(peak, _)| peak.bytes_per_second());
        let parameters = ratespec(ratespec(Payload::default(), rate), peak_rate)
            .u32(self.limit)
            .u32(depth(self.rate, self.burst))
            .u32(self.peak.map_or(0, |(peak, frame)| depth(peak, frame)));
        let burst = Payload::default().u32(saturated(self.burst.bytes()));
        let mut options = Payload::default()
            .attribute(TCA_TBF_PARMS, parameters)
            .attribute(TCA_TBF_BURST, burst);
        if needs_rate64(rate) {
            options = options.attribute(TCA_TBF_RATE64, Payload::default().u64(rate));
        }
        if let Some((_, frame)) = self.peak {
            options = options
                .attribute(TCA_TBF_PRATE64, Payload::default().u64(peak_rate))
                .attribute(
                    TCA_TBF_PBURST,
                    Payload::default().u32(saturated(frame.bytes())),
                );
        }
        options.into_bytes()
    }
}

fn saturated_nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::encode::hex;
    use super::*;

    fn bottleneck(rate: &str, queue: QueueLimit, grain: Grain) -> Bottleneck {
        let rate = rate.parse().unwrap();
        Bottleneck {
            rate,
            queue,
            discipline: QueueDiscipline::DropTail,
            grain,
        }
    }

    const FRAMES: Grain = Grain::WirePackets {
        frame: ByteSize::from_bytes(1514),
    };

    #[test]
    #[cfg(target_endian = "little")]
    fn a_port_is_a_bucket_and_a_queue_in_bytes() {
        let queue = QueueLimit::Bytes(ByteSize::from_bytes(1_000_000));
        let [tbf, fifo] = &bottleneck("1Gbit", queue, Grain::SuperPackets).qdiscs()[..] else {
            panic!("two")
        };
        // The bucket: 131,072 + 250,000 = 381,072 bytes, or 3,048,576 ns = 47,634 ticks.
        insta::assert_snapshot!(hex(&tbf.options), @"28000100 00010000 00000000 40597307 00000000 00000000 00000000 40420f00 12ba0000 00000000 08000600 90d00500");
        insta::assert_snapshot!(hex(&fifo.options), @"40420f00");
        assert_eq!((tbf.kind, fifo.kind), ("tbf", "bfifo"));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn wire_packets_get_a_second_bucket_of_one_frame() {
        let [tbf, fifo] = &bottleneck("100Mbit", QueueLimit::Packets(100), FRAMES).qdiscs()[..]
        else {
            panic!("two")
        };
        insta::assert_snapshot!(hex(&tbf.options), @"28000100 00010000 00000000 20bcbe00 00010000 00000000 ffffffff 64000000 76810000 00000000 08000600 92670000 0c000500 00a2941a 1d000000 08000700 ea050000");
        insta::assert_snapshot!(hex(&fifo.options), @"64000000");
        assert_eq!(fifo.kind, "pfifo");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn rates_beyond_32_bits_have_an_attribute_of_their_own() {
        let [tbf, _] = &bottleneck("800Gbit", QueueLimit::Packets(100), FRAMES).qdiscs()[..] else {
            panic!("two")
        };
        insta::assert_snapshot!(hex(&tbf.options), @"28000100 00010000 00000000 ffffffff 00010000 00000000 ffffffff 64000000 127a0000 00000000 08000600 eac7eb0b 0c000400 00e87648 17000000 0c000500 00d0ed90 2e000000 08000700 ea050000");
    }

    #[test]
    fn the_bucket_holds_a_frame_and_two_milliseconds() {
        let slow = bottleneck("1Mbit", QueueLimit::Packets(1), FRAMES);
        assert_eq!(slow.burst().bytes(), 1514 + 250);
        let fast = bottleneck("10Gbit", QueueLimit::Packets(1), FRAMES);
        assert_eq!(fast.burst().bytes(), 1514 + 2_500_000);
    }

    #[test]
    fn where_timers_are_exact_a_line_stands_below_what_cuts_super_packets() {
        let handles = |before: Option<&Bottleneck>, grain| {
            let qdiscs =
                bottleneck("1Gbit", QueueLimit::Packets(100), grain).paced(Timers::Exact, before);
            let tell = |qdisc: &Qdisc| {
                let (parent, handle) = (qdisc.parent, qdisc.handle);
                let object = match qdisc.object {
                    Object::Qdisc => "",
                    Object::Class => " class",
                };
                format!("{}{object} {handle} below {parent}", qdisc.kind)
            };
            qdiscs.iter().map(tell).collect::<Vec<_>>()
        };
        let (class, queue) = ("htb class 11:1 below 11:0", "pfifo 3:0 below 11:1");
        let root = "tbf 1:0 below 65535:65535";
        let frames = handles(None, FRAMES);
        assert_eq!(frames, [root, "htb 11:0 below 1:1", class, queue]);
        let super_packets = handles(None, Grain::SuperPackets);
        assert_eq!(super_packets, ["htb 11:0 below 65535:65535", class, queue]);
        let before = bottleneck("2Gbit", QueueLimit::Packets(100), FRAMES);
        let changed = handles(Some(&before), FRAMES);
        assert_eq!(
            changed,
            [root, class, queue],
            "htb itself cannot be changed"
        );
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn what_cuts_super_packets_has_no_rate() {
        let qdiscs =
            bottleneck("1Gbit", QueueLimit::Packets(100), FRAMES).paced(Timers::Exact, None);
        insta::assert_snapshot!(hex(&qdiscs[0].options), @"28000100 00010000 00000000 ffffffff 00000000 00000000 00000000 00000000 00000000 00000000 08000600 ea050000 0c000400 00d098d4 af710000");
    }

    #[test]
    fn the_peak_rate_is_above_any_rate() {
        let fast = bottleneck("4Tbit", QueueLimit::Packets(1), FRAMES);
        assert!(fast.peak() > fast.rate);
    }
}
