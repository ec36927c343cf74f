//! A set of numbers that mostly come in order, as ranges.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Disjoint ranges, not touching each other, in rising order.
#[derive(Debug, Default)]
pub(super) struct Ranges(VecDeque<RangeInclusive<u64>>);

impl Ranges {
    /// How many ranges it takes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let after = self.0.partition_point(|range| *range.start() <= number);
        after > 0 && *self.0[after - 1].end() >= number
    }

    /// The numbers at most `last` that come right after each other from the least on: where the first hole is.
    pub(super) fn first(&self) -> Option<&RangeInclusive<u64>> {
        self.0.front()
    }

    /// From the greatest to the least.
    pub(super) fn descending(&self) -> impl Iterator<Item = &RangeInclusive<u64>> {
        self.0.iter().rev()
    }

    /// Adds them; `new` hears of each stretch that was not there, in rising order.
    pub(super) fn insert(
        &mut self,
        added: RangeInclusive<u64>,
        mut new: impl FnMut(RangeInclusive<u64>),
    ) {
        let (first, last) = added.into_inner();
        // Those that overlap or touch.
        let from = self
            .0
            .partition_point(|range| range.end().saturating_add(1) < first);
        let to = self
            .0
            .partition_point(|range| *range.start() <= last.saturating_add(1));
        let mut next = first;
        for range in self.0.range(from..to) {
            if *range.start() > next {
                new(next..=last.min(range.start() - 1));
            }
            next = next.max(range.end().saturating_add(1));
        }
        if next <= last {
            new(next..=last);
        }
        if from == to {
            self.0.insert(from, first..=last);
        } else {
            let merged = first.min(*self.0[from].start())..=last.max(*self.0[to - 1].end());
            self.0[from] = merged;
            self.0.drain(from + 1..to);
        }
    }

    /// Keeps the greatest `most` ranges.
    pub(super) fn shorten(&mut self, most: usize) {
        self.0.drain(..self.0.len().saturating_sub(most));
    }

    /// Forgets the ranges that end before `number`.
    pub(super) fn forget_before(&mut self, number: u64) {
        while self.0.front().is_some_and(|range| *range.end() < number) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_plain_set_holds(added in prop::collection::vec((0u64..60, 0u64..12), 0..30)) {
            let (mut ranges, mut plain) = (Ranges::default(), BTreeSet::new());
            for (first, length) in added {
                let expected: Vec<u64> = (first..=first + length).filter(|number| plain.insert(*number)).collect();
                let mut new = Vec::new();
                ranges.insert(first..=first + length, |stretch| new.extend(stretch));
                prop_assert_eq!(new, expected);
            }
            for number in 0..80 {
                prop_assert_eq!(ranges.contains(number), plain.contains(&number));
            }
            let holes = ranges.0.iter().zip(ranges.0.iter().skip(1)).all(|(low, high)| low.end() + 1 < *high.start());
            prop_assert!(holes, "{:?}", ranges);
        }
    }
}
