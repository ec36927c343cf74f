//! A lab over time, as it is shown: rates and their history out of one reading after the other. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use longhaul_emulator::engine::ChannelCounters;
use longhaul_emulator::keeper::{ChannelStatus, LabReading, RunStatus, SiteStatus};
use longhaul_emulator::telemetry::InterfaceCounters;
use longhaul_topologies::model::LaneState;
use longhaul_topologies::units::{Rate, TimeSpan};
use serde::Serialize;

/// How many moments of a lane are remembered: as wide as a wide terminal.
const HISTORY: usize = 120;

/// What there is to see of a lab.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct View {
    /// The lab's name.
    pub name: String,
    /// What it is, in words: `host lab, transatlantic, relay`.
    pub what: String,
    /// The lab's own clock at the last reading, in seconds.
    pub at_s: f64,
    /// Every lane in each direction.
    pub lanes: Vec<LaneView>,
    /// Every site.
    pub sites: Vec<SiteView>,
    /// How far a run is.
    pub run: Option<RunStatus>,
    /// What is worth a word: why there is less to see than usual.
    pub note: Option<String>,
    #[serde(skip)]
    hosts: BTreeMap<String, InterfaceCounters>,
}

/// One direction of a lane.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LaneView {
    pub from: String,
    pub to: String,
    pub lane: usize,
    pub is_up: bool,
    /// `link set` or a schedule has changed it.
    pub has_changed: bool,
    /// In words.
    pub delay: String,
    /// In words.
    pub queue: String,
    /// What it may carry, in bits a second; unlimited if absent.
    pub limit_bps: Option<u64>,
    /// What happened a second, since the reading before; absent at first.
    pub rates: Option<Rates>,
    /// Bytes that wait now.
    pub queue_bytes: u64,
    /// Packets that wait now.
    pub queue_packets: u64,
    /// Since the lab came up.
    pub totals: Totals,
    /// The latest last.
    pub history: VecDeque<Moment>,
    #[serde(skip)]
    counters: ChannelCounters,
}

/// A lane as it was once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// By the lab's own clock, in seconds.
    pub at_s: f64,
    /// Bits a second, since the reading before.
    pub bits: f64,
    /// Bytes that waited.
    pub queue_bytes: u64,
}

/// What happened a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// Bits delivered.
    pub bits: f64,
    /// Packets marked.
    pub marks: f64,
    /// Packets that the queue dropped, full or early.
    pub drops: f64,
    /// Packets lost on the way: by the loss model, outages, or the engine.
    pub losses: f64,
}

/// What happened in all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Totals {
    pub bytes: u64,
    pub marks: u64,
    pub drops: u64,
    pub losses: u64,
}

/// A site.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SiteView {
    pub name: String,
    /// Degrees north and east, where the topology says.
    pub coordinates: Option<(f64, f64)>,
    pub hosts: usize,
    /// Bits a second that its hosts send; absent at first.
    pub sends: Option<f64>,
    /// Bits a second that they receive.
    pub receives: Option<f64>,
}

impl View {
    /// Of the lab of that name, before anything was read.
    pub fn new(name: &str, what: &str) -> Self {
        View {
            name: name.to_owned(),
            what: what.to_owned(),
            ..View::default()
        }
    }

    /// Takes the next reading. One that is no later than the last changes nothing: there is no rate in it.
    pub fn take(&mut self, reading: LabReading) {
        let LabReading {
            at_s,
            sites,
            channels,
            hosts,
            run,
            note,
            ..
        } = reading;
        let is_first = self.lanes.is_empty() && self.sites.is_empty();
        let passed = at_s - self.at_s;
        if passed <= 0.0 && !is_first {
            return;
        }
        let mut before: BTreeMap<_, _> = std::mem::take(&mut self.lanes)
            .into_iter()
            .map(|lane| ((lane.from.clone(), lane.to.clone(), lane.lane), lane))
            .collect();
        let lane = |channel: ChannelStatus| {
            let key = (channel.from.clone(), channel.to.clone(), channel.lane);
            LaneView::next(channel, before.remove(&key), at_s, passed)
        };
        self.lanes = channels.into_iter().map(lane).collect();
        let counted = std::mem::take(&mut self.hosts);
        let site = |site: SiteStatus| {
            let mine = hosts.iter().filter(|host| host.site == site.name);
            let mut view = SiteView {
                name: site.name.clone(),
                coordinates: site.coordinates,
                hosts: mine.clone().count(),
                sends: None,
                receives: None,
            };
            for host in mine {
                let Some(then) = counted.get(&host.name) else {
                    continue;
                };
                let add = |sum: &mut Option<f64>, now: u64, then: u64| {
                    if let Some(rate) = rate(now, then, passed) {
                        *sum = Some(sum.unwrap_or_default() + 8.0 * rate);
                    }
                };
                add(&mut view.sends, host.counters.sent_bytes, then.sent_bytes);
                add(
                    &mut view.receives,
                    host.counters.received_bytes,
                    then.received_bytes,
                );
            }
            view
        };
        self.sites = sites.into_iter().map(site).collect();
        self.hosts = hosts
            .into_iter()
            .map(|host| (host.name, host.counters))
            .collect();
        (self.at_s, self.run, self.note) = (at_s, run, note);
    }

    /// It could not be read.
    pub fn trouble(&mut self, why: String) {
        self.note = Some(why);
    }
}

impl LaneView {
    fn next(channel: ChannelStatus, before: Option<LaneView>, at_s: f64, passed: f64) -> Self {
        let now = channel.counters;
        let rates = before.as_ref().and_then(|before| {
            let per_second = |count: fn(&ChannelCounters) -> u64| {
                rate(count(&now), count(&before.counters), passed)
            };
            Some(Rates {
                bits: 8.0 * per_second(|counters| counters.bytes)?,
                marks: per_second(|counters| counters.marks)?,
                drops: per_second(drops)?,
                losses: per_second(losses)?,
            })
        });
        let mut history = before.map(|before| before.history).unwrap_or_default();
        history.extend(rates.map(|rates| Moment {
            at_s,
            bits: rates.bits,
            queue_bytes: now.queue_bytes,
        }));
        if history.len() > HISTORY {
            history.pop_front();
        }
        LaneView {
            is_up: channel.state == LaneState::Up,
            has_changed: channel.differs.is_some(),
            delay: to_the_microsecond(channel.delay).to_string(),
            queue: channel.queue.to_string(),
            limit_bps: channel.rate.map(Rate::bits_per_second),
            rates,
            queue_bytes: now.queue_bytes,
            queue_packets: now.queue_packets,
            totals: Totals {
                bytes: now.bytes,
                marks: now.marks,
                drops: drops(&now),
                losses: losses(&now),
            },
            history,
            counters: now,
            from: channel.from,
            to: channel.to,
            lane: channel.lane,
        }
    }

    /// `virginia > dublin`, and the lane of links that have several.
    pub fn title(&self, lanes: usize) -> String {
        let LaneView { from, to, lane, .. } = self;
        match lanes {
            1 => format!("{from} > {to}"),
            _ => format!("{from} > {to} /{lane}"),
        }
    }
}

fn drops(counters: &ChannelCounters) -> u64 {
    counters.queue_drops + counters.early_drops
}

fn losses(counters: &ChannelCounters) -> u64 {
    counters.losses.unwrap_or_default() + counters.outage_drops + counters.engine_drops
}

/// As closely as anybody reads it: a delay by distance has nanoseconds.
fn to_the_microsecond(time: TimeSpan) -> TimeSpan {
    let nanoseconds = u64::try_from(time.duration().as_nanos()).unwrap_or(u64::MAX);
    match nanoseconds {
        0..1000 => time,
        more => Duration::from_micros(more.saturating_add(500) / 1000).into(),
    }
}

/// What a counter grew by a second; none if it began anew, as between the labs of a run.
fn rate(now: u64, then: u64, seconds: f64) -> Option<f64> {
    Some(now.checked_sub(then)? as f64 / seconds).filter(|rate| rate.is_finite())
}

/// `41.7 Mbit/s`.
pub fn bits(rate: f64) -> String {
    scaled(rate, "bit/s")
}

/// `1.5 MB`.
pub fn bytes(count: u64) -> String {
    scaled(count as f64, "B")
}

/// Three digits or so, in steps of a thousand.
fn scaled(mut value: f64, unit: &str) -> String {
    let mut prefixes = ["", "k", "M", "G", "T"].into_iter().peekable();
    while value >= 999.5 && prefixes.len() > 1 {
        value /= 1000.0;
        prefixes.next();
    }
    let prefix = prefixes.next().unwrap_or_default();
    match value {
        _ if prefix.is_empty() => format!("{value:.0} {unit}"),
        0.0..9.995 => format!("{value:.2} {prefix}{unit}"),
        9.995..99.95 => format!("{value:.1} {prefix}{unit}"),
        _ => format!("{value:.0} {prefix}{unit}"),
    }
}

/// Values as bars of an eighth to a whole line; `most` is a whole one. The latest that fit into `width`.
pub fn sparkline(values: impl ExactSizeIterator<Item = f64>, most: f64, width: usize) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let before = values.len().saturating_sub(width);
    let bar = |value: f64| {
        let eighths = if most > 0.0 { value / most * 8.0 } else { 0.0 };
        // Something is told from nothing, however little.
        let eighths = if value > 0.0 { eighths.ceil() } else { 0.0 };
        BARS[eighths.clamp(0.0, 8.0) as usize]
    };
    values.skip(before).map(bar).collect()
}

#[cfg(test)]
pub mod tests {
    use longhaul_emulator::engine::EngineKind;
    use longhaul_emulator::keeper::{HostStatus, IterationStatus};

    use super::*;

    /// A lane with these counters, at 80 Mbit/s.
    pub fn channel(from: &str, to: &str, counters: ChannelCounters) -> ChannelStatus {
        ChannelStatus {
            from: from.into(),
            to: to.into(),
            lane: 0,
            state: LaneState::Up,
            rate: Some("80Mbit".parse().unwrap()),
            delay: "30ms".parse().unwrap(),
            jitter: None,
            queue: "1bdp".parse().unwrap(),
            differs: None,
            counters,
        }
    }

    /// Two sites after so many seconds: east sends 5 MB a second, and loses packets.
    pub fn reading(second: u64) -> LabReading {
        let counters = |bytes: u64, some: u64| ChannelCounters {
            bytes: bytes * second,
            marks: 2 * some * second,
            queue_drops: 3 * some * second,
            losses: Some(4 * some * second),
            queue_bytes: 1_500_000 * some,
            queue_packets: 1000 * some,
            ..ChannelCounters::default()
        };
        let site = |name: &str, coordinates| SiteStatus {
            name: name.into(),
            coordinates: Some(coordinates),
        };
        let host = |name: &str, site: &str, sent: u64, received: u64| HostStatus {
            name: name.into(),
            site: site.into(),
            counters: InterfaceCounters {
                sent_bytes: sent * second,
                received_bytes: received * second,
                ..InterfaceCounters::default()
            },
        };
        LabReading {
            at_s: 100.0 + second as f64,
            engine: Some(EngineKind::Relay),
            sites: vec![site("east", (39.0, -77.5)), site("west", (37.3, -121.9))],
            channels: vec![
                channel("east", "west", counters(5_000_000, 1)),
                channel("west", "east", counters(125_000, 0)),
            ],
            hosts: vec![
                host("east-0", "east", 5_000_000, 125_000),
                host("west-0", "west", 125_000, 5_000_000),
            ],
            run: Some(RunStatus {
                point: 1,
                points: 2,
                title: "cubic".into(),
                iterations: 20,
                done: 7,
                iterations_done: 7,
                last: Some(IterationStatus {
                    size_bytes: 1 << 20,
                    time_us: 250_000.0,
                    bus_bandwidth_bps: Some(33.5e6),
                }),
                ranks: vec!["east-0".into(), "west-0".into()],
                ..RunStatus::default()
            }),
            note: None,
        }
    }

    /// After so many readings, a second apart.
    pub fn view(readings: u64) -> View {
        let mut view = View::new("tiny", "host run");
        for second in 1..=readings {
            view.take(reading(second));
        }
        view
    }

    #[test]
    fn a_rate_is_the_growth_over_the_time_between_two_readings() {
        let mut view = view(1);
        assert_eq!(view.lanes[0].rates, None, "one reading has no rate in it");
        view.take(reading(3));
        let rates = view.lanes[0].rates.unwrap();
        assert_eq!((rates.bits, rates.marks), (40e6, 2.0));
        assert_eq!((rates.drops, rates.losses), (3.0, 4.0));
        assert_eq!(view.sites[0].sends, Some(40e6));
        assert_eq!(view.sites[0].receives, Some(1e6));
        let moment = Moment {
            at_s: 103.0,
            bits: 40e6,
            queue_bytes: 1_500_000,
        };
        assert_eq!(view.lanes[0].history, [moment]);
    }

    #[test]
    fn a_counter_that_began_anew_gives_no_rate() {
        let mut view = view(5);
        let mut anew = reading(1);
        anew.at_s = 110.0;
        view.take(anew);
        assert_eq!(view.lanes[0].rates, None);
        assert_eq!(view.sites[0].sends, None);
        assert_eq!(
            view.lanes[0].history.len(),
            4,
            "what was before is remembered"
        );
    }

    #[test]
    fn the_same_instant_twice_changes_nothing() {
        let mut view = view(2);
        let before = view.clone();
        view.take(reading(2));
        assert_eq!(view, before);
    }

    #[test]
    fn history_ends_where_no_terminal_is_wider() {
        let view = view(3 * HISTORY as u64);
        assert_eq!(view.lanes[0].history.len(), HISTORY);
    }

    #[test]
    fn a_delay_is_told_to_the_microsecond() {
        let told = |time: &str| to_the_microsecond(time.parse().unwrap()).to_string();
        assert_eq!(told("36.911187ms"), "36.911ms");
        assert_eq!(told("30ms"), "30ms");
        assert_eq!(told("7ns"), "7ns");
    }

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        let all = [0.0, 999.0, 999.7, 41.66e6, 123.4e6, 9.999e9, 5e15];
        let texts = all.map(bits);
        assert_eq!(
            texts.join(", "),
            "0 bit/s, 999 bit/s, 1.00 kbit/s, 41.7 Mbit/s, 123 Mbit/s, 10.0 Gbit/s, 5000 Tbit/s"
        );
    }

    #[test]
    fn bars_reach_from_nothing_to_the_most() {
        let values = || [0.0, 0.001, 4.0, 8.0, 100.0].into_iter();
        assert_eq!(sparkline(values(), 8.0, 10), " ▁▄██");
        assert_eq!(sparkline(values(), 8.0, 2), "██", "the latest");
        assert_eq!(sparkline(values(), 0.0, 2), "  ");
    }
}
