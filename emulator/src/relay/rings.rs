//! Two rings as one: small and large frames, in the order of their arrival, with its instant.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::ring::{Received, Ring, RingSpec, SLOT_OVERHEAD};
use crate::clocks::{Clocks, Watch};
use crate::time::Time;

/// A full super-packet: an IP packet of 64 KB (`GSO_LEGACY_MAX_SIZE` in linux/netdevice.h) in its frame, in whole pages.
const LARGE_SLOT: usize = 17 * 4096;
/// Slots that nearly fill a power of two of pages, which is what the kernel allocates.
const LARGE_SLOTS_PER_BLOCK: usize = 15;
/// The Ethernet header and a VLAN tag.
const FRAME_OVERHEAD: usize = 18;

/// What rings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RingsSpec {
    /// The interface (the kernel's number) whose frames they take; those of all if absent.
    pub(super) interface: Option<u32>,
    /// The longest IP packet that is no super-packet.
    pub(super) mtu: u32,
    /// Bytes of the ring for single packets.
    pub(super) small: usize,
    /// Bytes of the ring for super-packets.
    pub(super) large: usize,
}

/// Both rings.
#[derive(Debug)]
pub(super) struct Rings {
    small: Ring,
    large: Ring,
    /// When both were last seen empty, or the arrival of the last frame: what is in them now came later.
    last_arrival: Time,
}

/// Which of the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Small,
    Large,
}

impl Rings {
    /// Opens them in the current network namespace. Frames arrive from now on.
    pub(super) fn open(spec: RingsSpec, now: Time) -> io::Result<Self> {
        let slot = (spec.mtu as usize + FRAME_OVERHEAD + SLOT_OVERHEAD)
            .next_power_of_two()
            .max(2048);
        let block = slot.max(1 << 16);
        let small = RingSpec {
            interface: spec.interface,
            longer_than: 0,
            slot,
            slots_per_block: block / slot,
            blocks: spec.small / block,
        };
        let large = RingSpec {
            interface: spec.interface,
            longer_than: small.capacity(),
            slot: LARGE_SLOT,
            slots_per_block: LARGE_SLOTS_PER_BLOCK,
            blocks: spec.large / (LARGE_SLOT * LARGE_SLOTS_PER_BLOCK),
        };
        Ok(Rings {
            small: Ring::open(small, small.capacity())?,
            large: Ring::open(large, u32::MAX)?,
            last_arrival: now,
        })
    }

    /// The sockets that become readable when frames arrive.
    pub(super) fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        [self.small.as_fd(), self.large.as_fd()]
    }

    /// Hands up to `limit` frames to `take`, oldest first, each with its instant. Answers how many there were.
    pub(super) fn receive(
        &mut self,
        limit: usize,
        watch: &mut Watch,
        mut take: impl FnMut(Time, Received<'_>),
    ) -> usize {
        let looked = watch.now();
        let mut clocks: Option<Clocks> = None;
        for taken in 0..limit {
            let Some((side, received)) = self.oldest() else {
                let now = clocks.map_or(looked, |clocks| clocks.monotonic);
                self.last_arrival = self.last_arrival.max(now);
                return taken;
            };
            // One that came while others were taken in would, held against the clocks before that, seem to have come then,
            // and leave too early.
            let clocks = match clocks {
                Some(clocks) if received.stamp <= clocks.realtime => clocks,
                _ => *clocks.insert(watch.clocks()),
            };
            // Later frames came later, whatever a stepped clock says.
            let arrival = clocks.monotonic_of(received.stamp, self.last_arrival);
            take(arrival, received);
            self.last_arrival = arrival;
            match side {
                Side::Small => self.small.release(),
                Side::Large => self.large.release(),
            }
        }
        limit
    }

    /// When the last frame arrived that was taken in.
    pub(super) fn last_arrival(&self) -> Time {
        self.last_arrival
    }

    /// Frames that found no slot since the last call.
    pub(super) fn drops(&self) -> io::Result<u64> {
        Ok(self.small.drops()? + self.large.drops()?)
    }

    /// Takes note of an error that the sockets reported; to read it clears it.
    pub(super) fn note_error(&mut self) -> io::Result<()> {
        self.small.take_error()?;
        self.large.take_error()?;
        Ok(())
    }

    /// A frame may enter one ring between the looks at both, but frames of one flow arrive one after the other: what
    /// is seen in one ring, all before it is visible in the other from then on. So the other is looked at *after*.
    fn oldest(&self) -> Option<(Side, Received<'_>)> {
        let small = self.small.peek();
        let Some(large) = self.large.peek() else {
            return small.map(|small| (Side::Small, small));
        };
        match small.or_else(|| self.small.peek()) {
            Some(small) if small.stamp <= large.stamp => Some((Side::Small, small)),
            _ => Some((Side::Large, large)),
        }
    }
}
