//! What makes a lab kernel out of a kernel source, and the keys that tell kernels apart.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The options, as a fragment for `allnoconfig`.
pub(super) const OPTIONS: &str = include_str!("../../kernel/options.config");

/// The patch, for `patch -p1`.
pub(super) const PATCH: &str = include_str!("../../kernel/virtual-time.patch");

/// The kernels that the patch was applied to, built and booted.
pub(super) const TRIED: &str = "6.1 and 6.12";

/// User-mode Linux runs on the machine's own architecture: a kernel of another is another kernel.
const ARCHITECTURE: &str = std::env::consts::ARCH;

/// Enough of a digest that no two kernels of a user share it, and that a result can be told by.
const KEY_DIGITS: usize = 16;

/// A digest of something, in hexadecimal.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum(Sha256);

impl Sum {
    /// Takes more of it in.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes a whole thing in, its end marked: `ab` and `c` are not `a` and `bc`.
    fn add_whole(&mut self, text: &str) {
        self.add(&text.len().to_le_bytes());
        self.add(text.as_bytes());
    }

    /// All digits of it.
    pub(super) fn digits(self) -> String {
        self.0
            .finalize()
            .iter()
            .fold(String::new(), |mut digits, byte| {
                let _ = write!(digits, "{byte:02x}");
                digits
            })
    }
}

/// What names a kernel that is known by its bytes alone.
pub(super) fn key_of_bytes(bytes: &[u8]) -> String {
    let mut sum = Sum::default();
    sum.add(bytes);
    shortened(sum)
}

/// What a kernel built from `source`, given by its digest, is named by.
pub(super) fn key(source: &str) -> String {
    key_of(&[source, &recipe()])
}

/// What this longhaul does to a source: kernels of the same recipe differ by their source alone.
pub(super) fn recipe() -> String {
    key_of(&[ARCHITECTURE, OPTIONS, PATCH])
}

fn key_of(parts: &[&str]) -> String {
    let mut sum = Sum::default();
    for part in parts {
        sum.add_whole(part);
    }
    shortened(sum)
}

fn shortened(sum: Sum) -> String {
    let mut digits = sum.digits();
    digits.truncate(KEY_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha256() {
        // FIPS 180-2, appendix B.1.
        let mut sum = Sum::default();
        sum.add(b"abc");
        assert_eq!(
            sum.digits(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_key_changes_with_each_input_and_with_nothing_else() {
        let key = key_of(&["x86_64", "CONFIG_A=y", "+one"]);
        assert_eq!(key, key_of(&["x86_64", "CONFIG_A=y", "+one"]));
        for other in [
            ["i386", "CONFIG_A=y", "+one"],
            ["x86_64", "CONFIG_B=y", "+one"],
            ["x86_64", "CONFIG_A=y", "+two"],
            ["x86_64", "CONFIG_A=y+", "one"],
        ] {
            assert_ne!(key, key_of(&other), "{other:?}");
        }
        assert_ne!(super::key("one source"), super::key("another"));
    }
}
