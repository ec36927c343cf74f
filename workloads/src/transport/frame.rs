//! What lies between messages on a connection.

/// The first bytes of a connection: who opened it, for which world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Tells this world's ranks from strangers.
    pub(super) nonce: u64,
    /// The rank that opened it, and sends on it.
    pub(super) from: u32,
    /// Which of the pair's connections.
    pub(super) connection: u32,
}

/// The bytes before each piece of a message. Both ends know what must come; this tells when they disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Which exchange on this mesh.
    pub(super) exchange: u32,
    /// Which message of this pair and direction.
    pub(super) message: u32,
    /// Bytes that follow.
    pub(super) length: u32,
}

impl Hello {
    /// Bytes on the wire.
    pub(super) const BYTES: usize = 16;

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.from.to_le_bytes());
        bytes[12..].copy_from_slice(&self.connection.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: [u8; Self::BYTES]) -> Self {
        let [a, b, from, connection] = words(bytes);
        Self {
            nonce: u64::from(a) | u64::from(b) << 32,
            from,
            connection,
        }
    }
}

impl Header {
    /// Bytes on the wire.
    pub(super) const BYTES: usize = 16;
    /// Marks a frame's beginning.
    const MAGIC: u32 = u32::from_le_bytes(*b"lhfr");

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (slot, word) in
            bytes
                .chunks_exact_mut(4)
                .zip([Self::MAGIC, self.exchange, self.message, self.length])
        {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The header in `bytes`, if they are one.
    pub(super) fn decode(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let [magic, exchange, message, length] = words(bytes);
        (magic == Self::MAGIC).then_some(Self {
            exchange,
            message,
            length,
        })
    }
}

fn words(bytes: [u8; 16]) -> [u32; 4] {
    std::array::from_fn(|word| {
        u32::from_le_bytes(std::array::from_fn(|byte| bytes[4 * word + byte]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let hello = Hello {
            nonce: 0x0123_4567_89AB_CDEF,
            from: 7,
            connection: 3,
        };
        assert_eq!(Hello::decode(hello.encode()), hello);
        let header = Header {
            exchange: 1,
            message: 2,
            length: 131_072,
        };
        assert_eq!(Header::decode(header.encode()), Some(header));
    }

    #[test]
    fn bytes_that_are_no_header_are_recognised() {
        assert_eq!(Header::decode([0; 16]), None);
    }
}
