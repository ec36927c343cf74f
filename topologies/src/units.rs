//! Typed quantities, read and written as `tc` writes them.
//!
//! Every type parses with [`FromStr`], prints with [`Display`](std::fmt::Display) in a form it parses again,
//! and (de)serialises as that string.

use std::time::Duration;

/// A bit rate: `1Gbit`, `500Mbit`, `64kbit`, `10mbps` (bytes per second, as `tc` has it), `1Gibit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

/// A number of bytes: `1500`, `64KB`, `16MiB`. As in `tc` and nccl-tests, `K`, `KB` and `KiB` are all 1024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// A span of time: `40ms`, `250us`, `1.5s`, `2min`. A bare number is refused: it does not say its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(Duration);

/// A probability, written with its percent sign: `0.01%`. Between 0 % and 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Probability(f64);

/// How much a queue holds: `256KB`, `1000p` (packets of the MTU), `10ms` (at the link's rate), `2bdp`
/// (multiples of rate × round-trip time of the link).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QueueSize {
    /// Bytes on the wire.
    Bytes(ByteSize),
    /// Packets of any length.
    Packets(u32),
    /// As many bytes as the link's rate drains in this time.
    Time(TimeSpan),
    /// Multiples of the link's bandwidth-delay product (rate × RTT of the link itself).
    Bdp(f64),
}
