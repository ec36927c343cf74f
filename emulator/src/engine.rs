//! What a link engine is: the part of a lab that makes a lane behave as its description says.

use std::fmt;
use std::time::Duration;

use longhaul_topologies::Topology;
use longhaul_topologies::model::Channel;
use serde::{Deserialize, Serialize};

use crate::capture::{Side, Tap};
use crate::namespace::Namespace;
use crate::plan::ChannelId;

/// The engines there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// The host kernel's qdiscs: TBF and netem.
    Netem,
    /// longhaul's user-space data plane on AF_PACKET.
    Relay,
}

impl EngineKind {
    /// Where on a channel it sees packets. The kernel shows none before its queue.
    pub fn sides(self) -> &'static [Side] {
        match self {
            EngineKind::Netem => &[Side::Delivered],
            EngineKind::Relay => &[Side::Offered, Side::Delivered],
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EngineKind::Netem => "netem",
            EngineKind::Relay => "relay",
        })
    }
}

/// Which engine the user asked for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// netem where the kernel has all that the topology needs, else the relay.
    #[default]
    Auto,
    /// netem or nothing.
    Netem,
    /// The relay or nothing.
    Relay,
}

/// An engine at work on all lanes of a lab.
///
/// Made by `netem::Netem::attach` or `relay::Relay::attach`; dropping it stops it.
pub trait LinkEngine: Send {
    /// Which one this is.
    fn kind(&self) -> EngineKind;

    /// Reads the counters of every channel. Blocking for at most a few milliseconds; called from a sampling thread,
    /// never from async code.
    ///
    /// # Errors
    /// If the engine has died, or the kernel does not answer.
    fn counters(&mut self) -> Result<Vec<(ChannelId, ChannelCounters)>, EngineError>;

    /// Makes channels behave as said from now on, in one go: what that takes of asking around does not grow with their number. Packets
    /// under way keep their fate.
    ///
    /// # Errors
    /// If the engine cannot express one of them; others may have been set.
    fn set_all(&mut self, changes: &[(ChannelId, Channel)]) -> Result<(), EngineError>;

    /// The same for one channel.
    ///
    /// # Errors
    /// If the engine cannot express `channel`.
    fn set(&mut self, id: ChannelId, channel: &Channel) -> Result<(), EngineError> {
        self.set_all(&[(id, channel.clone())])
    }

    /// Makes sure that this machine has the memory for a topology whose channels are not those the engine was attached for.
    ///
    /// # Errors
    /// [`EngineError::Memory`] if it has not.
    fn make_room(&mut self, _wanted: &Topology) -> Result<(), EngineError> {
        Ok(())
    }

    /// A workload begins: traces start again, and lists of lost packets count from here. Packets under way keep their fate.
    ///
    /// # Errors
    /// If the engine has died.
    fn begin(&mut self) -> Result<(), EngineError>;

    /// Shows packets to `taps` from now on, and lets go of those that it had before. A tap of a channel that the lab does not have, or of
    /// a side that the engine does not see, is let go at once. `namespaces` are those of the plan's nodes, in its order.
    ///
    /// # Errors
    /// If the engine has died, or the kernel refuses it the packets.
    fn capture(&mut self, namespaces: &[Namespace], taps: Vec<Tap>) -> Result<(), EngineError>;

    /// What this machine denied the engine of what keeps it punctual, and what follows; in words.
    fn handicaps(&self) -> Vec<String> {
        Vec::new()
    }

    /// How late the engine itself was since this was last asked, or since it was attached; `None` if it cannot tell
    /// (netem).
    fn lateness(&mut self) -> Option<Lateness>;
}

/// Counters of one channel since the engine was attached. Packets are wire packets: a GSO super-packet
/// counts as its segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelCounters {
    /// Packets delivered at the far end (duplicates included).
    pub packets: u64,
    /// Bytes of Ethernet frames delivered at the far end.
    pub bytes: u64,
    /// Packets the full bottleneck queue refused.
    pub queue_drops: u64,
    /// Packets the queue's discipline dropped before it was full.
    pub early_drops: u64,
    /// Packets marked "congestion experienced".
    pub marks: u64,
    /// Packets lost as the lane was down.
    pub outage_drops: u64,
    /// Packets the loss model took; `None` if the engine does not tell.
    pub losses: Option<u64>,
    /// Packets the engine itself lost, which the description does not call for (a full socket buffer). Any is a defect
    /// of the run.
    pub engine_drops: u64,
    /// Packets in the bottleneck queue now.
    pub queue_packets: u64,
    /// Bytes in the bottleneck queue now.
    pub queue_bytes: u64,
}

/// A release later than this is out of bound: such a one changes what a transport sees as its RTT by more than the bound on a
/// link's delay.
pub const LATE: Duration = Duration::from_millis(5);

/// How late packets left the engine, against the instant the link model had set, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Lateness {
    /// Releases counted.
    pub releases: u64,
    /// Median, in microseconds.
    pub p50_us: f64,
    /// 99th percentile, in microseconds.
    pub p99_us: f64,
    /// The worst, in microseconds.
    pub max_us: f64,
    /// The share of the releases that were later than [`LATE`], 0–1.
    pub late: f64,
    /// The share of those that the engine's thread slept through, as the machine did not wake it in time, 0–1. The others
    /// waited while it was at work.
    pub slept_through: f64,
    /// How often the thread was taken off its processor.
    pub preempted: u64,
    /// How often it waited for memory that had to be read from disk.
    pub major_faults: u64,
}

/// Why an engine could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine cannot express this channel; the message says which field.
    #[error("{engine} cannot express {what}")]
    Inexpressible {
        /// Which engine.
        engine: EngineKind,
        /// Which field and why.
        what: String,
    },
    /// The kernel lacks what netem needs.
    #[error("netem cannot carry the links: {reason}; {remedy}, or take `--links relay`")]
    Missing {
        /// What it lacks.
        reason: String,
        /// How to get it.
        remedy: String,
    },
    /// The lab's links may hold more than the machine's memory.
    #[error(
        "the relay may need {total} for this lab ({parts}), and this machine has {available} available: {largest}; lower its \
         rate, its delay or its queue"
    )]
    Memory {
        /// The sum.
        total: String,
        /// What it is made of.
        parts: String,
        /// What the machine has.
        available: String,
        /// The channel that needs most.
        largest: String,
    },
    /// A system call or netlink request failed.
    #[error("cannot {step}: {source}")]
    Kernel {
        /// What was attempted, on what.
        step: String,
        /// What the kernel answered.
        source: std::io::Error,
    },
    /// The engine's thread is gone.
    #[error("the {engine} engine has stopped: {reason}")]
    Stopped {
        /// Which engine.
        engine: EngineKind,
        /// Its last words.
        reason: String,
    },
}
