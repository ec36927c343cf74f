//! How much memory there is, as the kernel tells it.

use std::fs;

use longhaul_topologies::units::ByteSize;

/// The machine's memory; `None` if it does not tell.
pub fn total_memory() -> Option<ByteSize> {
    size_field(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

/// What this machine can give without swapping (`MemAvailable` of proc_meminfo(5)); `None` if it does not tell.
pub(crate) fn available_memory() -> Option<ByteSize> {
    size_field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable")
}

/// The field `name` of a table like /proc/meminfo or /proc/self/status, whose sizes are in KiB.
pub(crate) fn size_field(table: &str, name: &str) -> Option<ByteSize> {
    let value = table
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(ByteSize::from_bytes(kibibytes.checked_mul(1024)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_memory_table_tells_nothing() {
        let text = "MemTotal:  100 kB\nMemAvailable:     2048 kB\n";
        let available = |text| size_field(text, "MemAvailable");
        assert_eq!(available(text), Some(ByteSize::from_bytes(2 << 20)));
        assert_eq!(available("MemAvailable: lots"), None);
        assert_eq!(available(""), None);
        assert_eq!(
            size_field("MemTotal:        8052172 kB\nMemFree: 1 kB\n", "MemTotal"),
            Some(ByteSize::from_bytes(8_052_172 * 1024))
        );
    }
}
