//! Swift: Kumar et al., "Swift: Delay is Simple and Effective for Congestion Control in the Datacenter", SIGCOMM 2020,
//! section 3.
//!
//! Of its two windows the fabric's is here; the endpoint's belongs to a host's stack. The round trip comes without the
//! receiver's delay already (`Ack::rtt`).

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::{Rate, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::factor::Factor;
use super::signal::{Reaction, spread};
use super::{Ack, Conditions, Controller, Loss};

/// Its parameters, for a data centre, whatever the distance. The paper gives the forms and the target; where it names no
/// figure, defaults are those that its public packet simulations share (htsim's `swift.cpp`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Swift {
    /// Target of a flow with a large window and no hops (25 µs: section 3.2).
    pub base_target: TimeSpan,
    /// What each hop adds (1 µs; the paper names none).
    pub per_hop: TimeSpan,
    /// Hops; the network does not tell.
    pub hops: u32,
    /// What a flow with the least window is granted on top (5 × the base target: htsim).
    pub flow_scaling_range: TimeSpan,
    /// Packets from which on flow scaling begins (0.1: htsim).
    pub flow_scaling_least: f64,
    /// Packets at which it has ended (100: htsim).
    pub flow_scaling_most: f64,
    /// Additive increase, packets per round trip (1: htsim).
    pub additive: f64,
    /// Multiplicative decrease β (0.8: htsim).
    pub beta: Factor,
    /// The most a window falls at once (0.5: htsim).
    pub max_decrease: Factor,
    /// Packets in flight at first (10: RFC 6928).
    pub initial_window: u32,
}

impl Default for Swift {
    fn default() -> Self {
        Swift {
            base_target: Duration::from_micros(25).into(),
            per_hop: Duration::from_micros(1).into(),
            hops: 4,
            flow_scaling_range: Duration::from_micros(125).into(),
            flow_scaling_least: 0.1,
            flow_scaling_most: 100.0,
            additive: 1.0,
            beta: Factor::of(4.0, 5.0),
            max_decrease: Factor::of(1.0, 2.0),
            initial_window: 10,
        }
    }
}

impl Swift {
    pub(super) fn start(self, conditions: Conditions, _now: Time) -> Target {
        Target {
            packet: conditions.packets(1.0),
            window: f64::from(self.initial_window.max(1)),
            rtt: conditions.handshake.unwrap_or(Duration::from_millis(1)),
            reaction: Reaction::default(),
            timeouts: 0,
            parameters: self,
        }
    }

    /// Section 3.5: base, topology and flow scaling.
    fn target(&self, window: f64) -> f64 {
        let seconds = |span: TimeSpan| span.duration().as_secs_f64();
        let root = |packets: f64| 1.0 / packets.max(1e-3).sqrt();
        let (least, most) = (root(self.flow_scaling_least), root(self.flow_scaling_most));
        let range = seconds(self.flow_scaling_range);
        let scale = range / (least - most).max(1e-9);
        let flow = (scale * (root(window) - most)).clamp(0.0, range);
        seconds(self.base_target) + f64::from(self.hops) * seconds(self.per_hop) + flow
    }
}

/// It at work; the window in packets, as the paper has it, below one too.
#[derive(Debug)]
pub(super) struct Target {
    parameters: Swift,
    packet: f64,
    window: f64,
    rtt: Duration,
    reaction: Reaction,
    timeouts: u32,
}

impl Target {
    const LEAST: f64 = 0.001;
    const MOST: f64 = 1e7;
    /// `RETX_RESET_THRESHOLD` (5: htsim).
    const TIMEOUTS: u32 = 5;

    fn set(&mut self, window: f64) {
        self.window = window.clamp(Self::LEAST, Self::MOST);
    }
}

impl Controller for Target {
    fn on_ack(&mut self, ack: &Ack<'_>) {
        self.timeouts = 0;
        self.rtt = ack.rtt;
        let delay = ack.rtt.as_secs_f64();
        let target = self.parameters.target(self.window);
        let acknowledged = ack.bytes as f64 / self.packet;
        if delay < target {
            if !ack.application_limited {
                let additive = self.parameters.additive * acknowledged;
                self.set(self.window + additive / self.window.max(1.0));
            }
        } else if self.reaction.due(ack.sent, ack.now) {
            let cut = self.parameters.beta.get() * (delay - target) / delay;
            self.set(self.window * (1.0 - cut.min(self.parameters.max_decrease.get())));
        }
    }

    fn on_loss(&mut self, loss: &Loss) {
        self.timeouts = 0;
        if self.reaction.due_to(loss) {
            self.set(self.window * (1.0 - self.parameters.max_decrease.get()));
        }
    }

    fn on_timeout(&mut self, _now: Time) {
        // Algorithm 1: one timeout cuts as a loss does, several to the least.
        self.timeouts += 1;
        let cut = 1.0 - self.parameters.max_decrease.get();
        self.set(if self.timeouts >= Self::TIMEOUTS {
            Self::LEAST
        } else {
            self.window * cut
        });
    }

    fn window(&self) -> u64 {
        // Less than a packet is sent by pace alone.
        (self.window.max(1.0) * self.packet) as u64
    }

    fn pacing_rate(&self) -> Option<Rate> {
        (self.window < 1.0).then(|| spread(self.window * self.packet, self.rtt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::{acknowledged, conditions};

    #[test]
    fn targets_grow_as_windows_shrink_between_the_papers_ends() {
        let swift = Swift::default();
        assert!((swift.target(100.0) - 29e-6).abs() < 1e-9);
        assert!((swift.target(1e6) - 29e-6).abs() < 1e-9);
        assert!((swift.target(0.1) - 154e-6).abs() < 1e-9);
        assert!(swift.target(1.0) > swift.target(10.0));
    }

    #[test]
    fn falls_by_the_excess_at_most_by_half_and_once_per_round_trip() {
        let mut target = Swift::default().start(conditions(), Time::default());
        target.window = 200.0;
        let mut ack = acknowledged(Time::from_nanos(1_000_000));
        ack.rtt = Duration::from_micros(58);
        target.on_ack(&ack);
        assert!((target.window - 200.0 * (1.0 - 0.8 * 0.5)).abs() < 1e-6);
        let before = target.window;
        target.on_ack(&ack);
        assert_eq!(target.window, before);
        ack.now = ack.now + Duration::from_secs(1);
        ack.sent = ack.now;
        ack.rtt = Duration::from_millis(50);
        target.on_ack(&ack);
        assert!((target.window - before / 2.0).abs() < 1e-6);
    }
}
