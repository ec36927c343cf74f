//! `distance`, ours: a law for any distance, with nothing to set. `docs/distance.md` has its reasons and what was measured.
//!
//! - It learns the path's base round trip and way there ([`base`]) and measures delay above that; marks count as delay where there are any.
//! - It starts by two short trains ([`start`]): the first tells what the bottleneck carries, the second what of it is free. Later ones now and
//!   then tell what others have left ([`probe`]).
//! - Then it paces at a rate that grows and shrinks by a little each slice of time. Growth is larger for small rates and a
//!   decrease is not, so that flows that see the same congestion have the same rate whatever their round trips. Both are counted
//!   in round trips, so that a loop of any length is as stable, and a round trip of congestion costs what it costs once.
//! - What it was to grow and to shrink by of late tells whether it has its share: far from it, it moves faster ([`balance`]); near it, a slow
//!   flow is as calm as a fast one.
//! - A queue that grows fast, or many losses, cut the rate at once by what is offered too much ([`overload`]).
//! - Losses alone are no congestion otherwise. After silence it takes up what it had learned, at half the rate until that is confirmed.

mod balance;
mod base;
mod jitter;
mod overload;
mod probe;
mod settle;
mod start;
mod train;

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::balance::Balance;
use self::base::Base;
use self::jitter::{Jitter, Seen};
use self::overload::Overload;
use self::probe::{Probe, Told};
use self::settle::{Settle, Step};
use self::start::{Start, Verdict};
use super::signal::{Rounds, rate};
use super::{Ack, Conditions, Controller, Loss, Sent};

/// Its parameters: none. What it needs to know of a path it learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distance {}

/// Growth per round trip at [`SCALE`], of the rate: a queue may grow by it before the loop tells.
const GROWTH: f64 = 0.001;
/// Decrease per round trip of full congestion. With [`GROWTH`] it sets for how much of the time there is congestion.
const DECREASE: f64 = 0.02;
/// The rate at which growth is [`GROWTH`], in bytes per second (10 Gbit/s).
const SCALE: f64 = 1.25e9;
/// Growth falls with the rate's power of this: what makes shares even.
const EVENNESS: f64 = 0.5;
/// Near rest growth is this per round trip at most, and decrease as many times less: half of the queue that there is to be at most.
const CALM: f64 = 0.01;
/// Both gains are larger, by up to this, for a flow with a small part of the bottleneck: it disturbs less, and shares sooner.
const LIVELIEST: f64 = 1.4;
/// Round trips without congestion after which growth is more by what it is at its rate, calm or not; that rises with their square…
const CLEAR: f64 = 16.0;
/// … up to this, unless it begins above.
const FASTEST: f64 = 0.05;
/// … times up to this for a flow with a small part of the bottleneck.
const SMALLEST: f64 = 4.0;
/// As near to the rate at which there was congestion last or is to be expected, or to what the bottleneck carries, growth is not faster:
/// that is where the queue begins, and a token bucket hides it for a while. Past it, the round trips count anew.
const CREST: f64 = 0.03;
/// Round trips without congestion after which it comes as a surprise.
const QUIET: f64 = 8.0;
/// Delay from which on there is congestion, the same for near and far.
const FROM: Duration = Duration::from_nanos(7_500);
/// Delay at which congestion is full.
const FULL: Duration = Duration::from_micros(36);
/// The same in packets of the bottleneck, where those take longer.
const FROM_PACKETS: f64 = 0.5;
/// For [`FULL`].
const FULL_PACKETS: f64 = 2.4;
/// Slices are as long for near and far, so that all see the same of a queue that comes and goes.
const GRAIN: Duration = Duration::from_micros(60);
/// Packets that a slice has at least; it is judged by the least delay in it.
const SLICE_PACKETS: u32 = 4;
/// A loop is taken for at least this long: shorter ones are a few packets.
const LEAST_LOOP: Duration = Duration::from_micros(100);
/// Round trips of nothing but full congestion after which the way itself is taken to be longer.
const CROWDED: f64 = 100.0;
/// And time: flows from far take as long to make room for those from near.
const CROWDED_TIME: f64 = 1.0;
/// A queue this many times what full congestion is may be overload.
const LARGE: f64 = 4.0;
/// Part of a round trip without an acknowledgement after which what was lost says nothing of a queue…
const SILENCE: f64 = 0.25;
/// … and packets at the rate, where those take longer.
const SILENCE_PACKETS: f64 = 16.0;
/// In flight, of a round trip at the rate: room for a queue and late acknowledgements.
const ROOM: f64 = 1.5;
/// Packets in flight that ask whether a path is back, and that any pace may have.
const LEAST_PACKETS: f64 = 4.0;
/// The rate is not cut below so many packets per second: something must ask.
const LEAST_PACE: f64 = 20.0;
/// A bottleneck of which less is used has no queue.
const EMPTY: f64 = 0.5;
/// Of what is free, the start and a probe take this much.
const CLAIM: f64 = 0.95;
/// And of that the start takes this much, until a probe has looked again: others may have found the same free.
const FIRST_CLAIM: f64 = 0.25;
/// What a probe adds is worth it from this factor on…
const LEAST_STEP: f64 = 1.05;
/// … and no more than this: after all were cut at once, who looks first is not to take what all had…
const LARGEST_STEP: f64 = 2.0;
/// … but for the one that ends the start, before which all took [`FIRST_CLAIM`].
const FIRST_STEP: f64 = 1.0 / FIRST_CLAIM;
/// What a train finds the bottleneck to carry is more than was known from this many times that on.
const MORE: f64 = 1.2;
/// Of what the bottleneck carries, the start takes this much even if nothing is free.
const LEAST_CLAIM: f64 = 1.0 / 16.0;

impl Distance {
    pub(super) fn start(self, conditions: Conditions, now: Time) -> Path {
        Path {
            packet: conditions.packets(1.0),
            line: conditions.ceiling(),
            base: Base::new(conditions.measured),
            phase: Phase::Start(Start::new(conditions)),
            rate: 0.0,
            capacity: 0.0,
            slice: Slice::new(now),
            rounds: Rounds::default(),
            last_sent: now,
            clear: 0.0,
            quiet: 0.0,
            unseen: 0.0,
            crest: 0.0,
            crowded: 0.0,
            balance: Balance::default(),
            jitter: Jitter::new(),
            probe: Probe::new(),
            overload: Overload::new(),
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
    slice: Slice,
    rounds: Rounds,
    last_sent: Time,
    /// Round trips since there was congestion, or since the rate passed the crest.
    clear: f64,
    /// Round trips since there was congestion.
    quiet: f64,
    /// What the rate grew by in the last round trip, of which nothing can have told yet.
    unseen: f64,
    /// The rate at which there was congestion last; what the bottleneck was seen to carry, before that.
    crest: f64,
    /// Round trips of nothing but full congestion.
    crowded: f64,
    balance: Balance,
    jitter: Jitter,
    probe: Probe,
    overload: Overload,
}

#[derive(Debug)]
enum Phase {
    /// Measuring.
    Start(Start),
    /// The law.
    Cruise,
    /// After overload.
    Settle(Settle),
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
    least_way: Option<Duration>,
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
            least_way: None,
            packets: 0,
            bytes: 0,
            marked: 0,
            limited: false,
        }
    }

    fn count(&mut self, ack: &Ack<'_>) {
        self.least = Some(
            self.least
                .map_or(ack.least_rtt, |least| least.min(ack.least_rtt)),
        );
        let ways = [self.least_way, ack.least_way()];
        self.least_way = ways.into_iter().flatten().min();
        self.packets += ack.packets;
        self.bytes += ack.bytes;
        self.marked += ack.marked;
        self.limited |= ack.application_limited;
    }
}

/// Of the rate, in a round trip.
struct Gains {
    /// Growth where there was congestion lately.
    slow: f64,
    /// Growth as it is.
    up: f64,
    /// Decrease of full congestion.
    down: f64,
}

impl Gains {
    /// The congestion at which slow growth and decrease are even.
    fn borne(&self) -> f64 {
        self.slow / (self.slow + self.down)
    }
}

/// Delay at which congestion is full where packets take so long, in seconds.
fn full(packet_time: f64) -> f64 {
    FULL.as_secs_f64().max(FULL_PACKETS * packet_time)
}

impl Path {
    /// The loop that gains are counted in, in seconds: a round trip, but no less than a slice.
    fn round_trip(&self) -> f64 {
        self.base_trip()
            .max(f64::from(SLICE_PACKETS) * self.packet / self.rate.max(1.0))
    }

    /// What a packet and its acknowledgement take at least, in seconds: the way or the flow's own pace.
    fn shortest_trip(&self) -> f64 {
        self.base_trip().max(self.packet / self.rate.max(1.0))
    }

    fn base_trip(&self) -> f64 {
        self.base.get().max(LEAST_LOOP).as_secs_f64()
    }

    /// Without an acknowledgement for so long, in seconds, the way is cut.
    fn silence(&self) -> f64 {
        (SILENCE * self.base_trip()).max(SILENCE_PACKETS * self.packet / self.rate)
    }

    /// Above the base round trip, in seconds.
    fn delay(&self, slice: &Slice) -> f64 {
        let least = slice.least.unwrap_or_default();
        self.base.above(least, slice.least_way).as_secs_f64()
    }

    /// What a packet takes at the bottleneck, in seconds.
    fn packet_time(&self) -> f64 {
        self.packet / self.capacity.max(self.rate).max(1.0)
    }

    /// Delay at which congestion is full, in seconds.
    fn full(&self) -> f64 {
        full(self.packet_time())
    }

    /// 0 to 1, of what a slice told.
    fn congestion(&self, slice: &Slice) -> f64 {
        let delay = self.delay(slice) - self.jitter.delay();
        let from = FROM.as_secs_f64().max(FROM_PACKETS * self.packet_time());
        let full = self.full();
        let by_delay = ((delay - from) / (full - from)).clamp(0.0, 1.0);
        by_delay.max(slice.marked as f64 / slice.bytes.max(1) as f64)
    }

    /// What the bottleneck carries in one.
    fn packets_of_a_round_trip(&self) -> f64 {
        self.capacity * self.base.get().as_secs_f64() / self.packet
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Others { queue, .. } if self.is_crowded(queue) => self.probe.found(false),
            Told::Others { others, queue } => {
                if others + self.rate / self.capacity < EMPTY {
                    self.jitter.learn_floor(queue.as_secs_f64());
                }
                self.take(others, false);
            }
            Told::OthersAtStart(others) => self.take(others, true),
            // What jitter makes of a train's arrivals tells nothing.
            Told::Capacity(capacity)
                if capacity > MORE * self.capacity && !self.jitter.is_certain() =>
            {
                self.capacity = capacity.min(self.line);
                self.jitter.forget_pairs();
                self.probe.found_more();
            }
            Told::Capacity(_) => {}
        }
    }

    /// Whether a train that began in such a queue came just after those of others, who make up for them and use less than
    /// they will.
    fn is_crowded(&self, queue: Duration) -> bool {
        queue.as_secs_f64() > self.full() + self.jitter.delay()
    }

    /// Takes of what a probe found free, as all who find it do.
    fn take(&mut self, others: f64, first: bool) {
        let load = others + self.rate / self.capacity;
        let most = if first { FIRST_STEP } else { LARGEST_STEP };
        let step = (CLAIM / load).min(most);
        let worth = step >= LEAST_STEP || (first && step < 1.0);
        if worth {
            self.balance.step(step);
            self.set((self.rate * step).max(self.capacity * LEAST_CLAIM));
            // The line is full when all who found the same have grown by what was left.
            self.crest = self.rate / CLAIM;
        }
        self.probe.found(worth);
    }

    fn set(&mut self, rate: f64) {
        self.rate = rate.min(self.line).max(self.packet * LEAST_PACE);
    }

    /// The law, for a slice that took `part` of a round trip.
    fn adjust(&mut self, slice: &Slice, part: f64) {
        let congestion = self.congestion(slice);
        // What a loop of few packets adds is answered before it is over.
        let quicker = self.round_trip() / self.shortest_trip();
        self.count_clear(congestion, part * quicker);
        self.count_crowded(congestion, part);
        let gains = self.gains(quicker);
        // What was not used tells nothing of what more would do.
        let up = if slice.limited { 0.0 } else { gains.up };
        let borne = gains.borne();
        if !slice.limited {
            let others = 1.0 - self.rate / self.capacity;
            let carried = self.packets_of_a_round_trip();
            let congestion = (others > 1.0 - CLAIM).then_some(congestion / borne);
            self.probe.wait(part, congestion, carried, others);
        }
        let (growth, decrease) = (up * (1.0 - congestion), gains.down * congestion);
        let change = self.hasten(growth, decrease);
        if !slice.limited {
            let trip = self.round_trip();
            self.balance.count(growth, decrease, part, trip);
            self.balance.fill(part * congestion);
        }
        let back = self.take_back(congestion, change, part);
        self.set(self.rate * (part * change - back).exp());
        let seen = Seen {
            part,
            round_trip: self.round_trip(),
            congestion,
            borne,
            delay: self.delay(slice),
            full: full(self.packet / self.capacity.max(1.0)),
            room: self.rate < CLAIM * self.capacity,
        };
        if let Some(rate) = self.jitter.count(seen, self.rate) {
            self.set(rate);
        }
    }

    /// What is taken back where congestion begins after a long quiet: what the last round trip added.
    fn take_back(&mut self, congestion: f64, change: f64, part: f64) -> f64 {
        let is_surprise = congestion > 0.0 && self.quiet >= QUIET && !self.jitter.is_suspected();
        let back = match is_surprise {
            true => std::mem::take(&mut self.unseen),
            false => 0.0,
        };
        self.quiet = if congestion > 0.0 {
            0.0
        } else {
            self.quiet + part
        };
        self.unseen += (change.max(0.0) - self.unseen) * part.min(1.0);
        back
    }

    /// Growth less decrease, each faster where the flow is far from its share.
    fn hasten(&self, growth: f64, decrease: f64) -> f64 {
        let down = if self.jitter.is_suspected() {
            // Jitter is told by packets that leave near each other, which at a low rate none do.
            1.0
        } else {
            self.balance.decrease()
        };
        let up = if self.balance.has_room() && !self.jitter.is_suspected() {
            // All would come to a line that is about to be full the faster.
            1.0
        } else {
            // Alone, or nearly, there is no share to come to.
            self.balance.growth().min(self.smallness())
        };
        up * growth - down * decrease
    }

    /// Counts round trips without congestion; near where the queue begins there are none.
    fn count_clear(&mut self, congestion: f64, trips: f64) {
        let is_near = |other: f64| (self.rate / other.max(1.0) - 1.0).abs() < CREST;
        let near = is_near(self.crest) || is_near(self.capacity);
        if congestion > 0.0 {
            self.crest = self.rate;
        }
        self.clear = if congestion > 0.0 || near {
            0.0
        } else {
            self.clear + trips
        };
    }

    /// Counts round trips of full congestion, and takes the way for longer after many.
    fn count_crowded(&mut self, congestion: f64, trips: f64) {
        self.crowded = if congestion < 1.0 {
            0.0
        } else {
            self.crowded + trips
        };
        if self.crowded > CROWDED && self.crowded * self.round_trip() > CROWDED_TIME {
            self.base.relearn();
            self.crowded = 0.0;
        }
    }

    /// How many times as fast a flow may move, for it has so small a part of the bottleneck.
    fn smallness(&self) -> f64 {
        (self.capacity / self.rate).sqrt().max(1.0)
    }

    /// What a round trip changes, with a loop that is answered so many times in one.
    fn gains(&self, quicker: f64) -> Gains {
        let small = self.smallness();
        let lively = small.min(LIVELIEST);
        let growth = lively * GROWTH * (SCALE / self.rate).powf(EVENNESS);
        // Unevenness is the root of how many times the rate is the share, or the share is the rate.
        let calm = (CALM / growth * self.balance.unevenness().powi(2)).min(1.0);
        let slow = calm * growth;
        let fast = slow + growth * quicker * (self.clear / CLEAR).powi(2);
        let fastest = quicker * FASTEST * small.min(SMALLEST);
        Gains {
            slow,
            up: fast.min(fastest.max(slow)),
            down: calm * lively * DECREASE,
        }
    }

    fn end_slice(&mut self, ack: &Ack<'_>) {
        let slice = std::mem::replace(&mut self.slice, Slice::new(ack.now));
        let took = ack.now.since(slice.since).as_secs_f64();
        let part = (took / self.round_trip()).min(4.0);
        let delay = self.delay(&slice);
        let queue = (delay - self.jitter.delay()).max(0.0);
        let base = self.base.get();
        match &mut self.phase {
            Phase::Start(_) | Phase::Ask => return,
            Phase::Resume { since } => {
                if ack.sent >= *since {
                    self.phase = Phase::Cruise;
                }
                return;
            }
            Phase::Cruise => self.adjust(&slice, part),
            Phase::Settle(settle) => match settle.step(ack, queue, base.as_secs_f64() + took) {
                Step::Stay => {}
                Step::Drain(rate) => {
                    self.set(rate);
                    self.overload.answered(ack.now);
                }
                Step::Claim(share) => {
                    self.set(share);
                    self.crest = share;
                    self.overload.answered(ack.now);
                }
                Step::Done => self.phase = Phase::Cruise,
            },
        }
        let least = LARGE * self.full() + self.jitter.delay();
        if let Some(rate) = self.overload.by_queue(ack, delay, least, base, self.rate) {
            self.cut(rate, ack.now);
        }
    }

    /// Overload was seen, for which the rate would be this.
    fn cut(&mut self, rate: f64, now: Time) {
        self.set(self.rate.min(rate * CLAIM));
        // What follows is the same for all, and tells nothing of shares.
        self.balance = Balance::default();
        let gains = self.gains(1.0);
        self.balance = Balance::at_rest(gains.borne() * gains.down, self.round_trip());
        self.phase = Phase::Settle(Settle::new(now));
        self.probe.abandon(now);
    }

    fn end_round(&mut self, ack: &Ack<'_>) {
        if let Some(rate) = self.overload.by_loss(ack, self.rate)
            && matches!(self.phase, Phase::Cruise)
        {
            self.cut(rate, ack.now);
        }
    }

    /// What the bottleneck carries, once a train has told.
    fn known_capacity(&self) -> Option<f64> {
        let capacity = match &self.phase {
            Phase::Start(start) => start.pace(),
            _ => self.capacity.max(self.rate),
        };
        capacity.is_finite().then_some(capacity)
    }

    fn pace(&self) -> f64 {
        match &self.phase {
            Phase::Start(start) => start.pace(),
            Phase::Cruise => self.probe.pace(self.rate, self.capacity),
            Phase::Settle(_) => self.rate,
            Phase::Resume { .. } | Phase::Ask => self.rate / 2.0,
        }
    }
}

impl Controller for Path {
    fn on_sent(&mut self, sent: &Sent) {
        // A pace below a packet per round trip is no silence.
        let silence = self.round_trip().max(4.0 * self.packet / self.rate);
        let silent = sent.now.since(self.last_sent).as_secs_f64() > silence;
        match &mut self.phase {
            Phase::Start(start) => start.on_sent(sent),
            Phase::Cruise | Phase::Settle(_) if silent && sent.in_flight <= sent.bytes => {
                self.phase = Phase::Resume { since: sent.now };
                self.slice = Slice::new(sent.now);
                self.probe.abandon(sent.now);
            }
            Phase::Cruise => self.probe.on_sent(sent),
            Phase::Settle(_) | Phase::Resume { .. } | Phase::Ask => {}
        }
        self.last_sent = sent.now;
    }

    fn on_ack(&mut self, ack: &Ack<'_>) {
        self.overload.on_ack(ack, self.silence());
        if matches!(self.phase, Phase::Ask) {
            // What waited is gone: what comes now is the way as it is.
            self.base.relearn();
            self.phase = Phase::Resume { since: ack.now };
            self.slice = Slice::new(ack.now);
        }
        self.base.on_ack(ack);
        if let Some(capacity) = self.known_capacity() {
            self.jitter.see(ack, self.packet, self.packet / capacity);
        }
        if let Phase::Start(start) = &mut self.phase {
            if let Some(Verdict { capacity, free }) = start.on_ack(ack, self.base.get()) {
                self.capacity = capacity;
                self.crest = capacity;
                self.set((free * FIRST_CLAIM).max(capacity * LEAST_CLAIM) * CLAIM);
                self.phase = Phase::Cruise;
                // Nothing was to be sent meanwhile: that is no silence.
                self.last_sent = ack.now;
                let carried = self.packets_of_a_round_trip();
                self.probe.begin(ack.now, self.base.get(), carried);
                self.slice = Slice::new(ack.now);
            }
            return;
        }
        let base = &self.base;
        let queue = || base.above(ack.rtt, ack.one_way);
        if let Some(told) = self.probe.on_ack(ack, queue) {
            self.hear(told);
        }
        if let Phase::Settle(settle) = &mut self.phase {
            let met = self.base.above(ack.rtt, ack.one_way);
            settle.on_ack(ack, self.rate, met.as_secs_f64());
        }
        self.slice.count(ack);
        let long = ack.now.since(self.slice.since) >= GRAIN;
        if long && self.slice.packets >= SLICE_PACKETS {
            self.end_slice(ack);
        }
        if self.rounds.passed(ack) {
            self.end_round(ack);
        }
    }

    fn on_loss(&mut self, loss: &Loss) {
        self.overload.on_loss(loss);
        if let Phase::Start(start) = &mut self.phase {
            start.on_loss(loss);
        } else {
            self.probe.on_loss(loss);
        }
    }

    fn on_timeout(&mut self, now: Time) {
        if let Phase::Start(start) = &mut self.phase {
            start.restart();
        } else {
            self.phase = Phase::Ask;
            self.probe.abandon(now);
        }
        self.slice = Slice::new(now);
    }

    fn window(&self) -> u64 {
        let window = match &self.phase {
            Phase::Start(start) => start.window(),
            Phase::Ask => LEAST_PACKETS * self.packet,
            phase => {
                let queue = match phase {
                    Phase::Settle(settle) => settle.queue(),
                    _ => 0.0,
                };
                self.rate * (self.round_trip() + queue) * ROOM + 4.0 * LEAST_PACKETS * self.packet
            }
        };
        window as u64
    }

    fn pacing_rate(&self) -> Option<Rate> {
        let pace = self.pace();
        pace.is_finite().then(|| rate(pace * 8.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::Measured;
    use crate::congestion::testing::conditions;

    /// A path in the law at this rate, with a slice that met this much of a queue.
    fn path(rate: f64, queue: Duration) -> (Path, Slice) {
        let mut path = Distance {}.start(conditions(), Time::default());
        path.phase = Phase::Cruise;
        path.capacity = rate;
        path.rate = rate;
        let mut slice = Slice::new(Time::default());
        slice.least = Some(path.base.get() + queue);
        slice.bytes = 1500;
        (path, slice)
    }

    #[test]
    fn congestion_rises_from_half_a_packet_to_a_few() {
        // 12 µs a packet at 1 Gbit/s.
        for (micros, congestion) in [(0, 0.0), (7, 0.0), (36, 1.0), (500, 1.0)] {
            let (path, slice) = path(125e6, Duration::from_micros(micros));
            assert_eq!(path.congestion(&slice), congestion, "{micros}");
        }
        let (path, mut slice) = path(125e6, Duration::ZERO);
        slice.marked = 750;
        assert_eq!(path.congestion(&slice), 0.5);
    }

    #[test]
    fn a_larger_rate_bears_less_congestion_whatever_the_round_trip() {
        // Where growth and decrease are even: what a flow at that rate settles at.
        let even = |rate: f64| {
            let growth = GROWTH * (SCALE / rate).powf(EVENNESS);
            growth / (growth + DECREASE)
        };
        assert!(even(12.5e6) > even(125e6) && even(125e6) > even(1.25e9));
        for rtt in [Duration::from_millis(1), Duration::from_millis(100)] {
            let (mut path, mut slice) = path(125e6, Duration::ZERO);
            path.base = Base::new(Some(Measured {
                round_trip: rtt,
                one_way: None,
            }));
            slice.least = Some(rtt);
            slice.marked = (even(125e6) * 1500.0) as u64;
            path.adjust(&slice, 1.0);
            assert!((path.rate / 125e6 - 1.0).abs() < 1e-4, "{rtt:?}");
        }
    }

    #[test]
    fn what_an_application_does_not_use_is_not_added_to() {
        let (mut path, mut slice) = path(125e6, Duration::ZERO);
        slice.limited = true;
        path.adjust(&slice, 1.0);
        assert_eq!(path.rate, 125e6);
    }

    #[test]
    fn what_the_last_round_trip_added_is_taken_back_where_congestion_begins_after_a_quiet() {
        let after = |quiet: u32| {
            let (mut path, mut slice) = path(125e6, Duration::ZERO);
            for _ in 0..quiet {
                path.adjust(&slice, 1.0);
            }
            let before = path.rate;
            slice.marked = 15;
            path.adjust(&slice, 1.0);
            path.rate / before
        };
        // A hundredth of the packets is marked: less than the rate bears.
        let growth = after(4);
        assert!(growth > 1.001, "{growth}");
        let taken_back = after(12);
        assert!((taken_back - growth / 1.003).abs() < 1e-3, "{taken_back}");
    }

    #[test]
    fn growth_is_no_faster_where_the_queue_begins() {
        let after = |share: f64, crest: f64| {
            let (mut path, slice) = path(125e6, Duration::ZERO);
            (path.rate, path.crest) = (share * path.capacity, crest * path.capacity);
            for _ in 0..4 {
                path.adjust(&slice, 1.0);
            }
            path.clear
        };
        assert_eq!([after(0.98, 0.8), after(0.8, 0.8)], [0.0; 2]);
        assert!(after(0.9, 0.8) > 0.0);
    }

    #[test]
    fn growth_is_no_faster_where_a_probe_says_that_the_line_is_full() {
        let after = |grown: f64| {
            let (mut path, slice) = path(125e6, Duration::ZERO);
            path.rate = 0.4 * path.capacity;
            let others = 0.4;
            path.hear(Told::Others {
                others,
                queue: Duration::ZERO,
            });
            path.rate *= grown;
            path.adjust(&slice, 1.0);
            path.clear
        };
        // 0.95 of the line are taken.
        assert!(after(1.0) > 0.0 && after(1.1) > 0.0);
        assert_eq!(after(1.05), 0.0);
    }

    #[test]
    fn who_has_less_than_the_share_grows_faster_but_not_who_is_alone() {
        let growth = |share: f64| {
            let (mut path, _) = path(125e6, Duration::ZERO);
            path.rate = share * path.capacity;
            path.balance.count(0.02, 0.01, 1.0, 1e-3);
            path.hasten(0.01, 0.0) / 0.01
        };
        assert!(growth(0.1) > 1.5);
        assert_eq!(growth(1.0), 1.0);
    }

    #[test]
    fn a_train_that_began_in_a_queue_adds_nothing() {
        let after = |queue| {
            let (mut path, _) = path(125e6, Duration::ZERO);
            path.rate = 0.4 * path.capacity;
            let others = 0.2;
            path.hear(Told::Others { others, queue });
            path.rate / path.capacity
        };
        assert_eq!(after(Duration::from_micros(40)), 0.4);
        assert!((after(Duration::from_micros(30)) - 0.4 * CLAIM / 0.6).abs() < 1e-9);
    }

    #[test]
    fn overload_is_no_sign_of_too_large_a_share() {
        let (mut path, slice) = path(125e6, Duration::from_millis(1));
        let clear = Slice::new(Time::default());
        for slice in [&clear, &slice, &slice] {
            path.adjust(slice, 1.0);
        }
        assert!(path.balance.decrease() > 1.0);
        path.cut(62.5e6, Time::default());
        assert_eq!(path.balance.decrease(), 1.0);
    }

    #[test]
    fn a_way_that_is_crowded_for_long_is_taken_to_be_longer() {
        let (mut path, slice) = path(125e6, Duration::from_millis(1));
        for _ in 0..=CROWDED as u32 {
            path.adjust(&slice, 1.0);
        }
        let before = path.base.get();
        let mut ack = crate::congestion::testing::acknowledged(Time::from_nanos(1));
        ack.least_rtt = before + Duration::from_millis(1);
        path.base.on_ack(&ack);
        assert_eq!(path.base.get(), ack.least_rtt);
    }

    #[test]
    fn silence_halves_the_pace_until_an_acknowledgement() {
        let (mut path, _) = path(125e6, Duration::ZERO);
        let sent = Sent {
            now: Time::default() + Duration::from_secs(1),
            bytes: 1500,
            in_flight: 1500,
            backlogged: true,
        };
        path.on_sent(&sent);
        assert_eq!(path.pace(), 62.5e6);
        for number in 0..8u32 {
            let mut ack = crate::congestion::testing::acknowledged(
                sent.now + Duration::from_millis(2) + Duration::from_micros(100) * number,
            );
            ack.sent = sent.now + Duration::from_nanos(1);
            path.on_ack(&ack);
        }
        assert!(path.pace() > 124e6);
    }
}
