//! An axis: a range of values, how they are spread, and its ticks.

use crate::canvas::Scale;
use crate::format;

/// A range of values with its label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// What it shows, with the unit.
    pub label: String,
    spread: Spread,
    ticks: Ticks,
    low: f64,
    high: f64,
}

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spread {
    /// Equal differences are equally far apart.
    Even,
    /// Equal ratios are equally far apart.
    Log,
}

/// Which values an axis marks.
#[derive(Clone, Debug, PartialEq)]
enum Ticks {
    /// Round numbers.
    Round,
    /// Round times; values are milliseconds.
    Times,
    /// Powers of two; values are bytes.
    Bytes,
    /// These and no others, each with its name.
    Named(Vec<(f64, String)>),
}

/// No axis reaches farther, and one of ratios not nearer to 0: beyond it sums are infinite, and ticks without end.
const FARTHEST: f64 = 1e300;

/// Numbers with more digits than these have no room beside an axis.
const MOST_IN_FULL: f64 = 1e6;
const LEAST_STEP: f64 = 1e-4;

impl Axis {
    /// Evenly spread; if there is nothing between the ends, with some room around.
    pub fn linear(label: impl Into<String>, low: f64, high: f64) -> Self {
        // A file may hold any number.
        let [low, high] = [low, high].map(|end| match end.is_nan() {
            true => 0.0,
            false => end.clamp(-FARTHEST, FARTHEST),
        });
        let (low, high) = (low.min(high), low.max(high));
        // Without a span there would be no place for a tick.
        let room = if high - low >= f64::MIN_POSITIVE {
            0.0
        } else {
            high.abs().max(1.0) * 0.1
        };
        Self {
            label: label.into(),
            spread: Spread::Even,
            ticks: Ticks::Round,
            low: low - room,
            high: high + room,
        }
    }

    /// From 0 to a little above `high`.
    pub fn from_zero(label: impl Into<String>, high: f64) -> Self {
        Self::linear(label, 0.0, if high > 0.0 { high * 1.08 } else { 1.0 })
    }

    /// Over 0 and all of `values`, with a little room beyond them.
    pub fn around_zero(label: impl Into<String>, values: impl Iterator<Item = f64>) -> Self {
        let ends = |(low, high): (f64, f64), value| (low.min(value), high.max(value));
        match values.fold((0.0, 0.0), ends) {
            (low, high) if low < 0.0 => Self::linear(label, low * 1.08, high * 1.08),
            (_, high) => Self::from_zero(label, high),
        }
    }

    /// Milliseconds, powers of ten evenly spaced; both ends must be positive.
    pub fn times(label: impl Into<String>, low: f64, high: f64) -> Self {
        let [low, high] = [low, high].map(|end| end.clamp(1.0 / FARTHEST, FARTHEST));
        let (low, high) = if high > low {
            (low, high)
        } else {
            (low / 2.0, low * 2.0)
        };
        Self {
            label: label.into(),
            spread: Spread::Log,
            ticks: Ticks::Times,
            low,
            high,
        }
    }

    /// Numbers of bytes, powers of two evenly spaced; both ends must be positive.
    pub fn bytes(label: impl Into<String>, low: f64, high: f64) -> Self {
        let [low, high] = [low, high].map(|end| end.clamp(1.0 / FARTHEST, FARTHEST));
        Self {
            label: label.into(),
            spread: Spread::Log,
            ticks: Ticks::Bytes,
            low: low / 1.2,
            high: high * 1.2,
        }
    }

    /// Over the named values, ascending, with `room` at either end: as a share of the axis' length.
    pub fn named(
        label: impl Into<String>,
        spread: Spread,
        names: Vec<(f64, String)>,
        room: f64,
    ) -> Self {
        let (first, last) = match &names[..] {
            [first, .., last] => (first.0, last.0),
            [only] => (only.0, only.0),
            [] => (0.0, 0.0),
        };
        let (low, high) = match spread {
            Spread::Even => {
                let room = (last - first).max(1.0) * room;
                (first - room, last + room)
            }
            Spread::Log => {
                let room = (last / first).max(2.0).powf(room);
                (first / room, last * room)
            }
        };
        Self {
            label: label.into(),
            spread,
            ticks: Ticks::Named(names),
            low,
            high,
        }
    }

    /// The least value it shows.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// The greatest value it shows.
    pub fn high(&self) -> f64 {
        self.high
    }

    /// What values are in whose ticks name their own units; empty where the label says it.
    pub fn unit(&self) -> &'static str {
        match self.ticks {
            Ticks::Times => "ms",
            Ticks::Bytes => "B",
            Ticks::Round | Ticks::Named(_) => "",
        }
    }

    /// What its places stand for.
    pub fn scale(&self) -> Scale {
        Scale {
            label: self.label.clone(),
            low: self.low,
            high: self.high,
            is_log: self.spread == Spread::Log,
            unit: self.unit(),
            names: match &self.ticks {
                Ticks::Named(names) => names.clone(),
                Ticks::Round | Ticks::Times | Ticks::Bytes => Vec::new(),
            },
        }
    }

    /// The name of a value that has one.
    pub fn text(&self, value: f64) -> Option<String> {
        match &self.ticks {
            Ticks::Named(names) => names
                .iter()
                .find(|name| name.0 == value && !name.1.is_empty())
                .map(|name| name.1.clone()),
            Ticks::Round | Ticks::Times | Ticks::Bytes => None,
        }
    }

    /// The name of the named value that lies nearest.
    pub fn nearest(&self, value: f64) -> Option<String> {
        let Ticks::Named(names) = &self.ticks else {
            return None;
        };
        let off = |name: &(f64, String)| (name.0 - value).abs();
        let nearest = names.iter().min_by(|a, b| off(a).total_cmp(&off(b)));
        nearest.map(|name| name.1.clone())
    }

    /// Where a value lies: 0 at the low end, 1 at the high end; what is outside lies at the end.
    pub fn position(&self, value: f64) -> f64 {
        let spread = |value: f64| match self.spread {
            Spread::Even => value,
            Spread::Log => value.max(f64::MIN_POSITIVE).ln(),
        };
        let (low, high) = (spread(self.low), spread(self.high));
        ((spread(value) - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// Values to mark, with their labels: at most `most` (at least 2), unless they were named.
    pub fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        match &self.ticks {
            Ticks::Round => self.even_ticks(most),
            Ticks::Times => self.time_ticks(most),
            Ticks::Bytes => self.size_ticks(most),
            Ticks::Named(names) => names.clone(),
        }
    }

    fn even_ticks(&self, most: usize) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / most.max(2) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|factor| factor * power)
            .into_iter()
            .find(|&step| step >= rough * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let first = (self.low / step - 1e-6).ceil() as i64;
        let last = (self.high / step + 1e-6).floor() as i64;
        if last - first < 1 {
            return self.even_ticks(2 * most.max(2));
        }
        (first..=last)
            .map(|index| index as f64 * step)
            .map(|value| (value, self.number(value, step)))
            .collect()
    }

    /// A value on a tick: in full where that is short, else as `1.2e7`.
    fn number(&self, value: f64, step: f64) -> String {
        let farthest = self.low.abs().max(self.high.abs());
        let of_step = step.log10().floor();
        if (LEAST_STEP..).contains(&step) && farthest < MOST_IN_FULL {
            let decimals = (-of_step).max(0.0) as usize;
            return format!("{value:.decimals$}");
        }
        // What is left of a sum of steps.
        if value.abs() < step / 2.0 {
            return "0".to_owned();
        }
        let decimals = (value.abs().log10().floor() - of_step).clamp(0.0, 9.0) as usize;
        format!("{value:.decimals$e}")
    }

    fn time_ticks(&self, most: usize) -> Vec<(f64, String)> {
        let inside = |value: f64| value >= self.low * 0.999_999 && value <= self.high * 1.000_001;
        let powers = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let with = |factors: &[f64]| -> Vec<f64> {
            powers
                .clone()
                .flat_map(|power| factors.iter().map(move |f| f * 10_f64.powi(power)))
                .filter(|&v| inside(v))
                .collect()
        };
        let mut values = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]]
            .into_iter()
            .map(with)
            .find(|values| values.len() <= most.max(2))
            .unwrap_or_else(|| with(&[1.0]));
        let every = values.len().div_ceil(most.max(2)).max(1);
        values = values.into_iter().step_by(every).collect();
        if values.len() < 2 {
            // Less than a decade without two round values in it.
            values = self
                .even_ticks(most)
                .into_iter()
                .map(|tick| tick.0)
                .collect();
        }
        values
            .into_iter()
            .map(|value| (value, format::time(value * 1e3)))
            .collect()
    }

    fn size_ticks(&self, most: usize) -> Vec<(f64, String)> {
        let powers: Vec<i32> =
            (self.low.log2().ceil() as i32..=self.high.log2().floor() as i32).collect();
        let every = powers.len().div_ceil(most.max(2)).max(1);
        // Every second or fourth power, counted from the largest: that is where the eye goes.
        let mut ticks: Vec<f64> = powers
            .iter()
            .rev()
            .step_by(every)
            .map(|&power| 2_f64.powi(power))
            .collect();
        ticks.reverse();
        ticks
            .into_iter()
            .map(|value| (value, format::bytes(value)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(axis: &Axis, most: usize) -> Vec<String> {
        axis.ticks(most)
            .into_iter()
            .map(|(_, label)| label)
            .collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(
            labels(&Axis::linear("", 0.0, 10.0), 5),
            ["0", "2", "4", "6", "8", "10"]
        );
        assert_eq!(
            labels(&Axis::linear("", 40.03, 40.19), 4),
            ["40.05", "40.10", "40.15"]
        );
        assert_eq!(
            labels(&Axis::times("", 0.01, 100.0), 6),
            ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms"]
        );
        assert_eq!(
            labels(&Axis::times("", 3.0, 30.0), 6),
            ["5 ms", "10 ms", "20 ms"]
        );
        assert_eq!(
            labels(&Axis::bytes("", 262_144.0, 16_777_216.0), 4),
            ["256 KiB", "1 MiB", "4 MiB", "16 MiB"]
        );
    }

    #[test]
    fn numbers_on_ticks_are_short() {
        assert_eq!(
            labels(&Axis::linear("", 0.0, 900_000.0), 4),
            ["0", "500000"]
        );
        assert_eq!(
            labels(&Axis::linear("", 0.0, 3e7), 4),
            ["0", "1e7", "2e7", "3e7"]
        );
        assert_eq!(
            labels(&Axis::linear("", -3e-6, 3e-6), 4),
            ["-2e-6", "0", "2e-6"]
        );
        assert_eq!(
            labels(&Axis::linear("", 9.9e6, 10.3e6), 3),
            ["1.00e7", "1.02e7"]
        );
    }

    #[test]
    fn a_single_value_has_an_axis_around_it() {
        for axis in [
            Axis::linear("", 5.0, 5.0),
            Axis::times("", 5.0, 5.0),
            Axis::bytes("", 4096.0, 4096.0),
        ] {
            assert!(!axis.ticks(5).is_empty(), "{axis:?}");
        }
        assert!((Axis::linear("", 5.0, 5.0).position(5.0) - 0.5).abs() < 1e-9);
        assert!((Axis::bytes("", 4096.0, 4096.0).position(4096.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn every_number_of_a_file_makes_an_axis_with_an_end() {
        let numbers = [0.0, 5e-324, 1.0, 1e-308, 1e308, f64::MAX, f64::INFINITY];
        for low in numbers {
            for high in numbers {
                for axis in [
                    Axis::linear("", low, high),
                    Axis::linear("", -low, high),
                    Axis::linear("", f64::NAN, high),
                    Axis::from_zero("", high),
                    Axis::around_zero("", [-low, high].into_iter()),
                    Axis::times("", low, high),
                    Axis::bytes("", low, high),
                ] {
                    assert!(axis.ticks(5).len() < 1000, "{axis:?}");
                    assert!(axis.low().is_finite() && axis.high().is_finite());
                }
            }
        }
    }

    #[test]
    fn values_below_zero_are_on_the_axis() {
        for (values, zero) in [([-5.0, -7.0], 1.0), ([-5.0, 5.0], 0.5)] {
            let axis = Axis::around_zero("", values.into_iter());
            assert_eq!(axis.position(0.0), zero);
            let position = |value| axis.position(value);
            assert!(
                values
                    .map(position)
                    .iter()
                    .all(|at| (0.01..0.99).contains(at))
            );
        }
        assert_eq!(
            Axis::around_zero("", [1.0, 2.0].into_iter()),
            Axis::from_zero("", 2.0)
        );
    }

    #[test]
    fn named_values_are_marked_and_have_room_around() {
        let names = [(1.0, "1".to_owned()), (100.0, "100".to_owned())].to_vec();
        for spread in [Spread::Even, Spread::Log] {
            let axis = Axis::named("", spread, names.clone(), 0.25);
            assert_eq!(axis.ticks(2), names);
            for (value, position) in [(1.0, 1.0 / 6.0), (100.0, 5.0 / 6.0)] {
                let off = axis.position(value) - position;
                assert!(off.abs() < 1e-9, "{spread:?} {value}: {off}");
            }
        }
    }

    proptest! {
        #[test]
        fn ticks_rise_within_the_axis(low in 1e-6..1e6_f64, factor in 1.0001..1e6_f64, most in 2_usize..12) {
            for axis in [Axis::linear("", low, low * factor), Axis::times("", low, low * factor)] {
                let ticks = axis.ticks(most);
                prop_assert!(!ticks.is_empty() && ticks.len() <= 2 * most + 2, "{:?}", ticks);
                prop_assert!(ticks.windows(2).all(|pair| pair[0].0 < pair[1].0));
                let positions: Vec<f64> = ticks.iter().map(|tick| axis.position(tick.0)).collect();
                prop_assert!(positions.windows(2).all(|pair| pair[0] <= pair[1]));
            }
        }
    }
}
