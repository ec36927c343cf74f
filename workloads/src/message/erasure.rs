//! An erasure code over blocks of packets: what is lost is computed from what came, without a round trip.
//!
//! A block is up to `data` pieces sent one after another for the first time, and `parity` packets made of them (Reed and Solomon's
//! code): any of all these, as many as there are pieces, give the block. When there is nothing more to send, a short block ends
//! with its whole parity. Pieces differ in length and belong to different messages, so what is coded is a piece with its place,
//! filled up to the longest.

use std::collections::{BTreeMap, VecDeque};

use longhaul_emulator::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wire::{Parity, Piece};

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// Packets of a block that carry messages, 1 to 64.
    #[schemars(range(min = 1, max = 64))]
    pub data: u8,
    /// Packets added to each block, 1 to 64: so many of it may be lost.
    #[schemars(range(min = 1, max = 64))]
    pub parity: u8,
}

/// Packets of either kind in a block at most: beyond, a block lasts longer than the repeat that it saves.
pub(crate) const MOST_SHARDS: u8 = 64;

/// Bytes before those of the piece in what is coded: length, message, its length, offset, hand-over.
pub(super) const PLACE: usize = 2 + 8 + 4 + 4 + 8;

/// Blocks that the receiving end keeps the pieces of.
const BLOCKS: u64 = 16;

impl Erasure {
    /// Whether both figures are in their range.
    pub(crate) fn is_valid(self) -> bool {
        (1..=MOST_SHARDS).contains(&self.data) && (1..=MOST_SHARDS).contains(&self.parity)
    }

    /// Packets of a whole block.
    pub(super) fn packets(self) -> u64 {
        u64::from(self.data) + u64::from(self.parity)
    }
}

/// The sending end.
#[derive(Debug)]
pub(super) struct Encoder {
    erasure: Erasure,
    shard: usize,
    first: u64,
    block: Vec<Vec<u8>>,
    ready: VecDeque<Ready>,
}

/// A packet of parity that waits to be sent.
#[derive(Debug)]
pub(super) struct Ready {
    first: u64,
    count: u8,
    index: u8,
    bytes: Vec<u8>,
}

impl Encoder {
    /// For pieces of at most `piece` bytes.
    pub(super) fn new(erasure: Erasure, piece: usize) -> Self {
        Self {
            erasure,
            shard: shard(piece),
            first: 0,
            block: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// A piece is sent for the first time.
    pub(super) fn add(&mut self, piece: &Piece<'_>) {
        if self.block.is_empty() {
            self.first = piece.sequence;
        }
        self.block.push(encode(piece, self.shard));
        if self.block.len() == usize::from(self.erasure.data) {
            self.end_block();
        }
    }

    /// Ends the block if one has begun.
    pub(super) fn end_block(&mut self) {
        if self.block.is_empty() {
            return;
        }
        let (count, parity) = (self.block.len(), usize::from(self.erasure.parity));
        // Neither can fail: counts and lengths are in the code's bounds.
        if let Ok(coded) = reed_solomon_simd::encode(count, parity, &self.block) {
            let ready = (0..).zip(coded).map(|(index, bytes)| Ready {
                first: self.first,
                count: count as u8,
                index,
                bytes,
            });
            self.ready.extend(ready);
        }
        self.block.clear();
    }

    /// The next packet of parity to send.
    pub(super) fn next(&mut self) -> Option<Ready> {
        self.ready.pop_front()
    }

    /// Whether there is one.
    pub(super) fn has_next(&self) -> bool {
        !self.ready.is_empty()
    }
}

impl Ready {
    pub(super) fn parity(&self) -> Parity<'_> {
        Parity {
            first: self.first,
            count: self.count,
            index: self.index,
            bytes: &self.bytes,
        }
    }
}

/// The receiving end.
#[derive(Debug)]
pub(super) struct Decoder {
    erasure: Erasure,
    /// Pieces that came of late, by sequence.
    pieces: BTreeMap<u64, Vec<u8>>,
    /// Blocks with parity that miss pieces, by their first.
    blocks: BTreeMap<u64, Block>,
}

#[derive(Debug)]
struct Block {
    count: u8,
    shard: usize,
    parity: BTreeMap<u8, Vec<u8>>,
}

impl Decoder {
    pub(super) fn new(erasure: Erasure) -> Self {
        Self {
            erasure,
            pieces: BTreeMap::new(),
            blocks: BTreeMap::new(),
        }
    }

    /// A piece came that is new; answers what that gives of its block.
    pub(super) fn on_piece(&mut self, piece: &Piece<'_>) -> Vec<Recovered> {
        self.pieces
            .insert(piece.sequence, encode(piece, PLACE + piece.bytes.len()));
        while self.pieces.len() as u64 > BLOCKS * u64::from(self.erasure.data) {
            self.pieces.pop_first();
        }
        let block = self.blocks.range(..=piece.sequence).next_back();
        let first = block.map(|(first, _)| *first);
        first.map_or_else(Vec::new, |first| self.recover(first))
    }

    /// Parity came; answers the pieces that it gives.
    pub(super) fn on_parity(&mut self, parity: &Parity<'_>) -> Vec<Recovered> {
        let Parity {
            first,
            count,
            index,
            bytes,
        } = *parity;
        let fits = (1..=self.erasure.data).contains(&count)
            && index < self.erasure.parity
            && bytes.len() >= PLACE
            && bytes.len().is_multiple_of(2);
        if !fits {
            return Vec::new();
        }
        let block = self.blocks.entry(first).or_insert_with(|| Block {
            count,
            shard: bytes.len(),
            parity: BTreeMap::new(),
        });
        if block.count == count && block.shard == bytes.len() {
            block.parity.insert(index, bytes.to_vec());
        }
        while self.blocks.len() as u64 > BLOCKS {
            self.blocks.pop_first();
        }
        self.recover(first)
    }

    fn recover(&mut self, first: u64) -> Vec<Recovered> {
        let Some(block) = self.blocks.get(&first) else {
            return Vec::new();
        };
        let sequences = first..first.saturating_add(block.count.into());
        let missing = sequences
            .clone()
            .filter(|sequence| !self.pieces.contains_key(sequence));
        let missing = missing.count();
        if missing > block.parity.len() {
            return Vec::new();
        }
        let Some(block) = self.blocks.remove(&first) else {
            return Vec::new();
        };
        if missing == 0 {
            return Vec::new();
        }
        let known = self
            .pieces
            .range(sequences)
            .filter(|(_, piece)| piece.len() <= block.shard);
        let known = known.map(|(sequence, piece)| {
            let mut padded = piece.clone();
            padded.resize(block.shard, 0);
            ((sequence - first) as usize, padded)
        });
        let parity = block
            .parity
            .into_iter()
            .map(|(index, bytes)| (usize::from(index), bytes));
        let decoded = reed_solomon_simd::decode(
            block.count.into(),
            self.erasure.parity.into(),
            known.collect::<Vec<_>>(),
            parity.collect::<Vec<_>>(),
        );
        let decoded = decoded.into_iter().flatten();
        let mut recovered: Vec<Recovered> = decoded
            .map(|(index, bytes)| Recovered {
                sequence: first + index as u64,
                bytes,
            })
            .collect();
        recovered.sort_by_key(|recovered| recovered.sequence);
        for recovered in &recovered {
            // More parity of the block has nothing left to give.
            self.pieces
                .insert(recovered.sequence, recovered.bytes.clone());
        }
        recovered
    }
}

/// A piece that was computed.
#[derive(Debug)]
pub(super) struct Recovered {
    sequence: u64,
    bytes: Vec<u8>,
}

impl Recovered {
    /// The piece; `None` if it is none, as when a peer codes nonsense.
    pub(super) fn piece(&self) -> Option<Piece<'_>> {
        let (place, rest) = self.bytes.split_at_checked(PLACE)?;
        let length = u16::from_be_bytes([place[0], place[1]]);
        let u32_at = |at: usize| {
            u32::from_be_bytes([place[at], place[at + 1], place[at + 2], place[at + 3]])
        };
        let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
        let piece = Piece {
            sequence: self.sequence,
            message: u64_at(2),
            message_length: u32_at(10),
            offset: u32_at(14),
            handed_over: Time::from_nanos(u64_at(18)),
            bytes: rest.get(..length.into())?,
        };
        let end = u64::from(piece.offset) + u64::from(length);
        (end <= u64::from(piece.message_length)).then_some(piece)
    }
}

/// The code wants an even length.
const fn shard(piece: usize) -> usize {
    (PLACE + piece).next_multiple_of(2)
}

fn encode(piece: &Piece<'_>, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&(piece.bytes.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&piece.message.to_be_bytes());
    bytes.extend_from_slice(&piece.message_length.to_be_bytes());
    bytes.extend_from_slice(&piece.offset.to_be_bytes());
    bytes.extend_from_slice(&piece.handed_over.as_nanos().to_be_bytes());
    bytes.extend_from_slice(piece.bytes);
    bytes.resize(length, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_many_packets_as_pieces_give_the_block(
            lengths in prop::collection::vec(0usize..200, 1..9),
            parity in 1u8..5,
            lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let erasure = Erasure { data: 8, parity };
            let (mut encoder, mut decoder) = (Encoder::new(erasure, 200), Decoder::new(erasure));
            let bodies: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(at, &length)| vec![at as u8; length]).collect();
            let pieces: Vec<Piece<'_>> = (40..).zip(&bodies).map(|(sequence, bytes)| Piece {
                sequence,
                message: 3,
                message_length: 2000,
                offset: 7,
                handed_over: Time::from_nanos(9),
                bytes,
            }).collect();
            let lost: std::collections::BTreeSet<usize> =
                lost.iter().take(parity.into()).map(|lost| lost.index(pieces.len())).collect();
            for (at, piece) in pieces.iter().enumerate() {
                encoder.add(piece);
                if !lost.contains(&at) {
                    prop_assert!(decoder.on_piece(piece).is_empty());
                }
            }
            encoder.end_block();
            let mut recovered = Vec::new();
            while let Some(ready) = encoder.next() {
                recovered.extend(decoder.on_parity(&ready.parity()));
            }
            let recovered: Vec<_> = recovered.iter().map(|recovered| recovered.piece().unwrap()).collect();
            let expected: Vec<_> = lost.iter().map(|&at| pieces[at]).collect();
            prop_assert_eq!(recovered, expected);
        }
    }
}
