//! The pcap file format (draft-ietf-opsawg-pcap) with nanoseconds, in little-endian byte order whatever the machine's, so that the same
//! packets make the same file anywhere.

/// Says that the fractions of seconds are nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];
/// `LINKTYPE_ETHERNET`.
const ETHERNET: u32 = 1;

/// Bytes of a file's header.
pub(super) const FILE_HEADER: usize = 24;
/// Bytes of a packet's header.
pub(super) const RECORD_HEADER: usize = 16;

/// What a file begins with whose packets are cut at `bytes`.
pub(super) fn file_header(bytes: u32) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[..4].copy_from_slice(&MAGIC.to_le_bytes());
    header[4..6].copy_from_slice(&VERSION[0].to_le_bytes());
    header[6..8].copy_from_slice(&VERSION[1].to_le_bytes());
    // Bytes 8 to 15 are reserved.
    header[16..20].copy_from_slice(&bytes.to_le_bytes());
    header[20..].copy_from_slice(&ETHERNET.to_le_bytes());
    header
}

/// What stands before a packet of `length` bytes of which `captured` follow, seen `nanoseconds` after the file's zero.
pub(super) fn record_header(
    nanoseconds: u64,
    captured: usize,
    length: usize,
) -> [u8; RECORD_HEADER] {
    const SECOND: u64 = 1_000_000_000;
    let mut header = [0; RECORD_HEADER];
    // Frames have at most some 64 KB, and a run's seconds fit for a century.
    let fields = [
        (nanoseconds / SECOND) as u32,
        (nanoseconds % SECOND) as u32,
        captured as u32,
        length as u32,
    ];
    for (place, field) in header.chunks_exact_mut(4).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    header
}
