//! Numbers of bytes.

use std::fmt;
use std::str::FromStr;

use super::UnitError;
use super::number::Quantity;
use super::serial::as_string;

/// A number of bytes: `1500`, `64KB`, `16MiB`. As in `tc` and nccl-tests, `K`, `KB` and `KiB` are all 1024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// That many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        ByteSize(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// `tc/tc_util.c` of iproute2, `get_size64`; `KiB` and its kin are ours.
pub(super) const SIZE: Quantity = Quantity {
    what: "a size",
    offered: "b, kb, mb, gb or tb (1024s, as in tc; KiB, MiB… are the same)",
    example: "256KB",
    units: &[
        (&["b"], 1),
        (&["k", "kb", "kib"], 1 << 10),
        (&["m", "mb", "mib"], 1 << 20),
        (&["g", "gb", "gib"], 1 << 30),
        (&["t", "tb", "tib"], 1 << 40),
    ],
};

const MOST: &str = "16777215TiB";

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bytes = SIZE.parse(text, |_| Ok(1), MOST)?;
        u64::try_from(bytes)
            .map(ByteSize)
            .map_err(|_| UnitError::TooLarge {
                text: text.trim().to_owned(),
                most: MOST,
            })
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that divides it: `64KiB`, `1500B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] = [
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ];
        let fits = |size: u64| self.0 >= size && self.0.is_multiple_of(size);
        let (name, size) = UNITS
            .into_iter()
            .find(|&(_, size)| fits(size))
            .unwrap_or(("B", 1));
        f.pad(&format!("{}{name}", self.0 / size))
    }
}

as_string!(ByteSize, schema: {
    "type": ["string", "integer"],
    "description": "A number of bytes. K, KB and KiB are 1024, as in tc and nccl-tests.",
    "minimum": 0,
    "pattern": r"^\s*(\d+\.?\d*|\.\d+)\s*([bB]|[kKmMgGtT]([iI]?[bB])?)?\s*$",
    "examples": ["256KB", "16MiB", 1500],
}, bare: "a size such as `256KB`");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_units_as_tc_does() {
        for (text, bytes) in [
            ("1500", 1500),
            ("1500b", 1500),
            ("64KB", 65_536),
            ("64k", 65_536),
            ("64KiB", 65_536),
            ("1.5M", 1_572_864),
            ("2 GiB", 2 << 30),
        ] {
            assert_eq!(
                text.parse::<ByteSize>().map(ByteSize::bytes),
                Ok(bytes),
                "{text}"
            );
        }
    }

    #[test]
    fn prints_the_largest_unit_that_divides_it() {
        assert_eq!(ByteSize(65_536).to_string(), "64KiB");
        assert_eq!(ByteSize(1500).to_string(), "1500B");
        assert_eq!(ByteSize(0).to_string(), "0B");
    }

    #[test]
    fn refuses_with_the_way_out() {
        for (text, message) in [
            (
                "3kbit",
                "`kbit` in `3kbit` is not a unit of a size: use b, kb, mb, gb or tb (1024s, as in tc; KiB, MiB… are the same)",
            ),
            (
                "99999999TB",
                "`99999999TB` is too large: at most 16777215TiB",
            ),
            ("-1k", "`-1k` is negative: a size cannot be"),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_parses(bytes: u64) {
            let size = ByteSize(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
