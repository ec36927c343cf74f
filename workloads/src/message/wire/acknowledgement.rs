//! What an acknowledgement says, in few bytes: both ends send data at once, and the acknowledgements take from the line.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{MOST_NUMBER, Reader, varint};

/// Ranges in an acknowledgement at most: enough that a range is told of many times before others push it out.
pub(in crate::message) const MOST_RANGES: usize = 32;

const OUT_OF_ORDER: u8 = 1;
const ALLOWANCE: u8 = 2;
const MET: u8 = 4;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Acknowledgement<'a> {
    pub(in crate::message) expected: u64,
    pub(in crate::message) granted: u64,
    /// Bytes in flight at most; [`u64::MAX`] for any.
    pub(in crate::message) allowance: u64,
    pub(in crate::message) newest: u64,
    pub(in crate::message) way: i64,
    pub(in crate::message) way_above: Duration,
    /// How long apart two packets were sent that came at once, or the later one first; the longest, zero if none did.
    pub(in crate::message) met: Duration,
    pub(in crate::message) held: Duration,
    pub(in crate::message) marked: u64,
    pub(in crate::message) out_of_order: bool,
    /// Numbers that came, falling, no two ranges touching.
    pub(in crate::message) ranges: Vec<RangeInclusive<u64>>,
    pub(in crate::message) telemetry: &'a [u8],
}

impl<'a> Acknowledgement<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let ranges = &self.ranges[..self.ranges.len().min(MOST_RANGES)];
        let is_bounded = self.allowance < u64::MAX;
        let flags = [
            (self.out_of_order, OUT_OF_ORDER),
            (is_bounded, ALLOWANCE),
            (!self.met.is_zero(), MET),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set);
        out.push(flags.map(|(_, flag)| flag).sum());
        varint::write(out, self.expected);
        varint::write(out, self.granted);
        if is_bounded {
            varint::write(out, self.allowance);
        }
        varint::write(out, self.newest);
        varint::write_signed(out, self.way);
        varint::write(out, nanoseconds(self.way_above));
        if !self.met.is_zero() {
            varint::write(out, nanoseconds(self.met));
        }
        varint::write(out, nanoseconds(self.held));
        varint::write(out, self.marked);
        varint::write(out, self.telemetry.len() as u64);
        varint::write(out, ranges.len() as u64);
        let mut above: Option<u64> = None;
        for range in ranges {
            match above {
                None => varint::write_signed(out, range.end().wrapping_sub(self.newest) as i64),
                Some(above) => varint::write(out, above - range.end() - 2),
            }
            varint::write(out, range.end() - range.start());
            above = Some(*range.start());
        }
        out.extend_from_slice(self.telemetry);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Option<Self> {
        let [flags] = reader.array()?;
        let expected = reader.varint()?;
        let granted = reader.varint()?;
        let allowance = match flags & ALLOWANCE {
            0 => u64::MAX,
            _ => reader.varint()?,
        };
        let newest = reader.varint()?;
        let way = reader.signed_varint()?;
        let way_above = Duration::from_nanos(reader.varint()?);
        let met = match flags & MET {
            0 => Duration::ZERO,
            _ => Duration::from_nanos(reader.varint()?),
        };
        let held = Duration::from_nanos(reader.varint()?);
        let marked = reader.varint()?;
        let telemetry = usize::try_from(reader.varint()?).ok()?;
        Some(Self {
            expected,
            granted,
            allowance,
            newest,
            way,
            way_above,
            met,
            held,
            marked,
            out_of_order: flags & OUT_OF_ORDER != 0,
            ranges: ranges(reader, newest)?,
            telemetry: reader.take(telemetry)?,
        })
    }
}

/// Ranges of numbers that packets can have.
fn ranges(reader: &mut Reader<'_>, newest: u64) -> Option<Vec<RangeInclusive<u64>>> {
    let count = usize::try_from(reader.varint()?).ok()?;
    if count > MOST_RANGES {
        return None;
    }
    let mut ranges: Vec<RangeInclusive<u64>> = Vec::with_capacity(count);
    for _ in 0..count {
        let last = match ranges.last() {
            None => newest.checked_add_signed(reader.signed_varint()?)?,
            Some(above) => above.start().checked_sub(reader.varint()? + 2)?,
        };
        let first = last.checked_sub(reader.varint()?)?;
        ranges.push(first..=last);
    }
    let greatest = ranges.first().map(|range| *range.end());
    (greatest <= Some(MOST_NUMBER)).then_some(ranges)
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
