//! From points to a result: for each point the lab is brought up (or kept), its links are measured, the workload runs
//! while probes and counters are sampled, and everything lands in the result's folder as it comes.
//!
//! - `lab`: what the points of a topology run on.
//! - `point`: one of them, from its lab's setting up to its fidelity.
//! - `sampling`: what goes on beside its workload. `capture`: its packets, where they are captured.
//! - `collective`, `replay`, `programs`: what runs. `ranks`: those of longhaul's own.

mod capture;
mod collective;
mod lab;
mod point;
mod programs;
mod ranks;
mod replay;
mod sampling;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use longhaul_emulator::capability;
use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::keeper::Desk;
use longhaul_emulator::plan::Families;
use longhaul_emulator::sandbox::Privilege;
use longhaul_reports::folder::ResultWriter;
use longhaul_reports::result::{Bound, Outcome, RunResult, SCHEMA_VERSION};

use super::capture::CapturePlan;
use super::course::Course;
use super::environment::{LabFacts, environment};
use super::error::{RunError, Stop};
use super::execution::Execution;
use super::feasible::{bounds, congestion_controls, least_duration};
use super::observer::{Event, Observer};
use super::points::Experiment;
use super::recorder::Recorder;
use lab::Up;

/// What a run needs beside its experiment.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The folder for the results; must be new or empty.
    pub out: PathBuf,
    /// Which link engine.
    pub links: EngineChoice,
    /// Which lanes are captured.
    pub capture: CapturePlan,
    /// What the sandbox found.
    pub privilege: Privilege,
    /// What kind of lab this process is in.
    pub lab: LabFacts,
    /// The longhaul executable: its `__rank` is the body of a rank.
    pub executable: PathBuf,
    /// Where others ask about the run, and set its links.
    pub desk: Option<Arc<Desk>>,
}

const NO_IPV6: &str = "this kernel has no IPv6: labs have IPv4 alone";

/// Runs `experiment`; `interrupt` ends it early when it completes. Must be called in a sandbox's lab process.
///
/// The answer's [`Outcome`] says how the workload ended; what was found until then is in the folder in any case.
///
/// # Errors
/// If the run could not be set up or measured. Once the folder exists, its result says so, too.
pub async fn run(
    experiment: &Experiment,
    options: &RunOptions,
    observer: &mut dyn Observer,
    interrupt: impl Future<Output = ()>,
) -> Result<RunResult, RunError> {
    let bounds = bounds(experiment)?;
    let _law = match &options.lab {
        LabFacts::Host { .. } | LabFacts::Virtual { .. } => congestion_controls(experiment)?,
        // Other kernels': they are asked once they are reached.
        LabFacts::Physical { .. } => None,
    };
    let writer = ResultWriter::create(&options.out)?;
    let execution = match &options.lab {
        LabFacts::Host { command } | LabFacts::Physical { command, .. } => {
            Some(Execution::begin(command.clone()))
        }
        LabFacts::Virtual { .. } => None,
    };
    let mut recorder = Recorder::new(writer, empty_result(experiment, options), execution);
    recorder.save()?;
    let course = Course::new(options.desk.clone());
    course.run_begins(experiment.points.len());
    observer.event(Event::RunStarts {
        points: experiment.points.len(),
        at_least: least_duration(experiment, &bounds),
    });
    if options.lab.is_built() && capability::families() == Families::Ipv4 {
        observer.event(Event::Note(NO_IPV6));
    }
    let ended = tokio::select! {
        biased;
        () = interrupt => None,
        ended = (Run { experiment, options, bounds: &bounds, recorder: &mut recorder, observer, course }).all() => Some(ended),
    };
    let outcome = match &ended {
        None => Outcome::Interrupted,
        Some(Ok(())) => Outcome::Finished,
        Some(Err(stop)) => Outcome::Failed {
            message: stop.to_string(),
        },
    };
    recorder.finish(outcome)?;
    match ended {
        Some(Err(Stop::Run(error))) => Err(error),
        _ => Ok(recorder.result),
    }
}

fn empty_result(experiment: &Experiment, options: &RunOptions) -> RunResult {
    RunResult {
        schema_version: SCHEMA_VERSION,
        longhaul_version: env!("CARGO_PKG_VERSION").to_owned(),
        name: experiment.name.clone(),
        description: experiment.description.clone(),
        run_details: None,
        outcome: Outcome::Unfinished,
        seed: experiment.seed,
        experiment: experiment.resolved.clone(),
        environment: environment(&options.lab, options.privilege),
        part: experiment.part,
        points: Vec::new(),
    }
}

/// A run under way.
struct Run<'a> {
    experiment: &'a Experiment,
    options: &'a RunOptions,
    bounds: &'a [Option<Bound>],
    recorder: &'a mut Recorder,
    observer: &'a mut dyn Observer,
    course: Course,
}

impl Run<'_> {
    async fn all(mut self) -> Result<(), Stop> {
        let experiment = self.experiment;
        let mut up: Option<Up> = None;
        for (index, plan) in experiment.points.iter().enumerate() {
            if up.as_ref().is_none_or(|up| up.topology != plan.topology) {
                if let Some(old) = up.take() {
                    old.ground.down().await;
                }
                up = Some(self.bring_up(plan.topology).await?);
            }
            if let Some(up) = &up {
                self.point(index, plan, up).await?;
            }
        }
        if let Some(last) = up {
            last.ground.down().await;
        }
        Ok(())
    }

    /// Where files of `kind` of the point at `index` lie, in the result's folder: by its number, which it has in every part of the experiment.
    fn folder(&self, kind: &str, index: usize) -> PathBuf {
        let folder = self.recorder.writer().path().join(kind);
        match self.experiment.points.len() {
            // One point alone needs no folder of its own.
            1 => folder,
            _ => folder.join(format!("point-{}", self.experiment.points[index].number)),
        }
    }

    /// Tells it at once, and keeps it for the result.
    fn note(&mut self, notes: &mut Vec<String>, text: String) {
        self.observer.event(Event::Note(&text));
        notes.push(text);
    }
}
