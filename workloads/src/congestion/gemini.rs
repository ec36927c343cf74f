//! GEMINI: Zeng et al., "Congestion Control for Cross-Datacenter Networks", ICNP 2019, section IV, algorithm 1.

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::{Rate, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::factor::Factor;
use super::signal::{Least, Marks, Reaction, Rounds};
use super::{Ack, Conditions, Controller, Loss};

/// Its parameters; the paper's defaults, as Uno's authors run them too (`sim/gemini.h`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gemini {
    /// Marking threshold K of the data centre's switches, in packets (50).
    pub k: u32,
    /// Delay T above the base round trip that is congestion of the WAN (5 ms).
    pub delay: TimeSpan,
    /// Decrease β by delay (0.2).
    pub beta: Factor,
    /// H: the increase per round trip is H × BDP packets, the BDP in bits (1.2e-7)…
    pub h: f64,
    /// … and within these, in packets.
    pub least_increase: f64,
    /// The most.
    pub most_increase: f64,
    /// Weight of the newest round in α (1/16: as DCTCP).
    pub g: Factor,
    /// Packets in flight at first (10: RFC 6928).
    pub initial_window: u32,
}

impl Default for Gemini {
    fn default() -> Self {
        Gemini {
            k: 50,
            delay: Duration::from_millis(5).into(),
            beta: Factor::of(2.0, 10.0),
            h: 1.2e-7,
            least_increase: 0.1,
            most_increase: 5.0,
            g: Factor::of(1.0, 16.0),
            initial_window: 10,
        }
    }
}

impl Gemini {
    pub(super) fn start(self, conditions: Conditions, _now: Time) -> Both {
        Both {
            packet: conditions.packets(1.0),
            line: conditions.line().bits_per_second() as f64,
            window: f64::from(self.initial_window.max(1)),
            threshold: f64::INFINITY,
            least: Least::new(conditions),
            rounds: Rounds::default(),
            round_least: None,
            marks: Marks::default(),
            alpha: 1.0,
            reaction: Reaction::default(),
            parameters: self,
        }
    }
}

/// It at work; windows in packets.
#[derive(Debug)]
pub(super) struct Both {
    parameters: Gemini,
    packet: f64,
    /// bit/s.
    line: f64,
    window: f64,
    threshold: f64,
    least: Least,
    rounds: Rounds,
    round_least: Option<Duration>,
    marks: Marks,
    alpha: f64,
    reaction: Reaction,
}

impl Both {
    fn bdp_bits(&self) -> f64 {
        self.line * self.least.get().unwrap_or_default().as_secs_f64()
    }

    /// How much marks cut: α × 4K / (BDP + K), where a BDP is short no more than DCTCP.
    fn by_marks(&self) -> f64 {
        let k = f64::from(self.parameters.k);
        let bdp = self.bdp_bits() / 8.0 / self.packet;
        self.alpha * (4.0 * k / (bdp + k)).min(0.5)
    }

    fn cut(&mut self, by: f64) {
        self.window = (self.window * (1.0 - by)).max(2.0);
        self.threshold = self.window;
    }
}

impl Controller for Both {
    fn on_ack(&mut self, ack: &Ack<'_>) {
        let base = self.least.with(ack);
        self.marks.count(ack);
        let limit = base + self.parameters.delay.duration();
        if self.rounds.passed(ack) {
            let g = self.parameters.g.get();
            self.alpha = (1.0 - g) * self.alpha + g * self.marks.take();
            self.round_least = None;
        }
        let least = self.round_least.map_or(ack.rtt, |rtt| rtt.min(ack.rtt));
        self.round_least = Some(least);
        let (marked, delayed) = (ack.marked > 0, least > limit);
        if marked || delayed {
            if self.reaction.due(ack.sent, ack.now) {
                let by_marks = if marked { self.by_marks() } else { 0.0 };
                let by_delay = if delayed {
                    self.parameters.beta.get()
                } else {
                    0.0
                };
                self.cut(by_marks.max(by_delay));
            }
        } else if self.window < self.threshold {
            if ack.lets_double(self.window * self.packet) {
                self.window += ack.bytes as f64 / self.packet;
            }
        } else if !ack.application_limited {
            let (least, most) = (
                self.parameters.least_increase,
                self.parameters.most_increase,
            );
            let h = (self.parameters.h * self.bdp_bits()).min(most).max(least);
            self.window += h * ack.bytes as f64 / self.packet / self.window;
        }
    }

    fn on_loss(&mut self, loss: &Loss) {
        if self.reaction.due_to(loss) {
            self.cut(0.5);
        }
    }

    fn on_timeout(&mut self, _now: Time) {
        // After one that nothing answered, the threshold stays (RFC 5681, section 3.1).
        if self.window > 1.0 {
            self.threshold = (self.window / 2.0).max(2.0);
        }
        self.window = 1.0;
    }

    fn window(&self) -> u64 {
        (self.window * self.packet) as u64
    }

    fn pacing_rate(&self) -> Option<Rate> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::{acknowledged, conditions};

    fn both(rtt: Duration) -> Both {
        let path = Conditions {
            handshake: Some(rtt),
            measured: None,
            ..conditions()
        };
        let mut both = Gemini::default().start(path, Time::default());
        both.window = 1000.0;
        both.threshold = 1000.0;
        both
    }

    #[test]
    fn marks_cut_by_less_the_longer_the_way() {
        // K 50 packets; 10 Gbit/s × 6 ms are 5000 packets of 1500 bytes.
        let far = both(Duration::from_millis(6));
        assert!((far.by_marks() - 200.0 / 5050.0).abs() < 1e-9);
        assert_eq!(both(Duration::from_micros(10)).by_marks(), 0.5);
    }

    #[test]
    fn delay_beyond_its_limit_cuts_by_a_fifth_and_once_per_round_trip() {
        let mut both = both(Duration::from_millis(1));
        let mut ack = acknowledged(Time::from_nanos(1_000_000));
        // The least of a round counts: the first is that of the path.
        ack.delivered_at_sending = 0;
        both.rounds.passed(&ack);
        ack.rtt = Duration::from_millis(7);
        for _ in 0..2 {
            both.on_ack(&ack);
        }
        assert!((both.window - 800.0).abs() < 1e-9, "{}", both.window);
    }

    #[test]
    fn grows_by_as_many_packets_as_the_way_is_long() {
        for (rtt, packets) in [(1, 1.2), (10, 5.0), (100, 5.0)] {
            let mut both = both(Duration::from_millis(rtt));
            let mut ack = acknowledged(Time::from_nanos(1));
            ack.rtt = Duration::from_millis(rtt);
            ack.least_rtt = ack.rtt;
            ack.bytes = 1500 * 1000;
            both.on_ack(&ack);
            assert!((both.window - 1000.0 - packets).abs() < 1e-6, "{rtt}");
        }
    }
}
