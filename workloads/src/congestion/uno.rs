//! Uno's law: Bonato et al., "Uno: A One-Stop Solution for Inter- and Intra-Data Center Congestion Control and Reliable
//! Connectivity", SC 2025; its simulator, `sim/lcp.cpp`.
//!
//! Left out: erasure coding and the choice of paths, which are a transport's, and the phantom queue, which is a switch's. Marks
//! without delay are what a phantom queue's marks look like, and are taken for them.

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::{ByteSize, Rate, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::factor::Factor;
use super::signal::{Least, Marks, Reaction, spread};
use super::{Ack, Conditions, Controller, Loss};

/// Its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Uno {
    /// The round trip within a data centre, whose grain longer paths react at (14 µs: the paper's intra-DC RTT).
    pub intra_rtt: TimeSpan,
    /// Additive increase per round trip, of the BDP (0.001: `ai_bytes`).
    pub additive: Factor,
    /// K, of the BDP (1/7: `lcp_k`).
    pub k: Factor,
    /// What is left of a decrease where there are marks but no delay (0.35).
    pub phantom: Factor,
    /// Delay that counts as one, of the base round trip.
    pub delay: Factor,
    /// QuickAdapt: a round that delivered less than this of the window resets it…
    pub quick_adapt_below: Factor,
    /// … to so much of what it delivered (0.96).
    pub quick_adapt_to: Factor,
    /// Epochs without congestion before the increase grows (3: `fi_threshold`).
    pub fast_increase_after: u32,
    /// The window at first; the line's BDP if absent, as in the simulator.
    pub initial_window: Option<ByteSize>,
}

impl Default for Uno {
    fn default() -> Self {
        Uno {
            intra_rtt: Duration::from_micros(14).into(),
            additive: Factor::of(1.0, 1000.0),
            k: Factor::of(1.0, 7.0),
            phantom: Factor::of(35.0, 100.0),
            delay: Factor::of(5.0, 100.0),
            quick_adapt_below: Factor::of(1.0, 2.0),
            quick_adapt_to: Factor::of(96.0, 100.0),
            fast_increase_after: 3,
            initial_window: None,
        }
    }
}

impl Uno {
    pub(super) fn start(self, conditions: Conditions, now: Time) -> Epochs {
        let line = conditions.line().bytes_per_second() as f64;
        let rtt = conditions.handshake.unwrap_or(Duration::from_millis(1));
        let bdp = (line * rtt.as_secs_f64()).max(conditions.packets(2.0));
        let window = self.initial_window.map_or(bdp, |size| size.bytes() as f64);
        Epochs {
            packet: conditions.packets(1.0),
            line,
            window: window.max(conditions.packets(1.0)),
            least: Least::new(conditions),
            epoch_end: now,
            marks: Marks::default(),
            delayed: true,
            alpha: 0.0,
            good: 0,
            round_end: now + rtt,
            round_bytes: 0,
            round_delayed: false,
            adapted: Reaction::default(),
            parameters: self,
        }
    }
}

/// It at work; sizes in bytes.
#[derive(Debug)]
pub(super) struct Epochs {
    parameters: Uno,
    packet: f64,
    line: f64,
    window: f64,
    least: Least,
    epoch_end: Time,
    marks: Marks,
    /// Every packet of this epoch was delayed.
    delayed: bool,
    alpha: f64,
    good: u32,
    round_end: Time,
    round_bytes: u64,
    round_delayed: bool,
    adapted: Reaction,
}

impl Epochs {
    fn bdp(&self) -> f64 {
        let rtt = self.least.get().unwrap_or_default().as_secs_f64();
        (self.line * rtt).max(self.packet)
    }

    /// A round trip is split into as many epochs as its BDP is larger than the data centre's; each cuts its part, so that a whole
    /// round trip of marks cuts what the law says once.
    fn epochs_per_round(&self) -> f64 {
        let rtt = self.least.get().unwrap_or_default().as_secs_f64();
        (rtt / self.parameters.intra_rtt.duration().as_secs_f64().max(1e-9)).max(1.0)
    }

    fn end_epoch(&mut self) {
        let marked = self.marks.take();
        self.alpha = marked;
        if marked > 0.0 {
            let (k, bdp) = (self.parameters.k.get(), self.bdp());
            let gain = 4.0 * k * bdp / (bdp + k * bdp);
            let scale = if self.delayed {
                1.0
            } else {
                self.parameters.phantom.get()
            };
            let cut = (self.alpha * gain * scale).min(0.9);
            self.window *= (1.0 - cut).powf(1.0 / self.epochs_per_round());
            self.good = 0;
        } else {
            self.good += 1;
        }
        self.delayed = true;
    }

    fn end_round(&mut self) {
        let delivered = self.round_bytes as f64;
        let short = delivered < self.parameters.quick_adapt_below.get() * self.window;
        if self.round_delayed && short {
            self.window = delivered * self.parameters.quick_adapt_to.get();
        }
        self.round_bytes = 0;
        self.round_delayed = false;
    }

    fn bound(&mut self) {
        self.window = self.window.clamp(self.packet, self.bdp().max(self.packet));
    }
}

impl Controller for Epochs {
    fn on_ack(&mut self, ack: &Ack<'_>) {
        let base = self.least.with(ack);
        let delayed = ack.rtt > base + base.mul_f64(self.parameters.delay.get());
        self.delayed &= delayed;
        self.round_delayed |= delayed;
        self.marks.count(ack);
        self.round_bytes += ack.bytes;
        if ack.marked == 0 {
            let rounds = f64::from(self.good) / self.epochs_per_round();
            let after = f64::from(self.parameters.fast_increase_after);
            let fast = (rounds - after + 1.0).max(1.0);
            let additive = self.parameters.additive.get() * self.bdp();
            self.window += fast * additive * ack.bytes as f64 / self.window;
        }
        if ack.now >= self.epoch_end {
            self.end_epoch();
            self.epoch_end = ack.now + base.div_f64(self.epochs_per_round());
        }
        if ack.now >= self.round_end {
            self.end_round();
            self.round_end = ack.now + base;
        }
        self.bound();
    }

    fn on_loss(&mut self, loss: &Loss) {
        // What erasure coding cannot repair counts a packet each.
        self.window -= loss.bytes as f64;
        if self.adapted.due_to(loss) {
            self.good = 0;
        }
        self.bound();
    }

    fn on_timeout(&mut self, _now: Time) {
        self.window /= 2.0;
        self.good = 0;
        self.bound();
    }

    fn window(&self) -> u64 {
        self.window as u64
    }

    fn pacing_rate(&self) -> Option<Rate> {
        self.least.get().map(|rtt| spread(self.window, rtt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::{acknowledged, conditions};

    #[test]
    fn a_round_trip_of_marks_cuts_once_whatever_the_number_of_epochs() {
        // α 1, K BDP/7: 4/8 in all, split or not.
        for epochs in [1.0, 20.0, 500.0] {
            let mut law = Uno::default().start(conditions(), Time::default());
            let rtt = law.parameters.intra_rtt.duration().mul_f64(epochs);
            law.least = Least::new(Conditions {
                handshake: Some(rtt),
                measured: None,
                ..conditions()
            });
            let before = law.window;
            let mut ack = acknowledged(Time::default());
            ack.marked = ack.bytes;
            for _ in 0..epochs as u32 {
                law.marks.count(&ack);
                law.end_epoch();
            }
            assert!((law.window / before - 0.5).abs() < 0.01, "{epochs}");
        }
    }

    #[test]
    fn quick_adapt_takes_what_a_round_delivered() {
        let mut law = Uno::default().start(conditions(), Time::default());
        law.window = 1e6;
        law.round_bytes = 300_000;
        law.round_delayed = true;
        law.end_round();
        assert!((law.window - 288_000.0).abs() < 1.0);
    }

    #[test]
    fn a_packet_is_sent_however_small_the_first_window() {
        let parameters = Uno {
            initial_window: Some(ByteSize::from_bytes(0)),
            ..Uno::default()
        };
        let law = parameters.start(conditions(), Time::default());
        assert_eq!(law.window(), conditions().packet);
    }
}
