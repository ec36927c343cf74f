//! Everything a run finds, on its way into the result's folder. Outlives the work that is being recorded, so what was
//! found is there however the work ends.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use longhaul_emulator::capture::Capture;
use longhaul_emulator::engine::ChannelCounters;
use longhaul_emulator::fidelity::{Fidelity, FidelityCheck};
use longhaul_emulator::links::{LinkChange, Origin};
use longhaul_emulator::plan::{ChannelId, LabPlan};
use longhaul_emulator::probe::ProbeSample;
use longhaul_emulator::telemetry::Reading;
use longhaul_reports::folder::{FolderError, ResultWriter};
use longhaul_reports::result::{
    ChannelSummary, DelaySummary, EngineLateness, Entity, FidelityRow, FidelitySection, Measure,
    MeasuredValue, Outcome, Percentiles, Point, RunResult, Sample, Source, TelemetryRow,
    TimelineEntry, Way, Workload, metric,
};
use longhaul_reports::stats::{InterarrivalJitter, summarise};
use longhaul_topologies::model::{Direction, SiteId};
use longhaul_topologies::route::Routes;
use longhaul_topologies::units::Rate;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::bound::{channel_name, way};
use super::capture;
use super::execution::Execution;
use super::flows::Flows;
use super::nics::Nics;
use crate::program::{Iteration, Told, When};
use crate::world::{Arrivals, ConnectionSample};

/// A result being written.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) result: RunResult,
    writer: ResultWriter,
    /// `None` in a lab that has no wall clock.
    execution: Option<Execution>,
    /// The zero of every `time_s`.
    epoch: Instant,
    /// The same instant on CLOCK_MONOTONIC, which ranks read.
    epoch_ns: u64,
    point: Option<Current>,
}

/// The point that is being run.
#[derive(Debug)]
struct Current {
    plan: LabPlan,
    paths: Vec<(SiteId, SiteId)>,
    /// Per path.
    probes: Vec<Vec<ProbeSample>>,
    channels: BTreeMap<ChannelId, Totals>,
    flows: Flows,
    nics: Nics,
    changes: mpsc::Receiver<LinkChange>,
    /// The names of channels in telemetry: at a period of a millisecond there is no time to make them up every time.
    names: BTreeMap<ChannelId, String>,
    /// Whether each lane was up when last read.
    up: BTreeMap<ChannelId, bool>,
    lateness: ReadingLateness,
    /// Kept here, so that an interrupt leaves whole files.
    capture: Option<Capture>,
    /// Figures of a replay's steps, as far as they have come.
    told: Vec<Told>,
}

/// How late readings of counters were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReadingLateness {
    /// All of them.
    pub(super) readings: u64,
    /// Those that were late by more than a period: before each there is a gap.
    pub(super) gaps: u64,
    /// The latest.
    pub(super) most: Duration,
}

#[derive(Debug, Default)]
struct Totals {
    first: ChannelCounters,
    last: ChannelCounters,
    queue_peak_bytes: u64,
}

impl Recorder {
    pub(super) fn new(
        writer: ResultWriter,
        mut result: RunResult,
        execution: Option<Execution>,
    ) -> Self {
        result.run_details = execution.as_ref().map(Execution::under_way);
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(TimeSpec::new(0, 0));
        let epoch_ns = u64::try_from(Duration::from(now).as_nanos()).unwrap_or_default();
        Self {
            result,
            writer,
            execution,
            epoch: Instant::now(),
            epoch_ns,
            point: None,
        }
    }

    pub(super) fn writer(&self) -> &ResultWriter {
        &self.writer
    }

    /// Seconds since the run's start.
    pub(super) fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.epoch).as_secs_f64()
    }

    /// The run's start in nanoseconds on CLOCK_MONOTONIC.
    pub(super) fn epoch_ns(&self) -> u64 {
        self.epoch_ns
    }

    /// Writes `result.json` as it stands.
    pub(super) fn save(&mut self) -> Result<(), FolderError> {
        self.writer.result(&self.result)
    }

    /// Begins a point; `paths` are those that are probed, `flows` those of its ranks, and `changes` tells of its links. It is kept here, so that an interrupt loses
    /// none of them.
    pub(super) fn begin(
        &mut self,
        mut point: Point,
        plan: &LabPlan,
        paths: Vec<(SiteId, SiteId)>,
        flows: Flows,
        changes: mpsc::Receiver<LinkChange>,
    ) -> Result<(), FolderError> {
        point.began_s = self.seconds(Instant::now());
        let probes = vec![Vec::new(); paths.len()];
        self.point = Some(Current {
            plan: plan.clone(),
            paths,
            probes,
            channels: BTreeMap::new(),
            flows,
            nics: Nics::default(),
            changes,
            names: BTreeMap::new(),
            up: BTreeMap::new(),
            lateness: ReadingLateness::default(),
            capture: None,
            told: Vec::new(),
        });
        self.result.points.push(point);
        self.save()
    }

    pub(super) fn sample(&mut self, sample: Sample) -> Result<(), FolderError> {
        let Some(point) = self.result.points.last_mut() else {
            return Ok(());
        };
        self.writer.sample(point, &sample)?;
        point.samples.push(sample);
        Ok(())
    }

    /// Takes an iteration of a collective that a program ran.
    pub(super) fn iteration(&mut self, one: &Iteration) -> Result<Sample, FolderError> {
        let began = self
            .result
            .points
            .last()
            .map(|point| point.schedule_began_s.unwrap_or(point.began_s));
        let start_s = match one.start_ns {
            Some(start_ns) => start_ns.saturating_sub(self.epoch_ns) as f64 / 1e9,
            None => began.unwrap_or_default(),
        };
        let sample = Sample {
            size_bytes: one.size_bytes,
            count: one.count,
            placement: one.placement,
            iteration: one.number,
            warmup: one.warmup,
            start_s,
            time_us: one.time_us,
            wrong: one.wrong,
        };
        self.sample(sample.clone())?;
        Ok(sample)
    }

    /// Takes figures that programs told which were started at `started`.
    pub(super) fn measures(&mut self, told: Vec<Told>, started: Instant) {
        let started_s = self.seconds(started);
        // This moment on both clocks.
        let (now_s, unix) = (self.seconds(Instant::now()), unix_seconds());
        let epoch_ns = self.epoch_ns;
        let time_s = |when| match when {
            When::Unknown => None,
            When::SinceStart(seconds) => Some(started_s + seconds),
            When::Unix(at) => Some(now_s - (unix - at)),
            When::Monotonic(at_ns) => Some(at_ns.saturating_sub(epoch_ns) as f64 / 1e9),
        };
        let measure = |told: Told| {
            let values = told.values.iter().map(|&(when, value)| MeasuredValue {
                time_s: time_s(when),
                value,
            });
            Measure::new(
                &told.name,
                &told.unit,
                told.better,
                &told.host,
                values.collect(),
            )
        };
        let measures: Vec<Measure> = told.into_iter().map(measure).collect();
        if let Some(point) = self.point() {
            point.measures = measures;
        }
    }

    /// Takes what a step gave for each of its figures, which are the same at every step.
    pub(super) fn step(&mut self, told: Vec<Told>) {
        let Some(current) = &mut self.point else {
            return;
        };
        for told in told {
            let mut known = current.told.iter_mut();
            match known.find(|known| known.name == told.name) {
                Some(known) => known.values.extend(told.values),
                None => current.told.push(told),
            }
        }
    }

    /// The workload begins, and with it schedules and traces.
    pub(super) fn workload_begins(&mut self, at: Instant) {
        let at = self.seconds(at);
        if let Some(point) = self.point() {
            point.schedule_began_s = Some(at);
        }
    }

    /// Takes what has changed on the links; the same as entries of the timeline.
    pub(super) fn changes(&mut self) -> Vec<TimelineEntry> {
        let Some(current) = &self.point else {
            return Vec::new();
        };
        let entry = |change: LinkChange| TimelineEntry {
            time_s: self.seconds(change.at),
            link: channel_name(&current.plan.topology, change.id.link, change.id.direction),
            lane: change.id.lane,
            direction: match change.id.direction {
                Direction::Forward => Way::Forward,
                Direction::Reverse => Way::Reverse,
            },
            source: match change.origin {
                Origin::Scheduled => Source::Scheduled,
                Origin::Manual => Source::Manual,
            },
            change: change.change,
            late_us: micros(change.late),
        };
        let entries: Vec<TimelineEntry> = current.changes.try_iter().map(entry).collect();
        if let Some(point) = self.point() {
            point.timeline.extend_from_slice(&entries);
        }
        entries
    }

    /// Takes readings made every `period`.
    pub(super) fn readings(
        &mut self,
        readings: &[Reading],
        period: Duration,
    ) -> Result<(), FolderError> {
        let mut rows = Vec::new();
        for reading in readings {
            let time_s = self.seconds(reading.at);
            let Some(current) = &mut self.point else {
                return Ok(());
            };
            current.lateness.take(reading.late, period);
            let mut row = |entity, name: &str, metric: &str, value: f64| {
                rows.push(self.result.row(time_s, entity, name, metric, value));
            };
            for &(id, counters) in &reading.channels {
                let totals = current.channels.entry(id).or_insert(Totals {
                    first: counters,
                    ..Totals::default()
                });
                totals.last = counters;
                totals.queue_peak_bytes = totals.queue_peak_bytes.max(counters.queue_bytes);
                let name = current.names.entry(id).or_insert_with(|| {
                    let link = channel_name(&current.plan.topology, id.link, id.direction);
                    format!("{link}/{}", id.lane)
                });
                let is_up = !reading.down.contains(&id);
                if current.up.insert(id, is_up) != Some(is_up) {
                    row(
                        Entity::Channel,
                        name,
                        metric::UP,
                        f64::from(u8::from(is_up)),
                    );
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
                    row(Entity::Channel, name, metric, value as f64);
                }
                if let Some(losses) = counters.losses {
                    row(Entity::Channel, name, metric::LOSSES, losses as f64);
                }
            }
            for &(host, counters) in &reading.hosts {
                let name = &current.plan.node(host).name;
                row(
                    Entity::Host,
                    name,
                    metric::BYTES,
                    counters.sent_bytes as f64,
                );
                row(
                    Entity::Host,
                    name,
                    metric::RECEIVED_BYTES,
                    counters.received_bytes as f64,
                );
            }
            for (host, counters) in &reading.nics {
                let host = &current.plan.node(*host).name;
                for counter in counters {
                    if let Some((name, metric, value)) = current.nics.take(host, counter) {
                        row(Entity::Nic, &name, &metric, value);
                    }
                }
            }
        }
        self.writer.telemetry(&rows)
    }

    /// Takes probes whose `sent` counts from `started`.
    pub(super) fn probes(
        &mut self,
        probes: &[ProbeSample],
        started: Instant,
    ) -> Result<(), FolderError> {
        let mut rows = Vec::new();
        for probe in probes {
            let time_s = self.seconds(started + probe.sent);
            let Some(current) = &mut self.point else {
                return Ok(());
            };
            let (from, to) = current.paths[probe.path];
            let name = path_name(&current.plan, from, to);
            rows.push(match probe.delay {
                Some(delay) => self.result.row(
                    time_s,
                    Entity::Probe,
                    &name,
                    metric::ONE_WAY_DELAY_US,
                    micros(delay),
                ),
                None => self
                    .result
                    .row(time_s, Entity::Probe, &name, metric::PROBE_LOST, 1.0),
            });
            current.probes[probe.path].push(*probe);
        }
        self.writer.telemetry(&rows)
    }

    /// Takes what ranks read and counted in `iteration`.
    pub(super) fn connections(
        &mut self,
        iteration: &Sample,
        samples: &[ConnectionSample],
        arrivals: &[Arrivals],
    ) -> Result<(), FolderError> {
        let mut rows = Vec::new();
        let epoch_ns = self.epoch_ns;
        let seconds = |at_ns: u64| at_ns.saturating_sub(epoch_ns) as f64 / 1e9;
        let Some(current) = &mut self.point else {
            return Ok(());
        };
        current.flows.take(iteration, samples, arrivals, seconds);
        for sample in samples {
            let time_s = seconds(sample.at_ns);
            let name = current.flows.name(sample);
            let mut row = |metric: &str, value: f64| {
                rows.push(
                    self.result
                        .row(time_s, Entity::Connection, &name, metric, value),
                );
            };
            row(metric::RTT_US, f64::from(sample.rtt_us));
            row(metric::CWND_BYTES, sample.cwnd_bytes as f64);
            row(metric::RETRANSMITS, sample.retransmits as f64);
            row(metric::DELIVERY_RATE_BPS, sample.delivery_rate_bps as f64);
            row(metric::BYTES_ACKED, sample.bytes_acked as f64);
            if let Some(marked) = sample.marked_bytes {
                row(metric::MARKED_BYTES, marked as f64);
            }
            if let Some(rate) = sample.pacing_rate_bps {
                row(metric::PACING_RATE_BPS, rate as f64);
            }
        }
        self.writer.telemetry(&rows)
    }

    /// Packets of the point that is being run are being captured.
    pub(super) fn capture(&mut self, capture: Capture) {
        if let Some(current) = &mut self.point {
            current.capture = Some(capture);
        }
    }

    /// Whether they are.
    pub(super) fn is_capturing(&self) -> bool {
        let current = self.point.as_ref();
        current.is_some_and(|current| current.capture.is_some())
    }

    /// Ends the capture and takes its files; what a reader of them has to know.
    pub(super) fn end_capture(&mut self) -> Vec<String> {
        let (Some(current), Some(point)) = (&mut self.point, self.result.points.last_mut()) else {
            return Vec::new();
        };
        let captured = current.capture.take().map(Capture::finish);
        let mut notes = Vec::new();
        for captured in captured.unwrap_or_default() {
            let file = capture::file(&captured, &current.plan, self.writer.path());
            notes.extend(capture::note(&captured, &file));
            point.captures.push(file);
        }
        notes
    }

    /// How late the readings of the point that is being run were.
    pub(super) fn reading_lateness(&self) -> ReadingLateness {
        let current = self.point.as_ref();
        current.map_or_else(ReadingLateness::default, |current| current.lateness)
    }

    /// The point that is being run.
    pub(super) fn point(&mut self) -> Option<&mut Point> {
        self.point.as_ref().and(self.result.points.last_mut())
    }

    /// Sums up the point that is being run, whole or cut short, and writes it.
    pub(super) fn end(&mut self) -> Result<(), FolderError> {
        self.changes();
        let notes = self.end_capture();
        let now = self.seconds(Instant::now());
        if let Some(current) = &mut self.point
            && !current.told.is_empty()
        {
            let told = std::mem::take(&mut current.told);
            self.measures(told, Instant::now());
        }
        let (Some(current), Some(point)) = (self.point.take(), self.result.points.last_mut())
        else {
            return Ok(());
        };
        point.fidelity.notes.extend(notes);
        point.ended_s = now;
        point.delays = current.delays();
        point.channels = current.channels();
        point.flows = current.flows.summaries();
        point.shares = current.flows.shares();
        point.nics = current.nics.summaries();
        if let Workload::Collective {
            collective, ranks, ..
        } = &point.workload
        {
            // The names are those of `Collective`, which all have a bus bandwidth.
            point.summaries = summarise(&point.samples, collective, *ranks, point.bound.as_ref())
                .unwrap_or_default();
        }
        self.save()
    }

    /// Ends the run, and the point it was in.
    pub(super) fn finish(&mut self, outcome: Outcome) -> Result<(), FolderError> {
        self.end()?;
        self.result.outcome = outcome;
        self.result.run_details = self.execution.as_ref().map(Execution::ended);
        self.save()
    }
}

/// Seconds since 1970.
fn unix_seconds() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}

/// A row of the point that is being run.
trait Row {
    fn row(
        &self,
        time_s: f64,
        entity: Entity,
        name: &str,
        metric: &str,
        value: f64,
    ) -> TelemetryRow;
}

impl Row for RunResult {
    fn row(
        &self,
        time_s: f64,
        entity: Entity,
        name: &str,
        metric: &str,
        value: f64,
    ) -> TelemetryRow {
        let point = self.points.last().map_or(0, |point| point.index);
        TelemetryRow {
            time_s,
            point,
            entity,
            name: name.to_owned(),
            metric: metric.to_owned(),
            value,
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
    pub(super) fn is_noteworthy(&self, period: Duration) -> bool {
        let long = period.max(Duration::from_millis(100));
        self.gaps * 100 > self.readings || self.most > long
    }
}

impl Current {
    fn delays(&self) -> Vec<DelaySummary> {
        let routes = Routes::new(&self.plan.topology);
        let described = |from, to| -> Duration {
            way(&self.plan.topology, &routes, from, to)
                .map(|(link, direction)| self.plan.topology.links[link.0].channel(direction).delay)
                .sum()
        };
        let summary = |(&(from, to), probes): (&(SiteId, SiteId), &Vec<ProbeSample>)| {
            let mut arrived: Vec<(Duration, f64)> = probes
                .iter()
                .filter_map(|probe| probe.delay.map(|delay| (probe.sent + delay, micros(delay))))
                .collect();
            arrived.sort_by_key(|&(at, _)| at);
            let delays: Vec<f64> = arrived.into_iter().map(|(_, delay)| delay).collect();
            let delay_us = Percentiles::of(&delays);
            DelaySummary {
                from: self.plan.topology.site(from).name.clone(),
                to: self.plan.topology.site(to).name.clone(),
                described_us: micros(described(from, to)),
                delay_us,
                pdv_us: delay_us.packet_delay_variation(),
                rfc3550_us: InterarrivalJitter::of(&delays),
                sent: probes.len() as u64,
                lost: (probes.len() - delays.len()) as u64,
            }
        };
        self.paths
            .iter()
            .zip(&self.probes)
            .filter(|(_, probes)| !probes.is_empty())
            .map(summary)
            .collect()
    }

    fn channels(&self) -> Vec<ChannelSummary> {
        let topology = &self.plan.topology;
        let summary = |(&id, totals): (&ChannelId, &Totals)| {
            let Totals {
                first,
                last,
                queue_peak_bytes,
            } = totals;
            let channel = topology.links[id.link.0].lanes[id.lane].channel(id.direction);
            let since =
                |count: fn(&ChannelCounters) -> u64| count(last).saturating_sub(count(first));
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
                queue_peak_bytes: *queue_peak_bytes,
            }
        };
        self.channels.iter().map(summary).collect()
    }
}

/// The fidelity section of a result.
pub(super) fn section(fidelity: &Fidelity, notes: Vec<String>) -> FidelitySection {
    FidelitySection {
        faithful: fidelity.faithful(),
        findings: fidelity.findings.clone(),
        notes,
        checks: fidelity.checks.iter().map(row).collect(),
        lateness: fidelity.lateness.map(|late| EngineLateness {
            releases: late.releases,
            p50_us: late.p50_us,
            p99_us: late.p99_us,
            max_us: late.max_us,
            late: late.late,
            slept_through: late.slept_through,
            preempted: late.preempted,
            major_faults: late.major_faults,
        }),
        engine_drops: fidelity.engine_drops,
        cpu_use: fidelity.cpu_use,
    }
}

/// A check as a row of a result.
pub(super) fn row(check: &FidelityCheck) -> FidelityRow {
    FidelityRow {
        channel: check.channel.clone(),
        quantity: check.quantity.clone(),
        unit: check.unit.clone(),
        asked: check.asked,
        measured: check.measured,
        bound: check.bound,
        within: check.within,
    }
}

fn path_name(plan: &LabPlan, from: SiteId, to: SiteId) -> String {
    format!(
        "{}>{}",
        plan.topology.site(from).name,
        plan.topology.site(to).name
    )
}

/// Whole nanoseconds over a thousand, so that no digits are made up.
pub(super) fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}
