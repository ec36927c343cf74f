//! What the flows between ranks carried, and how evenly they shared the links they crossed. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use longhaul_reports::result::{FlowSummary, LinkShares, MessageSummary, Percentiles, Sample};
use longhaul_reports::stats::{jain_index, percentile, sorted};
use longhaul_topologies::Topology;
use longhaul_topologies::model::SiteId;
use longhaul_topologies::route::Routes;

use super::bound::{channel_name, way};
use super::points::RankPlace;
use crate::world::{Arrivals, ConnectionSample};

/// The flows of a point.
#[derive(Debug, Default)]
pub(super) struct Flows {
    /// Host of each rank.
    hosts: Vec<String>,
    /// Site of each rank.
    sites: Vec<SiteId>,
    /// Links between sites, by sending and receiving site.
    ways: BTreeMap<(SiteId, SiteId), Vec<String>>,
    flows: BTreeMap<Key, Flow>,
    /// By link: how many flows cross it, and what they had of it in each measured iteration.
    shares: BTreeMap<String, (usize, Vec<Shared>)>,
}

/// Sending and receiving rank, and which of their connections.
type Key = (usize, usize, usize);

#[derive(Debug, Default)]
struct Flow {
    retransmits: u64,
    marked_bytes: Option<u64>,
    /// Bytes acknowledged when the last iteration ended.
    before: u64,
    /// The same now, in this iteration: seconds since the run's start, and bytes, also those beyond a hole: else all that came after it
    /// would seem to come at once when it is filled.
    acknowledged: Vec<(f64, u64)>,
    /// Nanoseconds, each with the number of messages.
    latencies: BTreeMap<u64, u64>,
    late: Option<u64>,
}

/// Readings of a flow below which an iteration does not show its rate.
const FEWEST: usize = 8;

impl Flows {
    pub(super) fn new(topology: &Topology, ranks: &[RankPlace]) -> Self {
        let routes = Routes::new(topology);
        let mut ways = BTreeMap::new();
        let sites: Vec<SiteId> = ranks.iter().map(|rank| rank.site).collect();
        let of_ranks: BTreeSet<SiteId> = sites.iter().copied().collect();
        for &from in &of_ranks {
            for &to in &of_ranks {
                let links = way(topology, &routes, from, to);
                let links = links.map(|(link, direction)| channel_name(topology, link, direction));
                ways.insert((from, to), links.collect());
            }
        }
        Self {
            hosts: ranks.iter().map(|rank| rank.host_name(topology)).collect(),
            sites,
            ways,
            ..Self::default()
        }
    }

    /// `virginia-0>dublin-1/0`, of a reading.
    pub(super) fn name(&self, sample: &ConnectionSample) -> String {
        let (from, to) = (&self.hosts[sample.from], &self.hosts[sample.to]);
        format!("{from}>{to}/{}", sample.connection)
    }

    /// Takes the readings and arrivals of an iteration; `seconds` are since the run's start.
    pub(super) fn take(
        &mut self,
        iteration: &Sample,
        samples: &[ConnectionSample],
        arrivals: &[Arrivals],
        seconds: impl Fn(u64) -> f64,
    ) {
        for sample in samples {
            // Paths of a queue pair share its counts.
            if sample.marked_bytes.is_some() && sample.connection > 0 {
                continue;
            }
            let key = (sample.from, sample.to, sample.connection);
            let flow = self.flows.entry(key).or_default();
            flow.retransmits = sample.retransmits;
            flow.marked_bytes = sample.marked_bytes;
            let at = seconds(sample.at_ns);
            let arrived = sample.bytes_acked + sample.bytes_sacked;
            flow.acknowledged.push((at, arrived.max(flow.latest())));
        }
        if !iteration.warmup {
            self.share(iteration.start_s);
            for arrivals in arrivals {
                let key = (arrivals.from, arrivals.to, 0);
                let flow = self.flows.entry(key).or_default();
                for &(latency, count) in &arrivals.latencies {
                    *flow.latencies.entry(latency).or_default() += count;
                }
                flow.late = arrivals.late.map(|late| flow.late.unwrap_or(0) + late);
            }
        }
        for flow in self.flows.values_mut() {
            flow.before = flow.latest();
            flow.acknowledged.clear();
        }
    }

    /// Adds what the iteration that began at `start` shows, for each link that flows crossed.
    fn share(&mut self, start: f64) {
        let mut crossing: BTreeMap<&String, Vec<&Flow>> = BTreeMap::new();
        for (&(from, to, _), flow) in &self.flows {
            if flow.bytes() > 0 {
                let way = (self.sites[from], self.sites[to]);
                for link in self.ways.get(&way).into_iter().flatten() {
                    crossing.entry(link).or_default().push(flow);
                }
            }
        }
        for (link, flows) in crossing {
            if let Some(shared) = shared(&flows, start) {
                let (count, seen) = self.shares.entry(link.clone()).or_default();
                *count = (*count).max(flows.len());
                seen.push(shared);
            }
        }
    }

    /// Whether `at`, in seconds, lies where [`Self::shares`] tell of every link from `from` to `to` that flows crossed, if any did.
    pub(super) fn are_settled(&self, from: SiteId, to: SiteId, at: f64) -> bool {
        let links = self.ways.get(&(from, to)).into_iter().flatten();
        let mut shared = links.filter_map(|link| self.shares.get(link)).peekable();
        let is_within =
            |(_, seen): &(usize, Vec<Shared>)| seen.iter().any(|shared| shared.time.contains(&at));
        shared.peek().is_some() && shared.all(is_within)
    }

    pub(super) fn summaries(&self) -> Vec<FlowSummary> {
        let summary = |(&(from, to, number), flow): (&Key, &Flow)| FlowSummary {
            from: self.hosts[from].clone(),
            to: self.hosts[to].clone(),
            number,
            bytes: flow.before,
            retransmits: flow.retransmits,
            messages: flow.marked_bytes.map(|marked_bytes| MessageSummary {
                latency_us: microseconds(&flow.latencies),
                late: flow.late,
                marked_bytes,
            }),
        };
        self.flows.iter().map(summary).collect()
    }

    pub(super) fn shares(&self) -> Vec<LinkShares> {
        let shares = self.shares.iter().filter_map(|(link, (flows, seen))| {
            let median = |figure: fn(&Shared) -> f64| {
                let figures: Vec<f64> = seen.iter().map(figure).collect();
                percentile(&sorted(&figures), 50.0)
            };
            Some(LinkShares {
                link: link.clone(),
                flows: *flows,
                jain: median(|shared| shared.evenness)?,
                goodput_bps: median(|shared| shared.goodput),
            })
        });
        shares.collect()
    }
}

impl Flow {
    /// Bytes acknowledged by now.
    fn latest(&self) -> u64 {
        let last = self.acknowledged.last();
        last.map_or(self.before, |&(_, bytes)| bytes)
    }

    /// Bytes of this iteration.
    fn bytes(&self) -> u64 {
        self.latest() - self.before
    }

    /// When the last of them was acknowledged.
    fn end(&self) -> Option<f64> {
        let &(_, all) = self.acknowledged.last()?;
        let whole = self.acknowledged.iter().find(|(_, bytes)| *bytes == all)?;
        Some(whole.0)
    }

    /// Bytes acknowledged at `at`, in a straight line between readings.
    fn at(&self, at: f64) -> Option<f64> {
        let next = self.acknowledged.partition_point(|(read, _)| *read < at);
        let &(right, more) = self.acknowledged.get(next)?;
        let &(left, less) = self.acknowledged.get(next.checked_sub(1)?)?;
        let part = (at - left) / (right - left);
        Some(less as f64 + part * (more - less) as f64)
    }
}

/// What flows had of a link.
#[derive(Clone, Debug)]
struct Shared {
    /// When, in seconds.
    time: Range<f64>,
    /// Jain's index of their rates.
    evenness: f64,
    /// Together, bits per second.
    goodput: f64,
}

/// The second half of the time from `start` on in which all of `flows` were sending; nothing if they were not read often enough to
/// tell.
fn shared(flows: &[&Flow], start: f64) -> Option<Shared> {
    let ends = flows.iter().map(|flow| flow.end());
    let end = ends.collect::<Option<Vec<f64>>>()?;
    let end = end.into_iter().reduce(f64::min)?;
    let middle = f64::midpoint(start, end);
    let bytes = flows.iter().map(|flow| {
        let readings = flow.acknowledged.iter();
        let seen = readings
            .filter(|(at, _)| (start..=end).contains(at))
            .count();
        (seen >= FEWEST).then_some(())?;
        Some(flow.at(end)? - flow.at(middle)?)
    });
    let bytes = bytes.collect::<Option<Vec<f64>>>()?;
    Some(Shared {
        time: middle..end,
        evenness: jain_index(&bytes)?,
        goodput: bytes.iter().sum::<f64>() * 8.0 / (end - middle),
    })
}

/// Percentiles of nanoseconds that each come with their number.
fn microseconds(latencies: &BTreeMap<u64, u64>) -> Percentiles {
    let count: u64 = latencies.values().sum();
    let micros = |nanos: u64| nanos as f64 / 1e3;
    // By nearest rank, as everywhere.
    let at = |share: f64| {
        let rank = ((share * count as f64).ceil() as u64).max(1);
        let mut before = 0;
        let found = latencies.iter().find(|(_, number)| {
            before += **number;
            before >= rank
        });
        found.map_or(0.0, |(nanos, _)| micros(*nanos))
    };
    let sum: f64 = latencies
        .iter()
        .map(|(nanos, number)| micros(*nanos) * *number as f64)
        .sum();
    Percentiles {
        count,
        mean: if count > 0 { sum / count as f64 } else { 0.0 },
        min: latencies.keys().next().map_or(0.0, |nanos| micros(*nanos)),
        p50: at(0.50),
        p95: at(0.95),
        p99: at(0.99),
        max: latencies
            .keys()
            .next_back()
            .map_or(0.0, |nanos| micros(*nanos)),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_reports::result::Placement;

    use super::*;

    fn flow(rates: &[(f64, u64)]) -> Flow {
        // From each instant on at the rate beside it, bytes per second; read every 10 ms for a second.
        let mut bytes = 0.0;
        let acknowledged = (0..=100).map(|step| {
            let at = f64::from(step) / 100.0;
            let rate = rates.iter().rev().find(|(from, _)| *from <= at);
            let before = bytes;
            bytes += rate.map_or(0.0, |(_, rate)| *rate as f64 / 100.0);
            (at, before as u64)
        });
        Flow {
            acknowledged: acknowledged.collect(),
            ..Flow::default()
        }
    }

    #[test]
    fn equal_rates_are_even_and_one_that_has_all_is_not() {
        let (fast, slow) = (flow(&[(0.0, 9_000_000)]), flow(&[(0.0, 3_000_000)]));
        let even = shared(&[&fast, &fast], 0.0).expect("readings");
        assert!((even.evenness - 1.0).abs() < 1e-9, "{even:?}");
        let uneven = shared(&[&fast, &slow], 0.0).expect("readings");
        assert!((uneven.evenness - 0.8).abs() < 1e-3, "{uneven:?}");
        assert!((uneven.goodput / 96e6 - 1.0).abs() < 1e-3, "{uneven:?}");
    }

    #[test]
    fn the_second_half_of_the_time_that_all_send_counts() {
        // Uneven for the first 0.3 s, and again once the first has sent all, at 0.8 s.
        let first = flow(&[(0.0, 9_000_000), (0.3, 4_000_000), (0.8, 0)]);
        let second = flow(&[(0.0, 1_000_000), (0.3, 4_000_000), (0.8, 9_000_000)]);
        let shared = shared(&[&first, &second], 0.0).expect("readings");
        assert!(shared.evenness > 0.999, "{shared:?}");
        assert!((shared.goodput / 64e6 - 1.0).abs() < 1e-3, "{shared:?}");
    }

    #[test]
    fn a_path_is_settled_while_flows_share_all_of_its_links_that_they_cross() {
        let [a, b, c] = [0, 1, 2].map(SiteId);
        let link = |name: &str| name.to_owned();
        let shared = |time| Shared {
            time,
            evenness: 1.0,
            goodput: 1e6,
        };
        let flows = Flows {
            ways: BTreeMap::from([
                ((a, b), vec![link("a>b")]),
                ((a, c), vec![link("a>b"), link("b>c")]),
                ((c, a), vec![link("c>b"), link("b>a")]),
            ]),
            shares: BTreeMap::from([
                (link("a>b"), (2, vec![shared(1.0..2.0), shared(4.0..5.0)])),
                (link("b>c"), (1, vec![shared(1.5..3.0)])),
            ]),
            ..Flows::default()
        };
        let settled =
            |from, to| [0.5, 1.2, 1.7, 2.5, 4.5].map(|at| flows.are_settled(from, to, at));
        assert_eq!(settled(a, b), [false, true, true, false, true]);
        assert_eq!(settled(a, c), [false, false, true, false, false]);
        assert_eq!(settled(c, a), [false; 5], "no flows");
    }

    #[test]
    fn what_arrives_beyond_a_hole_counts_when_it_arrives() {
        let [a, b] = [0, 1].map(SiteId);
        let mut flows = Flows {
            sites: vec![a, b],
            ways: BTreeMap::from([((a, b), vec!["a>b".to_owned()])]),
            ..Flows::default()
        };
        // A megabyte a second, and a hole from 0.2 s to 0.8 s.
        let sample = |centiseconds: u64| {
            let arrived = centiseconds * 10_000;
            let bytes_acked = match centiseconds {
                20..80 => 200_000,
                _ => arrived,
            };
            ConnectionSample {
                at_ns: centiseconds * 10_000_000,
                from: 0,
                to: 1,
                connection: 0,
                rtt_us: 100,
                cwnd_bytes: 0,
                retransmits: 0,
                pacing_rate_bps: None,
                delivery_rate_bps: 0,
                bytes_acked,
                bytes_sacked: arrived - bytes_acked,
                marked_bytes: None,
            }
        };
        let samples: Vec<_> = (0..=100).map(sample).collect();
        let iteration = Sample {
            size_bytes: 1_000_000,
            count: 1,
            placement: Placement::OutOfPlace,
            iteration: 0,
            warmup: false,
            start_s: 0.0,
            time_us: 1e6,
            wrong: 0,
        };
        flows.take(&iteration, &samples, &[], |ns| ns as f64 / 1e9);
        let goodput = flows.shares()[0].goodput_bps.expect("readings");
        assert!((goodput / 8e6 - 1.0).abs() < 1e-6, "{goodput}");
    }

    #[test]
    fn few_readings_tell_nothing() {
        let one = flow(&[(0.0, 1_000_000)]);
        assert!(shared(&[&one], 0.0).is_some());
        let mut sparse = flow(&[(0.0, 1_000_000)]);
        sparse
            .acknowledged
            .retain(|(at, _)| (at * 5.0).fract() < 1e-9);
        assert!(shared(&[&sparse, &one], 0.0).is_none());
    }

    #[test]
    fn percentiles_are_of_all_messages() {
        let latencies = BTreeMap::from([(1_000, 98), (50_000, 1), (90_000, 1)]);
        let found = microseconds(&latencies);
        assert_eq!(
            (found.count, found.p50, found.p99, found.max),
            (100, 1.0, 50.0, 90.0)
        );
        assert!((found.mean - 2.38).abs() < 1e-9, "{}", found.mean);
        assert_eq!(microseconds(&BTreeMap::new()), Percentiles::default());
    }
}
