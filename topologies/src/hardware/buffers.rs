//! How a port's memory for packets that come in is divided among priorities.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Nic, Priority};
use crate::document::{Document, DocumentPath, InputError};
use crate::units::ByteSize;

/// How many a port has (`DCBX_MAX_BUFFERS`, linux/dcbnl.h).
pub const MOST_BUFFERS: usize = 8;

/// A part of a port's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Buffer {
    /// How many bytes it holds.
    pub size: ByteSize,
    /// Whose packets it takes; the first takes those that no other does.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub priorities: BTreeSet<Priority>,
}

/// Refuses what no port could be divided into.
pub(super) fn check(
    document: &Document,
    nic: &DocumentPath,
    settings: &Nic,
) -> Result<(), InputError> {
    let list = nic.key("buffers");
    if settings.buffers.len() > MOST_BUFFERS {
        let message = format!("a port has {MOST_BUFFERS} buffers at most");
        return Err(document.error(&list, message));
    }
    let mut taken = BTreeSet::new();
    for (index, buffer) in settings.buffers.iter().enumerate() {
        let path = list.index(index);
        // The kernel has 32 bits for it.
        if !(1..=u64::from(u32::MAX)).contains(&buffer.size.bytes()) {
            return Err(document.error(
                &path.key("size"),
                "a buffer has 1 byte or more, and less than 4 GiB",
            ));
        }
        if let Some(twice) = buffer.priorities.iter().find(|one| !taken.insert(**one)) {
            let message = format!("priority {} has a buffer already", twice.number());
            return Err(document
                .error(&path.key("priorities"), message)
                .with_help("name each priority in one buffer"));
        }
    }
    Ok(())
}
