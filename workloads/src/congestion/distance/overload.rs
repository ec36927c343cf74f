//! Overload: a bottleneck that is offered so much more than it carries that small steps would take too long.
//!
//! How fast its queue grows, or what share of a round trip's packets finds no room in it, says by how much. All flows that see it are to send less by that
//! factor, once: what comes in the round trip after that was sent before.

use std::time::Duration;

use longhaul_emulator::time::Time;

use super::super::{Ack, Loss};

/// A queue is watched for this part of a round trip, twice: what trains of starts and probes make is over by then.
const WINDOW: f64 = 1.0 / 16.0;
/// A queue that grows by more than this of the time is overload.
const STEEP: f64 = 0.3;
/// Losses of more than this in a round trip are, with or without a queue.
const HEAVY_LOSS: f64 = 0.1;
/// The rate is cut to no less than this part at once…
const LARGEST: f64 = 4.0;
/// … and for losses than this: those of two round trips may be found in one.
const LARGEST_BY_LOSS: f64 = 2.0;

/// What is seen of it.
#[derive(Debug)]
pub(super) struct Overload {
    /// What was sent before tells of what has been answered.
    since: Time,
    window: Option<Window>,
    /// The least delay of the window before, and whether that was one of overload.
    before: Option<(f64, bool)>,
    /// When something was heard last.
    heard: Time,
    /// When the first packet was sent that got through after a silence: what was lost of those before it was no overload.
    through: Time,
    /// Bytes in this round trip.
    lost: u64,
    arrived: u64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Time,
    /// The queue's least delay, in seconds.
    least: f64,
}

impl Overload {
    pub fn new() -> Self {
        Overload {
            since: Time::default(),
            window: None,
            before: None,
            heard: Time::default(),
            through: Time::default(),
            lost: 0,
            arrived: 0,
        }
    }

    pub fn on_loss(&mut self, loss: &Loss) {
        if loss.sent >= self.through.max(self.since) {
            self.lost += loss.bytes;
        }
    }

    /// A silence of more than so many seconds is no queue, which goes on sending whatever it has no room for.
    pub fn on_ack(&mut self, ack: &Ack<'_>, silence: f64) {
        if ack.now.since(self.heard).as_secs_f64() > silence {
            self.through = ack.sent;
            (self.lost, self.arrived) = (0, 0);
        }
        self.heard = ack.now;
        if ack.sent >= self.since {
            self.arrived += ack.bytes;
        }
    }

    /// A slice ended with this delay, in seconds, of which no less than `least` matters: what to cut `rate` to, if there is overload.
    pub fn by_queue(
        &mut self,
        ack: &Ack<'_>,
        delay: f64,
        least: f64,
        base: Duration,
        rate: f64,
    ) -> Option<f64> {
        let fresh = Window {
            since: ack.now,
            least: delay,
        };
        let window = self.window.get_or_insert(fresh);
        window.least = window.least.min(delay);
        let took = ack.now.since(window.since).as_secs_f64();
        if took < (base.as_secs_f64() * WINDOW).max(least) {
            return None;
        }
        let window = self.window.replace(fresh)?;
        let (before, again) = self.before.unwrap_or((window.least, false));
        let steepness = (window.least - before) / took;
        let overload = window.least > least && steepness > STEEP;
        self.before = Some((window.least, overload));
        if !(overload && again) {
            return None;
        }
        // Of n times what fits, what arrives in a second came in 1 ÷ n of it, and waited for the rest.
        let times = 1.0 / (1.0 - steepness.min(1.0 - 1.0 / LARGEST));
        self.cut(ack, times, rate)
    }

    /// A round trip ended: what to cut `rate` to, if there was overload.
    pub fn by_loss(&mut self, ack: &Ack<'_>, rate: f64) -> Option<f64> {
        let lost = std::mem::take(&mut self.lost) as f64;
        let arrived = std::mem::take(&mut self.arrived) as f64;
        if lost <= HEAVY_LOSS * (lost + arrived) {
            return None;
        }
        let times = (lost + arrived) / arrived.max(1.0);
        self.cut(ack, times.min(LARGEST_BY_LOSS), rate)
    }

    fn cut(&mut self, ack: &Ack<'_>, times: f64, rate: f64) -> Option<f64> {
        if ack.sent < self.since {
            return None;
        }
        self.answered(ack.now);
        Some(rate / times)
    }

    /// What was sent before `now` tells nothing any more.
    pub fn answered(&mut self, now: Time) {
        self.since = now;
        (self.lost, self.arrived) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::acknowledged;

    const BASE: Duration = Duration::from_millis(10);
    const LEAST: f64 = 150e-6;
    const SILENCE: f64 = 2.5e-3;

    /// Every 100 µs from one time (in µs) to another: the delay at that time. What the rate of 1 becomes at the end.
    fn watch(
        overload: &mut Overload,
        micros: std::ops::Range<u32>,
        delay: impl Fn(u32) -> f64,
    ) -> f64 {
        let mut rate = 1.0;
        for at in micros.step_by(100) {
            let mut ack = acknowledged(Time::default() + Duration::from_micros(at.into()));
            ack.sent = Time::default() + Duration::from_micros(at.saturating_sub(10_000).into());
            overload.on_ack(&ack, SILENCE);
            rate = overload
                .by_queue(&ack, delay(at), LEAST, BASE, rate)
                .unwrap_or(rate);
        }
        rate
    }

    #[test]
    fn a_queue_that_grows_fast_tells_how_much_too_much_is_offered() {
        for offered in [1.5, 2.0] {
            // In a second of arrivals.
            let growth = 1.0 - 1.0 / offered;
            let rate = watch(&mut Overload::new(), 20_000..30_000, |at| {
                f64::from(at - 20_000) * 1e-6 * growth
            });
            assert!((rate * offered - 1.0).abs() < 0.05, "{offered} {rate}");
        }
    }

    #[test]
    fn the_same_overload_counts_once() {
        let mut overload = Overload::new();
        let growing = |at: u32| f64::from(at - 20_000) * 1e-6;
        let once = watch(&mut overload, 20_000..25_000, growing);
        assert!(once < 0.6);
        assert_eq!(watch(&mut overload, 25_000..30_000, growing), 1.0);
    }

    #[test]
    fn neither_a_train_nor_jitter_is_overload() {
        let train = |at: u32| {
            if (20_700..21_000).contains(&at) {
                1e-3
            } else {
                0.0
            }
        };
        assert_eq!(watch(&mut Overload::new(), 20_000..40_000, train), 1.0);
        let jitter = |at: u32| f64::from(at / 100 * 7 % 11) * 100e-6;
        assert_eq!(watch(&mut Overload::new(), 20_000..40_000, jitter), 1.0);
    }

    #[test]
    fn heavy_loss_of_a_round_trip_counts_without_a_queue_and_light_loss_does_not() {
        for (lost, times) in [(0, None), (1, None), (10, Some(2.0))] {
            let mut overload = Overload::new();
            let ack = acknowledged(Time::default() + BASE);
            for _ in 0..10 {
                overload.on_ack(&ack, SILENCE);
            }
            overload.on_loss(&losses(ack.now, lost));
            assert_eq!(overload.by_loss(&ack, 1.0).map(f64::recip), times, "{lost}");
        }
    }

    #[test]
    fn what_was_lost_while_nothing_was_heard_is_no_overload() {
        let after = |silence: Duration| {
            let mut overload = Overload::new();
            let heard = Time::default() + BASE;
            overload.on_ack(&acknowledged(heard), SILENCE);
            // What was sent since then is found to be lost by the first packet that got through, before that counts…
            overload.on_loss(&losses(heard + silence / 2, 10));
            let mut ack = acknowledged(heard + silence);
            overload.on_ack(&ack, SILENCE);
            // … or later.
            overload.on_loss(&losses(heard + silence / 2, 10));
            ack.now = ack.now + BASE;
            overload.by_loss(&ack, 1.0)
        };
        assert_eq!(after(BASE), None);
        assert!(after(Duration::from_millis(2)).is_some());
    }

    /// So many packets of which the last left at `sent`.
    fn losses(sent: Time, lost: u64) -> Loss {
        Loss {
            now: sent,
            bytes: 1500 * lost,
            packets: lost as u32,
            sent,
            in_flight: 0,
        }
    }
}
