//! From points to a result: for each point the lab is brought up (or kept), its links are measured, the workload runs
//! while probes and counters are sampled, and everything lands in the result's folder as it comes.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhaul_emulator::capability;
use longhaul_emulator::capture::{Capture, CaptureError, CaptureOptions};
use longhaul_emulator::engine::{EngineChoice, EngineError};
use longhaul_emulator::fidelity::{self, Fidelity, FidelityCheck, Measured};
use longhaul_emulator::keeper::{Attended, Desk};
use longhaul_emulator::lab::{Lab, LabError, LabOptions};
use longhaul_emulator::physical::{PhysicalError, PhysicalLab};
use longhaul_emulator::plan::{Families, LabPlan};
use longhaul_emulator::probe::ProbeError;
use longhaul_emulator::sandbox::Privilege;
use longhaul_emulator::schedule::Playing;
use longhaul_emulator::telemetry::TelemetryError;
use longhaul_reports::folder::{FolderError, ResultWriter};
use longhaul_reports::result::{
    Bound, Outcome, Placement, Point, RunResult, SCHEMA_VERSION, Sample, Workload,
};
use longhaul_topologies::model::{Direction, LaneState, LinkId, SiteId};
use longhaul_topologies::units::ByteSize;
use longhaul_topologies::{Inventory, Topology};
use tokio::task::JoinError;

use super::bound::channel_name;
use super::capture::{self, CapturePlan};
use super::congestion::CongestionControlError;
use super::course::Course;
use super::environment::{LabFacts, environment};
use super::execution::Execution;
use super::feasible::{bounds, congestion_controls, least_duration};
use super::flows::Flows;
use super::ground::{Ground, Meters, Witness};
use super::observer::{Event, Observer};
use super::points::{CollectivePlan, Experiment, PointPlan, WorkloadPlan, derived_seed};
use super::recorder::{self, Recorder};
use super::replay;
use crate::collective::Unsupported;
use crate::program::agent::Agent;
use crate::program::processes::{CommandError, Programs};
use crate::program::{HostPlace, Missing, Place, Program, ProgramError, ProgramSpec};
use crate::world::{Operation, TransportOptions, World, WorldError};

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

/// Why a run could not be made. What a workload does wrong is no such error: it is the [`Outcome`] of a result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The results could not be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A lab did not come up.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The link engine stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// One-way delay could not be measured.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Counters could not be read.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The kernel lacks a stack's congestion control.
    #[error("the stack `{stack}` cannot be used: {source}")]
    CongestionControl {
        /// Which stack.
        stack: String,
        /// What is missing.
        source: CongestionControlError,
    },
    /// The workload would take longer than anyone waits.
    #[error("the links allow this workload no less than {} hours; use fewer or smaller sizes, fewer iterations or higher rates", .0.as_secs() / 3600)]
    TooLong(Duration),
    /// The arrays do not fit into memory; the kernel would end other programs for them.
    #[error(
        "every one of {ranks} ranks holds {size} at least, more than this machine's {memory} of memory together; use smaller sizes"
    )]
    TooLarge {
        /// How many ranks.
        ranks: usize,
        /// The greatest size.
        size: ByteSize,
        /// What there is.
        memory: ByteSize,
    },
    /// A program is not here.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A collective has no such schedule.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// Packets could not be captured.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// No thread for the schedule of the links.
    #[error("cannot start the schedule of the links: {0}")]
    Schedule(io::Error),
    /// What programs left behind could not be ended.
    #[error("cannot end the programs in the lab's hosts: {0}")]
    Programs(io::Error),
    /// A machine could not be reached, or not be used.
    #[error(transparent)]
    Unreached(PhysicalError),
    /// A machine stopped answering.
    #[error(transparent)]
    Machine(#[from] PhysicalError),
    /// Nothing but collectives runs on machines that are there.
    #[error("a physical lab runs longhaul's own collectives, and this experiment runs a program")]
    ProgramsThere,
    /// A thread of the run failed.
    #[error("a thread of the run failed: {0}")]
    Thread(#[from] JoinError),
}

const NO_IPV6: &str = "this kernel has no IPv6: labs have IPv4 alone";
/// How often what was sampled goes to the disk.
const FLUSH: Duration = Duration::from_millis(250);

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

/// What ends a run before its last point.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Run(RunError),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Program(#[from] ProgramError),
}

impl<E: Into<RunError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Run(error.into())
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
pub(super) struct Run<'a> {
    experiment: &'a Experiment,
    options: &'a RunOptions,
    bounds: &'a [Option<Bound>],
    pub(super) recorder: &'a mut Recorder,
    observer: &'a mut dyn Observer,
    course: Course,
}

/// A lab that is up and was measured.
struct Up {
    ground: Ground,
    topology: usize,
    checks: Vec<FidelityCheck>,
    /// What is worth knowing of it.
    notes: Vec<String>,
}

/// What goes on beside a workload.
pub(super) struct Sampling {
    meters: Meters,
    /// How far ranks' clocks may have been apart.
    clocks: Duration,
    /// Once the workload has begun.
    live: Option<Live>,
}

/// A workload that has begun: its links change as scheduled, and by whoever asks.
struct Live {
    playing: Playing,
    _attended: Option<Attended>,
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

    async fn bring_up(&mut self, topology: usize) -> Result<Up, RunError> {
        if let LabFacts::Physical {
            inventory, folder, ..
        } = &self.options.lab
        {
            return self.reach(topology, inventory, folder).await;
        }
        let description = &self.experiment.topologies[topology];
        self.observer.event(Event::LabComesUp {
            topology: description,
        });
        let started = Instant::now();
        let options = LabOptions {
            engine: self.options.links,
            seed: derived_seed(self.experiment.seed, topology),
            congestion_control: None,
        };
        let lab = Arc::new(Lab::up(description.clone(), &options).await?);
        let engine = lab.engine_kind();
        self.observer.event(Event::LabIsUp {
            engine,
            took: started.elapsed(),
        });
        self.recorder.result.environment.links = engine.to_string();
        let Measured {
            checks, skipped, ..
        } = measure(Arc::clone(&lab)).await?;
        for check in &checks {
            self.observer
                .event(Event::LinkChecked(&recorder::row(check)));
        }
        let mut notes = Vec::new();
        if capability::families() == Families::Ipv4 {
            // It was told at the run's start, for all labs.
            notes.push(NO_IPV6.to_owned());
        }
        for handicap in lab.handicaps() {
            self.note(&mut notes, handicap);
        }
        for lane in lanes_down(&lab.plan().topology) {
            self.note(&mut notes, format!("{lane} is down, as described"));
        }
        for skipped in skipped {
            self.note(&mut notes, format!("not measured: {skipped}"));
        }
        Ok(Up {
            ground: Ground::Built(lab),
            topology,
            checks,
            notes,
        })
    }

    /// Machines in place of a lab that comes up.
    async fn reach(
        &mut self,
        topology: usize,
        inventory: &Inventory,
        folder: &Path,
    ) -> Result<Up, RunError> {
        let started = Instant::now();
        self.observer.event(Event::MachinesAreReached {
            hosts: inventory.hosts.len(),
        });
        let described = inventory.is_described();
        let (inventory, folder) = (inventory.clone(), folder.to_owned());
        let executable = self.options.executable.clone();
        let reach = move || PhysicalLab::reach(inventory, &executable, &folder);
        let reached = tokio::task::spawn_blocking(reach).await?;
        let mut lab = reached.map_err(RunError::Unreached)?;
        for point in &self.experiment.points {
            if let Some(name) = point.stack.kernel_congestion_control() {
                let checked = lab.check_congestion_control(name);
                checked.map_err(RunError::Unreached)?;
            }
        }
        self.observer.event(Event::MachinesAnswer {
            hosts: lab.machines().count(),
            took: started.elapsed(),
        });
        let measure = move || lab.measure().map(|measured| (lab, measured));
        let (lab, measured) = tokio::task::spawn_blocking(measure).await??;
        for check in &measured.checks {
            self.observer
                .event(Event::LinkChecked(&recorder::row(check)));
        }
        let ground = Ground::There(Arc::new(lab));
        let environment = &mut self.recorder.result.environment;
        environment.links = "as they are".to_owned();
        environment.hosts = ground.machines();
        let mut notes = Vec::new();
        if !described {
            let note = "the inventory describes no links: the delays that were measured stand in for a description";
            self.note(&mut notes, note.to_owned());
        }
        for told in measured.told {
            self.note(&mut notes, format!("measured: {told}"));
        }
        for skipped in measured.skipped {
            self.note(&mut notes, format!("not measured: {skipped}"));
        }
        Ok(Up {
            ground,
            topology,
            checks: measured.checks,
            notes,
        })
    }

    /// Tells it at once, and keeps it for the result.
    fn note(&mut self, notes: &mut Vec<String>, text: String) {
        self.observer.event(Event::Note(&text));
        notes.push(text);
    }

    async fn point(&mut self, index: usize, plan: &PointPlan, up: &Up) -> Result<(), Stop> {
        let ground = &up.ground;
        let iterations = plan.workload.iterations();
        self.observer.event(Event::PointStarts {
            index,
            of: self.experiment.points.len(),
            plan,
            iterations,
        });
        let topology = &ground.plan().topology;
        let ranks = plan.workload.ranks();
        let hosts = ranks.iter().map(|rank| rank.host_name(topology));
        self.course
            .point_begins(index, plan, iterations, hosts.collect());
        let paths = site_pairs(ground.plan());
        // What the point before has changed.
        ground.reset().await?;
        let (point, changes) = (self.empty_point(index, plan, up), ground.follow());
        let flows = match &plan.workload {
            WorkloadPlan::Collective(_) | WorkloadPlan::Replay(_) => Flows::new(topology, ranks),
            WorkloadPlan::Program(_) => Flows::default(),
        };
        self.recorder
            .begin(point, ground.plan(), paths.clone(), flows, changes)?;
        self.start_capture(index, up).await?;

        let meters = ground.meters(self.experiment, &paths).await?;
        let mut notes = up.notes.clone();
        if meters.interval() > self.experiment.probe_interval {
            let note = format!(
                "{} pairs of sites are probed every {:?} each",
                paths.len(),
                meters.interval()
            );
            self.note(&mut notes, note);
        }
        if let (WorkloadPlan::Program(_), Ground::Built(lab)) = (&plan.workload, ground) {
            self.use_stack(plan, lab, &mut notes)?;
        }
        let mut sampling = Sampling {
            meters,
            clocks: Duration::ZERO,
            live: None,
        };
        let ended = match (&plan.workload, ground) {
            (WorkloadPlan::Collective(collective), _) => {
                self.collective(index, plan, collective, ground, &mut sampling)
                    .await
            }
            (WorkloadPlan::Replay(replay), _) => {
                self.replay(index, plan, replay, ground, &mut sampling)
                    .await
            }
            (WorkloadPlan::Program(spec), Ground::Built(lab)) => {
                self.programs(spec, plan, lab, &mut sampling).await
            }
            (WorkloadPlan::Program(_), Ground::There(_)) => Err(RunError::ProgramsThere.into()),
        };
        if !sampling.clocks.is_zero() {
            let micros = recorder::micros(sampling.clocks);
            let note = format!(
                "ranks go by their machines' clocks: their starts, and what one machine tells of another, are known within ±{micros:.1} µs"
            );
            self.note(&mut notes, note);
        }
        // However the workload ended: what was sampled is kept, and what broke the lab explains what broke the workload.
        let witness = self.last_samples(sampling).await?;
        self.end_capture(ground, &mut notes).await?;
        self.judge(index, up, witness, notes).await?;
        ended?;
        self.recorder.end()?;
        if let Some(point) = self.recorder.result.points.last() {
            self.observer.event(Event::PointDone(point));
        }
        Ok(())
    }

    /// Captures the lanes that are to be, from before anything of the point is on them.
    async fn start_capture(&mut self, index: usize, up: &Up) -> Result<(), RunError> {
        let channels = self.options.capture.channels(up.topology);
        let Ground::Built(lab) = &up.ground else {
            return Ok(());
        };
        if channels.is_empty() {
            return Ok(());
        }
        let folder = self.recorder.writer().path();
        let options = CaptureOptions {
            folder: &folder.join(capture::folder(index, self.experiment.points.len())),
            channels,
            sides: lab.engine_kind().sides(),
            bytes: self.options.capture.bytes,
            zero: self.recorder.epoch_ns(),
        };
        let (capture, taps) = Capture::create(lab.plan(), &options)?;
        self.recorder.capture(capture);
        on_a_thread(lab, |lab| lab.capture(taps)).await
    }

    /// Has the engine hand over the last packets, and tells which are missing.
    async fn end_capture(
        &mut self,
        ground: &Ground,
        notes: &mut Vec<String>,
    ) -> Result<(), RunError> {
        if let (true, Ground::Built(lab)) = (self.recorder.is_capturing(), ground) {
            on_a_thread(lab, |lab| lab.capture(Vec::new())).await?;
            for note in self.recorder.end_capture() {
                self.note(notes, note);
            }
        }
        Ok(())
    }

    /// Tells how faithful the lab was while the workload ran.
    async fn judge(
        &mut self,
        index: usize,
        up: &Up,
        witness: Witness,
        mut notes: Vec<String>,
    ) -> Result<(), RunError> {
        let checks = up.checks.clone();
        let fidelity = up.ground.judge(witness, checks).await?;
        for finding in &fidelity.findings {
            self.observer.event(Event::Finding {
                point: index,
                text: finding,
            });
        }
        let (late, period) = (
            self.recorder.reading_lateness(),
            self.experiment.telemetry_period,
        );
        if late.is_noteworthy(period) {
            let note = format!(
                "counters were read up to {:.1?} late, at a period of {period:?}: the telemetry has {} gaps in {} readings",
                late.most, late.gaps, late.readings
            );
            self.note(&mut notes, note);
        }
        if let Some(point) = self.recorder.point() {
            point.fidelity = recorder::section(&fidelity, notes);
        }
        Ok(())
    }

    async fn collective(
        &mut self,
        index: usize,
        point: &PointPlan,
        plan: &CollectivePlan,
        ground: &Ground,
        sampling: &mut Sampling,
    ) -> Result<(), Stop> {
        let mut world = self.world(point, ground).await?;
        self.begin(ground, sampling).await?;
        for &size_bytes in &plan.sizes {
            for &placement in &plan.placements {
                let operation = operation(plan, size_bytes, placement, point.seed);
                for iteration in 0..plan.warmup + plan.iterations {
                    let work = world.iterate(&operation, iteration, plan.patience);
                    let done = self.while_sampling(sampling, work).await??;
                    sampling.clocks = sampling.clocks.max(world.clock_uncertainty());
                    let sample = Sample {
                        size_bytes,
                        count: operation.count(plan.ranks.len())?,
                        placement,
                        iteration: iteration.checked_sub(plan.warmup).unwrap_or(iteration),
                        warmup: iteration < plan.warmup,
                        start_s: self.recorder.seconds(done.start),
                        time_us: recorder::micros(done.time),
                        wrong: done.wrong,
                    };
                    self.iteration_done(index, &point.workload, &sample, &mut world)?;
                }
            }
        }
        world.stop().await;
        Ok(())
    }

    /// Starts the ranks of `point`, with its stack.
    pub(super) async fn world(
        &self,
        point: &PointPlan,
        ground: &Ground,
    ) -> Result<World, WorldError> {
        let places = point.workload.ranks().iter();
        let ranks = places.map(|&place| ground.rank(place, self.options));
        let ranks = ranks.collect();
        let fabrics = ground
            .plan()
            .topology
            .sites
            .iter()
            .map(|site| site.fabric.rate);
        let line_rate = fabrics.flatten().min();
        let transport = TransportOptions {
            congestion_control: point.stack.kernel_congestion_control().map(str::to_owned),
            connections: point.stack.connections,
            socket_buffer: point.stack.socket_buffer.map(ByteSize::bytes),
            chunk_bytes: point.stack.chunk.bytes(),
            message: point.stack.message_options(line_rate),
        };
        World::start(ranks, transport, self.experiment.telemetry_period).await
    }

    /// Keeps and tells what an iteration of `world` gave.
    pub(super) fn iteration_done(
        &mut self,
        point: usize,
        workload: &WorkloadPlan,
        sample: &Sample,
        world: &mut World,
    ) -> Result<(), RunError> {
        self.recorder.sample(sample.clone())?;
        let (connections, arrivals) = (world.connection_samples(), world.arrivals());
        self.recorder.connections(sample, &connections, &arrivals)?;
        self.course.iteration_done(workload, sample);
        self.course.connections(&connections);
        self.observer.event(Event::IterationDone { point, sample });
        Ok(())
    }

    /// Gives programs, which do not know of stacks, the stack's congestion control unless they ask for another.
    fn use_stack(
        &mut self,
        point: &PointPlan,
        lab: &Lab,
        notes: &mut Vec<String>,
    ) -> Result<(), RunError> {
        match lab.set_congestion_control(point.stack.kernel_congestion_control()) {
            Err(LabError::CongestionControl { name, source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                lab.set_congestion_control(None)?;
                let note = format!(
                    "programs have this machine's congestion control unless they ask for `{name}`: it is not in \
                     net.ipv4.tcp_allowed_congestion_control"
                );
                self.note(notes, note);
                Ok(())
            }
            set => Ok(set?),
        }
    }

    async fn programs(
        &mut self,
        spec: &ProgramSpec,
        point: &PointPlan,
        lab: &Arc<Lab>,
        sampling: &mut Sampling,
    ) -> Result<(), Stop> {
        let folder = self.recorder.writer().path().to_owned();
        let index = self.recorder.result.points.len() - 1;
        // One point alone needs no folder of its own for its logs.
        let logs = match self.experiment.points.len() {
            1 => folder.join("logs"),
            _ => folder.join("logs").join(format!("point-{index}")),
        };
        let (program, place) = (spec.program(), place(lab, point, logs));
        let processes = program.processes(&place)?;
        self.begin(&Ground::Built(Arc::clone(lab)), sampling)
            .await?;
        let started = Instant::now();
        let limits = (program.kind(), program.timeout());
        let starting = Programs::start(lab, &processes, limits, &place.folder);
        let mut programs = self.while_sampling(sampling, starting).await??;
        let finished = self.while_sampling(sampling, programs.finish()).await?;
        programs.stop().await;
        if program.scatters() {
            let lab = Arc::clone(lab);
            let ended = tokio::task::spawn_blocking(move || lab.end_programs()).await;
            ended
                .map_err(RunError::Thread)?
                .map_err(RunError::Programs)?;
        }
        if let Some(point) = self.recorder.point() {
            point.commands = programs.outcomes(&folder);
        }
        let found = self.read(program, &programs, &place, started);
        // A program that failed explains why its output is not whole.
        finished?;
        found
    }

    /// Takes what the programs wrote as figures.
    fn read(
        &mut self,
        program: &dyn Program,
        programs: &Programs,
        place: &Place,
        started: Instant,
    ) -> Result<(), Stop> {
        let found = program.read(&programs.outputs()?, place)?;
        let index = self.recorder.result.points.len() - 1;
        for one in &found.iterations {
            let sample = self.recorder.iteration(one)?;
            self.observer.event(Event::IterationDone {
                point: index,
                sample: &sample,
            });
        }
        self.recorder.measures(found.measures, started);
        let environment = &mut self.recorder.result.environment;
        environment.programs.extend(found.versions);
        if let Some([name, argument]) = program.version_command()
            && !environment.programs.contains_key(name)
            && let Some(version) = version(name, argument)
        {
            environment.programs.insert(name.to_owned(), version);
        }
        Ok(())
    }

    /// The workload begins: from now on traces and schedules count.
    pub(super) async fn begin(
        &mut self,
        ground: &Ground,
        sampling: &mut Sampling,
    ) -> Result<(), RunError> {
        let Ground::Built(lab) = ground else {
            self.recorder.workload_begins(Instant::now());
            return Ok(());
        };
        on_a_thread(lab, Lab::begin).await?;
        let now = Instant::now();
        self.recorder.workload_begins(now);
        let desk = self.options.desk.as_ref();
        sampling.live = Some(Live {
            playing: Playing::start(Arc::clone(lab), now).map_err(RunError::Schedule)?,
            _attended: desk.map(|desk| desk.attend(Arc::clone(lab))),
        });
        Ok(())
    }

    /// Writes what was sampled until now.
    fn write(&mut self, sampling: &mut Sampling) -> Result<(), RunError> {
        let started = sampling.meters.started();
        let (probes, readings) = sampling.meters.drain();
        self.recorder.probes(&probes, started)?;
        let period = self.experiment.telemetry_period;
        self.recorder.readings(&readings, period)?;
        self.timeline();
        Ok(())
    }

    /// Takes what changed on the links.
    fn timeline(&mut self) {
        for entry in &self.recorder.changes() {
            self.observer.event(Event::LinkChanged(entry));
        }
    }

    /// Waits for `work`, and meanwhile writes what is sampled; ends early if the schedule does.
    pub(super) async fn while_sampling<T>(
        &mut self,
        sampling: &mut Sampling,
        work: impl Future<Output = T>,
    ) -> Result<T, RunError> {
        let mut work = std::pin::pin!(work);
        loop {
            let done = tokio::time::timeout(FLUSH, &mut work).await.ok();
            self.write(sampling)?;
            // Without its links a workload would wait until it gives up.
            sampling.meters.check()?;
            if let Some(live) = &mut sampling.live {
                live.playing.check()?;
            }
            if let Some(done) = done {
                return Ok(done);
            }
        }
    }

    /// Ends the schedule and the sampling: waits for the last probes, and takes a last reading.
    async fn last_samples(
        &mut self,
        Sampling { meters, live, .. }: Sampling,
    ) -> Result<Witness, RunError> {
        // With it goes whoever is setting a link just now.
        let ended = tokio::task::spawn_blocking(move || live.map_or(Ok(()), Live::end)).await?;
        self.timeline();
        let started = meters.started();
        let stopped = tokio::task::spawn_blocking(move || meters.stop()).await?;
        let (probes, readings, witness) = stopped?;
        self.recorder.probes(&probes, started)?;
        let period = self.experiment.telemetry_period;
        self.recorder.readings(&readings, period)?;
        ended?;
        Ok(witness)
    }

    /// The point as it stands before its workload: a run that is cut short keeps its links' checks.
    fn empty_point(&self, index: usize, plan: &PointPlan, up: &Up) -> Point {
        let topology = &self.experiment.topologies[plan.topology];
        let workload = match &plan.workload {
            WorkloadPlan::Collective(collective) => describe(collective, topology),
            WorkloadPlan::Replay(plan) => replay::describe(plan, topology),
            WorkloadPlan::Program(spec) => {
                let plan = up.ground.plan();
                let hosts: Vec<String> = plan
                    .hosts()
                    .map(|host| plan.node(host).name.clone())
                    .collect();
                spec.program().workload(&hosts)
            }
        };
        Point {
            index: plan.number,
            stack: plan.stack.name.clone(),
            settings: plan.settings.clone(),
            repeat: plan.repeat,
            began_s: 0.0,
            ended_s: 0.0,
            schedule_began_s: None,
            fidelity: recorder::section(
                &Fidelity::new(up.checks.clone(), None, 0, 0.0),
                up.notes.clone(),
            ),
            workload,
            bound: self.bounds[index].clone(),
            samples: Vec::new(),
            summaries: Vec::new(),
            delays: Vec::new(),
            channels: Vec::new(),
            timeline: Vec::new(),
            flows: Vec::new(),
            shares: Vec::new(),
            nics: Vec::new(),
            captures: Vec::new(),
            commands: Vec::new(),
            measures: Vec::new(),
        }
    }
}

impl Live {
    /// The schedule makes no more changes, and nobody else does.
    fn end(self) -> Result<(), EngineError> {
        self.playing.stop()
    }
}

/// Where programs run.
fn place(lab: &Lab, point: &PointPlan, folder: PathBuf) -> Place {
    let plan = lab.plan();
    let host = |id| {
        let node = plan.node(id);
        HostPlace {
            name: node.name.clone(),
            site: plan.topology.site(node.site).name.clone(),
            address: node.ipv4,
        }
    };
    Place {
        hosts: plan.hosts().map(host).collect(),
        folder,
        scratch: lab.folder().to_owned(),
        agent: Agent::of(lab),
        congestion_control: point.stack.kernel_congestion_control().map(str::to_owned),
    }
}

/// The first line of what a program says of its version.
fn version(program: &str, argument: &str) -> Option<String> {
    let output = std::process::Command::new(program)
        .arg(argument)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}

/// Asks the lab's engine, which blocks.
pub(super) async fn on_a_thread<T: Send + 'static>(
    lab: &Arc<Lab>,
    ask: impl FnOnce(&Lab) -> Result<T, EngineError> + Send + 'static,
) -> Result<T, RunError> {
    let lab = Arc::clone(lab);
    Ok(tokio::task::spawn_blocking(move || ask(&lab)).await??)
}

/// Measures the links on a thread, which ends early if this is dropped.
async fn measure(lab: Arc<Lab>) -> Result<Measured, RunError> {
    struct Stopping(Arc<AtomicBool>);
    impl Drop for Stopping {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let _stopping = Stopping(Arc::clone(&stop));
    Ok(tokio::task::spawn_blocking(move || fidelity::measure(&lab, &stop)).await??)
}

fn operation(plan: &CollectivePlan, size_bytes: u64, placement: Placement, seed: u64) -> Operation {
    Operation {
        collective: plan.collective,
        algorithm: plan.algorithm,
        data_type: plan.data_type,
        op: plan.op,
        root: plan.root,
        size_bytes,
        placement,
        seed,
    }
}

fn describe(plan: &CollectivePlan, topology: &Topology) -> Workload {
    Workload::Collective {
        program: None,
        collective: plan.collective.to_string(),
        algorithm: plan.algorithm.to_string(),
        data_type: plan.data_type.to_string(),
        op: if plan.collective.reduces() {
            plan.op.to_string()
        } else {
            "none".to_owned()
        },
        root: if plan.collective.has_root() {
            i32::try_from(plan.root).unwrap_or(i32::MAX)
        } else {
            -1
        },
        ranks: plan.ranks.len(),
        hosts: plan
            .ranks
            .iter()
            .map(|place| place.host_name(topology))
            .collect(),
    }
}

/// The channels that are described as down, by name.
fn lanes_down(topology: &Topology) -> Vec<String> {
    let mut names = Vec::new();
    for (id, link) in topology.links.iter().enumerate() {
        for (number, lane) in link.lanes.iter().enumerate() {
            for direction in Direction::BOTH {
                if lane.channel(direction).state == LaneState::Down {
                    let way = channel_name(topology, LinkId(id), direction);
                    names.push(format!("{way} lane {number}"));
                }
            }
        }
    }
    names
}

/// Every ordered pair of sites.
fn site_pairs(plan: &LabPlan) -> Vec<(SiteId, SiteId)> {
    let sites = || (0..plan.topology.sites.len()).map(SiteId);
    sites()
        .flat_map(|from| {
            sites()
                .filter(move |&to| to != from)
                .map(move |to| (from, to))
        })
        .collect()
}
