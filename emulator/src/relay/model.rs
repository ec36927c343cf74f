//! One channel as a state machine, without clock, socket or randomness of its own.
//!
//! ```text
//! offer → bottleneck queue → line (rate) → propagation: loss, duplication, corruption, delay ± jitter → poll
//! ```
//! - Everything counts **wire packets**: a super-packet is admitted, sent and lost segment by segment.
//! - The **queue** is drop-tail. It holds what waits for the line; the frame whose bits are leaving is no longer in it.
//! - **Loss** strikes in propagation: a lost packet has queued and has used the line. netem decides loss when a packet
//!   enters, so there it costs no capacity.
//! - **Time is logical.** A frame leaves the line when rate and queue say so, whenever this code gets to run.
//! - The line takes frames in *bursts* of at most [`BURST`] out of one packet, whose fate is drawn when their first bit
//!   leaves; what arrives together leaves [`poll`](ChannelModel::poll) together, as one [`Delivery`].

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use longhaul_topologies::model::{Channel, QueueLimit};

use super::line::Line;
use super::propagation::{Delivery, Propagation};
use super::queue::Depth;
use super::random::Streams;
use super::segment::PacketShape;
use super::time::Time;

/// The longest stretch of link time that leaves as one burst. Longer ones would turn a link into a pulse train; shorter
/// ones cost a system call each: 100–250 µs were found to be right in a prototype.
pub(super) const BURST: Duration = Duration::from_micros(250);

/// What a channel without a rate may hold in flight, where no queue bounds it: 53 Gbit/s at 40 ms.
const UNLIMITED_IN_FLIGHT: u64 = 256 << 20;

/// One direction of one lane. `P` is a cheap handle on a packet: it is cloned for every part that travels alone and
/// dropped with the part.
#[derive(Debug)]
pub(super) struct ChannelModel<P> {
    channel: Channel,
    propagation: Propagation<P>,
    line: Option<Line>,
    limit: Option<QueueLimit>,
    waiting: VecDeque<Waiting<P>>,
    waiting_depth: Depth,
    burst: Option<Burst>,
    queue_drops: u64,
    overflow: u64,
}

/// Packets that wait for the line.
#[derive(Debug)]
struct Waiting<P> {
    packet: P,
    shape: PacketShape,
    segments: Range<u32>,
    arrival: Time,
}

/// What the line is sending.
#[derive(Clone, Debug)]
struct Burst {
    /// The line as it was before.
    line: Line,
    shape: PacketShape,
    segments: Range<u32>,
    /// When the last bit leaves.
    end: Time,
}

/// Wire packets that got lost, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Refused by the full queue.
    pub(super) queue_drops: u64,
    /// Taken by the loss model.
    pub(super) losses: u64,
    /// Refused for want of memory, which no link description asks for.
    pub(super) overflow: u64,
}

impl<P: Clone> ChannelModel<P> {
    /// An idle channel.
    pub(super) fn new(channel: &Channel, streams: Streams) -> Self {
        ChannelModel {
            channel: channel.clone(),
            propagation: Propagation::new(channel, streams),
            line: Line::of(channel, Time::default(), Time::default()),
            limit: channel.queue_limit,
            waiting: VecDeque::new(),
            waiting_depth: Depth::default(),
            burst: None,
            queue_drops: 0,
            overflow: 0,
        }
    }

    /// A packet reaches the channel at `now`. Packets come in the order of their arrival; one that is read late may
    /// have arrived before the last [`poll`](Self::poll), and is sent as if it had been read in time.
    pub(super) fn offer(&mut self, now: Time, packet: P, shape: PacketShape) {
        self.advance(now);
        if self.line.is_none() {
            if self.propagation.held() + shape.bytes(&(0..shape.segments)) > UNLIMITED_IN_FLIGHT {
                self.overflow += u64::from(shape.segments);
            } else {
                self.propagation
                    .carry(&packet, shape, 0..shape.segments, |_| now);
            }
            return;
        }
        let mut depth = self.depth(now);
        let mut line_is_free = self.burst.is_none();
        let mut admitted = 0..0;
        for segment in 0..shape.segments {
            if line_is_free {
                line_is_free = false;
            } else if !depth.admit(shape.length(segment), self.limit) {
                self.queue_drops += 1;
                continue;
            }
            if admitted.end != segment {
                self.enqueue(now, &packet, shape, admitted);
                admitted = segment..segment;
            }
            admitted.end = segment + 1;
        }
        self.enqueue(now, &packet, shape, admitted);
        self.advance(now);
    }

    /// The next delivery whose release has come.
    pub(super) fn poll(&mut self, now: Time) -> Option<Delivery<P>> {
        self.advance(now);
        self.propagation.poll(now)
    }

    /// When to call [`poll`](Self::poll) next; `None` if nothing is under way. Never later than the next release.
    pub(super) fn next_event(&self) -> Option<Time> {
        let waiting = self.burst.as_ref().filter(|_| !self.waiting.is_empty());
        let next_burst = waiting.map(|burst| self.propagation.earliest_arrival(burst.end));
        [self.propagation.next_release(), next_burst]
            .into_iter()
            .flatten()
            .min()
    }

    /// What waits for the line at `now`.
    pub(super) fn queue(&mut self, now: Time) -> Depth {
        self.advance(now);
        self.depth(now)
    }

    /// What got lost so far.
    pub(super) fn lost(&self) -> Lost {
        Lost {
            queue_drops: self.queue_drops,
            losses: self.propagation.losses(),
            overflow: self.overflow,
        }
    }

    /// Behaves as `channel` from `now` on. What is on the line or in propagation keeps its fate; what waits stays
    /// admitted. The random streams go on.
    pub(super) fn set(&mut self, now: Time, channel: &Channel) {
        self.advance(now);
        self.propagation.set(channel, now);
        self.adopt(now, channel);
    }

    /// The line and the queue as `channel` has them, from `now` on.
    fn adopt(&mut self, now: Time, channel: &Channel) {
        let free_at = self.burst.as_ref().map_or(now, |burst| burst.end);
        self.line = Line::of(channel, free_at, now);
        self.limit = channel.queue_limit;
        self.channel = channel.clone();
        self.advance(now);
    }

    /// A workload begins at `now`: traces start again, and lists of lost packets count from here.
    pub(super) fn begin(&mut self, now: Time) {
        self.advance(now);
        let channel = self.channel.clone();
        self.propagation.begin(&channel, now);
        self.adopt(now, &channel);
    }

    fn enqueue(&mut self, arrival: Time, packet: &P, shape: PacketShape, segments: Range<u32>) {
        if !segments.is_empty() {
            self.waiting_depth.packets += segments.len() as u64;
            self.waiting_depth.bytes += shape.bytes(&segments);
            self.waiting.push_back(Waiting {
                packet: packet.clone(),
                shape,
                segments,
                arrival,
            });
        }
    }

    /// Lets the line take everything that it starts on by `now`.
    fn advance(&mut self, now: Time) {
        if self.line.is_none() {
            // The rate has been lifted: nothing has to wait any more.
            for Waiting {
                packet,
                shape,
                segments,
                ..
            } in self.waiting.drain(..)
            {
                self.propagation.carry(&packet, shape, segments, |_| now);
            }
            self.waiting_depth = Depth::default();
            self.burst = None;
            return;
        }
        while self.burst.as_ref().is_none_or(|burst| burst.end <= now) {
            self.burst = self.next_burst();
            if self.burst.is_none() {
                return;
            }
        }
    }

    /// Puts the next frames on the line, which is free.
    fn next_burst(&mut self) -> Option<Burst> {
        let line = self.line.as_mut()?;
        let head = self.waiting.front_mut()?;
        let shape = head.shape;
        line.start(head.arrival);
        let before = line.clone();

        let count = before
            .frames_within(BURST, shape.full)
            .clamp(1, head.segments.len() as u32);
        let first = head.segments.start;
        let segments = first..first + count;
        let end = line.transmit(shape.bytes(&segments));
        let leaves = |segment: u32| before.free_after(shape.bytes(&(first..segment + 1)));
        self.propagation
            .carry(&head.packet, shape, segments.clone(), leaves);

        self.waiting_depth.packets -= u64::from(count);
        self.waiting_depth.bytes -= shape.bytes(&segments);
        head.segments.start = segments.end;
        if head.segments.is_empty() {
            self.waiting.pop_front();
        }
        Some(Burst {
            line: before,
            shape,
            segments,
            end,
        })
    }

    /// What waits, and what of the burst has not begun to leave.
    fn depth(&self, now: Time) -> Depth {
        let mut depth = self.waiting_depth;
        if let Some(burst) = self.burst.as_ref().filter(|burst| burst.end > now) {
            let full = u64::from(burst.shape.full) * 8;
            let begun =
                u32::try_from(burst.line.progress(now) / full.max(1) + 1).unwrap_or(u32::MAX);
            let rest = burst
                .segments
                .start
                .saturating_add(begun)
                .min(burst.segments.end)..burst.segments.end;
            depth.packets += rest.len() as u64;
            depth.bytes += burst.shape.bytes(&rest);
        }
        depth
    }
}

#[cfg(test)]
mod tests;
