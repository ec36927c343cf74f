//! The traces embedded in the binary.

pub use longhaul_topologies::catalogue::Entry;

macro_rules! entries {
    ($($name:literal),* $(,)?) => {
        &[$(Entry { name: $name, text: include_str!(concat!("../../traces/", $name, ".yaml")) }),*]
    };
}

/// Every embedded trace.
pub fn entries() -> &'static [Entry] {
    entries!["gpt-data-parallel", "gpt-pipeline", "mixtral-experts"]
}
