//! The lab's interfaces in the keeper's namespace: frames in from all of them, in the order of their arrival.
//!
//! They share two rings, one for small and one for large frames. Rings of their own would take memory and a few system
//! calls that wait for the kernel (`synchronize_net`, some 15 ms each) per interface: 4 GiB and several seconds for a
//! thousand links. Shared, their size is that of the longest time the thread may not run, whatever the lab.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::net::if_::if_nametoindex;
use socket2::Socket;

use super::clocks::Clocks;
use super::links::{Event, LinkEvents};
use super::ring::{self, Received, Ring, RingSpec, SLOT_OVERHEAD};
use super::time::Time;

/// Bytes of the ring for single packets: at 1500 bytes, a fiftieth of a second of 800,000 packets a second.
const SMALL_RING: usize = 32 << 20;
/// Bytes of the ring for super-packets: a fiftieth of a second of 30 Gbit/s.
const LARGE_RING: usize = 80 << 20;
/// A full super-packet: an IP packet of 64 KB (`GSO_LEGACY_MAX_SIZE` in linux/netdevice.h) in its frame, in whole pages.
const LARGE_SLOT: usize = 17 * 4096;
/// Slots that nearly fill a power of two of pages, which is what the kernel allocates.
const LARGE_SLOTS_PER_BLOCK: usize = 15;

/// What the rings take: the kernel's memory, which is never swapped out.
pub(super) const RING_MEMORY: usize = SMALL_RING + LARGE_RING;

/// All interfaces of a lab. The rings see every interface of the namespace; frames of others are passed over.
#[derive(Debug)]
pub(super) struct Ports {
    ports: Vec<Port>,
    by_index: HashMap<u32, usize>,
    small: Ring,
    large: Ring,
    output: Socket,
    links: LinkEvents,
    /// When both rings were last seen empty, or the arrival of the last frame: what is in them now came later.
    last_arrival: Time,
    /// Where the last frame came from.
    last_port: usize,
}

#[derive(Debug)]
struct Port {
    name: String,
    index: u32,
    /// Frames that found no slot.
    drops: u64,
}

/// Which of the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Small,
    Large,
}

impl Ports {
    /// Opens the interfaces `names` of the current network namespace, for IP packets of up to `mtu` bytes. Frames arrive
    /// from now on.
    ///
    /// # Errors
    /// With the interface's name, or what else was attempted.
    pub(super) fn open<'a>(
        names: impl IntoIterator<Item = &'a str>,
        mtu: u32,
        now: Time,
    ) -> Result<Self, (String, io::Error)> {
        // Before the indices are read, so that none goes unnoticed.
        let links =
            LinkEvents::open().map_err(|error| ("watch the interfaces".to_owned(), error))?;
        let mut ports = Vec::new();
        for name in names {
            let index = if_nametoindex(name)
                .map_err(|error| (format!("open packet rings on {name}"), error.into()))?;
            ports.push(Port {
                name: name.to_owned(),
                index,
                drops: 0,
            });
        }
        let slot = (mtu as usize + FRAME_OVERHEAD + SLOT_OVERHEAD)
            .next_power_of_two()
            .max(2048);
        let block = slot.max(1 << 16);
        let small = RingSpec {
            longer_than: 0,
            slot,
            slots_per_block: block / slot,
            blocks: SMALL_RING / block,
        };
        let large = RingSpec {
            longer_than: small.capacity(),
            slot: LARGE_SLOT,
            slots_per_block: LARGE_SLOTS_PER_BLOCK,
            blocks: LARGE_RING / (LARGE_SLOT * LARGE_SLOTS_PER_BLOCK),
        };
        let ring = |spec, up_to| {
            Ring::open(spec, up_to).map_err(|error| ("open a packet ring".to_owned(), error))
        };
        Ok(Ports {
            by_index: ports.iter().map(|port| port.index).zip(0..).collect(),
            small: ring(small, small.capacity())?,
            large: ring(large, u32::MAX)?,
            output: ring::output().map_err(|error| ("open a packet socket".to_owned(), error))?,
            ports,
            links,
            last_arrival: now,
            last_port: 0,
        })
    }

    /// The sockets that become readable when frames arrive.
    pub(super) fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        [self.small.as_fd(), self.large.as_fd()]
    }

    /// The socket that becomes readable when an interface changes; see [`check`](Self::check).
    pub(super) fn links(&self) -> BorrowedFd<'_> {
        self.links.as_fd()
    }

    /// The socket to send on.
    pub(super) fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Hands up to `limit` frames to `take`, oldest first, with the interface that each came by, the instant, and the
    /// kernel's number for the interface at the lane's other end. Answers how many there were.
    pub(super) fn receive(
        &mut self,
        limit: usize,
        mut take: impl FnMut(usize, Time, Received<'_>, u32),
    ) -> usize {
        let mut clocks = Clocks::now();
        for taken in 0..limit {
            let Some((side, received)) = self.oldest() else {
                self.last_arrival = clocks.monotonic;
                return taken;
            };
            if received.stamp > clocks.realtime {
                // It came while others were taken in: held against the clocks before that, it would seem to have come then,
                // and leave too early.
                clocks = Clocks::now();
            }
            // Later frames came later, whatever a stepped clock says.
            let arrival = clocks.monotonic_of(received.stamp, self.last_arrival);
            if let Some(&port) = self.by_index.get(&received.interface) {
                take(port, arrival, received, self.ports[port ^ 1].index);
                self.last_port = port;
            }
            self.last_arrival = arrival;
            match side {
                Side::Small => self.small.release(),
                Side::Large => self.large.release(),
            }
        }
        limit
    }

    /// Frames that found no slot so far, of each interface. The kernel does not tell where they came from, nor how many
    /// wire packets each was: they are counted to the interface whose frame was read last, which is most likely the one that
    /// filled the ring.
    pub(super) fn drops(&mut self) -> io::Result<impl Iterator<Item = u64>> {
        self.ports[self.last_port].drops += self.small.drops()? + self.large.drops()?;
        Ok(self.ports.iter().map(|port| port.drops))
    }

    /// Takes note of what happened to interfaces.
    ///
    /// # Errors
    /// With its name, if one of the lab's is gone. One that is down may come up again.
    pub(super) fn check(&mut self) -> Result<(), (String, io::Error)> {
        loop {
            match self.links.next() {
                Ok(None) => return Ok(()),
                Ok(Some(Event::Deleted(index))) => {
                    if let Some(&port) = self.by_index.get(&index) {
                        let gone = io::Error::other("the interface was deleted");
                        return Err((self.ports[port].name.clone(), gone));
                    }
                }
                // Some events were lost: look.
                Ok(Some(Event::Overrun)) => {
                    for port in &self.ports {
                        if if_nametoindex(port.name.as_str()) != Ok(port.index) {
                            let gone = io::Error::other("the interface was deleted");
                            return Err((port.name.clone(), gone));
                        }
                    }
                }
                Err(error) => return Err(("the interfaces' events".to_owned(), error)),
            }
        }
    }

    /// Takes note of an error that the rings' sockets reported; to read it clears it.
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

/// The Ethernet header and a VLAN tag.
const FRAME_OVERHEAD: usize = 18;
