//! Sends probes and trains to other machines, and notes what arrives of theirs.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::super::mark::{Kind, Mark};
use super::super::now_ns;
use super::super::protocol::{Blast, Order, Seen};
use super::departures::Departures;
use super::nic_clock::NicClock;
use crate::probe::{Packet, ProbeSocket, clock, payload};
use crate::telemetry::{InterfaceCounters, counters};

/// Arrivals that nobody has read yet: those of a train while this machine sends one of its own.
const ROOM: usize = 8 << 20;
/// A probe with all headers before it.
const FRAME: usize = 256;
/// What a train sends between two looks at the clock.
const BATCH: usize = 16;

/// A socket that others probe, and what is to be sent from it.
pub(super) struct Sounder {
    socket: ProbeSocket,
    interface: String,
    /// Stamps packets, where the NIC is set to that.
    clock: Option<NicClock>,
    order: Order,
    /// Whose turn it is, when, and the number of its next probe.
    turn: usize,
    due_ns: u64,
    numbers: Vec<u32>,
    /// Those that the NIC is to stamp.
    departures: Departures,
    seen: Seen,
}

impl Sounder {
    pub(super) fn open(address: IpAddr, interface: &str) -> io::Result<Self> {
        let socket = ProbeSocket::bind(address)?;
        socket.reserve(ROOM)?;
        let sounder = Self {
            socket,
            interface: interface.to_owned(),
            clock: NicClock::of(interface),
            order: Order::default(),
            turn: 0,
            due_ns: 0,
            numbers: Vec::new(),
            departures: Departures::default(),
            seen: Seen::default(),
        };
        if sounder.clock.is_some() {
            sounder.socket.stamp_departures(true)?;
        }
        Ok(sounder)
    }

    /// The NIC's clock that stamps packets: `ptp0`.
    pub(super) fn clock(&self) -> Option<String> {
        self.clock.as_ref().map(|clock| clock.name.clone())
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.socket.address()
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sends what `order` says from now on. What was seen of one with another nonce is nobody's any more.
    pub(super) fn probe(&mut self, order: Order) -> io::Result<()> {
        self.socket.mark_as(order.ecn)?;
        if order.nonce != self.order.nonce {
            self.seen = Seen::default();
            self.departures = Departures::default();
        }
        self.numbers = vec![0; order.targets.len()];
        self.order = order;
        self.turn = 0;
        self.due_ns = now_ns();
        Ok(())
    }

    /// How long until a probe is due.
    pub(super) fn until_due(&self) -> Duration {
        match self.order.targets.len() {
            0 => Duration::MAX,
            _ => Duration::from_nanos(self.due_ns.saturating_sub(now_ns())),
        }
    }

    /// Takes what has arrived and what has left, and sends what is due.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        self.take()?;
        let targets = self.order.targets.len();
        let now = now_ns();
        if targets == 0 || now < self.due_ns {
            return Ok(());
        }
        let (path, to) = self.order.targets[self.turn];
        let mark = Mark {
            kind: Kind::Probe,
            path,
            number: self.numbers[self.turn],
            nonce: self.order.nonce,
        };
        let probe = payload::write(mark.to_number(), payload::SHORTEST);
        let at = now_ns();
        if self.socket.send(to, &probe)? {
            let sent = (path, mark.number, at);
            match self.clock {
                Some(_) => self.departures.sent(sent),
                None => self.seen.sent.push(sent),
            }
        }
        self.numbers[self.turn] = mark.number.wrapping_add(1);
        self.turn = (self.turn + 1) % targets;
        // By an absolute schedule; what was missed in a stall is left out.
        let interval = self.order.interval_ns;
        let step = interval / targets as u64;
        let late = now > self.due_ns.saturating_add(interval);
        self.due_ns = if late { now + step } else { self.due_ns + step };
        Ok(())
    }

    /// Sends a train; the moments at which its packets were sent.
    pub(super) fn blast(&mut self, blast: &Blast) -> io::Result<Vec<u64>> {
        if self.clock.is_none() {
            return self.train(blast);
        }
        // A train is too fast to be told of each packet.
        self.socket.stamp_departures(false)?;
        let sent = self.train(blast);
        self.socket.stamp_departures(true)?;
        sent
    }

    fn train(&self, blast: &Blast) -> io::Result<Vec<u64>> {
        self.socket.reserve_unsent(blast.waiting)?;
        let (path, to) = blast.target;
        let mut buffer = vec![0; blast.payload.max(payload::SHORTEST)];
        let (began, mut sent) = (now_ns(), Vec::new());
        loop {
            let passed = now_ns() - began;
            if passed >= blast.length_ns {
                return Ok(sent);
            }
            let allowed = passed / blast.gap_ns.max(1) + 1;
            for _ in 0..BATCH {
                let number = sent.len() as u64;
                if number >= allowed {
                    break;
                }
                let mark = Mark {
                    kind: Kind::Train,
                    path,
                    number: number as u32,
                    nonce: blast.nonce,
                };
                payload::number(mark.to_number(), &mut buffer);
                let at = now_ns();
                if !self.socket.send(to, &buffer)? {
                    break;
                }
                sent.push(at);
            }
            if sent.len() as u64 >= allowed {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }

    /// What was seen since this was last asked.
    pub(super) fn collect(&mut self) -> io::Result<Seen> {
        self.take()?;
        self.seen.sent.extend(self.departures.unstamped(now_ns()));
        let seen = std::mem::take(&mut self.seen);
        Ok(Seen {
            counters: self.counters()?,
            ..seen
        })
    }

    fn counters(&self) -> io::Result<InterfaceCounters> {
        let text = fs::read_to_string("/proc/self/net/dev")?;
        Ok(counters(&text, &self.interface).unwrap_or_default())
    }

    fn take(&mut self) -> io::Result<()> {
        if let Some(clock) = &mut self.clock {
            clock.compare()?;
        }
        // Stamps are of CLOCK_REALTIME.
        let behind = i128::from(now_ns()) - clock().as_nanos().cast_signed();
        self.receive(behind)?;
        match self.clock {
            Some(_) => self.depart(behind),
            None => Ok(()),
        }
    }

    /// When the NIC or the kernel saw `packet`; the system's clocks are `behind` each other.
    fn moment(&self, packet: &Packet, behind: i128) -> u64 {
        let by_nic = self.clock.as_ref().zip(packet.by_nic);
        let at = by_nic.map(|(clock, at)| clock.in_real_time(at));
        let at = at.unwrap_or(packet.at).as_nanos().cast_signed() + behind;
        u64::try_from(at).unwrap_or_default()
    }

    fn receive(&mut self, behind: i128) -> io::Result<()> {
        // The beginning of a train's packet tells its number.
        let mut buffer = [0; payload::SHORTEST];
        while let Some(arrival) = self.socket.receive(&mut buffer)? {
            let Some((number, state)) = payload::read(&buffer[..arrival.length]) else {
                continue;
            };
            let mark = Mark::of_number(number);
            let at = self.moment(&arrival, behind);
            match mark.kind {
                _ if mark.nonce != self.order.nonce => {}
                Kind::Probe => {
                    let whole = state == payload::State::Intact;
                    self.seen.arrived.push((mark.path, mark.number, at, whole));
                }
                Kind::Train => self.seen.trains.push((mark.path, mark.number, at)),
            }
        }
        Ok(())
    }

    fn depart(&mut self, behind: i128) -> io::Result<()> {
        let mut buffer = [0; FRAME];
        while let Some(departure) = self.socket.departed(&mut buffer)? {
            let probe = buffer[..departure.length].last_chunk::<{ payload::SHORTEST }>();
            let Some((number, _)) = probe.and_then(|probe| payload::read(probe)) else {
                continue;
            };
            let mark = Mark::of_number(number);
            if mark.nonce == self.order.nonce {
                let at = self.moment(&departure, behind);
                let stamped = self.departures.stamped(mark.path, mark.number, at);
                self.seen.sent.extend(stamped);
            }
        }
        Ok(())
    }
}
