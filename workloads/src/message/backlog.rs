//! Messages cut into pieces, kept until they have arrived.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use longhaul_emulator::time::Time;

use super::ranges::Ranges;
use super::wire::Piece;

/// A message on its way.
#[derive(Debug)]
struct Message {
    number: u64,
    bytes: Vec<u8>,
    handed_over: Time,
    /// The sequence of its first piece.
    first: u64,
    /// One past that of its last.
    end: u64,
}

/// Pieces by sequence: which wait, which are lost, which have arrived.
#[derive(Debug)]
pub(super) struct Backlog {
    piece: usize,
    messages: VecDeque<Message>,
    next_message: u64,
    /// The next piece that was never sent, and one past the last there is.
    next: u64,
    end: u64,
    arrived: Ranges,
    /// Everything before this has arrived.
    floor: u64,
    lost: BTreeSet<u64>,
    /// Bytes of pieces that were never sent.
    waiting: u64,
    /// Pieces that have arrived, and their bytes.
    delivered: (u64, u64),
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
}

/// Buffers that are kept for later messages.
const SPARES: usize = 16;

impl Backlog {
    /// Cuts messages into pieces of so many bytes.
    pub(super) fn new(piece: usize) -> Self {
        Self {
            piece,
            messages: VecDeque::new(),
            next_message: 0,
            next: 0,
            end: 0,
            arrived: Ranges::default(),
            floor: 0,
            lost: BTreeSet::new(),
            waiting: 0,
            delivered: (0, 0),
            spare: Vec::new(),
        }
    }

    /// Takes a copy of a message.
    pub(super) fn push(&mut self, now: Time, message: &[u8]) -> u64 {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(message);
        let pieces = message.len().div_ceil(self.piece).max(1) as u64;
        let number = self.next_message;
        self.messages.push_back(Message {
            number,
            bytes,
            handed_over: now,
            first: self.end,
            end: self.end + pieces,
        });
        self.end += pieces;
        self.next_message += 1;
        self.waiting += message.len() as u64;
        number
    }

    /// Bytes that were never sent.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Pieces that have arrived, each once, and their bytes.
    pub(super) fn delivered(&self) -> (u64, u64) {
        self.delivered
    }

    /// Whether all has arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Everything before this has arrived.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// The next sequence to send: what is lost comes first, then what is new of messages before `granted`.
    pub(super) fn next(&self, granted: u64) -> Option<u64> {
        let new = || {
            let allowed = self.next < self.end && self.message_of(self.next)?.number < granted;
            allowed.then_some(self.next)
        };
        self.lost.first().copied().or_else(new)
    }

    /// More is there to send than the receiver has room for.
    pub(super) fn is_held_back(&self, granted: u64) -> bool {
        self.next < self.end && self.next(granted).is_none()
    }

    /// The oldest piece that has not arrived, of those that were sent.
    pub(super) fn oldest(&self) -> Option<u64> {
        (self.floor < self.next).then_some(self.floor)
    }

    /// The piece of that sequence; `None` if it is gone.
    pub(super) fn piece(&self, sequence: u64) -> Option<Piece<'_>> {
        let message = self.message_of(sequence)?;
        let offset = (sequence - message.first) as usize * self.piece;
        let end = (offset + self.piece).min(message.bytes.len());
        Some(Piece {
            sequence,
            message: message.number,
            message_length: message.bytes.len() as u32,
            offset: offset as u32,
            handed_over: message.handed_over,
            bytes: &message.bytes[offset..end],
        })
    }

    /// Whether it was never sent.
    pub(super) fn is_new(&self, sequence: u64) -> bool {
        sequence >= self.next
    }

    /// It left.
    pub(super) fn sent(&mut self, sequence: u64) {
        self.lost.remove(&sequence);
        if sequence == self.next {
            self.waiting -= self
                .piece(sequence)
                .map_or(0, |piece| piece.bytes.len() as u64);
            self.next += 1;
        }
    }

    /// It is lost, unless another transmission of it has arrived.
    pub(super) fn lose(&mut self, sequence: u64) {
        if sequence >= self.floor && !self.arrived.contains(sequence) {
            self.lost.insert(sequence);
        }
    }

    /// It has arrived.
    pub(super) fn arrive(&mut self, sequence: u64) {
        self.count_delivered(sequence..=sequence);
        self.lost.remove(&sequence);
        if let Some(first) = self
            .arrived
            .first()
            .filter(|first| *first.start() <= self.floor)
        {
            self.release(first.end() + 1);
        }
    }

    /// Everything before `floor` has arrived.
    pub(super) fn arrive_before(&mut self, floor: u64) {
        if (self.floor + 1..=self.next).contains(&floor) {
            self.count_delivered(self.floor..=floor - 1);
            self.lost = self.lost.split_off(&floor);
            let first = self.arrived.first().map_or(floor, |first| first.end() + 1);
            self.release(first);
        }
    }

    fn count_delivered(&mut self, range: RangeInclusive<u64>) {
        let (mut pieces, mut bytes) = self.delivered;
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.insert(range, |fresh| {
            for sequence in fresh {
                let length = self.piece(sequence).map_or(0, |piece| piece.bytes.len());
                pieces += 1;
                bytes += length as u64;
            }
        });
        self.arrived = arrived;
        self.delivered = (pieces, bytes);
    }

    fn release(&mut self, floor: u64) {
        self.floor = floor;
        while self
            .messages
            .front()
            .is_some_and(|message| message.end <= floor)
        {
            let Message { bytes, .. } = self.messages.pop_front().expect("there is a front");
            if self.spare.len() < SPARES {
                self.spare.push(bytes);
            }
        }
    }

    fn message_of(&self, sequence: u64) -> Option<&Message> {
        let index = self
            .messages
            .partition_point(|message| message.end <= sequence);
        self.messages
            .get(index)
            .filter(|message| message.first <= sequence)
    }
}
