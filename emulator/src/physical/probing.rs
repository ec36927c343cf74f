//! Probes between machines while a workload runs, told as those within one are; and what interfaces and CPUs did meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use longhaul_topologies::model::SiteId;

use super::error::PhysicalError;
use super::lab::PhysicalLab;
use super::protocol::{Reply, Request, Seen};
use super::round::Round;
use crate::fidelity::CpuTime;
use crate::hardware::counters::{Counter, growth};
use crate::plan::NodeId;
use crate::probe::{EcnField, ProbeSample};
use crate::telemetry::{InterfaceCounters, Reading};

/// How often machines are asked what they have seen: a result that is shown while it is made is not older.
const ROUND: Duration = Duration::from_millis(250);

/// Sends probes between machines until it is stopped or dropped.
#[derive(Debug)]
pub struct Probing {
    started: Instant,
    interval: Duration,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), PhysicalError>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    found: Mutex<Found>,
}

/// What was found since it was last taken.
#[derive(Debug, Default)]
struct Found {
    probes: Vec<ProbeSample>,
    readings: Vec<Reading>,
    cpu_use: f64,
}

impl Probing {
    /// Starts probing from the first host of one site to that of another, on every one of `paths`, once per `interval` or less
    /// often where a machine would send more than 2000 a second. Blocks until all machines have begun.
    ///
    /// # Errors
    /// If a machine does not answer.
    pub fn start(
        lab: Arc<PhysicalLab>,
        paths: &[(SiteId, SiteId)],
        interval: Duration,
        ecn: EcnField,
    ) -> Result<Self, PhysicalError> {
        let ends: Vec<_> = paths
            .iter()
            .map(|&(from, to)| (lab.first_of(from), lab.first_of(to)))
            .collect();
        let mut round = Round::start(&lab, &ends, interval, ecn)?;
        let (started, interval) = (round.started, round.interval);
        let mut meters = Meters::new(lab.nodes());
        let shared = Arc::new(Shared::default());
        // So that what happens next is counted from here.
        shared.take(&mut round, &mut meters, &lab)?;
        shared.count(&mut meters, &lab)?;
        let thread = thread::Builder::new().name("prober".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    thread::park_timeout(ROUND);
                    lab.compare_clocks()?;
                    shared.take(&mut round, &mut meters, &lab)?;
                    shared.count(&mut meters, &lab)?;
                }
                round.stop(&lab)?;
                let deadline = Instant::now() + round.grace();
                while round.is_waiting() && Instant::now() < deadline {
                    thread::sleep(Duration::from_millis(5));
                    shared.take(&mut round, &mut meters, &lab)?;
                }
                shared.count(&mut meters, &lab)?;
                let rest = round.drain(Duration::ZERO);
                shared.found().probes.extend(rest);
                Ok(())
            }
        });
        let thread = thread.map_err(|source| PhysicalError::System {
            step: "start the prober".to_owned(),
            source,
        })?;
        Ok(Self {
            started,
            interval,
            shared,
            thread: Some(thread),
        })
    }

    /// The zero of [`ProbeSample::sent`].
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Between two probes of a path.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The probes whose fate was settled since the last call.
    pub fn drain_probes(&mut self) -> Vec<ProbeSample> {
        std::mem::take(&mut self.shared.found().probes)
    }

    /// What interfaces have carried and NICs counted, as read since the last call.
    pub fn drain_readings(&mut self) -> Vec<Reading> {
        std::mem::take(&mut self.shared.found().readings)
    }

    /// How busy the busiest machine was since this began, 0–1.
    pub fn cpu_use(&self) -> f64 {
        self.shared.found().cpu_use
    }

    /// Whether all machines still answer. Blocks for no time.
    ///
    /// # Errors
    /// Which does not; told once.
    pub fn check(&mut self) -> Result<(), PhysicalError> {
        match &self.thread {
            Some(thread) if thread.is_finished() => self.finish(),
            Some(_) | None => Ok(()),
        }
    }

    /// Sends no more and waits for what is under way; the drains have the rest then. Blocks.
    ///
    /// # Errors
    /// If a machine has stopped answering.
    pub fn finish(&mut self) -> Result<(), PhysicalError> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread.thread().unpark();
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "the prober had failed");
        }
    }
}

impl Shared {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks all machines once.
    fn take(
        &self,
        round: &mut Round,
        meters: &mut Meters,
        lab: &PhysicalLab,
    ) -> Result<(), PhysicalError> {
        let seen = round.collect(lab)?;
        let reading = meters.read(&seen);
        let mut found = self.found();
        found.cpu_use = meters.cpu_use(&seen);
        found.readings.push(reading);
        found.probes.extend(round.drain(round.give_up));
        Ok(())
    }

    /// Asks all machines what their NICs count.
    fn count(&self, meters: &mut Meters, lab: &PhysicalLab) -> Result<(), PhysicalError> {
        let replies = lab.ask_all("tell what its NICs count", |_| Request::Count)?;
        let mut counted = Vec::new();
        for (host, reply) in replies.into_iter().enumerate() {
            match reply {
                Reply::Counted { counts } => {
                    counted.push(counts.into_iter().filter_map(Counter::of).collect());
                }
                other => return Err(lab.foreign(host, &other)),
            }
        }
        let reading = meters.growth(&counted);
        self.found().readings.push(reading);
        Ok(())
    }
}

/// What interfaces, CPUs and NICs have counted before.
#[derive(Debug)]
struct Meters {
    nodes: Vec<NodeId>,
    first: Vec<(InterfaceCounters, CpuTime)>,
    first_of_nics: Vec<Vec<Counter>>,
}

impl Meters {
    fn new(nodes: Vec<NodeId>) -> Self {
        Self {
            nodes,
            first: Vec::new(),
            first_of_nics: Vec::new(),
        }
    }

    fn read(&mut self, seen: &[Seen]) -> Reading {
        if self.first.is_empty() {
            self.first = seen.iter().map(|seen| (seen.counters, seen.cpu)).collect();
        }
        let since = seen.iter().zip(&self.first);
        let since = since.map(|(seen, (first, _))| seen.counters.since(*first));
        Reading {
            hosts: self.nodes.iter().copied().zip(since).collect(),
            ..Reading::now()
        }
    }

    /// What has grown since the first call, of each machine.
    fn growth(&mut self, counted: &[Vec<Counter>]) -> Reading {
        if self.first_of_nics.is_empty() {
            self.first_of_nics = counted.to_vec();
        }
        let grown = counted.iter().zip(&self.first_of_nics);
        let grown = grown.map(|(now, first)| growth(first, now));
        Reading {
            nics: self.nodes.iter().copied().zip(grown).collect(),
            ..Reading::now()
        }
    }

    fn cpu_use(&self, seen: &[Seen]) -> f64 {
        let each = seen.iter().zip(&self.first);
        let each = each.map(|(seen, (_, first))| seen.cpu.since(*first));
        each.fold(0.0, f64::max)
    }
}
