//! The engine's end of a capture: packets in, chunks of records out, never a wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use super::format::{RECORD_HEADER, record_header};
use super::writer::Message;
use super::{CHUNK, Side};
use crate::plan::ChannelId;

/// A chunk goes to the writer when its first packet is so old (in nanoseconds) as the next one comes, so that a run that is killed
/// keeps its packets.
const FLUSH_AFTER: u64 = 250_000_000;

/// Where an engine hands in the packets of one side of one channel. Dropping it hands over what it still holds.
#[derive(Debug)]
pub struct Tap {
    channel: ChannelId,
    side: Side,
    /// On `CLOCK_MONOTONIC`.
    zero: u64,
    /// How much of each packet.
    bytes: usize,
    /// Records on their way; without room until it is needed.
    chunk: Vec<u8>,
    packets: u64,
    /// When the first of them was seen.
    since: u64,
    /// All packets so far; this is the only one to change it.
    seen: Arc<AtomicU64>,
    file: usize,
    writer: Sender<Message>,
    spare: Receiver<Vec<u8>>,
    /// Chunks that may still be made, by all taps together.
    allowance: Arc<AtomicUsize>,
}

impl Tap {
    pub(super) fn new(
        (channel, side): (ChannelId, Side),
        (zero, bytes): (u64, u32),
        (file, writer): (usize, Sender<Message>),
        (spare, allowance): (Receiver<Vec<u8>>, Arc<AtomicUsize>),
    ) -> Self {
        Tap {
            channel,
            side,
            zero,
            bytes: bytes.min(super::MOST_BYTES) as usize,
            chunk: Vec::new(),
            packets: 0,
            since: 0,
            seen: Arc::default(),
            file,
            writer,
            spare,
            allowance,
        }
    }

    /// Which channel's packets it takes.
    pub(crate) fn channel(&self) -> ChannelId {
        self.channel
    }

    /// On which side.
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    pub(super) fn seen(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.seen)
    }

    /// Takes a packet, given as parts that follow each other, that was seen at `at` nanoseconds on `CLOCK_MONOTONIC`. Answers its bytes
    /// where the file has all of them, for what is still to be done to it.
    pub(crate) fn record(&mut self, at: u64, parts: [&[u8]; 2]) -> Option<&mut [u8]> {
        self.count(1);
        let length = parts[0].len() + parts[1].len();
        let captured = length.min(self.bytes);
        if self.packets > 0 && at.saturating_sub(self.since) > FLUSH_AFTER {
            self.hand_over();
        }
        if !self.make_room(RECORD_HEADER + captured) {
            return None;
        }
        if self.packets == 0 {
            self.since = at;
        }
        self.packets += 1;
        let header = record_header(at.saturating_sub(self.zero), captured, length);
        self.chunk.extend_from_slice(&header);
        let start = self.chunk.len();
        let first = parts[0].len().min(captured);
        self.chunk.extend_from_slice(&parts[0][..first]);
        self.chunk.extend_from_slice(&parts[1][..captured - first]);
        (captured == length).then(|| &mut self.chunk[start..])
    }

    /// Packets that the engine could not show.
    pub(crate) fn missed(&mut self, packets: u64) {
        self.count(packets);
    }

    fn count(&self, packets: u64) {
        let seen = self.seen.load(Ordering::Relaxed);
        self.seen.store(seen + packets, Ordering::Relaxed);
    }

    /// Whether there is room for `needed` more bytes.
    fn make_room(&mut self, needed: usize) -> bool {
        if self.chunk.capacity() - self.chunk.len() >= needed {
            return true;
        }
        self.hand_over();
        if self.chunk.capacity() == 0 {
            let may_make = |left: usize| left.checked_sub(1);
            let (taken, seen) = (Ordering::Relaxed, Ordering::Relaxed);
            self.chunk = match self.spare.try_recv() {
                Ok(spare) => spare,
                Err(_) if self.allowance.fetch_update(taken, seen, may_make).is_ok() => {
                    Vec::with_capacity(CHUNK)
                }
                Err(_) => return false,
            };
        }
        true
    }

    fn hand_over(&mut self) {
        let packets = std::mem::take(&mut self.packets);
        if packets == 0 {
            return;
        }
        let message = Message::Chunk {
            file: self.file,
            packets,
            bytes: std::mem::take(&mut self.chunk),
        };
        if let Err(refused) = self.writer.send(message)
            && let Message::Chunk { mut bytes, .. } = refused.0
        {
            // The capture has ended.
            bytes.clear();
            self.chunk = bytes;
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.hand_over();
    }
}
