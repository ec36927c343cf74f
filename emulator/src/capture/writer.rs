//! The disk's end of a capture.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, Sender};

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Whole records, of so many packets, to be appended.
    Chunk {
        file: usize,
        packets: u64,
        bytes: Vec<u8>,
    },
    /// That was all.
    Stop,
}

/// A file being written.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// Bytes up to the end of its last whole record.
    whole: u64,
    written: Written,
    /// Chunks go back to the tap.
    spare: Sender<Vec<u8>>,
}

/// What became of a file.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Packets in it.
    pub(super) packets: u64,
    /// Why there are no more.
    pub(super) failure: Option<io::Error>,
}

impl Output {
    /// Appends to `file`, which has `whole` bytes; chunks that were written come back to the receiver.
    pub(super) fn new(file: File, whole: u64) -> (Self, Receiver<Vec<u8>>) {
        let (spare, spares) = mpsc::channel();
        let output = Output {
            file,
            whole,
            written: Written::default(),
            spare,
        };
        (output, spares)
    }

    /// After a failure nothing more: a file with a hole in it would look like packets that were lost.
    fn append(&mut self, packets: u64, bytes: &[u8]) {
        if self.written.failure.is_some() {
            return;
        }
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.whole += bytes.len() as u64;
                self.written.packets += packets;
            }
            Err(error) => {
                // Half a record would keep readers from the whole ones; where it cannot be cut off they say so.
                let _ = self.file.set_len(self.whole);
                self.written.failure = Some(error);
            }
        }
    }
}

/// Writes until it is told to stop; what became of each file.
pub(super) fn write(messages: &Receiver<Message>, mut outputs: Vec<Output>) -> Vec<Written> {
    while let Ok(Message::Chunk {
        file,
        packets,
        mut bytes,
    }) = messages.recv()
    {
        let output = &mut outputs[file];
        output.append(packets, &bytes);
        bytes.clear();
        // The tap may be gone.
        let _ = output.spare.send(bytes);
    }
    outputs.into_iter().map(|output| output.written).collect()
}
