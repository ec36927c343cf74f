//! Packets on their way out, handed to the kernel in batches.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::clocks::now;
use super::frame::{Frame, Pool};
use super::propagation::{Delivery, PacketState};
use super::queue::Marking;
use super::segment;
use super::stamp::{self, Hop};
use super::traffic;
use super::vnet::{VNET_HEADER, VnetHeader};
use super::wiretap::Wiretapped;
use crate::time::Time;

/// How many packets go out with one system call. More save little (a call costs a fraction of a packet's way through the
/// receiver's stack) and make the last ones late.
pub(super) const BATCH: usize = 16;

/// How often a full socket buffer is waited for, a millisecond at most each time, before the packet counts as dropped.
const RETRIES: u32 = 3;

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
    interface: u32,
    vnet: VnetHeader,
    /// Rewritten headers, or the whole packet where it was changed.
    header: Vec<u8>,
    frame: Rc<Frame>,
    /// What of the frame follows the header.
    rest: Range<usize>,
    release: Time,
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
    /// When it had left for certain.
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

    /// Sends the batch on `socket` and tells `report` what became of each, in order, and which it was.
    pub(super) fn flush(
        &mut self,
        socket: BorrowedFd<'_>,
        pool: &mut Pool,
        mut report: impl FnMut(Sent, &Outgoing),
    ) {
        let mut done = 0;
        while done < self.queued.len() {
            let (outcome, count) = match send_patiently(socket, &self.queued[done..]) {
                Ok(count) => (Outcome::Taken, count),
                // The error is the first packet's; those behind it get their own chance.
                Err(_) => (Outcome::Refused, 1),
            };
            // After the system call, so this is the most that it can have been.
            let left = now();
            for out in &self.queued[done..done + count] {
                let sent = Sent {
                    channel: out.channel,
                    outcome,
                    release: out.release,
                    left,
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

/// Waits a bounded time for room.
fn send_patiently(socket: BorrowedFd<'_>, batch: &[Outgoing]) -> io::Result<usize> {
    for _ in 0..RETRIES {
        match send(socket, batch) {
            Err(Errno::EAGAIN | Errno::ENOBUFS) => {
                let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
                // Whether there is room now shows in the next attempt.
                let _ = poll(&mut fds, PollTimeout::from(1u8));
            }
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
    Ok(send(socket, batch)?)
}

/// One `sendmmsg`: how many packets the kernel took, at least one.
fn send(socket: BorrowedFd<'_>, batch: &[Outgoing]) -> nix::Result<usize> {
    let count = batch.len().min(BATCH);
    // SAFETY: all-zero iovec, sockaddr_ll and mmsghdr are valid and empty.
    let (mut parts, mut addresses, mut messages) = unsafe {
        (
            std::mem::zeroed::<[[libc::iovec; 3]; BATCH]>(),
            std::mem::zeroed::<[libc::sockaddr_ll; BATCH]>(),
            std::mem::zeroed::<[libc::mmsghdr; BATCH]>(),
        )
    };
    let rooms = parts.iter_mut().zip(&mut addresses).zip(&mut messages);
    for (out, ((parts, address), message)) in batch.iter().zip(rooms) {
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = out.interface as i32;
        message.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
        message.msg_hdr.msg_namelen = size_of_val(address) as libc::socklen_t;
        let vnet: &[u8; VNET_HEADER] = bytemuck::cast_ref(&out.vnet);
        // Most packets have no header of their own; to leave it out saves the kernel a look at it.
        let order: [&[u8]; 3] = match &*out.header {
            [] => [vnet, &out.frame.bytes[out.rest.clone()], &[]],
            header => [vnet, header, &out.frame.bytes[out.rest.clone()]],
        };
        *parts = order.map(|part| libc::iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        });
        message.msg_hdr.msg_iov = parts.as_mut_ptr();
        message.msg_hdr.msg_iovlen = if out.header.is_empty() { 2 } else { 3 };
    }
    // SAFETY: `messages` holds `count` messages, which point into `parts`, `addresses` and `batch`; all outlive the call,
    // which only reads them (but for `msg_len`, which is ours).
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT,
        )
    };
    Errno::result(sent).map(|sent| sent as usize)
}
