//! What the slowest link allows a collective. Pure.
//!
//! The bytes each channel has to carry follow from the schedule (which rank sends how much to which) and the routes; the
//! time they need, from the channel's rate and what the stack adds to every packet. A collective can be no faster than the
//! channel that needs longest, plus that channel's delay for its last byte; nor than the longest chain of messages that
//! wait for one another.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use longhaul_reports::result::{Bound, BoundTime, Placement};
use longhaul_topologies::Topology;
use longhaul_topologies::model::{Direction, LinkId, SiteId};
use longhaul_topologies::route::Routes;
use longhaul_topologies::units::Rate;

use super::points::CollectivePlan;
use super::spec::{Packets, StackSpec};
use crate::collective::Unsupported;
use crate::collective::schedule::Shape;
use crate::collective::traffic::{longest_chain, wire_bytes};
use crate::message::Erasure;

/// Ethernet header, without preamble and FCS: what the links count.
const ETHERNET_HEADER: u32 = 14;
/// Chunks a block is cut into for the longest chain: it hardly changes with more, and the schedule stays small.
const CHUNKS: usize = 64;

/// Something that carries bytes at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Port {
    Wan(LinkId, Direction),
    /// The fabric port of a rank's host, away from it.
    Out(usize),
    /// The same, towards it.
    In(usize),
}

/// A port under the load of one collective.
#[derive(Clone, Debug)]
struct Load {
    port: Port,
    payload: u64,
    /// Of the lanes that the connections over it can fill, the fastest first.
    rates: Vec<Rate>,
    time: Duration,
}

/// The bound for `plan` by `stack`; `None` if no channel on its way has a rate.
///
/// # Errors
/// If the collective has no such schedule.
pub fn bound(
    topology: &Topology,
    plan: &CollectivePlan,
    stack: &StackSpec,
) -> Result<Option<Bound>, Unsupported> {
    let routes = Routes::new(topology);
    let packets = stack.packets(topology.mtu);
    let mut times = Vec::new();
    let mut slowest: Option<(u64, Load)> = None;
    for &size in &plan.sizes {
        let work = Work::new(topology, &routes, plan, size)?;
        let Some(load) = work.slowest(stack.lanes(), packets) else {
            return Ok(None);
        };
        let last_byte = load.time + work.delay_of(load.port);
        let time = last_byte.max(work.longest_chain());
        times.push(BoundTime {
            size_bytes: size,
            time_us: time.as_secs_f64() * 1e6,
        });
        // The greatest size has the least rounding to whole elements.
        if slowest
            .as_ref()
            .is_none_or(|(greatest, _)| size >= *greatest)
        {
            slowest = Some((size, load));
        }
    }
    let Some((size, load)) = slowest else {
        return Ok(None);
    };
    let busbw =
        size as f64 * 8.0 / load.time.as_secs_f64() * plan.collective.bus_factor(plan.ranks.len());
    Ok(Some(Bound {
        busbw_bps: busbw,
        reason: reason(topology, plan, packets, size, &load),
        times,
    }))
}

/// One size of a collective on its topology.
struct Work<'a> {
    topology: &'a Topology,
    routes: &'a Routes,
    plan: &'a CollectivePlan,
    programs: Vec<crate::collective::schedule::Program>,
}

impl<'a> Work<'a> {
    fn new(
        topology: &'a Topology,
        routes: &'a Routes,
        plan: &'a CollectivePlan,
        size: u64,
    ) -> Result<Self, Unsupported> {
        let count = plan
            .collective
            .count(plan.data_type, size, plan.ranks.len())?;
        let count = usize::try_from(count)
            .map_err(|_| Unsupported(format!("{size} bytes do not fit into memory")))?;
        let shape = Shape {
            collective: plan.collective,
            algorithm: plan.algorithm,
            sites: plan.ranks.iter().map(|place| place.site.0).collect(),
            count,
            chunk: count.div_ceil(CHUNKS * plan.ranks.len()),
            root: plan.root,
            placement: Placement::OutOfPlace,
        };
        Ok(Self {
            topology,
            routes,
            plan,
            programs: shape.programs()?,
        })
    }

    /// The port that needs longest, with so many connections per pair of ranks.
    fn slowest(&self, connections: usize, packets: Packets) -> Option<Load> {
        let mut loads: BTreeMap<Port, (u64, u64)> = BTreeMap::new();
        for ((from, to), payload) in wire_bytes(&self.programs, self.plan.data_type) {
            let wan = self
                .way(from, to)
                .map(|(link, direction)| Port::Wan(link, direction));
            for port in [Port::Out(from), Port::In(to)].into_iter().chain(wan) {
                let load = loads.entry(port).or_default();
                load.0 += payload;
                load.1 += connections as u64;
            }
        }
        let timed = loads.into_iter().filter_map(|(port, (payload, flows))| {
            let mut rates = self.rates(port)?;
            rates.truncate(usize::try_from(flows).unwrap_or(usize::MAX));
            let bits = payload as f64 * overhead(packets) * 8.0;
            let time = Duration::from_secs_f64(bits / total(&rates).bits_per_second() as f64);
            Some(Load {
                port,
                payload,
                rates,
                time,
            })
        });
        // Of several alike the first.
        timed.reduce(|slowest, load| {
            if load.time > slowest.time {
                load
            } else {
                slowest
            }
        })
    }

    fn longest_chain(&self) -> Duration {
        longest_chain(&self.programs, |from, to| {
            self.way(from, to)
                .map(|(link, direction)| self.topology.links[link.0].channel(direction).delay)
                .sum()
        })
    }

    /// The channels from one rank to another.
    fn way(&self, from: usize, to: usize) -> impl Iterator<Item = (LinkId, Direction)> + '_ {
        way(
            self.topology,
            self.routes,
            self.plan.ranks[from].site,
            self.plan.ranks[to].site,
        )
    }

    /// Of its lanes, the fastest first; `None` if one has none.
    fn rates(&self, port: Port) -> Option<Vec<Rate>> {
        match port {
            Port::Wan(link, direction) => {
                let lanes = self.topology.links[link.0].lanes.iter();
                let rates = lanes.map(|lane| lane.channel(direction).rate);
                let mut rates: Vec<Rate> = rates.collect::<Option<_>>()?;
                rates.sort_by(|one, other| other.cmp(one));
                Some(rates)
            }
            Port::Out(rank) | Port::In(rank) => {
                let site = self.topology.site(self.plan.ranks[rank].site);
                Some(vec![site.fabric.rate?])
            }
        }
    }

    fn delay_of(&self, port: Port) -> Duration {
        match port {
            Port::Wan(link, direction) => self.topology.links[link.0].channel(direction).delay,
            Port::Out(_) | Port::In(_) => Duration::ZERO,
        }
    }
}

/// The channels from site to site, in the order traffic passes them.
pub fn way<'a>(
    topology: &'a Topology,
    routes: &'a Routes,
    from: SiteId,
    to: SiteId,
) -> impl Iterator<Item = (LinkId, Direction)> + 'a {
    let mut here = from;
    std::iter::from_fn(move || {
        let id = routes.next_hop(here, to)?;
        let link = &topology.links[id.0];
        let direction = if link.a == here {
            Direction::Forward
        } else {
            Direction::Reverse
        };
        here = if link.a == here { link.b } else { link.a };
        Some((id, direction))
    })
}

fn total(rates: &[Rate]) -> Rate {
    Rate::from_bits_per_second(rates.iter().map(|rate| rate.bits_per_second()).sum())
}

/// Bytes of frames per byte of payload, in full packets.
fn overhead(packets: Packets) -> f64 {
    let coded = packets.erasure.map_or(1.0, |Erasure { data, parity }| {
        1.0 + f64::from(parity) / f64::from(data)
    });
    f64::from(packets.bytes + ETHERNET_HEADER) / f64::from(packets.payload) * coded
}

fn reason(
    topology: &Topology,
    plan: &CollectivePlan,
    packets: Packets,
    size: u64,
    load: &Load,
) -> String {
    let parity = packets.erasure.map_or(String::new(), |erasure| {
        let Erasure { data, parity } = erasure;
        format!(", and {parity} of parity for {data}")
    });
    let lanes = load.rates.len();
    let told = |rate: Rate| longhaul_reports::rate(rate.bits_per_second() as f64);
    let rate = match &load.rates[..] {
        [first, .., last] if first == last => format!("{} on each of {lanes} lanes", told(*first)),
        [_, _, ..] => format!("{} on {lanes} lanes together", told(total(&load.rates))),
        rates => told(total(rates)),
    };
    format!(
        "{} by {} over {} ranks sends {:.3} bytes per byte of the array over {}, at {rate}; \
         each takes {:.4} bytes on the wire ({} of payload in a frame of {}{parity})",
        plan.collective,
        plan.algorithm,
        plan.ranks.len(),
        load.payload as f64 / size as f64,
        PortName {
            topology,
            plan,
            port: load.port
        },
        overhead(packets),
        packets.payload,
        packets.bytes + ETHERNET_HEADER,
    )
}

struct PortName<'a> {
    topology: &'a Topology,
    plan: &'a CollectivePlan,
    port: Port,
}

impl fmt::Display for PortName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |rank: usize| self.plan.ranks[rank].host_name(self.topology);
        match self.port {
            Port::Wan(link, direction) => {
                f.write_str(&channel_name(self.topology, link, direction))
            }
            Port::Out(rank) => write!(f, "the port of {} (outward)", host(rank)),
            Port::In(rank) => write!(f, "the port of {} (inward)", host(rank)),
        }
    }
}

/// `virginia>dublin`.
pub fn channel_name(topology: &Topology, link: LinkId, direction: Direction) -> String {
    let [from, to] = topology.links[link.0].ends(direction);
    format!("{}>{}", topology.site(from).name, topology.site(to).name)
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::{Document, validate};

    use super::*;
    use crate::collective::{Algorithm, Collective, DataType, ReduceOp};
    use crate::experiment::points::places;
    use crate::experiment::spec::RankOrder;

    fn topology(hosts: usize, link: &str) -> Topology {
        let text = format!(
            "name: two\nsites: [{{name: a, hosts: {hosts}}}, {{name: b, hosts: {hosts}}}]\nlinks: [{{between: [a, b], {link}}}]\n"
        );
        validate::topology(&Document::from_text("two.yaml", &text).unwrap()).unwrap()
    }

    fn plan(
        topology: &Topology,
        algorithm: Algorithm,
        order: RankOrder,
        size: u64,
    ) -> CollectivePlan {
        CollectivePlan {
            collective: Collective::AllReduce,
            algorithm,
            data_type: DataType::F32,
            op: ReduceOp::Sum,
            root: 0,
            sizes: vec![size],
            placements: vec![Placement::InPlace],
            ranks: places(topology, order),
            iterations: 1,
            warmup: 0,
            patience: Duration::from_secs(1),
        }
    }

    fn tcp(connections: usize) -> StackSpec {
        StackSpec {
            connections,
            ..StackSpec::of("cubic")
        }
    }

    fn message(settings: &serde_json::Value) -> StackSpec {
        let mut stack = serde_json::json!({
            "name": "m", "transport": "message", "congestion_control": "distance",
        });
        stack
            .as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        serde_json::from_value(stack).unwrap()
    }

    const SIZE: u64 = 16 << 20;

    #[test]
    fn a_ring_of_two_is_bound_by_the_link_s_payload_rate() {
        let topology = topology(1, "rate: 500Mbit, rtt: 20ms");
        let plan = plan(&topology, Algorithm::Ring, RankOrder::SiteContiguous, SIZE);
        let bound = bound(&topology, &plan, &tcp(1)).unwrap().unwrap();
        // Each rank sends 2 × (n − 1) ÷ n = 1 array, so that bus bandwidth is what the link carries of payload.
        assert!(
            (bound.busbw_bps / (500e6 * 1448.0 / 1514.0) - 1.0).abs() < 1e-6,
            "{}",
            bound.busbw_bps
        );
        let serialisation = SIZE as f64 * 8.0 / 500e6 * 1514.0 / 1448.0;
        assert!((bound.times[0].time_us / 1e6 - serialisation - 0.01).abs() < 1e-6);
        assert_eq!(
            bound.reason,
            "all_reduce by ring over 2 ranks sends 1.000 bytes per byte of the array over a>b, at 500 Mbit/s; \
             each takes 1.0456 bytes on the wire (1448 of payload in a frame of 1514)"
        );
    }

    #[test]
    fn what_a_stack_adds_to_its_packets_counts() {
        let topology = topology(1, "rate: 500Mbit, rtt: 20ms");
        let plan = plan(&topology, Algorithm::Ring, RankOrder::SiteContiguous, SIZE);
        let packets = |settings: serde_json::Value| {
            let bound = bound(&topology, &plan, &message(&settings))
                .unwrap()
                .unwrap();
            let share = bound.busbw_bps / 500e6;
            let (_, packets) = bound.reason.rsplit_once(" (").unwrap();
            (share, packets.trim_end_matches(')').to_owned())
        };
        // The headers of IP and UDP, and 64 bytes of the transport's (message/wire.rs).
        let (share, told) = packets(serde_json::json!({}));
        assert!((share - 1408.0 / 1514.0).abs() < 1e-6, "{share}");
        assert_eq!(told, "1408 of payload in a frame of 1514");
        let (share, told) = packets(serde_json::json!({"mtu": "1000B"}));
        assert!((share - 908.0 / 1014.0).abs() < 1e-6, "{share}");
        assert_eq!(told, "908 of payload in a frame of 1014");
        let (share, told) = packets(serde_json::json!({"erasure": {"data": 16, "parity": 4}}));
        assert!((share - 1403.0 / 1514.0 / 1.25).abs() < 1e-6, "{share}");
        assert_eq!(
            told,
            "1403 of payload in a frame of 1514, and 4 of parity for 16"
        );
        let (_, told) = packets(serde_json::json!({"telemetry_hops": 1}));
        assert!(!told.starts_with("1408"), "{told}");
    }

    #[test]
    fn small_arrays_are_bound_by_the_steps_that_wait_for_one_another() {
        let topology = topology(1, "rate: 500Mbit, rtt: 20ms");
        let plan = plan(&topology, Algorithm::Ring, RankOrder::SiteContiguous, 1024);
        let bound = bound(&topology, &plan, &tcp(1)).unwrap().unwrap();
        assert_eq!(bound.times[0].time_us, 20_000.0);
    }

    #[test]
    fn an_interleaved_ring_loads_the_link_with_every_hop() {
        let topology = topology(3, "rate: 500Mbit, rtt: 20ms");
        let busbw = |order| {
            let plan = plan(&topology, Algorithm::Ring, order, SIZE);
            bound(&topology, &plan, &tcp(1)).unwrap().unwrap().busbw_bps
        };
        let ratio = busbw(RankOrder::SiteContiguous) / busbw(RankOrder::Interleaved);
        assert!((ratio - 3.0).abs() < 0.01, "{ratio}");
    }

    #[test]
    fn lanes_count_as_far_as_connections_can_fill_them() {
        let topology = topology(1, "rate: 500Mbit, rtt: 20ms, lanes: 4");
        let busbw = |connections| {
            let plan = plan(&topology, Algorithm::Ring, RankOrder::SiteContiguous, SIZE);
            bound(&topology, &plan, &tcp(connections))
                .unwrap()
                .unwrap()
                .busbw_bps
        };
        assert!((busbw(2) / busbw(1) - 2.0).abs() < 1e-6);
        assert!((busbw(8) / busbw(1) - 4.0).abs() < 1e-6);
    }

    #[test]
    fn lanes_of_different_rates_are_filled_the_fastest_first() {
        let link = "rate: 500Mbit, rtt: 20ms, lanes: [{}, {rate: 50Mbit}, {}]";
        let topology = topology(1, link);
        let plan = plan(&topology, Algorithm::Ring, RankOrder::SiteContiguous, SIZE);
        let of = |connections| bound(&topology, &plan, &tcp(connections)).unwrap().unwrap();
        assert!((of(2).busbw_bps / of(1).busbw_bps - 2.0).abs() < 1e-6);
        assert!((of(3).busbw_bps / of(1).busbw_bps - 2.1).abs() < 1e-6);
        let told = |connections| {
            let bound = of(connections);
            let (_, at) = bound.reason.split_once(" a>b, at ").unwrap();
            at.split_once(';').unwrap().0.to_owned()
        };
        assert_eq!(
            [told(1), told(2), told(3)],
            [
                "500 Mbit/s",
                "500 Mbit/s on each of 2 lanes",
                "1.05 Gbit/s on 3 lanes together"
            ]
        );
    }

    #[test]
    fn unlimited_links_bound_nothing() {
        let topology = topology(1, "rtt: 20ms");
        let plan = plan(&topology, Algorithm::Ring, RankOrder::SiteContiguous, SIZE);
        assert_eq!(bound(&topology, &plan, &tcp(1)).unwrap(), None);
    }
}
