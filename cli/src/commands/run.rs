//! `run`: an experiment from its file to its charts.

pub(super) mod physical;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::Shared;
use longhaul_ci::determinism::{self, Comparison};
use longhaul_ci::verdict::{Verdict, judge};
use longhaul_emulator::guest::{self, Ended};
use longhaul_emulator::keeper::{LabName, Purpose, Registration};
use longhaul_emulator::sandbox::Privilege;
use longhaul_reports::folder::{FolderError, Opened, RESULT_FILE, ResultFolder};
use longhaul_reports::html::{self, REPORT_FILE};
use longhaul_reports::result::{LabKernel, Point, RunResult, Workload};
use longhaul_reports::{chart, table};
use longhaul_topologies::Inventory;
use longhaul_workloads::experiment::{
    self, CapturePlan, Execution, Experiment, ExperimentSource, LabFacts, RunError, RunOptions,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{LabKind, RunArgs};
use crate::commands::interrupt::interrupted;
use crate::commands::shell::command_line;
use crate::commands::subject::Subject;
use crate::commands::virtual_lab::{self, Done, Needs};
use crate::commands::{overrides, runtime, told_apart, top};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, count};
use crate::progress::Progress;

/// Runs an experiment: everything a file can have wrong is said before anything is built.
pub fn run(args: &RunArgs, output: Output) -> Result<Exit, Failure> {
    check_options(args)?;
    let Some(lab) = args.lab.built() else {
        return physical::run(args, output);
    };
    let (experiment, files) = load(args, None)?;
    let capture = CapturePlan::new(&args.capture, args.capture_bytes, &experiment)?;
    let out = folder(args, &experiment)?;
    experiment::check(&experiment, &out)?;
    let links = args.links.into();
    // Of a lab kernel its host pushes: inside, there is no way to a collector.
    let url = args.otlp.as_deref().filter(|_| !guest::init::is_guest());
    let collector = url.map(top::Collector::parse).transpose()?;
    if virtual_lab::is_wanted(lab) {
        return run_inside(args, &experiment, files, collector, &out, output);
    }
    let name = LabName::of_this_run();
    let claimed = Registration::claim(name.clone(), Purpose::Run, &experiment.name, links);
    let mut registration = claimed?;
    // Before the sandbox, which has no way to a collector either; and of a run that is there to be found.
    if let Some(collector) = &collector {
        registration.hold()?;
        top::beside(&name, collector)?;
    }
    let (sandbox, desk) = registration.enter_run(Privilege::of_this_process())?;
    // From here on this is the lab process; what it started with is gone from its view, but not the folder for results.
    let options = RunOptions {
        out: out.clone(),
        links,
        capture,
        privilege: sandbox.privilege,
        lab: facts(),
        executable: PathBuf::from("/proc/self/exe"),
        desk: Some(Arc::new(desk)),
    };
    carry_out(&experiment, &options, args, output)
}

/// Refuses options that say nothing of the lab that is asked for, or want another.
pub(super) fn check_options(args: &RunArgs) -> Result<(), Failure> {
    if args.check_determinism && args.lab != LabKind::Virtual {
        return Err(Failure::with_help(
            Exit::Usage,
            "--check-determinism: a lab by the wall clock never gives the same bytes twice",
            "add --lab virtual",
        ));
    }
    if args.lab != LabKind::Virtual {
        virtual_lab::refuse_options(&args.virtual_lab, "add --lab virtual, or leave it out")?;
    }
    match (&args.inventory, args.lab.built()) {
        (None, None) => Err(Failure::with_help(
            Exit::Usage,
            "--lab physical: which machines?",
            "name them in a file: --inventory FILE (docs/physical.md has one to start from)",
        )),
        (Some(_), Some(_)) => Err(Failure::with_help(
            Exit::Usage,
            "--inventory: this lab is built, not found",
            "add --lab physical",
        )),
        (Some(_), None) | (None, Some(_)) => Ok(()),
    }
}

/// Runs the experiment here and shows what came of it.
fn carry_out(
    experiment: &Experiment,
    options: &RunOptions,
    args: &RunArgs,
    output: Output,
) -> Result<Exit, Failure> {
    let out = &options.out;
    let mut progress = Progress::new(output);
    // Lives until the charts are drawn: it watches for signals.
    let runtime = runtime()?;
    let interrupt = runtime.block_on(async { interrupted() });
    let interrupt = interrupt.map_err(|error| Failure::new(Exit::Lacking, &error))?;
    let interrupt = interrupt.shared();
    let run = experiment::run(experiment, options, &mut progress, interrupt.clone());
    let result = runtime.block_on(run);
    progress.finish();
    let result = result?;
    let verdict = judge(&result);
    // Before the charts: what they take, or what goes wrong with them, keeps nobody from reading what came of the run.
    output.text(tables(&result, &verdict, out, output.width()));
    // Drawing takes no virtual time, so a virtual lab would seem to stand still; and the command, which the report tells, is known
    // outside only.
    let charts = match args.no_charts || guest::init::is_guest() {
        true => Some(Ok(Vec::new())),
        false => runtime.block_on(unless(interrupt, {
            let out = out.clone();
            move || illustrate(&out, output)
        })),
    };
    // A chart that is half drawn is not waited for.
    runtime.shutdown_background();
    let exit = match charts {
        Some(_) => exit(&verdict),
        None => Exit::Interrupted,
    };
    let (charts, failure) = told_apart(charts.unwrap_or_else(|| Ok(Vec::new())));
    let answer = json!({ "folder": out, "verdict": verdict, "charts": charts, "result": result });
    Ok(output.answered(answer, exit, failure.as_ref()))
}

/// What `work` comes to, on a thread of its own; nothing if there is an `interrupt` meanwhile. After an earlier one it ends the process.
async fn unless<T: Send + 'static>(
    interrupt: Shared<impl Future<Output = ()>>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let was_before = interrupt.peek().is_some();
    let interrupted = async {
        match was_before {
            true => std::future::pending().await,
            false => interrupt.await,
        }
    };
    tokio::select! {
        done = tokio::task::spawn_blocking(work) => match done {
            Ok(done) => Some(done),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        },
        () = interrupted => None,
    }
}

/// Runs the same command inside a lab kernel; twice, if it is to be seen whether that gives the same bytes.
fn run_inside(
    args: &RunArgs,
    experiment: &Experiment,
    files: Vec<PathBuf>,
    collector: Option<top::Collector>,
    out: &Path,
    output: Output,
) -> Result<Exit, Failure> {
    let again = args.check_determinism.then(|| beside(out)).transpose()?;
    let mut needs = Needs {
        subject: experiment.name.clone(),
        links: args.links.into(),
        seed: experiment.seed,
        memory: experiment::guest_memory(experiment),
        programs: experiment.runs_programs(),
        files: files
            .into_iter()
            .chain(experiment.program_files())
            .collect(),
        collector,
    };
    let done = once(&needs, args, out, output)?;
    let interrupted = |exit: Exit| exit.code() == Exit::Interrupted.code();
    let is_whole = out.join(RESULT_FILE).is_file() && !interrupted(done.exit);
    let Some(again) = again.filter(|_| is_whole) else {
        output.json_text(&done.json);
        output.aside(virtual_lab::summary(&done.ended));
        return Ok(done.exit);
    };
    output.aside(virtual_lab::summary(&done.ended));
    output.aside("once more, to compare");
    // Silent: what it prints is known already.
    needs.collector = None;
    let second = once(&needs, args, &again, Output::new(true));
    let exit = match &second {
        Ok(second) => second.exit,
        Err(failure) => failure.exit(),
    };
    if interrupted(exit) {
        // A part of a run is nothing to compare with.
        let _ = std::fs::remove_dir_all(&again);
        output.json_text(&done.json);
        output.aside("interrupted: whether a second run gives the same bytes is not known");
        return Ok(Exit::Interrupted);
    }
    // What came of the first run stands, whatever becomes of the second.
    let mut answer: Value =
        serde_json::from_slice(&done.json).unwrap_or_else(|_| json!({ "folder": out }));
    let compared = second.and_then(|second| compared(&second, done.exit, out, &again, output));
    let comparison = match compared {
        Ok(comparison) => comparison,
        Err(failure) => return Ok(output.answered(answer, done.exit, Some(&failure))),
    };
    output.text(comparison.text(output.width()).trim_end());
    answer["comparison"] = json!(comparison);
    if !comparison.same() {
        return Ok(output.answered(answer, Exit::NotHeld, None));
    }
    if std::fs::remove_dir_all(&again).is_ok() {
        output.text("# b is removed: there is nothing in it that a has not");
        answer["comparison"]["b"] = Value::Null;
    }
    Ok(output.answered(answer, done.exit, None))
}

/// Holds a second run against the first, which ended with `exit` and lies in `out`.
fn compared(
    second: &Done,
    exit: Exit,
    out: &Path,
    again: &Path,
    output: Output,
) -> Result<Comparison, Failure> {
    if second.exit.code() != exit.code() {
        output.text(String::from_utf8_lossy(&second.json).trim_end());
        let why = told(&second.json).map_or_else(String::new, |why| format!(": {why}"));
        return Err(Failure::with_help(
            second.exit,
            format!("the second run did not end as the first{why}"),
            format!("what there is of it is in {}", again.display()),
        ));
    }
    determinism::compare(out, again).map_err(|error| Failure::new(Exit::NotHeld, &error))
}

/// What a run came to, in words, if it printed JSON.
fn told(printed: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(printed).ok()?;
    if let Some(message) = document["error"]["message"].as_str() {
        return Some(message.to_owned());
    }
    let verdict = Verdict::deserialize(&document["verdict"]).ok()?;
    Some(sentence(&verdict))
}

/// A run inside a lab kernel, with its result completed by what only this side knows.
fn once(needs: &Needs, args: &RunArgs, out: &Path, output: Output) -> Result<Done, Failure> {
    let execution = Execution::begin(command_line());
    let mut done = virtual_lab::run(needs, Some(out), &args.virtual_lab, output)?;
    if !out.join(RESULT_FILE).is_file() {
        return Ok(done);
    }
    let Ended {
        passed,
        peak_memory,
        ..
    } = done.ended;
    let details = execution.ended_virtual(passed.virtual_time, peak_memory);
    let completed = ResultFolder::complete(out, details.clone()).map_err(Failure::from);
    let charts = completed.and_then(|()| match args.no_charts {
        true => Ok(Vec::new()),
        false => illustrate(out, output),
    });
    let (charts, failure) = told_apart(charts);
    if let Some(failure) = &failure {
        output.aside(failure.render());
        done.exit = done.exit.unless_fine(failure.exit());
    }
    if let Ok(mut printed) = serde_json::from_slice::<Value>(&done.json)
        && let Some(result) = printed.get_mut("result")
    {
        result["run_details"] = json!(details);
        printed["charts"] = json!(charts);
        if let Some(failure) = &failure {
            printed["error"] = failure.to_json();
        }
        done.json = serde_json::to_vec_pretty(&printed).expect("it was JSON before");
        done.json.push(b'\n');
    }
    Ok(done)
}

/// A folder beside `out` for the second run.
fn beside(out: &Path) -> Result<PathBuf, Failure> {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push("-again");
    let again = out.with_file_name(name);
    if again.exists() {
        return Err(Failure::with_help(
            Exit::Usage,
            format!("{} is there already", again.display()),
            "the second run goes there: move it away, or name another folder with --out",
        ));
    }
    Ok(again)
}

/// What kind of lab this is.
fn facts() -> LabFacts {
    match guest::init::lab_kernel() {
        None => LabFacts::Host {
            command: command_line(),
        },
        Some((version, key)) => LabFacts::Virtual {
            kernel: LabKernel { version, key },
        },
    }
}

/// The experiment, and the files it was read from; on the machines of an inventory if there is one.
pub(super) fn load(
    args: &RunArgs,
    inventory: Option<&Inventory>,
) -> Result<(Experiment, Vec<PathBuf>), Failure> {
    let open = || {
        let mut source = experiment::open(&args.experiment)?;
        lay(&mut source, &args.set, args.seed)?;
        if let Some(inventory) = inventory {
            source.on_machines(inventory)?;
        }
        Ok((source.load()?, source))
    };
    let named = &args.experiment;
    let opened = open().map_err(|failure| Subject::Experiment.or_other(named, failure));
    let (mut experiment, source) = opened?;
    let of = experiment.points.len();
    if let Some((first, last)) = args.points
        && experiment.keep(first, last).is_none()
    {
        return Err(Failure::with_help(
            Exit::Usage,
            format!(
                "--points {}: {} has {}",
                match first == last {
                    true => first.to_string(),
                    false => format!("{first}-{last}"),
                },
                args.experiment,
                count(of, "point")
            ),
            format!(
                "they count from 0: `longhaul experiments show {} --points` lists them as the file has them",
                args.experiment
            ),
        ));
    }
    Ok((experiment, source.files()))
}

/// Lays what the command line changes over `source`.
pub(super) fn lay(
    source: &mut ExperimentSource,
    settings: &[String],
    seed: Option<u64>,
) -> Result<(), Failure> {
    for (key, value) in overrides(settings)? {
        source.set(key, value)?;
    }
    if let Some(seed) = seed {
        source.set("seed", &seed.to_string())?;
    }
    Ok(())
}

/// The folder for the results, absolute: the lab process sees the same files, whatever its working folder.
fn folder(args: &RunArgs, experiment: &Experiment) -> Result<PathBuf, Failure> {
    results(args.out.as_deref(), &experiment.name)
}

/// A folder for the results of the experiment of that name: `out`, or one that is named for it and for now, and numbered where others began
/// in the same second.
pub(super) fn results(out: Option<&Path>, name: &str) -> Result<PathBuf, Failure> {
    let folder = out.map_or_else(
        || {
            let now = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
            unused(&Path::new("longhaul-results").join(format!("{name}-{now}")))
        },
        Path::to_owned,
    );
    std::path::absolute(&folder).map_err(|error| Failure::new(Exit::Usage, &error))
}

/// `folder`, or the first of `folder-2`, `folder-3`, … that is not there.
fn unused(folder: &Path) -> PathBuf {
    let numbered = (2..).map(|number| format!("{}-{number}", folder.display()).into());
    let mut folders = std::iter::once(folder.to_owned()).chain(numbered);
    let unused = folders.find(|folder| !folder.exists());
    unused.expect("there are more numbers than folders")
}

/// The charts and the report, and where they are, for people.
fn illustrate(out: &Path, output: Output) -> Result<Vec<PathBuf>, Failure> {
    let mut progress = Progress::new(output);
    progress.doing("drawing the charts");
    let charts = draw(out);
    progress.finish();
    let charts = charts?;
    if !charts.is_empty() {
        output.text(format!(
            "charts:  {} in {}\nreport:  {}",
            charts.len(),
            out.join("charts").display(),
            out.join(REPORT_FILE).display()
        ));
    }
    Ok(charts)
}

fn draw(out: &Path) -> Result<Vec<PathBuf>, Failure> {
    // Of a run that was cut short, what is whole.
    let opened = Opened::read(out)?;
    let charts = chart::draw_all(&opened.folder, &out.join("charts"))?;
    html::write(&[opened], &out.join(REPORT_FILE))?;
    Ok(charts)
}

/// What came of a run, for people: the verdict is what they read last.
fn tables(result: &RunResult, verdict: &Verdict, out: &Path, width: usize) -> String {
    let tables = [
        table::results(result, width),
        table::comparison(result, width),
        table::delays(result, width),
        table::fidelity(result, width),
    ];
    let mut text: String = tables
        .iter()
        .filter(|table| !table.is_empty())
        .map(|table| format!("{}\n\n", table.trim_end()))
        .collect();
    // Of what programs computed nobody knows whether it is right.
    let is_program = |point: &Point| matches!(point.workload, Workload::Command { .. });
    let said = match verdict {
        Verdict::Passed if result.points.iter().all(is_program) => {
            "passed: every program ended well, all links as described".to_owned()
        }
        verdict => sentence(verdict),
    };
    text.push_str(&format!("{said}\nresults: {}", out.display()));
    text
}

/// The verdict for people.
fn sentence(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed => "passed: all results right, all links as described".to_owned(),
        Verdict::Interrupted => "interrupted: the results so far are whole".to_owned(),
        Verdict::Failed { message } => format!("failed: {message}"),
        Verdict::WrongResults { elements } => format!("failed: {elements} elements were wrong"),
        Verdict::Unfaithful { findings } => {
            format!(
                "not faithful: do not trust these figures\n  {}",
                findings.join("\n  ")
            )
        }
    }
}

fn exit(verdict: &Verdict) -> Exit {
    match verdict {
        Verdict::Passed => Exit::Fine,
        Verdict::Interrupted => Exit::Interrupted,
        Verdict::Failed { .. } | Verdict::WrongResults { .. } => Exit::NotHeld,
        Verdict::Unfaithful { .. } => Exit::Unfaithful,
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let error = match error {
            RunError::Folder(error) => return error.into(),
            other => other,
        };
        let exit = match &error {
            RunError::CongestionControl { source, .. } => {
                return Failure::with_help(Exit::Lacking, error.to_string(), &source.help);
            }
            RunError::Missing(missing) => {
                let help = missing.help.clone();
                return Failure::Other {
                    exit: Exit::Lacking,
                    message: error.to_string(),
                    help,
                };
            }
            RunError::Lab(lab) if lab.help().is_some() => {
                let help = lab.help().unwrap_or_default();
                return Failure::with_help(Exit::Lacking, error.to_string(), help);
            }
            RunError::Unreached(error) => {
                let help = error.help();
                return Failure::Other {
                    exit: Exit::Lacking,
                    message: error.to_string(),
                    help,
                };
            }
            RunError::ProgramsThere => Exit::Usage,
            RunError::TooLong(_) | RunError::Unsupported(_) => Exit::Usage,
            RunError::Lab(_) | RunError::TooLarge { .. } => Exit::Lacking,
            _ => Exit::NotHeld,
        };
        Failure::new(exit, &error)
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        let is_absent = |kind| matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory);
        match error {
            FolderError::Io {
                action: "write",
                path,
                source,
            } => Failure::unwritten(&path, &source),
            FolderError::Io {
                action: "read" | "open",
                ref source,
                ..
            } if is_absent(source.kind()) => Failure::with_help(
                Exit::Usage,
                error.to_string(),
                "name the folder that `longhaul run` wrote: the last lines that it prints say which",
            ),
            other => Failure::new(Exit::Usage, &other),
        }
    }
}
