//! Bit rates.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::number::{Quantity, write_decimal};
use super::serial::as_string;
use super::{ByteSize, UnitError};

/// A bit rate above zero: `1Gbit`, `500Mbit`, `64kbit`, `1Gibit`. Not `10Mbps`: bits to everybody, and bytes to `tc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// A rate of `bits` per second.
    ///
    /// # Panics
    /// If `bits` is 0: a rate is above zero.
    pub const fn from_bits_per_second(bits: u64) -> Self {
        assert!(bits > 0, "a rate is above zero");
        Rate(bits)
    }

    /// Bits per second.
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }

    /// Bytes per second, rounded down.
    pub const fn bytes_per_second(self) -> u64 {
        self.0 / 8
    }

    /// How long `size` takes at this rate, rounded up to the nanosecond.
    pub fn time_for(self, size: ByteSize) -> Duration {
        let nanoseconds = (u128::from(size.bytes()) * 8 * NANOSECONDS).div_ceil(u128::from(self.0));
        // At most 2^67 s, at 1 bit/s; beyond `Duration` only in theory.
        let seconds = u64::try_from(nanoseconds / NANOSECONDS).unwrap_or(u64::MAX);
        Duration::new(seconds, (nanoseconds % NANOSECONDS) as u32)
    }

    /// How much passes in `time`, rounded down to the byte and at most what [`ByteSize`] holds.
    pub fn size_in(self, time: Duration) -> ByteSize {
        let bits = u128::from(self.0).saturating_mul(time.as_nanos()) / NANOSECONDS;
        ByteSize::from_bytes(u64::try_from(bits / 8).unwrap_or(u64::MAX))
    }
}

const NANOSECONDS: u128 = 1_000_000_000;

/// `tc/tc_util.c` of iproute2, `get_rate64`, but for `bps`, which is bytes per second there.
const RATE: Quantity = Quantity {
    what: "a rate",
    offered: "bit, kbit, mbit, gbit or tbit (kibit… for 1024s); `Mbps` is bits to most and bytes to tc",
    example: "500Mbit",
    units: &[
        (&["bit"], 1),
        (&["kbit"], 1_000),
        (&["mbit"], 1_000_000),
        (&["gbit"], 1_000_000_000),
        (&["tbit"], 1_000_000_000_000),
        (&["kibit"], 1 << 10),
        (&["mibit"], 1 << 20),
        (&["gibit"], 1 << 30),
        (&["tibit"], 1 << 40),
    ],
};

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const MOST: &str = "18446744Tbit";
        let no_unit = |number: &str| {
            Err(UnitError::NoUnit {
                text: number.to_owned(),
                write: format!("`{number}Mbit` or `{number}Gbit`"),
            })
        };
        let bits = RATE.parse(text, no_unit, MOST)?;
        match u64::try_from(bits) {
            Ok(0) => Err(UnitError::Zero {
                text: text.trim().to_owned(),
                way_out: "a rate is at least 1bit; leave it out for no limit",
            }),
            Ok(bits) => Ok(Rate(bits)),
            Err(_) => Err(UnitError::TooLarge {
                text: text.trim().to_owned(),
                most: MOST,
            }),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u128); 5] = [
            ("Tbit", 1_000_000_000_000),
            ("Gbit", 1_000_000_000),
            ("Mbit", 1_000_000),
            ("kbit", 1_000),
            ("bit", 1),
        ];
        write_decimal(f, u128::from(self.0), &UNITS)
    }
}

as_string!(Rate, schema: {
    "type": "string",
    "description": "A rate: a number and a unit as tc writes them. kbit, mbit, gbit: 1000s of bits per second; kibit…: 1024s.",
    "pattern": r"^\s*(\d+\.?\d*|\.\d+)\s*([kKmMgGtT][iI]?)?[bB][iI][tT]\s*$",
    "examples": ["500Mbit", "1Gbit", "64kbit"],
}, bare: "a rate such as `500Mbit`");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_units_as_tc_does() {
        for (text, bits) in [
            ("1bit", 1),
            ("64kbit", 64_000),
            ("500Mbit", 500_000_000),
            ("1.5 gbit", 1_500_000_000),
            ("2TBIT", 2_000_000_000_000),
            ("1Gibit", 1 << 30),
            (".5kbit", 500),
        ] {
            assert_eq!(
                text.parse::<Rate>().map(Rate::bits_per_second),
                Ok(bits),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_with_the_way_out() {
        for (text, message) in [
            (
                "500",
                "`500` does not say its unit: write `500Mbit` or `500Gbit`",
            ),
            (
                "0Mbit",
                "`0Mbit` is zero: a rate is at least 1bit; leave it out for no limit",
            ),
            ("-1Mbit", "`-1Mbit` is negative: a rate cannot be"),
            (
                "99999999Tbit",
                "`99999999Tbit` is too large: at most 18446744Tbit",
            ),
            (
                "500Mbps",
                "`Mbps` in `500Mbps` is not a unit of a rate: use bit, kbit, mbit, gbit or tbit (kibit… for 1024s); `Mbps` is bits to most and bytes to tc",
            ),
            (
                "fast",
                "`fast` is not a rate: write a decimal number and a unit, for example `500Mbit`",
            ),
            (
                "1.2.3Mbit",
                "`1.2.3Mbit` is not a rate: write a decimal number and a unit, for example `500Mbit`",
            ),
            (
                "",
                "an empty text is not a rate: write for example `500Mbit`",
            ),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn time_and_size_agree() {
        let rate = Rate::from_bits_per_second(500_000_000);
        assert_eq!(
            rate.time_for(ByteSize::from_bytes(1_250_000)),
            Duration::from_millis(20)
        );
        assert_eq!(
            rate.size_in(Duration::from_millis(20)),
            ByteSize::from_bytes(1_250_000)
        );
        assert_eq!(
            Rate::from_bits_per_second(u64::MAX)
                .size_in(Duration::MAX)
                .bytes(),
            u64::MAX
        );
        assert_eq!(
            Rate::from_bits_per_second(3)
                .time_for(ByteSize::from_bytes(1))
                .as_nanos(),
            2_666_666_667
        );
    }

    proptest! {
        #[test]
        fn prints_what_it_parses(bits in 1u64..) {
            let rate = Rate(bits);
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<Rate>();
        }
    }
}
