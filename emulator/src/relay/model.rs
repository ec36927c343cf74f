//! One channel as a state machine, without clock, socket or randomness of its own.
//!
//! ```text
//! offer → bottleneck queue → line (rate) → propagation: loss, duplication, corruption, delay ± jitter → poll
//! ```
//! - Everything counts **wire packets**: a super-packet is admitted, sent and lost segment by segment.
//! - The **queue** (module `queue`) holds what waits for the line; the frame whose bits are leaving is no longer in it.
//! - **Loss** strikes in propagation: a lost packet has queued and has used the line. netem decides loss when a packet
//!   enters, so there it costs no capacity.
//! - **Time is logical.** A frame leaves the line when rate and queue say so, whenever this code gets to run.
//! - The line takes frames in *bursts* of at most [`BURST`] out of one packet, whose fate is drawn when their first bit
//!   leaves; what arrives together leaves [`poll`](ChannelModel::poll) together, as one [`Delivery`].

use std::ops::Range;
use std::time::Duration;

use longhaul_topologies::model::{Channel, LaneState};

use super::line::Line;
use super::propagation::{Delivery, Entry, Propagation};
use super::queue::{Arrival, Depth, LineState, Marking, Queue, Traffic};
use super::random::Streams;
use super::segment::PacketShape;
use crate::time::Time;

/// The longest stretch of link time that leaves as one burst. Longer ones would turn a link into a pulse train; shorter
/// ones cost a system call each: 100–250 µs were found to be right in a prototype.
pub(super) const BURST: Duration = Duration::from_micros(250);

/// What a channel without a rate may hold in flight, where no queue bounds it: 53 Gbit/s at 40 ms.
const UNLIMITED_IN_FLIGHT: u64 = 256 << 20;

/// A cheap handle on a packet: it is cloned for every part that travels alone and dropped with the part.
pub(super) trait Handle: Clone {
    /// Whether both are of the same packet.
    fn is(&self, other: &Self) -> bool;
}

/// One direction of one lane.
#[derive(Debug)]
pub(super) struct ChannelModel<P> {
    channel: Channel,
    queue: Queue<P>,
    line: Option<Line>,
    burst: Option<Burst>,
    propagation: Propagation<P>,
    streams: Streams,
    /// Bytes of the frames that the line was given so far.
    sent: u64,
    outage: u64,
    overflow: u64,
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

/// What a packet met at the bottleneck, as a switch would write it into the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    /// When its first bit left.
    pub(super) at: Time,
    /// What waited behind it then.
    pub(super) queue: Depth,
    /// Bytes of the frames that the line was given so far, its own included.
    pub(super) sent: u64,
}

/// What became of wire packets that did not arrive, and of those that were marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Refused by the full queue.
    pub(super) queue_drops: u64,
    /// Dropped by the queue's discipline.
    pub(super) early_drops: u64,
    /// Marked by it; these arrive.
    pub(super) marks: u64,
    /// Lost as the lane was down.
    pub(super) outage: u64,
    /// Taken by the loss model.
    pub(super) losses: u64,
    /// Refused for want of memory, which no link description asks for.
    pub(super) overflow: u64,
}

impl<P: Handle> ChannelModel<P> {
    /// An idle channel.
    pub(super) fn new(channel: &Channel, streams: Streams) -> Self {
        ChannelModel {
            queue: Queue::new(&channel.discipline, channel.queue_limit, channel.rate),
            line: Line::of(channel, Time::default(), Time::default()),
            burst: None,
            propagation: Propagation::new(channel),
            streams,
            sent: 0,
            outage: 0,
            overflow: 0,
            channel: channel.clone(),
        }
    }

    /// Wire packets reach the channel. They come in the order of their arrival; those that are read late may
    /// have arrived before the last [`poll`](Self::poll), and are sent as if they had been read in time.
    pub(super) fn offer(&mut self, arrival: &Arrival<'_, P>) {
        let now = arrival.now;
        let (shape, segments) = (arrival.traffic.shape, &arrival.segments);
        self.advance(now);
        if self.channel.state == LaneState::Down {
            self.outage += segments.len() as u64;
            return;
        }
        if self.line.is_none() {
            if self.propagation.held() + shape.bytes(segments) > UNLIMITED_IN_FLIGHT {
                self.overflow += segments.len() as u64;
            } else {
                let (packet, traffic) = (arrival.packet, arrival.traffic);
                self.pass(now, packet, traffic, segments.clone(), Marking::Unmarked);
            }
            return;
        }
        if self.burst.is_none() && self.queue.decides_late() {
            // The first is on the line before the others come to wait: what they meet does not depend on offloads.
            let second = segments.start + 1;
            let part = |segments| Arrival {
                segments,
                ..arrival.clone()
            };
            self.enqueue(&part(segments.start..second));
            self.enqueue(&part(second..segments.end));
        } else {
            self.enqueue(arrival);
        }
    }

    /// Wire packets come to wait.
    fn enqueue(&mut self, arrival: &Arrival<'_, P>) {
        let line = match self.burst {
            None => LineState::Free,
            Some(_) => LineState::Busy {
                unsent: self.unsent(arrival.now),
            },
        };
        self.queue.offer(arrival, line, &mut self.streams.queue);
        self.advance(arrival.now);
    }

    /// The next delivery whose release comes by `until`, as far as is certain `now`. If that is less ahead than the shortest
    /// delay, none that is found later comes before it.
    pub(super) fn poll(&mut self, now: Time, until: Time) -> Option<Delivery<P>> {
        self.advance(now);
        self.propagation.poll(now, until)
    }

    /// When to call [`poll`](Self::poll) next; `None` if nothing is under way. Never later than the next release.
    pub(super) fn next_event(&self) -> Option<Time> {
        let waiting = self.burst.as_ref().filter(|_| !self.queue.is_empty());
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

    /// How long a packet that came at `now` would wait for the line.
    pub(super) fn backlog(&mut self, now: Time) -> Duration {
        self.advance(now);
        let (Some(line), Some(burst)) = (&self.line, &self.burst) else {
            return Duration::ZERO;
        };
        let behind = line.free_after(self.queue.depth().bytes);
        behind.max(burst.end).since(now)
    }

    /// Whether the lane carries anything.
    pub(super) fn state(&self) -> LaneState {
        self.channel.state
    }

    /// What became of wire packets so far.
    pub(super) fn tally(&self) -> Tally {
        let queue = self.queue.counters();
        Tally {
            queue_drops: queue.dropped_full,
            early_drops: queue.dropped_early,
            marks: queue.marked,
            outage: self.outage,
            losses: self.propagation.losses(),
            overflow: self.overflow,
        }
    }

    /// Behaves as `channel` from `now` on. What is on the line or in propagation keeps its fate; what waits stays
    /// admitted, unless the lane goes down: then it is lost. The random streams go on, and so do traces that do not change; others begin.
    pub(super) fn set(&mut self, now: Time, channel: &Channel) {
        self.advance(now);
        self.propagation.set(channel, now);
        let line = self.line.as_ref();
        let began = line.and_then(|line| line.began(channel.rate_trace.as_ref()));
        self.adopt(now, channel, began.unwrap_or(now));
    }

    /// A workload begins at `now`: traces start again, and lists of lost packets count from here.
    pub(super) fn begin(&mut self, now: Time) {
        self.advance(now);
        let channel = self.channel.clone();
        self.propagation.begin(&channel, now);
        self.adopt(now, &channel, now);
    }

    /// The line and the queue as `channel` has them, from `now` on; the trace of its rate began at `began`.
    fn adopt(&mut self, now: Time, channel: &Channel, began: Time) {
        let free_at = self.burst.as_ref().map_or(now, |burst| burst.end);
        self.line = Line::of(channel, free_at, began);
        self.queue
            .set(&channel.discipline, channel.queue_limit, channel.rate);
        if channel.state == LaneState::Down {
            self.outage += self.queue.clear();
        }
        self.channel = channel.clone();
        self.advance(now);
    }

    /// Lets the line take everything that it starts on by `now`.
    fn advance(&mut self, now: Time) {
        if self.line.is_none() {
            // The rate has been lifted: nothing has to wait any more.
            while let Some(train) = self.queue.take(now, u64::MAX, &mut self.streams.queue) {
                self.pass(
                    now,
                    &train.packet,
                    train.traffic,
                    train.segments,
                    train.marking,
                );
            }
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
        line.start(self.queue.waiting_since()?);
        let before = line.clone();
        let start = before.free_at();
        let room = before.bytes_within(BURST);
        let train = self.queue.take(start, room, &mut self.streams.queue)?;
        let (shape, segments) = (train.traffic.shape, train.segments);
        let bytes = shape.bytes(&segments);
        let end = line.transmit(bytes);
        if self.queue.is_empty() {
            self.queue.idle_from(end);
        }
        self.sent += bytes;
        let first = segments.start;
        let leaves = |segment: u32| before.free_after(shape.bytes(&(first..segment + 1)));
        let entry = Entry {
            packet: &train.packet,
            shape,
            segments: segments.clone(),
            marking: train.marking,
            stamp: Stamp {
                at: start,
                queue: self.queue.depth(),
                sent: self.sent,
            },
        };
        self.propagation.carry(&entry, leaves, &mut self.streams);
        Some(Burst {
            line: before,
            shape,
            segments,
            end,
        })
    }

    /// Sends wire packets off that wait for nothing.
    fn pass(
        &mut self,
        now: Time,
        packet: &P,
        traffic: Traffic,
        segments: Range<u32>,
        marking: Marking,
    ) {
        self.sent += traffic.shape.bytes(&segments);
        let stamp = Stamp {
            at: now,
            queue: Depth::default(),
            sent: self.sent,
        };
        let entry = Entry {
            packet,
            shape: traffic.shape,
            segments,
            marking,
            stamp,
        };
        self.propagation.carry(&entry, |_| now, &mut self.streams);
    }

    /// What waits, and what of the burst has not begun to leave.
    fn depth(&self, now: Time) -> Depth {
        self.queue.depth() + self.unsent(now)
    }

    /// What of the burst has not begun to leave.
    fn unsent(&self, now: Time) -> Depth {
        let Some(burst) = self.burst.as_ref().filter(|burst| burst.end > now) else {
            return Depth::default();
        };
        let full = u64::from(burst.shape.full) * 8;
        let begun = u32::try_from(burst.line.progress(now) / full.max(1) + 1).unwrap_or(u32::MAX);
        let rest = burst
            .segments
            .start
            .saturating_add(begun)
            .min(burst.segments.end);
        Depth::of(burst.shape, &(rest..burst.segments.end))
    }
}

#[cfg(test)]
impl Handle for u32 {
    fn is(&self, other: &Self) -> bool {
        self == other
    }
}

#[cfg(test)]
mod tests;
