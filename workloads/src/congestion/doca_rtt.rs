//! The law of DOCA PCC's RTT template: the sample that programmable congestion control of ConnectX NICs starts from
//! (`rtt_template.c`, `algorithm_core`). It shows what a fixed round trip costs over distance; nothing public says that any
//! product runs it.
//!
//! Its high-utilisation mode, which reads a port's counter, is left out.

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::{Rate, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::factor::Factor;
use super::signal::rate;
use super::{Ack, Conditions, Controller, Loss};

/// Its parameters (`rtt_template_algo_params.h`); rates are parts of the line's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DocaRtt {
    /// Decrease above the base round trip; twice for a CNP or a long delay, five times for a NACK and a long delay (0.1:
    /// `UPDATE_FACTOR`).
    pub update_factor: Factor,
    /// Increase below it (0.05: `AI`).
    pub additive: Factor,
    /// The round trip that is free of queues (13 µs: `BASE_RTT`).
    pub base_rtt: TimeSpan,
    /// One that is too long (150 µs: `MAX_DELAY`).
    pub max_delay: TimeSpan,
    /// Where a flow starts (1: `NEW_FLOW_RATE`).
    pub new_flow_rate: Factor,
    /// The least rate (1/16384: `MIN_RATE`).
    pub min_rate: Factor,
}

impl Default for DocaRtt {
    fn default() -> Self {
        DocaRtt {
            update_factor: Factor::of(1.0, 10.0),
            additive: Factor::of(5.0, 100.0),
            base_rtt: Duration::from_micros(13).into(),
            max_delay: Duration::from_micros(150).into(),
            new_flow_rate: Factor::of(1.0, 1.0),
            min_rate: Factor::of(1.0, 16384.0),
        }
    }
}

impl DocaRtt {
    pub(super) fn start(self, conditions: Conditions, _now: Time) -> Probe {
        Probe {
            line: conditions.line().bits_per_second() as f64,
            part: self.new_flow_rate.get().max(self.min_rate.get()),
            asked: None,
            notified: false,
            refused: false,
            parameters: self,
        }
    }
}

/// It at work.
#[derive(Debug)]
pub(super) struct Probe {
    parameters: DocaRtt,
    line: f64,
    /// The rate, of the line's.
    part: f64,
    /// When the probe under way left: a packet sent from then on answers it.
    asked: Option<Time>,
    notified: bool,
    refused: bool,
}

impl Probe {
    fn update(&mut self, rtt: Duration) {
        let factor = self.parameters.update_factor.get();
        let long = rtt >= self.parameters.max_delay.duration();
        if self.refused && long {
            self.part *= (1.0 - 5.0 * factor).max(0.0);
            self.refused = false;
        } else if self.notified || long {
            self.part *= (1.0 - 2.0 * factor).max(0.0);
            self.notified = false;
        } else if rtt > self.parameters.base_rtt.duration() {
            self.part *= 1.0 - factor;
        } else {
            self.part += self.parameters.additive.get();
        }
        self.part = self.part.max(self.parameters.min_rate.get()).min(1.0);
    }
}

impl Controller for Probe {
    fn on_ack(&mut self, ack: &Ack<'_>) {
        self.notified |= ack.marked > 0;
        if self.asked.is_none_or(|asked| ack.sent >= asked) {
            self.update(ack.rtt);
            self.asked = Some(ack.now);
        }
    }

    fn on_loss(&mut self, _loss: &Loss) {
        self.refused = true;
    }

    fn on_timeout(&mut self, now: Time) {
        self.refused = true;
        self.update(self.parameters.max_delay.duration());
        self.asked = Some(now);
    }

    fn window(&self) -> u64 {
        u64::MAX
    }

    fn pacing_rate(&self) -> Option<Rate> {
        Some(rate(self.part * self.line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::conditions;

    #[test]
    fn follows_the_templates_cases() {
        let after = |rtt: u64, notified: bool, refused: bool| {
            let mut probe = DocaRtt::default().start(conditions(), Time::default());
            (probe.part, probe.notified, probe.refused) = (0.5, notified, refused);
            probe.update(Duration::from_micros(rtt));
            probe.part
        };
        assert!((after(13, false, false) - 0.55).abs() < 1e-9);
        assert!((after(14, false, false) - 0.45).abs() < 1e-9);
        assert!((after(150, false, false) - 0.4).abs() < 1e-9);
        assert!((after(10, true, false) - 0.4).abs() < 1e-9);
        assert!((after(150, false, true) - 0.25).abs() < 1e-9);
        assert!((after(10, false, true) - 0.55).abs() < 1e-9);
    }

    #[test]
    fn beyond_its_base_round_trip_it_only_falls() {
        let mut probe = DocaRtt::default().start(conditions(), Time::default());
        for _ in 0..200 {
            probe.update(Duration::from_micros(20));
        }
        assert!((probe.part - 1.0 / 16384.0).abs() < 1e-9);
    }
}
