//! Everything a run finds, on its way into the result's folder. Outlives the work that is being recorded, so what was
//! found is there however the work ends.
//!
//! - `clock`: a run's seconds. `rows`: telemetry of a point.
//! - `delays`, `readings`: what probes and counters found, as rows and summed up.
//! - `measures`: figures that workloads tell.

mod clock;
mod delays;
mod measures;
mod readings;
mod rows;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use longhaul_emulator::capture::Capture;
use longhaul_emulator::links::{LinkChange, Origin};
use longhaul_emulator::plan::LabPlan;
use longhaul_emulator::probe::ProbeSample;
use longhaul_emulator::telemetry::Reading;
use longhaul_reports::folder::{FolderError, ResultWriter};
use longhaul_reports::result::{
    Entity, Outcome, Point, RunResult, Sample, Source, TimelineEntry, Workload, metric,
};
use longhaul_reports::stats::summarise;
use longhaul_topologies::model::SiteId;

use super::bound::channel_name;
use super::capture;
use super::execution::Execution;
use super::flows::Flows;
use super::nics::Nics;
use crate::program::{Iteration, Told};
use crate::world::{Arrivals, ConnectionSample};
use clock::Clock;
pub(super) use clock::micros;
use delays::Delays;
use readings::{ReadingLateness, Readings};
use rows::Rows;

/// A result being written.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) result: RunResult,
    writer: ResultWriter,
    /// `None` in a lab that has no wall clock.
    execution: Option<Execution>,
    clock: Clock,
    point: Option<Current>,
}

/// The point that is being run.
#[derive(Debug)]
struct Current {
    number: usize,
    plan: LabPlan,
    delays: Delays,
    readings: Readings,
    flows: Flows,
    nics: Nics,
    changes: mpsc::Receiver<LinkChange>,
    /// Kept here, so that an interrupt leaves whole files.
    capture: Option<Capture>,
    /// Figures of a replay's steps, as far as they have come.
    told: Vec<Told>,
}

impl Recorder {
    pub(super) fn new(
        writer: ResultWriter,
        mut result: RunResult,
        execution: Option<Execution>,
    ) -> Self {
        result.run_details = execution.as_ref().map(Execution::under_way);
        Self {
            result,
            writer,
            execution,
            clock: Clock::start(),
            point: None,
        }
    }

    pub(super) fn writer(&self) -> &ResultWriter {
        &self.writer
    }

    /// Seconds since the run's start.
    pub(super) fn seconds(&self, at: Instant) -> f64 {
        self.clock.seconds(at)
    }

    /// The run's start in nanoseconds on CLOCK_MONOTONIC.
    pub(super) fn epoch_ns(&self) -> u64 {
        self.clock.epoch_ns()
    }

    /// Writes `result.json` as it stands.
    pub(super) fn save(&mut self) -> Result<(), FolderError> {
        self.writer.result(&self.result)
    }

    /// Begins a point; `paths` are those that are probed, `flows` those of its ranks, and `changes` tells of its links: it is
    /// kept here, so that an interrupt loses none of them.
    pub(super) fn begin(
        &mut self,
        mut point: Point,
        plan: &LabPlan,
        paths: &[(SiteId, SiteId)],
        flows: Flows,
        changes: mpsc::Receiver<LinkChange>,
    ) -> Result<(), FolderError> {
        point.began_s = self.seconds(Instant::now());
        self.point = Some(Current {
            number: point.index,
            delays: Delays::between(paths, plan),
            plan: plan.clone(),
            readings: Readings::default(),
            flows,
            nics: Nics::default(),
            changes,
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
            Some(start_ns) => self.clock.monotonic(start_ns),
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
        let measures = measures::measures(told, self.clock.told(started));
        if let Some(point) = self.point() {
            point.measures = measures;
        }
    }

    /// Takes what a step gave for each of its figures, which are the same at every step.
    pub(super) fn step(&mut self, told: Vec<Told>) {
        if let Some(current) = &mut self.point {
            measures::extend(&mut current.told, told);
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
            direction: change.id.direction.into(),
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
        let Some(current) = &mut self.point else {
            return Ok(());
        };
        let mut rows = Rows::of(current.number);
        for reading in readings {
            let time_s = self.clock.seconds(reading.at);
            let plan = &current.plan;
            current
                .readings
                .take(reading, time_s, period, plan, &mut rows);
            for (host, counters) in &reading.nics {
                let host = &plan.node(*host).name;
                for counter in counters {
                    if let Some((name, metric, value)) = current.nics.take(host, counter) {
                        rows.about(time_s, Entity::Nic, &name)(&metric, value);
                    }
                }
            }
        }
        self.writer.telemetry(&rows.rows)
    }

    /// Takes probes whose `sent` counts from `started`.
    pub(super) fn probes(
        &mut self,
        probes: &[ProbeSample],
        started: Instant,
    ) -> Result<(), FolderError> {
        let Some(current) = &mut self.point else {
            return Ok(());
        };
        let mut rows = Rows::of(current.number);
        for probe in probes {
            let time_s = self.clock.seconds(started + probe.sent);
            current.delays.take(probe, time_s, &mut rows);
        }
        self.writer.telemetry(&rows.rows)
    }

    /// Takes what ranks read and counted in `iteration`.
    pub(super) fn connections(
        &mut self,
        iteration: &Sample,
        samples: &[ConnectionSample],
        arrivals: &[Arrivals],
    ) -> Result<(), FolderError> {
        let Some(current) = &mut self.point else {
            return Ok(());
        };
        let clock = self.clock;
        let flows = &mut current.flows;
        flows.take(iteration, samples, arrivals, |at_ns| clock.monotonic(at_ns));
        let mut rows = Rows::of(current.number);
        for sample in samples {
            let name = flows.name(sample);
            let mut row = rows.about(clock.monotonic(sample.at_ns), Entity::Connection, &name);
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
        self.writer.telemetry(&rows.rows)
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
        current.map_or_else(ReadingLateness::default, |current| {
            current.readings.lateness
        })
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
        point.delays = current.delays.summaries(&current.plan, &current.flows);
        point.channels = current.readings.summaries(&current.plan.topology);
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
