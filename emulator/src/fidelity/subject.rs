//! What is measured: two ends, and what is asked of the way from one to the other.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use longhaul_topologies::model::{
    Channel, Direction, JitterShape, Lane, Link, LinkId, QueueLimit, RateStep, RateTrace, Spread,
};
use longhaul_topologies::units::{ByteSize, Rate};

use super::quantity::Quantity;
use crate::engine::EngineKind;
use crate::lab::Lab;
use crate::plan::{self, ChannelId, LabPlan, LaneEnd, NodeId};
use crate::probe::End;

/// The longest stretch of link time that the relay lets through at once (`BURST` of its model).
const RELAY_BURST: Duration = Duration::from_micros(250);
/// The same of a token bucket as the netem engine has it, and as others are set up.
const TOKEN_BUCKET: Duration = Duration::from_millis(2);

/// One channel to be measured.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// What it is called in results: `virginia>dublin lane 0`.
    pub name: String,
    /// Where probes are sent.
    pub from: End<'a>,
    /// Where they arrive.
    pub to: End<'a>,
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
}

impl Shaper {
    /// That of an engine.
    pub fn of(engine: EngineKind) -> Self {
        match engine {
            EngineKind::Relay => Shaper::Line,
            EngineKind::Netem => Shaper::TokenBucket,
        }
    }

    /// How much link time may pass at once.
    pub(super) fn burst(self) -> Duration {
        match self {
            Shaper::Line => RELAY_BURST,
            Shaper::TokenBucket => TOKEN_BUCKET,
        }
    }
}

/// Why a link is not measured lane by lane, if it is not.
#[derive(Clone, Debug, Default)]
pub struct Subjects<'a> {
    /// What can be measured.
    pub all: Vec<Subject<'a>>,
    /// What cannot, or not as its description has it, and why.
    pub notes: Vec<String>,
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

impl Subject<'_> {
    /// How long a packet may be under way that finds no queue.
    pub(super) fn transit(&self) -> Duration {
        let jitter = self.channel.jitter.as_ref();
        let varies = jitter.map_or(Duration::ZERO, |jitter| match &jitter.shape {
            JitterShape::Trace(trace) => trace.range().1,
            // Where tables end (see `distribution`).
            _ => 4 * jitter.deviation,
        });
        self.channel.delay + varies
    }
}

impl<'a> Subjects<'a> {
    /// The channels of a lab, from gateway to gateway over the lane's own addresses.
    pub fn of_lab(lab: &'a Lab) -> Self {
        Self::of_plan(lab.plan(), lab.engine_kind(), |node| {
            lab.namespace(node).net.as_fd()
        })
    }

    /// The same for a plan whose nodes live elsewhere.
    pub fn of_plan(
        plan: &'a LabPlan,
        engine: EngineKind,
        namespace: impl Fn(NodeId) -> BorrowedFd<'a>,
    ) -> Self {
        let mut subjects = Subjects::default();
        let build = Build {
            plan,
            shaper: Shaper::of(engine),
            namespace: &namespace,
        };
        for (index, link) in plan.topology.links.iter().enumerate() {
            let id = LinkId(index);
            let lanes: Vec<&plan::Lane> =
                plan.lanes.iter().filter(|lane| lane.link == id).collect();
            match merged(link) {
                Lanes::Each => {
                    for (lane, ends) in lanes.into_iter().enumerate() {
                        build.both_ways(&mut subjects, id, ends, lane, &link.lanes[lane]);
                    }
                }
                Lanes::Merged(lane, note) => {
                    let [a, b] = [link.a, link.b].map(|site| &plan.topology.site(site).name);
                    subjects.notes.push(format!("{a}-{b}: {note}"));
                    if let Some(lane) = lane {
                        build.both_ways(&mut subjects, id, lanes[0], 0, &lane);
                    }
                }
            }
        }
        subjects
    }
}

struct Build<'p, 'a, F> {
    plan: &'a LabPlan,
    shaper: Shaper,
    namespace: &'p F,
}

impl<'a, F: Fn(NodeId) -> BorrowedFd<'a>> Build<'_, 'a, F> {
    fn both_ways(
        &self,
        subjects: &mut Subjects<'a>,
        link: LinkId,
        ends: &'a plan::Lane,
        lane: usize,
        channels: &Lane,
    ) {
        let end = |end: &'a LaneEnd| End {
            name: &self.plan.node(end.gateway).name,
            net: (self.namespace)(end.gateway),
            address: end.ipv4.into(),
        };
        let [a, b] = [end(&ends.a), end(&ends.b)];
        for direction in Direction::BOTH {
            let (from, to) = match direction {
                Direction::Forward => (a, b),
                Direction::Reverse => (b, a),
            };
            subjects.all.push(Subject {
                name: self.plan.channel_name(ChannelId {
                    link,
                    lane,
                    direction,
                }),
                from,
                to,
                channel: channels.channel(direction).clone(),
                judged: EVERYTHING.into_iter().collect(),
                mtu: self.plan.topology.mtu,
                shaper: self.shaper,
            });
        }
    }
}

/// Whether a link's lanes can be told apart from outside.
enum Lanes {
    /// Each has addresses of its own, and what is sent to them stays on it.
    Each,
    /// Packets are spread over them whatever their addresses: what all together look like, if that can be said, and the words
    /// for it.
    Merged(Option<Box<Lane>>, String),
}

fn merged(link: &Link) -> Lanes {
    let count = link.lanes.len();
    if count == 1 || link.spread == Spread::FlowHash {
        return Lanes::Each;
    }
    let first = &link.lanes[0];
    let alike = link.lanes.iter().all(|lane| lane == first);
    match (link.spread, alike) {
        (Spread::FlowHash, _) => Lanes::Each,
        (_, false) => Lanes::Merged(
            None,
            format!("not measured, as its {count} lanes differ and packets are spread over them"),
        ),
        (Spread::SymmetricFlowHash, true) => Lanes::Merged(
            Some(Box::new(first.clone())),
            format!("one flow is measured, which takes any one of the {count} lanes"),
        ),
        (Spread::RoundRobin | Spread::LeastQueue, true) => Lanes::Merged(
            Some(Box::new(Lane {
                forward: times(&first.forward, count),
                reverse: times(&first.reverse, count),
            })),
            format!("the {count} lanes are measured as one, as packets are spread over them"),
        ),
    }
}

/// `count` channels that share every flow's packets, as one.
fn times(channel: &Channel, count: usize) -> Channel {
    let count = count as u64;
    let rate = channel
        .rate
        .map(|rate| Rate::from_bits_per_second(rate.bits_per_second() * count));
    let rate_trace = channel.rate_trace.as_ref().and_then(|trace| {
        let steps = trace.steps().iter().map(|step| RateStep {
            bits_per_second: step.bits_per_second * count,
            ..*step
        });
        RateTrace::new(steps.collect(), trace.period()).ok()
    });
    let queue_limit = channel.queue_limit.map(|limit| match limit {
        QueueLimit::Bytes(bytes) => QueueLimit::Bytes(ByteSize::from_bytes(bytes.bytes() * count)),
        QueueLimit::Packets(packets) => {
            QueueLimit::Packets(packets.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)))
        }
    });
    Channel {
        rate,
        rate_trace,
        queue_limit,
        ..channel.clone()
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::{Document, validate};

    use super::*;

    fn link(settings: &str) -> Link {
        let text = format!(
            "name: line\nsites: [{{name: a}}, {{name: b}}]\nlinks: [{{between: [a, b], {settings}}}]\n"
        );
        let document = Document::from_text("line.yaml", &text).unwrap();
        validate::topology(&document).unwrap().links.remove(0)
    }

    #[test]
    fn lanes_that_share_every_flow_are_measured_as_one() {
        let settings = "delay: 10ms, rate: 10Mbit, queue: 20p, lanes: 3, spread: round-robin";
        let Lanes::Merged(Some(lane), note) = merged(&link(settings)) else {
            panic!("told apart");
        };
        assert_eq!(lane.forward.rate.unwrap().bits_per_second(), 30_000_000);
        assert_eq!(lane.forward.queue_limit, Some(QueueLimit::Packets(60)));
        assert!(note.contains("3 lanes are measured as one"), "{note}");
    }

    #[test]
    fn lanes_that_differ_and_share_flows_cannot_be_measured() {
        let settings = "delay: 10ms, lanes: [{}, {delay: 20ms}], spread: round-robin";
        assert!(matches!(merged(&link(settings)), Lanes::Merged(None, _)));
        let by_flow = "delay: 10ms, lanes: [{}, {delay: 20ms}]";
        assert!(matches!(merged(&link(by_flow)), Lanes::Each));
    }
}
