//! The ECN field (RFC 3168 section 5), and what a congestion signal does to a packet.

use longhaul_topologies::model::Signal;

/// The ECN field of a wire packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::relay) enum Ecn {
    /// Not ECN-capable; also what has no such field.
    #[default]
    NotEct,
    /// ECN-capable, and the mark of L4S senders (RFC 9331 section 4.1).
    Ect1,
    /// ECN-capable.
    Ect0,
    /// Congestion experienced.
    Ce,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on as it is.
    Pass,
    /// It goes on, marked.
    Mark,
    /// It is dropped.
    Drop,
}

impl Ecn {
    /// Reads the two lowest bits of a TOS or traffic class octet.
    pub(in crate::relay) fn of_octet(octet: u8) -> Self {
        match octet & 0b11 {
            0b00 => Ecn::NotEct,
            0b01 => Ecn::Ect1,
            0b10 => Ecn::Ect0,
            _ => Ecn::Ce,
        }
    }

    /// What becomes of such a packet that is struck.
    pub(super) fn struck(self, signal: Signal) -> Fate {
        match (signal, self) {
            (Signal::Drop, _) | (Signal::Mark, Ecn::NotEct) => Fate::Drop,
            // It carries the signal already.
            (Signal::Mark, Ecn::Ce) => Fate::Pass,
            (Signal::Mark, Ecn::Ect0 | Ecn::Ect1) => Fate::Mark,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_the_two_lowest_bits() {
        let fields = [0b1011_1000, 0b01, 0b10, 0b11].map(Ecn::of_octet);
        assert_eq!(fields, [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce]);
    }

    #[test]
    fn a_mark_drops_what_is_not_capable_and_leaves_a_mark_that_is_there() {
        let marked =
            [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce].map(|field| field.struck(Signal::Mark));
        assert_eq!(marked, [Fate::Drop, Fate::Mark, Fate::Mark, Fate::Pass]);
        let dropped =
            [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce].map(|field| field.struck(Signal::Drop));
        assert_eq!(dropped, [Fate::Drop; 4]);
    }
}
