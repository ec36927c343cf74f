//! Captures: the packets of lanes, in pcap files.
//!
//! ```text
//! engine's thread ─ Tap: a record in a chunk of memory ─▶ writer's thread ─▶ one file per channel and side
//!                    ◀───────────── chunks to use again ─┘
//! ```
//! An engine has a [`Tap`] for each channel and [`Side`] that is captured, and is never held up by one: there are so many chunks and no
//! more, and packets that find none are missing in the file and counted.
//!
//! - `selection`: which lanes a user means.
//! - `tap`: the engine's end. `writer`: the disk's. `format`: what is in a file.

mod format;
mod selection;
mod tap;
mod writer;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use self::format::FILE_HEADER;
pub use self::selection::channels;
pub use self::tap::Tap;
use self::writer::{Message, Output, Written};
use crate::plan::{ChannelId, LabPlan};

/// Memory for packets on their way to the disk. Cut at [`DEFAULT_BYTES`] these are 466,000 packets: what 10 Gbit/s of 1500 bytes carry
/// while the disk stalls for half a second.
const MEMORY: usize = 64 << 20;
/// A chunk holds the longest record and lasts for hundreds of short ones.
const CHUNK: usize = 128 << 10;
/// Each tap fills one chunk while another is written.
const CHUNKS_PER_TAP: usize = 2;

/// How many bytes of each packet are captured unless more are asked for: Ethernet with a VLAN tag, IPv6 and TCP with all options are 118.
pub const DEFAULT_BYTES: u32 = 128;
/// The most: the longest frame of an IP packet.
pub const MOST_BYTES: u32 = 1 << 16;

/// Where on a channel packets are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// As they come to the bottleneck queue.
    Offered,
    /// As they arrive at the far end: what queue, loss and outage left, after the delay.
    Delivered,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Offered => "offered",
            Side::Delivered => "delivered",
        })
    }
}

/// What is captured, and how.
#[derive(Clone, Debug)]
pub struct CaptureOptions<'a> {
    /// The folder for the files; made if it is not there.
    pub folder: &'a Path,
    /// The channels; in this order in the answer.
    pub channels: &'a [ChannelId],
    /// The sides of each: those that the lab's engine sees ([`EngineKind::sides`](crate::engine::EngineKind::sides)), or some of them.
    pub sides: &'a [Side],
    /// How many bytes of each packet, up to [`MOST_BYTES`].
    pub bytes: u32,
    /// The instant on `CLOCK_MONOTONIC`, in nanoseconds, that is zero in the files.
    pub zero: u64,
}

/// A capture under way. Dropping it ends it.
#[derive(Debug)]
pub struct Capture {
    files: Vec<Captured>,
    /// Packets that each file's tap has seen.
    seen: Vec<Arc<AtomicU64>>,
    messages: Sender<Message>,
    /// Absent once it has ended.
    writer: Option<JoinHandle<Vec<Written>>>,
}

/// A file of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Where it is.
    pub path: PathBuf,
    /// The channel.
    pub channel: ChannelId,
    /// Where on it.
    pub side: Side,
    /// Packets in the file.
    pub packets: u64,
    /// Packets that the channel carried and the file lacks.
    pub missed: u64,
    /// Why the file ends early, if it could not be written.
    pub failure: Option<String>,
}

/// Why a capture could not begin.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct CaptureError {
    /// What was attempted.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system answered.
    pub source: io::Error,
}

impl Capture {
    /// Makes the files, and the taps for [`Lab::capture`](crate::lab::Lab::capture).
    ///
    /// # Errors
    /// If a file exists already or cannot be made, or no thread can be started.
    pub fn create(
        plan: &LabPlan,
        options: &CaptureOptions<'_>,
    ) -> Result<(Self, Vec<Tap>), CaptureError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| CaptureError {
                action,
                path,
                source,
            }
        };
        fs::create_dir_all(options.folder).map_err(failed("make the folder", options.folder))?;
        let (messages, inbox) = mpsc::channel();
        let count = options.channels.len() * options.sides.len();
        let chunks = (MEMORY / CHUNK).max(CHUNKS_PER_TAP * count);
        let allowance = Arc::new(AtomicUsize::new(chunks));
        let header = format::file_header(options.bytes);
        let (mut files, mut outputs, mut taps) = (Vec::new(), Vec::new(), Vec::new());
        for &channel in options.channels {
            for &side in options.sides {
                let path = options.folder.join(file_name(plan, channel, side));
                let file = create(&path, &header).map_err(failed("make", &path))?;
                let (output, spare) = Output::new(file, FILE_HEADER as u64);
                let tap = Tap::new(
                    (channel, side),
                    (options.zero, options.bytes),
                    (outputs.len(), messages.clone()),
                    (spare, Arc::clone(&allowance)),
                );
                files.push(Captured {
                    path,
                    channel,
                    side,
                    packets: 0,
                    missed: 0,
                    failure: None,
                });
                outputs.push(output);
                taps.push(tap);
            }
        }
        let seen = taps.iter().map(Tap::seen).collect();
        let writer = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || writer::write(&inbox, outputs))
            .map_err(failed("start a thread to write", options.folder))?;
        let capture = Capture {
            files,
            seen,
            messages,
            writer: Some(writer),
        };
        Ok((capture, taps))
    }

    /// Ends the capture: what the taps have handed over is in the files when this returns. They hand over the rest when they are
    /// dropped; what they still hold counts as missed.
    ///
    /// # Panics
    /// If the writer's thread did.
    pub fn finish(mut self) -> Vec<Captured> {
        let written = self.end();
        let seen = self
            .seen
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect::<Vec<_>>();
        let files = std::mem::take(&mut self.files).into_iter();
        let ended = files.zip(written).zip(seen);
        ended
            .map(|((file, written), seen)| Captured {
                packets: written.packets,
                missed: seen.saturating_sub(written.packets),
                failure: written.failure.map(|error| error.to_string()),
                ..file
            })
            .collect()
    }

    fn end(&mut self) -> Vec<Written> {
        let Some(writer) = self.writer.take() else {
            return Vec::new();
        };
        // It waits for this and for nothing else; were it gone, joining it would tell why.
        let _ = self.messages.send(Message::Stop);
        match writer.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// `virginia_dublin_0_delivered.pcap`: no site has an underscore in its name.
fn file_name(plan: &LabPlan, channel: ChannelId, side: Side) -> String {
    let [from, to] = plan.topology.links[channel.link.0]
        .ends(channel.direction)
        .map(|site| &plan.topology.site(site).name);
    format!("{from}_{to}_{}_{side}.pcap", channel.lane)
}

fn create(path: &Path, header: &[u8]) -> io::Result<File> {
    let mut file = File::create_new(path)?;
    io::Write::write_all(&mut file, header)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
