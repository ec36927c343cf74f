//! What is observed over time, as it lies in `telemetry.csv`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One row of `telemetry.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TelemetryRow {
    /// Seconds since the run's start.
    pub time_s: f64,
    /// The point it belongs to.
    pub point: usize,
    /// What was observed.
    pub entity: Entity,
    /// Which one: `virginia>dublin/0` (channel and lane), `virginia-0>dublin-0/3` (connection), `virginia>dublin` (probe path),
    /// `virginia-0` (host), `virginia-0/mlx5_0/1` (NIC: an RDMA device's port, or `virginia-0/eth0`, an interface).
    pub name: String,
    /// The quantity with its unit as suffix, see [`metric`]; of NICs the name of OpenTelemetry and the series' attributes,
    /// `longhaul.nic.pause.count/receive/3`.
    pub metric: String,
    /// Its value.
    pub value: f64,
}

/// Kinds of things observed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// A lane in one direction.
    Channel,
    /// A TCP connection, at its sending end.
    Connection,
    /// A probe path between two sites.
    Probe,
    /// A host's network interface.
    Host,
    /// A counter of a host's NIC, from the point's start on; told whenever it has grown.
    Nic,
}

/// The names of metrics in `telemetry.csv`.
pub mod metric {
    /// Cumulative bytes delivered (channel), or sent (host).
    pub const BYTES: &str = "bytes";
    /// Cumulative bytes received (host).
    pub const RECEIVED_BYTES: &str = "received_bytes";
    /// Cumulative wire packets delivered.
    pub const PACKETS: &str = "packets";
    /// Cumulative packets the queue refused.
    pub const QUEUE_DROPS: &str = "queue_drops";
    /// Cumulative packets the queue's discipline dropped before it was full.
    pub const EARLY_DROPS: &str = "early_drops";
    /// Cumulative packets marked "congestion experienced".
    pub const MARKS: &str = "marks";
    /// Cumulative packets lost as the lane was down.
    pub const OUTAGE_DROPS: &str = "outage_drops";
    /// Cumulative packets the loss model took.
    pub const LOSSES: &str = "losses";
    /// 1 if the lane carries packets, 0 if it is down; told at first and whenever it changes.
    pub const UP: &str = "up";
    /// Packets in the bottleneck queue.
    pub const QUEUE_PACKETS: &str = "queue_packets";
    /// Bytes in the bottleneck queue.
    pub const QUEUE_BYTES: &str = "queue_bytes";
    /// One-way delay of the probe sent at `time_s`, microseconds.
    pub const ONE_WAY_DELAY_US: &str = "one_way_delay_us";
    /// 1 for a probe sent at `time_s` that never arrived.
    pub const PROBE_LOST: &str = "probe_lost";
    /// Smoothed RTT, microseconds.
    pub const RTT_US: &str = "rtt_us";
    /// Congestion window, bytes.
    pub const CWND_BYTES: &str = "cwnd_bytes";
    /// Cumulative retransmitted segments.
    pub const RETRANSMITS: &str = "retransmits";
    /// Pacing rate, bits per second.
    pub const PACING_RATE_BPS: &str = "pacing_rate_bps";
    /// Delivery rate, bits per second.
    pub const DELIVERY_RATE_BPS: &str = "delivery_rate_bps";
    /// Cumulative bytes acknowledged.
    pub const BYTES_ACKED: &str = "bytes_acked";
    /// Cumulative bytes that arrived marked "congestion experienced" (connection).
    pub const MARKED_BYTES: &str = "marked_bytes";
}
