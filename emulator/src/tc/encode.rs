//! Structs and attributes of `linux/pkt_sched.h`, field by field, in the host's byte order.

/// A payload under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Payload(Vec<u8>);

impl Payload {
    pub(super) fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends an attribute: length and kind, then `value` padded to 4 bytes (the length does not count the padding).
    ///
    /// # Panics
    /// If `value` is longer than an attribute can be.
    pub(super) fn attribute(self, kind: u16, value: Payload) -> Self {
        let length = u16::try_from(4 + value.0.len()).expect("attributes are below 64 KiB");
        let mut payload = self.u16(length).u16(kind);
        payload.0.extend(value.0);
        payload.0.resize(payload.0.len().next_multiple_of(4), 0);
        payload
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// `TC_LINKLAYER_ETHERNET`: the kernel counts bytes as they are and wants no rate table.
const LINKLAYER_ETHERNET: u8 = 1;

/// Appends a `tc_ratespec`; that of no rate is all zeros.
pub(super) fn ratespec(payload: Payload, bytes_per_second: u64) -> Payload {
    let linklayer = if bytes_per_second == 0 {
        0
    } else {
        LINKLAYER_ETHERNET
    };
    payload
        .u8(0)
        .u8(linklayer)
        .u16(0)
        .u16(0)
        .u16(0)
        .u32(rate32(bytes_per_second))
}

/// As much of `value` as 32 bits hold.
pub(super) fn saturated(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// `value` in the ticks of 64 ns that older fields count in (`PSCHED_SHIFT` of the kernel's `net/pkt_sched.h`), saturating.
pub(super) fn ticks(nanoseconds: u64) -> u32 {
    saturated(nanoseconds >> 6)
}

/// A rate for a 32-bit field of bytes per second; a faster one is all ones there and has a 64-bit attribute beside it.
fn rate32(bytes_per_second: u64) -> u32 {
    saturated(bytes_per_second)
}

/// Whether `bytes_per_second` needs the 64-bit attribute.
pub(super) fn needs_rate64(bytes_per_second: u64) -> bool {
    bytes_per_second >= u64::from(u32::MAX)
}

/// Hex, four bytes a word: what the snapshots of the encodings show.
#[cfg(test)]
pub(super) fn hex(bytes: &[u8]) -> String {
    let words = bytes.chunks(4).map(|word| {
        word.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    });
    words.collect::<Vec<_>>().join(" ")
}
