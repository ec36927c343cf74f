//! DCTCP: RFC 8257, over the growth of RFC 5681.

use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::factor::Factor;
use super::signal::{Marks, Reaction, Rounds};
use super::{Ack, Conditions, Controller, Loss};

/// Its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dctcp {
    /// Weight of the newest round in α (1/16: RFC 8257, section 4.2).
    pub g: Factor,
    /// α before the first mark (1: RFC 8257, section 4.2; `tcp_dctcp.c`, `dctcp_alpha_on_init`).
    pub initial_alpha: Factor,
    /// Packets in flight at first (10: RFC 6928).
    pub initial_window: u32,
}

impl Default for Dctcp {
    fn default() -> Self {
        Dctcp {
            g: Factor::of(1.0, 16.0),
            initial_alpha: Factor::of(1.0, 1.0),
            initial_window: 10,
        }
    }
}

impl Dctcp {
    pub(super) fn start(self, conditions: Conditions, _now: Time) -> Window {
        Window {
            packet: conditions.packets(1.0),
            window: conditions.packets(f64::from(self.initial_window.max(1))),
            threshold: f64::INFINITY,
            alpha: self.initial_alpha.get(),
            rounds: Rounds::default(),
            marks: Marks::default(),
            reaction: Reaction::default(),
            parameters: self,
        }
    }
}

/// It at work; sizes in bytes.
#[derive(Debug)]
pub(super) struct Window {
    parameters: Dctcp,
    packet: f64,
    window: f64,
    /// Below it the window doubles each round trip.
    threshold: f64,
    alpha: f64,
    rounds: Rounds,
    marks: Marks,
    reaction: Reaction,
}

impl Window {
    fn cut(&mut self, to: f64) {
        self.window = to.max(2.0 * self.packet);
        self.threshold = self.window;
    }
}

impl Controller for Window {
    fn on_ack(&mut self, ack: &Ack<'_>) {
        self.marks.count(ack);
        if self.rounds.passed(ack) {
            let g = self.parameters.g.get();
            self.alpha = (1.0 - g) * self.alpha + g * self.marks.take();
        }
        if ack.marked > 0 {
            if self.reaction.due(ack.sent, ack.now) {
                self.cut(self.window * (1.0 - self.alpha / 2.0));
            }
        } else if self.window < self.threshold {
            if ack.lets_double(self.window) {
                self.window += ack.bytes as f64;
            }
        } else if !ack.application_limited {
            self.window += self.packet * ack.bytes as f64 / self.window;
        }
    }

    fn on_loss(&mut self, loss: &Loss) {
        // RFC 8257, section 3.5: as without ECN.
        if self.reaction.due_to(loss) {
            self.cut(self.window / 2.0);
        }
    }

    fn on_timeout(&mut self, _now: Time) {
        // After one that nothing answered, the threshold stays (RFC 5681, section 3.1).
        if self.window > self.packet {
            self.threshold = (self.window / 2.0).max(2.0 * self.packet);
        }
        self.window = self.packet;
    }

    fn window(&self) -> u64 {
        self.window as u64
    }

    fn pacing_rate(&self) -> Option<Rate> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::congestion::testing::{acknowledged, conditions};

    #[test]
    fn cuts_by_half_of_alpha_and_once_per_round_trip() {
        let mut window = Dctcp::default().start(conditions(), Time::default());
        window.window = 1e6;
        window.threshold = 1e6;
        window.alpha = 0.5;
        let mut ack = acknowledged(Time::from_nanos(1_000_000));
        ack.marked = ack.bytes;
        ack.delivered_at_sending = 0;
        window.rounds.passed(&ack);
        window.on_ack(&ack);
        assert!((window.window - 0.75e6).abs() < 1.0);
        ack.now = ack.now + Duration::from_micros(1);
        window.on_ack(&ack);
        assert!((window.window - 0.75e6).abs() < 1.0);
    }

    #[test]
    fn a_timeout_after_another_keeps_the_threshold() {
        let mut window = Dctcp::default().start(conditions(), Time::default());
        window.window = 1e6;
        window.on_timeout(Time::from_nanos(1));
        window.on_timeout(Time::from_nanos(2));
        assert_eq!((window.window, window.threshold), (window.packet, 5e5));
    }

    #[test]
    fn alpha_follows_the_fraction_of_marks() {
        let mut window = Dctcp::default().start(conditions(), Time::default());
        let mut ack = acknowledged(Time::from_nanos(1));
        for round in 1..200u64 {
            ack.now = Time::from_nanos(round * 1000);
            ack.delivered_at_sending = ack.delivered;
            ack.delivered += ack.bytes;
            ack.marked = if round % 4 == 0 { ack.bytes } else { 0 };
            window.on_ack(&ack);
        }
        assert!((window.alpha - 0.25).abs() < 0.05, "{}", window.alpha);
    }
    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut window = Dctcp::default().start(conditions(), Time::default());
        let initial = window.window;
        let mut ack = acknowledged(Time::from_nanos(1));
        ack.application_limited = true;
        window.on_ack(&ack);
        assert!((window.window - initial).abs() < 1e-9);
        window.threshold = initial;
        window.on_ack(&ack);
        assert!((window.window - initial).abs() < 1e-9);
    }
}
