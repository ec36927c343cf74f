//! Delay, jitter, loss, duplication and corruption: `sch_netem`.
//!
//! Layouts from `linux/pkt_sched.h`:
//! ```text
//! tc_netem_qopt { u32 latency, limit, loss, gap, duplicate, jitter }   latency and jitter in ticks of 64 ns
//!  2 DELAY_DIST s16[]   4 CORRUPT { u32 probability, correlation }
//!  5 LOSS nest: 1 GI { u32 p13, p31, p32, p14, p23 } or 2 GE { u32 p, r, h, k1 }
//!  6 RATE { u32 rate; s32 packet_overhead; u32 cell_size; s32 cell_overhead }   8 RATE64 u64
//! 10 LATENCY64 s64 ns   11 JITTER64 s64 ns   14 PRNG_SEED u64
//! ```
//! A change keeps what the request leaves out, so every request says all that any request ever says.

use std::time::Duration;

use longhaul_topologies::model::{Channel, FourState, Jitter, LaneState, Loss, PacketOrder};
use longhaul_topologies::units::Probability;
use netlink_packet_route::tc::TcHandle;

use super::encode::{Payload, ticks};
use super::{Object, Qdisc, ROOT_HANDLE};
use crate::distribution;

const TCA_NETEM_DELAY_DIST: u16 = 2;
const TCA_NETEM_CORRUPT: u16 = 4;
const TCA_NETEM_LOSS: u16 = 5;
const TCA_NETEM_RATE: u16 = 6;
const TCA_NETEM_RATE64: u16 = 8;
const TCA_NETEM_LATENCY64: u16 = 10;
const TCA_NETEM_JITTER64: u16 = 11;
const TCA_NETEM_PRNG_SEED: u16 = 14;
const NETEM_LOSS_GI: u16 = 1;
const NETEM_LOSS_GE: u16 = 2;

/// How many packets may be under way. No limit: it could not be told from loss, and the bottleneck before the delay line
/// bounds what it holds. `i32::MAX`, as tools read it as signed.
const LIMIT: u32 = i32::MAX.cast_unsigned();

/// With a rate, netem sends a packet at max(now + delay, when the packet before it goes) + length ÷ rate: order is
/// kept. (A FIFO as its child does not do that, whatever tc-netem(8) says: since Linux 3.3 the child gets packets when
/// they are due, sorted by time.) At this rate, in bytes per second, length ÷ rate is below a nanosecond.
const ORDER_KEEPING_RATE: u64 = 100_000_000_000_000;

/// The delay line of `channel`: everything about it but rate and queue. `seed` repeats the draws on kernels from 6.6;
/// older ones ignore it.
///
/// A lane that is down loses all that comes, and delays on what is under way.
pub fn delay_line(channel: &Channel, seed: u64) -> Qdisc {
    let latency = nanoseconds(channel.delay);
    let jitter = channel
        .jitter
        .as_ref()
        .map_or(0, |jitter| nanoseconds(jitter.deviation));
    let certain = Loss::Independent(Probability::ONE);
    let (loss, duplication, corruption) = match channel.state {
        LaneState::Up => (&channel.loss, channel.duplication, channel.corruption),
        // What is duplicated first (`netem_enqueue`) would come through once.
        LaneState::Down => (&certain, Probability::ZERO, Probability::ZERO),
    };
    let independent = match loss {
        Loss::Independent(probability) => scaled(*probability),
        _ => 0,
    };
    let mut options = Payload::default()
        .u32(ticks(latency))
        .u32(LIMIT)
        .u32(independent)
        .u32(0)
        .u32(scaled(duplication))
        .u32(ticks(jitter))
        .attribute(TCA_NETEM_LATENCY64, Payload::default().u64(latency))
        .attribute(TCA_NETEM_JITTER64, Payload::default().u64(jitter))
        .attribute(
            TCA_NETEM_CORRUPT,
            Payload::default().u32(scaled(corruption)).u32(0),
        )
        .attribute(TCA_NETEM_PRNG_SEED, Payload::default().u64(seed));
    options = match &channel.jitter {
        Some(Jitter {
            order: PacketOrder::Preserved,
            ..
        }) => {
            let rate = Payload::default().u64(ORDER_KEEPING_RATE);
            options
                .attribute(TCA_NETEM_RATE, rate_parameters(u32::MAX))
                .attribute(TCA_NETEM_RATE64, rate)
        }
        Some(Jitter {
            order: PacketOrder::ByDelay,
            ..
        })
        | None => options.attribute(TCA_NETEM_RATE, rate_parameters(0)),
    };
    let table = channel.jitter.as_ref().map(|jitter| &jitter.shape);
    if let Some(table) = table.and_then(distribution::table) {
        // For the uniform shape, too: netem's own draw serves only until a table was set, and overflows above 2.1 s.
        let bytes: Vec<u8> = table.iter().flat_map(|entry| entry.to_ne_bytes()).collect();
        options = options.attribute(TCA_NETEM_DELAY_DIST, Payload::default().bytes(&bytes));
    }
    // The one attribute that a change without it resets.
    if let Some((kind, model)) = model(loss) {
        options = options.attribute(TCA_NETEM_LOSS, Payload::default().attribute(kind, model));
    }
    Qdisc {
        object: Object::Qdisc,
        parent: TcHandle::ROOT,
        handle: ROOT_HANDLE,
        kind: "netem",
        options: options.into_bytes(),
    }
}

/// A loss model of states.
fn model(loss: &Loss) -> Option<(u16, Payload)> {
    match loss {
        Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_in_bad,
            loss_in_good,
        } => {
            let model = Payload::default()
                .u32(scaled(*to_bad))
                .u32(scaled(*to_good))
                .u32(u32::MAX - scaled(*loss_in_bad))
                .u32(scaled(*loss_in_good));
            Some((NETEM_LOSS_GE, model))
        }
        Loss::FourState(FourState {
            p13,
            p31,
            p32,
            p23,
            p14,
        }) => {
            let [p13, p31, p32, p23, p14] = [*p13, *p31, *p32, *p23, *p14].map(scaled);
            // `loss_4state` adds the two ways out of a state in 32 bits, and compares with the sum.
            let p13 = p13.min(u32::MAX - p14);
            let p31 = p31.min(u32::MAX - p32);
            let model = Payload::default()
                .u32(p13)
                .u32(p31)
                .u32(p32)
                .u32(p14)
                .u32(p23);
            Some((NETEM_LOSS_GI, model))
        }
        Loss::None | Loss::Independent(_) | Loss::Packets(_) | Loss::Trace(_) => None,
    }
}

/// `probability` as netem compares it with 32 random bits. Zero for what is below 1 in 2³³, see
/// [`rounds_to_never`].
fn scaled(probability: Probability) -> u32 {
    (probability.fraction() * f64::from(u32::MAX)).round() as u32
}

/// Whether a `probability` above zero is too small for netem.
pub fn rounds_to_never(probability: Probability) -> bool {
    !probability.is_zero() && scaled(probability) == 0
}

fn rate_parameters(rate: u32) -> Payload {
    Payload::default().u32(rate).u32(0).u32(0).u32(0)
}

fn nanoseconds(time: Duration) -> u64 {
    // The kernel reads it as signed.
    u64::try_from(time.as_nanos())
        .unwrap_or(u64::MAX)
        .min(i64::MAX.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::{JitterDistribution, JitterShape};
    use longhaul_topologies::units::{ByteSize, QueueSize};

    use super::super::encode::hex;
    use super::*;

    fn channel() -> Channel {
        Channel {
            delay: Duration::from_millis(40),
            queue: QueueSize::Bytes(ByteSize::from_bytes(0)),
            ..Channel::of_delay(Duration::ZERO)
        }
    }

    fn jitter(order: PacketOrder) -> Option<Jitter> {
        let deviation = Duration::from_millis(2);
        Some(Jitter {
            deviation,
            shape: JitterShape::Distribution(JitterDistribution::Normal),
            order,
        })
    }

    fn chance(percent: f64) -> Probability {
        Probability::new(percent / 100.0).unwrap()
    }

    /// The attributes of an encoded netem, by kind.
    fn attributes(options: &[u8]) -> std::collections::BTreeMap<u16, Vec<u8>> {
        netlink_packet_core::NlasIterator::new(&options[24..])
            .map(|attribute| {
                let attribute = attribute.unwrap();
                (attribute.kind(), attribute.value().to_vec())
            })
            .collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_plain_delay_says_everything_that_a_change_would_keep() {
        insta::assert_snapshot!(hex(&delay_line(&channel(), 7).options), @"68890900 ffffff7f 00000000 00000000 00000000 00000000 0c000a00 005a6202 00000000 0c000b00 00000000 00000000 0c000400 00000000 00000000 0c000e00 07000000 00000000 14000600 00000000 00000000 00000000 00000000");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn losses_are_fractions_of_32_bits() {
        let lossy = Channel {
            loss: Loss::Independent(chance(50.0)),
            duplication: chance(25.0),
            corruption: chance(100.0),
            ..channel()
        };
        insta::assert_snapshot!(hex(&delay_line(&lossy, 7).options), @"68890900 ffffff7f 00000080 00000000 00000040 00000000 0c000a00 005a6202 00000000 0c000b00 00000000 00000000 0c000400 ffffffff 00000000 0c000e00 07000000 00000000 14000600 00000000 00000000 00000000 00000000");
    }

    #[test]
    fn gilbert_elliott_is_p_r_h_and_k1() {
        let loss = Loss::GilbertElliott {
            to_bad: chance(1.0),
            to_good: chance(25.0),
            loss_in_bad: chance(100.0),
            loss_in_good: chance(0.0),
        };
        let options = delay_line(&Channel { loss, ..channel() }, 7).options;
        let model = Payload::default()
            .u32(42_949_673)
            .u32(1_073_741_824)
            .u32(0)
            .u32(0);
        let nest = Payload::default()
            .attribute(NETEM_LOSS_GE, model)
            .into_bytes();
        assert_eq!(attributes(&options)[&TCA_NETEM_LOSS], nest);
        assert_eq!(options[8..12], [0; 4], "the independent loss");
    }

    fn loss_nest(loss: Loss) -> Vec<u8> {
        let options = delay_line(&Channel { loss, ..channel() }, 7).options;
        attributes(&options)[&TCA_NETEM_LOSS].clone()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn four_states_are_p13_p31_p32_p14_and_p23() {
        let states = FourState {
            p13: chance(1.0),
            p31: chance(25.0),
            p32: chance(12.5),
            p23: chance(100.0),
            p14: chance(50.0),
        };
        insta::assert_snapshot!(hex(&loss_nest(Loss::FourState(states))), @"18000100 295c8f02 00000040 00000020 00000080 ffffffff");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn two_ways_out_of_a_state_do_not_add_up_to_nothing() {
        let states = FourState {
            p13: chance(50.0),
            p31: chance(50.0),
            p32: chance(50.0),
            p23: chance(50.0),
            p14: chance(50.0),
        };
        insta::assert_snapshot!(hex(&loss_nest(Loss::FourState(states))), @"18000100 ffffff7f ffffff7f 00000080 00000080 00000080");
    }

    #[test]
    fn a_lane_that_is_down_loses_all_and_duplicates_none() {
        let down = Channel {
            state: LaneState::Down,
            duplication: chance(50.0),
            loss: Loss::GilbertElliott {
                to_bad: chance(1.0),
                to_good: chance(25.0),
                loss_in_bad: chance(100.0),
                loss_in_good: chance(0.0),
            },
            ..channel()
        };
        let options = delay_line(&down, 7).options;
        assert_eq!(options[8..12], [0xff; 4], "the independent loss");
        assert_eq!(options[16..20], [0; 4], "the duplicates");
        assert!(!attributes(&options).contains_key(&TCA_NETEM_LOSS));
    }

    #[test]
    fn order_is_kept_by_a_rate_and_given_up_without_one() {
        let encoded = |order| {
            let channel = Channel {
                jitter: jitter(order),
                ..channel()
            };
            attributes(&delay_line(&channel, 7).options)
        };
        let kept = encoded(PacketOrder::Preserved);
        assert_eq!(kept[&TCA_NETEM_RATE64], ORDER_KEEPING_RATE.to_ne_bytes());
        let free = encoded(PacketOrder::ByDelay);
        assert_eq!(free[&TCA_NETEM_RATE], [0; 16]);
        assert!(!free.contains_key(&TCA_NETEM_RATE64));
    }

    #[test]
    fn jitter_brings_its_table() {
        let channel = Channel {
            jitter: jitter(PacketOrder::Preserved),
            ..channel()
        };
        let options = delay_line(&channel, 7).options;
        let attributes = attributes(&options);
        assert_eq!(attributes[&TCA_NETEM_DELAY_DIST].len(), 2 * 4096);
        assert_eq!(attributes[&TCA_NETEM_JITTER64], 2_000_000_u64.to_ne_bytes());
        assert_eq!(options[20..24], 31_250_u32.to_ne_bytes(), "in ticks");
    }

    #[test]
    fn a_chance_below_32_bits_is_found_out() {
        assert!(rounds_to_never(chance(1e-9)));
        assert!(!rounds_to_never(chance(1e-7)));
        assert!(!rounds_to_never(Probability::ZERO));
    }
}
