//! A rank's queue pairs and its sockets, one per path.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::batch::Unsent;
use super::clock::Clock;
use super::inbox::Inbox;
use super::port::Port;
use super::socket::{Buffers, Socket};
use crate::message::credits::Credits;
use crate::message::receiver::Receiver;
use crate::message::sender::Sender;
use crate::message::{Failure, Parameters, wire};
use crate::transport::{ATTENTION, Attendant, Connections, TransportError, system};
use crate::world::{Arrivals, ConnectionSample, MessageOptions};

/// Queue pairs of one rank. They are opened when an exchange first needs them, and stay.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(super) rank: usize,
    pub(super) nonce: u64,
    options: MessageOptions,
    most_message: usize,
    /// By path; the first is where peers send to.
    pub(super) sockets: Vec<Socket>,
    address: SocketAddr,
    /// Where each rank's first socket is.
    pub(super) peers: Vec<SocketAddr>,
    pub(super) outgoing: BTreeMap<usize, Sender>,
    pub(super) incoming: BTreeMap<usize, Incoming>,
    pub(super) unsent: Unsent,
    credits: Option<Credits>,
    /// Sockets with packets, by the last look.
    pub(super) readable: Vec<usize>,
    pub(super) buffers: Buffers,
    pub(super) clock: Clock,
    pub(super) port: Port,
    /// The peer whose turn it is when the port takes more.
    pub(super) served: usize,
    /// When that is, if packets wait for it.
    pub(super) held_until: Option<Time>,
}

/// Messages from one peer.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) receiver: Receiver,
    pub(super) inbox: Inbox,
    /// Where its packets on each path come from: acknowledgements go back there.
    pub(super) sources: Vec<SocketAddr>,
}

/// Bytes of messages that one peer may have under way to this rank's memory: what 10 Gbit/s brings in over 200 ms.
const STAGED: usize = 256 << 20;
/// Messages, at least and at most: a few overlap whatever their size, and each takes some memory of its own.
const MESSAGES: std::ops::RangeInclusive<usize> = 8..=4096;

/// How long a rank that ends waits for its peers' farewells.
const FAREWELL: Duration = Duration::from_millis(100);

/// The largest datagram used unless asked: jumbo frames. Loopback's 64 KiB would leave nothing to cut.
pub(crate) const JUMBO: usize = 9000;

/// Ports that RDMA cards send RoCE version 2 from, for what chooses lanes by them (`IB_ROCE_UDP_ENCAP_VALID_PORT_MIN` and `_MAX`,
/// include/rdma/ib_verbs.h).
const PORTS: std::ops::RangeInclusive<u16> = 0xC000..=0xFFFF;

/// How many ports that are taken are passed over before that is an error.
const MOST_TAKEN: usize = 1000;

/// Sockets for a rank's paths on ports that follow from `seed`. One that is taken is passed over: the next is that of the same draw.
fn bind_drawn(address: IpAddr, seed: u64, rank: usize, paths: usize) -> io::Result<Vec<Socket>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(rank as u64);
    let mut sockets = Vec::with_capacity(paths);
    let mut taken = 0;
    while sockets.len() < paths {
        match Socket::bind(address, random.random_range(PORTS)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && taken < MOST_TAKEN => {
                taken += 1;
            }
            bound => sockets.push(bound?),
        }
    }
    Ok(sockets)
}

impl Endpoint {
    /// Opens a socket for each path on `address`.
    ///
    /// # Errors
    /// If the address is not this host's.
    pub(crate) fn open(
        rank: usize,
        address: IpAddr,
        nonce: u64,
        options: MessageOptions,
        most_message: usize,
    ) -> Result<Self, TransportError> {
        let paths = usize::from(options.paths.count.max(1));
        let sockets = match options.ports {
            Some(seed) => bind_drawn(address, seed, rank, paths),
            None => (0..paths).map(|_| Socket::bind(address, 0)).collect(),
        };
        let sockets = sockets.map_err(system(format!("open UDP ports on {address}")))?;
        let address = sockets[0]
            .address()
            .map_err(system("read the listening address".into()))?;
        let port = Port::new(options.line_rate, address.ip());
        let credits = options.credits.map(Credits::new);
        Ok(Self {
            rank,
            nonce,
            options,
            most_message,
            sockets,
            address,
            peers: Vec::new(),
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            unsent: Unsent::default(),
            credits,
            readable: Vec::new(),
            buffers: Buffers::new(),
            clock: Clock::new(),
            port,
            served: 0,
            held_until: None,
        })
    }

    /// Where peers send to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells where each rank's first socket is.
    pub(crate) fn set_peers(&mut self, peers: Vec<SocketAddr>) {
        self.peers = peers;
    }

    /// Opens what is missing to `destinations`, and waits for what is missing from `sources`.
    ///
    /// # Errors
    /// If a peer does not answer for `patience`.
    pub(crate) fn connect(
        &mut self,
        destinations: &[usize],
        sources: &[usize],
        patience: Duration,
        attendant: &mut dyn Attendant,
    ) -> Result<(), TransportError> {
        let start = Instant::now();
        for &peer in destinations {
            if !self.outgoing.contains_key(&peer) {
                let parameters = self.parameters(peer, patience)?;
                let now = self.now();
                let key = self.nonce.rotate_left(17) ^ now.as_nanos() ^ (peer as u64) << 48;
                let sender = Sender::new(
                    now,
                    parameters,
                    self.rank as u32,
                    key,
                    self.nonce,
                    self.options.line_rate,
                );
                self.outgoing.insert(peer, sender);
            }
        }
        loop {
            self.turn()?;
            let unopened = destinations
                .iter()
                .find(|peer| !self.outgoing[peer].is_open());
            let unheard = sources
                .iter()
                .find(|peer| !self.incoming.contains_key(peer));
            if unopened.is_none() && unheard.is_none() {
                return Ok(());
            }
            if let Some(&peer) = unheard.filter(|_| start.elapsed() > patience) {
                return Err(TransportError::Stalled {
                    peer,
                    what: "no connection from",
                    waited: start.elapsed(),
                });
            }
            let now = self.now().as_nanos();
            attendant.attend(now, self);
            self.wait(None)?;
        }
    }

    /// The time.
    pub(super) fn now(&mut self) -> Time {
        self.clock.now()
    }

    /// The thread has slept elsewhere.
    pub(super) fn slept(&mut self) {
        self.clock.slept();
    }

    /// How long messages wait before they are handed over, at most.
    pub(super) fn playout(&self) -> Duration {
        self.options.playout.unwrap_or_default()
    }

    /// Whether another message to `peer` would be taken now.
    pub(super) fn has_room(&self, peer: usize) -> bool {
        self.outgoing[&peer].has_room()
    }

    /// Sends a copy of a message.
    pub(super) fn send(&mut self, peer: usize, message: &[u8]) {
        let now = self.now();
        if let Some(sender) = self.outgoing.get_mut(&peer) {
            sender.push(now, message);
        }
    }

    /// Whether all that was sent is known to have arrived.
    pub(crate) fn is_drained(&self) -> bool {
        self.outgoing.values().all(Sender::is_drained)
    }

    /// Pieces of messages that have come, and that are known to have arrived, each with all before it.
    pub(super) fn pieces_moved(&self) -> u64 {
        let incoming = self.incoming.values();
        let came = incoming.map(|incoming| incoming.receiver.expected());
        let arrived = self.outgoing.values().map(Sender::arrived_before);
        came.chain(arrived).sum()
    }

    /// How many messages of `peer` have been used.
    pub(super) fn used(&self, peer: usize) -> u64 {
        self.incoming
            .get(&peer)
            .map_or(0, |incoming| incoming.receiver.used())
    }

    /// Takes a message of `peer` that is whole and that `wanted` takes; hands it to `apply`.
    pub(super) fn take(
        &mut self,
        peer: usize,
        wanted: impl Fn(u64) -> bool,
        apply: impl FnOnce(u64, &[u8]),
    ) -> bool {
        let Some(incoming) = self.incoming.get_mut(&peer) else {
            return false;
        };
        let Some((message, bytes)) = incoming.inbox.take(wanted) else {
            return false;
        };
        apply(message, &bytes);
        incoming.inbox.give_back(bytes);
        incoming.receiver.done(message);
        true
    }

    /// Receives what the last look saw, does what timers ask for, sends.
    ///
    /// # Errors
    /// If a peer has vanished or begun anew, or the system refuses.
    pub(crate) fn turn(&mut self) -> Result<(), TransportError> {
        self.receive()?;
        let now = self.now();
        for incoming in self.incoming.values_mut() {
            while let Some(message) = incoming.receiver.poll_message(now) {
                incoming.inbox.complete(message);
            }
        }
        if let Some(credits) = &mut self.credits {
            let receivers = self.incoming.values_mut();
            credits.share(receivers.map(|incoming| &mut incoming.receiver));
        }
        // An answer that waits to be received is not overdue.
        let received_to = self.sockets.iter().map(|socket| socket.received_to(now));
        let received_to = received_to.min().unwrap_or(now);
        for (&peer, sender) in &mut self.outgoing {
            sender.on_timer(received_to).map_err(failed(peer))?;
        }
        self.transmit()
    }

    /// Sleeps until something is to be done, at most [`ATTENTION`]; also until `other` can be read, which it tells.
    pub(crate) fn wait(&mut self, other: Option<BorrowedFd<'_>>) -> Result<bool, TransportError> {
        self.wait_at_most(ATTENTION, other)
    }

    /// As [`Self::wait`], `most` at most: for who has a timer of its own.
    pub(super) fn wait_at_most(
        &mut self,
        most: Duration,
        other: Option<BorrowedFd<'_>>,
    ) -> Result<bool, TransportError> {
        let most = most.min(ATTENTION);
        let now = self.now();
        let timers = self.outgoing.values().filter_map(Sender::timer);
        let timers = timers.chain(
            self.incoming
                .values()
                .filter_map(|incoming| incoming.receiver.timer()),
        );
        // The port is free in a moment, before which no other timer matters: those of packets that it holds are over.
        let timeout = self
            .held_until
            .or_else(|| timers.min())
            .map_or(most, |timer| timer.since(now).min(most));
        self.look(timeout, other)
    }

    /// Sees which sockets have packets, after at most `timeout`, and whether `other` can be read. Asking about all at once
    /// costs less than trying to read each.
    pub(super) fn look(
        &mut self,
        timeout: Duration,
        other: Option<BorrowedFd<'_>>,
    ) -> Result<bool, TransportError> {
        let blocked = self.unsent.blocked();
        let interest = |index| match blocked == Some(index) {
            true => PollFlags::POLLIN | PollFlags::POLLOUT,
            false => PollFlags::POLLIN,
        };
        let sockets = self.sockets.iter().enumerate();
        let mut polled: Vec<PollFd<'_>> = sockets
            .map(|(index, socket)| PollFd::new(socket.as_fd(), interest(index)))
            .collect();
        polled.extend(other.map(|other| PollFd::new(other, PollFlags::POLLIN)));
        let looked = ppoll(&mut polled, Some(TimeSpec::from(timeout)), None);
        self.clock.slept();
        match looked {
            Ok(_) => {}
            // Nothing was seen, not even that there is nothing.
            Err(nix::errno::Errno::EINTR) => {
                self.readable.clear();
                return Ok(false);
            }
            Err(errno) => return Err(system("wait for packets".into())(errno.into())),
        }
        // Errors are told by reading.
        let readable = |polled: &PollFd<'_>| {
            let events = polled.revents().unwrap_or(PollFlags::empty());
            events.intersects(!PollFlags::POLLOUT)
        };
        let (sockets, other) = polled.split_at(self.sockets.len());
        let indexes = 0..sockets.len();
        let (full, empty): (Vec<usize>, Vec<usize>) =
            indexes.partition(|&index| readable(&sockets[index]));
        let other_is_readable = other.iter().any(readable);
        self.readable = full;
        for index in empty {
            self.sockets[index].is_seen_empty();
        }
        Ok(other_is_readable)
    }

    /// Tells every peer that nothing more comes, and waits a little for those that have not said so themselves.
    pub(crate) fn close(&mut self) {
        let start = Instant::now();
        loop {
            let now = self.now();
            for sender in self.outgoing.values_mut() {
                sender.close(now);
            }
            let leaving = |peer: &usize| {
                self.incoming
                    .get(peer)
                    .is_some_and(|incoming| incoming.receiver.is_ended())
            };
            let open = |(peer, sender): (&usize, &Sender)| !sender.is_closed() && !leaving(peer);
            let waits = self.outgoing.iter().any(open) && start.elapsed() < FAREWELL;
            // A peer that is gone already is what this is for.
            if self.turn().is_err() || !waits || self.wait(None).is_err() {
                break;
            }
        }
    }

    fn parameters(&self, peer: usize, patience: Duration) -> Result<Parameters, TransportError> {
        let largest = self.sockets[0]
            .largest_datagram(self.peers[peer])
            .map_err(|source| TransportError::Unreachable { peer, source })?;
        // Headers are part of an MTU.
        let headers = if self.address.is_ipv4() { 28 } else { 48 };
        let wanted = self
            .options
            .mtu
            .map_or(JUMBO, |mtu| mtu as usize)
            .saturating_sub(headers);
        if self.options.mtu.is_some() && wanted > largest {
            let mtu = largest + headers;
            let source = io::Error::other(format!(
                "the way there has an MTU of {mtu} B: ask for no more in `mtu`"
            ));
            return Err(TransportError::Unreachable { peer, source });
        }
        Ok(self.parameters_with(wanted.min(largest), patience))
    }

    pub(super) fn parameters_with(&self, datagram: usize, patience: Duration) -> Parameters {
        Parameters {
            datagram: datagram.max(wire::least_datagram(self.options.hops)),
            recovery: self.options.recovery,
            choice: self.options.paths.choice,
            paths: self.options.paths.count.max(1),
            law: self.options.law.clone(),
            hops: self.options.hops,
            erasure: self.options.erasure,
            most_message: self.most_message,
            messages: (STAGED / self.most_message.max(1)).clamp(*MESSAGES.start(), *MESSAGES.end())
                as u64,
            patience,
            playout: self.options.playout,
        }
    }
}

impl Endpoint {
    /// Messages that have come whole since the last call.
    pub(crate) fn arrivals(&mut self) -> Vec<Arrivals> {
        let has_playout = self.options.playout.is_some();
        let incoming = self.incoming.iter_mut();
        let arrivals = incoming.map(|(&from, incoming)| {
            let (latencies, late) = incoming.receiver.take_latencies();
            Arrivals {
                from,
                to: self.rank,
                latencies,
                late: has_playout.then_some(late),
            }
        });
        arrivals
            .filter(|arrivals| !arrivals.latencies.is_empty())
            .collect()
    }
}

impl Connections for Endpoint {
    /// One for each path that this rank sends on; `at_ns` is now on CLOCK_MONOTONIC.
    fn sample(&self, at_ns: u64) -> Vec<ConnectionSample> {
        let states = self.outgoing.iter().flat_map(|(&to, sender)| {
            let (totals, delivered) = (sender.totals(), sender.delivered());
            sender.path_states().map(move |state| ConnectionSample {
                at_ns,
                from: self.rank,
                to,
                connection: state.path,
                rtt_us: state
                    .rtt
                    .map_or(0, |rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX)),
                cwnd_bytes: state.window,
                retransmits: totals.repeats,
                pacing_rate_bps: state.pacing_rate.map(Rate::bits_per_second),
                delivery_rate_bps: state.delivery_rate.map_or(0, Rate::bits_per_second),
                bytes_acked: delivered,
                bytes_sacked: 0,
                marked_bytes: Some(totals.marked),
            })
        });
        states.collect()
    }
}

pub(super) fn failed(peer: usize) -> impl FnOnce(Failure) -> TransportError {
    move |failure| match failure {
        Failure::Vanished(waited) => TransportError::Stalled {
            peer,
            what: "nothing from",
            waited,
        },
        Failure::Restarted | Failure::Mismatched => TransportError::Lost {
            peer,
            source: io::Error::other(failure),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::message::MOST_PATHS;

    /// Addresses of this machine that no other test binds to.
    const DRAWN: Ipv4Addr = Ipv4Addr::new(127, 71, 0, 1);
    const TAKEN: Ipv4Addr = Ipv4Addr::new(127, 71, 0, 2);

    /// The ports that a rank draws.
    fn drawn(address: Ipv4Addr, seed: u64, rank: usize, paths: usize) -> Vec<u16> {
        let sockets = bind_drawn(address.into(), seed, rank, paths).unwrap();
        let port = |socket: &Socket| socket.address().unwrap().port();
        sockets.iter().map(port).collect()
    }

    #[test]
    fn the_same_draw_gives_the_same_ports_and_each_rank_its_own() {
        let of = |seed, rank, paths| drawn(DRAWN, seed, rank, paths);
        assert_eq!(of(7, 1, 8)[..3], of(7, 1, 3));
        assert_ne!(of(7, 1, 8), of(7, 2, 8));
        assert_ne!(of(7, 1, 8), of(8, 1, 8));
        let ports = of(7, 1, MOST_PATHS.into());
        assert!(ports.iter().all(|port| PORTS.contains(port)), "{ports:?}");
    }

    #[test]
    fn ports_that_are_taken_are_passed_over() {
        let expected = drawn(TAKEN, 9, 0, 5);
        let taken = Socket::bind(TAKEN.into(), expected[1]).unwrap();
        let found = drawn(TAKEN, 9, 0, 4);
        drop(taken);
        assert_eq!(found, [expected[0], expected[2], expected[3], expected[4]]);
    }
}
