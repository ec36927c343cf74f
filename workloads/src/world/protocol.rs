//! What the world and its ranks tell each other: one JSON value a line, over the rank's standard input and output.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Arrivals, ConnectionSample, Operation, TransportOptions};
use crate::replay::part::Part;
use crate::replay::score::Span;
use crate::transport::TransportError;

/// How often a rank that is at work says so.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(200);

/// To a rank. The end of the connection means: exit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// What time is it? Answer: [`Reply::Clock`], at once.
    Clock,
    /// Your clock goes so much behind the world's: add it to what it shows. Before anything is timed. No answer.
    SetClock { behind_ns: i64 },
    /// Who you are. Answer: [`Reply::Listening`].
    Join {
        rank: usize,
        /// The site of each rank.
        sites: Vec<usize>,
        /// Where to listen.
        address: IpAddr,
        /// Tells this world's connections from strangers'.
        nonce: u64,
        transport: Box<TransportOptions>,
        /// How often to read TCP_INFO.
        sampling: Duration,
    },
    /// Where each rank listens. No answer.
    Peers { addresses: Vec<SocketAddr> },
    /// What to play when [`Task::Replay`] is asked for. No answer.
    Learn { part: Box<Part> },
    /// Fill buffers and connect. Answer: [`Reply::Ready`].
    Prepare {
        task: Task,
        iteration: u64,
        patience: Duration,
    },
    /// Run what was prepared, from that moment on. Answer: [`Reply::Finished`].
    Start { at_ns: u64 },
    /// Check the result. Answer: [`Reply::Checked`].
    Check,
}

/// What an iteration does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// One collective of all ranks.
    Operation(Operation),
    /// The part of a trace that was learnt last.
    Replay,
}

/// From a rank.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The time, as corrected by [`Request::SetClock`].
    Clock { now_ns: u64 },
    /// It listens.
    Listening { address: SocketAddr },
    /// It is at work.
    Alive,
    /// Buffers are filled, connections open.
    Ready,
    /// Its program has ended.
    Finished {
        started_ns: u64,
        ended_ns: u64,
        arrivals: Vec<Arrivals>,
        /// Of a replay's nodes.
        spans: Vec<Span>,
    },
    /// So many elements are wrong, and what its connections were seen to do since it was last asked.
    Checked {
        wrong: u64,
        samples: Vec<ConnectionSample>,
    },
    /// It cannot go on.
    Failed(Failure),
}

/// Why a rank cannot go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// The system refused a step.
    System {
        step: String,
        /// The error number, if it has one.
        errno: Option<i32>,
        message: String,
    },
    /// Something is wrong with a peer, or the way to it.
    Peer {
        peer: usize,
        message: String,
        /// How long it had waited.
        waited: Duration,
    },
}

impl From<&TransportError> for Failure {
    fn from(error: &TransportError) -> Self {
        let about = |peer: &usize, waited: Duration| Failure::Peer {
            peer: *peer,
            message: error.to_string(),
            waited,
        };
        match error {
            TransportError::System { step, source } => Failure::System {
                step: step.clone(),
                errno: source.raw_os_error(),
                message: source.to_string(),
            },
            TransportError::Stalled { peer, waited, .. } => about(peer, *waited),
            TransportError::Unreachable { peer, .. }
            | TransportError::Lost { peer, .. }
            | TransportError::OutOfStep { peer, .. } => about(peer, Duration::ZERO),
        }
    }
}
