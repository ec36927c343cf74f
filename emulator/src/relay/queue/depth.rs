//! How much is in a queue, and what its limit lets in.

use std::ops::Range;

use longhaul_topologies::model::QueueLimit;

use super::LineState;
use crate::relay::segment::PacketShape;

/// How much is in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::relay) struct Depth {
    /// Wire packets.
    pub(in crate::relay) packets: u64,
    /// Bytes of their frames.
    pub(in crate::relay) bytes: u64,
}

impl Depth {
    /// That of some wire packets of one packet.
    pub(in crate::relay) fn of(shape: PacketShape, segments: &Range<u32>) -> Self {
        Depth {
            packets: segments.len() as u64,
            bytes: shape.bytes(segments),
        }
    }

    /// In the unit that `limit` is in.
    pub(super) fn in_unit_of(self, limit: QueueLimit) -> u64 {
        match limit {
            QueueLimit::Bytes(_) => self.bytes,
            QueueLimit::Packets(_) => self.packets,
        }
    }

    /// Whether it is more than `limit`.
    pub(super) fn exceeds(self, limit: QueueLimit) -> bool {
        self.in_unit_of(limit) > amount(limit)
    }

    /// Adds a frame if `limit` allows it; answers whether it did.
    pub(in crate::relay) fn admit(&mut self, frame: u32, limit: Option<QueueLimit>) -> bool {
        let with = Depth {
            packets: self.packets + 1,
            bytes: self.bytes + u64::from(frame),
        };
        let fits = limit.is_none_or(|limit| !with.exceeds(limit));
        if fits {
            *self = with;
        }
        fits
    }
}

impl std::ops::Add for Depth {
    type Output = Depth;

    fn add(self, other: Depth) -> Depth {
        Depth {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl std::ops::AddAssign for Depth {
    fn add_assign(&mut self, other: Depth) {
        *self = *self + other;
    }
}

impl std::ops::SubAssign for Depth {
    fn sub_assign(&mut self, other: Depth) {
        self.packets -= other.packets;
        self.bytes -= other.bytes;
    }
}

/// What a limit is, in its own unit.
pub(super) fn amount(limit: QueueLimit) -> u64 {
    match limit {
        QueueLimit::Bytes(limit) => limit.bytes(),
        QueueLimit::Packets(limit) => u64::from(limit),
    }
}

/// The way into a queue while one packet is offered: counts what is there, and holds it against the limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    limit: Option<QueueLimit>,
    counted: Depth,
    /// Whether the next wire packet goes straight to the line, so that no queue has to hold it.
    line_is_free: bool,
}

impl Gate {
    /// A gate to a queue that holds `waiting`.
    pub(super) fn new(limit: Option<QueueLimit>, waiting: Depth, line: LineState) -> Self {
        let (counted, line_is_free) = match line {
            LineState::Free => (waiting, waiting == Depth::default()),
            LineState::Busy { unsent } => (waiting + unsent, false),
        };
        Gate {
            limit,
            counted,
            line_is_free,
        }
    }

    /// What counts as queued.
    pub(super) fn counted(&self) -> Depth {
        self.counted
    }

    /// Lets one frame in if it fits; answers whether it did.
    pub(super) fn admit(&mut self, frame: u32) -> bool {
        std::mem::take(&mut self.line_is_free) || self.counted.admit(frame, self.limit)
    }

    /// Lets in as many of `segments` as fit before the first that does not; answers how many.
    pub(super) fn admit_leading(&mut self, shape: PacketShape, segments: &Range<u32>) -> u32 {
        let mut rest = segments.clone();
        if !rest.is_empty() && std::mem::take(&mut self.line_is_free) {
            rest.start += 1;
        }
        let fit = rest.start + self.fitting(shape, &rest);
        self.counted += Depth::of(shape, &(rest.start..fit));
        fit - segments.start
    }

    /// Lets a frame in that does not fit.
    pub(super) fn force(&mut self, frame: u32) {
        self.counted += Depth {
            packets: 1,
            bytes: u64::from(frame),
        };
    }

    /// Something that was counted has left.
    pub(super) fn release(&mut self, depth: Depth) {
        self.counted.packets = self.counted.packets.saturating_sub(depth.packets);
        self.counted.bytes = self.counted.bytes.saturating_sub(depth.bytes);
    }

    /// How many of `segments` fit before the first that does not, without looking at each.
    fn fitting(&self, shape: PacketShape, segments: &Range<u32>) -> u32 {
        let count = segments.len() as u32;
        let Some(limit) = self.limit else {
            return count;
        };
        if !(self.counted + Depth::of(shape, segments)).exceeds(limit) {
            return count;
        }
        let room = amount(limit).saturating_sub(self.counted.in_unit_of(limit));
        // Not all fit, and the last is no longer than the others.
        let each = match limit {
            QueueLimit::Packets(_) => 1,
            QueueLimit::Bytes(_) => u64::from(shape.full).max(1),
        };
        u32::try_from(room / each).unwrap_or(u32::MAX).min(count)
    }
}
