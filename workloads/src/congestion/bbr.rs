//! BBR, version 1, as Linux ships it: `net/ipv4/tcp_bbr.c`; Cardwell et al., "BBR: Congestion-Based Congestion Control",
//! ACM Queue 14(5), 2016.
//!
//! Left out: the long-term rate of policers (`bbr_lt_bw_sampling`) and the allowance for aggregated acknowledgements
//! (`bbr_ack_aggregation_cwnd`). The random phase in which the kernel enters its gain cycle is taken from the time.

use std::collections::VecDeque;
use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::{Rate, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::signal::{Rounds, rate};
use super::{Ack, Conditions, Controller, Loss, Sent};

/// Its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bbr {
    /// Gain of the start-up (2885/1000, 2/ln 2: `bbr_high_gain`).
    pub high_gain: f64,
    /// Gain of the window (2: `bbr_cwnd_gain`).
    pub window_gain: f64,
    /// Rounds in which the largest rate counts (10: `bbr_bw_rtts`).
    pub rate_rounds: u32,
    /// How long a least round trip counts (10 s: `bbr_min_rtt_win_sec`).
    pub rtt_window: TimeSpan,
    /// How long the path is drained to see it again (200 ms: `bbr_probe_rtt_mode_ms`).
    pub probe_rtt: TimeSpan,
    /// Rounds without growth by a quarter that end the start-up (3: `bbr_full_bw_cnt`).
    pub full_rounds: u32,
    /// Percentage below the rate that is paced at (1: `bbr_pacing_margin_percent`).
    pub pacing_margin: f64,
    /// Packets in flight at first (10: RFC 6928).
    pub initial_window: u32,
}

impl Default for Bbr {
    fn default() -> Self {
        Bbr {
            high_gain: 2.885,
            window_gain: 2.0,
            rate_rounds: 10,
            rtt_window: Duration::from_secs(10).into(),
            probe_rtt: Duration::from_millis(200).into(),
            full_rounds: 3,
            pacing_margin: 1.0,
            initial_window: 10,
        }
    }
}

/// Gains of the cycle (`bbr_pacing_gain`).
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
/// Growth that is growth (5/4: `bbr_full_bw_thresh`).
const GROWTH: f64 = 1.25;
/// Packets kept in flight while draining (4: `bbr_cwnd_min_target`).
const LEAST_PACKETS: f64 = 4.0;

impl Bbr {
    pub(super) fn start(self, conditions: Conditions, now: Time) -> Model {
        let window = conditions.packets(f64::from(self.initial_window.max(1)));
        // `bbr_init_pacing_rate_from_rtt`: a millisecond where no round trip is known.
        let rtt = conditions.handshake.unwrap_or(Duration::from_millis(1));
        Model {
            packet: conditions.packets(1.0),
            window,
            initial: window,
            pace: self.high_gain * window / rtt.as_secs_f64().max(1e-6),
            phase: Phase::Startup,
            rates: VecDeque::new(),
            round: 0,
            rounds: Rounds::default(),
            full: 0.0,
            full_count: 0,
            least_rtt: conditions.handshake,
            least_at: now,
            prior_window: window,
            lost: 0.0,
            repair: Repair::None,
            idle: false,
            drained_until: None,
            parameters: self,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Startup,
    Drain,
    /// In the cycle, at this gain since then.
    ProbeRate(usize, Time),
    /// Draining until then, once little is in flight.
    ProbeRtt(Option<Time>),
}

/// It at work; sizes in bytes, rates in bytes per second.
#[derive(Debug)]
pub(super) struct Model {
    parameters: Bbr,
    packet: f64,
    window: f64,
    initial: f64,
    pace: f64,
    phase: Phase,
    /// The largest rates by round, falling.
    rates: VecDeque<(u64, f64)>,
    round: u64,
    rounds: Rounds,
    full: f64,
    full_count: u32,
    least_rtt: Option<Duration>,
    least_at: Time,
    prior_window: f64,
    /// Found lost since the last acknowledgement.
    lost: f64,
    repair: Repair,
    /// Nothing has been acknowledged since nothing was in flight (`idle_restart`).
    idle: bool,
    /// Packets that left before so much was delivered say little of the rate: little was allowed.
    drained_until: Option<u64>,
}

/// How far the repair of losses is, since when: it ends when something is acknowledged that was sent after that.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Repair {
    None,
    /// The next acknowledgement begins it.
    Found(Time),
    /// In its first round, in which as much leaves as arrives (`packet_conservation`).
    Conserving(Time),
    /// Growing again.
    Growing(Time),
}

impl Model {
    fn rate(&self) -> f64 {
        self.rates.front().map_or(0.0, |&(_, rate)| rate)
    }

    fn note_rate(&mut self, ack: &Ack<'_>) {
        let Some(sample) = ack.delivery_rate else {
            return;
        };
        let sample = sample.bits_per_second() as f64 / 8.0;
        let was_drained = self
            .drained_until
            .is_some_and(|until| ack.delivered_at_sending <= until);
        if (ack.application_limited || was_drained) && sample < self.rate() {
            return;
        }
        while self.rates.back().is_some_and(|&(_, rate)| rate <= sample) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.round, sample));
        let rounds = u64::from(self.parameters.rate_rounds);
        while self
            .rates
            .front()
            .is_some_and(|&(round, _)| round + rounds < self.round)
        {
            self.rates.pop_front();
        }
    }

    /// The pace at this gain (`bbr_bw_to_pacing_rate`).
    fn paced(&self, gain: f64) -> f64 {
        gain * self.rate() * (1.0 - self.parameters.pacing_margin / 100.0)
    }

    /// `bbr_inflight`: gain × BDP, and three packets for offloads.
    fn flight(&self, gain: f64) -> f64 {
        match self.least_rtt {
            Some(rtt) if self.rate() > 0.0 => {
                gain * self.rate() * rtt.as_secs_f64() + 3.0 * self.packet
            }
            _ => self.initial,
        }
    }

    fn full_reached(&self) -> bool {
        self.full_count >= self.parameters.full_rounds
    }

    fn check_full(&mut self, round: bool, ack: &Ack<'_>) {
        if self.full_reached() || !round || ack.application_limited {
            return;
        }
        if self.rate() >= self.full * GROWTH {
            self.full = self.rate();
            self.full_count = 0;
        } else {
            self.full_count += 1;
        }
    }

    fn enter_cycle(&mut self, now: Time) {
        // Any gain but the draining one.
        let at = (now.as_nanos() / 1_000 % 7) as usize;
        self.phase = Phase::ProbeRate(if at == 1 { 7 } else { at }, now);
    }

    fn advance(&mut self, ack: &Ack<'_>) {
        let flight = ack.in_flight as f64;
        // A phase asks what was in flight when the acknowledgement came (`prior_in_flight`).
        let prior = (ack.in_flight + ack.bytes) as f64;
        match self.phase {
            Phase::Startup if self.full_reached() => self.phase = Phase::Drain,
            Phase::Drain if flight <= self.flight(1.0) => self.enter_cycle(ack.now),
            Phase::ProbeRate(at, since) => {
                let rtt = self.least_rtt.unwrap_or_default();
                let long = ack.now.since(since) > rtt;
                let over = match CYCLE[at] {
                    gain if gain > 1.0 => {
                        long && (self.repair != Repair::None || prior >= self.flight(gain))
                    }
                    gain if gain < 1.0 => long || prior <= self.flight(1.0),
                    _ => long,
                };
                if over {
                    self.phase = Phase::ProbeRate((at + 1) % CYCLE.len(), ack.now);
                }
            }
            _ => {}
        }
    }

    fn note_rtt(&mut self, ack: &Ack<'_>) {
        let expired = ack.now.since(self.least_at) > self.parameters.rtt_window.duration();
        if expired || self.least_rtt.is_none_or(|least| ack.least_rtt < least) {
            self.least_rtt = Some(ack.least_rtt);
            self.least_at = ack.now;
        }
        if expired && !self.idle && !matches!(self.phase, Phase::ProbeRtt(_)) {
            self.save_window();
            self.phase = Phase::ProbeRtt(None);
        }
        if let Phase::ProbeRtt(until) = self.phase {
            self.drained_until = Some(ack.delivered + ack.in_flight);
            match until {
                None if ack.in_flight as f64 <= LEAST_PACKETS * self.packet => {
                    let pause = self.parameters.probe_rtt.duration().max(ack.rtt);
                    self.phase = Phase::ProbeRtt(Some(ack.now + pause));
                }
                Some(until) if ack.now >= until => {
                    self.least_at = ack.now;
                    self.window = self.window.max(self.prior_window);
                    if self.full_reached() {
                        self.enter_cycle(ack.now);
                    } else {
                        self.phase = Phase::Startup;
                    }
                }
                _ => {}
            }
        }
    }

    /// Remembers the window for the time after a repair or a drained path (`bbr_save_cwnd`).
    fn save_window(&mut self) {
        let is_reduced = self.repair != Repair::None || matches!(self.phase, Phase::ProbeRtt(_));
        self.prior_window = if is_reduced {
            self.prior_window.max(self.window)
        } else {
            self.window
        };
    }

    /// What losses make of the window, before it grows (`bbr_set_cwnd_to_recover_or_restore`).
    fn recover(&mut self, round: bool, ack: &Ack<'_>) {
        let lost = std::mem::take(&mut self.lost);
        self.window = (self.window - lost).max(self.packet);
        match self.repair {
            Repair::Found(since) => {
                self.rounds.begin(ack);
                self.window = (ack.in_flight + ack.bytes) as f64;
                self.repair = Repair::Conserving(since);
            }
            Repair::Conserving(since) | Repair::Growing(since) if ack.sent > since => {
                self.window = self.window.max(self.prior_window);
                self.repair = Repair::None;
            }
            Repair::Conserving(since) if round => self.repair = Repair::Growing(since),
            _ => {}
        }
    }

    fn gains(&self) -> (f64, f64) {
        let high = self.parameters.high_gain;
        match self.phase {
            Phase::Startup => (high, high),
            Phase::Drain => (1.0 / high, high),
            Phase::ProbeRate(at, _) => (CYCLE[at], self.parameters.window_gain),
            Phase::ProbeRtt(_) => (1.0, 1.0),
        }
    }
}

impl Controller for Model {
    fn on_sent(&mut self, sent: &Sent) {
        // `bbr_cwnd_event`: after an idle time, at the known rate.
        if sent.in_flight == sent.bytes && self.rate() > 0.0 {
            self.idle = true;
            if matches!(self.phase, Phase::ProbeRate(..)) {
                self.pace = self.paced(1.0);
            }
        }
    }

    fn on_ack(&mut self, ack: &Ack<'_>) {
        let round = self.rounds.passed(ack);
        self.round += u64::from(round);
        self.recover(round, ack);
        self.note_rate(ack);
        self.advance(ack);
        self.check_full(round, ack);
        self.note_rtt(ack);
        let (pacing, window) = self.gains();
        let pace = self.paced(pacing);
        if self.rate() > 0.0 && (self.full_reached() || pace > self.pace) {
            self.pace = pace;
        }
        let least = LEAST_PACKETS * self.packet;
        let target = self.flight(window);
        let grown = self.window + ack.bytes as f64;
        if matches!(self.repair, Repair::Conserving(_)) {
            self.window = self.window.max((ack.in_flight + ack.bytes) as f64);
        } else if self.full_reached() {
            self.window = grown.min(target).max(least);
        } else if self.window < target || ack.delivered as f64 <= self.initial {
            self.window = grown.max(least);
        }
        if matches!(self.phase, Phase::ProbeRtt(_)) {
            self.window = self.window.min(least);
        }
        self.idle = false;
    }

    fn on_loss(&mut self, loss: &Loss) {
        self.lost += loss.bytes as f64;
        if self.repair == Repair::None {
            self.save_window();
            self.repair = Repair::Found(loss.now);
        }
    }

    fn on_timeout(&mut self, now: Time) {
        self.save_window();
        self.repair = Repair::Growing(now);
        self.window = self.packet;
        self.full = 0.0;
    }

    fn window(&self) -> u64 {
        self.window as u64
    }

    fn pacing_rate(&self) -> Option<Rate> {
        Some(rate(self.pace * 8.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::{acknowledged, conditions};

    /// Rounds of one acknowledgement each, at this rate.
    fn rounds(model: &mut Model, count: u64, from: u64, bits: u64, in_flight: u64) {
        for round in from..from + count {
            let mut ack = acknowledged(Time::from_nanos(round * 1_000_000));
            ack.delivered = round * 150_000;
            // What had arrived when the round before ended.
            ack.delivered_at_sending = (round - 1) * 150_000;
            ack.in_flight = in_flight;
            ack.delivery_rate = Some(Rate::from_bits_per_second(bits));
            model.on_ack(&ack);
        }
    }

    #[test]
    fn three_rounds_without_growth_end_the_start_and_a_drained_path_begins_the_cycle() {
        let mut model = Bbr::default().start(conditions(), Time::default());
        rounds(&mut model, 3, 1, 1_000_000_000, 400_000);
        assert_eq!(model.phase, Phase::Startup);
        rounds(&mut model, 1, 4, 1_000_000_000, 400_000);
        rounds(&mut model, 1, 5, 1_000_000_000, 400_000);
        assert_eq!(model.phase, Phase::Drain);
        // 99 % of a Gbit/s, drained at the inverse gain.
        let pace = model.pacing_rate().unwrap().bits_per_second() as f64;
        assert!((pace / (0.99e9 / 2.885) - 1.0).abs() < 1e-3, "{pace}");
        // A BDP of 1 ms is 125 kB.
        rounds(&mut model, 1, 6, 1_000_000_000, 100_000);
        assert!(matches!(model.phase, Phase::ProbeRate(..)));
        assert!((model.flight(2.0) - 254_500.0).abs() < 1.0);
    }

    #[test]
    fn a_rate_counts_for_ten_rounds() {
        let mut model = Bbr::default().start(conditions(), Time::default());
        rounds(&mut model, 1, 1, 2_000_000_000, 0);
        rounds(&mut model, 10, 2, 1_000_000_000, 0);
        assert_eq!(model.rate(), 250e6);
        rounds(&mut model, 1, 12, 1_000_000_000, 0);
        assert_eq!(model.rate(), 125e6);
    }
    /// A model in its cycle at 1 Gbit/s over 1 ms, with two BDP as its window.
    fn cruising() -> (Model, Ack<'static>) {
        let mut model = Bbr::default().start(conditions(), Time::default());
        rounds(&mut model, 5, 1, 1_000_000_000, 400_000);
        rounds(&mut model, 200, 6, 1_000_000_000, 100_000);
        assert!(matches!(model.phase, Phase::ProbeRate(..)));
        assert!((model.window - 254_500.0).abs() < 1.0);
        let mut ack = acknowledged(Time::from_nanos(206_000_000));
        ack.delivered = 206 * 150_000;
        ack.delivered_at_sending = 205 * 150_000 - 1500;
        ack.sent = Time::from_nanos(205_000_000);
        ack.in_flight = 200_000;
        (model, ack)
    }

    fn lost(now: Time, packets: u32) -> Loss {
        Loss {
            now,
            bytes: u64::from(packets) * 1500,
            packets,
            sent: now,
            in_flight: 200_000,
        }
    }

    #[test]
    fn in_the_first_round_of_a_repair_as_much_leaves_as_arrives_and_then_the_window_is_what_it_was()
    {
        let (mut model, mut ack) = cruising();
        model.on_loss(&lost(ack.now, 2));
        model.on_ack(&ack);
        assert_eq!(model.window(), 201_500);
        // What is lost in that round is not sent beyond what arrives.
        model.on_loss(&lost(ack.now, 10));
        ack.in_flight = 180_000;
        model.on_ack(&ack);
        assert_eq!(model.window(), 186_500);
        // The next round grows again, by what arrives.
        ack.now = ack.now + Duration::from_millis(1);
        ack.delivered_at_sending = ack.delivered;
        ack.delivered += 1500;
        model.on_ack(&ack);
        assert_eq!(model.window(), 188_000);
        ack.sent = ack.now;
        model.on_ack(&ack);
        assert_eq!(model.window(), 254_500);
    }

    #[test]
    fn the_path_is_drained_every_ten_seconds_though_each_round_trip_is_the_same_and_its_rate_stays()
    {
        let (mut model, _) = cruising();
        rounds(&mut model, 9_850, 206, 1_000_000_000, 100_000);
        assert!(
            matches!(model.phase, Phase::ProbeRtt(None)),
            "{:?}",
            model.phase
        );
        assert_eq!(model.window(), 6000);
        rounds(&mut model, 150, 10_056, 48_000_000, 6000);
        assert!(matches!(model.phase, Phase::ProbeRtt(Some(_))));
        rounds(&mut model, 52, 10_206, 48_000_000, 6000);
        assert!(
            matches!(model.phase, Phase::ProbeRate(..)),
            "{:?}",
            model.phase
        );
        assert_eq!(model.rate(), 125e6);
    }

    #[test]
    fn the_path_is_not_drained_right_after_it_was_idle() {
        let (mut model, _) = cruising();
        model.on_sent(&Sent {
            now: Time::from_nanos(20_000_000_000),
            bytes: 1500,
            in_flight: 1500,
            backlogged: false,
        });
        rounds(&mut model, 1, 20_001, 1_000_000_000, 6000);
        assert!(
            matches!(model.phase, Phase::ProbeRate(..)),
            "{:?}",
            model.phase
        );
        assert_eq!(
            model
                .pacing_rate()
                .map(|rate| rate.bits_per_second() > 700_000_000),
            Some(true)
        );
    }
}
