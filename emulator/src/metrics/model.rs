//! The metrics there are. Names, units and attributes follow OpenTelemetry's conventions (semantic-conventions, "Metrics": dots for
//! name spaces, no unit in a name, UCUM's units with counted things in braces); where it has a metric of the kind
//! (`system.network.io`, `hw.network.bandwidth.limit`), ours is named after it.

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// `longhaul.link.io`.
    pub name: &'static str,
    /// What its values count.
    pub unit: Unit,
    /// How they come about.
    pub kind: Kind,
    /// What it is, in a sentence.
    pub description: &'static str,
    /// What tells its series apart, beside the lab.
    pub attributes: &'static [Attribute],
}

/// How values come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows from 0, for as long as what is counted lives.
    Counter,
    /// What is so now.
    Gauge,
}

/// What values count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// Seconds.
    Seconds,
    /// Things, by what they are called.
    Things(&'static str),
}

/// What tells series of a metric apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// The lab.
    Lab,
    /// The site that a lane's direction leaves.
    LinkFrom,
    /// The site that it leads to.
    LinkTo,
    /// The lane, from 0.
    LinkLane,
    /// Why packets were dropped: `queue-full`, `early`, `outage`, `loss`, `engine`.
    DropReason,
    /// `transmit` or `receive`.
    IoDirection,
    /// A host.
    Host,
    /// The site it is in.
    Site,
    /// The host at the other end of a connection.
    PeerHost,
    /// Which of the connections between two ranks.
    Connection,
    /// The rank that sends, or that is meant.
    Rank,
    /// The rank at the other end.
    PeerRank,
    /// An RDMA device, or an interface.
    NicName,
    /// A port of an RDMA device, from 1; empty for an interface.
    NicPort,
    /// An 802.1p priority.
    Priority,
    /// What became of a congestion notification: `sent`, `handled`, `ignored`.
    CnpEvent,
    /// The kernel's name of a counter.
    CounterName,
}

use Attribute::{
    CnpEvent, Connection, CounterName, DropReason, Host, IoDirection, LinkFrom, LinkLane, LinkTo,
    NicName, NicPort, PeerHost, PeerRank, Priority, Rank, Site,
};
use Kind::{Counter, Gauge};
use Unit::{Bytes, BytesPerSecond, Seconds, Things};

const LAB: &[Attribute] = &[];
/// A direction of a lane.
const LANE: &[Attribute] = &[LinkFrom, LinkTo, LinkLane];
const LANE_DROPS: &[Attribute] = &[LinkFrom, LinkTo, LinkLane, DropReason];
const HOST: &[Attribute] = &[Host, Site, IoDirection];
const CONNECTION: &[Attribute] = &[Host, PeerHost, Rank, PeerRank, Connection];
const RANK: &[Attribute] = &[Rank, Host, IoDirection];
const RUN: &[Attribute] = &[];
/// A port.
const NIC: &[Attribute] = &[NicName, NicPort];
const NIC_IO_BY: &[Attribute] = &[NicName, NicPort, IoDirection];
const NIC_PRIORITY: &[Attribute] = &[NicName, NicPort, IoDirection, Priority];
const NIC_CNPS: &[Attribute] = &[NicName, NicPort, CnpEvent];
const NIC_COUNTER: &[Attribute] = &[NicName, NicPort, CounterName];

/// Each line is a constant and an entry of the list.
macro_rules! table {
    ($(#[$about:meta])* $list:ident; $($constant:ident: $name:literal, $unit:expr, $kind:expr, $attributes:expr, $description:literal;)+) => {
        $(
            #[doc = $description]
            pub const $constant: Metric = Metric {
                name: $name,
                unit: $unit,
                kind: $kind,
                description: $description,
                attributes: $attributes,
            };
        )+

        $(#[$about])*
        pub const $list: &[Metric] = &[$($constant),+];
    };
}

table! {
    /// Every metric of a lab, in the order of documents and exports.
    ALL;
    LAB_TIME: "longhaul.lab.time", Seconds, Gauge, LAB,
        "Seconds on the lab's own monotonic clock, which in a virtual lab passes faster or slower than a collector's";
    LINK_IO: "longhaul.link.io", Bytes, Counter, LANE,
        "Bytes of Ethernet frames delivered at the far end of a lane";
    LINK_PACKETS: "longhaul.link.packet.count", Things("packet"), Counter, LANE,
        "Wire packets delivered at the far end of a lane";
    LINK_DROPPED: "longhaul.link.packet.dropped", Things("packet"), Counter, LANE_DROPS,
        "Packets that a lane dropped, by reason";
    LINK_MARKED: "longhaul.link.packet.marked", Things("packet"), Counter, LANE,
        "Packets that a lane's queue marked with congestion experienced";
    LINK_UP: "longhaul.link.up", Things("lane"), Gauge, LANE,
        "1 while a lane carries packets, 0 while it is down";
    LINK_DELAY: "longhaul.link.delay", Seconds, Gauge, LANE,
        "One-way delay that a lane is set to";
    LINK_JITTER: "longhaul.link.jitter", Seconds, Gauge, LANE,
        "Standard deviation of the delay that a lane is set to";
    LINK_LIMIT: "longhaul.link.bandwidth.limit", BytesPerSecond, Gauge, LANE,
        "Layer-2 rate that a lane is set to; absent where it has none";
    QUEUE_USAGE: "longhaul.queue.usage", Bytes, Gauge, LANE,
        "Bytes that wait in a lane's bottleneck queue";
    QUEUE_PACKETS: "longhaul.queue.packet.usage", Things("packet"), Gauge, LANE,
        "Packets that wait in a lane's bottleneck queue";
    HOST_IO: "longhaul.host.io", Bytes, Counter, HOST,
        "Bytes on a host's network interface";
    HOST_PACKETS: "longhaul.host.packet.count", Things("packet"), Counter, HOST,
        "Packets on a host's network interface; segments that the kernel has not cut yet count as one";
    CONNECTION_IO: "longhaul.connection.io", Bytes, Counter, CONNECTION,
        "Bytes acknowledged on a connection of a collective";
    CONNECTION_RETRANSMITS: "longhaul.connection.retransmits", Things("segment"), Counter, CONNECTION,
        "Segments that a connection of a collective sent again";
    CONNECTION_RTT: "longhaul.connection.rtt", Seconds, Gauge, CONNECTION,
        "Smoothed round-trip time of a connection of a collective";
    CONNECTION_WINDOW: "longhaul.connection.congestion_window", Bytes, Gauge, CONNECTION,
        "Congestion window of a connection of a collective";
    CONNECTION_RATE: "longhaul.connection.delivery_rate", BytesPerSecond, Gauge, CONNECTION,
        "Delivery rate of a connection of a collective";
    RANK_IO: "longhaul.rank.io", Bytes, Counter, RANK,
        "Bytes that a rank has sent and had acknowledged in this point of the run";
    RUN_ITERATIONS: "longhaul.run.iterations", Things("iteration"), Counter, RUN,
        "Iterations of collectives that the run has done";
    RUN_WRONG: "longhaul.run.wrong_elements", Things("element"), Counter, RUN,
        "Elements of results of collectives that were wrong";
    RUN_POINT: "longhaul.run.point", Things("point"), Gauge, RUN,
        "Which point of the run is under way, from 1";
    RUN_POINTS: "longhaul.run.points", Things("point"), Gauge, RUN,
        "How many points the run has";
    RUN_DURATION: "longhaul.run.iteration.duration", Seconds, Gauge, RUN,
        "How long the last iteration took";
    RUN_SIZE: "longhaul.run.iteration.size", Bytes, Gauge, RUN,
        "Size of the collective of the last iteration";
}

table! {
    /// Every metric of NICs, in the order of documents and exports.
    NICS;
    NIC_IO: "longhaul.nic.io", Bytes, Counter, NIC_IO_BY,
        "Bytes on the link of a NIC";
    NIC_PACKETS: "longhaul.nic.packet.count", Things("packet"), Counter, NIC_IO_BY,
        "Packets on the link of a NIC";
    NIC_DROPPED: "longhaul.nic.packet.dropped", Things("packet"), Counter, NIC_IO_BY,
        "Packets that a NIC dropped for want of room";
    NIC_MARKED: "longhaul.nic.packet.marked", Things("packet"), Counter, NIC,
        "RoCE packets that reached a NIC marked with congestion experienced";
    NIC_CNP: "longhaul.nic.cnp.count", Things("packet"), Counter, NIC_CNPS,
        "Congestion notifications of a NIC, by what became of them";
    NIC_WAIT: "longhaul.nic.wait", Things("tick"), Counter, NIC,
        "Ticks of a NIC's clock in which a port had something to send and could not";
    NIC_PAUSES: "longhaul.nic.pause.count", Things("frame"), Counter, NIC_PRIORITY,
        "Frames that paused a priority";
    NIC_PAUSED: "longhaul.nic.pause.duration", Seconds, Counter, NIC_PRIORITY,
        "Time for which a priority was paused";
    NIC_PRIORITY_IO: "longhaul.nic.priority.io", Bytes, Counter, NIC_PRIORITY,
        "Bytes of a priority on the link of a NIC";
    NIC_PRIORITY_PACKETS: "longhaul.nic.priority.packet.count", Things("packet"), Counter, NIC_PRIORITY,
        "Packets of a priority on the link of a NIC";
    NIC_RDMA_IO: "longhaul.nic.rdma.io", Bytes, Counter, NIC_IO_BY,
        "Bytes of RDMA traffic of a NIC";
    NIC_RDMA_PACKETS: "longhaul.nic.rdma.packet.count", Things("packet"), Counter, NIC_IO_BY,
        "Packets of RDMA traffic of a NIC";
    NIC_OTHER_IO: "longhaul.nic.other.io", Bytes, Counter, NIC_COUNTER,
        "Bytes that a NIC counts under another name, by that name";
    NIC_EVENTS: "longhaul.nic.event.count", Things("event"), Counter, NIC_COUNTER,
        "What else a NIC counts, by the kernel's name for it";
}

impl Unit {
    /// In UCUM's letters: `By/s`, `{packet}`.
    pub fn ucum(self) -> String {
        match self {
            Bytes => "By".to_owned(),
            BytesPerSecond => "By/s".to_owned(),
            Seconds => "s".to_owned(),
            Things(thing) => format!("{{{thing}}}"),
        }
    }
}

impl Attribute {
    /// `longhaul.link.from`; OpenTelemetry's own where it has one.
    pub fn name(self) -> &'static str {
        match self {
            Attribute::Lab => "longhaul.lab.name",
            LinkFrom => "longhaul.link.from",
            LinkTo => "longhaul.link.to",
            LinkLane => "longhaul.link.lane",
            DropReason => "longhaul.drop.reason",
            IoDirection => "network.io.direction",
            Host => "host.name",
            Site => "longhaul.site.name",
            PeerHost => "longhaul.peer.host",
            Connection => "longhaul.connection.id",
            Rank => "longhaul.rank",
            PeerRank => "longhaul.peer.rank",
            NicName => "longhaul.nic.name",
            NicPort => "longhaul.nic.port",
            Priority => "longhaul.nic.priority",
            CnpEvent => "longhaul.cnp.event",
            CounterName => "longhaul.counter.name",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all() -> impl Iterator<Item = &'static Metric> {
        ALL.iter().chain(NICS)
    }

    #[test]
    fn names_are_once_and_as_opentelemetry_wants_them() {
        let names: BTreeSet<_> = all().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all().count());
        for metric in all() {
            let is_plain = |part: &str| {
                part.starts_with(|c: char| c.is_ascii_lowercase())
                    && part.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            };
            assert!(metric.name.starts_with("longhaul."), "{metric:?}");
            assert!(metric.name.split('.').all(is_plain), "{metric:?}");
            let ends_in_unit = ["bytes", "seconds", "total", "ratio"]
                .iter()
                .any(|unit| metric.name.ends_with(unit));
            assert!(!ends_in_unit, "the unit is no part of a name: {metric:?}");
            assert!(!metric.description.ends_with('.'), "{metric:?}");
        }
    }

    #[test]
    fn no_name_is_the_beginning_of_another() {
        for metric in all() {
            let within = format!("{}.", metric.name);
            let inner = all().find(|other| other.name.starts_with(&within));
            assert_eq!(inner, None, "{} is a name space, too", metric.name);
        }
    }

    /// The document is where people look the names up.
    #[test]
    fn every_metric_is_in_the_document() {
        let text = include_str!("../../../docs/telemetry.md");
        for metric in all() {
            let row = format!("| `{}` | `{}` |", metric.name, metric.unit.ucum());
            assert!(text.contains(&row), "docs/telemetry.md lacks {row}");
        }
    }
}
