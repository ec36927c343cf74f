//! Exact decimal numbers with a unit: no floating point, so that what is printed parses back to the same value.

use std::fmt;

use super::UnitError;

/// Names of a unit (lower case) and how many base units it is.
pub(super) type Unit = (&'static [&'static str], u128);

/// What a quantity is called and which units it has.
pub(super) struct Quantity {
    /// With its article, for error messages.
    pub what: &'static str,
    /// The names a message offers.
    pub offered: &'static str,
    /// A text that parses.
    pub example: &'static str,
    /// Its units.
    pub units: &'static [Unit],
}

impl Quantity {
    /// Reads `text` as a number of base units, rounded to the nearest. Of a number without a unit, `bare` says how
    /// many base units one is, or why it is refused; `most` is what to name if the number is out of range.
    pub(super) fn parse(
        &self,
        text: &str,
        bare: impl FnOnce(&str) -> Result<u128, UnitError>,
        most: &'static str,
    ) -> Result<u128, UnitError> {
        let (number, unit) = split(text, self.what, self.example)?;
        let factor = if unit.is_empty() {
            bare(number)?
        } else {
            self.factor(unit).ok_or_else(|| UnitError::UnknownUnit {
                text: text.trim().to_owned(),
                unit: unit.to_owned(),
                what: self.what,
                units: self.offered,
            })?
        };
        scale(number, factor).ok_or_else(|| UnitError::TooLarge {
            text: text.trim().to_owned(),
            most,
        })
    }

    fn factor(&self, unit: &str) -> Option<u128> {
        let unit = unit.to_lowercase();
        self.units
            .iter()
            .find(|(names, _)| names.contains(&unit.as_str()))
            .map(|&(_, factor)| factor)
    }
}

/// `40 ms` as (`40`, `ms`): a decimal number and what follows it.
pub(super) fn split<'a>(
    text: &'a str,
    what: &'static str,
    example: &'static str,
) -> Result<(&'a str, &'a str), UnitError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UnitError::Empty { what, example });
    }
    let not_a_number = || UnitError::NotANumber {
        text: text.to_owned(),
        what,
        example,
    };
    if let Some(positive) = text.strip_prefix('-') {
        let negative = positive
            .trim_start()
            .starts_with(|c: char| c.is_ascii_digit() || c == '.');
        return Err(if negative {
            UnitError::Negative {
                text: text.to_owned(),
                what,
            }
        } else {
            not_a_number()
        });
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(not_a_number());
    }
    Ok((number, unit.trim_start()))
}

/// `number` × `factor`, rounded half up; `None` past `u128`. `number` is what [`split`] lets through.
fn scale(number: &str, factor: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u128>().ok()?
    };
    // Digits past the 18th are below half a base unit for every factor there is (the largest is 2^40).
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let part = if fraction.is_empty() {
        0
    } else {
        let denominator = 10u128.pow(fraction.len() as u32);
        let numerator = fraction.parse::<u128>().ok()?.checked_mul(factor)?;
        (numerator + denominator / 2) / denominator
    };
    whole.checked_mul(factor)?.checked_add(part)
}

/// Writes `value` in the largest of `units` (name and size, largest first, powers of ten) that it reaches,
/// with as many decimals as it takes to be exact.
pub(super) fn write_decimal(
    f: &mut fmt::Formatter<'_>,
    value: u128,
    units: &[(&str, u128)],
) -> fmt::Result {
    let &(name, size) = units
        .iter()
        .find(|(_, size)| value >= *size)
        .or(units.last())
        .expect("units to print in");
    let digits = size.ilog10() as usize;
    let (whole, rest) = (value / size, value % size);
    if rest == 0 {
        return f.pad(&format!("{whole}{name}"));
    }
    let fraction = format!("{rest:0digits$}");
    f.pad(&format!("{whole}.{}{name}", fraction.trim_end_matches('0')))
}
