//! The traces embedded in the binary.

/// An embedded trace.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name a user types.
    pub name: &'static str,
    /// Its YAML.
    pub text: &'static str,
}

macro_rules! entries {
    ($($name:literal),* $(,)?) => {
        &[$(Entry { name: $name, text: include_str!(concat!("../../traces/", $name, ".yaml")) }),*]
    };
}

/// Every embedded trace.
pub fn entries() -> &'static [Entry] {
    entries!["gpt-data-parallel", "gpt-pipeline", "mixtral-experts"]
}
