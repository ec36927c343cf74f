//! HPCC: Li et al., "HPCC: High Precision Congestion Control", SIGCOMM 2019, section 3.2, algorithm 1.
//!
//! Without records in the acknowledgements it holds the window that it starts with, the whole line for one round trip.

use std::time::Duration;

use longhaul_emulator::inband::Record;
use longhaul_emulator::time::Time;
use longhaul_topologies::units::{ByteSize, Rate, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::factor::Factor;
use super::signal::{Rounds, spread};
use super::{Ack, Conditions, Controller, Loss};

/// Its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hpcc {
    /// Target utilisation η (95 %: section 5.1).
    pub eta: Factor,
    /// Rises before a multiplicative step is allowed again (5: section 5.1).
    pub max_stage: u32,
    /// The base round trip T, which HPCC is told of its data centre; the handshake's if absent.
    pub base_rtt: Option<TimeSpan>,
    /// Additive increase, bytes per round trip (80: section 5.1, for 100 Gbit/s and 13 µs); if absent, `line × T × (1 − η) /
    /// flows` with [`Self::flows`] (section 3.3).
    pub additive: Option<ByteSize>,
    /// Flows that are to share a bottleneck without a queue; goes into the additive increase (100: section 3.3).
    pub flows: u32,
}

impl Default for Hpcc {
    fn default() -> Self {
        Hpcc {
            eta: Factor::of(95.0, 100.0),
            max_stage: 5,
            base_rtt: None,
            additive: None,
            flows: 100,
        }
    }
}

impl Hpcc {
    pub(super) fn start(self, conditions: Conditions, _now: Time) -> Utilisation {
        let base = self
            .base_rtt
            .map(TimeSpan::duration)
            .or(conditions.handshake)
            .unwrap_or(Duration::from_millis(1))
            .max(Duration::from_micros(1));
        let line = conditions.line().bytes_per_second() as f64;
        let most = (line * base.as_secs_f64()).max(conditions.packets(1.0));
        let additive = self.additive.map_or_else(
            || most * (1.0 - self.eta.get()) / f64::from(self.flows.max(1)),
            |bytes| bytes.bytes() as f64,
        );
        Utilisation {
            base,
            most,
            additive,
            packet: conditions.packets(1.0),
            window: most,
            reference: most,
            utilisation: 1.0,
            stage: 0,
            hops: Vec::new(),
            rounds: Rounds::default(),
            parameters: self,
        }
    }
}

/// It at work; sizes in bytes.
#[derive(Debug)]
pub(super) struct Utilisation {
    parameters: Hpcc,
    base: Duration,
    most: f64,
    additive: f64,
    packet: f64,
    window: f64,
    /// The paper's Wc.
    reference: f64,
    /// The paper's U.
    utilisation: f64,
    stage: u32,
    hops: Vec<Record>,
    rounds: Rounds,
}

impl Utilisation {
    /// `MeasureInflight`.
    fn measure(&mut self, hops: &[Record]) -> bool {
        let alike = |(a, b): (&Record, &Record)| (a.link, a.lane) == (b.link, b.lane);
        let known = self.hops.len() == hops.len() && hops.iter().zip(&self.hops).all(alike);
        let previous = std::mem::replace(&mut self.hops, hops.to_vec());
        if !known {
            return false;
        }
        let base = self.base.as_secs_f64();
        let mut highest = None::<(f64, f64)>;
        for (now, before) in hops.iter().zip(&previous) {
            let Some(line) = now.rate_bps else { continue };
            let line = line as f64 / 8.0;
            let passed = now.time_ns.saturating_sub(before.time_ns) as f64 / 1e9;
            if passed <= 0.0 {
                continue;
            }
            let sent = now.sent_bytes.saturating_sub(before.sent_bytes) as f64 / passed;
            let queue = now.queue_bytes.min(before.queue_bytes) as f64;
            let utilisation = queue / (line * base) + sent / line;
            if highest.is_none_or(|(most, _)| utilisation > most) {
                highest = Some((utilisation, passed));
            }
        }
        if let Some((utilisation, passed)) = highest {
            let weight = passed.min(base) / base;
            self.utilisation = (1.0 - weight) * self.utilisation + weight * utilisation;
        }
        highest.is_some()
    }

    /// `ComputeWind`.
    fn compute(&mut self, update: bool) {
        let eta = self.parameters.eta.get();
        let (window, stage) = if self.utilisation >= eta || self.stage >= self.parameters.max_stage
        {
            (self.reference / (self.utilisation / eta) + self.additive, 0)
        } else {
            (self.reference + self.additive, self.stage + 1)
        };
        self.window = window.clamp(self.packet, self.most);
        if update {
            self.stage = stage;
            self.reference = self.window;
        }
    }
}

impl Controller for Utilisation {
    fn on_ack(&mut self, ack: &Ack<'_>) {
        let round = self.rounds.passed(ack);
        if !ack.hops.is_empty() && self.measure(ack.hops) {
            self.compute(round);
        }
    }

    // What was lost is repeated; the records tell of queues.
    fn on_loss(&mut self, _loss: &Loss) {}

    fn on_timeout(&mut self, _now: Time) {
        self.hops.clear();
        self.reference = (self.reference / 2.0).max(self.packet);
        self.window = self.reference;
    }

    fn window(&self) -> u64 {
        self.window as u64
    }

    fn pacing_rate(&self) -> Option<Rate> {
        Some(spread(self.window, self.base))
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::Direction;

    use super::*;
    use crate::congestion::testing::{acknowledged, conditions};

    fn hop(time_ns: u64, sent_bytes: u64, queue_bytes: u64) -> Record {
        Record {
            link: 0,
            lane: 0,
            direction: Direction::Forward,
            marked: false,
            time_ns,
            queue_packets: 0,
            queue_bytes,
            sent_bytes,
            rate_bps: Some(10_000_000_000),
        }
    }

    #[test]
    fn divides_by_the_utilisation_it_is_told() {
        let mut law = Hpcc::default().start(conditions(), Time::default());
        let start = law.window;
        let base = law.base.as_nanos() as u64;
        let mut ack = acknowledged(Time::default());
        let first = [hop(0, 0, 0)];
        ack.hops = &first;
        law.on_ack(&ack);
        // A whole round trip at the line's rate with a BDP queued all the time: utilisation 2.
        let bdp = base * 10 / 8;
        let later = [hop(base, bdp, bdp)];
        law.hops = vec![hop(0, 0, bdp)];
        ack.hops = &later;
        ack.delivered_at_sending = ack.delivered;
        law.on_ack(&ack);
        assert!((law.utilisation - 2.0).abs() < 1e-3, "{}", law.utilisation);
        let expected = start / (2.0 / 0.95) + law.additive;
        assert!((law.window / expected - 1.0).abs() < 1e-3);
    }

    #[test]
    fn idle_links_are_claimed_at_once_after_the_last_stage() {
        let mut law = Hpcc::default().start(conditions(), Time::default());
        law.reference = law.most / 10.0;
        law.utilisation = 0.1;
        for stage in 1..=5 {
            law.compute(true);
            assert_eq!(law.stage, stage);
        }
        let before = law.reference;
        law.compute(true);
        assert!(law.window > 9.0 * before);
    }
}
