//! Queue sizes.

use std::fmt;
use std::str::FromStr;

use super::number::split;
use super::serial::as_string;
use super::{ByteSize, TimeSpan, UnitError};

/// How much a queue holds: `256KB`, `1000p` (packets of the MTU), `10ms` (at the link's rate), `2bdp`
/// (multiples of rate × round-trip time of the link).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QueueSize {
    /// Bytes on the wire.
    Bytes(ByteSize),
    /// Packets of any length.
    Packets(u32),
    /// As many bytes as the link's rate drains in this time.
    Time(TimeSpan),
    /// Multiples of the link's bandwidth-delay product (rate × RTT of the link itself).
    Bdp(f64),
}

const WHAT: &str = "a queue size";
const EXAMPLE: &str = "1bdp";
const UNITS: &str = "b, kb or mb, p (packets), us, ms or s, or bdp";

impl FromStr for QueueSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let (number, unit) = split(text, WHAT, EXAMPLE)?;
        let too_large = |most| UnitError::TooLarge {
            text: text.to_owned(),
            most,
        };
        let size = match unit.to_lowercase().as_str() {
            "" => {
                return Err(UnitError::NoUnit {
                    text: text.to_owned(),
                    write: format!(
                        "`{number}KB`, `{number}p` (packets), `{number}ms` or `{number}bdp`"
                    ),
                });
            }
            "p" | "packet" | "packets" => {
                if number.contains('.') {
                    return Err(UnitError::NotANumber {
                        text: text.to_owned(),
                        what: "a number of packets",
                        example: "1000p",
                    });
                }
                QueueSize::Packets(number.parse().map_err(|_| too_large("4294967295p"))?)
            }
            "bdp" => {
                let multiples = number
                    .parse::<f64>()
                    .ok()
                    .filter(|multiples| *multiples <= MOST_BDP);
                QueueSize::Bdp(multiples.ok_or_else(|| too_large("1000000bdp"))?)
            }
            _ => match text.parse() {
                Ok(size) => QueueSize::Bytes(size),
                Err(UnitError::UnknownUnit { .. }) => {
                    QueueSize::Time(text.parse().map_err(|error| match error {
                        UnitError::UnknownUnit { text, unit, .. } => UnitError::UnknownUnit {
                            text,
                            unit,
                            what: WHAT,
                            units: UNITS,
                        },
                        error => error,
                    })?)
                }
                Err(error) => return Err(error),
            },
        };
        if size.is_zero() {
            return Err(UnitError::Zero {
                text: text.to_owned(),
                way_out: "a queue holds at least the packet being sent; write `1p` for nothing more",
            });
        }
        Ok(size)
    }
}

/// Far past any buffer there is; keeps the product with a rate finite.
const MOST_BDP: f64 = 1e6;

impl QueueSize {
    fn is_zero(self) -> bool {
        match self {
            QueueSize::Bytes(size) => size.bytes() == 0,
            QueueSize::Packets(packets) => packets == 0,
            QueueSize::Time(time) => time.duration().is_zero(),
            QueueSize::Bdp(multiples) => multiples == 0.0,
        }
    }
}

impl fmt::Display for QueueSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueueSize::Bytes(size) => size.fmt(f),
            QueueSize::Packets(packets) => f.pad(&format!("{packets}p")),
            QueueSize::Time(time) => time.fmt(f),
            QueueSize::Bdp(multiples) => f.pad(&format!("{multiples}bdp")),
        }
    }
}

as_string!(QueueSize, schema: {
    "type": "string",
    "description": "How much a queue holds: bytes (256KB), packets (1000p), time at the link's rate (10ms), or multiples of rate × round-trip time (2bdp).",
    "pattern": r"^\s*(\d+\.?\d*|\.\d+)\s*([bB]|[kKmMgGtT]([iI]?[bB])?|[pP]([aA][cC][kK][eE][tT][sS]?)?|[mMuUnNµμ]?[sS]([eE][cC][sS]?)?|[mM][iI][nN][sS]?|[bB][dD][pP])\s*$",
    "examples": ["1bdp", "256KB", "1000p", "10ms"],
}, bare: "a queue size such as `1bdp`");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_each_kind() {
        for (text, size) in [
            ("256KB", QueueSize::Bytes(ByteSize::from_bytes(262_144))),
            ("1000p", QueueSize::Packets(1000)),
            ("1000 packets", QueueSize::Packets(1000)),
            ("10ms", QueueSize::Time(Duration::from_millis(10).into())),
            ("1m", QueueSize::Bytes(ByteSize::from_bytes(1 << 20))),
            ("2bdp", QueueSize::Bdp(2.0)),
            ("0.5BDP", QueueSize::Bdp(0.5)),
        ] {
            assert_eq!(text.parse(), Ok(size), "{text}");
        }
    }

    #[test]
    fn refuses_with_the_way_out() {
        for (text, message) in [
            (
                "100",
                "`100` does not say its unit: write `100KB`, `100p` (packets), `100ms` or `100bdp`",
            ),
            (
                "1.5p",
                "`1.5p` is not a number of packets: write a decimal number and a unit, for example `1000p`",
            ),
            (
                "0p",
                "`0p` is zero: a queue holds at least the packet being sent; write `1p` for nothing more",
            ),
            (
                "9x",
                "`x` in `9x` is not a unit of a queue size: use b, kb or mb, p (packets), us, ms or s, or bdp",
            ),
            (
                "2000000bdp",
                "`2000000bdp` is too large: at most 1000000bdp",
            ),
        ] {
            assert_eq!(text.parse::<QueueSize>().unwrap_err().to_string(), message);
        }
    }

    fn sizes() -> impl Strategy<Value = QueueSize> {
        prop_oneof![
            (1u64..).prop_map(|bytes| QueueSize::Bytes(ByteSize::from_bytes(bytes))),
            (1u32..).prop_map(QueueSize::Packets),
            (1u64..)
                .prop_map(|nanoseconds| QueueSize::Time(Duration::from_nanos(nanoseconds).into())),
            (1e-6..=MOST_BDP).prop_map(QueueSize::Bdp),
        ]
    }

    proptest! {
        #[test]
        fn prints_what_it_parses(size in sizes()) {
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9.]{0,12} ?[a-zµ%]{0,8}") {
            let _ = text.parse::<QueueSize>();
        }
    }
}
