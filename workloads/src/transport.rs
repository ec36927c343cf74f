//! How ranks move bytes: kernel TCP, or the message transport over UDP.
//!
//! - `mesh`: a rank's listener and its connections; each carries data one way, from the rank that opened it.
//! - `carry`: one rank's program carried out, on one thread. `exchange`: over its connections.
//! - `work`: what a program is to an exchange.
//! - `outbound`, `inbound`: one peer's messages each way, split over the pair's connections.
//! - `frame`: what lies between messages on a connection, so that a connection out of step is noticed.
//! - `memory`: a rank's buffers.
//! - `datagram`: the message transport's sockets, and a program carried out over it.
//! - `tcp_info`: what the kernel tells about a connection. `option`: options of sockets.

mod carry;
pub(crate) mod datagram;
pub(crate) mod exchange;
mod frame;
mod inbound;
pub(crate) mod memory;
pub(crate) mod mesh;
mod option;
mod outbound;
mod tcp_info;
pub(crate) mod work;

use std::io;
use std::ops::Range;
use std::time::Duration;

use crate::world::ConnectionSample;

/// Who looks at the connections now and then.
pub(crate) trait Attendant {
    /// Called when the transport has woken, at least every [`ATTENTION`]; `now_ns` is now on CLOCK_MONOTONIC.
    fn attend(&mut self, now_ns: u64, connections: &dyn Connections);

    /// In how long it asks to be called, if it does: a connection that can do nothing is looked at, too.
    fn next(&self, _now_ns: u64) -> Option<Duration> {
        None
    }
}

/// What tells how its connections are.
pub(crate) trait Connections {
    /// Each that this rank sends on; `at_ns` is now on CLOCK_MONOTONIC.
    fn sample(&self, at_ns: u64) -> Vec<ConnectionSample>;
}

/// The longest the transport sleeps at once.
pub(crate) const ATTENTION: Duration = Duration::from_millis(100);

/// Why bytes could not be moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// The system refused a step.
    #[error("cannot {step}: {source}")]
    System {
        /// What was attempted, on what.
        step: String,
        /// What the system answered.
        source: io::Error,
    },
    /// A peer cannot be connected to.
    #[error("cannot connect to rank {peer}: {source}")]
    Unreachable {
        /// Which.
        peer: usize,
        /// What the system answered.
        source: io::Error,
    },
    /// A connection broke.
    #[error("lost the connection to rank {peer}: {source}")]
    Lost {
        /// Which.
        peer: usize,
        /// What the system answered.
        source: io::Error,
    },
    /// Nothing moved for too long.
    #[error("{what} rank {peer} for {:.1} s", waited.as_secs_f64())]
    Stalled {
        /// The peer waited for.
        peer: usize,
        /// `nothing from`, `nothing taken by`, `no connection from`.
        what: &'static str,
        /// How long.
        waited: Duration,
    },
    /// A connection carries something else than the schedule says.
    #[error("the connection from rank {peer} is out of step: expected {expected}, got {got}")]
    OutOfStep {
        /// The sending rank.
        peer: usize,
        /// The frame that should have come.
        expected: String,
        /// What came.
        got: String,
    },
}

pub(crate) fn system(step: String) -> impl FnOnce(io::Error) -> TransportError {
    |source| TransportError::System { step, source }
}

/// The bytes of a message of `length` bytes that go over connection `index` of `connections`: an equal split, as NCCL's
/// socket transport has it.
fn piece(length: usize, index: usize, connections: usize) -> Range<usize> {
    length * index / connections..length * (index + 1) / connections
}
