//! What a sending end lets go in one turn: datagrams in batches of one path and length each, which the kernel takes as one.

use std::net::SocketAddr;

use super::socket::{MOST_BATCH, MOST_SEGMENTS};

/// Datagrams of one length to one address, the last of which may be shorter.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) socket: usize,
    /// The sending end that wrote them, whose path is the socket; none if a receiving one did.
    pub(super) sender: Option<usize>,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
    pub(super) segment: usize,
}

/// Batches of one turn of a sending end. Order holds within each path, whose last batch may grow while others do: packets that
/// go over many paths in turn cost hardly more calls than those of one.
#[derive(Debug)]
pub(super) struct Turn {
    batches: Vec<Batch>,
    /// Bytes after which it is over, and those of all batches.
    most: usize,
    bytes: usize,
    /// The batch behind whose own bytes the next packet is written, whatever its path, and how many those are.
    last: usize,
    own: usize,
}

/// Batches after which a turn is over, for each path: one ends with each message, and where a packet is longer than its first.
const BATCHES: usize = 4;

impl Batch {
    /// One datagram that a receiving end wrote.
    pub(super) fn answer(to: SocketAddr, bytes: Vec<u8>) -> Self {
        Self {
            socket: 0,
            sender: None,
            to,
            segment: bytes.len(),
            bytes,
        }
    }

    /// How many datagrams it is.
    pub(super) fn datagrams(&self) -> usize {
        self.bytes.len().div_ceil(self.segment)
    }

    /// Whether one more would be more than the kernel takes, or than `most` bytes.
    fn is_full(&self, most: u64) -> bool {
        let longer = self.bytes.len() + self.segment;
        longer > MOST_BATCH || longer as u64 > most || self.datagrams() >= MOST_SEGMENTS
    }
}

impl Turn {
    /// Of the sending end to the peer `sender`, which is at `to`; over after `most` bytes.
    pub(super) fn new(sender: usize, to: SocketAddr, most: usize) -> Self {
        let first = Batch {
            socket: 0,
            sender: Some(sender),
            to,
            bytes: Vec::with_capacity(MOST_BATCH),
            segment: 0,
        };
        Self {
            batches: vec![first],
            most,
            bytes: 0,
            last: 0,
            own: 0,
        }
    }

    /// Where the next packet is to be written.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.batches[self.last].bytes
    }

    /// What was written there is a packet of `path`, of which `super_packet` bytes may leave as one. Tells whether another may
    /// follow.
    pub(super) fn add(&mut self, path: usize, super_packet: u64) -> bool {
        let length = self.batches[self.last].bytes.len() - self.own;
        if self.bytes == 0 {
            (self.batches[0].socket, self.batches[0].segment) = (path, length);
        } else {
            self.sort(path, length);
        }
        let batch = &self.batches[self.last];
        self.own = batch.bytes.len();
        self.bytes += length;
        !batch.is_full(super_packet)
            && self.bytes < self.most
            && self.batches.len() < BATCHES * self.most.div_ceil(MOST_BATCH)
    }

    /// What is to be sent, in this order.
    pub(super) fn into_batches(self) -> impl Iterator<Item = Batch> {
        let batches = self.batches.into_iter();
        batches.filter(|batch| !batch.bytes.is_empty())
    }

    /// Moves the packet of `length` bytes that was written last to the last batch of its path, or to a new one if that takes no
    /// more of that length.
    fn sort(&mut self, path: usize, length: usize) {
        let takes = |index: usize| {
            let batch = &self.batches[index];
            let own = if index == self.last {
                self.own
            } else {
                batch.bytes.len()
            };
            length <= batch.segment && own.is_multiple_of(batch.segment)
        };
        let last = self.batches.iter().rposition(|batch| batch.socket == path);
        let index = last.filter(|&last| takes(last)).unwrap_or_else(|| {
            let like = &self.batches[0];
            let (sender, to) = (like.sender, like.to);
            self.batches.push(Batch {
                socket: path,
                sender,
                to,
                bytes: Vec::with_capacity(MOST_BATCH),
                segment: length,
            });
            self.batches.len() - 1
        });
        if index != self.last {
            let both = self.batches.get_disjoint_mut([self.last, index]);
            let [written, batch] = both.expect("two of the batches");
            batch.bytes.extend_from_slice(&written.bytes[self.own..]);
            written.bytes.truncate(self.own);
            self.last = index;
        }
    }
}
