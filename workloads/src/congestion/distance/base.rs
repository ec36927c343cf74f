//! The round trip without queues: down at once, up when the way has become longer.

use std::time::Duration;

use longhaul_emulator::time::Time;

use super::super::Ack;

/// What a jump must be, of the base, to be another way: less is not worth it.
const JUMP: f64 = 0.02;
/// And at least.
const LEAST_JUMP: Duration = Duration::from_micros(300);
/// A queue grows at most by so much of the time between two packets' sendings: more would be a bottleneck offered nine times what
/// it carries.
const STEEPEST: f64 = 8.0;

/// It, as far as it was seen.
#[derive(Debug)]
pub(super) struct Base {
    least: Duration,
    /// The newest packet's round trip, and when it was sent.
    previous: Option<(Duration, Time)>,
    unknown: bool,
}

impl Base {
    pub fn new(handshake: Option<Duration>) -> Self {
        Base {
            least: handshake.unwrap_or_default(),
            previous: None,
            // A handshake's packets are short: data takes longer.
            unknown: true,
        }
    }

    pub fn get(&self) -> Duration {
        self.least
    }

    /// The next round trip counts, whatever it is.
    pub fn relearn(&mut self) {
        self.unknown = true;
        self.previous = None;
    }

    pub fn on_ack(&mut self, ack: &Ack<'_>) {
        if self.unknown || ack.least_rtt < self.least {
            self.least = ack.least_rtt;
            self.unknown = false;
        }
        if let Some((rtt, sent)) = self.previous
            && ack.sent > sent
        {
            let jump = ack.rtt.saturating_sub(rtt);
            let steep = ack.sent.since(sent).mul_f64(STEEPEST);
            if jump > LEAST_JUMP.max(self.least.mul_f64(JUMP)) && jump > steep {
                self.least += jump;
            }
        }
        self.previous = Some((ack.rtt, ack.sent));
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
