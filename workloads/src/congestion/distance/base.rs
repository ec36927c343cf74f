//! The round trip without queues: down at once, up when the way has become longer.

use std::time::Duration;

use super::super::Ack;
use longhaul_emulator::time::Time;

/// What a jump must be, of the base, to be another way: less is not worth it.
const JUMP: f64 = 0.02;
/// And at least.
const LEAST_JUMP: Duration = Duration::from_micros(300);
/// A queue grows at most by so much of the time between two packets' sendings: more would be a bottleneck offered nine times what
/// it carries.
const STEEPEST: f64 = 8.0;

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
