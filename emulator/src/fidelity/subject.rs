//! What is measured: two ends, and what is asked of the way from one to the other.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use longhaul_topologies::model::{Channel, Direction};

use super::quantity::Quantity;
use crate::engine::EngineKind;
use crate::guest;
use crate::lab::Lab;
use crate::plan::{ChannelId, LabPlan, Lane, LaneEnd, NodeId};
use crate::probe::End;

/// The longest stretch of link time that the relay lets through at once (`BURST` of its model).
const RELAY_BURST: Duration = Duration::from_micros(250);
/// The same of a token bucket as the netem engine has it, and as others are set up.
const TOKEN_BUCKET: Duration = Duration::from_millis(2);

/// One channel to be measured.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Where probes are sent.
    pub from: End<'a>,
    /// Where they arrive.
    pub to: End<'a>,
    /// What there should be between them.
    pub expected: Expected,
}

/// What a channel should be like, wherever its ends are.
#[derive(Clone, Debug)]
pub struct Expected {
    /// What it is called in results: `virginia>dublin lane 0`.
    pub name: String,
    /// What it should be like.
    pub channel: Channel,
    /// Which quantities are held against that; the others are only told.
    pub judged: BTreeSet<Quantity>,
    /// The largest IP packet on the way.
    pub mtu: u32,
    /// What limits its rate.
    pub shaper: Shaper,
}

/// How a bottleneck lets packets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shaper {
    /// As a line does: each packet takes its time, whatever was before.
    Line,
    /// At once, as long as there are tokens.
    TokenBucket,
    /// At once if the packet before has had its time.
    Spacer,
}

impl Shaper {
    /// That of an engine.
    pub fn of(engine: EngineKind) -> Self {
        match engine {
            EngineKind::Relay => Shaper::Line,
            EngineKind::Netem if guest::init::is_guest() => Shaper::Spacer,
            EngineKind::Netem => Shaper::TokenBucket,
        }
    }

    /// How much link time may pass at once.
    pub(super) fn burst(self) -> Duration {
        match self {
            Shaper::Line => RELAY_BURST,
            Shaper::TokenBucket => TOKEN_BUCKET,
            Shaper::Spacer => Duration::ZERO,
        }
    }
}

/// All of them.
pub(super) const EVERYTHING: [Quantity; 12] = [
    Quantity::Arrivals,
    Quantity::Delay,
    Quantity::Jitter,
    Quantity::Shape,
    Quantity::Reordered,
    Quantity::Extent,
    Quantity::Loss,
    Quantity::Duplication,
    Quantity::Corruption,
    Quantity::Rate,
    Quantity::Queue,
    Quantity::Marks,
];

impl Expected {
    /// How long a packet may be under way that finds no queue.
    pub(super) fn transit(&self) -> Duration {
        self.channel.delay_range().1
    }
}

impl<'a> Subject<'a> {
    /// The channels of a lab, from gateway to gateway over the lane's own addresses: whatever is for them stays on the lane,
    /// however routed packets are spread.
    pub fn of_lab(lab: &'a Lab) -> Vec<Self> {
        Self::of_plan(lab.plan(), lab.engine_kind(), |node| {
            lab.namespace(node).net.as_fd()
        })
    }

    /// The same for a plan whose nodes live elsewhere.
    pub fn of_plan(
        plan: &'a LabPlan,
        engine: EngineKind,
        namespace: impl Fn(NodeId) -> BorrowedFd<'a>,
    ) -> Vec<Self> {
        let both_ways = |lane: &'a Lane| {
            let end = |end: &'a LaneEnd| End {
                name: &plan.node(end.gateway).name,
                net: namespace(end.gateway),
                address: end.ipv4.into(),
            };
            let [a, b] = [end(&lane.a), end(&lane.b)];
            let ways = [(a, b, &lane.forward), (b, a, &lane.reverse)];
            let subject = |(direction, (from, to, channel)): (_, (_, _, &Channel))| Subject {
                from,
                to,
                expected: Expected {
                    name: plan.channel_name(ChannelId {
                        link: lane.link,
                        lane: lane.lane,
                        direction,
                    }),
                    channel: channel.clone(),
                    judged: EVERYTHING.into_iter().collect(),
                    mtu: plan.topology.mtu,
                    shaper: Shaper::of(engine),
                },
            };
            Direction::BOTH
                .into_iter()
                .zip(ways)
                .map(subject)
                .collect::<Vec<_>>()
        };
        plan.lanes.iter().flat_map(both_ways).collect()
    }
}
