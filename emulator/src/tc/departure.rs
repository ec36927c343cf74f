//! Packets that leave when they say (`SO_TXTIME`): `sch_fq`, as a queue by time and nothing else.
//!
//! Attributes of `linux/pkt_sched.h`, each a u32:
//! ```text
//! 1 TCA_FQ_PLIMIT   2 TCA_FQ_FLOW_PLIMIT   3 TCA_FQ_QUANTUM   5 TCA_FQ_RATE_ENABLE   10 TCA_FQ_ORPHAN_MASK   13 TCA_FQ_TIMER_SLACK
//! ```

use netlink_packet_route::tc::TcHandle;

use super::encode::Payload;
use super::{Object, Qdisc, ROOT_HANDLE};

/// The longest turn of a flow, in bytes, that `fq_change` takes; with a single flow, no turn is to end.
const LONGEST_TURN: u32 = 1 << 20;

/// The root qdisc. Its clock is `CLOCK_MONOTONIC`; packets without an instant, or with one that has passed, leave at once.
pub(crate) fn by_time() -> Qdisc {
    let options = [
        // Whoever hands packets over knows how many.
        (1, u32::MAX),
        (2, u32::MAX),
        (3, LONGEST_TURN),
        // No pacing by sockets.
        (5, 0),
        // All packets are one flow: those of an instant keep their order.
        (10, 0),
        // To the nanosecond.
        (13, 0),
    ];
    let payload = options
        .into_iter()
        .fold(Payload::default(), |payload, (kind, value)| {
            payload.attribute(kind, Payload::default().u32(value))
        });
    Qdisc {
        object: Object::Qdisc,
        parent: TcHandle::ROOT,
        handle: ROOT_HANDLE,
        kind: "fq",
        options: payload.into_bytes(),
    }
}
