//! Probabilities.

use std::fmt;
use std::str::FromStr;

use super::UnitError;
use super::number::split;
use super::serial::as_string;

/// A probability, written with its percent sign: `0.01%`. Between 0 % and 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Probability(f64);

impl Probability {
    /// Never.
    pub const ZERO: Probability = Probability(0.0);

    /// Always.
    pub const ONE: Probability = Probability(1.0);

    /// A probability of `fraction`, 0 to 1; `None` outside that.
    pub fn new(fraction: f64) -> Option<Self> {
        // `+ 0.0` turns −0 into 0.
        (0.0..=1.0)
            .contains(&fraction)
            .then_some(Probability(fraction + 0.0))
    }

    /// Between 0 and 1.
    pub const fn fraction(self) -> f64 {
        self.0
    }

    /// Whether it is impossible.
    pub fn is_zero(self) -> bool {
        self.0 == 0.0
    }
}

impl FromStr for Probability {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const WHAT: &str = "a probability";
        const EXAMPLE: &str = "0.01%";
        let text = text.trim();
        let (number, unit) = split(text, WHAT, EXAMPLE)?;
        // The decimal point is moved in the text: a division would round a second time, and what is printed
        // would not always parse back to the same value.
        let fraction = format!("{number}e-2")
            .parse::<f64>()
            .unwrap_or(f64::INFINITY);
        match unit {
            "%" => Probability::new(fraction).ok_or_else(|| UnitError::TooLarge {
                text: text.to_owned(),
                most: "100%, which is certain",
            }),
            "" => Err(UnitError::NoUnit {
                text: text.to_owned(),
                write: match number.parse().ok().and_then(Probability::new) {
                    Some(as_fraction) if as_fraction != Probability::ZERO => {
                        format!("`{as_fraction}` or `{number}%`")
                    }
                    _ => format!("`{number}%`"),
                },
            }),
            unit => Err(UnitError::UnknownUnit {
                text: text.to_owned(),
                unit: unit.to_owned(),
                what: WHAT,
                units: "%",
            }),
        }
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The shortest digits that give this value, their decimal point moved in the text (see `from_str`).
        let scientific = format!("{:e}", self.0);
        let (mantissa, exponent) = scientific
            .split_once('e')
            .expect("`e` format has an exponent");
        let digits: String = mantissa.chars().filter(|&c| c != '.').collect();
        let point = exponent
            .parse::<i32>()
            .expect("`e` format has an integer exponent")
            + 3;
        let percent = match usize::try_from(point) {
            Err(_) | Ok(0) => format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
            Ok(point) if point >= digits.len() => {
                format!("{digits}{}", "0".repeat(point - digits.len()))
            }
            Ok(point) => format!("{}.{}", &digits[..point], &digits[point..]),
        };
        let percent = if self.is_zero() { "0" } else { &percent };
        f.pad(&format!("{percent}%"))
    }
}

as_string!(Probability, schema: {
    "type": "string",
    "description": "A probability in per cent, 0% to 100%.",
    "pattern": r"^\s*(\d+\.?\d*|\.\d+)\s*%\s*$",
    "examples": ["0.01%", "1%"],
}, bare: "a probability such as `0.01%`");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_per_cents() {
        for (text, fraction) in [
            ("0.01%", 0.0001),
            ("1 %", 0.01),
            ("100%", 1.0),
            ("0%", 0.0),
            (".5%", 0.005),
        ] {
            assert_eq!(
                text.parse::<Probability>().map(Probability::fraction),
                Ok(fraction),
                "{text}"
            );
        }
    }

    #[test]
    fn prints_plain_decimals() {
        for (fraction, text) in [
            (0.0, "0%"),
            (1.0, "100%"),
            (0.0001, "0.01%"),
            (0.5, "50%"),
            (0.125, "12.5%"),
            (1e-9, "0.0000001%"),
        ] {
            assert_eq!(Probability(fraction).to_string(), text);
        }
    }

    #[test]
    fn refuses_with_the_way_out() {
        for (text, message) in [
            (
                "120%",
                "`120%` is too large: at most 100%, which is certain",
            ),
            (
                "0.01",
                "`0.01` does not say its unit: write `1%` or `0.01%`",
            ),
            ("5", "`5` does not say its unit: write `5%`"),
            ("-1%", "`-1%` is negative: a probability cannot be"),
            ("1‰", "`‰` in `1‰` is not a unit of a probability: use %"),
        ] {
            assert_eq!(
                text.parse::<Probability>().unwrap_err().to_string(),
                message
            );
        }
        assert_eq!(Probability::new(f64::NAN), None);
        assert_eq!(Probability::new(-0.1), None);
    }

    proptest! {
        #[test]
        fn prints_what_it_parses(fraction in 0.0..=1.0f64, scale in 0..40) {
            let probability = Probability(fraction / 10f64.powi(scale));
            prop_assert_eq!(probability.to_string().parse(), Ok(probability));
        }
    }
}
