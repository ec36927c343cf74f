//! A rank's buffers.

use std::ops::Range;

/// Bytes aligned for every element type.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    words: Vec<u64>,
    length: usize,
}

impl Memory {
    /// Makes it `length` bytes long; what they hold is left open.
    pub(crate) fn resize(&mut self, length: usize) {
        self.words.resize(length.div_ceil(size_of::<u64>()), 0);
        self.length = length;
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }

    /// The bytes.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.length]
    }

    /// Two disjoint ranges, the second to be written.
    ///
    /// # Panics
    /// If they overlap or are out of bounds.
    pub(crate) fn read_and_write(
        &mut self,
        read: &Range<usize>,
        write: &Range<usize>,
    ) -> (&[u8], &mut [u8]) {
        let bytes = self.bytes_mut();
        if read.end <= write.start {
            let (low, high) = bytes.split_at_mut(write.start);
            (&low[read.clone()], &mut high[..write.len()])
        } else {
            assert!(write.end <= read.start, "{read:?} and {write:?} overlap");
            let (low, high) = bytes.split_at_mut(read.start);
            (&high[..read.len()], &mut low[write.clone()])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disjoint_ranges_are_lent_in_either_order() {
        let mut memory = Memory::default();
        memory.resize(10);
        memory
            .bytes_mut()
            .copy_from_slice(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let (read, write) = memory.read_and_write(&(0..2), &(8..10));
        write.copy_from_slice(read);
        let (read, write) = memory.read_and_write(&(6..8), &(2..4));
        write.copy_from_slice(read);
        assert_eq!(memory.bytes(), [0, 1, 6, 7, 4, 5, 6, 7, 0, 1]);
    }
}
