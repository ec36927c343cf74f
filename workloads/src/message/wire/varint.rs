//! Variable-length integers of QUIC (RFC 9000, section 16): the first two bits tell of 1, 2, 4 or 8 bytes.

use super::Reader;

/// The greatest.
pub(super) const MOST: u64 = (1 << 62) - 1;

/// Appends a number; no count and no span of ours is greater than [`MOST`], as which such a one is written.
pub(super) fn write(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=0x3f => out.push(number as u8),
        0x40..=0x3fff => out.extend_from_slice(&(number as u16 | 1 << 14).to_be_bytes()),
        0x4000..=0x3fff_ffff => out.extend_from_slice(&(number as u32 | 2 << 30).to_be_bytes()),
        _ => out.extend_from_slice(&(number.min(MOST) | 3 << 62).to_be_bytes()),
    }
}

/// Appends a number with its sign in the lowest bit, so that small ones of either sign are short.
pub(super) fn write_signed(out: &mut Vec<u8>, number: i64) {
    const BOUND: i64 = (MOST >> 1) as i64;
    let number = number.clamp(-BOUND - 1, BOUND);
    write(out, ((number << 1) ^ (number >> 63)) as u64);
}

impl Reader<'_> {
    pub(super) fn varint(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let number = match first >> 6 {
            0 => u64::from(self.array::<1>()?[0]),
            1 => u64::from(u16::from_be_bytes(self.array()?) & 0x3fff),
            2 => u64::from(self.u32()? & 0x3fff_ffff),
            _ => self.u64()? & MOST,
        };
        Some(number)
    }

    pub(super) fn signed_varint(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, number);
        out
    }

    #[test]
    fn the_examples_of_the_rfc_are_written_and_read_so() {
        // RFC 9000, appendix A.1.
        let examples: [(u64, &[u8]); 4] = [
            (
                151_288_809_941_952_652,
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
            ),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (15_293, &[0x7b, 0xbd]),
            (37, &[0x25]),
        ];
        for (number, bytes) in examples {
            assert_eq!(written(number), bytes);
            assert_eq!(Reader(bytes).varint(), Some(number));
        }
        assert_eq!(Reader(&[0x40, 0x25]).varint(), Some(37));
    }

    #[test]
    fn what_is_too_great_is_the_greatest() {
        assert_eq!(Reader(&written(u64::MAX)).varint(), Some(MOST));
        for (far, most) in [(i64::MAX, (1 << 61) - 1), (i64::MIN, -(1 << 61))] {
            let mut out = Vec::new();
            write_signed(&mut out, far);
            assert_eq!(Reader(&out).signed_varint(), Some(most));
        }
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(number in 0..=MOST, shift in 0..62, negative in any::<bool>()) {
            let number = number >> shift;
            let mut reader = Reader(&written(number));
            prop_assert_eq!(reader.varint(), Some(number));
            prop_assert!(reader.0.is_empty());
            let signed = if negative { -((number >> 1) as i64) - 1 } else { (number >> 1) as i64 };
            let mut out = Vec::new();
            write_signed(&mut out, signed);
            prop_assert_eq!(Reader(&out).signed_varint(), Some(signed));
        }
    }
}
