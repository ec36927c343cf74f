//! A capture of what an interface receives: for links that something else carries.

use std::io;
use std::os::fd::BorrowedFd;

use super::frame::Frame;
use super::rings::{Rings, RingsSpec};
use super::wiretap::{Wiretap, Wiretapped};
use crate::capture::Tap;
use crate::clocks::{Watch, now};
use crate::time::Time;

/// Bytes of the ring for single packets: a hundredth of a second of 400,000 packets a second. Every lane's end has rings of its own, so
/// they are smaller than the relay's.
const SMALL_RING: usize = 8 << 20;
/// Bytes of the ring for super-packets: a hundredth of a second of 10 Gbit/s.
const LARGE_RING: usize = 13 << 20;
/// Frames taken in before other interfaces get their turn.
const TURN: usize = 256;

/// An interface and the tap that sees what it receives.
#[derive(Debug)]
pub(crate) struct Listener {
    rings: Rings,
    /// The one at hand.
    frame: Frame,
    tap: Wiretap,
}

impl Listener {
    /// Shows `tap` what interface number `interface` of the current network namespace receives from now on; its IP packets are of up to
    /// `mtu` bytes.
    ///
    /// # Errors
    /// If the kernel refuses the sockets or their memory.
    pub(crate) fn open(interface: u32, mtu: u32, tap: Tap) -> io::Result<Self> {
        let spec = RingsSpec {
            interface: Some(interface),
            mtu,
            small: SMALL_RING,
            large: LARGE_RING,
        };
        Ok(Listener {
            rings: Rings::open(spec, now())?,
            frame: Frame::default(),
            tap: Wiretap::new(tap),
        })
    }

    /// The sockets that become readable when there is something to [`take`](Self::take).
    pub(crate) fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        self.rings.sockets()
    }

    /// When the last arrived that was taken; what is still to be taken came later.
    pub(crate) fn last_arrival(&self) -> Time {
        self.rings.last_arrival()
    }

    /// Takes some of what has arrived; answers whether there may be more.
    ///
    /// # Errors
    /// If the sockets are broken.
    pub(crate) fn take(&mut self) -> io::Result<bool> {
        let Listener { rings, frame, tap } = self;
        let taken = rings.receive(TURN, &mut Watch::Running, |arrival, received| {
            if received.truncated {
                return tap.missed(1);
            }
            frame.read(&received, 0);
            let packet = Wiretapped {
                vnet: frame.vnet,
                layout: frame.layout,
                parts: [&frame.bytes, &[]],
                segments: 0..frame.traffic.shape.segments,
            };
            tap.record(arrival, &packet);
        });
        if taken < TURN {
            // A socket with an error pending counts as readable until it is read.
            rings.note_error()?;
            tap.missed(rings.drops()?);
        }
        Ok(taken == TURN)
    }
}
