//! What a probe carries: its number, over and over. So a flipped bit shows, and the number is still told. Pure.

/// As many repetitions as outvote one that is wrong.
const LEAST: usize = 3;
const WORD: usize = size_of::<u64>();

/// The shortest payload, in bytes.
pub(crate) const SHORTEST: usize = LEAST * WORD;

/// A payload of about `length` bytes.
pub(crate) fn write(number: u64, length: usize) -> Vec<u8> {
    number.to_be_bytes().repeat((length / WORD).max(LEAST))
}

/// Writes a number into the beginning of `payload`, as much as [`read`] needs of it.
pub(crate) fn number(number: u64, payload: &mut [u8]) {
    for word in payload.chunks_exact_mut(WORD).take(LEAST) {
        word.copy_from_slice(&number.to_be_bytes());
    }
}

/// The number in `payload`, and whether a bit of it was flipped; `None` if it is none of these.
pub(crate) fn read(payload: &[u8]) -> Option<(u64, State)> {
    if payload.len() < SHORTEST {
        return None;
    }
    let (words, rest) = payload.as_chunks::<WORD>();
    let [a, b, c] = [0, 1, 2].map(|index| u64::from_be_bytes(words[index]));
    let number = (a & b) | (a & c) | (b & c);
    let whole = rest.is_empty() && words.iter().all(|word| u64::from_be_bytes(*word) == number);
    let state = if whole {
        State::Intact
    } else {
        State::Corrupted
    };
    Some((number, state))
}

/// In what state a probe arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Intact,
    /// At least one of its bits is another.
    Corrupted,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_flipped_bit_shows_and_leaves_the_number(number: u64, length in 0_usize..1500, bit: prop::sample::Index) {
            let sent = write(number, length);
            prop_assert_eq!(read(&sent), Some((number, State::Intact)));
            let mut arrived = sent;
            let bit = bit.index(arrived.len() * 8);
            arrived[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read(&arrived), Some((number, State::Corrupted)));
        }
    }

    #[test]
    fn what_is_too_short_is_no_probe() {
        assert_eq!(read(&[0; SHORTEST - 1]), None);
    }
}
