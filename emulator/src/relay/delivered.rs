//! How much a channel has delivered by now, where packets are handed over before they leave.

use std::collections::VecDeque;

use crate::time::Time;

/// Wire packets, and the bytes of their frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// The counter.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    so_far: Amount,
    /// What is to leave, in the order of its instants.
    to_come: VecDeque<(Time, Amount)>,
}

impl Delivered {
    /// Counts what leaves at `left`, which may be after `now`, but not before what was counted already.
    pub(super) fn add(&mut self, left: Time, now: Time, amount: Amount) {
        self.settle(now);
        if left <= now {
            self.count(amount);
        } else {
            self.to_come.push_back((left, amount));
        }
    }

    /// What has left by `now`.
    pub(super) fn by(&mut self, now: Time) -> Amount {
        self.settle(now);
        self.so_far
    }

    fn settle(&mut self, now: Time) {
        while let Some(&(left, amount)) = self.to_come.front()
            && left <= now
        {
            self.to_come.pop_front();
            self.count(amount);
        }
    }

    fn count(&mut self, amount: Amount) {
        self.so_far.packets += amount.packets;
        self.so_far.bytes += amount.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_counts_once_it_has_left() {
        let at = Time::from_nanos;
        let one = Amount {
            packets: 1,
            bytes: 1514,
        };
        let mut delivered = Delivered::default();
        delivered.add(at(10), at(10), one);
        delivered.add(at(20), at(10), one);
        delivered.add(at(30), at(10), one);
        assert_eq!(delivered.by(at(19)).packets, 1);
        assert_eq!(delivered.by(at(20)).packets, 2);
        let all = Amount {
            packets: 3,
            bytes: 3 * 1514,
        };
        assert_eq!(delivered.by(at(30)), all);
    }
}
