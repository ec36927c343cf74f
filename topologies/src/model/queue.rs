//! What the bottleneck queue does beside holding packets until it is full.
//!
//! Every discipline has the channel's [`QueueLimit`](super::QueueLimit) on top. Marks follow the packet's ECN field (RFC 3168
//! section 5): what is not ECN-capable (Not-ECT) is dropped where an ECN-capable packet would be marked.

use std::time::Duration;

use super::QueueLimit;
use crate::units::{ByteSize, Probability};

/// How a bottleneck queue treats its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum QueueDiscipline {
    /// First in, first out; what does not fit is dropped.
    #[default]
    DropTail,
    /// Random early detection, as switches have it for their queues (WRED with ECN).
    Red(Red),
    /// Marks every packet that finds more than a threshold before it (DCTCP; RFC 8257 section 3.1).
    Step(Step),
    /// Controlled delay (RFC 8289).
    CoDel(CoDel),
    /// Flow queues with CoDel in each (RFC 8290).
    FqCoDel(FqCoDel),
    /// Proportional integral controller enhanced (RFC 8033).
    Pie(Pie),
    /// The dual queue of L4S: a shallow queue for scalable senders, coupled to a classic one (RFC 9332).
    DualPi2(DualPi2),
}

/// Whether a discipline marks or drops ECN-capable packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signal {
    /// ECN-capable packets are marked CE, others dropped.
    #[default]
    Mark,
    /// All are dropped.
    Drop,
}

/// Random early detection (Floyd and Jacobson 1993) with the three parameters of data-centre switches: below `min` nothing
/// happens, from `min` to `max` the chance rises from 0 to `chance`, above `max` every packet is struck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Red {
    /// Kmin.
    pub min: QueueLimit,
    /// Kmax; of the same kind (bytes or packets) as `min`, and not below it.
    pub max: QueueLimit,
    /// Pmax: the chance at `max`.
    pub chance: Probability,
    /// The weight of the newest queue length in the moving average, in (0, 1]: 1 judges by the queue as it is, as switches
    /// mostly do; 0.002 is Floyd and Jacobson's.
    pub weight: f64,
    /// What strikes an ECN-capable packet.
    pub signal: Signal,
}

/// A marking threshold on the queue as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// K: a packet that finds more than this is marked; one that is not ECN-capable is let in.
    pub at: QueueLimit,
}

/// CoDel's parameters (RFC 8289 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoDel {
    /// The standing delay it tolerates; 5 ms in the RFC.
    pub target: Duration,
    /// The window in which the delay has to fall below it at least once, about a worst-case RTT; 100 ms in the RFC.
    pub interval: Duration,
    /// What strikes an ECN-capable packet.
    pub signal: Signal,
}

/// FQ-CoDel's parameters (RFC 8290 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FqCoDel {
    /// What each flow's queue does.
    pub codel: CoDel,
    /// Bytes of a turn.
    pub quantum: ByteSize,
    /// Queues that flows are hashed to; at least 1.
    pub flows: u32,
}

/// PIE's parameters (RFC 8033 sections 4 and 5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pie {
    /// The delay it steers to; 15 ms in the RFC.
    pub target: Duration,
    /// How often the probability is updated; 15 ms in the RFC.
    pub update: Duration,
    /// How long a burst is let through; 150 ms in the RFC.
    pub burst: Duration,
    /// The weight of the deviation from the target, per second; 0.125 in the RFC.
    pub alpha: f64,
    /// The weight of the delay's trend, per second; 1.25 in the RFC.
    pub beta: f64,
    /// What strikes an ECN-capable packet (up to 10 %, above which all are dropped: section 5.1).
    pub signal: Signal,
}

/// DualPI2's parameters (RFC 9332 appendix A).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DualPi2 {
    /// The delay that the classic queue is steered to; 15 ms in the RFC.
    pub target: Duration,
    /// How often the probability is updated; 16 ms in the RFC.
    pub update: Duration,
    /// The integral gain, in Hz; 0.16 in the RFC.
    pub alpha: f64,
    /// The proportional gain, in Hz; 3.2 in the RFC.
    pub beta: f64,
    /// How much more often scalable packets are marked than the square root of how often classic ones are struck; 2 in the RFC.
    pub coupling: f64,
    /// The delay of the scalable queue above which its packets are all marked; 1 ms in Linux' `sch_dualpi2`.
    pub step: Duration,
    /// The share of the link that classic packets get while both queues hold some; 10 % in Linux' `sch_dualpi2`.
    pub classic_share: Probability,
}
