//! What longhaul here and its process on another machine tell each other: one JSON value a line.

use std::net::SocketAddr;

use longhaul_topologies::inventory::Data;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fidelity::CpuTime;
use crate::hardware::counters::Count;
use crate::probe::EcnField;
use crate::telemetry::InterfaceCounters;

/// To the machine. The end of the connection means: exit.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Make ready to be probed by these addresses. Answer: [`Reply::Ready`].
    Open { data: Data },
    /// What time is it? Answer: [`Reply::Clock`].
    Clock,
    /// Send probes from now on, in place of those that were to be sent before. Answer: [`Reply::Done`].
    Probe(Order),
    /// Send a train, and then answer [`Reply::Sent`].
    Blast(Blast),
    /// What has been sent and has arrived since this was last asked? Answer: [`Reply::Seen`].
    Collect,
    /// What do the NICs of its data count? Answer: [`Reply::Counted`].
    Count,
}

/// Probes to be sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Order {
    /// The numbers of the ways, and where they lead; sends none if there are none.
    pub(super) targets: Vec<(u16, SocketAddr)>,
    /// Between two of a way.
    pub(super) interval_ns: u64,
    /// Of all datagrams of this lab.
    pub(super) nonce: u16,
    /// In their ECN field.
    pub(super) ecn: EcnField,
}

/// A train to be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Blast {
    /// The way's number, and where it leads.
    pub(super) target: (u16, SocketAddr),
    /// Of all datagrams of this lab.
    pub(super) nonce: u16,
    /// Bytes of a datagram's payload.
    pub(super) payload: usize,
    /// Between two, on average.
    pub(super) gap_ns: u64,
    /// For how long.
    pub(super) length_ns: u64,
    /// Bytes that may wait in the sender.
    pub(super) waiting: usize,
}

/// From the machine. All times are nanoseconds of its CLOCK_MONOTONIC.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The first line, without a question.
    Here {
        /// Of longhaul there.
        version: String,
        /// Of its file.
        digest: String,
        /// What kind of machine it is; passed on.
        machine: Value,
    },
    /// It can be probed.
    Ready {
        /// Where probes are sent.
        address: SocketAddr,
        /// The interface with that address.
        interface: Interface,
        /// What kernel TCP can use there.
        congestion_controls: Vec<String>,
    },
    /// The time.
    Clock { now_ns: u64 },
    /// It is so.
    Done,
    /// The moments at which the packets of a train were sent.
    Sent { at_ns: Vec<u64> },
    /// What was seen.
    Seen(Seen),
    /// What they count.
    Counted { counts: Vec<Count> },
    /// It cannot be so.
    Failed {
        /// What was attempted.
        step: String,
        /// What the system answered.
        message: String,
    },
}

/// What a machine has seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// When this was told.
    pub(super) now_ns: u64,
    /// Probes: way, number, moment.
    pub(super) sent: Vec<(u16, u32, u64)>,
    /// Probes in the order of arrival: way, number, moment, and whether they are as they were sent.
    pub(super) arrived: Vec<(u16, u32, u64, bool)>,
    /// Packets of trains: way, number, moment.
    pub(super) trains: Vec<(u16, u32, u64)>,
    /// What the interface has carried.
    pub(super) counters: InterfaceCounters,
    /// What its CPUs have done.
    pub(super) cpu: CpuTime,
}

/// A network interface of a machine; what the system does not tell is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// `ens1f0np0`.
    pub name: String,
    /// Of its hardware.
    pub driver: Option<String>,
    /// In Mbit/s, while the link is up.
    pub speed_mbits: Option<u64>,
    /// The largest IP packet.
    pub mtu: Option<u32>,
    /// The clock of its NIC that stamps probes: `ptp0`. The kernel does where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
}
