//! Packets on their way out, and what became of them.

use std::ops::Range;
use std::rc::Rc;

use super::frame::{Frame, Pool};
use super::output::{BATCH, Departure, Output};
use super::propagation::{Delivery, PacketState};
use super::queue::Marking;
use super::segment;
use super::stamp::{self, Hop};
use super::traffic;
use super::vnet::VnetHeader;
use super::wiretap::Wiretapped;
use crate::clocks::Watch;
use crate::time::Time;

/// The packets of one batch, whatever interface each leaves by.
#[derive(Debug, Default)]
pub(super) struct Egress {
    queued: Vec<Outgoing>,
    /// Header buffers to use again.
    spare: Vec<Vec<u8>>,
}

/// One packet or super-packet to send.
#[derive(Debug)]
pub(super) struct Outgoing {
    channel: usize,
    pub(super) interface: u32,
    pub(super) vnet: VnetHeader,
    /// Rewritten headers, or the whole packet where it was changed.
    pub(super) header: Vec<u8>,
    pub(super) frame: Rc<Frame>,
    /// What of the frame follows the header.
    pub(super) rest: Range<usize>,
    pub(super) release: Time,
    segments: Range<u32>,
    bytes: u64,
}

/// What became of a packet or super-packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// The channel it was for.
    pub(super) channel: usize,
    /// Whether the kernel took it.
    pub(super) outcome: Outcome,
    /// When it should have left.
    pub(super) release: Time,
    /// When it was with the kernel for certain.
    pub(super) handed: Time,
    /// When it had left for certain, or will.
    pub(super) left: Time,
    /// The wire packets it stands for.
    pub(super) packets: u64,
    /// The bytes of their frames.
    pub(super) bytes: u64,
}

/// Whether the kernel took a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    Refused,
}

impl Egress {
    /// Whether the batch has to be flushed before the next packet.
    pub(super) fn is_full(&self) -> bool {
        self.queued.len() == BATCH
    }

    /// Adds a delivery of channel number `channel` to the batch.
    pub(super) fn push(&mut self, channel: usize, hop: &Hop, delivery: Delivery<Rc<Frame>>) {
        let Delivery {
            release,
            packet: frame,
            segments,
            bytes,
            state,
            marking,
            stamp,
        } = delivery;
        let mut header = self.spare.pop().unwrap_or_default();
        header.clear();
        let mut vnet = frame.vnet;
        let mut rest = 0..frame.bytes.len();
        if let Some(layout) = frame
            .layout
            .filter(|layout| segments != (0..layout.shape().segments))
        {
            vnet = layout.cut(&frame.vnet, &frame.bytes, &segments, &mut header);
            rest = layout.payload(&segments);
        }
        if marking == Marking::Marked {
            if header.is_empty() {
                header.extend_from_slice(&frame.bytes[..frame.header_length()]);
                rest.start = header.len();
            }
            traffic::mark(&mut header);
        }
        if let Some(payload_at) = frame.inband {
            header.extend_from_slice(&frame.bytes[rest]);
            rest = 0..0;
            let segment = match frame.layout {
                Some(layout) => layout.segment(),
                None => header.len() - payload_at,
            };
            let record = hop.record(stamp, marking);
            stamp::write(&mut header, &vnet, payload_at, segment, &record);
        }
        if let PacketState::Corrupted { selector } = state {
            header.extend_from_slice(&frame.bytes[rest]);
            rest = 0..0;
            segment::corrupt(&mut vnet, &mut header, selector);
        }
        self.queued.push(Outgoing {
            channel,
            interface: frame.exit,
            vnet,
            header,
            frame,
            rest,
            release,
            segments,
            bytes,
        });
    }

    /// Brings the batch into the order in which it is to leave.
    pub(super) fn sort(&mut self) {
        self.queued.sort_by_key(|out| out.release);
    }

    /// Sends the batch and tells `report` what became of each, in order, and which it was.
    pub(super) fn flush(
        &mut self,
        output: &Output,
        watch: &mut Watch,
        pool: &mut Pool,
        mut report: impl FnMut(Sent, &Outgoing),
    ) {
        let mut done = 0;
        while done < self.queued.len() {
            let (outcome, count) = match output.send(&self.queued[done..]) {
                Ok(count) => (Outcome::Taken, count),
                // The error is the first packet's; those behind it get their own chance.
                Err(_) => (Outcome::Refused, 1),
            };
            // After the system call, so this is the most that it can have been.
            let handed = watch.now();
            for out in &self.queued[done..done + count] {
                let sent = Sent {
                    channel: out.channel,
                    outcome,
                    release: out.release,
                    handed,
                    left: match output.departure() {
                        Departure::AtOnce => handed,
                        Departure::InTime => handed.max(out.release),
                    },
                    packets: out.segments.len() as u64,
                    bytes: out.bytes,
                };
                report(sent, out);
            }
            done += count;
        }
        for out in self.queued.drain(..) {
            self.spare.push(out.header);
            pool.recycle(out.frame);
        }
    }
}

impl Outgoing {
    /// The wire packets that leave, for a capture.
    pub(super) fn wiretapped(&self) -> Wiretapped<'_> {
        let rest = &self.frame.bytes[self.rest.clone()];
        let layout = self.frame.layout;
        Wiretapped {
            vnet: self.vnet,
            layout: layout.map(|layout| layout.of_part(&self.segments)),
            parts: [&self.header, rest],
            segments: 0..self.segments.len() as u32,
        }
    }
}
