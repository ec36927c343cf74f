//! The link engine of the host kernel's qdiscs.
//!
//! ```text
//! a's gateway ── l0.0: TBF + FIFO ══ l0.0a ─ ingress, redirect ─▶ l0.0b: netem ══ l0.0 ── b's gateway
//!                rate, queue                                      delay, jitter, loss…
//! ```
//! and the same from `b` to `a`. Rate and queue stand apart from the delay so that the queue's size means what it says:
//! netem alone has one limit for packets that queue and packets under way. Neither is near a sender's own interface, whose
//! back-pressure would tell TCP what no WAN does.
//!
//! What this engine cannot do: tell how late it was; corrupt the payload of packets that the kernel cut from
//! super-packets (it flips a bit in what is linear, the headers); lose packets of one flow and not another.
//!
//! The qdiscs go with their interfaces.

pub(crate) mod probe;

use std::collections::BTreeMap;
use std::io;

use longhaul_topologies::model::{Channel, Direction, Loss, QueueLimit};
use longhaul_topologies::units::ByteSize;
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::tc::{TcHandle, TcMessage};
use nix::net::if_::if_nametoindex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::engine::{ChannelCounters, EngineError, EngineKind, Lateness, LinkEngine};
use crate::namespace::Namespace;
use crate::plan::{ChannelId, LabPlan, Lane, LaneEnd, NodeId};
use crate::tc::bottleneck::{Bottleneck, Grain};
use crate::tc::delay_line::{delay_line, rounds_to_never};
use crate::tc::redirect::{Classifier, INGRESS};
use crate::tc::socket::Socket;
use crate::tc::stats::QdiscStats;

pub use probe::available;

/// Bytes of an Ethernet header, which qdiscs count and an MTU does not.
const ETHERNET_HEADER: u64 = 14;

/// The kernel's `GSO_MAX_SEGS`: what an interface starts with.
const GSO_MAX_SEGMENTS: u32 = 65_535;

/// The netem engine at work on all lanes of a lab.
pub struct Netem {
    /// One socket in each gateway's namespace, one in the keeper's.
    sockets: BTreeMap<Place, Socket>,
    channels: Vec<Attached>,
    /// The longest frame.
    frame: ByteSize,
}

/// Where an interface lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Gateway(NodeId),
    Keeper,
}

/// An interface that carries a qdisc of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    place: Place,
    index: u32,
}

/// One channel and where its two halves are.
struct Attached {
    id: ChannelId,
    /// The gateway's interface, whose egress is the bottleneck.
    near: Port,
    /// The keeper's interface to the other gateway, whose egress is the delay line.
    far: Port,
    channel: Channel,
    seeds: ChaCha8Rng,
    counted: Counted,
}

/// What the kernel's counters have told so far.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    queue_drops: Meter,
    netem_drops: Meter,
    interface_drops: Meter,
    losses: u64,
    engine_drops: u64,
}

/// Follows a counter of the kernel that starts again when its qdisc is replaced.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    last: u64,
    total: u64,
}

impl Netem {
    /// Puts the qdiscs of every lane of `plan` in place, the keeper's namespace being that of the calling thread. Random
    /// draws follow from `seed` where the kernel takes one (6.6 and later).
    ///
    /// Async as the other engine's is; the requests are answered at once.
    ///
    /// # Errors
    /// If netem cannot express a channel, or the kernel refuses a request.
    pub async fn attach(
        plan: &LabPlan,
        namespaces: &[Namespace],
        seed: u64,
    ) -> Result<Self, EngineError> {
        let mut netem = Self {
            sockets: BTreeMap::new(),
            channels: Vec::new(),
            frame: ByteSize::from_bytes(u64::from(plan.topology.mtu) + ETHERNET_HEADER),
        };
        let keeper = Socket::open().map_err(|source| kernel("open a netlink socket", source))?;
        netem.sockets.insert(Place::Keeper, keeper);
        for lane in &plan.lanes {
            let a = netem.port(plan, namespaces, &lane.a)?;
            let b = netem.port(plan, namespaces, &lane.b)?;
            for (direction, from, to) in [(Direction::Forward, a, b), (Direction::Reverse, b, a)] {
                let channel = netem.attached(lane, direction, from.0, to.1, seed);
                netem.channels.push(channel);
                let channel = netem.channels.len() - 1;
                netem.apply(channel)?;
                netem.redirect(from.1, to.1)?;
            }
        }
        Ok(netem)
    }

    /// The two interfaces of a lane's end: the gateway's and the keeper's.
    fn port(
        &mut self,
        plan: &LabPlan,
        namespaces: &[Namespace],
        end: &LaneEnd,
    ) -> Result<(Port, Port), EngineError> {
        let place = Place::Gateway(end.gateway);
        let gateway = &plan.node(end.gateway).name;
        let missing = !self.sockets.contains_key(&place);
        let look = || -> io::Result<(u32, Option<Socket>)> {
            let index = if_nametoindex(&*end.interface)?;
            let socket = if missing { Some(Socket::open()?) } else { None };
            Ok((index, socket))
        };
        let (index, socket) = namespaces[end.gateway.0]
            .run(look)
            .flatten()
            .map_err(|source| kernel(format!("find {} in {gateway}", end.interface), source))?;
        if let Some(socket) = socket {
            self.sockets.insert(place, socket);
        }
        let keeper = if_nametoindex(&*end.keeper_interface)
            .map_err(|source| kernel(format!("find {}", end.keeper_interface), source.into()))?;
        let keeper = Port {
            place: Place::Keeper,
            index: keeper,
        };
        Ok((Port { place, index }, keeper))
    }

    fn attached(
        &self,
        lane: &Lane,
        direction: Direction,
        near: Port,
        far: Port,
        seed: u64,
    ) -> Attached {
        let mut seeds = ChaCha8Rng::seed_from_u64(seed);
        seeds.set_stream(self.channels.len() as u64);
        let channel = match direction {
            Direction::Forward => &lane.forward,
            Direction::Reverse => &lane.reverse,
        };
        Attached {
            id: ChannelId {
                link: lane.link,
                lane: lane.lane,
                direction,
            },
            near,
            far,
            channel: channel.clone(),
            seeds,
            counted: Counted::default(),
        }
    }

    /// Makes the kernel's qdiscs those of the channel at `position`.
    fn apply(&mut self, position: usize) -> Result<(), EngineError> {
        let Attached {
            id,
            near,
            far,
            channel,
            seeds,
            ..
        } = &mut self.channels[position];
        let (near, far, id) = (*near, *far, *id);
        let bottleneck = bottleneck(channel, self.frame)?;
        // Super-packets that no queue cuts have to be cut before a draw decides on them.
        let segments = if bottleneck.is_none() && draws(channel) {
            1
        } else {
            GSO_MAX_SEGMENTS
        };
        let delay_line = delay_line(channel, seeds.next_u64());

        let name = |what: &str| format!("set the {what} of {id:?}");
        self.request(near.place, gso_segments(near.index, segments), || {
            name("largest super-packet")
        })?;
        for qdisc in bottleneck.iter().flat_map(Bottleneck::qdiscs) {
            self.request(near.place, qdisc.request(near.index), || {
                name("rate and queue")
            })?;
        }
        self.request(far.place, delay_line.request(far.index), || {
            name("delay line")
        })
    }

    /// Sends what arrives at `from` out of `to`.
    fn redirect(&mut self, from: Port, to: Port) -> Result<(), EngineError> {
        let step = || format!("redirect interface {} to {}", from.index, to.index);
        self.request(from.place, INGRESS.request(from.index), step)?;
        let socket = self.socket(from.place);
        redirect(socket, from.index, to.index).map_err(|source| kernel(step(), source))
    }

    fn request(
        &mut self,
        place: Place,
        request: NetlinkMessage<RouteNetlinkMessage>,
        step: impl Fn() -> String,
    ) -> Result<(), EngineError> {
        self.socket(place)
            .request(request)
            .map_err(|source| kernel(step(), source))
    }

    fn socket(&mut self, place: Place) -> &mut Socket {
        self.sockets.get_mut(&place).expect("opened by attach")
    }
}

impl LinkEngine for Netem {
    fn kind(&self) -> EngineKind {
        EngineKind::Netem
    }

    fn counters(&mut self) -> Result<Vec<(ChannelId, ChannelCounters)>, EngineError> {
        let mut bottlenecks = BTreeMap::new();
        let mut delay_lines = BTreeMap::new();
        let mut interfaces = BTreeMap::new();
        for (&place, socket) in &mut self.sockets {
            let failed = |source| kernel("read the counters", source);
            let (kind, qdiscs) = match place {
                Place::Gateway(_) => ("tbf", &mut bottlenecks),
                Place::Keeper => ("netem", &mut delay_lines),
            };
            for stats in QdiscStats::of_roots(socket, kind).map_err(failed)? {
                qdiscs.insert(
                    Port {
                        place,
                        index: stats.index,
                    },
                    stats,
                );
            }
            for (index, drops) in interface_drops(socket).map_err(failed)? {
                interfaces.insert(Port { place, index }, drops);
            }
        }
        let read = self.channels.iter_mut().map(|attached| {
            let dropped = |port| interfaces.get(port).copied().unwrap_or_default();
            let bottleneck = bottlenecks.get(&attached.near).copied().unwrap_or_default();
            let delay_line = delay_lines.get(&attached.far).copied().unwrap_or_default();
            let interface_drops = dropped(&attached.near) + dropped(&attached.far);
            (
                attached.id,
                attached.counters(bottleneck, delay_line, interface_drops),
            )
        });
        Ok(read.collect())
    }

    fn set(&mut self, id: ChannelId, channel: &Channel) -> Result<(), EngineError> {
        let inexpressible = |what| EngineError::Inexpressible {
            engine: EngineKind::Netem,
            what,
        };
        let position = self.channels.iter().position(|attached| attached.id == id);
        let position = position
            .ok_or_else(|| inexpressible(format!("{id:?}, which is no channel of this lab")))?;
        bottleneck(channel, self.frame)?;
        // What was dropped until now was dropped by the channel as it was.
        self.counters()?;
        let attached = &mut self.channels[position];
        let before = std::mem::replace(&mut attached.channel, channel.clone());
        let near = attached.near;
        if before.rate.is_some() && channel.rate.is_none() {
            self.request(near.place, remove_root(near.index), || {
                format!("lift the rate of {id:?}")
            })?;
        }
        self.apply(position)
    }

    fn lateness(&mut self) -> Option<Lateness> {
        None
    }
}

impl Attached {
    fn counters(
        &mut self,
        bottleneck: QdiscStats,
        delay_line: QdiscStats,
        interface_drops: u64,
    ) -> ChannelCounters {
        let counted = &mut self.counted;
        counted.queue_drops.follow(bottleneck.drops.into());
        let drops = counted.netem_drops.follow(delay_line.drops.into());
        match self.channel.loss {
            // Its limit is out of reach, but memory is not.
            Loss::None => counted.engine_drops += drops,
            Loss::Independent(_) | Loss::GilbertElliott { .. } => counted.losses += drops,
        }
        counted.engine_drops += counted.interface_drops.follow(interface_drops);
        ChannelCounters {
            packets: delay_line.packets,
            bytes: delay_line.bytes,
            queue_drops: counted.queue_drops.total,
            losses: Some(counted.losses),
            engine_drops: counted.engine_drops,
            queue_packets: bottleneck.queued_packets.into(),
            queue_bytes: bottleneck.queued_bytes.into(),
        }
    }
}

impl Meter {
    /// Takes a new reading; returns what came on top of the last.
    fn follow(&mut self, reading: u64) -> u64 {
        let more = if reading < self.last {
            reading
        } else {
            reading - self.last
        };
        self.last = reading;
        self.total += more;
        more
    }
}

/// Whether netem can do what `channel` asks.
///
/// # Errors
/// Which field it cannot, and why.
pub fn expressible(channel: &Channel) -> Result<(), String> {
    if let Some(rate) = channel.rate
        && rate.bytes_per_second() == 0
    {
        return Err(format!(
            "rate {rate}: the kernel counts in whole bytes per second"
        ));
    }
    let chances = match channel.loss {
        Loss::None => vec![],
        Loss::Independent(chance) => vec![chance],
        Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_in_bad,
            loss_in_good,
        } => {
            vec![to_bad, to_good, loss_in_bad, loss_in_good]
        }
    };
    let chances = [channel.duplication, channel.corruption]
        .into_iter()
        .chain(chances);
    for chance in chances {
        if rounds_to_never(chance) {
            return Err(format!("a chance of {chance}: the kernel draws 32 bits"));
        }
    }
    if let Some(QueueLimit::Bytes(bytes)) = channel.queue_limit
        && u32::try_from(bytes.bytes()).is_err()
    {
        return Err(format!(
            "a queue of {bytes}: the kernel counts its bytes in 32 bits"
        ));
    }
    Ok(())
}

/// The bottleneck of `channel`, if it has a rate.
fn bottleneck(channel: &Channel, frame: ByteSize) -> Result<Option<Bottleneck>, EngineError> {
    let inexpressible = |what| EngineError::Inexpressible {
        engine: EngineKind::Netem,
        what,
    };
    expressible(channel).map_err(inexpressible)?;
    // The kernel counts the frame being sent as queued.
    match channel.queue_limit {
        Some(QueueLimit::Bytes(bytes)) if bytes < frame => {
            return Err(inexpressible(format!(
                "a queue of {bytes}: a frame of {frame} does not fit"
            )));
        }
        Some(QueueLimit::Packets(0)) => return Err(inexpressible("a queue of no packets".into())),
        Some(QueueLimit::Bytes(_) | QueueLimit::Packets(_)) | None => {}
    }
    let bottleneck = channel.rate.zip(channel.queue_limit);
    Ok(bottleneck.map(|(rate, queue)| Bottleneck {
        rate,
        queue,
        grain: Grain::WirePackets { frame },
    }))
}

/// Whether a random draw decides on every packet's fate.
fn draws(channel: &Channel) -> bool {
    channel.loss != Loss::None || !channel.duplication.is_zero() || !channel.corruption.is_zero()
}

/// The first classifier that the kernel has redirects all that arrives at `from` to `to`.
fn redirect(socket: &mut Socket, from: u32, to: u32) -> io::Result<()> {
    let [first, second] = Classifier::ALL;
    match socket.request(first.redirect(from, to)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            socket.request(second.redirect(from, to))
        }
        outcome => outcome,
    }
}

/// The request that bounds how many segments a super-packet may have on its way out of interface `index`; longer ones are cut
/// to single packets there.
fn gso_segments(index: u32, segments: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes = vec![LinkAttribute::GsoMaxSegs(segments)];
    acknowledged(RouteNetlinkMessage::SetLink(link))
}

fn remove_root(index: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.parent = TcHandle::ROOT;
    acknowledged(RouteNetlinkMessage::DelQueueDiscipline(message))
}

fn acknowledged(message: RouteNetlinkMessage) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    request
}

/// Frames that each interface of the socket's namespace dropped on the way out: for a veth, as the other side's backlog
/// was full.
fn interface_drops(socket: &mut Socket) -> io::Result<Vec<(u32, u64)>> {
    let listed = socket.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let links = listed.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    });
    let drops = links.filter_map(|link| {
        link.attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Stats64(stats) => Some((link.header.index, stats.tx_dropped)),
                _ => None,
            })
    });
    Ok(drops.collect())
}

fn kernel(step: impl Into<String>, source: io::Error) -> EngineError {
    EngineError::Kernel {
        step: step.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use longhaul_topologies::model::DelaySource;
    use longhaul_topologies::units::{Probability, QueueSize, Rate};

    use super::*;

    fn channel() -> Channel {
        Channel {
            rate: Some(Rate::from_bits_per_second(1_000_000_000)),
            delay: Duration::from_millis(40),
            delay_source: DelaySource::OneWay,
            jitter: None,
            loss: Loss::None,
            duplication: Probability::ZERO,
            corruption: Probability::ZERO,
            queue: QueueSize::Bdp(1.0),
            queue_limit: Some(QueueLimit::Bytes(ByteSize::from_bytes(10_000_000))),
        }
    }

    fn refusal(change: impl FnOnce(&mut Channel)) -> String {
        let mut channel = channel();
        change(&mut channel);
        let refused = bottleneck(&channel, ByteSize::from_bytes(1514));
        refused.expect_err("inexpressible").to_string()
    }

    #[test]
    fn an_ordinary_channel_is_expressible() {
        assert_eq!(expressible(&channel()), Ok(()));
    }

    #[test]
    fn what_the_kernel_cannot_count_is_refused_with_its_field() {
        let slow = refusal(|channel| channel.rate = Some(Rate::from_bits_per_second(7)));
        assert!(slow.contains("rate 7bit"), "{slow}");
        let rare =
            refusal(|channel| channel.loss = Loss::Independent(Probability::new(1e-12).unwrap()));
        assert!(rare.contains("chance"), "{rare}");
        let deep = |bytes| Some(QueueLimit::Bytes(ByteSize::from_bytes(bytes)));
        let long = refusal(|channel| channel.queue_limit = deep(1 << 32));
        assert!(long.contains("a queue of"), "{long}");
        let short = refusal(|channel| channel.queue_limit = deep(1000));
        assert!(short.contains("does not fit"), "{short}");
    }

    #[test]
    fn a_meter_goes_on_when_its_counter_starts_again() {
        let mut meter = Meter::default();
        assert_eq!(
            [5, 7, 7, 2].map(|reading| meter.follow(reading)),
            [5, 2, 0, 2]
        );
        assert_eq!(meter.total, 9);
    }

    #[test]
    fn drops_are_losses_only_where_loss_was_asked_for() {
        let mut attached = Attached {
            id: ChannelId {
                link: longhaul_topologies::model::LinkId(0),
                lane: 0,
                direction: Direction::Forward,
            },
            near: Port {
                place: Place::Keeper,
                index: 1,
            },
            far: Port {
                place: Place::Keeper,
                index: 2,
            },
            channel: channel(),
            seeds: ChaCha8Rng::seed_from_u64(1),
            counted: Counted::default(),
        };
        let line = |drops| QdiscStats {
            drops,
            ..QdiscStats::default()
        };
        let counters = attached.counters(line(3), line(2), 0);
        assert_eq!(
            (counters.queue_drops, counters.losses, counters.engine_drops),
            (3, Some(0), 2)
        );
        attached.channel.loss = Loss::Independent(Probability::new(0.5).unwrap());
        let counters = attached.counters(line(3), line(12), 1);
        assert_eq!(
            (counters.queue_drops, counters.losses, counters.engine_drops),
            (3, Some(10), 3)
        );
    }
}
