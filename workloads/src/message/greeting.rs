//! The handshake: finds the base round trip, and whether both ends were given the same settings.
//!
//! It takes two round trips: the first hello may lie in the peer's buffer until it is ready, so the second is the measure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use longhaul_emulator::time::Time;

use super::{Parameters, Seen, wire};
use crate::congestion::Measured;

/// Time to the second hello; it doubles from there (RFC 6298's initial timeout).
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Hellos under way.
#[derive(Debug)]
pub(super) struct Handshake {
    nonce: u64,
    settings: u64,
    /// When each hello left; which one a welcome answers tells the round trip without ambiguity.
    sent: Vec<Time>,
    next: Time,
    /// The first attempt after the peer's first answer.
    measured_from: Option<u32>,
}

impl Handshake {
    pub(super) fn new(now: Time, nonce: u64, parameters: &Parameters) -> Self {
        Self {
            nonce,
            settings: settings(parameters),
            sent: Vec::new(),
            next: now,
            measured_from: None,
        }
    }

    /// When the next hello is due.
    pub(super) fn due(&self) -> Time {
        self.next
    }

    /// The hello that is due.
    pub(super) fn hello(&mut self, now: Time) -> wire::Greeting {
        let attempt = self.sent.len() as u32;
        self.sent.push(now);
        self.next = now + FIRST_WAIT * (1 << attempt.min(6));
        wire::Greeting {
            nonce: self.nonce,
            attempt,
            settings: self.settings,
            granted: 0,
            allowance: 0,
            clock: now,
            held: Duration::ZERO,
        }
    }

    /// What a welcome shows of the way; `None` if it answers no hello of ours, or is the first. Settings that differ are
    /// an error.
    pub(super) fn welcome(
        &mut self,
        seen: Seen,
        greeting: &wire::Greeting,
    ) -> Option<Result<Measured, super::Failure>> {
        let sent = self.sent.get(greeting.attempt as usize)?;
        if greeting.nonce != self.nonce {
            return None;
        }
        if greeting.settings == self.settings {
            let Some(from) = self.measured_from else {
                self.measured_from = Some(self.sent.len() as u32);
                self.next = seen.now;
                return None;
            };
            if greeting.attempt < from {
                return None;
            }
        }
        Some(match greeting.settings == self.settings {
            true => Ok(Measured {
                round_trip: seen.came.since(*sent).saturating_sub(greeting.held),
                // Of two clocks, the sender's may be ahead.
                one_way: (greeting.clock >= *sent).then(|| greeting.clock.since(*sent)),
            }),
            false => Err(super::Failure::Mismatched),
        })
    }
}

/// A digest of what both ends must agree on.
pub(super) fn settings(parameters: &Parameters) -> u64 {
    // Both ends are the same program: this hash has no keys, and is the same in each of its processes.
    let mut hasher = DefaultHasher::new();
    (
        parameters.recovery as u8,
        parameters.paths,
        parameters.hops,
        parameters.most_message,
        parameters.playout,
        parameters.erasure,
    )
        .hash(&mut hasher);
    hasher.finish()
}
