//! Files of packets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Way;

/// A pcap file: what one side of a channel saw during a point. Its time stamps are seconds since the run's start, as all of a result's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaptureFile {
    /// The file, relative to the result's folder.
    pub file: String,
    /// `virginia>dublin`, as in [`ChannelSummary`](super::ChannelSummary).
    pub link: String,
    /// Lane number, from 0.
    pub lane: usize,
    /// Which way that is in the topology.
    pub direction: Way,
    /// Where on the channel.
    pub side: CaptureSide,
    /// Wire packets in the file.
    pub packets: u64,
    /// Wire packets that were to be in it and are not: writing could not keep up, or failed.
    pub missed: u64,
}

/// Where on a channel packets were captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaptureSide {
    /// As they came to the bottleneck queue.
    Offered,
    /// As they arrived at the far end.
    Delivered,
}
