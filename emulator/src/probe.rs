//! UDP probes that measure one-way delay between two nodes. All sockets live in the lab process, so sender and
//! receiver read one clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::NodeId;

/// Where a stream of probes goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePath {
    /// The node that sends.
    pub from: NodeId,
    /// The node that receives.
    pub to: NodeId,
}

/// One probe, sent and (unless lost) received.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeSample {
    /// Index into the list of paths.
    pub path: usize,
    /// When it was sent, since the prober started.
    pub sent: Duration,
    /// One-way delay; `None` if it had not arrived when the prober stopped or two seconds later than sent.
    pub delay: Option<Duration>,
}
