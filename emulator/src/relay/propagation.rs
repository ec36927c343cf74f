//! What happens between the line and the far end: loss, duplication, corruption, delay and its variation.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Duration;

use longhaul_topologies::model::{Channel, PacketOrder};
use longhaul_topologies::units::Probability;
use rand::{Rng, RngExt};

use super::jitter::JitterModel;
use super::loss::LossModel;
use super::model::BURST;
use super::random::Streams;
use super::segment::PacketShape;
use super::time::Time;

/// What a packet in flight takes beside its bytes, so that small ones cannot evade a limit on memory.
const OVERHEAD: u64 = 256;

/// The wire packets in flight, and the impairments.
#[derive(Debug)]
pub(super) struct Propagation<P> {
    delay: Duration,
    jitter: Option<JitterModel>,
    order: PacketOrder,
    loss: LossModel,
    duplication: Probability,
    corruption: Probability,
    streams: Streams,
    in_flight: BinaryHeap<InFlight<P>>,
    held: u64,
    /// Numbers the deliveries, so that those of one instant stay in order.
    sequence: u64,
    last_release: Time,
    losses: u64,
}

/// Consecutive wire packets of one packet that have arrived at the far end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery<P> {
    /// When the last bit of the last of them arrives.
    pub(super) release: Time,
    /// The packet.
    pub(super) packet: P,
    /// Which of its wire packets.
    pub(super) segments: Range<u32>,
    /// How long they are, among them.
    pub(super) bytes: u64,
    /// In what state.
    pub(super) state: PacketState,
}

/// In what state a wire packet arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PacketState {
    /// As it was sent.
    Intact,
    /// With one flipped bit; always a single wire packet.
    Corrupted {
        /// A random number to choose the bit by.
        selector: u32,
    },
}

/// A delivery on its way; the greatest in a heap is the next one.
#[derive(Debug)]
struct InFlight<P> {
    sequence: u64,
    delivery: Delivery<P>,
}

impl<P: Clone> Propagation<P> {
    pub(super) fn new(channel: &Channel, streams: Streams) -> Self {
        Propagation {
            delay: channel.delay,
            jitter: jitter(channel, Time::default()),
            order: order(channel),
            loss: LossModel::new(channel.loss.clone()),
            duplication: channel.duplication,
            corruption: channel.corruption,
            streams,
            in_flight: BinaryHeap::new(),
            held: 0,
            sequence: 0,
            last_release: Time::default(),
            losses: 0,
        }
    }

    /// Treats what comes from now on as `channel` says. A loss model that did not change keeps its state.
    pub(super) fn set(&mut self, channel: &Channel, now: Time) {
        self.delay = channel.delay;
        self.jitter = jitter(channel, now);
        self.order = order(channel);
        self.loss.set(&channel.loss);
        self.duplication = channel.duplication;
        self.corruption = channel.corruption;
    }

    /// Traces start again at `now`, and the loss model with its first packet.
    pub(super) fn begin(&mut self, channel: &Channel, now: Time) {
        self.loss = LossModel::new(channel.loss.clone());
        self.set(channel, now);
    }

    /// Decides the fate of `segments`, each of which enters when `leaves` says, in rising order.
    pub(super) fn carry(
        &mut self,
        packet: &P,
        shape: PacketShape,
        segments: Range<u32>,
        leaves: impl Fn(u32) -> Time,
    ) {
        let mut run = Run::default();
        for segment in segments {
            let lost = self.loss.takes_next(&mut self.streams.loss);
            let duplicated = strikes(self.duplication, &mut self.streams.duplication);
            let corrupted = strikes(self.corruption, &mut self.streams.corruption);
            let release = self.arrival(leaves(segment));
            if lost {
                self.losses += 1;
                self.dispatch(packet, shape, &mut run, PacketState::Intact);
                continue;
            }
            self.last_release = self.last_release.max(release);
            if corrupted || !run.accepts(segment, release, self.order) {
                self.dispatch(packet, shape, &mut run, PacketState::Intact);
            }
            run.push(segment, release);
            if corrupted {
                let selector = self.streams.corruption.next_u32();
                self.dispatch(packet, shape, &mut run, PacketState::Corrupted { selector });
            }
            if duplicated {
                self.dispatch(packet, shape, &mut run, PacketState::Intact);
                run.push(segment, release);
                self.dispatch(packet, shape, &mut run, PacketState::Intact);
            }
        }
        self.dispatch(packet, shape, &mut run, PacketState::Intact);
    }

    /// The next delivery whose release has come by `now`.
    pub(super) fn poll(&mut self, now: Time) -> Option<Delivery<P>> {
        self.next_release().filter(|&release| release <= now)?;
        let InFlight { delivery, .. } = self.in_flight.pop()?;
        self.held -= delivery.bytes + OVERHEAD;
        Some(delivery)
    }

    /// When the next delivery in flight arrives.
    pub(super) fn next_release(&self) -> Option<Time> {
        self.in_flight.peek().map(|next| next.delivery.release)
    }

    /// The earliest that something can arrive which enters at `time`.
    pub(super) fn earliest_arrival(&self, time: Time) -> Time {
        let least = self
            .jitter
            .as_ref()
            .map_or(self.delay, |jitter| jitter.least(self.delay));
        match self.order {
            PacketOrder::Preserved => self.last_release.max(time + least),
            PacketOrder::ByDelay => time + least,
        }
    }

    /// Memory in flight, about.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Wire packets that the loss model took.
    pub(super) fn losses(&self) -> u64 {
        self.losses
    }

    fn arrival(&mut self, entered: Time) -> Time {
        let delay = self.jitter.as_ref().map_or(self.delay, |jitter| {
            jitter.vary(self.delay, entered, &mut self.streams.jitter)
        });
        match self.order {
            PacketOrder::Preserved => self.last_release.max(entered + delay),
            PacketOrder::ByDelay => entered + delay,
        }
    }

    /// Sends `run` off and empties it.
    fn dispatch(&mut self, packet: &P, shape: PacketShape, run: &mut Run, state: PacketState) {
        let Run {
            segments, release, ..
        } = std::mem::take(run);
        if segments.is_empty() {
            return;
        }
        let bytes = shape.bytes(&segments);
        self.held += bytes + OVERHEAD;
        self.sequence += 1;
        let delivery = Delivery {
            release,
            packet: packet.clone(),
            segments,
            bytes,
            state,
        };
        self.in_flight.push(InFlight {
            sequence: self.sequence,
            delivery,
        });
    }
}

/// Wire packets that will arrive together.
#[derive(Debug, Default)]
struct Run {
    segments: Range<u32>,
    /// When the first would have arrived alone.
    first: Time,
    /// When the last arrives.
    release: Time,
}

impl Run {
    /// Whether `segment` may go with the rest. Not where jitter may reorder: there each wire packet travels alone.
    fn accepts(&self, segment: u32, release: Time, order: PacketOrder) -> bool {
        self.segments.is_empty()
            || self.segments.end == segment
                && order == PacketOrder::Preserved
                && release.since(self.first) <= BURST
    }

    fn push(&mut self, segment: u32, release: Time) {
        if self.segments.is_empty() {
            *self = Run {
                segments: segment..segment,
                first: release,
                release,
            };
        }
        self.segments.end = segment + 1;
        self.release = release;
    }
}

/// Without jitter nothing can overtake, so the default order applies.
fn order(channel: &Channel) -> PacketOrder {
    channel
        .jitter
        .as_ref()
        .map_or(PacketOrder::Preserved, |jitter| jitter.order)
}

fn jitter(channel: &Channel, now: Time) -> Option<JitterModel> {
    let jitter = channel.jitter.as_ref();
    jitter.map(|jitter| JitterModel::new(jitter, now))
}

/// Draws once per wire packet, unless the impairment is off.
fn strikes(chance: Probability, rng: &mut impl Rng) -> bool {
    !chance.is_zero() && rng.random::<f64>() < chance.fraction()
}

impl<P> Ord for InFlight<P> {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |this: &Self| (this.delivery.release, this.sequence);
        key(other).cmp(&key(self))
    }
}

impl<P> PartialOrd for InFlight<P> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> PartialEq for InFlight<P> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<P> Eq for InFlight<P> {}
