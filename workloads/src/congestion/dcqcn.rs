//! DCQCN: Zhu et al., "Congestion Control for Large-Scale RDMA Deployments", SIGCOMM 2015, sections 3 and 5.
//!
//! The receiver's half (a CNP at most every so often, while marked packets come) is done here too, out of marked
//! acknowledgements: the law sees the same CNPs, at the same time.

use longhaul_emulator::time::Time;
use longhaul_topologies::units::{ByteSize, Rate, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::factor::Factor;
use super::signal::rate;
use super::{Ack, Conditions, Controller, Loss, Sent};

/// Its parameters. Defaults are the paper's (section 5, table 14) as the authors' successors run them
/// (`rdma-hw.cc` of HPCC's simulator): figures for a data centre, whatever the distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dcqcn {
    /// Weight of the newest in α (1/256: section 5.2).
    pub g: Factor,
    /// At most one CNP in this time (50 µs: section 3.1, NP).
    pub cnp_interval: TimeSpan,
    /// α decays when no CNP came for this long (55 µs: section 5.2).
    pub alpha_timer: TimeSpan,
    /// The rate rises each time this passes (55 µs: section 5.2; hardware's is longer).
    pub rate_timer: TimeSpan,
    /// And each time so much was sent (10 MB: section 5.2).
    pub byte_counter: ByteSize,
    /// Steps of fast recovery before the target rises (5: section 3.1, RP).
    pub fast_recovery: u32,
    /// Additive increase of the target (40 Mbit/s: section 5.2, for 40 Gbit/s).
    pub additive: Rate,
    /// Hyper increase of the target (100 Mbit/s: the ten-fold line of the specification's steps, `RHAI`).
    pub hyper: Rate,
    /// The rate is not cut below this.
    pub least: Rate,
    /// Whether every cut sets the target to the rate before it, as in the paper (equation 1), or only the first one after a rise by
    /// time, as ConnectX has it by default (`clamp_tgt_rate` off; `ClampTargetRate` of `rdma-hw.cc`): then a long queue's many CNPs
    /// do not take away what there is to recover to.
    pub clamp_target: bool,
}

impl Default for Dcqcn {
    fn default() -> Self {
        Dcqcn {
            g: Factor::of(1.0, 256.0),
            cnp_interval: Duration::from_micros(50).into(),
            alpha_timer: Duration::from_micros(55).into(),
            rate_timer: Duration::from_micros(55).into(),
            byte_counter: ByteSize::from_bytes(10_000_000),
            fast_recovery: 5,
            additive: Rate::from_bits_per_second(40_000_000),
            hyper: Rate::from_bits_per_second(100_000_000),
            least: Rate::from_bits_per_second(1_000_000),
            clamp_target: true,
        }
    }
}

impl Dcqcn {
    pub(super) fn start(self, conditions: Conditions, now: Time) -> ReactionPoint {
        let line = conditions.line().bits_per_second() as f64;
        ReactionPoint {
            line,
            current: line,
            target: line,
            alpha: 1.0,
            last_cnp: None,
            last_cut: None,
            rate_at: now + self.rate_timer.duration(),
            by_time: 0,
            by_bytes: 0,
            sent: 0,
            parameters: self,
        }
    }
}

/// It at work; the paper's RP, with an NP that counts CNPs before it. Rates are in bit/s.
#[derive(Debug)]
pub(super) struct ReactionPoint {
    parameters: Dcqcn,
    line: f64,
    current: f64,
    target: f64,
    /// α as the last cut left it.
    alpha: f64,
    last_cnp: Option<Time>,
    /// Nothing rises or decays before the first: until then the rate is the line's.
    last_cut: Option<Time>,
    rate_at: Time,
    by_time: u32,
    by_bytes: u32,
    sent: u64,
}

impl ReactionPoint {
    /// α by now: it decays once in each of its periods since the last cut (equation 2).
    fn alpha(&self, now: Time) -> f64 {
        let since = self.last_cut.map_or(Duration::ZERO, |last| now.since(last));
        let period = positive(self.parameters.alpha_timer);
        let periods = (since.as_nanos() / period.as_nanos()) as f64;
        self.alpha * (1.0 - self.parameters.g.get()).powf(periods)
    }

    /// Equation 1, and all counts begin anew.
    fn cut(&mut self, now: Time) {
        let (g, alpha) = (self.parameters.g.get(), self.alpha(now));
        if self.parameters.clamp_target || self.last_cut.is_none() || self.by_time > 0 {
            self.target = self.current;
        }
        self.current *= 1.0 - alpha / 2.0;
        self.current = self
            .current
            .max(self.parameters.least.bits_per_second() as f64);
        self.alpha = (1.0 - g) * alpha + g;
        self.last_cut = Some(now);
        (self.by_time, self.by_bytes, self.sent) = (0, 0, 0);
        self.rate_at = now + self.parameters.rate_timer.duration();
    }

    /// Fast recovery, additive or hyper increase (figure 7).
    fn rise(&mut self) {
        let steps = self.parameters.fast_recovery;
        let (most, least) = (
            self.by_time.max(self.by_bytes),
            self.by_time.min(self.by_bytes),
        );
        if least > steps {
            let hyper = self.parameters.hyper.bits_per_second() as f64;
            self.target += hyper * f64::from(least - steps);
        } else if most > steps {
            self.target += self.parameters.additive.bits_per_second() as f64;
        }
        self.target = self.target.min(self.line);
        self.current = f64::midpoint(self.target, self.current);
    }
}

impl Controller for ReactionPoint {
    fn on_sent(&mut self, sent: &Sent) {
        if self.last_cut.is_none() {
            return;
        }
        self.sent += sent.bytes;
        if self.sent >= self.parameters.byte_counter.bytes().max(1) {
            self.sent = 0;
            self.by_bytes += 1;
            self.rise();
        }
    }

    fn on_ack(&mut self, ack: &Ack<'_>) {
        let interval = self.parameters.cnp_interval.duration();
        let due = self
            .last_cnp
            .is_none_or(|last| ack.now.since(last) >= interval);
        if ack.marked > 0 && due {
            self.last_cnp = Some(ack.now);
            self.cut(ack.now);
        }
    }

    // RoCE hardware repeats what was lost at the rate it has.
    fn on_loss(&mut self, _loss: &Loss) {}

    fn on_timeout(&mut self, now: Time) {
        self.cut(now);
    }

    fn timer(&self) -> Option<Time> {
        // At the line's rate there is nothing to recover.
        let at_rest = self.last_cut.is_none() || self.current >= self.line - 1.0;
        (!at_rest).then_some(self.rate_at)
    }

    fn on_timer(&mut self, now: Time) {
        // One step per call: a timer shorter than a driver's grain catches up call by call.
        if now >= self.rate_at {
            self.by_time += 1;
            self.rise();
            self.rate_at = self.rate_at + positive(self.parameters.rate_timer);
        }
    }

    fn window(&self) -> u64 {
        u64::MAX
    }

    fn pacing_rate(&self) -> Option<Rate> {
        Some(rate(self.current))
    }
}

/// A timer of zero would never be behind.
fn positive(timer: TimeSpan) -> Duration {
    timer.duration().max(Duration::from_nanos(100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::{acknowledged, conditions};

    #[test]
    fn cuts_and_recovers_as_the_papers_equations_say() {
        let start = Time::from_nanos(0);
        let mut point = Dcqcn::default().start(conditions(), start);
        let line = point.current;
        let mut ack = acknowledged(start + Duration::from_micros(10));
        ack.marked = ack.bytes;
        point.on_ack(&ack);
        // α begins at 1: the first cut halves.
        assert_eq!((point.current, point.target), (line / 2.0, line));
        // A second mark within the interval is not a second CNP.
        ack.now = ack.now + Duration::from_micros(49);
        point.on_ack(&ack);
        assert_eq!(point.current, line / 2.0);
        // Five steps of fast recovery: the gap to the target halves each time.
        for step in 1..=5 {
            let at = point.rate_at;
            while point.timer().is_some_and(|timer| timer <= at) {
                point.on_timer(at);
            }
            let gap = line / 2.0 / f64::from(1 << step);
            assert!((point.current - (line - gap)).abs() < 1.0, "{step}");
        }
        assert!((point.alpha(point.rate_at) - (255.0f64 / 256.0).powi(6)).abs() < 1e-9);
    }

    #[test]
    fn without_a_clamp_cuts_in_a_row_keep_the_target() {
        let parameters = Dcqcn {
            clamp_target: false,
            ..Dcqcn::default()
        };
        let mut point = parameters.start(conditions(), Time::from_nanos(0));
        let line = point.line;
        for micros in [100, 200, 300] {
            point.cut(Time::default() + Duration::from_micros(micros));
        }
        assert_eq!(point.target, line);
        point.on_timer(point.rate_at);
        let risen = point.current;
        point.cut(Time::default() + Duration::from_micros(400));
        assert_eq!(point.target, risen);
    }

    #[test]
    fn a_cards_alpha_forgets_within_a_millisecond() {
        let parameters = Dcqcn {
            g: Factor::of(5.0, 1024.0),
            alpha_timer: Duration::from_micros(1).into(),
            ..Dcqcn::default()
        };
        let mut point = parameters.start(conditions(), Time::from_nanos(0));
        let micros = |micros| Time::default() + Duration::from_micros(micros);
        point.cut(micros(0));
        assert!(point.alpha(micros(1000)) < 0.01);
        // With a CNP every 50 µs it is about the share of its periods that bring one.
        (1..=100).for_each(|cnp| point.cut(micros(50 * cnp)));
        assert!((point.alpha(micros(5000)) - 0.022).abs() < 1e-3);
        assert!((point.alpha(micros(5050)) - 0.017).abs() < 1e-3);
    }

    #[test]
    fn rises_additively_by_one_count_and_faster_by_both() {
        let mut point = Dcqcn::default().start(conditions(), Time::from_nanos(0));
        point.current = point.line / 4.0;
        point.target = point.current;
        (point.by_time, point.by_bytes) = (6, 0);
        point.rise();
        assert!((point.target - (point.line / 4.0 + 40e6)).abs() < 1.0);
        (point.by_time, point.by_bytes) = (7, 8);
        point.rise();
        assert!((point.target - (point.line / 4.0 + 40e6 + 2.0 * 100e6)).abs() < 1.0);
    }
}
