//! The ranks of a collective as processes, and the control connection to them.
//!
//! Each rank is a process of its own (`longhaul __rank`), started by the caller's command inside its host, with a Unix
//! socket pair as its only tie to the lab process: rendezvous, the common start of each iteration, results and
//! TCP_INFO samples go over it, so nothing of the control crosses the emulated network.

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use longhaul_reports::result::Placement;
use serde::{Deserialize, Serialize};

use crate::collective::schedule::Shape;
use crate::collective::{Algorithm, Collective, DataType, ReduceOp, Unsupported};

/// One rank to start.
#[derive(Debug)]
pub struct RankSpec {
    /// The host's name, for messages.
    pub host: String,
    /// The site, as an index; ranks of one site are near each other (hierarchical algorithms group by it).
    pub site: usize,
    /// The address it listens on and its peers connect to.
    pub address: IpAddr,
    /// The command that starts a longhaul rank there: program and `__rank` set, namespaces entered by its pre-exec.
    pub command: Command,
}

/// How ranks talk to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportOptions {
    /// Kernel congestion control (`cubic`); the namespace's default if absent.
    pub congestion_control: Option<String>,
    /// TCP connections per pair of ranks that talk; a message is split equally over them, as NCCL does.
    pub connections: usize,
    /// Explicit SO_SNDBUF and SO_RCVBUF; the kernel's autotuning if absent.
    pub socket_buffer: Option<u64>,
    /// Bytes of a pipelined chunk.
    pub chunk_bytes: u64,
}

/// One collective operation on a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// What.
    pub collective: Collective,
    /// How.
    pub algorithm: Algorithm,
    /// On what.
    pub data_type: DataType,
    /// With what operator; ignored where nothing is reduced.
    pub op: ReduceOp,
    /// Root rank of a broadcast.
    pub root: usize,
    /// Bytes of the whole array (nccl-tests' `size`), rounded down to whole elements per rank by [`Operation::count`].
    pub size_bytes: u64,
    /// In place or not.
    pub placement: Placement,
    /// Seeds the data.
    pub seed: u64,
}

impl Operation {
    /// Whole elements of the array over so many ranks; see [`Collective::count`].
    ///
    /// # Errors
    /// If there is not one element (per rank).
    pub fn count(&self, ranks: usize) -> Result<u64, Unsupported> {
        self.collective
            .count(self.data_type, self.size_bytes, ranks)
    }

    /// The schedule's shape over ranks in these sites, with chunks of at most `chunk_bytes` (and at least one element).
    ///
    /// # Errors
    /// If there is no such algorithm or root, or not one element (per rank).
    pub fn shape(&self, sites: Vec<usize>, chunk_bytes: u64) -> Result<Shape, Unsupported> {
        let shape = Shape {
            collective: self.collective,
            algorithm: self.algorithm,
            count: self.count(sites.len())? as usize,
            chunk: (chunk_bytes as usize / self.data_type.bytes()).max(1),
            root: self.root,
            placement: self.placement,
            sites,
        };
        shape.check()?;
        Ok(shape)
    }
}

/// What one iteration gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Iteration {
    /// The common start of all ranks.
    pub start: Instant,
    /// From the common start to the last rank's end.
    pub time: Duration,
    /// The same per rank.
    pub rank_times: Vec<Duration>,
    /// Wrong elements, all ranks together.
    pub wrong: u64,
}

/// One connection's TCP_INFO at one moment, at its sending end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionSample {
    /// When (CLOCK_MONOTONIC).
    pub at_ns: u64,
    /// Sending rank.
    pub from: usize,
    /// Receiving rank.
    pub to: usize,
    /// Which of the pair's connections.
    pub connection: usize,
    /// Smoothed RTT, microseconds.
    pub rtt_us: u32,
    /// Congestion window, bytes.
    pub cwnd_bytes: u64,
    /// Retransmitted segments so far.
    pub retransmits: u64,
    /// Pacing rate, bits per second; `None` if unlimited.
    pub pacing_rate_bps: Option<u64>,
    /// Delivery rate, bits per second.
    pub delivery_rate_bps: u64,
    /// Bytes acknowledged so far.
    pub bytes_acked: u64,
}

/// Why a collective could not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A rank's process ended.
    #[error("rank {rank} on {host} {how}")]
    RankDied {
        /// Which.
        rank: usize,
        /// Where.
        host: String,
        /// `was killed by signal 9`, `exited with code 1: …last words`.
        how: String,
    },
    /// A rank did not answer in time.
    #[error("rank {rank} on {host} stopped answering: {waiting}")]
    Silent {
        /// Which.
        rank: usize,
        /// Where.
        host: String,
        /// `nothing from rank 3 on dublin-1 for 10 s`.
        waiting: String,
    },
    /// Something of the system failed.
    #[error("cannot {step}: {source}")]
    System {
        /// What was attempted.
        step: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// This collective has no such algorithm.
    #[error("{0}")]
    Unsupported(String),
}

/// Ranks that are up and connected.
#[derive(Debug)]
pub struct World {}

impl World {
    /// Starts the ranks and connects them.
    ///
    /// # Errors
    /// If a rank does not start, or ends, or cannot be reached.
    pub async fn start(
        ranks: Vec<RankSpec>,
        transport: TransportOptions,
        sampling: Duration,
    ) -> Result<Self, WorldError> {
        let _ = (ranks, transport, sampling);
        unimplemented!()
    }

    /// Runs one iteration of `operation` on all ranks from a common start and checks its result.
    ///
    /// # Errors
    /// If a rank dies or goes silent: nothing arrived on its connections for `patience` while it waited.
    pub async fn iterate(
        &mut self,
        operation: &Operation,
        iteration: u64,
        patience: Duration,
    ) -> Result<Iteration, WorldError> {
        let _ = (operation, iteration, patience);
        unimplemented!()
    }

    /// The TCP_INFO samples that have come in since the last call.
    pub fn connection_samples(&mut self) -> Vec<ConnectionSample> {
        unimplemented!()
    }

    /// Ends the ranks and waits for them.
    pub async fn stop(self) {
        unimplemented!()
    }
}
