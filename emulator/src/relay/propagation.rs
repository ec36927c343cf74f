//! What happens between the line and the far end: loss, duplication, corruption, delay and its variation.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use longhaul_topologies::model::{Channel, PacketOrder, Reordering};
use longhaul_topologies::units::Probability;
use rand::{Rng, RngExt};

use super::jitter::JitterModel;
use super::loss::LossModel;
use super::model::{BURST, Handle, Stamp};
use super::queue::Marking;
use super::random::Streams;
use super::segment::PacketShape;
use crate::time::Time;

/// What a packet in flight takes beside its bytes, so that small ones cannot evade a limit on memory.
const OVERHEAD: u64 = 256;
/// Where a link has hardly any delay, what is to be overtaken still waits so long for those that are to overtake it.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// The wire packets in flight, and the impairments.
#[derive(Debug)]
pub(super) struct Propagation<P> {
    delay: Duration,
    jitter: Option<JitterModel>,
    order: PacketOrder,
    loss: LossModel,
    duplication: Probability,
    corruption: Probability,
    reordering: Option<Reordering>,
    /// In the order of their release: what keeps its order.
    in_order: VecDeque<InFlight<P>>,
    /// What does not.
    by_delay: BinaryHeap<InFlight<P>>,
    /// What is being overtaken.
    overtaken: VecDeque<Overtaken<P>>,
    held: u64,
    /// Numbers the deliveries, so that those of one instant stay in order.
    sequence: u64,
    last_release: Time,
    losses: u64,
}

/// Consecutive wire packets of one packet on their way in.
#[derive(Debug)]
pub(super) struct Entry<'a, P> {
    pub(super) packet: &'a P,
    pub(super) shape: PacketShape,
    pub(super) segments: Range<u32>,
    pub(super) marking: Marking,
    pub(super) stamp: Stamp,
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
    /// Whether the queue marked them.
    pub(super) marking: Marking,
    /// What the first of them met at the bottleneck.
    pub(super) stamp: Stamp,
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
    /// When the first of it would have arrived alone.
    first: Time,
    delivery: Delivery<P>,
}

/// A wire packet that waits to be overtaken.
#[derive(Debug)]
struct Overtaken<P> {
    /// By how many still.
    by: u32,
    /// When it goes all the same.
    until: Time,
    delivery: Delivery<P>,
}

impl<P: Handle> Propagation<P> {
    pub(super) fn new(channel: &Channel) -> Self {
        Propagation {
            delay: channel.delay,
            jitter: jitter(channel, Time::default()),
            order: order(channel),
            loss: LossModel::new(channel.loss.clone()),
            duplication: channel.duplication,
            corruption: channel.corruption,
            reordering: channel.reordering,
            in_order: VecDeque::new(),
            by_delay: BinaryHeap::new(),
            overtaken: VecDeque::new(),
            held: 0,
            sequence: 0,
            last_release: Time::default(),
            losses: 0,
        }
    }

    /// Treats what comes from now on as `channel` says. A loss model or a trace that did not change goes on; others begin.
    pub(super) fn set(&mut self, channel: &Channel, now: Time) {
        self.delay = channel.delay;
        let goes_on = (self.jitter.as_ref())
            .zip(channel.jitter.as_ref())
            .is_some_and(|(before, after)| before.plays(&after.shape));
        if !goes_on {
            self.jitter = jitter(channel, now);
        }
        self.order = order(channel);
        self.loss.set(&channel.loss);
        self.duplication = channel.duplication;
        self.corruption = channel.corruption;
        self.reordering = channel.reordering;
    }

    /// Traces start again at `now`, and the loss model with its first packet.
    pub(super) fn begin(&mut self, channel: &Channel, now: Time) {
        self.loss = LossModel::new(channel.loss.clone());
        self.jitter = None;
        self.set(channel, now);
    }

    /// Decides the fate of the entry's wire packets, each of which enters when `leaves` says, in rising order.
    pub(super) fn carry(
        &mut self,
        entry: &Entry<'_, P>,
        leaves: impl Fn(u32) -> Time,
        streams: &mut Streams,
    ) {
        let mut run = Run::default();
        let mut begins = entry.stamp.at;
        for segment in entry.segments.clone() {
            self.give_up_on_overtaking(begins);
            let lost = self.loss.takes_next(&mut streams.loss);
            let duplicated = strikes(self.duplication, &mut streams.duplication);
            let corrupted = strikes(self.corruption, &mut streams.corruption);
            let overtaken = self
                .reordering
                .filter(|reordering| strikes(reordering.chance, &mut streams.reordering));
            let entered = leaves(segment);
            begins = entered;
            let release = self.arrival(entered, &mut streams.jitter);
            if lost {
                self.losses += 1;
                self.dispatch(entry, &mut run, PacketState::Intact);
                continue;
            }
            if let Some(Reordering { depth, .. }) = overtaken {
                self.dispatch(entry, &mut run, PacketState::Intact);
                let state = match corrupted {
                    true => selected(&mut streams.corruption),
                    false => PacketState::Intact,
                };
                let until = release + self.delay.max(LEAST_WAIT);
                // A duplicate follows its original at once, and intact.
                let copies = [Some(state), duplicated.then_some(PacketState::Intact)];
                for state in copies.into_iter().flatten() {
                    run.push(segment, release, entered);
                    let delivery = self.delivery(entry, &mut run, state);
                    self.overtaken.push_back(Overtaken {
                        by: depth,
                        until,
                        delivery,
                    });
                }
                continue;
            }
            self.last_release = self.last_release.max(release);
            if corrupted || !run.accepts(segment, release, self.order) {
                self.dispatch(entry, &mut run, PacketState::Intact);
            }
            run.push(segment, release, entered);
            if corrupted {
                let state = selected(&mut streams.corruption);
                self.dispatch(entry, &mut run, state);
            }
            if duplicated {
                self.dispatch(entry, &mut run, PacketState::Intact);
                run.push(segment, release, entered);
                self.dispatch(entry, &mut run, PacketState::Intact);
            }
            if !self.overtaken.is_empty() {
                self.dispatch(entry, &mut run, PacketState::Intact);
                self.overtake(release);
            }
        }
        self.dispatch(entry, &mut run, PacketState::Intact);
    }

    /// The next delivery whose release comes by `until`, as far as is certain `now`.
    pub(super) fn poll(&mut self, now: Time, until: Time) -> Option<Delivery<P>> {
        self.give_up_on_overtaking(now);
        let next = [self.in_order.front(), self.by_delay.peek()]
            .into_iter()
            .flatten();
        // The greatest is the next.
        let sequence = next
            .max()
            .filter(|next| next.delivery.release <= until)?
            .sequence;
        let is_in_order = self
            .in_order
            .front()
            .is_some_and(|front| front.sequence == sequence);
        let InFlight { delivery, .. } = match is_in_order {
            true => self.in_order.pop_front(),
            false => self.by_delay.pop(),
        }?;
        self.held -= delivery.bytes + OVERHEAD;
        Some(delivery)
    }

    /// When the next delivery in flight arrives.
    pub(super) fn next_release(&self) -> Option<Time> {
        let flights = [self.in_order.front(), self.by_delay.peek()]
            .into_iter()
            .flatten();
        let releases = flights.map(|next| next.delivery.release);
        let last_waits = self.overtaken.iter().map(|overtaken| overtaken.until);
        releases.chain(last_waits).min()
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

    fn arrival(&mut self, entered: Time, rng: &mut impl Rng) -> Time {
        let delay = self
            .jitter
            .as_ref()
            .map_or(self.delay, |jitter| jitter.vary(self.delay, entered, rng));
        match self.order {
            PacketOrder::Preserved => self.last_release.max(entered + delay),
            PacketOrder::ByDelay => entered + delay,
        }
    }

    /// One more wire packet, which arrives at `release`, has overtaken what waits for it.
    fn overtake(&mut self, release: Time) {
        for waiting in &mut self.overtaken {
            waiting.by -= 1;
        }
        while let Some(at) = self.overtaken.iter().position(|waiting| waiting.by == 0) {
            let done = self.overtaken.remove(at).expect("it was just found");
            self.depart(release, release, done.delivery);
        }
    }

    /// Sends off what nothing has come to overtake.
    fn give_up_on_overtaking(&mut self, now: Time) {
        while let Some(at) = self
            .overtaken
            .iter()
            .position(|waiting| waiting.until <= now)
        {
            let late = self.overtaken.remove(at).expect("it was just found");
            self.depart(late.until, late.until, late.delivery);
        }
    }

    /// What `run` stands for, which is emptied.
    fn delivery(&mut self, entry: &Entry<'_, P>, run: &mut Run, state: PacketState) -> Delivery<P> {
        let Run {
            segments, release, ..
        } = std::mem::take(run);
        let bytes = entry.shape.bytes(&segments);
        self.held += bytes + OVERHEAD;
        Delivery {
            release,
            packet: entry.packet.clone(),
            segments,
            bytes,
            state,
            marking: entry.marking,
            stamp: entry.stamp,
        }
    }

    /// Sends `run` off and empties it.
    fn dispatch(&mut self, entry: &Entry<'_, P>, run: &mut Run, state: PacketState) {
        if run.segments.is_empty() {
            return;
        }
        if state == PacketState::Intact && self.lengthens_last(entry, run) {
            let Run {
                segments, release, ..
            } = std::mem::take(run);
            let bytes = entry.shape.bytes(&segments);
            let last = &mut self.in_order.back_mut().expect("there is a last").delivery;
            last.release = release;
            last.segments.end = segments.end;
            last.bytes += bytes;
            self.held += bytes;
            return;
        }
        let first = run.first;
        let delivery = self.delivery(entry, run, state);
        self.depart(delivery.release, first, delivery);
    }

    /// Whether `run` goes on where the last delivery ends, in the same state and soon enough to arrive with it. So a
    /// super-packet that left the queue packet by packet arrives in few pieces.
    fn lengthens_last(&self, entry: &Entry<'_, P>, run: &Run) -> bool {
        self.order == PacketOrder::Preserved
            && self.in_order.back().is_some_and(|last| {
                let delivery = &last.delivery;
                delivery.segments.end == run.segments.start
                    && delivery.marking == entry.marking
                    && delivery.state == PacketState::Intact
                    && delivery.packet.is(entry.packet)
                    && run.release.since(last.first) <= BURST
                    && run.left.since(delivery.stamp.at) <= BURST
            })
    }

    fn depart(&mut self, release: Time, first: Time, delivery: Delivery<P>) {
        self.sequence += 1;
        let flight = InFlight {
            sequence: self.sequence,
            first,
            delivery: Delivery {
                release,
                ..delivery
            },
        };
        let follows = |last: &InFlight<P>| last.delivery.release <= release;
        match self.order {
            PacketOrder::Preserved if self.in_order.back().is_none_or(follows) => {
                self.in_order.push_back(flight);
            }
            PacketOrder::Preserved | PacketOrder::ByDelay => self.by_delay.push(flight),
        }
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
    /// When the last left the line.
    left: Time,
}

impl Run {
    /// Whether `segment` may go with the rest. Not where jitter may reorder: there each wire packet travels alone.
    fn accepts(&self, segment: u32, release: Time, order: PacketOrder) -> bool {
        self.segments.is_empty()
            || self.segments.end == segment
                && order == PacketOrder::Preserved
                && release.since(self.first) <= BURST
    }

    fn push(&mut self, segment: u32, release: Time, left: Time) {
        if self.segments.is_empty() {
            self.segments = segment..segment;
            self.first = release;
        }
        self.segments.end = segment + 1;
        self.release = release;
        self.left = left;
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

/// Corrupted where a random number says.
fn selected(rng: &mut impl Rng) -> PacketState {
    PacketState::Corrupted {
        selector: rng.next_u32(),
    }
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
