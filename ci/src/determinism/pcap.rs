//! Captures, packet by packet: the file format of libpcap (`pcap-savefile(5)`).

use std::io::{self, BufRead, Read};

use super::bytes;
use super::tally::{PacketPart, Place, Tally};

/// Magic, version, two unused fields, the longest packet kept, the link type.
const FILE_HEADER: usize = 24;
/// Seconds, their fraction, bytes kept, bytes on the wire; 32 bits each.
const PACKET_HEADER: usize = 16;
/// The first bytes of a file whose time stamps have microseconds, and nanoseconds.
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// No packet is kept beyond this (`MAXIMUM_SNAPLEN` of libpcap): a greater length is none.
const LONGEST: u32 = 262_144;

/// Packet by packet; as bytes from where one of them is no capture.
pub(super) fn compare(
    a: &mut dyn BufRead,
    b: &mut dyn BufRead,
    tally: &mut Tally,
) -> io::Result<()> {
    let (header_of_a, header_of_b) = (up_to(a, FILE_HEADER)?, up_to(b, FILE_HEADER)?);
    if let Some(offset) = first_difference(&header_of_a, &header_of_b) {
        let place = Place::CaptureHeader {
            offset: offset as u64,
        };
        tally.found(
            place,
            byte(&header_of_a, offset),
            byte(&header_of_b, offset),
        );
        return Ok(());
    }
    let mut offset = header_of_a.len() as u64;
    let Some(format) = Format::of(&header_of_a) else {
        return bytes::bytes_from(offset, a, b, tally);
    };
    for packet in 1.. {
        let (of_a, of_b) = (format.packet(a)?, format.packet(b)?);
        let mut found = |part, a, b| tally.found(Place::Packet { packet, part }, a, b);
        match (of_a, of_b) {
            (None, None) => break,
            (Some(of_a), Some(of_b)) if of_a.whole && of_b.whole => {
                of_a.compare(&of_b, format, &mut found);
                offset += of_a.raw.len() as u64;
            }
            // Both end in the same half a packet, or go on with what is none.
            (Some(of_a), Some(of_b)) if of_a.raw == of_b.raw => {
                offset += of_a.raw.len() as u64;
                return bytes::bytes_from(offset, a, b, tally);
            }
            (of_a, of_b) => {
                let broken = [&of_a, &of_b].into_iter().flatten().any(|one| !one.whole);
                let [of_a, of_b] = [of_a, of_b].map(|one| one.map(|one| one.told(format)));
                found(PacketPart::Whole, of_a, of_b);
                if broken {
                    // Nobody knows where the next begins.
                    break;
                }
            }
        }
    }
    Ok(())
}

/// How a capture's numbers are written.
#[derive(Clone, Copy, Debug)]
struct Format {
    big_endian: bool,
    /// Digits of a second's fraction.
    digits: usize,
}

impl Format {
    fn of(header: &[u8]) -> Option<Self> {
        let magic: [u8; 4] = header.get(..4)?.try_into().ok()?;
        if header.len() < FILE_HEADER {
            return None;
        }
        [false, true].into_iter().find_map(|big_endian| {
            let digits = match number(magic, big_endian) {
                MICROSECONDS => 6,
                NANOSECONDS => 9,
                _ => return None,
            };
            Some(Self { big_endian, digits })
        })
    }

    /// The next packet, or what there is of it.
    fn packet(self, from: &mut dyn BufRead) -> io::Result<Option<Packet>> {
        let mut raw = up_to(from, PACKET_HEADER)?;
        if raw.is_empty() {
            return Ok(None);
        }
        let mut fields = raw.chunks_exact(4).map(|field| {
            let field = field.try_into().expect("chunks are of four");
            number(field, self.big_endian)
        });
        let mut field = || fields.next().unwrap_or_default();
        let (seconds, fraction, kept, length) = (field(), field(), field(), field());
        raw.extend(up_to(from, kept.min(LONGEST) as usize)?);
        Ok(Some(Packet {
            seconds,
            fraction,
            kept,
            length,
            whole: raw.len() == PACKET_HEADER + kept as usize,
            raw,
        }))
    }
}

#[derive(Debug)]
struct Packet {
    seconds: u32,
    fraction: u32,
    kept: u32,
    length: u32,
    /// As it lies in the file, with its header.
    raw: Vec<u8>,
    /// The file did not end in it, and its length is possible.
    whole: bool,
}

impl Packet {
    /// Tells each part in which two whole packets differ.
    fn compare(
        &self,
        other: &Self,
        format: Format,
        found: &mut dyn FnMut(PacketPart, Option<String>, Option<String>),
    ) {
        let both = [self, other];
        for (part, [a, b]) in [
            (PacketPart::Time, both.map(|packet| packet.time(format))),
            (
                PacketPart::Length,
                both.map(|packet| packet.length.to_string()),
            ),
            (PacketPart::Kept, both.map(|packet| packet.kept.to_string())),
        ] {
            if a != b {
                found(part, Some(a), Some(b));
            }
        }
        let [a, b] = both.map(|packet| &packet.raw[PACKET_HEADER..]);
        // What one side kept more of is told by its length.
        let kept_by_both = a.len().min(b.len());
        if let Some(offset) = first_difference(&a[..kept_by_both], &b[..kept_by_both]) {
            let part = PacketPart::Bytes {
                offset: offset as u64,
            };
            found(part, byte(a, offset), byte(b, offset));
        }
    }

    fn time(&self, format: Format) -> String {
        let digits = format.digits;
        format!("{}.{:0digits$} s", self.seconds, self.fraction)
    }

    fn told(&self, format: Format) -> String {
        if self.whole {
            format!("{} bytes at {}", self.length, self.time(format))
        } else {
            format!("no whole packet, {} bytes of it", self.raw.len())
        }
    }
}

fn number(bytes: [u8; 4], big_endian: bool) -> u32 {
    if big_endian {
        u32::from_be_bytes(bytes)
    } else {
        u32::from_le_bytes(bytes)
    }
}

/// So many bytes, or those that are left.
fn up_to(from: &mut dyn BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    from.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Where the shorter ends counts, too.
fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let both = a.iter().zip(b).position(|(a, b)| a != b);
    both.or((a.len() != b.len()).then_some(a.len().min(b.len())))
}

fn byte(of: &[u8], offset: usize) -> Option<String> {
    of.get(offset).map(|byte| format!("{byte:#04x}"))
}
