//! In-band telemetry: what a packet met at each bottleneck, written into the packet itself by the relay, for senders that
//! steer by it (HPCC, Li et al. 2019, section 3.1, calls it INT).
//!
//! A UDP payload that begins with [`MAGIC`] has room for one [`Record`] per hop. The relay appends to every such packet
//! and touches no other. All numbers are big-endian:
//!
//! ```text
//!  0  "LHINBAND"          8 bytes
//!  8  version             u8, 1
//!  9  room                u8, how many records the sender left room for
//! 10  count               u8, how many were written
//! 11  overflow            u8, how many found no room; stays at 255
//! 12  room × record:
//!       0  link           u16, in the topology's order
//!       2  lane           u16
//!       4  direction      u8, 0 forward, 1 reverse
//!       5  marked         u8, 1 if the queue set CE here
//!       6  zero           u16
//!       8  time           u64, nanoseconds of CLOCK_MONOTONIC at which its first bit left
//!      16  queue packets  u32, behind it at that time
//!      20  queue bytes    u64
//!      28  sent bytes     u64, of frames, that the lane was given so far, this one included
//!      36  rate           u64, bit/s; 0 without a limit
//! ```
//! Of a super-packet of segmentation offload, wire packets that leave within 250 µs of link time carry what the first of
//! them met.

use longhaul_topologies::model::Direction;

/// What such a payload begins with.
pub const MAGIC: [u8; 8] = *b"LHINBAND";
/// Bytes before the records.
pub const HEADER: usize = 12;
/// Bytes of a record.
pub const RECORD: usize = 44;

const VERSION: u8 = 1;

/// What a packet met at one bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The link, in the topology's order.
    pub link: u16,
    /// Its lane.
    pub lane: u16,
    /// Which way.
    pub direction: Direction,
    /// Whether the queue set "congestion experienced".
    pub marked: bool,
    /// When its first bit left, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Packets behind it in the queue then.
    pub queue_packets: u32,
    /// Bytes of their frames.
    pub queue_bytes: u64,
    /// Bytes of frames that the lane was given so far, this one included.
    pub sent_bytes: u64,
    /// Bits per second; `None` without a limit.
    pub rate_bps: Option<u64>,
}

/// The bytes that a payload needs for `records` hops.
pub const fn room(records: u8) -> usize {
    HEADER + records as usize * RECORD
}

/// Makes `payload` one that records are written into, with room for as many as fit; what follows them is the sender's.
/// Answers how many that are; `None` if not even one fits.
pub fn prepare(payload: &mut [u8], records: u8) -> Option<u8> {
    let fitting = payload.len().checked_sub(HEADER)? / RECORD;
    let records = records.min(u8::try_from(fitting).unwrap_or(u8::MAX));
    if records == 0 {
        return None;
    }
    payload[..8].copy_from_slice(&MAGIC);
    payload[8..HEADER].copy_from_slice(&[VERSION, records, 0, 0]);
    Some(records)
}

/// The records of a payload in the order of its hops; `None` if it is not such a payload.
pub fn records(payload: &[u8]) -> Option<impl Iterator<Item = Record> + '_> {
    let (_, count) = counts(payload)?;
    let written = payload[HEADER..].chunks_exact(RECORD).take(count.into());
    Some(written.map(decode))
}

/// How many hops found no room; `None` if it is not such a payload.
pub fn overflow(payload: &[u8]) -> Option<u8> {
    counts(payload).map(|_| payload[11])
}

/// Writes `record` behind those that are there. A payload that is none is left alone.
pub(crate) fn append(payload: &mut [u8], record: &Record) {
    let Some((room, count)) = counts(payload) else {
        return;
    };
    if count == room {
        payload[11] = payload[11].saturating_add(1);
        return;
    }
    payload[10] = count + 1;
    let at = HEADER + usize::from(count) * RECORD;
    encode(record, &mut payload[at..at + RECORD]);
}

/// Room and count of a payload whose header is right and whose room is there.
fn counts(payload: &[u8]) -> Option<(u8, u8)> {
    let header = payload.get(..HEADER)?;
    let [version, room_for, count] = [header[8], header[9], header[10]];
    let right = header[..8] == MAGIC
        && version == VERSION
        && count <= room_for
        && payload.len() >= room(room_for);
    right.then_some((room_for, count))
}

fn encode(record: &Record, bytes: &mut [u8]) {
    bytes[0..2].copy_from_slice(&record.link.to_be_bytes());
    bytes[2..4].copy_from_slice(&record.lane.to_be_bytes());
    bytes[4..8].copy_from_slice(&[record.direction as u8, u8::from(record.marked), 0, 0]);
    bytes[8..16].copy_from_slice(&record.time_ns.to_be_bytes());
    bytes[16..20].copy_from_slice(&record.queue_packets.to_be_bytes());
    bytes[20..28].copy_from_slice(&record.queue_bytes.to_be_bytes());
    bytes[28..36].copy_from_slice(&record.sent_bytes.to_be_bytes());
    bytes[36..44].copy_from_slice(&record.rate_bps.unwrap_or(0).to_be_bytes());
}

fn decode(bytes: &[u8]) -> Record {
    let u16_at = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let u64_at = |at: usize| {
        let bytes: [u8; 8] = bytes[at..at + 8].try_into().expect("eight bytes");
        u64::from_be_bytes(bytes)
    };
    Record {
        link: u16_at(0),
        lane: u16_at(2),
        direction: match bytes[4] {
            0 => Direction::Forward,
            _ => Direction::Reverse,
        },
        marked: bytes[5] != 0,
        time_ns: u64_at(8),
        queue_packets: u32::from(u16_at(16)) << 16 | u32::from(u16_at(18)),
        queue_bytes: u64_at(20),
        sent_bytes: u64_at(28),
        rate_bps: Some(u64_at(36)).filter(|&rate| rate > 0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(link: u16) -> Record {
        Record {
            link,
            lane: 3,
            direction: Direction::Reverse,
            marked: true,
            time_ns: 1 << 60,
            queue_packets: 70_000,
            queue_bytes: 1 << 40,
            sent_bytes: u64::MAX,
            rate_bps: Some(400_000_000_000),
        }
    }

    #[test]
    fn records_are_read_as_they_were_written_and_the_rest_is_left_alone() {
        let mut payload = vec![7; room(2) + 10];
        assert_eq!(prepare(&mut payload, 2), Some(2));
        let unlimited = Record {
            rate_bps: None,
            marked: false,
            direction: Direction::Forward,
            ..record(9)
        };
        for hop in [record(1), unlimited, record(2), record(3)] {
            append(&mut payload, &hop);
        }
        let read: Vec<_> = records(&payload).unwrap().collect();
        assert_eq!(read, [record(1), unlimited]);
        assert_eq!(overflow(&payload), Some(2));
        assert_eq!(payload[room(2)..], [7; 10]);
    }

    #[test]
    fn a_payload_too_short_for_its_room_is_none() {
        let mut payload = vec![0; room(4)];
        assert_eq!(prepare(&mut payload, 9), Some(4));
        payload.pop();
        assert!(records(&payload).is_none());
        let before = payload.clone();
        append(&mut payload, &record(1));
        assert_eq!(payload, before);
        assert_eq!(prepare(&mut [0; HEADER + RECORD - 1], 1), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_appended_to(mut bytes in prop::collection::vec(any::<u8>(), 0..200), valid in any::<bool>()) {
            if valid && bytes.len() >= 9 {
                bytes[..8].copy_from_slice(&MAGIC);
                bytes[8] = VERSION;
            }
            let _ = records(&bytes).map(Iterator::count);
            append(&mut bytes, &record(1));
            let _ = overflow(&bytes);
        }
    }
}
