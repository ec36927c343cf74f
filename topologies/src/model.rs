//! The validated topology: everything in it holds, so nothing downstream checks again.

use std::time::Duration;

use crate::geography::Coordinates;
use crate::units::{ByteSize, Probability, QueueSize, Rate};

/// Sites joined by links. Connected, every name valid and unique, within the address plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// The topology's own name (catalogue name or `name:` of its file).
    pub name: String,
    /// One line of what it is for.
    pub description: String,
    /// The data centres, in the file's order.
    pub sites: Vec<Site>,
    /// The WAN connections, in the file's order.
    pub links: Vec<Link>,
    /// The largest IP packet on every interface of the lab, in bytes.
    pub mtu: u32,
}

/// A data centre: an index into [`Topology::sites`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub usize);

/// A link: an index into [`Topology::links`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub usize);

/// A data centre.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Its name: lower-case letters, digits and dashes, starting with a letter, at most 20 bytes.
    /// Host `i` is named `NAME-i`, the gateway `NAME-gw`.
    pub name: String,
    /// What people call the place (`Ashburn, Virginia`), if the file says.
    pub place: Option<String>,
    /// Where it is, if the file says.
    pub coordinates: Option<Coordinates>,
    /// How many hosts it has; at least 1.
    pub hosts: usize,
    /// The network inside it.
    pub fabric: Fabric,
}

/// The network inside a site: every host has one port to the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fabric {
    /// The rate of each host's port, each direction; unlimited if absent.
    pub rate: Option<Rate>,
}

/// A WAN connection between two gateways.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The end that `forward` leaves from.
    pub a: SiteId,
    /// The other end; never equal to `a`.
    pub b: SiteId,
    /// Parallel lanes, each with the full description; at least 1. Flows are spread by their hash.
    pub lanes: usize,
    /// From `a` to `b`.
    pub forward: Channel,
    /// From `b` to `a`.
    pub reverse: Channel,
}

/// Which way along a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From `a` to `b`.
    Forward,
    /// From `b` to `a`.
    Reverse,
}

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

impl Link {
    /// Where `direction` leads from and to.
    pub fn ends(&self, direction: Direction) -> [SiteId; 2] {
        match direction {
            Direction::Forward => [self.a, self.b],
            Direction::Reverse => [self.b, self.a],
        }
    }

    /// The channel that leads in `direction`.
    pub fn channel(&self, direction: Direction) -> &Channel {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Reverse => &self.reverse,
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

impl Direction {
    /// Both, in the order every listing uses.
    pub const BOTH: [Direction; 2] = [Direction::Forward, Direction::Reverse];
}

impl Topology {
    /// The site at `id`.
    pub fn site(&self, id: SiteId) -> &Site {
        &self.sites[id.0]
    }

    /// The site of that name.
    pub fn site_named(&self, name: &str) -> Option<SiteId> {
        self.sites
            .iter()
            .position(|site| site.name == name)
            .map(SiteId)
    }
}
