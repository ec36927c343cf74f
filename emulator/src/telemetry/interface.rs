//! A network interface's counters, from /proc/net/dev.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use crate::plan::HOST_INTERFACE;

/// What a host's interface has carried. Packets are what crossed the interface: a GSO super-packet counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceCounters {
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets received.
    pub received_packets: u64,
}

impl InterfaceCounters {
    /// What was counted since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            sent_bytes: self.sent_bytes.saturating_sub(earlier.sent_bytes),
            sent_packets: self.sent_packets.saturating_sub(earlier.sent_packets),
            received_bytes: self.received_bytes.saturating_sub(earlier.received_bytes),
            received_packets: self
                .received_packets
                .saturating_sub(earlier.received_packets),
        }
    }
}

/// /proc/net/dev of the network namespace it was opened in: an open file stays with that namespace
/// (`seq_open_net` in `fs/proc/proc_net.c`), so reading it later needs no thread that enters.
#[derive(Debug)]
pub(super) struct InterfaceFile(File);

impl InterfaceFile {
    /// Opens the calling thread's.
    pub(super) fn open() -> io::Result<Self> {
        File::open("/proc/thread-self/net/dev").map(Self)
    }

    /// The counters of the host's interface now.
    pub(super) fn read(&self) -> io::Result<InterfaceCounters> {
        // Two header lines, `lo` and `eth0`: below 600 bytes.
        let mut text = [0; 4096];
        let length = self.0.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(&text[..length]);
        counters(&text, HOST_INTERFACE).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("no line of {HOST_INTERFACE}"),
            )
        })
    }
}

/// The counters of `interface` in the text of /proc/net/dev.
pub(crate) fn counters(text: &str, interface: &str) -> Option<InterfaceCounters> {
    let numbers = columns(text, interface)?;
    Some(InterfaceCounters {
        received_bytes: *numbers.first()?,
        received_packets: *numbers.get(1)?,
        sent_bytes: *numbers.get(8)?,
        sent_packets: *numbers.get(9)?,
    })
}

/// All that it says of `interface` (`dev_seq_printf_stats` in `net/core/net-procfs.c`).
pub(crate) fn columns(text: &str, interface: &str) -> Option<Vec<u64>> {
    let fields = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
    let numbers = fields.split_whitespace().map(|field| field.parse().ok());
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
  eth0: 1500000    1000    0    0    0     0          0         0    64000     800    0    0    0     0       0          0
";

    #[test]
    fn counters_of_the_named_interface_are_read() {
        let expected = InterfaceCounters {
            received_bytes: 1_500_000,
            received_packets: 1000,
            sent_bytes: 64_000,
            sent_packets: 800,
        };
        assert_eq!(counters(TEXT, "eth0"), Some(expected));
        assert_eq!(counters(TEXT, "eth"), None);
    }

    #[test]
    fn an_open_file_is_read_anew_each_time() {
        let file = InterfaceFile::open().unwrap();
        let mut text = [0; 4096];
        assert!(file.0.read_at(&mut text, 0).unwrap() > 0);
        assert!(
            file.0.read_at(&mut text, 0).unwrap() > 0,
            "the second read starts at the top again"
        );
    }
}
