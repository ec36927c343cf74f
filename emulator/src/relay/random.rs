//! The random streams of a channel: one for each purpose, so that turning one impairment on leaves the
//! pattern of the others as it was.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::plan::ChannelId;

/// What a stream of random numbers is for; the value is part of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Loss = 1,
    Jitter = 2,
    Duplication = 3,
    Corruption = 4,
    Queue = 5,
    Reordering = 6,
}

/// A channel's streams, all derived from the lab's seed.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    /// Which packets are lost.
    pub(super) loss: ChaCha8Rng,
    /// How much the delay varies.
    pub(super) jitter: ChaCha8Rng,
    /// Which packets arrive twice.
    pub(super) duplication: ChaCha8Rng,
    /// Which packets arrive with a flipped bit, and which bit.
    pub(super) corruption: ChaCha8Rng,
    /// Which packets the queue's discipline strikes.
    pub(super) queue: ChaCha8Rng,
    /// Which packets are overtaken.
    pub(super) reordering: ChaCha8Rng,
}

impl Streams {
    /// The streams of channel `id` in a lab seeded with `seed`.
    pub(super) fn new(seed: u64, id: ChannelId) -> Self {
        let stream = |purpose: Purpose| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&seed.to_le_bytes());
            key[8..16].copy_from_slice(&(id.link.0 as u64).to_le_bytes());
            key[16..24].copy_from_slice(&(id.lane as u64).to_le_bytes());
            key[24] = id.direction as u8;
            key[25] = purpose as u8;
            ChaCha8Rng::from_seed(key)
        };
        Streams {
            loss: stream(Purpose::Loss),
            jitter: stream(Purpose::Jitter),
            duplication: stream(Purpose::Duplication),
            corruption: stream(Purpose::Corruption),
            queue: stream(Purpose::Queue),
            reordering: stream(Purpose::Reordering),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use longhaul_topologies::model::{Direction, LinkId};
    use rand::Rng;

    use super::*;

    #[test]
    fn every_channel_and_purpose_has_a_stream_of_its_own_and_a_seed_repeats_it() {
        let draw = |seed| {
            let mut first = Vec::new();
            for link in 0..3 {
                for lane in 0..3 {
                    for direction in Direction::BOTH {
                        let mut streams = Streams::new(
                            seed,
                            ChannelId {
                                link: LinkId(link),
                                lane,
                                direction,
                            },
                        );
                        first.extend([streams.loss.next_u64(), streams.jitter.next_u64()]);
                        first.extend([
                            streams.duplication.next_u64(),
                            streams.corruption.next_u64(),
                        ]);
                        first.extend([streams.queue.next_u64(), streams.reordering.next_u64()]);
                    }
                }
            }
            first
        };
        assert_eq!(draw(1), draw(1));
        let distinct: BTreeSet<u64> = draw(1).into_iter().chain(draw(2)).collect();
        assert_eq!(distinct.len(), 2 * 3 * 3 * 2 * 6);
    }
}
