//! CUBIC: RFC 9438, with HyStart++ (RFC 9406) to end its slow start.

use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::factor::Factor;
use super::signal::{Reaction, Rounds};
use super::{Ack, Conditions, Controller, Loss};

/// Its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cubic {
    /// Packets per second cubed (0.4: RFC 9438, section 5).
    pub c: f64,
    /// What is left after a loss (0.7: RFC 9438, section 4.6).
    pub beta: Factor,
    /// Let a newer flow have its share sooner (RFC 9438, section 4.7).
    pub fast_convergence: bool,
    /// End slow start when delay rises (RFC 9406).
    pub hystart: bool,
    /// React to marks as to losses (RFC 3168).
    pub ecn: bool,
    /// Packets in flight at first (10: RFC 6928).
    pub initial_window: u32,
}

impl Default for Cubic {
    fn default() -> Self {
        Cubic {
            c: 0.4,
            beta: Factor::of(7.0, 10.0),
            fast_convergence: true,
            hystart: true,
            ecn: true,
            initial_window: 10,
        }
    }
}

impl Cubic {
    pub(super) fn start(self, conditions: Conditions, _now: Time) -> Curve {
        Curve {
            packet: conditions.packets(1.0),
            window: f64::from(self.initial_window.max(1)),
            threshold: f64::INFINITY,
            most: 0.0,
            prior: 0.0,
            epoch: None,
            reaction: Reaction::default(),
            slow_start: SlowStart::default(),
            parameters: self,
        }
    }
}

/// It at work; windows in packets, as the RFC has them.
#[derive(Debug)]
pub(super) struct Curve {
    parameters: Cubic,
    packet: f64,
    window: f64,
    threshold: f64,
    /// W_max.
    most: f64,
    /// The window when the threshold was last set, before any cut (cwnd_prior).
    prior: f64,
    epoch: Option<Epoch>,
    reaction: Reaction,
    slow_start: SlowStart,
}

/// One stage of congestion avoidance.
#[derive(Debug)]
struct Epoch {
    /// When an acknowledgement last came.
    last: Time,
    /// How long it is, without what the application left unused (section 5.8).
    elapsed: Duration,
    /// W_max, or the window that it began with where that was larger.
    origin: f64,
    /// K, seconds until the window is the origin.
    k: f64,
    /// What Reno would have (W_est).
    reno: f64,
}

impl Epoch {
    /// Goes on to `ack`. Acknowledgements of a sender that sends all the time are no more than a round trip apart.
    fn advance(&mut self, ack: &Ack<'_>) {
        if !ack.application_limited {
            self.elapsed += ack.now.since(self.last).min(ack.rtt);
        }
        self.last = ack.now;
    }
}

impl Curve {
    fn avoid(&mut self, ack: &Ack<'_>) {
        let Cubic { c, beta, .. } = self.parameters;
        let (beta, window, most) = (beta.get(), self.window, self.most);
        let epoch = self.epoch.get_or_insert_with(|| Epoch {
            last: ack.now,
            elapsed: Duration::ZERO,
            origin: most.max(window),
            k: ((most - window).max(0.0) / c.max(1e-9)).cbrt(),
            reno: window,
        });
        epoch.advance(ack);
        if ack.application_limited {
            return;
        }
        let acknowledged = ack.bytes as f64 / self.packet;
        let at = |seconds: f64| c * (seconds - epoch.k).powi(3) + epoch.origin;
        let elapsed = epoch.elapsed.as_secs_f64();
        // Section 4.3: α of Reno, until its window reaches the prior one; then 1.
        let alpha = if epoch.reno < self.prior {
            3.0 * (1.0 - beta) / (1.0 + beta)
        } else {
            1.0
        };
        epoch.reno += alpha * acknowledged / window;
        if at(elapsed) < epoch.reno {
            self.window = epoch.reno.max(window);
        } else {
            let target = at(elapsed + ack.rtt.as_secs_f64()).clamp(window, 1.5 * window);
            self.window += (target - window) / window * acknowledged;
        }
    }

    fn cut(&mut self) {
        let beta = self.parameters.beta.get();
        self.prior = self.window;
        self.most = if self.parameters.fast_convergence && self.window < self.most {
            self.window * (1.0 + beta) / 2.0
        } else {
            self.window
        };
        self.window = (self.window * beta).max(2.0);
        self.threshold = self.window;
        self.epoch = None;
    }
}

impl Controller for Curve {
    fn on_ack(&mut self, ack: &Ack<'_>) {
        if self.parameters.ecn && ack.marked > 0 {
            if self.reaction.due(ack.sent, ack.now) {
                self.cut();
            }
        } else if self.window < self.threshold {
            let growth = if self.parameters.hystart {
                self.slow_start.growth(ack)
            } else {
                Some(1.0)
            };
            match growth {
                Some(growth) if ack.lets_double(self.window * self.packet) => {
                    self.window += growth * ack.bytes as f64 / self.packet;
                }
                Some(_) => {}
                None => {
                    self.threshold = self.window;
                    self.most = self.window;
                    self.prior = self.window;
                }
            }
        } else {
            self.avoid(ack);
        }
    }

    fn on_loss(&mut self, loss: &Loss) {
        if self.reaction.due_to(loss) {
            self.cut();
        }
    }

    fn on_timeout(&mut self, _now: Time) {
        // After one that nothing answered, the threshold stays (RFC 5681, section 3.1).
        if self.window > 1.0 {
            self.cut();
        }
        self.window = 1.0;
        // RFC 9438, section 4.8: the curve begins flat, where avoidance does.
        self.most = 0.0;
        self.slow_start = SlowStart::default();
    }

    fn window(&self) -> u64 {
        (self.window * self.packet) as u64
    }

    fn pacing_rate(&self) -> Option<Rate> {
        None
    }
}

/// HyStart++ (RFC 9406, section 4.2).
#[derive(Debug, Default)]
struct SlowStart {
    rounds: Rounds,
    last: Option<Duration>,
    current: Option<Duration>,
    samples: u32,
    /// In conservative slow start: rounds of it, and the round trip it began at.
    conservative: Option<(u32, Duration)>,
}

impl SlowStart {
    const LEAST_THRESHOLD: Duration = Duration::from_millis(4);
    const MOST_THRESHOLD: Duration = Duration::from_millis(16);
    const DIVISOR: u32 = 8;
    const SAMPLES: u32 = 8;
    const CONSERVATIVE_DIVISOR: f64 = 4.0;
    const CONSERVATIVE_ROUNDS: u32 = 5;

    /// Packets of growth for one acknowledged; `None` when slow start is over.
    fn growth(&mut self, ack: &Ack<'_>) -> Option<f64> {
        if self.rounds.passed(ack) {
            self.last = self.current.take();
            self.samples = 0;
            if let Some((rounds, _)) = &mut self.conservative {
                *rounds += 1;
                if *rounds >= Self::CONSERVATIVE_ROUNDS {
                    return None;
                }
            }
        }
        let least = self.current.map_or(ack.rtt, |rtt| rtt.min(ack.rtt));
        self.current = Some(least);
        self.samples += 1;
        if self.samples >= Self::SAMPLES
            && let Some(last) = self.last
        {
            match self.conservative {
                None => {
                    let threshold =
                        (last / Self::DIVISOR).clamp(Self::LEAST_THRESHOLD, Self::MOST_THRESHOLD);
                    if least >= last + threshold {
                        self.conservative = Some((0, least));
                    }
                }
                Some((_, baseline)) if least < baseline => self.conservative = None,
                Some(_) => {}
            }
        }
        Some(match self.conservative {
            None => 1.0,
            Some(_) => 1.0 / Self::CONSERVATIVE_DIVISOR,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::{acknowledged, conditions};

    #[test]
    fn is_back_at_the_last_maximum_after_k_seconds() {
        // W_max 1000, β 0.7, C 0.4: K = cbrt(300 / 0.4) = 9.09 s.
        let mut curve = Cubic::default().start(conditions(), Time::default());
        curve.window = 1000.0;
        curve.cut();
        assert!((curve.window - 700.0).abs() < 1e-9);
        let rtt = Duration::from_millis(100);
        let mut now = Time::from_nanos(1);
        let mut reached = None;
        for round in 0..200 {
            let acks = curve.window as u32;
            for _ in 0..acks {
                let mut ack = acknowledged(now);
                ack.rtt = rtt;
                curve.on_ack(&ack);
            }
            if reached.is_none() && curve.window >= 999.0 {
                reached = Some(round);
            }
            now = now + rtt;
        }
        // Its approach is flat: a percent of the window is two seconds of K.
        let seconds = f64::from(reached.unwrap()) * 0.1;
        assert!((6.5..9.5).contains(&seconds), "{seconds}");
        assert!(curve.window > 1100.0);
    }

    #[test]
    fn a_timeout_after_another_keeps_the_threshold_and_the_curve_begins_flat() {
        let mut curve = Cubic::default().start(conditions(), Time::default());
        curve.window = 100.0;
        curve.on_timeout(Time::from_nanos(1));
        curve.on_timeout(Time::from_nanos(2));
        assert_eq!((curve.window, curve.threshold), (1.0, 70.0));
        curve.window = 70.0;
        curve.avoid(&acknowledged(Time::from_nanos(3)));
        let epoch = curve.epoch.as_ref().unwrap();
        assert_eq!((epoch.k, epoch.origin), (0.0, 70.0));
    }

    #[test]
    fn gives_way_faster_when_it_falls_short_of_its_last_maximum() {
        let mut curve = Cubic::default().start(conditions(), Time::default());
        curve.most = 1000.0;
        curve.window = 800.0;
        curve.cut();
        assert!((curve.most - 800.0 * 0.85).abs() < 1e-9);
    }
    #[test]
    fn time_in_which_the_application_sends_nothing_does_not_count() {
        let grown = |pause: Duration, limited: bool| {
            let mut curve = Cubic::default().start(conditions(), Time::default());
            curve.window = 100.0;
            curve.cut();
            let mut now = Time::from_nanos(1);
            for round in 0..20 {
                if round == 10 {
                    now = now + pause;
                }
                let mut ack = acknowledged(now);
                ack.rtt = Duration::from_millis(10);
                ack.application_limited = limited && round >= 10;
                ack.bytes = (curve.window * curve.packet) as u64;
                curve.on_ack(&ack);
                now = now + ack.rtt;
            }
            curve.window
        };
        let steady = grown(Duration::ZERO, false);
        let paused = grown(Duration::from_secs(20), false);
        assert!((paused / steady - 1.0).abs() < 0.01, "{paused}, {steady}");
        let limited = grown(Duration::ZERO, true);
        assert!(limited < steady, "{limited}, {steady}");
    }

    #[test]
    fn slow_start_needs_half_of_the_window_in_flight() {
        let mut curve = Cubic::default().start(conditions(), Time::default());
        let mut ack = acknowledged(Time::from_nanos(1));
        ack.application_limited = true;
        for _ in 0..100 {
            curve.on_ack(&ack);
        }
        assert!((curve.window - 10.0).abs() < 1e-9, "{}", curve.window);
        ack.in_flight = 8 * 1500;
        curve.on_ack(&ack);
        assert!((curve.window - 11.0).abs() < 1e-9, "{}", curve.window);
    }

    #[test]
    fn friendly_growth_is_renos_from_the_window_before_the_cut_on() {
        // Fast convergence lowers W_max to 680; cwnd_prior stays 800.
        let mut curve = Cubic::default().start(conditions(), Time::default());
        curve.most = 1000.0;
        curve.window = 800.0;
        curve.cut();
        assert!((curve.prior - 800.0).abs() < 1e-9);
    }
}
