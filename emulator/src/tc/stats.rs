//! What qdiscs have counted.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAttribute, TcFqCodelXstats, TcHandle, TcMessage, TcStats2, TcStatsQueue, TcXstats,
};

use super::socket::Socket;

/// `TCA_STATS_PKT64` of `linux/gen_stats.h`: the packets, where 32 bits are too few.
const TCA_STATS_PKT64: u16 = 8;

/// The counters of one qdisc.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QdiscStats {
    /// The interface.
    pub index: u32,
    /// Packets sent; a GSO super-packet counts as its segments.
    pub packets: u64,
    /// Bytes of Ethernet frames sent.
    pub bytes: u64,
    /// Packets dropped.
    pub drops: u32,
    /// Packets held now.
    pub queued_packets: u32,
    /// Bytes held now.
    pub queued_bytes: u32,
}

/// What a queue that marks or drops early has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EarlyStats {
    /// The interface.
    pub index: u32,
    /// Packets marked "congestion experienced".
    pub marks: u32,
    /// Packets dropped before the queue was full.
    pub drops: u32,
}

/// All qdiscs of the socket's namespace.
///
/// The kernel is not asked for one interface: it lists them all whatever it was asked.
///
/// # Errors
/// If the kernel does not answer.
pub fn listed(socket: &mut Socket) -> io::Result<Vec<TcMessage>> {
    let listed = socket.dump(RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()))?;
    let qdiscs = listed.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewQueueDiscipline(qdisc) => Some(qdisc),
        _ => None,
    });
    Ok(qdiscs.collect())
}

impl QdiscStats {
    /// The counters of `qdisc`, if it is the root of its interface and of that kind.
    pub fn of_root(qdisc: &TcMessage, wanted: &str) -> Option<Self> {
        let matches = qdisc.header.parent == TcHandle::ROOT && kind(qdisc) == wanted;
        matches.then(|| Self::read(qdisc))
    }

    fn read(qdisc: &TcMessage) -> Self {
        let mut stats = Self {
            index: qdisc.header.index.cast_unsigned(),
            ..Self::default()
        };
        let mut packets64 = None;
        for counter in counters(qdisc) {
            match counter {
                TcStats2::Basic(basic) => {
                    stats.bytes = basic.bytes;
                    stats.packets = basic.packets.into();
                }
                TcStats2::Queue(queue) => {
                    stats.drops = queue.drops;
                    stats.queued_packets = queue.qlen;
                    stats.queued_bytes = queue.backlog;
                }
                TcStats2::Other(other) => packets64 = packets64.or_else(|| packets_64(other)),
                _ => {}
            }
        }
        stats.packets = packets64.unwrap_or(stats.packets);
        stats
    }
}

impl EarlyStats {
    /// The counters of `qdisc`, if it is of a kind that [`queue`](super::queue) uses and has any.
    ///
    /// Layouts from `linux/pkt_sched.h`, all in fields of 32 bits but the first of PIE's (64 bits since Linux 5.6):
    /// ```text
    /// tc_red_xstats { early, pdrop, other, marked }
    /// tc_codel_xstats { maxpacket, count, lastcount, ldelay, drop_next, drop_overlimit, ecn_mark, … }
    /// tc_fq_codel_qd_stats { maxpacket, drop_overlimit, ecn_mark, … }
    /// tc_pie_xstats { prob, delay, avg_dq_rate, [dq_rate_estimating,] packets_in, dropped, overlimit, maxq, ecn_mark }
    /// tc_dualpi2_xstats { prob, delay_c, delay_l, packets_in_c, packets_in_l, maxq, ecn_mark, … }
    /// ```
    pub fn of(qdisc: &TcMessage) -> Option<Self> {
        let mut dropped = TcStatsQueue::default();
        let mut own = None;
        for counter in counters(qdisc) {
            match counter {
                TcStats2::Queue(queue) => dropped = *queue,
                TcStats2::App(stats) => own = Some(stats),
                _ => {}
            }
        }
        let (marks, drops) = match own? {
            TcXstats::FqCodel(TcFqCodelXstats::Qdisc(stats)) => (
                stats.ecn_mark,
                dropped.drops.saturating_sub(stats.drop_overlimit),
            ),
            TcXstats::Other(stats) => {
                let field = |at: usize| {
                    let bytes = stats.get(4 * at..4 * at + 4)?;
                    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
                };
                match kind(qdisc) {
                    "red" => (field(3)?, field(0)?),
                    "codel" => (field(6)?, dropped.drops.saturating_sub(field(5)?)),
                    "pie" => {
                        // The fields that count are the last ones.
                        let fields = stats.len() / 4;
                        let from_end = |back| fields.checked_sub(back).and_then(field);
                        let (all, full) = (from_end(4)?, from_end(3)?);
                        (from_end(1)?, all.saturating_sub(full))
                    }
                    // Only the limit counts as that (`dualpi2_enqueue_skb`).
                    "dualpi2" => (field(6)?, dropped.drops.saturating_sub(dropped.overlimits)),
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(Self {
            index: qdisc.header.index.cast_unsigned(),
            marks,
            drops,
        })
    }
}

fn kind(qdisc: &TcMessage) -> &str {
    let kind = qdisc
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            TcAttribute::Kind(kind) => Some(&**kind),
            _ => None,
        });
    kind.unwrap_or_default()
}

fn counters(qdisc: &TcMessage) -> impl Iterator<Item = &TcStats2> {
    let counters = qdisc
        .attributes
        .iter()
        .filter_map(|attribute| match attribute {
            TcAttribute::Stats2(counters) => Some(counters),
            _ => None,
        });
    counters.flatten()
}

fn packets_64(attribute: &netlink_packet_core::DefaultNla) -> Option<u64> {
    use netlink_packet_core::Nla;
    if attribute.kind() != TCA_STATS_PKT64 {
        return None;
    }
    let mut value = [0; 8];
    (attribute.value_len() == value.len()).then(|| {
        attribute.emit_value(&mut value);
        u64::from_ne_bytes(value)
    })
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::DefaultNla;
    use netlink_packet_route::tc::TcFqCodelQdStats;

    use super::*;

    #[test]
    fn packets_of_64_bits_win_over_those_of_32() {
        let wide = TcStats2::Other(DefaultNla::new(
            TCA_STATS_PKT64,
            (1_u64 << 33).to_ne_bytes().to_vec(),
        ));
        let mut qdisc = TcMessage::with_index(5);
        qdisc.attributes = vec![TcAttribute::Stats2(vec![
            TcStats2::Basic(Default::default()),
            wide,
        ])];
        let stats = QdiscStats::read(&qdisc);
        assert_eq!((stats.index, stats.packets), (5, 1 << 33));
    }

    /// What a qdisc of that kind says of itself: what it dropped, for its limit, and its own counters.
    fn early(kind: &str, drops: u32, overlimits: u32, own: TcXstats) -> Option<(u32, u32)> {
        let mut queue = TcStatsQueue::default();
        (queue.drops, queue.overlimits) = (drops, overlimits);
        let mut qdisc = TcMessage::with_index(5);
        qdisc.attributes = vec![
            TcAttribute::Kind(kind.into()),
            TcAttribute::Stats2(vec![TcStats2::Queue(queue), TcStats2::App(own)]),
        ];
        let stats = EarlyStats::of(&qdisc)?;
        assert_eq!(stats.index, 5);
        Some((stats.marks, stats.drops))
    }

    /// Fields of 32 bits.
    fn fields(fields: &[u32]) -> TcXstats {
        TcXstats::Other(
            fields
                .iter()
                .flat_map(|field| field.to_ne_bytes())
                .collect(),
        )
    }

    #[test]
    fn marks_and_early_drops_are_where_each_kind_has_them() {
        let red = fields(&[11, 12, 13, 14]);
        assert_eq!(early("red", 23, 99, red), Some((14, 11)));
        let codel = fields(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(early("codel", 20, 0, codel), Some((7, 14)));
        let dualpi2 = fields(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(early("dualpi2", 20, 4, dualpi2), Some((7, 16)));
        let mut flows = TcFqCodelQdStats::default();
        (flows.drop_overlimit, flows.ecn_mark) = (6, 7);
        let flows = TcXstats::FqCodel(TcFqCodelXstats::Qdisc(flows));
        assert_eq!(early("fq_codel", 20, 0, flows), Some((7, 14)));
    }

    #[test]
    fn pie_is_read_from_its_end_whatever_its_probability_takes() {
        let old = fields(&[1, 2, 3, 4, 50, 20, 7, 8]);
        assert_eq!(early("pie", 50, 0, old), Some((8, 30)));
        let new = fields(&[1, 0, 2, 3, 0, 4, 50, 20, 7, 8]);
        assert_eq!(early("pie", 50, 0, new), Some((8, 30)));
    }

    #[test]
    fn other_kinds_have_neither() {
        assert_eq!(early("tbf", 1, 1, fields(&[1, 2, 3, 4])), None);
        assert_eq!(early("red", 1, 1, fields(&[1])), None);
    }
}
