//! What readings of a point's channels and hosts found.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_emulator::engine::ChannelCounters;
use longhaul_emulator::plan::{ChannelId, LabPlan};
use longhaul_emulator::telemetry::Reading;
use longhaul_reports::result::{ChannelSummary, Entity, metric};
use longhaul_topologies::Topology;
use longhaul_topologies::units::Rate;

use super::super::bound::channel_name;
use super::rows::Rows;

/// The counters of channels, and how punctually they were read.
#[derive(Debug, Default)]
pub(super) struct Readings {
    channels: BTreeMap<ChannelId, Channel>,
    pub(super) lateness: ReadingLateness,
}

#[derive(Debug)]
struct Channel {
    /// In telemetry: at a period of a millisecond there is no time to make it up every time.
    name: String,
    /// Whether its lane was up when last read.
    is_up: Option<bool>,
    first: ChannelCounters,
    last: ChannelCounters,
    queue_peak_bytes: u64,
}

/// How late readings of counters were.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct ReadingLateness {
    /// All of them.
    pub(in super::super) readings: u64,
    /// Those that were late by more than a period: before each there is a gap.
    pub(in super::super) gaps: u64,
    /// The latest.
    pub(in super::super) most: Duration,
}

impl Readings {
    /// Takes a reading made at `time_s`, one of those that are due every `period`.
    pub(super) fn take(
        &mut self,
        reading: &Reading,
        time_s: f64,
        period: Duration,
        plan: &LabPlan,
        rows: &mut Rows,
    ) {
        self.lateness.take(reading.late, period);
        for &(id, counters) in &reading.channels {
            let is_up = !reading.down.contains(&id);
            self.channels
                .entry(id)
                .or_insert_with(|| Channel::new(id, counters, &plan.topology))
                .take(counters, is_up, time_s, rows);
        }
        for &(host, counters) in &reading.hosts {
            let mut row = rows.about(time_s, Entity::Host, &plan.node(host).name);
            row(metric::BYTES, counters.sent_bytes as f64);
            row(metric::RECEIVED_BYTES, counters.received_bytes as f64);
        }
    }

    /// What each channel carried and lost.
    pub(super) fn summaries(&self, topology: &Topology) -> Vec<ChannelSummary> {
        let channels = self.channels.iter();
        channels
            .map(|(&id, channel)| channel.summary(id, topology))
            .collect()
    }
}

impl Channel {
    fn new(id: ChannelId, first: ChannelCounters, topology: &Topology) -> Self {
        let link = channel_name(topology, id.link, id.direction);
        Self {
            name: format!("{link}/{}", id.lane),
            is_up: None,
            first,
            last: first,
            queue_peak_bytes: 0,
        }
    }

    fn take(&mut self, counters: ChannelCounters, is_up: bool, time_s: f64, rows: &mut Rows) {
        self.last = counters;
        self.queue_peak_bytes = self.queue_peak_bytes.max(counters.queue_bytes);
        let mut row = rows.about(time_s, Entity::Channel, &self.name);
        if self.is_up.replace(is_up) != Some(is_up) {
            row(metric::UP, f64::from(u8::from(is_up)));
        }
        for (metric, value) in [
            (metric::BYTES, counters.bytes),
            (metric::PACKETS, counters.packets),
            (metric::QUEUE_DROPS, counters.queue_drops),
            (metric::EARLY_DROPS, counters.early_drops),
            (metric::MARKS, counters.marks),
            (metric::OUTAGE_DROPS, counters.outage_drops),
            (metric::QUEUE_PACKETS, counters.queue_packets),
            (metric::QUEUE_BYTES, counters.queue_bytes),
        ] {
            row(metric, value as f64);
        }
        if let Some(losses) = counters.losses {
            row(metric::LOSSES, losses as f64);
        }
    }

    fn summary(&self, id: ChannelId, topology: &Topology) -> ChannelSummary {
        let (first, last) = (&self.first, &self.last);
        let since = |count: fn(&ChannelCounters) -> u64| count(last).saturating_sub(count(first));
        let channel = topology.links[id.link.0].lanes[id.lane].channel(id.direction);
        ChannelSummary {
            link: channel_name(topology, id.link, id.direction),
            lane: id.lane,
            rate_bps: channel.rate.map(Rate::bits_per_second),
            bytes: since(|counters| counters.bytes),
            packets: since(|counters| counters.packets),
            queue_drops: since(|counters| counters.queue_drops),
            early_drops: since(|counters| counters.early_drops),
            marks: since(|counters| counters.marks),
            outage_drops: since(|counters| counters.outage_drops),
            losses: last
                .losses
                .zip(first.losses)
                .map(|(last, first)| last.saturating_sub(first)),
            queue_peak_bytes: self.queue_peak_bytes,
        }
    }
}

impl ReadingLateness {
    fn take(&mut self, late: Duration, period: Duration) {
        self.readings += 1;
        self.gaps += u64::from(late > period);
        self.most = self.most.max(late);
    }

    /// Whether the telemetry misses more than one in a hundred readings, or a tenth of a second anywhere: a reader has to know.
    pub(in super::super) fn is_noteworthy(&self, period: Duration) -> bool {
        let long = period.max(Duration::from_millis(100));
        self.gaps * 100 > self.readings || self.most > long
    }
}
