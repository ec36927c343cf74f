//! A transmitter of a fixed rate: when which bit has left it, exact to the bit however long it stays busy.

use std::time::Duration;

use longhaul_topologies::units::{ByteSize, Rate};

use super::time::Time;

const NANOSECONDS: u128 = 1_000_000_000;

/// The transmitter. Instants are computed from the start of its busy period, never from each other, so that
/// rounding to the nanosecond does not add up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    rate: Rate,
    /// When the busy period began.
    origin: Time,
    /// Bits handed over since.
    bits: u64,
}

impl Line {
    /// A line that is free from `origin` on.
    pub(super) fn new(rate: Rate, origin: Time) -> Self {
        Line {
            rate,
            origin,
            bits: 0,
        }
    }

    /// When the last bit handed over so far has left.
    pub(super) fn free_at(&self) -> Time {
        self.left_after(self.bits)
    }

    /// Starts a busy period at `now` unless one is under way.
    pub(super) fn start(&mut self, now: Time) {
        if self.free_at() <= now {
            *self = Line::new(self.rate, now);
        }
    }

    /// Hands bytes over; answers when their last bit leaves.
    pub(super) fn transmit(&mut self, bytes: u64) -> Time {
        self.bits += bytes * 8;
        self.free_at()
    }

    /// When `bytes` more would have left.
    pub(super) fn free_after(&self, bytes: u64) -> Time {
        self.left_after(self.bits + bytes * 8)
    }

    /// Bits beyond those handed over so far that a line which stays busy has sent by `now`.
    pub(super) fn progress(&self, now: Time) -> u64 {
        let passed = now.since(self.origin).as_nanos();
        let bits = passed * u128::from(self.rate.bits_per_second()) / NANOSECONDS;
        u64::try_from(bits)
            .unwrap_or(u64::MAX)
            .saturating_sub(self.bits)
    }

    /// How long a frame takes.
    pub(super) fn time_for(&self, frame: u32) -> Duration {
        self.rate.time_for(ByteSize::from_bytes(u64::from(frame)))
    }

    fn left_after(&self, bits: u64) -> Time {
        let nanoseconds =
            (u128::from(bits) * NANOSECONDS).div_ceil(u128::from(self.rate.bits_per_second()));
        self.origin + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_never_accumulates(rate in 1_000u64..400_000_000_000, frames in prop::collection::vec(14u32..9_014, 1..200)) {
            let mut line = Line::new(Rate::from_bits_per_second(rate), Time::from_nanos(7));
            let mut end = Time::default();
            for &frame in &frames {
                end = line.transmit(u64::from(frame));
            }
            let bits: u128 = frames.iter().map(|&frame| u128::from(frame) * 8).sum();
            let exact = (bits * NANOSECONDS).div_ceil(u128::from(rate));
            prop_assert_eq!(u128::from(end.as_nanos()), exact + 7);
        }

        #[test]
        fn a_bit_has_left_exactly_when_its_instant_is_reached(rate in 1_000u64..400_000_000_000, frame in 14u32..65_550) {
            let line = Line::new(Rate::from_bits_per_second(rate), Time::from_nanos(1_000));
            let end = line.free_after(u64::from(frame));
            prop_assert!(line.progress(end) >= u64::from(frame) * 8);
            let before = Time::from_nanos(end.as_nanos() - 1);
            prop_assert!(line.progress(before) < u64::from(frame) * 8);
        }
    }
}
