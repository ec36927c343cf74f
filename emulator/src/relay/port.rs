//! An interface of the keeper's namespace: frames in, in the order of their arrival, and frames out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

use super::clocks::Clocks;
use super::egress::Egress;
use super::ring::{Received, Ring, RingSpec, SLOT_OVERHEAD};
use super::time::Time;

/// Ring memory of all interfaces of a lab together, as far as the least that each needs allows.
const RING_MEMORY: usize = 128 << 20;
/// A full super-packet: an IP packet of 64 KB (`GSO_LEGACY_MAX_SIZE` in linux/netdevice.h) in its frame, in whole pages.
const LARGE_SLOT: usize = 17 * 4096;
/// Slots that nearly fill a power of two of pages, which is what the kernel allocates.
const LARGE_SLOTS_PER_BLOCK: usize = 15;
/// Least and most bytes of each of an interface's two rings.
const RING: (usize, usize) = (1 << 20, 32 << 20);

/// One interface.
#[derive(Debug)]
pub(super) struct Port {
    /// Its name.
    pub(super) name: String,
    rings: Rings,
    /// What leaves through this interface.
    pub(super) egress: Egress,
    /// When both rings were last seen empty: what is in them now came later.
    empty_at: Time,
    /// Frames that found no slot.
    drops: u64,
    /// Its sockets reported an error once.
    suspect: bool,
}

/// An interface's two rings: what of a port takes long to open and to close, and may do so on another thread.
#[derive(Debug)]
pub(super) struct Rings {
    index: u32,
    small: Ring,
    large: Ring,
}

/// Which of a port's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Small,
    Large,
}

impl Rings {
    /// Opens the interface `name`, one of `ports`, for IP packets of up to `mtu` bytes.
    pub(super) fn open(name: &str, mtu: u32, ports: usize) -> io::Result<Self> {
        let index = if_nametoindex(name)?;
        let ring = (RING_MEMORY / 2 / ports.max(1)).clamp(RING.0, RING.1);
        let slot = (mtu as usize + FRAME_OVERHEAD + SLOT_OVERHEAD)
            .next_power_of_two()
            .max(2048);
        let block = slot.max(1 << 16);
        let small = RingSpec {
            longer_than: 0,
            slot,
            slots_per_block: block / slot,
            blocks: ring.div_ceil(block),
        };
        let large_block = LARGE_SLOT * LARGE_SLOTS_PER_BLOCK;
        let large = RingSpec {
            longer_than: small.capacity(),
            slot: LARGE_SLOT,
            slots_per_block: LARGE_SLOTS_PER_BLOCK,
            blocks: ring.div_ceil(large_block),
        };
        Ok(Rings {
            index,
            small: Ring::open(index, small, small.capacity())?,
            large: Ring::open(index, large, u32::MAX)?,
        })
    }
}

impl Port {
    /// The interface `name`, with its rings.
    pub(super) fn new(name: &str, rings: Rings, now: Time) -> Self {
        Port {
            name: name.to_owned(),
            rings,
            egress: Egress::default(),
            empty_at: now,
            drops: 0,
            suspect: false,
        }
    }

    /// The rings, to close them elsewhere.
    pub(super) fn into_rings(self) -> Rings {
        self.rings
    }

    /// The sockets that become readable when frames arrive.
    pub(super) fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        [self.rings.small.as_fd(), self.rings.large.as_fd()]
    }

    /// The socket to send on.
    pub(super) fn split_egress(&mut self) -> (BorrowedFd<'_>, &mut Egress) {
        (self.rings.small.as_fd(), &mut self.egress)
    }

    /// Hands up to `limit` frames to `take`, oldest first, with the instant each arrived.
    pub(super) fn receive(
        &mut self,
        limit: usize,
        clocks: Clocks,
        mut take: impl FnMut(Time, Received<'_>),
    ) {
        for _ in 0..limit {
            let Some((side, received)) = self.oldest() else {
                self.empty_at = clocks.monotonic;
                return;
            };
            let arrival = clocks.monotonic_of(received.stamp).max(self.empty_at);
            take(arrival, received);
            // Later frames came later, whatever a stepped clock says.
            self.empty_at = arrival;
            match side {
                Side::Small => self.rings.small.release(),
                Side::Large => self.rings.large.release(),
            }
        }
    }

    /// Frames that found no slot so far. The kernel does not tell how many wire packets each was.
    pub(super) fn drops(&mut self) -> io::Result<u64> {
        self.drops += self.rings.small.drops()? + self.rings.large.drops()?;
        Ok(self.drops)
    }

    /// Takes note of an error that the sockets reported.
    ///
    /// # Errors
    /// If the interface is gone.
    pub(super) fn note_error(&mut self) -> io::Result<()> {
        // Reading the error clears it; what it was shows in what the interface is now.
        self.rings.small.take_error()?;
        self.rings.large.take_error()?;
        self.suspect = true;
        self.check()
    }

    /// Whether an interface that had an error is still there; it may be down and come up again.
    ///
    /// The kernel reports the going down of an interface, not its deletion, which follows a moment later
    /// (`packet_notifier` in net/packet/af_packet.c). So one look at the time of the report is not enough.
    ///
    /// # Errors
    /// If the interface is gone.
    pub(super) fn check(&self) -> io::Result<()> {
        if !self.suspect {
            return Ok(());
        }
        match if_nametoindex(self.name.as_str()) {
            Ok(index) if index == self.rings.index => Ok(()),
            Ok(_) | Err(Errno::ENODEV) => Err(Errno::ENODEV.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// A frame may enter one ring between the looks at both, but frames of one flow arrive one after the other: what
    /// is seen in one ring, all before it is visible in the other from then on. So the other is looked at *after*.
    fn oldest(&self) -> Option<(Side, Received<'_>)> {
        let small = self.rings.small.peek();
        let Some(large) = self.rings.large.peek() else {
            return small.map(|small| (Side::Small, small));
        };
        match small.or_else(|| self.rings.small.peek()) {
            Some(small) if small.stamp <= large.stamp => Some((Side::Small, small)),
            _ => Some((Side::Large, large)),
        }
    }
}

/// The Ethernet header and a VLAN tag.
const FRAME_OVERHEAD: usize = 18;
