//! The round trip without queues, and the way there: down at once, up when the way has become longer.
//!
//! Collectives send both ways, and what waits on the way back is no congestion of this one's way: delay is judged by the way there,
//! if both ends read one clock or clocks that keep pace (PTP), and never by more than what the round trip shows.

use std::time::Duration;

use longhaul_emulator::time::Time;

use super::super::{Ack, Measured};

/// What a jump must be, of the base, to be another way: less is not worth it.
const JUMP: f64 = 0.02;
/// And at least.
const LEAST_JUMP: Duration = Duration::from_micros(300);
/// A queue grows at most by so much of the time between two packets' sendings: more would be a bottleneck offered nine times what
/// it carries.
const STEEPEST: f64 = 8.0;

/// How long, and how many such times in a row, the way there may become shorter while the round trip does not, before that is
/// laid to the clocks: a queue that empties ends, a clock that falls behind goes on.
const DRIFT: Duration = Duration::from_secs(1);
/// See [`DRIFT`].
const DRIFTS: u32 = 8;

/// They, as far as they were seen.
#[derive(Debug)]
pub(super) struct Base {
    least: Duration,
    way: Way,
    /// The newest packet's round trip and way there, and when it was sent.
    previous: Option<(Duration, Option<Duration>, Time)>,
    unknown: bool,
}

impl Base {
    /// Begins with what the handshake measured: where many flows start at once, none of their packets may find an empty queue.
    pub fn new(handshake: Option<Measured>) -> Self {
        Base {
            least: handshake.map_or(Duration::ZERO, |measured| measured.round_trip),
            way: Way {
                least: handshake.and_then(|measured| measured.one_way),
                ..Way::default()
            },
            previous: None,
            unknown: handshake.is_none(),
        }
    }

    pub fn get(&self) -> Duration {
        self.least
    }

    /// What least round trip and least way there are above their bases.
    pub fn above(&self, round_trip: Duration, way: Option<Duration>) -> Duration {
        let above = round_trip.saturating_sub(self.least);
        let there = way
            .zip(self.way.least())
            .map(|(way, least)| way.saturating_sub(least));
        there.map_or(above, |there| there.min(above))
    }

    /// The next round trip counts, whatever it is.
    pub fn relearn(&mut self) {
        self.unknown = true;
        self.previous = None;
    }

    pub fn on_ack(&mut self, ack: &Ack<'_>) {
        if self.unknown {
            self.way = Way::default();
        }
        let is_lower = self.unknown || ack.least_rtt < self.least;
        if is_lower {
            self.least = ack.least_rtt;
            self.unknown = false;
        }
        if let Some(way) = ack.least_way() {
            self.way.see(ack.now, way, is_lower);
        }
        if let Some((rtt, way, sent)) = self.previous
            && ack.sent > sent
        {
            let jump = ack.rtt.saturating_sub(rtt);
            let steep = ack.sent.since(sent).mul_f64(STEEPEST);
            if jump > LEAST_JUMP.max(self.least.mul_f64(JUMP)) && jump > steep {
                self.least += jump;
                if let Some((now, before)) = ack.one_way.zip(way) {
                    self.way.jump(now.saturating_sub(before));
                }
            }
        }
        self.previous = Some((ack.rtt, ack.one_way, ack.sent));
    }
}

/// The way there without queues.
#[derive(Debug, Default)]
struct Way {
    least: Option<Duration>,
    /// Since when it is watched whether it becomes shorter…
    since: Time,
    /// … and it did.
    shorter: bool,
    /// The round trip did, too.
    round_trip_shorter: bool,
    drifts: u32,
}

impl Way {
    /// Nothing if it was not told, or not by clocks that keep pace.
    fn least(&self) -> Option<Duration> {
        self.least.filter(|_| self.drifts < DRIFTS)
    }

    fn see(&mut self, now: Time, way: Duration, round_trip_shorter: bool) {
        let is_lower = self.least.is_none_or(|least| way < least);
        if is_lower {
            self.least = Some(way);
        }
        self.shorter |= is_lower;
        self.round_trip_shorter |= round_trip_shorter;
        if now.since(self.since) >= DRIFT && self.drifts < DRIFTS {
            let drifts = self.shorter && !self.round_trip_shorter;
            self.drifts = if drifts { self.drifts + 1 } else { 0 };
            (self.shorter, self.round_trip_shorter, self.since) = (false, false, now);
        }
    }

    fn jump(&mut self, by: Duration) {
        self.least = self.least.map(|least| least + by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::acknowledged;

    fn after(round_trips: &[u64], gap: Duration) -> Duration {
        let mut base = Base::new(None);
        for (index, micros) in round_trips.iter().enumerate() {
            let mut ack = acknowledged(Time::default() + gap * index as u32);
            ack.rtt = Duration::from_micros(*micros);
            ack.least_rtt = ack.rtt;
            base.on_ack(&ack);
        }
        base.get()
    }

    #[test]
    fn goes_down_at_once_and_up_with_a_step_no_queue_can_take() {
        let gap = Duration::from_micros(12);
        assert_eq!(
            after(&[5_000, 4_000, 4_100], gap),
            Duration::from_micros(4_000)
        );
        assert_eq!(
            after(&[5_000, 35_000, 35_001], gap),
            Duration::from_micros(35_000)
        );
        // Back on the short way.
        assert_eq!(
            after(&[5_000, 35_000, 5_000], gap),
            Duration::from_micros(5_000)
        );
    }

    /// The base after acknowledgements every millisecond, of these round trips and ways there.
    fn told(seen: impl IntoIterator<Item = (u64, u64)>) -> Base {
        let mut base = Base::new(None);
        for (index, (rtt, way)) in seen.into_iter().enumerate() {
            let mut ack = acknowledged(Time::default() + Duration::from_millis(1) * index as u32);
            ack.rtt = Duration::from_nanos(rtt);
            ack.least_rtt = ack.rtt;
            ack.one_way = Some(Duration::from_nanos(way));
            base.on_ack(&ack);
        }
        base
    }

    #[test]
    fn what_waits_on_the_way_back_does_not_count() {
        let base = told([(2_000_000, 900_000), (2_100_000, 900_000)]);
        let above = |rtt, way| {
            let (rtt, way) = (Duration::from_micros(rtt), Duration::from_micros(way));
            base.above(rtt, Some(way)).as_micros()
        };
        assert_eq!(above(2_200, 900), 0);
        assert_eq!(above(2_200, 950), 50);
        // Never more than the round trip shows, whatever a clock says.
        assert_eq!(above(2_020, 950), 20);
    }

    #[test]
    fn a_clock_that_falls_behind_is_not_believed() {
        // 10 ppm, with a queue of 0 to 100 µs on the way back.
        let clock = |n: u64| 900_000 - n * 10;
        let base = told((0..20_000).map(|n| (2_000_000 + (n % 7) * 15_000, clock(n))));
        assert_eq!(base.way.least(), None);
        // One that is right is, though a queue empties for a while.
        let queue = |n: u64| 50_000_u64.saturating_sub(n * 20);
        let base = told((0..20_000).map(|n| (2_000_000 + queue(n), 900_000 + queue(n))));
        assert_eq!(base.way.least(), Some(Duration::from_micros(900)));
    }

    #[test]
    fn a_queue_that_grows_is_no_longer_way() {
        // Offered twice what it carries: the delay grows as fast as time passes.
        let grows: Vec<u64> = (0..1000).map(|packet| 5_000 + packet * 12).collect();
        assert_eq!(
            after(&grows, Duration::from_micros(12)),
            Duration::from_micros(5_000)
        );
        // After a pause the queue of others may be there all of a sudden.
        assert_eq!(
            after(&[5_000, 8_000], Duration::from_millis(1)),
            Duration::from_micros(5_000)
        );
    }
}
