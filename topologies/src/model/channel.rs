//! One direction of one lane.

use std::time::Duration;

use crate::units::{ByteSize, Probability, QueueSize, Rate};

/// One direction of every lane of a link.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Layer-2 rate of each lane: bytes counted are those of the Ethernet frame without preamble and FCS, as
    /// the kernel's qdiscs count them. Unlimited if absent.
    pub rate: Option<Rate>,
    /// One-way propagation delay.
    pub delay: Duration,
    /// How the file stated `delay`.
    pub delay_source: DelaySource,
    /// Variation of the delay.
    pub jitter: Option<Jitter>,
    /// Which packets are lost on the way.
    pub loss: Loss,
    /// The chance that a packet arrives twice.
    pub duplication: Probability,
    /// The chance that a packet arrives with a flipped bit.
    pub corruption: Probability,
    /// How much the bottleneck queue before the lane holds, as written.
    pub queue: QueueSize,
    /// The same, resolved for this channel. `None` without a rate: then nothing queues.
    pub queue_limit: Option<QueueLimit>,
}

/// The resolved limit of a bottleneck queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLimit {
    /// Bytes of Ethernet frames.
    Bytes(ByteSize),
    /// Frames of any length.
    Packets(u32),
}

/// How a channel's delay was stated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DelaySource {
    /// `delay: 40ms`.
    OneWay,
    /// `rtt: 80ms`, halved.
    HalfRtt,
    /// `delay: fibre`.
    Fibre {
        /// Great-circle distance between the sites, in kilometres.
        distance_km: f64,
        /// How much longer the cable is than the great circle.
        route_factor: f64,
    },
}

/// Variation of the delay: it has the mean `delay` and the standard deviation `deviation`, whatever its shape. Where order
/// is preserved, packets that wait for one before them come on top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// The standard deviation.
    pub deviation: Duration,
    /// The shape.
    pub distribution: JitterDistribution,
    /// Whether packets keep their order.
    pub order: PacketOrder,
}

/// The shape of jitter. The shapes are those of iproute2's `netem/` folder; unlike there, every one is scaled to the mean 0 and
/// the deviation 1 after its tails are cut, four deviations from the mean.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum JitterDistribution {
    /// Even over `delay ± √3 · deviation`.
    Uniform,
    /// Gaussian.
    Normal,
    /// Pareto with the exponent 3: a heavy tail.
    Pareto,
    /// A quarter Gaussian and three quarters Pareto, close to measured internet paths.
    ParetoNormal,
}

/// Whether jitter may reorder packets.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum PacketOrder {
    /// A packet never overtakes the one before it on its lane.
    #[default]
    Preserved,
    /// A packet with a shorter delay overtakes.
    ByDelay,
}

/// Which packets are lost on the way (queue drops come on top).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// None.
    None,
    /// Each with this chance, whatever happened to the others.
    Independent(Probability),
    /// The Gilbert–Elliott two-state model (Hasslinger and Hohlfeld 2008; `sch_netem.c` LOSS_GE).
    GilbertElliott {
        /// Chance per packet to go from the good state to the bad one.
        to_bad: Probability,
        /// Chance per packet to go back.
        to_good: Probability,
        /// Loss in the bad state (netem's 1 − h).
        loss_in_bad: Probability,
        /// Loss in the good state (netem's 1 − k).
        loss_in_good: Probability,
    },
}

impl JitterDistribution {
    /// How many deviations below the mean the shape ends.
    pub fn reach(self) -> f64 {
        match self {
            JitterDistribution::Uniform => 3_f64.sqrt(),
            JitterDistribution::Normal => 4.0,
            JitterDistribution::Pareto => 0.83,
            JitterDistribution::ParetoNormal => 1.75,
        }
    }
}
