//! Quantities as people read them.

/// A rate with its unit, in three significant digits: `500 Mbit/s`.
pub fn rate(bits_per_second: f64) -> String {
    let (unit, scale) = [("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)]
        .into_iter()
        .find(|(_, scale)| bits_per_second.abs() >= *scale)
        .unwrap_or(("bit/s", 1.0));
    format!("{} {unit}", significant(bits_per_second / scale))
}

/// A time with its unit: `40.5 ms`.
pub(crate) fn time(microseconds: f64) -> String {
    let (unit, scale) = [("s", 1e6), ("ms", 1e3)]
        .into_iter()
        .find(|(_, scale)| microseconds.abs() >= *scale)
        .unwrap_or(("µs", 1.0));
    format!("{} {unit}", significant(microseconds / scale))
}

/// A number of bytes in the largest binary unit that leaves at least 1: `16 MiB`.
pub(crate) fn bytes(bytes: f64) -> String {
    let (unit, scale) = [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .map(|(unit, power)| (unit, f64::from(1_u32 << power)))
        .into_iter()
        .find(|(_, scale)| bytes.abs() >= *scale)
        .unwrap_or(("B", 1.0));
    format!("{} {unit}", significant(bytes / scale))
}

/// A value in a unit as results name it: `us`, `bit/s`, `bytes`, `%`, `packets`, or none.
pub(crate) fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "us" => time(value),
        "bit/s" => rate(value),
        "bytes" => bytes(value),
        "" => significant(value),
        unit => format!("{} {unit}", significant(value)),
    }
}

/// Three significant digits, whole numbers in full, no trailing zeros.
pub(crate) fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 {
            "0".to_owned()
        } else {
            value.to_string()
        };
    }
    let decimals = decimals_for(value, 3);
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// How many decimals show `digits` significant digits of `value`.
pub(crate) fn decimals_for(value: f64, digits: i32) -> usize {
    let magnitude = value.abs().log10().floor();
    if magnitude.is_finite() {
        (digits - 1 - magnitude as i32).clamp(0, 9) as usize
    } else {
        0
    }
}

/// How many decimals a bandwidth in gigabytes per second has: two, as nccl-tests gives it, and more where long links carry too little of
/// one for three digits.
pub(crate) fn bandwidth_decimals(gbps: f64) -> usize {
    decimals_for(gbps, 3).max(2)
}

/// Ascending numbers, those that follow each other as one range: `0–2, 5`.
pub(crate) fn ranges(numbers: impl IntoIterator<Item = usize>) -> String {
    let mut ranges: Vec<[usize; 2]> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some([_, last]) if *last == number || *last + 1 == number => *last = number,
            _ => ranges.push([number, number]),
        }
    }
    let ranges: Vec<String> = ranges
        .into_iter()
        .map(|[first, last]| match first == last {
            true => first.to_string(),
            false => format!("{first}–{last}"),
        })
        .collect();
    ranges.join(", ")
}

/// Points by their numbers: `point 3`, `points 0–2, 5`.
pub(crate) fn points(numbers: impl IntoIterator<Item = usize>) -> String {
    let ranges = ranges(numbers);
    let is_one = ranges.chars().all(|c| c.is_ascii_digit());
    let word = if is_one { "point" } else { "points" };
    format!("{word} {ranges}")
}

/// `1 point`, `2 points`.
pub(crate) fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// A clause as a whole sentence.
pub(crate) fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().map(char::to_uppercase);
    first
        .into_iter()
        .flatten()
        .chain(letters)
        .chain(['.'])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_take_the_unit_that_suits_them() {
        assert_eq!(
            [0.0, 500e6, 1.25e9, 64e3].map(rate),
            ["0 bit/s", "500 Mbit/s", "1.25 Gbit/s", "64 kbit/s"]
        );
        assert_eq!(
            [0.5, 250.0, 40_512.0, 2e6].map(time),
            ["0.5 µs", "250 µs", "40.5 ms", "2 s"]
        );
        assert_eq!(
            [512.0, 262_144.0, 16_777_216.0].map(bytes),
            ["512 B", "256 KiB", "16 MiB"]
        );
        assert_eq!(
            [0.012_34, 1.0, 1234.5, -2.5].map(significant),
            ["0.0123", "1", "1234", "-2.5"]
        );
        assert_eq!(
            [12.5, 0.5, 0.0123, 1e-7, f64::INFINITY].map(bandwidth_decimals),
            [2, 3, 4, 9, 2]
        );
    }
}
