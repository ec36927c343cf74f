//! The Internet checksum (RFC 1071).

/// The one's-complement sum of `bytes` as big-endian 16-bit words, added to `sum`. Not folded; holds 2^47 words.
pub(super) fn add(sum: u64, bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(2);
    let odd = words
        .remainder()
        .first()
        .map_or(0, |&byte| u64::from(byte) << 8);
    words.fold(sum + odd, |sum, word| {
        sum + u64::from(u16::from_be_bytes([word[0], word[1]]))
    })
}

/// The sum folded to 16 bits.
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The checksum `field` after words of what it covers were changed from those whose sum is `before` to those whose sum is
/// `after` (RFC 1624, equation 3: HC' = ~(~HC + ~m + m')).
pub(super) fn updated(field: u16, before: u64, after: u64) -> u16 {
    !fold(u64::from(!field) + u64::from(!fold(before)) + u64::from(fold(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_sums_as_printed() {
        assert_eq!(
            fold(add(0, &[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])),
            0xddf2
        );
    }

    #[test]
    fn an_odd_byte_counts_as_the_high_one() {
        assert_eq!(fold(add(0, &[0x12])), 0x1200);
    }
}
