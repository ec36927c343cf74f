//! All channels of a lab, and the lanes they belong to.

use std::rc::Rc;
use std::time::Duration;

use longhaul_topologies::model::{Channel, Direction, LaneState};

use super::delivered::Delivered;
use super::frame::Frame;
use super::lanes::{LaneChooser, LaneView};
use super::memory::bytes_held;
use super::model::ChannelModel;
use super::queue::Arrival;
use super::random::Streams;
use super::stamp::Hop;
use super::wiretap::{Wiretap, Wiretapped};
use crate::capture::{Side, Tap};
use crate::plan::{ChannelId, LabPlan};
use crate::time::Time;

/// The channels of a lab: number `2n` is lane `n` forward, `2n + 1` the same lane in reverse.
pub(super) struct Carriers {
    all: Vec<Carrier>,
    /// For each channel, the lanes that its packets may take instead.
    bundles: Vec<Bundle>,
    views: Vec<LaneView>,
}

/// A channel and what became of its packets beyond the model.
pub(super) struct Carrier {
    pub(super) id: ChannelId,
    pub(super) model: ChannelModel<Rc<Frame>>,
    /// The shortest that a packet may take.
    pub(super) least_delay: Duration,
    /// How far ahead it is certain what is delivered next.
    foresight: Duration,
    /// What it and its queue can hold, in bytes.
    held: u64,
    /// What its packets are told of it.
    pub(super) hop: Hop,
    pub(super) count: Delivered,
    pub(super) engine_drops: u64,
    /// Where its packets are shown as they come.
    offered: Option<Box<Wiretap>>,
    /// And as they leave.
    pub(super) delivered: Option<Box<Wiretap>>,
    bundle: usize,
    mtu: u32,
}

/// The lanes of one link in one direction.
struct Bundle {
    /// The channel of the first; the others follow in twos.
    first: usize,
    lanes: usize,
    chooser: LaneChooser,
}

impl Carriers {
    /// Those of `plan`; `seed` decides every draw.
    pub(super) fn new(plan: &LabPlan, seed: u64) -> Self {
        let mut all = Vec::new();
        let mut bundles: Vec<Bundle> = Vec::new();
        for lane in &plan.lanes {
            let link = &plan.topology.links[lane.link.0];
            if lane.lane == 0 {
                bundles.extend(Direction::BOTH.map(|direction| Bundle {
                    first: all.len() + direction as usize,
                    lanes: link.lanes.len(),
                    chooser: LaneChooser::new(link.spread, seed, lane.link.0, direction),
                }));
            }
            let channels = [&lane.forward, &lane.reverse];
            for (direction, channel) in Direction::BOTH.into_iter().zip(channels) {
                let id = ChannelId {
                    link: lane.link,
                    lane: lane.lane,
                    direction,
                };
                all.push(Carrier {
                    id,
                    model: ChannelModel::new(channel, Streams::new(seed, id)),
                    least_delay: channel.delay_range().0,
                    foresight: foresight(channel),
                    held: bytes_held(channel, plan.topology.mtu),
                    hop: Hop::new(id, channel),
                    count: Delivered::default(),
                    engine_drops: 0,
                    offered: None,
                    delivered: None,
                    bundle: bundles.len() - 2 + direction as usize,
                    mtu: plan.topology.mtu,
                });
            }
        }
        Carriers {
            all,
            bundles,
            views: Vec::new(),
        }
    }

    /// All of them.
    pub(super) fn all(&mut self) -> &mut [Carrier] {
        &mut self.all
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Channel number `channel`.
    pub(super) fn at(&mut self, channel: usize) -> &mut Carrier {
        &mut self.all[channel]
    }

    /// The number of the channel `id`.
    pub(super) fn find(&self, id: ChannelId) -> Option<usize> {
        self.all.iter().position(|carrier| carrier.id == id)
    }

    /// The shortest that a packet may take on any channel; `None` without channels.
    pub(super) fn least_delay(&self) -> Option<Duration> {
        self.all.iter().map(|carrier| carrier.least_delay).min()
    }

    /// How far ahead it is certain what any channel delivers next; `None` without channels.
    pub(super) fn foresight(&self) -> Option<Duration> {
        self.all.iter().map(|carrier| carrier.foresight).min()
    }

    /// What all channels and their queues can hold, in bytes.
    pub(super) fn held(&self) -> u64 {
        let held = self.all.iter().map(|carrier| carrier.held);
        held.fold(0, u64::saturating_add)
    }

    /// A frame reaches channel `channel`'s end, or one of the lanes beside it, at `now`. Tells `changed` which channels have
    /// something to do now, and when.
    pub(super) fn offer(
        &mut self,
        channel: usize,
        now: Time,
        frame: &Rc<Frame>,
        mut changed: impl FnMut(usize, Option<Time>),
    ) {
        let arrival = Arrival::whole(now, frame, frame.traffic);
        let bundle = self.all[channel].bundle;
        if self.bundles[bundle].lanes == 1 || frame.is_for_its_lane {
            self.give(channel, &arrival, &mut changed);
        } else if self.bundles[bundle].chooser.keeps_flows_together() {
            let lane = self.choose(bundle, now, frame.traffic.flow);
            self.give(lane, &arrival, &mut changed);
        } else {
            // Every wire packet takes a lane of its own.
            for segment in arrival.segments.clone() {
                let lane = self.choose(bundle, now, frame.traffic.flow);
                let single = Arrival {
                    segments: segment..segment + 1,
                    ..arrival.clone()
                };
                self.give(lane, &single, &mut changed);
            }
        }
    }

    fn give(
        &mut self,
        channel: usize,
        arrival: &Arrival<'_, Rc<Frame>>,
        changed: &mut impl FnMut(usize, Option<Time>),
    ) {
        let carrier = &mut self.all[channel];
        if let Some(tap) = &mut carrier.offered {
            tap.record(arrival.now, &offered(arrival));
        }
        carrier.model.offer(arrival);
        changed(channel, carrier.model.next_event());
    }

    /// Shows packets to `taps` and to no others.
    pub(super) fn capture(&mut self, taps: Vec<Tap>) {
        for carrier in &mut self.all {
            (carrier.offered, carrier.delivered) = (None, None);
        }
        for tap in taps {
            let Some(channel) = self.find(tap.channel()) else {
                continue;
            };
            let carrier = &mut self.all[channel];
            let place = match tap.side() {
                Side::Offered => &mut carrier.offered,
                Side::Delivered => &mut carrier.delivered,
            };
            *place = Some(Box::new(Wiretap::new(tap)));
        }
    }

    /// The channel of the lane for the next packet of `flow`.
    fn choose(&mut self, bundle: usize, now: Time, flow: u32) -> usize {
        let Bundle {
            first,
            lanes,
            chooser,
        } = &mut self.bundles[bundle];
        self.views.clear();
        for lane in 0..*lanes {
            let model = &mut self.all[*first + 2 * lane].model;
            self.views.push(LaneView {
                state: model.state(),
                backlog: match chooser.watches_queues() && model.state() == LaneState::Up {
                    true => model.backlog(now),
                    false => Duration::ZERO,
                },
            });
        }
        *first + 2 * chooser.choose(flow, &self.views)
    }
}

/// Half of the shortest delay: what has arrived may be read half of that later. A packet that waits to be overtaken goes when the
/// others come, or do not.
fn foresight(channel: &Channel) -> Duration {
    match channel.reordering {
        None => channel.delay_range().0 / 2,
        Some(_) => Duration::ZERO,
    }
}

/// The wire packets that come, for a capture.
fn offered<'a>(arrival: &Arrival<'a, Rc<Frame>>) -> Wiretapped<'a> {
    Wiretapped {
        vnet: arrival.packet.vnet,
        layout: arrival.packet.layout,
        parts: [&arrival.packet.bytes, &[]],
        segments: arrival.segments.clone(),
    }
}

impl Carrier {
    /// Behaves as `channel` from `now` on.
    pub(super) fn set(&mut self, now: Time, channel: &Channel) {
        self.model.set(now, channel);
        self.least_delay = channel.delay_range().0;
        self.foresight = foresight(channel);
        self.held = bytes_held(channel, self.mtu);
        self.hop = Hop::new(self.id, channel);
    }
}
