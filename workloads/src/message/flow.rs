//! One congestion control at work on one path, or on all paths of a queue pair: its pace and its rate samples.
//!
//! Rate samples are those of draft-cheng-iccrg-delivery-rate-estimation: each packet carries what had been delivered when it
//! left; when it arrives, the difference over the longer of the sending and the arriving interval is the rate.

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;

use super::pacer::{self, Pacer};
use crate::congestion::{Controller, Sent};

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) controller: Box<dyn Controller>,
    pub(super) in_flight: u64,
    pub(super) delivered: u64,
    delivered_at: Time,
    /// When the newest packet that has arrived was sent: where the sending interval of the next sample begins.
    newest_sent: Time,
    /// Until so much is delivered, samples tell what the application sent.
    application_limited: u64,
    pacer: Pacer,
    /// The last rate sample.
    pub(super) rate: Option<Rate>,
}

/// What a packet remembers of its flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    delivered: u64,
    delivered_at: Time,
    newest_sent: Time,
    application_limited: bool,
}

/// What the newest packet of an acknowledgement tells of the rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateSample {
    pub(super) delivered_at_sending: u64,
    pub(super) rate: Option<Rate>,
    pub(super) application_limited: bool,
}

impl Flow {
    pub(super) fn new(controller: Box<dyn Controller>) -> Self {
        Self {
            controller,
            in_flight: 0,
            delivered: 0,
            delivered_at: Time::default(),
            newest_sent: Time::default(),
            application_limited: 0,
            pacer: Pacer::default(),
            rate: None,
        }
    }

    /// Whether another packet may be in flight, if the receiver allows it.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight < self.controller.window()
    }

    /// When a packet of `bytes` may leave, if not now.
    pub(super) fn wait(&self, now: Time, bytes: u64) -> Option<Time> {
        self.pacer.wait(now, self.controller.pacing_rate(), bytes)
    }

    /// Bytes that may leave as one super-packet.
    pub(super) fn super_packet(&self) -> u64 {
        pacer::super_packet(self.controller.pacing_rate())
    }

    /// A packet leaves. Its snapshot comes back with it.
    pub(super) fn send(&mut self, now: Time, bytes: u64, backlogged: bool) -> Snapshot {
        if self.in_flight == 0 {
            // A new flight: nothing before it counts into its intervals.
            self.delivered_at = now;
            self.newest_sent = now;
        }
        let snapshot = Snapshot {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            newest_sent: self.newest_sent,
            application_limited: self.application_limited > 0,
        };
        self.pacer.sent(now, self.controller.pacing_rate(), bytes);
        self.in_flight += bytes;
        self.controller.on_sent(&Sent {
            now,
            bytes,
            in_flight: self.in_flight,
            backlogged,
        });
        snapshot
    }

    /// There is nothing more to send, though more would be allowed.
    pub(super) fn run_dry(&mut self) {
        self.application_limited = (self.delivered + self.in_flight).max(1);
    }

    /// Packets of `bytes` have arrived, the newest of them sent at `sent`.
    pub(super) fn deliver(
        &mut self,
        now: Time,
        bytes: u64,
        sent: Time,
        snapshot: Snapshot,
    ) -> RateSample {
        self.delivered += bytes;
        self.delivered_at = now;
        self.newest_sent = self.newest_sent.max(sent);
        if self.delivered > self.application_limited {
            self.application_limited = 0;
        }
        let sending = sent.since(snapshot.newest_sent);
        let arriving = now.since(snapshot.delivered_at);
        let rate = rate(self.delivered - snapshot.delivered, sending.max(arriving));
        self.rate = rate.or(self.rate);
        RateSample {
            delivered_at_sending: snapshot.delivered,
            rate,
            application_limited: snapshot.application_limited,
        }
    }
}

fn rate(bytes: u64, interval: Duration) -> Option<Rate> {
    let nanoseconds = interval.as_nanos();
    let bits = (u128::from(bytes) * 8_000_000_000).checked_div(nanoseconds)?;
    Some(Rate::from_bits_per_second(
        u64::try_from(bits).unwrap_or(u64::MAX),
    ))
}
