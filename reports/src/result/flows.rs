//! What the connections and queue pairs between ranks carried.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Percentiles;

/// A TCP connection, or a queue pair of the message transport.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowSummary {
    /// Sending host.
    pub from: String,
    /// Receiving host.
    pub to: String,
    /// Which of the pair's connections, from 0.
    pub number: usize,
    /// Bytes acknowledged, warm-up included.
    pub bytes: u64,
    /// Segments or packets sent again, warm-up included.
    pub retransmits: u64,
    /// Its messages; absent for TCP.
    pub messages: Option<MessageSummary>,
}

/// Messages of a queue pair: the chunks of a collective.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSummary {
    /// From the hand-over by the sending rank to the delivery to the receiving one, microseconds; warm-up excluded.
    pub latency_us: Percentiles,
    /// Of those, how many came after the instant that the stack's `playout` had set for them; absent without one.
    pub late: Option<u64>,
    /// Bytes that arrived with "congestion experienced", warm-up included.
    pub marked_bytes: u64,
}

/// What the flows over a link had of it, together and each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LinkShares {
    /// `virginia>dublin`.
    pub link: String,
    /// Flows over it.
    pub flows: usize,
    /// Jain's index (Jain, Chiu, Hawe 1984) of their rates, 1 / flows to 1: in the second half of the time in which all of
    /// them were sending. The median of the measured iterations.
    pub jain: f64,
    /// What they carried together in that time, bits per second of acknowledged data, each byte once: TCP's without headers, the message
    /// transport's with its own of 64 bytes a packet; the median of the measured iterations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodput_bps: Option<f64>,
}
