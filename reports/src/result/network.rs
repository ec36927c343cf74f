//! Delays and traffic of a point, summed up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Percentiles of a distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// How many.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Least.
    pub min: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Greatest.
    pub max: f64,
}

/// One-way delay from site to site while the workload ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DelaySummary {
    /// Sending site.
    pub from: String,
    /// Receiving site.
    pub to: String,
    /// One-way delay of the description, least path, microseconds.
    pub described_us: f64,
    /// One-way delay, microseconds.
    pub delay_us: Percentiles,
    /// Of it, what probes saw that left in the time of which the [`LinkShares`](super::LinkShares) of the links they crossed tell; absent
    /// if no flows crossed those, or no probes then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_us: Option<Percentiles>,
    /// Packet delay variation (RFC 5481 section 4.2): 99th percentile above the least delay, microseconds.
    pub pdv_us: f64,
    /// Interarrival jitter (RFC 3550 section 6.4.1) at the end, microseconds.
    pub rfc3550_us: f64,
    /// Probes sent.
    pub sent: u64,
    /// Probes that never arrived.
    pub lost: u64,
}

/// Totals of one channel over a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelSummary {
    /// `virginia>dublin`.
    pub link: String,
    /// Lane number, from 0.
    pub lane: usize,
    /// The described rate; absent if unlimited.
    pub rate_bps: Option<u64>,
    /// Bytes of Ethernet frames delivered.
    pub bytes: u64,
    /// Wire packets delivered.
    pub packets: u64,
    /// Refused by the full bottleneck queue.
    pub queue_drops: u64,
    /// Dropped by the queue's discipline before it was full.
    #[serde(default)]
    pub early_drops: u64,
    /// Marked "congestion experienced".
    #[serde(default)]
    pub marks: u64,
    /// Lost as the lane was down.
    #[serde(default)]
    pub outage_drops: u64,
    /// Taken by the loss model, where the engine tells.
    pub losses: Option<u64>,
    /// Greatest sampled occupancy of the bottleneck queue, bytes.
    pub queue_peak_bytes: u64,
}
