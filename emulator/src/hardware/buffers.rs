//! How a port's memory is divided among priorities: as text, as plans and journals write it (`256KiB:0,1,2,4,5,6,7 128KiB:3`), and as the
//! kernel has it. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use longhaul_topologies::hardware::{Buffer, MOST_BUFFERS, Priority};
use longhaul_topologies::units::ByteSize;

use super::place::NONE;
use super::plan::list;

/// `struct dcbnl_buffer` (linux/dcbnl.h): a byte for each priority, which tells its buffer; four for each buffer's size; four for all.
pub(super) const LENGTH: usize = SIZES + 4 * MOST_BUFFERS + 4;
/// Where its sizes begin.
const SIZES: usize = 8;
/// Where all that the port has stands, in bytes.
const TOTAL: usize = SIZES + 4 * MOST_BUFFERS;

/// The size of each buffer, in bytes, and the buffer of each priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Buffers {
    sizes: [u32; MOST_BUFFERS],
    of_priority: [u8; 8],
}

impl Buffers {
    /// Those that a file of settings names.
    ///
    /// # Panics
    /// If the settings were not checked.
    pub(super) fn named(buffers: &[Buffer]) -> Self {
        let mut all = Buffers::default();
        for (index, buffer) in (0..).zip(buffers) {
            let size = u32::try_from(buffer.size.bytes());
            all.sizes[usize::from(index)] = size.expect("settings are checked when they are read");
            for priority in &buffer.priorities {
                all.of_priority[usize::from(priority.number())] = index;
            }
        }
        all
    }

    /// How much they are together.
    pub(super) fn size(&self) -> ByteSize {
        ByteSize::from_bytes(self.sizes.iter().copied().map(u64::from).sum())
    }

    /// Out of the kernel's structure; none if a priority has a buffer that there is none of.
    pub(super) fn read(bytes: &[u8; LENGTH]) -> Option<Self> {
        let mut all = Buffers::default();
        for (index, size) in all.sizes.iter_mut().enumerate() {
            *size = number(bytes, SIZES + 4 * index);
        }
        all.of_priority.copy_from_slice(&bytes[..SIZES]);
        let exists = |buffer: &u8| usize::from(*buffer) < MOST_BUFFERS;
        all.of_priority.iter().all(exists).then_some(all)
    }

    /// Into the kernel's structure; all that the port has stays.
    pub(super) fn write(&self, bytes: &mut [u8; LENGTH]) {
        bytes[..SIZES].copy_from_slice(&self.of_priority);
        for (told, size) in bytes[SIZES..TOTAL].chunks_exact_mut(4).zip(self.sizes) {
            told.copy_from_slice(&size.to_ne_bytes());
        }
    }

    /// Those whose packets a buffer takes.
    fn priorities(&self, buffer: usize) -> Vec<Priority> {
        let own =
            |one: &Priority| usize::from(self.of_priority[usize::from(one.number())]) == buffer;
        Priority::all().filter(own).collect()
    }
}

/// What the port has for all buffers, in the kernel's structure.
pub(super) fn total(bytes: &[u8; LENGTH]) -> ByteSize {
    ByteSize::from_bytes(number(bytes, TOTAL).into())
}

fn number(bytes: &[u8; LENGTH], offset: usize) -> u32 {
    let word = [0, 1, 2, 3].map(|byte| bytes[offset + byte]);
    u32::from_ne_bytes(word)
}

impl fmt::Display for Buffers {
    /// Up to the last that has memory or priorities.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_used =
            |buffer: &usize| self.sizes[*buffer] > 0 || !self.priorities(*buffer).is_empty();
        let last = (0..MOST_BUFFERS).rfind(is_used).unwrap_or_default();
        let one = |buffer: usize| {
            let size = ByteSize::from_bytes(self.sizes[buffer].into());
            format!("{size}:{}", list(&self.priorities(buffer)))
        };
        f.write_str(&(0..=last).map(one).collect::<Vec<_>>().join(" "))
    }
}

impl FromStr for Buffers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Buffers::default();
        let mut named = BTreeSet::new();
        for (index, one) in (0..).zip(text.split(' ')) {
            let wrong = || format!("`{one}` is no buffer with its priorities");
            let (size, priorities) = one.split_once(':').ok_or_else(wrong)?;
            let size: ByteSize = size.parse().map_err(|_| wrong())?;
            let own = all.sizes.get_mut(usize::from(index)).ok_or_else(wrong)?;
            *own = u32::try_from(size.bytes()).map_err(|_| wrong())?;
            for priority in priorities.split(',').filter(|word| *word != NONE) {
                let priority = priority.parse::<usize>().map_err(|_| wrong())?;
                *all.of_priority.get_mut(priority).ok_or_else(wrong)? = index;
                if !named.insert(priority) {
                    return Err(wrong());
                }
            }
        }
        match named.len() == all.of_priority.len() {
            true => Ok(all),
            false => Err(format!("`{text}` does not name every priority")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What gcc makes of a `struct dcbnl_buffer` of Linux 6.1's headers with these values, on a little-endian machine.
    #[cfg(target_endian = "little")]
    const AS_IN_C: &[u8; LENGTH] = b"\0\0\0\x01\0\0\0\x02\0\0\x04\0\0\0\x02\0\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_structure_is_read_and_written() {
        let buffers = Buffers::read(AS_IN_C).unwrap();
        assert_eq!(buffers.to_string(), "256KiB:0,1,2,4,5,6 128KiB:3 128B:7");
        assert_eq!(total(AS_IN_C), ByteSize::from_bytes(1 << 20));
        let mut written = [0; LENGTH];
        written[TOTAL..].copy_from_slice(&AS_IN_C[TOTAL..]);
        buffers.write(&mut written);
        assert_eq!(written, *AS_IN_C);
    }

    #[test]
    fn a_buffer_that_there_is_none_of_is_found_out() {
        let mut bytes = [0; LENGTH];
        bytes[7] = 8;
        assert_eq!(Buffers::read(&bytes), None);
    }

    #[test]
    fn priorities_that_no_buffer_names_have_the_first() {
        let buffer = |size, priorities: &[u8]| Buffer {
            size: ByteSize::from_bytes(size),
            priorities: priorities
                .iter()
                .map(|one| Priority::try_from(*one).unwrap())
                .collect(),
        };
        let buffers = Buffers::named(&[buffer(1000, &[]), buffer(2048, &[3]), buffer(1, &[])]);
        assert_eq!(buffers.to_string(), "1000B:0,1,2,4,5,6,7 2KiB:3 1B:none");
        assert_eq!(buffers.size(), ByteSize::from_bytes(3049));
    }

    proptest! {
        #[test]
        fn buffers_read_back_as_they_are_written(
            sizes in proptest::array::uniform8(prop_oneof![Just(0), any::<u32>()]),
            of_priority in proptest::array::uniform8(0_u8..8),
        ) {
            let buffers = Buffers { sizes, of_priority };
            prop_assert_eq!(buffers.to_string().parse(), Ok(buffers));
            let mut bytes = [0; LENGTH];
            buffers.write(&mut bytes);
            prop_assert_eq!(Buffers::read(&bytes), Some(buffers));
        }
    }

    #[test]
    fn what_is_no_division_is_refused() {
        for text in [
            "",
            "none",
            "1KiB",
            "1KiB:0,1,2,3,4,5,6",
            "1KiB:0,1,2,3,4,5,6,8",
            "1KiB:0,0,1,2,3,4,5,6",
            "1KiB:0,1,2,3,4,5,6,7 1KiB:7",
            "4GiB:0,1,2,3,4,5,6,7",
            "1B:0,1,2,3,4,5,6,7 1B:none 1B:none 1B:none 1B:none 1B:none 1B:none 1B:none 1B:none",
        ] {
            assert!(text.parse::<Buffers>().is_err(), "{text}");
        }
    }
}
