//! One direction of one lane.

use std::sync::Arc;
use std::time::Duration;

use super::{DelayTrace, JitterTable, QueueDiscipline, RateTrace};
use crate::units::{ByteSize, Probability, QueueSize, Rate};

/// Past any path on Earth, and to the Moon and back.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// One direction of one lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Whether the lane carries anything.
    pub state: LaneState,
    /// Layer-2 rate: bytes counted are those of the Ethernet frame without preamble and FCS, as
    /// the kernel's qdiscs count them. Unlimited if absent; where a trace says how it changes, the trace's mean.
    pub rate: Option<Rate>,
    /// How the rate changes with time; constant if absent.
    pub rate_trace: Option<RateTrace>,
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
    /// Which packets are overtaken.
    pub reordering: Option<Reordering>,
    /// How much the bottleneck queue before the lane holds, as written.
    pub queue: QueueSize,
    /// The same, resolved for this channel. `None` without a rate: then nothing queues.
    pub queue_limit: Option<QueueLimit>,
    /// What the queue does beside.
    pub discipline: QueueDiscipline,
    /// The thresholds of the discipline as written: `min` and `max` of RED, `at` of step marking.
    pub thresholds: Vec<QueueSize>,
}

impl Channel {
    /// A channel that does nothing but delay.
    pub fn of_delay(delay: Duration) -> Self {
        Channel {
            state: LaneState::Up,
            rate: None,
            rate_trace: None,
            delay,
            delay_source: DelaySource::OneWay,
            jitter: None,
            loss: Loss::None,
            duplication: Probability::ZERO,
            corruption: Probability::ZERO,
            reordering: None,
            queue: QueueSize::Bdp(1.0),
            queue_limit: None,
            discipline: QueueDiscipline::DropTail,
            thresholds: Vec::new(),
        }
    }

    /// The shortest and the longest that propagation takes: the delay with the ends of its variation.
    pub fn delay_range(&self) -> (Duration, Duration) {
        let Some(jitter) = &self.jitter else {
            return (self.delay, self.delay);
        };
        if let JitterShape::Trace(trace) = &jitter.shape {
            let (least, most) = trace.range();
            return (self.delay + least, self.delay + most);
        }
        let below = jitter.deviation.mul_f64(jitter.shape.reach());
        let above = jitter.deviation.mul_f64(JitterShape::MOST_REACH);
        (self.delay.saturating_sub(below), self.delay + above)
    }
}

/// Whether a lane carries anything.
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
pub enum LaneState {
    /// As described.
    #[default]
    Up,
    /// Cut: what comes, and what waits, is lost; what was under way arrives. Flows move to the link's other lanes if there are any.
    Down,
}

/// Packets that are overtaken by a stated number of those behind them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reordering {
    /// The chance of each packet to be overtaken.
    pub chance: Probability,
    /// By how many (the extent of RFC 4737 section 4.2.1); at least 1. If fewer follow within one one-way delay, by those.
    pub depth: u32,
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
/// is preserved, packets that wait for one before them come on top. (A trace is not drawn from: it says itself what is added
/// to `delay`, and when.)
#[derive(Clone, Debug, PartialEq)]
pub struct Jitter {
    /// The standard deviation.
    pub deviation: Duration,
    /// The shape.
    pub shape: JitterShape,
    /// Whether packets keep their order.
    pub order: PacketOrder,
}

/// Where the variation comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum JitterShape {
    /// Drawn from a known distribution.
    Distribution(JitterDistribution),
    /// Drawn from measured delays.
    Table(JitterTable),
    /// Played back.
    Trace(DelayTrace),
}

/// The known shapes of jitter. They are those of iproute2's `netem/` folder; unlike there, every one is scaled to the mean 0 and
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
#[derive(Clone, Debug, PartialEq)]
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
    /// netem's four-state Markov model (Salsano et al. 2012; `loss_4state` in net/sched/sch_netem.c): 1 received, 2 received
    /// within a burst, 3 lost within a burst, 4 lost alone.
    FourState(FourState),
    /// Just these packets, counted from 1 when the channel begins; in rising order.
    Packets(Arc<[u64]>),
    /// What happened to one packet after another (`true`: lost), over and over.
    Trace(Arc<[bool]>),
}

/// Chances per packet to go from state to state, as tc-netem(8) names them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FourState {
    /// From received to a burst of loss.
    pub p13: Probability,
    /// From a burst's loss to received.
    pub p31: Probability,
    /// From a burst's loss to received within the burst.
    pub p32: Probability,
    /// From received within a burst back to its loss.
    pub p23: Probability,
    /// From received to lost alone.
    pub p14: Probability,
}

impl FourState {
    /// The share of packets lost in the long run: the stationary distribution of the chain.
    pub fn mean_loss(&self) -> f64 {
        let [p13, p31, p32, p23, p14] =
            [self.p13, self.p31, self.p32, self.p23, self.p14].map(Probability::fraction);
        // In units of the share of state 1: balance over the cut between {1, 4} and {2, 3} gives state 3, that at state 2
        // gives state 2, and state 4 is left at once.
        let three = if p31 > 0.0 { p13 / p31 } else { 0.0 };
        let two = if p23 > 0.0 { three * p32 / p23 } else { 0.0 };
        let four = p14;
        (three + four) / (1.0 + two + three + four)
    }
}

impl JitterShape {
    /// How many deviations above the mean the tails are cut.
    pub const MOST_REACH: f64 = 4.0;

    /// How many deviations below the mean the shape ends.
    pub fn reach(&self) -> f64 {
        match self {
            JitterShape::Distribution(distribution) => distribution.reach(),
            JitterShape::Table(table) => table.reach(),
            // It only adds.
            JitterShape::Trace(_) => 0.0,
        }
    }
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
