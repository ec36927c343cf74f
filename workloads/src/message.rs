//! The reliable message transport over UDP: what an RDMA network card does for a collective.
//!
//! Plain state without clock, socket or randomness: it is handed the time and packets, and answers packets, timers and
//! messages. A queue pair carries messages one way, from one `sender::Sender` to one `receiver::Receiver`; what goes back is
//! acknowledgements.
//!
//! Two numbers tell packets apart. The *sequence* counts pieces of messages over the whole queue pair: by it, the receiver
//! takes each piece once. The *number* counts transmissions on one path, and no two have the same: by it, an acknowledgement
//! is never ambiguous, and reordering between paths is not mistaken for loss (as in RFC 9000, section 12.3).
//!
//! - `wire`: the packets.
//! - `sender`, `greeting`, `departure`, `acknowledgement`: the sending end: its timers, its handshake, what leaves and on which
//!   path, what it learns.
//! - `backlog`: messages cut into pieces, kept until they have arrived.
//! - `erasure`: packets from which lost ones are computed.
//! - `path`: the transmissions on one path, and which of them are lost.
//! - `flow`: one congestion control at work, its pace and its rate samples.
//! - `receiver`: the receiving end.
//! - `credits`: what all senders to one host may have in flight together.
//! - `ranges`, `round_trip`, `pacer`: storage and arithmetic that know nothing of the rest.

mod acknowledgement;
mod backlog;
pub(crate) mod credits;
mod departure;
mod erasure;
mod flow;
mod greeting;
pub(crate) mod pacer;
mod path;
mod ranges;
pub(crate) mod receiver;
mod round_trip;
pub(crate) mod sender;
#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use std::time::Duration;

pub use erasure::Erasure;
pub(crate) use erasure::MOST_SHARDS;
use longhaul_emulator::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::congestion::Law;

/// How what is lost is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Recovery {
    /// Only what is lost.
    #[default]
    SelectiveRepeat,
    /// Everything from the first loss on, as the receiver keeps nothing that is out of order: RoCE's way.
    GoBackN,
}

/// How packets choose among paths. A path is a UDP source port, since links hash flows onto their lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PathChoice {
    /// All on one path: the network's hash decides.
    #[default]
    Hash,
    /// Packet by packet in turn, under one congestion control.
    Spray,
    /// Each on the path with room and the least delay; a congestion control per path.
    Adaptive,
}

/// The paths of a queue pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// How packets choose among them.
    #[serde(default)]
    pub choice: PathChoice,
    /// How many there are; 1 if absent.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub count: u8,
}

fn one() -> u8 {
    1
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            choice: PathChoice::Hash,
            count: 1,
        }
    }
}

/// When a packet came, and when it is looked at: what lies between the two is this host's, and no part of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) came: Time,
    pub(crate) now: Time,
}

/// The first packets of a path leave one by one, and are answered one by one: by how they are spaced when they arrive laws learn
/// what the bottleneck carries, and those of a super-packet have come at one time, as far as is told. More than their trains have.
const SINGLY: u64 = 128;

/// How a queue pair behaves; both ends have the same.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameters {
    /// Bytes of a UDP payload at most.
    pub(crate) datagram: usize,
    /// How what is lost is sent again.
    pub(crate) recovery: Recovery,
    /// How packets choose their path.
    pub(crate) choice: PathChoice,
    /// Paths, 1 to [`MOST_PATHS`].
    pub(crate) paths: u8,
    /// The congestion control.
    pub(crate) law: Law,
    /// Hops that in-band telemetry has room for; none asks for no telemetry.
    pub(crate) hops: u8,
    /// The erasure code, if there is one.
    pub(crate) erasure: Option<Erasure>,
    /// Bytes of a message at most.
    pub(crate) most_message: usize,
    /// Messages that the receiver has room for at once.
    pub(crate) messages: u64,
    /// After this time without a word the peer is given up.
    pub(crate) patience: Duration,
    /// Messages are handed over so long after they were sent, and not before; as soon as they are whole if `None`.
    pub(crate) playout: Option<Duration>,
}

/// Paths of a queue pair at most: more than any bundle of lanes has.
pub const MOST_PATHS: u8 = 64;

/// Bytes of an IP packet that has room for any packet of a queue pair with so many hops of in-band telemetry.
pub(crate) fn least_mtu(hops: u8) -> u64 {
    // The headers of IPv6 and UDP.
    (wire::least_datagram(hops) + 40 + 8) as u64
}

/// Bytes of a message in one packet of `datagram` bytes with so many hops of in-band telemetry.
pub(crate) fn piece(datagram: usize, hops: u8, erasure: Option<Erasure>) -> usize {
    let around = match erasure {
        // Parity is as long as a piece with its place, filled up to an even length.
        Some(_) => wire::DATA.max(wire::PARITY + erasure::PLACE + 1),
        None => wire::DATA,
    };
    datagram - wire::prefix(hops) - around
}

impl Parameters {
    /// Bytes of a message in one packet.
    fn piece(&self) -> usize {
        piece(self.datagram, self.hops, self.erasure)
    }
}

/// Why a queue pair ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The peer began anew: what it had received is gone.
    #[error("it was restarted")]
    Restarted,
    /// Nothing was heard.
    #[error("it did not answer for {:.1} s", .0.as_secs_f64())]
    Vanished(Duration),
    /// The two ends were not given the same parameters.
    #[error("it was started with other transport settings")]
    Mismatched,
}
