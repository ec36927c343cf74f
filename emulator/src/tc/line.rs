//! A line that carries one packet after the other, however long they are: `sch_htb` with one class and no bucket.
//!
//! TBF lets a packet go when there are tokens for all of it, so its bucket has to hold the longest packet, and lets shorter
//! ones through together: two of 4 KiB where 9000 bytes may come. HTB lets it go unless its class is in debt, and charges it
//! then (`htb_class_mode`, `htb_charge_class`): where the bucket holds nothing, each packet waits until the one before it
//! has had its time, and nothing else. What a timer is late by is lost, so it is for where they are not.
//!
//! Layouts from `linux/pkt_sched.h`:
//! ```text
//! tc_htb_glob { u32 version, rate2quantum, defcls, debug, direct_pkts }                    2 TCA_HTB_INIT
//! tc_htb_opt { tc_ratespec rate, ceil; u32 buffer, cbuffer, quantum, level, prio }         1 TCA_HTB_PARMS
//! 6 TCA_HTB_RATE64   7 TCA_HTB_CEIL64
//! ```

use longhaul_topologies::units::{ByteSize, Rate};
use netlink_packet_route::tc::TcHandle;

use super::encode::{Payload, needs_rate64, ratespec, saturated};
use super::{Object, Qdisc};

const TCA_HTB_PARMS: u16 = 1;
const TCA_HTB_INIT: u16 = 2;
const TCA_HTB_RATE64: u16 = 6;
const TCA_HTB_CEIL64: u16 = 7;

/// `TC_HTB_PROTOVER`.
const VERSION: u32 = 3;
/// The kernel divides by it, but for classes that say what their turn is.
const RATE_TO_QUANTUM: u32 = 10;

/// None that a [queue](super::queue) has.
const HANDLE: TcHandle = TcHandle {
    major: 11,
    minor: 0,
};
/// All packets are of it.
const CLASS: TcHandle = TcHandle {
    major: 11,
    minor: 1,
};

/// The line.
pub(super) struct Line {
    pub rate: Rate,
    /// The longest packet.
    pub frame: ByteSize,
}

impl Line {
    /// Qdisc and class, and what the queue is to hang from. A live line is changed by its class alone: HTB's own parameters
    /// cannot be.
    pub(super) fn qdiscs(&self, parent: TcHandle, is_live: bool) -> (Vec<Qdisc>, TcHandle) {
        let htb = Qdisc {
            object: Object::Qdisc,
            parent,
            handle: HANDLE,
            kind: "htb",
            options: init().into_bytes(),
        };
        let class = Qdisc {
            object: Object::Class,
            parent: HANDLE,
            handle: CLASS,
            kind: "htb",
            options: self.class().into_bytes(),
        };
        let qdiscs = if is_live {
            vec![class]
        } else {
            vec![htb, class]
        };
        (qdiscs, CLASS)
    }

    fn class(&self) -> Payload {
        let rate = self.rate.bytes_per_second();
        // Neither bucket, of the rate and of its ceiling, holds anything.
        let parameters = ratespec(ratespec(Payload::default(), rate), rate)
            .u32(0)
            .u32(0)
            .u32(saturated(self.frame.bytes()))
            .u32(0)
            .u32(0);
        let options = Payload::default().attribute(TCA_HTB_PARMS, parameters);
        if needs_rate64(rate) {
            let wide = || Payload::default().u64(rate);
            options
                .attribute(TCA_HTB_RATE64, wide())
                .attribute(TCA_HTB_CEIL64, wide())
        } else {
            options
        }
    }
}

fn init() -> Payload {
    let parameters = Payload::default()
        .u32(VERSION)
        .u32(RATE_TO_QUANTUM)
        .u32(u32::from(CLASS.minor))
        .u32(0)
        .u32(0);
    Payload::default().attribute(TCA_HTB_INIT, parameters)
}

#[cfg(test)]
mod tests {
    use super::super::encode::hex;
    use super::*;

    fn class(rate: &str) -> String {
        let line = Line {
            rate: rate.parse().unwrap(),
            frame: ByteSize::from_bytes(9014),
        };
        hex(&line.class().into_bytes())
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_class_has_the_rate_twice_and_no_buckets() {
        insta::assert_snapshot!(hex(&init().into_bytes()), @"18000200 03000000 0a000000 01000000 00000000 00000000");
        insta::assert_snapshot!(class("1Gbit"), @"30000100 00010000 00000000 40597307 00010000 00000000 40597307 00000000 00000000 36230000 00000000 00000000");
        insta::assert_snapshot!(class("800Gbit"), @"30000100 00010000 00000000 ffffffff 00010000 00000000 ffffffff 00000000 00000000 36230000 00000000 00000000 0c000600 00e87648 17000000 0c000700 00e87648 17000000");
    }
}
