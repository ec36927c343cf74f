//! Spans of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::UnitError;
use super::number::{Quantity, write_decimal};
use super::serial::as_string;

/// A span of time: `40ms`, `250us`, `1.5s`, `2min`. A bare number is refused: it does not say its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// That duration.
    pub const fn from_duration(duration: Duration) -> Self {
        TimeSpan(duration)
    }

    /// As a [`Duration`].
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for TimeSpan {
    fn from(duration: Duration) -> Self {
        TimeSpan(duration)
    }
}

const NANOSECONDS: u128 = 1_000_000_000;

/// `tc/tc_util.c` of iproute2, `get_time64`; minutes are ours.
pub(super) const TIME: Quantity = Quantity {
    what: "a span of time",
    offered: "s, ms, us, ns or min",
    example: "40ms",
    units: &[
        (&["ns", "nsec", "nsecs"], 1),
        (&["us", "µs", "μs", "usec", "usecs"], 1_000),
        (&["ms", "msec", "msecs"], 1_000_000),
        (&["s", "sec", "secs"], NANOSECONDS),
        (&["min", "mins"], 60 * NANOSECONDS),
    ],
};

impl FromStr for TimeSpan {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const MOST: &str = "18446744073709551615s";
        let no_unit = |number: &str| {
            Err(UnitError::NoUnit {
                text: number.to_owned(),
                write: format!("`{number}ms` or `{number}s`"),
            })
        };
        let nanoseconds = TIME.parse(text, no_unit, MOST)?;
        u64::try_from(nanoseconds / NANOSECONDS)
            .map(|seconds| TimeSpan(Duration::new(seconds, (nanoseconds % NANOSECONDS) as u32)))
            .map_err(|_| UnitError::TooLarge {
                text: text.trim().to_owned(),
                most: MOST,
            })
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u128); 4] = [
            ("s", NANOSECONDS),
            ("ms", 1_000_000),
            ("us", 1_000),
            ("ns", 1),
        ];
        if self.0.is_zero() {
            return f.pad("0s");
        }
        write_decimal(f, self.0.as_nanos(), &UNITS)
    }
}

as_string!(TimeSpan, schema: {
    "type": "string",
    "description": "A span of time: a number and s, ms, us, ns or min.",
    "pattern": r"^\s*(\d+\.?\d*|\.\d+)\s*([mMuUnNµμ]?[sS]([eE][cC][sS]?)?|[mM][iI][nN][sS]?)\s*$",
    "examples": ["40ms", "250us", "1.5s"],
}, bare: "a span of time such as `40ms`");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_units_as_tc_does() {
        for (text, nanoseconds) in [
            ("40ms", 40_000_000),
            ("250us", 250_000),
            ("250µs", 250_000),
            ("1.5s", 1_500_000_000),
            ("2min", 120_000_000_000),
            ("7 NS", 7),
            ("0.2msecs", 200_000),
        ] {
            assert_eq!(
                text.parse::<TimeSpan>().unwrap().duration().as_nanos(),
                nanoseconds,
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_with_the_way_out() {
        for (text, message) in [
            ("40", "`40` does not say its unit: write `40ms` or `40s`"),
            ("-5ms", "`-5ms` is negative: a span of time cannot be"),
            (
                "5h",
                "`h` in `5h` is not a unit of a span of time: use s, ms, us, ns or min",
            ),
        ] {
            assert_eq!(text.parse::<TimeSpan>().unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_parses(seconds: u64, nanoseconds in 0u32..1_000_000_000) {
            let time = TimeSpan(Duration::new(seconds, nanoseconds));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn prints_short_spans_that_parse_back(nanoseconds in 0u64..100_000_000_000) {
            let time = TimeSpan(Duration::from_nanos(nanoseconds));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
