//! What a sending end lets go in one turn: datagrams in batches of one path and length each, which the kernel takes as one.

use std::collections::VecDeque;
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

/// Batches that the kernel has not taken yet, in the order in which they go.
#[derive(Debug, Default)]
pub(super) struct Unsent(VecDeque<Batch>);

/// Batches of one turn of a sending end. Order holds within each path, whose last batch may grow while others do: packets that
/// go over many paths in turn cost hardly more calls than those of one.
#[derive(Debug)]
pub(super) struct Turn {
    batches: Vec<Batch>,
    /// Batches and bytes after which it is over, and the bytes so far.
    most_batches: usize,
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

impl Unsent {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The socket whose room is waited for.
    pub(super) fn blocked(&self) -> Option<usize> {
        self.0.front().map(|batch| batch.socket)
    }

    pub(super) fn push(&mut self, batch: Batch) {
        self.0.push_back(batch);
    }

    /// Adds what a turn has written.
    pub(super) fn extend(&mut self, turn: Turn) {
        let written = turn.batches.into_iter();
        self.0
            .extend(written.filter(|batch| !batch.bytes.is_empty()));
    }

    /// Hands them over until one is not taken; that one and those behind it are kept. Whether all were.
    pub(super) fn send<E>(
        &mut self,
        mut take: impl FnMut(&mut Batch) -> Result<bool, E>,
    ) -> Result<bool, E> {
        while let Some(batch) = self.0.front_mut() {
            if !take(batch)? {
                return Ok(false);
            }
            self.0.pop_front();
        }
        Ok(true)
    }
}

impl Turn {
    /// Of the sending end to the peer `sender`, which is at `to`, over so many paths; over after `most` bytes.
    pub(super) fn new(sender: usize, to: SocketAddr, paths: usize, most: usize) -> Self {
        let first = Batch {
            socket: 0,
            sender: Some(sender),
            to,
            bytes: Vec::with_capacity(MOST_BATCH),
            segment: 0,
        };
        Self {
            batches: vec![first],
            most_batches: BATCHES * paths,
            most: most.min(MOST_BATCH * paths),
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
            && self.batches.len() < self.most_batches
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;
    use std::net::{Ipv4Addr, SocketAddr};

    use proptest::prelude::*;

    use super::*;

    const TO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    /// Packets of paths with lengths, each with its place in the order as its first bytes, in turns of `most` bytes; a
    /// super-packet of path n has `super_packets[n]` bytes at most.
    fn turns(packets: &[(usize, usize)], super_packets: &[u64], most: usize) -> Vec<Unsent> {
        let mut packets = packets.iter().enumerate().peekable();
        let mut turns = Vec::new();
        while packets.peek().is_some() {
            let mut turn = Turn::new(3, TO, super_packets.len(), most);
            for (place, &(path, length)) in packets.by_ref() {
                let start = turn.end().len();
                turn.end().resize(start + length, 0);
                turn.end()[start..start + 4].copy_from_slice(&(place as u32).to_be_bytes());
                if !turn.add(path, super_packets[path]) {
                    break;
                }
            }
            let mut unsent = Unsent::default();
            unsent.extend(turn);
            turns.push(unsent);
        }
        turns
    }

    #[test]
    fn packets_over_many_paths_in_turn_make_as_few_batches_as_those_of_one() {
        // Until the first path has what it may send at once.
        let packets: Vec<_> = (0..=16 * 15).map(|place| (place % 16, 4000)).collect();
        let turns = turns(&packets, &[u64::MAX; 16], usize::MAX);
        let batches = turns.iter().flat_map(|turn| &turn.0);
        let datagrams: Vec<_> = batches.map(Batch::datagrams).collect();
        assert_eq!(turns.len(), 1);
        assert_eq!(datagrams, [&[16][..], &[15; 15]].concat());
    }

    #[test]
    fn the_end_of_a_message_ends_its_batch_and_not_the_turn() {
        let packets = [
            (0, 1000),
            (1, 1000),
            (0, 300),
            (1, 1000),
            (0, 1000),
            (0, 1000),
        ];
        let turns = turns(&packets, &[u64::MAX; 2], usize::MAX);
        let batches = turns.iter().flat_map(|turn| &turn.0);
        let batches: Vec<_> = batches
            .map(|batch| (batch.socket, batch.bytes.len()))
            .collect();
        assert_eq!(
            (turns.len(), batches),
            (1, vec![(0, 1300), (1, 2000), (0, 2000)])
        );
    }

    #[test]
    fn a_turn_is_over_after_what_the_port_takes_at_once() {
        let packets: Vec<_> = (0..64).map(|place| (place % 4, 1000)).collect();
        assert_eq!(turns(&packets, &[u64::MAX; 4], 16_000).len(), 4);
    }

    #[test]
    fn what_the_kernel_refuses_and_all_behind_it_is_kept_in_its_order() {
        let packets: Vec<_> = (0..8).map(|place| (place, 1000)).collect();
        let mut turns = turns(&packets, &[u64::MAX; 8], usize::MAX);
        let (unsent, mut taken) = (&mut turns[0], Vec::new());
        let mut refused = 0;
        while !unsent.is_empty() {
            // Two at a time.
            let mut room = 2;
            let all = unsent.send(|batch| {
                room -= 1;
                taken.extend((room >= 0).then_some(batch.socket));
                Ok::<_, Infallible>(room >= 0)
            });
            if let Ok(false) = all {
                refused += 1;
                assert_eq!(unsent.blocked(), taken.last().map(|last| last + 1));
            }
        }
        assert_eq!((taken, refused), ((0..8).collect(), 3));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_packet_leaves_once_in_the_order_of_its_path_and_within_all_bounds(
            packets in prop::collection::vec((0usize..5, prop_oneof![Just(1500), 4usize..9000]), 0..300),
            super_packets in prop::collection::vec(prop_oneof![Just(0), Just(u64::MAX), 0u64..40_000], 5),
            most in prop_oneof![Just(usize::MAX), 1usize..200_000],
        ) {
            let mut left: BTreeMap<usize, Vec<(u32, usize)>> = BTreeMap::new();
            for batch in turns(&packets, &super_packets, most).iter().flat_map(|turn| &turn.0) {
                let datagrams = batch.datagrams();
                prop_assert!(batch.bytes.len() <= MOST_BATCH && datagrams <= MOST_SEGMENTS);
                prop_assert!(datagrams == 1 || batch.bytes.len() as u64 <= super_packets[batch.socket]);
                for datagram in batch.bytes.chunks(batch.segment) {
                    let place = u32::from_be_bytes(datagram[..4].try_into().unwrap());
                    left.entry(batch.socket).or_default().push((place, datagram.len()));
                }
            }
            for (path, left) in &left {
                let own = packets.iter().enumerate().filter(|(_, (of, _))| of == path);
                let own: Vec<_> = own.map(|(place, (_, length))| (place as u32, *length)).collect();
                prop_assert_eq!(left, &own);
            }
            prop_assert_eq!(left.values().map(Vec::len).sum::<usize>(), packets.len());
        }
    }
}
