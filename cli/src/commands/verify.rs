//! `verify`: links measured against their description, in full.

mod asked;

use std::future::Future;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longhaul_emulator::engine::EngineKind;
use longhaul_emulator::fidelity::between::{self, BetweenError, Place};
use longhaul_emulator::fidelity::{self, Bound, Measurement, Stage, Subject};
use longhaul_emulator::fidelity::{Quantity, Verification, VerifiedChannel};
use longhaul_emulator::guest::GuestMemory;
use longhaul_emulator::keeper::{self, LabName, Purpose, Registration};
use longhaul_emulator::lab::{Lab, LabError, LabOptions};
use longhaul_emulator::probe::ProbeError;
use longhaul_emulator::sandbox::Privilege;
use longhaul_reports::file;
use longhaul_reports::folder::ResultWriter;
use longhaul_reports::verification::{self as report, ChannelDelays, VerificationRow};
use longhaul_reports::{chart, table};
use longhaul_topologies::units::TimeSpan;
use serde_json::json;

use crate::args::{BuiltLab, VerifyArgs};
use crate::commands::interrupt::interrupted;
use crate::commands::virtual_lab::{self, Made, Needs};
use crate::commands::{lab, runtime, told_apart, topologies};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, count};
use crate::progress::Progress;

/// What a default namespace's interfaces carry.
const MTU: u32 = 1500;
/// Below it there are too few probes to tell a loss.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(600);

/// Measures a topology, a lab or the way between two namespaces.
pub fn run(args: &VerifyArgs, output: Output) -> Result<Exit, Failure> {
    let duration = duration(args.duration)?;
    if args.lab != BuiltLab::Virtual {
        let help = match args.topology {
            Some(_) => "add --lab virtual, or leave it out",
            None => "leave it out",
        };
        virtual_lab::refuse_options(&args.virtual_lab, help)?;
    }
    let out = args.out.as_deref().map(new_folder).transpose()?;
    // Before anything is measured: a folder that cannot be made is the command line's fault.
    let mut made = Made::default();
    if let Some(out) = &out {
        made.folder(out)?;
    }
    let task = Task {
        duration,
        out,
        output,
    };
    match (&args.topology, &args.name, &args.between[..]) {
        (Some(topology), _, _) => of_topology(topology, args, &task),
        (None, Some(name), _) => of_lab(name, &task),
        (None, None, [a, b]) => of_places([a, b], args, &task),
        (None, None, _) => Err(Failure::new_usage("there is nothing to measure")),
    }
}

/// What all three ways have in common.
struct Task {
    duration: Duration,
    out: Option<PathBuf>,
    output: Output,
}

/// What was measured, in words.
struct About {
    subject: String,
    links: Option<EngineKind>,
    notes: Vec<String>,
}

/// Brings a topology up in a sandbox, as `run` does: nothing of it outlives this.
fn of_topology(topology: &str, args: &VerifyArgs, task: &Task) -> Result<Exit, Failure> {
    let (document, topology) = topologies::open(topology, &args.set)?;
    let options = LabOptions {
        engine: args.links.into(),
        seed: args.seed,
        ..LabOptions::default()
    };
    let name = topology.name.clone();
    if virtual_lab::is_wanted(args.lab) {
        let needs = Needs {
            subject: name,
            links: options.engine,
            seed: args.seed,
            memory: GuestMemory::of_links(&topology),
            files: document.files(),
            programs: false,
            collector: None,
        };
        let done = virtual_lab::run(&needs, task.out.as_deref(), &args.virtual_lab, task.output)?;
        task.output.json_text(&done.json);
        task.output.aside(virtual_lab::summary(&done.ended));
        return Ok(done.exit);
    }
    let claimed = Registration::claim(LabName::of_this_run(), Purpose::Run, &name, options.engine);
    claimed?.enter(Privilege::of_this_process())?;
    let mut progress = Progress::new(task.output);
    let measured = task.on_a_runtime(async |stop: Arc<AtomicBool>| {
        progress.doing(&format!("bringing up {name}"));
        let lab = Arc::new(Lab::up(topology, &options).await?);
        let about = |notes| About {
            subject: name.clone(),
            links: Some(lab.engine_kind()),
            notes,
        };
        let duration = task.duration;
        let measured = tokio::task::spawn_blocking({
            let lab = Arc::clone(&lab);
            move || {
                let subjects = Subject::of_lab(&lab);
                let found = measure(&subjects, duration, &stop, &mut progress);
                progress.finish();
                found
            }
        });
        let measured = joined(measured.await)?;
        let found = measured?;
        let notes = lab.lateness().map(|late| {
            format!(
                "the engine released packets {:.0} us late in the median and {:.0} us at the 99th percentile, floods included",
                late.p50_us, late.p99_us
            )
        });
        let about = about(notes.into_iter().collect());
        if let Some(lab) = Arc::into_inner(lab) {
            lab.down().await;
        }
        Ok((found, about))
    })?;
    task.report(measured)
}

/// Measures a lab that is up.
fn of_lab(name: &str, task: &Task) -> Result<Exit, Failure> {
    let name = lab::lab_name(name)?;
    if keeper::is_virtual(&name)? && task.out.is_some() {
        return Err(Failure::with_help(
            Exit::Usage,
            format!("--out: the virtual lab {name} cannot write to this machine's files"),
            "take the figures from standard output, with --json, or measure the topology: verify TOPOLOGY --lab virtual --out DIR",
        ));
    }
    if let Some(exit) = virtual_lab::enter(&name, task.output)? {
        return Ok(exit);
    }
    let lab = keeper::attach(&name)?;
    let mut progress = Progress::new(task.output);
    let duration = task.duration;
    let measured = task.on_a_runtime(async move |stop: Arc<AtomicBool>| {
        let measured = tokio::task::spawn_blocking(move || {
            let found = measure(&lab.subjects(), duration, &stop, &mut progress)?;
            progress.finish();
            let about = About {
                subject: format!("the lab {name} ({})", lab.topology().name),
                links: Some(lab.engine()),
                notes: Vec::new(),
            };
            Ok::<_, Failure>((found, about))
        });
        joined(measured.await)?
    })?;
    task.report(measured)
}

/// Measures between two namespaces that longhaul did not make.
fn of_places(places: [&String; 2], args: &VerifyArgs, task: &Task) -> Result<Exit, Failure> {
    let asked = asked::parse(&args.asked)?;
    let places = [Place::open(places[0])?, Place::open(places[1])?];
    let wanted: Option<[IpAddr; 2]> = match args.address[..] {
        [a, b] if a.is_ipv4() == b.is_ipv4() => Some([a, b]),
        [a, b] => {
            return Err(Failure::new_usage(&format!(
                "--address {a} {b}: these are of two families"
            )));
        }
        _ => None,
    };
    let addresses = between::addresses([&places[0], &places[1]], wanted)?;
    let mut progress = Progress::new(task.output);
    let duration = task.duration;
    let measured = task.on_a_runtime(async move |stop: Arc<AtomicBool>| {
        let measured = tokio::task::spawn_blocking(move || {
            let [a, b] = &places;
            let subjects = between::subjects([a, b], addresses, &asked, MTU);
            let found = measure(&subjects, duration, &stop, &mut progress)?;
            progress.finish();
            let about = About {
                subject: format!(
                    "{} ({}) and {} ({})",
                    a.name, addresses[0], b.name, addresses[1]
                ),
                links: None,
                notes: Vec::new(),
            };
            Ok::<_, Failure>((found, about))
        });
        joined(measured.await)?
    })?;
    task.report(measured)
}

/// `None` if it was interrupted.
type Measured = (Option<Verification>, About);

fn measure(
    subjects: &[Subject<'_>],
    duration: Duration,
    stop: &AtomicBool,
    progress: &mut Progress,
) -> Result<Option<Verification>, Failure> {
    let channels = count(subjects.len(), "channel");
    let found = fidelity::verify(subjects, duration, stop, |stage| {
        let span = |duration| TimeSpan::from_duration(duration);
        progress.doing(&match stage {
            Stage::Scouting => "looking for the rates that nobody told".to_owned(),
            Stage::Probing(duration) => {
                format!(
                    "delay, loss and order of {channels}: probes for {}",
                    span(duration)
                )
            }
            Stage::Pacing => format!("rate of {channels}: packet trains"),
            Stage::Flooding => format!("queue of {channels}: floods"),
        });
    });
    Ok(found?)
}

impl Task {
    /// Runs `work`, which is told to stop when a signal comes.
    fn on_a_runtime<F: Future<Output = Result<Measured, Failure>>>(
        &self,
        work: impl FnOnce(Arc<AtomicBool>) -> F,
    ) -> Result<Measured, Failure> {
        let lacking = |error: std::io::Error| Failure::new(Exit::Lacking, &error);
        runtime()?.block_on(async {
            let interrupt = interrupted().map_err(lacking)?;
            let stop = Arc::new(AtomicBool::new(false));
            let work = work(Arc::clone(&stop));
            tokio::pin!(work);
            tokio::select! {
                outcome = &mut work => outcome,
                () = interrupt => {
                    stop.store(true, Ordering::Relaxed);
                    work.await
                }
            }
        })
    }

    fn report(&self, (found, about): Measured) -> Result<Exit, Failure> {
        let Some(found) = found else {
            return Err(Failure::Other {
                exit: Exit::Interrupted,
                message: "interrupted: nothing was judged".to_owned(),
                help: None,
            });
        };
        let report = written(&found, about, self.duration);
        let output = self.output;
        let links = report.links.as_ref();
        let links = links.map_or(String::new(), |links| format!(", links carried by {links}"));
        let table = table::verification(&report, output.width());
        output.text(format!("# {}{links}\n{}", report.subject, table.trim_end()));
        // Afterwards: a folder that takes no files keeps nobody from reading what was measured.
        let saved = self
            .out
            .as_ref()
            .map_or(Ok(Vec::new()), |out| save(&report, out));
        let (files, failure) = told_apart(saved);
        for file in &files {
            output.text(file.display());
        }
        let exit = match report.faithful {
            true => Exit::Fine,
            false => Exit::Unfaithful,
        };
        let answer = json!({ "verification": report, "files": files });
        Ok(output.answered(answer, exit, failure.as_ref()))
    }
}

/// Writes the figures and the chart.
fn save(report: &report::Verification, out: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new_usage(&format!("cannot write to {}: {error}", out.display()))
    };
    std::fs::create_dir_all(out).map_err(failed)?;
    let path = out.join("verify.json");
    let text = serde_json::to_string_pretty(report).expect("our own types serialise");
    file::replace(&path, (text + "\n").as_bytes())
        .map_err(|error| Failure::unwritten(&path, &error))?;
    let mut files = vec![path];
    files.extend(chart::draw_verification(report, out)?);
    Ok(files)
}

fn written(found: &Verification, about: About, duration: Duration) -> report::Verification {
    let skipped = found
        .skipped
        .iter()
        .map(|reason| format!("not measured: {reason}"));
    let measurements = found
        .channels
        .iter()
        .flat_map(|channel| &channel.measurements);
    report::Verification {
        subject: about.subject,
        links: about.links.map(|links| links.to_string()),
        duration_s: duration.as_secs_f64(),
        faithful: found.faithful(),
        findings: found.findings(),
        notes: skipped.chain(about.notes).collect(),
        rows: measurements.map(row).collect(),
        delays: found.channels.iter().map(delays).collect(),
    }
}

fn row(measurement: &Measurement) -> VerificationRow {
    let asked = measurement.asked;
    VerificationRow {
        channel: measurement.channel.clone(),
        quantity: measurement.quantity.to_string(),
        unit: measurement.unit.to_owned(),
        asked: asked.map(|asked| asked.value),
        measured: measurement.measured,
        bound: asked.and_then(|asked| match asked.bound {
            Bound::Within(bound) => Some(bound),
            Bound::AtLeast => None,
        }),
        within: asked.map(|asked| asked.within),
        samples: measurement.samples,
    }
}

fn delays(channel: &VerifiedChannel) -> ChannelDelays {
    let delay = |one: &&Measurement| one.quantity == Quantity::Delay;
    let asked = channel.measurements.iter().find(delay);
    ChannelDelays {
        channel: channel.name.clone(),
        asked_us: asked.and_then(|one| one.asked).map(|asked| asked.value),
        measured_us: report::quantiles(&channel.delays_us),
        predicted_us: report::quantiles(&channel.predicted_us),
    }
}

fn duration(span: TimeSpan) -> Result<Duration, Failure> {
    let duration = span.duration();
    if (SHORTEST..=LONGEST).contains(&duration) {
        return Ok(duration);
    }
    Err(Failure::new_usage(&format!(
        "--duration {span}: out of range, write 1s to 10min"
    )))
}

/// Absolute, as the lab process has another working folder; and empty, so that nothing older is written over.
fn new_folder(folder: &Path) -> Result<PathBuf, Failure> {
    let folder = std::path::absolute(folder).map_err(|error| Failure::new(Exit::Usage, &error))?;
    ResultWriter::check(&folder)?;
    Ok(folder)
}

/// What a thread came to; its panic is this one's.
fn joined<T>(outcome: Result<T, tokio::task::JoinError>) -> Result<T, Failure> {
    outcome.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Failure::new(Exit::NotHeld, &error),
    })
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Self {
        Failure::new(Exit::Lacking, &error)
    }
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        match error.help() {
            Some(help) => Failure::with_help(Exit::Lacking, error.to_string(), help),
            None => Failure::new(Exit::Lacking, &error),
        }
    }
}

impl From<BetweenError> for Failure {
    fn from(error: BetweenError) -> Self {
        let is_forbidden = match &error {
            BetweenError::Open { source, .. } => source.kind() == ErrorKind::PermissionDenied,
            BetweenError::Enter { .. } => true,
            _ => false,
        };
        if is_forbidden {
            return Failure::with_help(Exit::Lacking, error.to_string(), ROOT);
        }
        Failure::Other {
            exit: Exit::Usage,
            message: error.to_string(),
            help: error.help(),
        }
    }
}

/// Who may enter another's namespace (setns(2)).
const ROOT: &str = "only root may enter a namespace; of a rootless one, its own user from within its user namespace";
