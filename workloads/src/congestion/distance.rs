//! `distance`, ours: a law for any distance, with nothing to set. `docs/distance.md` has its reasons and what was measured.
//!
//! - It learns the path's base round trip ([`base`]) and measures delay above it; marks count as delay where there are any.
//! - It starts by two short trains ([`start`]): the first tells what the bottleneck carries, the second what of it is free.
//! - Then it paces at a rate that grows and shrinks by a little each slice of a round trip. Growth is larger for small rates and a
//!   decrease is not, so that flows with the same congestion have the same rate whatever their round trips; both are counted in
//!   round trips, so that a loop of any length is as stable.
//! - What it has done already and not yet seen the effect of is part of what it predicts, so that nothing is reacted to twice.
//! - Losses alone are no congestion. After silence it takes up what it had learned, at half the rate until that is confirmed.

mod base;
mod start;

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::base::Base;
use self::start::{Start, Verdict};
use super::signal::{Rounds, rate};
use super::{Ack, Conditions, Controller, Loss, Sent, State};

/// Its parameters: none. What it needs to know of a path it learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distance {}

/// Growth per round trip at [`SCALE`], of the rate: what a queue may grow by before the loop tells of it.
const GROWTH: f64 = 0.005;
/// Decrease per round trip of full congestion. With [`GROWTH`] it sets how often there is congestion.
const DECREASE: f64 = 0.06;
/// The rate at which growth is [`GROWTH`], in bytes per second (10 Gbit/s).
const SCALE: f64 = 1.25e9;
/// Growth falls with the rate's power of this: what makes shares even.
const EVENNESS: f64 = 0.25;
/// Delay from which on there is congestion: that of a few packets, the same for near and far.
const FROM: Duration = Duration::from_micros(15);
/// Delay at which congestion is full.
const FULL: Duration = Duration::from_micros(60);
/// Slices of a round trip, each judged by its least delay, so that jitter is no queue.
const SLICES: u32 = 16;
/// Packets that a slice has at least.
const SLICE_PACKETS: u32 = 4;
/// Loss in a round trip that is congestion whatever the delay says.
const HEAVY_LOSS: f64 = 0.1;
/// In flight, of a round trip at the rate: room for a queue and late acknowledgements.
const ROOM: f64 = 1.5;
/// Packets in flight at least, so that a pace below one per round trip goes on.
const LEAST_PACKETS: f64 = 4.0;
/// The rate is not cut below so many packets per second: something must ask.
const LEAST_PACE: f64 = 20.0;

impl Distance {
    pub(super) fn start(self, conditions: Conditions, now: Time) -> Path {
        Path {
            packet: conditions.packets(1.0),
            line: conditions
                .line_rate
                .map_or(f64::INFINITY, |line| line.bytes_per_second() as f64),
            base: Base::new(conditions.handshake),
            phase: Phase::Start(Start::new(conditions)),
            rate: 0.0,
            capacity: 0.0,
            delivery: 0.0,
            slice: Slice::new(now),
            rounds: Rounds::default(),
            lost: 0,
            arrived: 0,
            last_sent: now,
        }
    }
}

/// It at work on one path. Sizes in bytes, rates in bytes per second.
#[derive(Debug)]
pub(super) struct Path {
    packet: f64,
    line: f64,
    base: Base,
    phase: Phase,
    rate: f64,
    /// What the bottleneck was seen to carry.
    capacity: f64,
    /// What arrived last, per second.
    delivery: f64,
    slice: Slice,
    rounds: Rounds,
    lost: u64,
    arrived: u64,
    last_sent: Time,
}

#[derive(Debug)]
enum Phase {
    /// Measuring.
    Start(Start),
    /// Confirming what the start measured, from this half of it on until what was sent since then is acknowledged.
    Climb { target: f64, since: Time },
    /// The law.
    Cruise,
    /// After silence: at half of what was learned until what was sent since then is acknowledged.
    Resume { since: Time },
    /// Nothing comes back: a few packets ask.
    Ask,
}

/// What a part of a round trip told.
#[derive(Debug)]
struct Slice {
    since: Time,
    least: Option<Duration>,
    packets: u32,
    bytes: u64,
    marked: u64,
    limited: bool,
}

impl Slice {
    fn new(since: Time) -> Self {
        Slice {
            since,
            least: None,
            packets: 0,
            bytes: 0,
            marked: 0,
            limited: false,
        }
    }

    fn count(&mut self, ack: &Ack<'_>) {
        self.least = Some(self.least.map_or(ack.least_rtt, |least| least.min(ack.least_rtt)));
        self.packets += ack.packets;
        self.bytes += ack.bytes;
        self.marked += ack.marked;
        self.limited |= ack.application_limited;
    }
}

impl Path {
    fn round_trip(&self) -> f64 {
        self.base.get().as_secs_f64().max(1e-6)
    }

    /// Delay that is congestion begins and is full here, at least that of two packets and six.
    fn thresholds(&self) -> (f64, f64) {
        let packet = self.packet / self.capacity.max(self.rate).max(1.0);
        (
            FROM.as_secs_f64().max(2.0 * packet),
            FULL.as_secs_f64().max(6.0 * packet),
        )
    }

    /// 0 to 1, of what a slice told. Of a queue that what was decided since will drain, nothing is left.
    fn congestion(&self, slice: &Slice) -> f64 {
        let least = slice.least.unwrap_or_default();
        let delay = least.saturating_sub(self.base.get()).as_secs_f64();
        let draining = if self.delivery > 0.0 {
            (self.rate / self.delivery - 1.0).min(0.0) * self.round_trip()
        } else {
            0.0
        };
        let (from, full) = self.thresholds();
        let by_delay = ((delay + draining - from) / (full - from)).clamp(0.0, 1.0);
        let marked = slice.marked as f64 / slice.bytes.max(1) as f64;
        let drained = -draining > delay.max(full);
        by_delay.max(if drained { 0.0 } else { marked })
    }

    fn set(&mut self, rate: f64) {
        self.rate = rate.min(self.line).max(self.packet * LEAST_PACE);
    }

    /// The law, for a slice that took `part` of a round trip.
    fn adjust(&mut self, slice: &Slice, part: f64) {
        let congestion = self.congestion(slice);
        let growth = GROWTH * (SCALE / self.rate).powf(EVENNESS);
        let up = if slice.limited { 0.0 } else { growth * (1.0 - congestion) };
        let change = part * (up - DECREASE * congestion);
        self.set(self.rate * change.exp());
    }

    fn end_slice(&mut self, ack: &Ack<'_>) {
        let slice = std::mem::replace(&mut self.slice, Slice::new(ack.now));
        let took = ack.now.since(slice.since).as_secs_f64();
        let part = (took / self.round_trip()).min(1.0);
        match &self.phase {
            Phase::Start(_) | Phase::Ask => {}
            &Phase::Climb { target, since } => {
                if ack.sent >= since {
                    if self.congestion(&slice) > 0.5 {
                        self.phase = Phase::Cruise;
                        self.adjust(&slice, part);
                    } else if self.rate < target {
                        self.set(target);
                        self.phase = Phase::Climb { target, since: ack.now };
                    } else {
                        self.phase = Phase::Cruise;
                    }
                }
            }
            &Phase::Resume { since } => {
                if ack.sent >= since {
                    self.phase = Phase::Cruise;
                }
            }
            Phase::Cruise => self.adjust(&slice, part),
        }
    }

    fn end_round(&mut self, ack: &Ack<'_>) {
        let lost = self.lost as f64 / (self.lost + self.arrived).max(1) as f64;
        if lost > HEAVY_LOSS && matches!(self.phase, Phase::Cruise) && self.delivery > 0.0 {
            self.set(self.rate.min(self.delivery * (1.0 - DECREASE)));
        }
        (self.lost, self.arrived) = (0, 0);
        let _ = ack;
    }

    fn pace(&self) -> f64 {
        match &self.phase {
            Phase::Start(start) => start.pace(),
            Phase::Climb { .. } | Phase::Cruise => self.rate,
            Phase::Resume { .. } | Phase::Ask => self.rate / 2.0,
        }
    }
}

impl Controller for Path {
    fn on_sent(&mut self, sent: &Sent) {
        match &mut self.phase {
            Phase::Start(start) => start.on_sent(sent),
            Phase::Cruise
                if sent.in_flight <= sent.bytes
                    && sent.now.since(self.last_sent) > self.base.get() =>
            {
                self.phase = Phase::Resume { since: sent.now };
                self.slice = Slice::new(sent.now);
            }
            _ => {}
        }
        self.last_sent = sent.now;
    }

    fn on_ack(&mut self, ack: &Ack<'_>) {
        self.arrived += ack.bytes;
        if matches!(self.phase, Phase::Ask) {
            // What waited is gone: what comes now is the way as it is.
            self.base.relearn();
            self.phase = Phase::Resume { since: ack.now };
            self.slice = Slice::new(ack.now);
        }
        self.base.on_ack(ack);
        if let Some(delivery) = ack.delivery_rate
            && !ack.application_limited
        {
            self.delivery = delivery.bits_per_second() as f64 / 8.0;
        }
        if let Phase::Start(start) = &mut self.phase {
            if let Some(Verdict { capacity, free }) = start.on_ack(ack, self.base.get()) {
                self.capacity = capacity;
                let target = free.max(capacity / 64.0) * 0.95;
                self.set(target / 2.0);
                self.phase = Phase::Climb { target, since: ack.now };
                self.slice = Slice::new(ack.now);
            }
            return;
        }
        self.slice.count(ack);
        let long = ack.now.since(self.slice.since) >= self.base.get() / SLICES;
        if long && self.slice.packets >= SLICE_PACKETS {
            self.end_slice(ack);
        }
        if self.rounds.passed(ack) {
            self.end_round(ack);
        }
    }

    fn on_loss(&mut self, loss: &Loss) {
        self.lost += loss.bytes;
        if let Phase::Start(start) = &mut self.phase {
            start.on_loss(loss);
        }
    }

    fn on_timeout(&mut self, now: Time) {
        if let Phase::Start(start) = &mut self.phase {
            start.restart();
        } else {
            self.phase = Phase::Ask;
        }
        self.slice = Slice::new(now);
    }

    fn window(&self) -> u64 {
        let window = match &self.phase {
            Phase::Start(start) => start.window(),
            Phase::Ask => LEAST_PACKETS * self.packet,
            _ => self.rate * self.round_trip() * ROOM + 4.0 * LEAST_PACKETS * self.packet,
        };
        window as u64
    }

    fn pacing_rate(&self) -> Option<Rate> {
        let pace = self.pace();
        pace.is_finite().then(|| rate(pace * 8.0))
    }

    fn state(&self) -> State {
        State {
            window: self.window(),
            pacing_rate: self.pacing_rate(),
            base_rtt: Some(self.base.get()),
        }
    }
}
