//! What qdiscs have counted.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcStats2};

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

impl QdiscStats {
    /// The counters of every root qdisc of `kind` in the socket's namespace.
    ///
    /// The kernel is not asked for one interface: it lists them all whatever it was asked.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn of_roots(socket: &mut Socket, kind: &str) -> io::Result<Vec<Self>> {
        let listed = socket.dump(RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()))?;
        let qdiscs = listed.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewQueueDiscipline(qdisc) => Some(qdisc),
            _ => None,
        });
        Ok(qdiscs
            .filter(|qdisc| qdisc.header.parent == TcHandle::ROOT)
            .filter(|qdisc| {
                qdisc
                    .attributes
                    .iter()
                    .any(|attribute| matches!(attribute, TcAttribute::Kind(name) if name == kind))
            })
            .map(Self::read)
            .collect())
    }

    fn read(qdisc: &TcMessage) -> Self {
        let mut stats = Self {
            index: qdisc.header.index.cast_unsigned(),
            ..Self::default()
        };
        let counters = qdisc
            .attributes
            .iter()
            .filter_map(|attribute| match attribute {
                TcAttribute::Stats2(counters) => Some(counters),
                _ => None,
            });
        let mut packets64 = None;
        for counter in counters.flatten() {
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
}
