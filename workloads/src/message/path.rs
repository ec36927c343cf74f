//! The transmissions on one path, and which of them are lost.
//!
//! A packet is lost when enough later ones have arrived, or when it is late by enough of a round trip (RFC 9002, section 6.1).
//! When one that counted as lost arrives after all, both are widened to what was seen, as RACK does (RFC 8985).

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use longhaul_emulator::time::Time;

use super::flow::Snapshot;
use super::ranges::Ranges;
use super::round_trip::RoundTrip;

/// Later packets that must have arrived at first: RFC 9002's kPacketThreshold.
const PACKETS: u64 = 3;

/// Eighths of a round trip after which a packet is late, at first (RFC 9002's kTimeThreshold) and at most.
const EIGHTHS: u32 = 9;
const MOST_EIGHTHS: u32 = 16;

/// A packet that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) number: u64,
    /// The piece in it; a probe has none.
    pub(super) sequence: Option<u64>,
    pub(super) sent: Time,
    pub(super) bytes: u64,
    pub(super) snapshot: Snapshot,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Arrived,
    /// Kept for a while, in case it turns up.
    Lost,
}

/// What becomes of a path that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Live,
    /// Given up; tried again at that time, and after twice as long the next time.
    Silent {
        again: Time,
        interval: Duration,
    },
}

#[derive(Debug)]
pub(super) struct Path {
    pub(super) round_trip: RoundTrip,
    pub(super) health: Health,
    /// Timeouts since anything was heard.
    pub(super) timeouts: u32,
    /// Bytes in flight on it.
    pub(super) in_flight: u64,
    /// Share of bytes that came marked, smoothed.
    pub(super) marks: f64,
    /// Bytes marked on it so far, as the receiver counts.
    pub(super) marked: u64,
    /// Packets from `base` on.
    packets: VecDeque<Packet>,
    base: u64,
    arrived: Ranges,
    greatest: Option<u64>,
    /// Every packet before this is settled.
    unsettled: u64,
    /// When the last packet left.
    last_sent: Time,
    /// When the earliest packet in flight will count as late.
    late_at: Option<Time>,
    threshold: u64,
    eighths: u32,
}

/// The longest between two timeouts.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);

impl Path {
    /// A path on which packets may be overtaken by `tolerated` others before they count as lost.
    pub(super) fn new(tolerated: u64) -> Self {
        Self {
            round_trip: RoundTrip::default(),
            health: Health::Live,
            timeouts: 0,
            in_flight: 0,
            marks: 0.0,
            marked: 0,
            packets: VecDeque::new(),
            base: 0,
            arrived: Ranges::default(),
            greatest: None,
            unsettled: 0,
            last_sent: Time::default(),
            late_at: None,
            threshold: PACKETS + tolerated,
            eighths: EIGHTHS,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.health == Health::Live
    }

    /// The number of the next packet.
    pub(super) fn next_number(&self) -> u64 {
        self.base + self.packets.len() as u64
    }

    pub(super) fn send(
        &mut self,
        now: Time,
        sequence: Option<u64>,
        bytes: u64,
        snapshot: Snapshot,
    ) {
        let number = self.next_number();
        self.packets.push_back(Packet {
            number,
            sequence,
            sent: now,
            bytes,
            snapshot,
            state: State::InFlight,
        });
        self.in_flight += bytes;
        self.last_sent = now;
    }

    /// The packet of that number leaves only now.
    pub(super) fn restamp(&mut self, now: Time, number: u64) {
        let index = number.checked_sub(self.base);
        if let Some(packet) = index.and_then(|index| self.packets.get_mut(index as usize)) {
            packet.sent = now;
            self.last_sent = self.last_sent.max(now);
        }
    }

    /// `hear` is told of the packets in `range` that are newly known to have arrived, in rising order, each with the bytes that
    /// it was still in flight with. `None` if the range was never sent.
    pub(super) fn arrive(
        &mut self,
        range: &RangeInclusive<u64>,
        mut hear: impl FnMut(&Packet, u64),
    ) -> Option<()> {
        if *range.end() >= self.next_number() {
            return None;
        }
        let first = *range.start().max(&self.base);
        if first > *range.end() {
            return Some(());
        }
        let mut new = Vec::new();
        self.arrived
            .insert(first..=*range.end(), |stretch| new.push(stretch));
        for number in new.into_iter().flatten() {
            let packet = &mut self.packets[(number - self.base) as usize];
            let in_flight = match packet.state {
                State::InFlight => packet.bytes,
                // It left the flight when it counted as lost.
                State::Lost => {
                    let distance = self.greatest.unwrap_or(number).saturating_sub(number);
                    self.threshold = self.threshold.max(distance + 1);
                    self.eighths = (self.eighths + 1).min(MOST_EIGHTHS);
                    0
                }
                State::Arrived => continue,
            };
            self.in_flight -= in_flight;
            packet.state = State::Arrived;
            hear(packet, in_flight);
        }
        self.greatest = self.greatest.max(Some(*range.end()));
        Some(())
    }

    /// Finds what is lost by now, in rising order.
    pub(super) fn find_lost(&mut self, now: Time) -> Vec<Packet> {
        let mut lost = Vec::new();
        self.late_at = None;
        self.settle(now);
        let (Some(greatest), Some(round_trip)) = (self.greatest, self.round_trip.upper()) else {
            return lost;
        };
        let lateness = round_trip * self.eighths / 8;
        for number in self.unsettled..greatest {
            let packet = &mut self.packets[(number - self.base) as usize];
            if packet.state != State::InFlight {
                continue;
            }
            let late = packet.sent + lateness;
            if now >= late || greatest >= number + self.threshold {
                packet.state = State::Lost;
                self.in_flight -= packet.bytes;
                lost.push(*packet);
            } else {
                self.late_at = Some(late);
                // Those behind were sent later.
                break;
            }
        }
        self.settle(now);
        lost
    }

    /// Everything in flight counts as lost.
    pub(super) fn lose_all(&mut self) -> Vec<Packet> {
        let mut lost = Vec::new();
        for packet in &mut self.packets {
            if packet.state == State::InFlight {
                packet.state = State::Lost;
                lost.push(*packet);
            }
        }
        self.in_flight = 0;
        self.late_at = None;
        lost
    }

    /// When to look for late packets.
    pub(super) fn late_at(&self) -> Option<Time> {
        self.late_at
    }

    /// When nothing will have been heard for too long; `waiting` is whether anything is waited for besides what is in flight.
    pub(super) fn timeout_at(&self, waiting: bool) -> Option<Time> {
        (self.in_flight > 0 || waiting).then(|| {
            let timeout = self.round_trip.timeout_after(self.timeouts);
            self.last_sent + timeout.min(LONGEST_TIMEOUT)
        })
    }

    /// A timeout passed: the next is counted from here.
    pub(super) fn count_timeout(&mut self, now: Time) {
        self.timeouts += 1;
        self.last_sent = now;
    }

    /// Whether the packet of that number is still of interest, and when it was sent.
    pub(super) fn sent_at(&self, number: u64) -> Option<Time> {
        let index = number.checked_sub(self.base)?;
        Some(self.packets.get(index as usize)?.sent)
    }

    /// Moves on over what is settled, and forgets what can no longer turn up.
    fn settle(&mut self, now: Time) {
        let patience = self.round_trip.timeout() * 3;
        while let Some(packet) = self.packets.front() {
            let forgotten = match packet.state {
                State::InFlight => false,
                State::Arrived => true,
                State::Lost => now >= packet.sent + patience,
            };
            if !forgotten {
                break;
            }
            self.packets.pop_front();
            self.base += 1;
        }
        self.unsettled = self.unsettled.max(self.base);
        while self
            .packets
            .get((self.unsettled - self.base) as usize)
            .is_some_and(|packet| packet.state != State::InFlight)
        {
            self.unsettled += 1;
        }
        self.arrived.forget_before(self.base);
    }
}
