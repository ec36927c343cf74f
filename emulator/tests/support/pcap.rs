//! Reads pcap files, for tests that look into captures.

#![allow(dead_code, reason = "each test program uses its part")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A packet of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Since the file's zero.
    pub at: Duration,
    /// As much of it as was kept.
    pub bytes: Vec<u8>,
    /// How long it was.
    pub length: usize,
}

/// The packets of a file with nanoseconds and Ethernet frames; a panic if it is anything else or ends half-way.
pub fn packets(file: &Path) -> Vec<Packet> {
    let data = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let word = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((word(0), word(20)), (0xa1b2_3c4d, 1), "{}", file.display());
    let mut packets = Vec::new();
    let mut at = 24;
    while at < data.len() {
        let captured = word(at + 8) as usize;
        assert!(captured <= word(16) as usize);
        packets.push(Packet {
            at: Duration::new(word(at).into(), word(at + 4)),
            bytes: data[at + 16..at + 16 + captured].to_vec(),
            length: word(at + 12) as usize,
        });
        at += 16 + captured;
    }
    packets
}

/// What tcpdump has to say of a file, a line for each packet; `None` where there is none.
pub fn tcpdump(file: &Path) -> Option<Vec<String>> {
    let output = Command::new("tcpdump")
        .args(["--nano", "-vvnett", "-r"])
        .arg(file)
        .output();
    let Ok(output) = output else {
        println!("not read by tcpdump: it is not installed");
        return None;
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    let text = String::from_utf8_lossy(&output.stdout);
    // What belongs to a packet's first line is indented.
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match lines.last_mut().filter(|_| line.starts_with([' ', '\t'])) {
            Some(last) => last.push_str(line),
            None => lines.push(line.to_owned()),
        }
    }
    Some(lines)
}
