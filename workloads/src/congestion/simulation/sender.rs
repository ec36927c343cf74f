//! A sender: the least of a transport that a law needs.

use std::collections::VecDeque;
use std::time::Duration;

use longhaul_emulator::inband::Record;
use longhaul_emulator::time::Time;
use longhaul_topologies::units::{ByteSize, Rate};

use super::{Flow, Supply};
use crate::congestion::{Ack, Conditions, Controller, Law, Loss, Measured, Sent};

/// Later arrivals that show a loss (RFC 9002, section 6.1.1).
const REORDERING: u64 = 3;
/// The least a timeout waits beyond the round trip: one of a host's timer.
const TIMEOUT_GRAIN: Duration = Duration::from_millis(1);
/// Timeouts in a row after which they no longer grow: something must tell that a path is back, as the message transport has it for a second.
const MOST_BACKOFF: u32 = 1;

/// What an acknowledgement on its way says.
pub(super) struct Acknowledged {
    pub number: u64,
    pub marked: bool,
    pub record: Option<Record>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    InFlight,
    Lost,
    Arrived,
}

struct Packet {
    state: State,
    sent: Time,
    delivered: u64,
    delivered_at: Time,
    first_sent: Time,
    limited: bool,
}

pub(super) struct Sender {
    pub rtt: Duration,
    pub lane: usize,
    pub packet: u64,
    law: Law,
    line_rate: Option<Rate>,
    controller: Option<Box<dyn Controller>>,
    /// Bytes to send; none is no end.
    left: Option<u64>,
    packets: VecDeque<Packet>,
    /// The number of the first of them.
    first: u64,
    in_flight: u64,
    delivered: u64,
    delivered_at: Time,
    first_sent: Time,
    limited_until: u64,
    slot: Option<Time>,
    wake_at: Option<Time>,
    timer_at: Option<Time>,
    timeout_at: Option<Time>,
    progress: Time,
    smoothed: Duration,
    variation: Duration,
    backoff: u32,
    on_the_way: VecDeque<(Time, Acknowledged)>,
}

impl Sender {
    pub fn new(flow: &Flow) -> Self {
        Sender {
            rtt: flow.rtt,
            lane: flow.lane,
            packet: flow.packet,
            law: flow.law.clone(),
            line_rate: flow.line_rate,
            controller: None,
            left: match flow.supply {
                Supply::Endless => None,
                Supply::Bursts { .. } => Some(0),
            },
            packets: VecDeque::new(),
            first: 0,
            in_flight: 0,
            delivered: 0,
            delivered_at: Time::default(),
            first_sent: Time::default(),
            limited_until: 0,
            slot: None,
            wake_at: None,
            timer_at: None,
            timeout_at: None,
            progress: Time::default(),
            smoothed: flow.rtt,
            variation: flow.rtt / 2,
            backoff: 0,
            on_the_way: VecDeque::new(),
        }
    }

    /// Begins, where the handshake's packet took so long through the bottleneck.
    pub fn start(&mut self, waited: Duration, now: Time) {
        let conditions = Conditions {
            packet: self.packet,
            line_rate: self.line_rate,
            handshake: Some(self.rtt + waited),
            measured: Some(Measured {
                round_trip: self.rtt + waited,
                one_way: Some(self.rtt + waited),
            }),
        };
        self.controller = Some(self.law.start(conditions, now));
        self.delivered_at = now;
        self.first_sent = now;
        self.progress = now;
    }

    pub fn supply(&mut self, bytes: u64, now: Time) {
        if let Some(left) = &mut self.left {
            *left += bytes;
        }
        if self.in_flight == 0 {
            self.progress = now;
        }
    }

    fn has_more(&self) -> bool {
        self.left.is_none_or(|left| left >= self.packet)
    }

    fn open(&self) -> bool {
        self.has_more()
            && self
                .controller
                .as_ref()
                .is_some_and(|controller| self.in_flight < controller.window())
    }

    /// When pace and interface let the next packet go.
    fn due(&self) -> Time {
        let Some(slot) = self.slot else {
            return Time::default();
        };
        let pace = self
            .controller
            .as_ref()
            .and_then(|controller| controller.pacing_rate());
        let slowest = [pace, self.line_rate].into_iter().flatten().min();
        let gap = slowest.map(|rate| rate.time_for(ByteSize::from_bytes(self.packet)));
        slot + gap.unwrap_or_default()
    }

    /// The number of the packet that leaves now, if one may.
    pub fn next(&mut self, now: Time) -> Option<u64> {
        if !self.open() || self.due() > now {
            return None;
        }
        // A slot that was missed because the window was shut is not made up for.
        self.slot = Some(now);
        if self.in_flight == 0 {
            self.delivered_at = now;
            self.first_sent = now;
            self.progress = now;
        }
        if let Some(left) = &mut self.left {
            *left -= self.packet;
        }
        self.in_flight += self.packet;
        let number = self.first + self.packets.len() as u64;
        let more = self.has_more();
        if !more && self.left.is_some() {
            self.limited_until = self.delivered + self.in_flight;
        }
        self.packets.push_back(Packet {
            state: State::InFlight,
            sent: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
            limited: self.delivered < self.limited_until,
        });
        let sent = Sent {
            now,
            bytes: self.packet,
            in_flight: self.in_flight,
            backlogged: more,
        };
        if let Some(controller) = &mut self.controller {
            controller.on_sent(&sent);
        }
        Some(number)
    }

    /// When to ask again, if that is not asked for yet.
    pub fn wake(&mut self) -> Option<Time> {
        if !self.open() {
            return None;
        }
        let due = self.due();
        let news = self.wake_at.is_none_or(|at| due < at);
        news.then(|| {
            self.wake_at = Some(due);
            due
        })
    }

    /// Whether that time is now.
    pub fn woken(&mut self, now: Time) -> bool {
        let woken = self.wake_at == Some(now);
        if woken {
            self.wake_at = None;
        }
        woken
    }

    pub fn timer(&mut self) -> Option<Time> {
        let wanted = self
            .controller
            .as_ref()
            .and_then(|controller| controller.timer());
        let news = wanted.is_some() && wanted != self.timer_at;
        self.timer_at = wanted;
        wanted.filter(|_| news)
    }

    pub fn on_timer(&mut self, now: Time) {
        if self.timer_at.is_some_and(|at| at <= now) {
            self.timer_at = None;
            if let Some(controller) = &mut self.controller
                && controller.timer().is_some_and(|at| at <= now)
            {
                controller.on_timer(now);
            }
        }
    }

    fn patience(&self) -> Duration {
        (self.smoothed + (4 * self.variation).max(TIMEOUT_GRAIN)) * (1 << self.backoff)
    }

    /// When to look whether a timeout is due, if that is not asked for yet.
    pub fn timeout(&mut self) -> Option<Time> {
        if self.in_flight == 0 || self.timeout_at.is_some() {
            return None;
        }
        self.timeout_at = Some(self.progress + self.patience());
        self.timeout_at
    }

    /// Whether one is; then all that is in flight counts as lost.
    pub fn on_timeout(&mut self, now: Time) -> bool {
        self.timeout_at = None;
        if self.in_flight == 0 || self.progress + self.patience() > now {
            return false;
        }
        for packet in &mut self.packets {
            if packet.state == State::InFlight {
                packet.state = State::Lost;
            }
        }
        self.in_flight = 0;
        self.progress = now;
        self.backoff = (self.backoff + 1).min(MOST_BACKOFF);
        if let Some(controller) = &mut self.controller {
            controller.on_timeout(now);
        }
        true
    }

    /// A packet goes its way from `now` on; answers when its acknowledgement is here, if none comes before it.
    pub fn travel(&mut self, acknowledged: Acknowledged, now: Time) -> Option<Time> {
        let last = self.on_the_way.back().map_or(now, |(at, _)| *at);
        let at = (now + self.rtt).max(last);
        self.on_the_way.push_back((at, acknowledged));
        (self.on_the_way.len() == 1).then_some(at)
    }

    /// An acknowledgement is here; answers when the next one is.
    pub fn on_ack(&mut self, now: Time) -> Option<Time> {
        if let Some((_, acknowledged)) = self.on_the_way.pop_front() {
            self.acknowledged(&acknowledged, now);
        }
        self.on_the_way.front().map(|(at, _)| *at)
    }

    fn acknowledged(&mut self, acknowledged: &Acknowledged, now: Time) {
        let Some(index) = acknowledged.number.checked_sub(self.first) else {
            return;
        };
        let packet = &mut self.packets[index as usize];
        if packet.state == State::InFlight {
            self.in_flight -= self.packet;
        }
        packet.state = State::Arrived;
        self.delivered += self.packet;
        self.delivered_at = now;
        self.first_sent = packet.sent;
        self.progress = now;
        self.backoff = 0;
        let rtt = now.since(packet.sent);
        let sending = packet.sent.since(packet.first_sent);
        let arriving = now.since(packet.delivered_at);
        let interval = sending.max(arriving);
        let bits = (self.delivered - packet.delivered) as f64 * 8.0;
        let delivery = (!interval.is_zero())
            .then(|| Rate::from_bits_per_second((bits / interval.as_secs_f64()).max(1.0) as u64));
        let (sent, delivered_at_sending, limited) = (packet.sent, packet.delivered, packet.limited);
        // RFC 6298.
        self.variation = (3 * self.variation + self.smoothed.abs_diff(rtt)) / 4;
        self.smoothed = (7 * self.smoothed + rtt) / 8;
        let loss = self.losses(acknowledged.number, now);
        let Some(controller) = &mut self.controller else {
            return;
        };
        if let Some(loss) = loss {
            controller.on_loss(&loss);
        }
        controller.on_ack(&Ack {
            now,
            bytes: self.packet,
            packets: 1,
            marked: if acknowledged.marked { self.packet } else { 0 },
            rtt,
            least_rtt: rtt,
            met: None,
            // Nothing waits on the way back.
            one_way: Some(rtt),
            sent,
            newest_bytes: self.packet,
            delivered: self.delivered,
            delivered_at_sending,
            delivery_rate: delivery,
            application_limited: limited,
            in_flight: self.in_flight,
            hops: acknowledged.record.as_slice(),
        });
    }

    /// Forgets what is settled, and tells what of it was lost.
    fn losses(&mut self, newest: u64, now: Time) -> Option<Loss> {
        let mut loss = None::<Loss>;
        while let Some(packet) = self.packets.front() {
            if packet.state != State::Arrived && self.first + REORDERING > newest {
                break;
            }
            if packet.state == State::InFlight {
                self.in_flight -= self.packet;
                let before = loss.map_or((0, 0), |loss| (loss.bytes, loss.packets));
                loss = Some(Loss {
                    now,
                    bytes: before.0 + self.packet,
                    packets: before.1 + 1,
                    sent: packet.sent,
                    in_flight: self.in_flight,
                });
            }
            self.packets.pop_front();
            self.first += 1;
        }
        loss
    }
}
