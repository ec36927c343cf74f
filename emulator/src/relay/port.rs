//! The lab's interfaces in the keeper's namespace: frames in from all of them, in the order of their arrival.
//!
//! They share two rings, one for small and one for large frames. Rings of their own would take memory and a few system
//! calls that wait for the kernel (`synchronize_net`, some 15 ms each) per interface: 4 GiB and several seconds for a
//! thousand links. Shared, their size is that of the longest time the thread may not run, whatever the lab.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::net::if_::if_nametoindex;

use super::links::{Event, LinkEvents};
use super::output::Output;
use super::ring::Received;
use super::rings::{Rings, RingsSpec};
use crate::clocks::Watch;
use crate::time::Time;

/// Bytes of the ring for single packets: at 1500 bytes, a fiftieth of a second of 800,000 packets a second.
const SMALL_RING: usize = 32 << 20;
/// Bytes of the ring for super-packets: a fiftieth of a second of 30 Gbit/s.
pub(super) const LARGE_RING: usize = 80 << 20;

/// What the rings take: the kernel's memory, which is never swapped out.
pub(super) const RING_MEMORY: usize = SMALL_RING + LARGE_RING;

/// All interfaces of a lab. The rings see every interface of the namespace; frames of others are passed over.
#[derive(Debug)]
pub(super) struct Ports {
    ports: Vec<Port>,
    by_index: HashMap<u32, usize>,
    rings: Rings,
    output: Output,
    links: LinkEvents,
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
        let spec = RingsSpec {
            interface: None,
            mtu,
            small: SMALL_RING,
            large: LARGE_RING,
        };
        Ok(Ports {
            by_index: ports.iter().map(|port| port.index).zip(0..).collect(),
            rings: Rings::open(spec, now)
                .map_err(|error| ("open a packet ring".to_owned(), error))?,
            output: Output::open(ports.iter().map(|port| port.index))
                .map_err(|error| ("open a socket to send on".to_owned(), error))?,
            ports,
            links,
            last_port: 0,
        })
    }

    /// The sockets that become readable when frames arrive.
    pub(super) fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        self.rings.sockets()
    }

    /// The socket that becomes readable when an interface changes; see [`check`](Self::check).
    pub(super) fn links(&self) -> BorrowedFd<'_> {
        self.links.as_fd()
    }

    /// The way out.
    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// When the last frame arrived that was taken in; those still in the rings came later.
    pub(super) fn last_arrival(&self) -> Time {
        self.rings.last_arrival()
    }

    /// Hands up to `limit` frames to `take`, oldest first, with the interface that each came by, the instant, and the
    /// kernel's number for the interface at the lane's other end. Answers how many there were.
    pub(super) fn receive(
        &mut self,
        limit: usize,
        watch: &mut Watch,
        mut take: impl FnMut(usize, Time, Received<'_>, u32),
    ) -> usize {
        let Ports {
            ports,
            by_index,
            rings,
            last_port,
            ..
        } = self;
        rings.receive(limit, watch, |arrival, received| {
            if let Some(&port) = by_index.get(&received.interface) {
                take(port, arrival, received, ports[port ^ 1].index);
                *last_port = port;
            }
        })
    }

    /// Frames that found no slot so far, of each interface. The kernel does not tell where they came from, nor how many
    /// wire packets each was: they are counted to the interface whose frame was read last, which is most likely the one that
    /// filled the ring.
    pub(super) fn drops(&mut self) -> io::Result<impl Iterator<Item = u64>> {
        self.ports[self.last_port].drops += self.rings.drops()?;
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
        self.rings.note_error()
    }
}
