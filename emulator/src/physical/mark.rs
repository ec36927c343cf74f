//! What a probe or a packet of a train between machines carries, as a number (see [`crate::probe::payload`]). Pure.

/// Which datagram it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) kind: Kind,
    /// The way it goes, by its number in the lab; 32,768 are more than 250 sites have.
    pub(super) path: u16,
    /// Which of that way.
    pub(super) number: u32,
    /// Tells this lab's from strangers'.
    pub(super) nonce: u16,
}

/// What it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Probe,
    Train,
}

/// Ways that numbers have room for.
pub(super) const MOST_PATHS: usize = 1 << 15;

impl Mark {
    pub(super) fn to_number(self) -> u64 {
        let train = u64::from(self.kind == Kind::Train);
        train << 63
            | u64::from(self.path) << 48
            | u64::from(self.number) << 16
            | u64::from(self.nonce)
    }

    pub(super) fn of_number(number: u64) -> Self {
        Self {
            kind: if number >> 63 == 1 {
                Kind::Train
            } else {
                Kind::Probe
            },
            path: (number >> 48) as u16 & 0x7fff,
            number: (number >> 16) as u32,
            nonce: number as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_mark_is_told_from_its_number(train: bool, path in 0..MOST_PATHS, number: u32, nonce: u16) {
            let kind = if train { Kind::Train } else { Kind::Probe };
            let mark = Mark { kind, path: path as u16, number, nonce };
            prop_assert_eq!(Mark::of_number(mark.to_number()), mark);
        }
    }
}
