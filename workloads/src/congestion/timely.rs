//! TIMELY: Mittal et al., "TIMELY: RTT-based Congestion Control for the Datacenter", SIGCOMM 2015, section 4, algorithm 1.

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::{ByteSize, Rate, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::factor::Factor;
use super::signal::rate;
use super::{Ack, Conditions, Controller, Loss};

/// Its parameters: figures for a data centre, whatever the distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timely {
    /// Weight of the newest difference of round trips (section 4.3 names no figure: 7/8 as `rdma-hw.cc` of HPCC's simulator).
    pub ewma: Factor,
    /// Multiplicative decrease β (0.8: section 5).
    pub beta: Factor,
    /// Additive increase δ (10 Mbit/s: section 5).
    pub additive: Rate,
    /// Below this round trip the rate only rises (50 µs: section 5).
    pub low: TimeSpan,
    /// Above it the rate only falls (500 µs: section 5).
    pub high: TimeSpan,
    /// What gradients are measured against (20 µs: section 5).
    pub least_rtt: TimeSpan,
    /// Rises in a row before they become five times as large (5: section 4.3).
    pub hyper_after: u32,
    /// The rate changes once in so many bytes (16 KB: section 5 on segments).
    pub segment: ByteSize,
    /// The rate is not cut below this.
    pub least: Rate,
}

impl Default for Timely {
    fn default() -> Self {
        Timely {
            ewma: Factor::of(7.0, 8.0),
            beta: Factor::of(4.0, 5.0),
            additive: Rate::from_bits_per_second(10_000_000),
            low: Duration::from_micros(50).into(),
            high: Duration::from_micros(500).into(),
            least_rtt: Duration::from_micros(20).into(),
            hyper_after: 5,
            segment: ByteSize::from_bytes(16 << 10),
            least: Rate::from_bits_per_second(1_000_000),
        }
    }
}

impl Timely {
    pub(super) fn start(self, conditions: Conditions, _now: Time) -> Gradient {
        let line = conditions.line().bits_per_second() as f64;
        Gradient {
            line,
            rate: line,
            previous: None,
            difference: 0.0,
            rises: 0,
            counted: 0,
            parameters: self,
        }
    }
}

/// It at work; rates in bit/s, times in seconds.
#[derive(Debug)]
pub(super) struct Gradient {
    parameters: Timely,
    line: f64,
    rate: f64,
    previous: Option<f64>,
    difference: f64,
    rises: u32,
    counted: u64,
}

impl Gradient {
    fn update(&mut self, rtt: f64) {
        let Some(previous) = self.previous.replace(rtt) else {
            return;
        };
        let seconds = |span: TimeSpan| span.duration().as_secs_f64();
        let parameters = &self.parameters;
        let (ewma, beta) = (parameters.ewma.get(), parameters.beta.get());
        let additive = parameters.additive.bits_per_second() as f64;
        self.difference = (1.0 - ewma) * self.difference + ewma * (rtt - previous);
        let gradient = self.difference / seconds(parameters.least_rtt).max(1e-9);
        let high = seconds(parameters.high);
        if rtt < seconds(parameters.low) {
            self.rate += additive;
            self.rises = 0;
        } else if rtt > high {
            self.rate *= 1.0 - beta * (1.0 - high / rtt);
            self.rises = 0;
        } else if gradient <= 0.0 {
            self.rises += 1;
            let steps = if self.rises >= parameters.hyper_after {
                5.0
            } else {
                1.0
            };
            self.rate += steps * additive;
        } else {
            self.rate *= 1.0 - beta * gradient.min(1.0);
            self.rises = 0;
        }
        let least = parameters.least.bits_per_second() as f64;
        self.rate = self.rate.min(self.line).max(least);
    }
}

impl Controller for Gradient {
    fn on_ack(&mut self, ack: &Ack<'_>) {
        self.counted += ack.bytes;
        if self.counted >= self.parameters.segment.bytes() {
            self.counted = 0;
            self.update(ack.rtt.as_secs_f64());
        }
    }

    // The network it is made for loses nothing.
    fn on_loss(&mut self, _loss: &Loss) {}

    fn on_timeout(&mut self, _now: Time) {
        self.rate = (self.rate / 2.0).max(self.parameters.least.bits_per_second() as f64);
    }

    fn window(&self) -> u64 {
        u64::MAX
    }

    fn pacing_rate(&self) -> Option<Rate> {
        Some(rate(self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::conditions;

    #[test]
    fn follows_the_papers_cases() {
        let start = || {
            let mut gradient = Timely::default().start(conditions(), Time::default());
            gradient.rate = 1e9;
            gradient.previous = Some(100e-6);
            gradient
        };
        let after = |rtt: f64| {
            let mut gradient = start();
            gradient.update(rtt);
            gradient.rate
        };
        assert_eq!(after(40e-6), 1.01e9);
        assert_eq!(after(100e-6), 1.01e9);
        // Twice the threshold: a cut by β/2.
        assert!((after(1e-3) - 0.6e9).abs() < 1.0);
        // A rise by 4 µs of 20: gradient 7/8 × 0.2.
        assert!((after(104e-6) - 1e9 * (1.0 - 0.8 * 0.875 * 0.2)).abs() < 1.0);
        let mut rising = start();
        for _ in 0..5 {
            rising.update(99e-6);
        }
        assert!((rising.rate - (1e9 + 4.0 * 10e6 + 50e6)).abs() < 1.0);
    }
}
