//! The link engine of the host kernel's qdiscs.
//!
//! ```text
//! a's gateway ── l0.0: TBF + queue ══ l0.0a ─ ingress, redirect ─▶ l0.0b: netem ══ l0.0 ── b's gateway
//!                rate, queue                                       delay, jitter, loss…
//! ```
//! and the same from `b` to `a`. Rate and queue stand apart from the delay so that the queue's size means what it says:
//! netem alone has one limit for packets that queue and packets under way. Neither is near a sender's own interface, whose
//! back-pressure would tell TCP what no WAN does.
//!
//! What this engine cannot do: tell how late it was; corrupt the payload of packets that the kernel cut from
//! super-packets (it flips a bit in what is linear, the headers); lose packets of one flow and not another; play traces back
//! (of rates, delays or losses), lose listed packets, reorder to a stated depth, spread packet by packet.
//!
//! The qdiscs go with their interfaces.
//!
//! - `channel`: what a channel takes of the qdiscs, and whether they can give it.
//! - `ports`: where the interfaces lie, and the sockets that reach them; `requests`: what is said there beside qdiscs.
//! - `spread`: how flows are spread over lanes; `ways`: which of them are in use.
//! - `capture`: what arrives, for captures.
//! - `counted`: from the kernel's counters to a channel's.
//! - `probe`: whether the kernel has what the engine needs.

mod capture;
mod channel;
mod counted;
mod ports;
pub(crate) mod probe;
mod requests;
mod spread;
mod ways;

use std::collections::{BTreeMap, HashMap};
use std::io;

use longhaul_topologies::model::{Channel, Direction};
use longhaul_topologies::units::ByteSize;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use self::capture::Capture;
use self::channel::{bottleneck, draws, inexpressible};
use self::counted::{Counted, Readings};
use self::ports::{Place, Port, Sockets};
use self::requests::{gso_segments, interface_drops, redirect, remove_root};
use self::ways::Ways;
use crate::capture::{Side, Tap};
use crate::engine::{ChannelCounters, EngineError, EngineKind, Lateness, LinkEngine};
use crate::namespace::Namespace;
use crate::plan::{ChannelId, LabPlan, NodeId};
use crate::relay::listener::Listener;
use crate::tc::ETHERNET_HEADER;
use crate::tc::bottleneck::Bottleneck;
use crate::tc::delay_line::delay_line;
use crate::tc::redirect::INGRESS;
use crate::tc::stats::{self, EarlyStats, QdiscStats};

pub use channel::expressible;
pub use probe::{Missing, available};
pub use spread::spreads;

/// The kernel's `GSO_MAX_SEGS`: what an interface starts with.
const GSO_MAX_SEGMENTS: u32 = 65_535;

/// The netem engine at work on all lanes of a lab.
pub struct Netem {
    sockets: Sockets,
    channels: Vec<Attached>,
    ways: Ways,
    mtu: u32,
    /// The longest frame.
    frame: ByteSize,
    capture: Option<Capture>,
}

/// One channel and where its two halves are.
struct Attached {
    id: ChannelId,
    /// For messages: `virginia>dublin lane 0`.
    name: String,
    /// The gateway's interface, whose egress is the bottleneck.
    near: Port,
    /// The keeper's interface to the other gateway, whose egress is the delay line.
    far: Port,
    /// The other gateway, and its interface's number: where packets arrive.
    arrival: (NodeId, u32),
    channel: Channel,
    qdiscs: Qdiscs,
    seeds: ChaCha8Rng,
    counted: Counted,
}

/// Whether the kernel's qdiscs are known to be those of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Qdiscs {
    Known,
    /// A request for another channel was refused half way.
    Unknown,
}

impl Netem {
    /// Puts the qdiscs of every lane of `plan` in place, the keeper's namespace being that of the calling thread. Random
    /// draws follow from `seed` where the kernel takes one (6.6 and later).
    ///
    /// Async as the other engine's is; the requests are answered at once.
    ///
    /// # Errors
    /// If netem cannot express a channel or a spread, or the kernel refuses a request.
    pub async fn attach(
        plan: &LabPlan,
        namespaces: &[Namespace],
        seed: u64,
    ) -> Result<Self, EngineError> {
        spread::set(plan, namespaces)?;
        let mut netem = Self {
            sockets: Sockets::open()?,
            channels: Vec::new(),
            ways: Ways::new(plan),
            mtu: plan.topology.mtu,
            capture: None,
            frame: ByteSize::from_bytes(u64::from(plan.topology.mtu) + ETHERNET_HEADER),
        };
        for lane in &plan.lanes {
            let a = netem.sockets.ports(plan, namespaces, &lane.a)?;
            let b = netem.sockets.ports(plan, namespaces, &lane.b)?;
            for (end, (port, _)) in [(&lane.a, a), (&lane.b, b)] {
                netem.ways.know(end.gateway, &end.interface, port);
            }
            for (direction, channel, from, to, end) in [
                (Direction::Forward, &lane.forward, a, b, &lane.b),
                (Direction::Reverse, &lane.reverse, b, a, &lane.a),
            ] {
                let id = ChannelId {
                    link: lane.link,
                    lane: lane.lane,
                    direction,
                };
                let position = netem.channels.len();
                let mut seeds = ChaCha8Rng::seed_from_u64(seed);
                seeds.set_stream(position as u64);
                netem.channels.push(Attached {
                    id,
                    name: plan.channel_name(id),
                    near: from.0,
                    far: to.1,
                    arrival: (end.gateway, to.0.index),
                    channel: channel.clone(),
                    qdiscs: Qdiscs::Known,
                    seeds,
                    counted: Counted::default(),
                });
                netem.apply(position, None)?;
                netem.redirect(from.1, to.1)?;
            }
        }
        for attached in &netem.channels {
            let (near, state) = (attached.near, attached.channel.state);
            netem.ways.set(&mut netem.sockets, near, state)?;
        }
        Ok(netem)
    }

    /// Makes the kernel's qdiscs those of the channel at `position`, whose bottleneck was `before`.
    fn apply(&mut self, position: usize, before: Option<&Bottleneck>) -> Result<(), EngineError> {
        let Attached {
            name,
            near,
            far,
            channel,
            seeds,
            ..
        } = &mut self.channels[position];
        let bottleneck = bottleneck(channel, self.frame)?;
        // Super-packets that no queue cuts have to be cut before a draw decides on them.
        let segments = if bottleneck.is_none() && draws(channel) {
            1
        } else {
            GSO_MAX_SEGMENTS
        };
        let delay_line = delay_line(channel, seeds.next_u64());

        let set = |what: &str| format!("set the {what} of {name}");
        let requests = &mut self.sockets;
        requests.request(near.place, gso_segments(near.index, segments), || {
            set("largest super-packet")
        })?;
        let qdiscs = bottleneck.map(|bottleneck| match before {
            None => bottleneck.qdiscs(),
            Some(before) => bottleneck.changes(before),
        });
        for qdisc in qdiscs.into_iter().flatten() {
            requests.request(near.place, qdisc.request(near.index), || {
                set("rate and queue")
            })?;
        }
        requests.request(far.place, delay_line.request(far.index), || {
            set("delay line")
        })
    }

    /// Makes the channel at `position`, whose counters were just read, `channel`.
    fn replace(&mut self, position: usize, channel: &Channel) -> Result<(), EngineError> {
        let attached = &mut self.channels[position];
        let before = std::mem::replace(&mut attached.channel, channel.clone());
        let before = bottleneck(&before, self.frame)?;
        let near = attached.near;
        let known = std::mem::replace(&mut attached.qdiscs, Qdiscs::Unknown);
        let lifted = before.is_some() && channel.rate.is_none();
        if lifted || known == Qdiscs::Unknown {
            let step = || format!("lift the rate of {}", attached.name);
            let removed = (self.sockets).request(near.place, remove_root(near.index), step);
            match removed {
                // Where it is not known what is there, there may be nothing.
                Err(EngineError::Kernel { source, .. })
                    if known == Qdiscs::Unknown && source.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        let before = before.filter(|_| known == Qdiscs::Known);
        self.apply(position, before.as_ref())?;
        self.ways.set(&mut self.sockets, near, channel.state)?;
        self.channels[position].qdiscs = Qdiscs::Known;
        Ok(())
    }

    /// Sends what arrives at `from` out of `to`.
    fn redirect(&mut self, from: Port, to: Port) -> Result<(), EngineError> {
        let step = || format!("redirect interface {} to {}", from.index, to.index);
        self.sockets
            .request(from.place, INGRESS.request(from.index), step)?;
        redirect(self.sockets.at(from.place), from.index, to.index)
            .map_err(|source| kernel(step(), source))
    }
}

impl LinkEngine for Netem {
    fn kind(&self) -> EngineKind {
        EngineKind::Netem
    }

    fn counters(&mut self) -> Result<Vec<(ChannelId, ChannelCounters)>, EngineError> {
        let mut bottlenecks = BTreeMap::new();
        let mut early = BTreeMap::new();
        let mut delay_lines = BTreeMap::new();
        let mut interfaces = BTreeMap::new();
        for (place, socket) in self.sockets.iter_mut() {
            let failed = |source| kernel("read the counters", source);
            let (kind, qdiscs) = match place {
                Place::Gateway(_) => ("tbf", &mut bottlenecks),
                Place::Keeper => ("netem", &mut delay_lines),
            };
            let port = |index| Port { place, index };
            for qdisc in stats::listed(socket).map_err(failed)? {
                if let Some(stats) = QdiscStats::of_root(&qdisc, kind) {
                    qdiscs.insert(port(stats.index), stats);
                } else if let Some(stats) = EarlyStats::of(&qdisc) {
                    early.insert(port(stats.index), stats);
                }
            }
            for (index, drops) in interface_drops(socket).map_err(failed)? {
                interfaces.insert(port(index), drops);
            }
        }
        let read = self.channels.iter_mut().map(|attached| {
            let dropped = |port| interfaces.get(port).copied().unwrap_or_default();
            let readings = Readings {
                bottleneck: bottlenecks.get(&attached.near).copied().unwrap_or_default(),
                early: early.get(&attached.near).copied().unwrap_or_default(),
                delay_line: delay_lines.get(&attached.far).copied().unwrap_or_default(),
                interface_drops: dropped(&attached.near) + dropped(&attached.far),
            };
            let Attached {
                id,
                channel,
                counted,
                ..
            } = attached;
            let counters = counted.read(channel, readings);
            (*id, counters)
        });
        Ok(read.collect())
    }

    fn set_all(&mut self, changes: &[(ChannelId, Channel)]) -> Result<(), EngineError> {
        let places: HashMap<ChannelId, usize> = (self.channels.iter().map(|attached| attached.id))
            .zip(0..)
            .collect();
        let mut positions = Vec::with_capacity(changes.len());
        for (id, channel) in changes {
            positions.push(*places.get(id).ok_or_else(|| {
                inexpressible(format!("{id:?}, which is no channel of this lab"))
            })?);
            bottleneck(channel, self.frame)?;
        }
        // What was dropped until now was dropped by the channels as they were.
        self.counters()?;
        for (position, (_, channel)) in positions.into_iter().zip(changes) {
            self.replace(position, channel)?;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), EngineError> {
        // What plays back, netem cannot express.
        Ok(())
    }

    fn capture(&mut self, namespaces: &[Namespace], taps: Vec<Tap>) -> Result<(), EngineError> {
        if let Some(before) = self.capture.take() {
            before.end()?;
        }
        let mut listeners = Vec::new();
        for tap in taps {
            let of = |attached: &&Attached| attached.id == tap.channel();
            let Some(attached) = self.channels.iter().find(of) else {
                continue;
            };
            if tap.side() != Side::Delivered {
                continue;
            }
            let (mtu, (gateway, interface)) = (self.mtu, attached.arrival);
            let listener = namespaces[gateway.0]
                .run(move || Listener::open(interface, mtu, tap))
                .flatten()
                .map_err(|source| kernel(format!("capture {}", attached.name), source))?;
            listeners.push(listener);
        }
        if !listeners.is_empty() {
            self.capture = Some(Capture::start(listeners)?);
        }
        Ok(())
    }

    fn lateness(&mut self) -> Option<Lateness> {
        None
    }
}

fn kernel(step: impl Into<String>, source: io::Error) -> EngineError {
    EngineError::Kernel {
        step: step.into(),
        source,
    }
}
