//! Congestion control of the message transport: what a law is told, and what it answers.
//!
//! A law is plain state without clock, socket or randomness: it is handed the time and what became of packets, and answers how
//! many bytes may be in flight and how fast they may leave. One file per law, its parameters and their source beside it.
//!
//! - [`Law`]: a law by name with its parameters, as a stack names it.
//! - [`Controller`]: a law at work on one path, or on all the paths of one queue pair.
//! - [`Distance`]: ours. The others are there to be measured against: `docs/congestion-control.md` says of each what was
//!   checked against its source, and what differs.
//! - [`simulation`]: a bottleneck in virtual time, to try laws on.

mod bbr;
mod cubic;
mod dcqcn;
mod dctcp;
mod distance;
mod doca_rtt;
mod factor;
mod fixed_window;
mod gemini;
mod hpcc;
mod law;
mod signal;
pub mod simulation;
mod swift;
#[cfg(test)]
mod testing;
mod timely;
mod uno;

use std::fmt::Debug;
use std::time::Duration;

use longhaul_emulator::inband::Record;
use longhaul_emulator::time::Time;
use longhaul_topologies::units::Rate;

pub use bbr::Bbr;
pub use cubic::Cubic;
pub use dcqcn::Dcqcn;
pub use dctcp::Dctcp;
pub use distance::Distance;
pub use doca_rtt::DocaRtt;
pub use factor::Factor;
pub use fixed_window::FixedWindow;
pub use gemini::Gemini;
pub use hpcc::Hpcc;
pub use law::Law;
pub use swift::Swift;
pub use timely::Timely;
pub use uno::Uno;

/// What is known of a path before its first packet.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Bytes of a full packet on the wire, as windows and rates count it: payload and the transport's header.
    pub packet: u64,
    /// The rate of the sender's own interface, which hardware knows.
    pub line_rate: Option<Rate>,
    /// The round trip of the handshake.
    pub handshake: Option<Duration>,
    /// What it measured of this very path with a full packet; a path without one of its own may be longer.
    pub measured: Option<Measured>,
}

/// What a handshake measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The round trip.
    pub round_trip: Duration,
    /// The way there, where both ends read one clock.
    pub one_way: Option<Duration>,
}

/// A congestion control at work.
///
/// Bytes count whole packets (see [`Conditions::packet`]). The transport sends while less than [`Self::window`] is in flight,
/// no faster than [`Self::pacing_rate`]; it asks for both before every packet.
pub trait Controller: Debug + Send {
    /// A packet left, new or repeated.
    fn on_sent(&mut self, _sent: &Sent) {}

    /// An acknowledgement came that tells of at least one packet not told of before.
    fn on_ack(&mut self, ack: &Ack<'_>);

    /// Packets were found lost. Called before [`Self::on_ack`] for the acknowledgement that showed it.
    fn on_loss(&mut self, loss: &Loss);

    /// Nothing was heard for a retransmission timeout; all that was in flight counts as lost, without [`Self::on_loss`].
    fn on_timeout(&mut self, now: Time);

    /// When [`Self::on_timer`] is to be called, if it is.
    fn timer(&self) -> Option<Time> {
        None
    }

    /// The time that [`Self::timer`] named has come.
    fn on_timer(&mut self, _now: Time) {}

    /// The most bytes in flight.
    fn window(&self) -> u64;

    /// The pace of packets; as fast as the window opens if `None`.
    fn pacing_rate(&self) -> Option<Rate>;
}

/// A packet that left.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When.
    pub now: Time,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes in flight, these included.
    pub in_flight: u64,
    /// More was there to send than was allowed.
    pub backlogged: bool,
}

/// What one acknowledgement told.
#[derive(Clone, Copy, Debug)]
pub struct Ack<'a> {
    /// When it came.
    pub now: Time,
    /// Bytes of packets newly known to have arrived.
    pub bytes: u64,
    /// How many packets those are.
    pub packets: u32,
    /// Bytes of those that arrived with "congestion experienced".
    pub marked: u64,
    /// The round trip of the newest of them, without the time that the receiver held it. A repeated packet is told apart from
    /// its first sending, so this is never ambiguous.
    pub rtt: Duration,
    /// The least round trip of all of them.
    pub least_rtt: Duration,
    /// How long apart two of them left, one after the other, that arrived within an eighth of that (as much less as the shorter one is
    /// shorter than packets may be), or the later one first: the longest, if any did.
    pub met: Option<Duration>,
    /// The newest one's way there, where both ends read one clock.
    pub one_way: Option<Duration>,
    /// When the newest of them was sent.
    pub sent: Time,
    /// The newest one's bytes.
    pub newest_bytes: u64,
    /// Bytes of this controller known to have arrived in all, these included.
    pub delivered: u64,
    /// What `delivered` was when the newest of them was sent: a round has passed when this reaches an earlier `delivered`.
    pub delivered_at_sending: u64,
    /// The rate at which packets arrived over the newest's flight (draft-cheng-iccrg-delivery-rate-estimation).
    pub delivery_rate: Option<Rate>,
    /// `delivery_rate` tells what the application sent, not what the path carries.
    pub application_limited: bool,
    /// Bytes in flight now.
    pub in_flight: u64,
    /// What the newest met at each bottleneck, hop by hop; empty where the network does not tell.
    pub hops: &'a [Record],
}

impl Ack<'_> {
    /// The least way there of all of them: the way back is the newest's, as one acknowledgement told of them.
    pub fn least_way(&self) -> Option<Duration> {
        let above = self.rtt.saturating_sub(self.least_rtt);
        self.one_way.map(|way| way.saturating_sub(above))
    }
}

/// Packets found lost.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// When that was found.
    pub now: Time,
    /// Their bytes.
    pub bytes: u64,
    /// How many.
    pub packets: u32,
    /// When the newest of them was sent: a loss of packets sent before the last reaction is of the same congestion.
    pub sent: Time,
    /// Bytes in flight now.
    pub in_flight: u64,
}
