//! The validated topology: everything in it holds, so nothing downstream checks again.

mod channel;
mod describe;
pub mod quantiles;
mod queue;
mod trace;

use std::time::Duration;

use crate::geography::Coordinates;
use crate::units::Rate;

pub(crate) use channel::LONGEST_DELAY;
pub use channel::{
    Channel, DelaySource, FourState, Jitter, JitterDistribution, JitterShape, LaneState, Loss,
    PacketOrder, QueueLimit, Reordering,
};
pub use queue::{CoDel, DualPi2, FqCoDel, Pie, QueueDiscipline, Red, Signal, Step};
pub use trace::{DelayTrace, JitterTable, RateStep, RateTrace, TraceError};

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
    /// Parallel lanes; at least 1.
    pub lanes: Vec<Lane>,
    /// How packets are spread over them.
    pub spread: Spread,
    /// What changes, and when; in the order of time.
    pub schedule: Vec<ScheduledChange>,
}

/// One lane of a link.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// From `a` to `b`.
    pub forward: Channel,
    /// From `b` to `a`.
    pub reverse: Channel,
}

/// How packets are spread over the lanes of a link.
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
pub enum Spread {
    /// Each flow on one lane, by a hash of its addresses, protocol and ports, each direction by one of its own: equal-cost
    /// multipath as routers have it (RFC 2992).
    #[default]
    FlowHash,
    /// As `flow-hash`, but both directions of a flow take the same lane.
    SymmetricFlowHash,
    /// Each packet on the next lane.
    RoundRobin,
    /// Each packet on the lane whose queue takes the least time to drain.
    LeastQueue,
}

/// From `at` on, one channel is another.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduledChange {
    /// Since the workload began; in a lab that is up, since it came up.
    pub at: Duration,
    /// Which lane.
    pub lane: usize,
    /// Which way.
    pub direction: Direction,
    /// What it is from then on.
    pub channel: Channel,
}

/// Which way along a link.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From `a` to `b`.
    Forward,
    /// From `b` to `a`.
    Reverse,
}

impl Link {
    /// `lanes` lanes that are alike, each way.
    pub fn alike(a: SiteId, b: SiteId, lanes: usize, channel: &Channel) -> Self {
        let lane = Lane {
            forward: channel.clone(),
            reverse: channel.clone(),
        };
        Link {
            a,
            b,
            lanes: vec![lane; lanes],
            spread: Spread::default(),
            schedule: Vec::new(),
        }
    }

    /// Where `direction` leads from and to.
    pub fn ends(&self, direction: Direction) -> [SiteId; 2] {
        match direction {
            Direction::Forward => [self.a, self.b],
            Direction::Reverse => [self.b, self.a],
        }
    }

    /// The channel that leads in `direction` on the shortest lane that way, the first of several.
    pub fn channel(&self, direction: Direction) -> &Channel {
        let channels = self.lanes.iter().map(|lane| lane.channel(direction));
        channels
            .min_by_key(|channel| channel.delay)
            .expect("a link has at least one lane")
    }

    /// Every channel that leads in `direction`: each lane's, and what the schedule makes of it.
    pub fn channels(&self, direction: Direction) -> impl Iterator<Item = &Channel> {
        let described = self.lanes.iter().map(move |lane| lane.channel(direction));
        let scheduled = self.schedule.iter();
        let scheduled = scheduled.filter(move |change| change.direction == direction);
        described.chain(scheduled.map(|change| &change.channel))
    }

    /// The least rate of a lane in `direction`; `None` if none is limited.
    pub fn least_rate(&self, direction: Direction) -> Option<Rate> {
        let rates = self.lanes.iter().map(|lane| lane.channel(direction).rate);
        rates.flatten().min()
    }
}

impl Lane {
    /// The channel that leads in `direction`.
    pub fn channel(&self, direction: Direction) -> &Channel {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Reverse => &self.reverse,
        }
    }

    /// The same, to change it.
    pub fn channel_mut(&mut self, direction: Direction) -> &mut Channel {
        match direction {
            Direction::Forward => &mut self.forward,
            Direction::Reverse => &mut self.reverse,
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
