//! Messages of one peer as they come.

use std::collections::{BTreeMap, VecDeque};

use crate::message::receiver::Sink;

/// Messages that have begun to come, and those that are whole and wait to be used. The queue pair bounds how many.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    messages: BTreeMap<u64, Vec<u8>>,
    whole: VecDeque<u64>,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
}

/// Buffers that are kept.
const SPARES: usize = 16;

impl Inbox {
    /// A message is whole.
    pub(super) fn complete(&mut self, message: u64) {
        self.whole.push_back(message);
    }

    /// Takes a whole message that `wanted` takes, the oldest first.
    pub(super) fn take(&mut self, wanted: impl Fn(u64) -> bool) -> Option<(u64, Vec<u8>)> {
        let at = self.whole.iter().position(|&message| wanted(message))?;
        let message = self.whole.remove(at)?;
        let bytes = self.messages.remove(&message).unwrap_or_default();
        Some((message, bytes))
    }

    /// Gives a buffer back.
    pub(super) fn give_back(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < SPARES {
            self.spare.push(bytes);
        }
    }
}

impl Sink for Inbox {
    fn place(&mut self, message: u64, length: usize, offset: usize, bytes: &[u8]) {
        let buffer = self.messages.entry(message).or_insert_with(|| {
            let mut buffer = self.spare.pop().unwrap_or_default();
            buffer.resize(length, 0);
            buffer
        });
        // The queue pair has checked that the piece lies inside its message.
        buffer[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}
