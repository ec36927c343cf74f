//! `--lab virtual`: the same command inside a lab kernel of its own, or inside that of a lab that is up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::guest::{
    Ended, Guest, GuestError, GuestMemory, GuestSpec, Interrupts, Mount, Pace, Passed, Stream,
    Witness,
};
use longhaul_emulator::keeper::{
    self, Input, LabDetail, LabName, LabStatus, Purpose, Registration, Visit,
};
use longhaul_emulator::kernel::LabKernel;
use longhaul_topologies::units::TimeSpan;

use crate::args::{BuiltLab, PaceChoice, VirtualArgs};
use crate::commands::top;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Progress;

/// What a command needs of its virtual lab.
#[derive(Debug)]
pub struct Needs {
    /// What it is about: the name of an experiment or a topology.
    pub subject: String,
    /// How its links are carried.
    pub links: EngineChoice,
    /// Seeds the kernel.
    pub seed: u64,
    /// How much memory it needs.
    pub memory: GuestMemory,
    /// What it reads.
    pub files: Vec<PathBuf>,
    /// Whether it runs programs of this machine.
    pub programs: bool,
    /// Where what is read of it while it runs is pushed to.
    pub collector: Option<top::Collector>,
}

/// How long a program may compute in no virtual time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the command that was typed is to go on inside a lab kernel: asked for, and not there yet.
pub fn is_wanted(lab: BuiltLab) -> bool {
    lab == BuiltLab::Virtual && !longhaul_emulator::guest::init::is_guest()
}

/// Refuses, for a lab that is no virtual one or is up already, what would say nothing of it; `help` is the way out.
pub fn refuse_options(args: &VirtualArgs, help: &str) -> Result<(), Failure> {
    let given = [
        (args.memory.is_some(), "--memory"),
        (args.patience.is_some(), "--patience"),
        (!args.mount.is_empty(), "--mount"),
        (!args.env.is_empty(), "--env"),
    ];
    match given.iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, option)) => Err(Failure::with_help(
            Exit::Usage,
            format!("{option}: only a virtual lab that is brought up has a use for it"),
            help,
        )),
    }
}

fn patience(args: &VirtualArgs) -> Duration {
    args.patience.map_or(PATIENCE, TimeSpan::duration)
}

/// What a command inside a lab kernel came to.
#[derive(Debug)]
pub struct Done {
    /// Its exit code.
    pub exit: Exit,
    /// How its time passed.
    pub ended: Ended,
    /// What it printed, where that is JSON: whoever called it may have something to add.
    pub json: Vec<u8>,
}

/// Runs the command that was typed inside a lab kernel, and shows what it prints, if that is text. `out` is the folder that it
/// writes to, absolute.
pub fn run(
    needs: &Needs,
    out: Option<&Path>,
    args: &VirtualArgs,
    output: Output,
) -> Result<Done, Failure> {
    // Before anything has threads, as they all have to leave the signals to it; and until all that is made here is gone.
    let mut interrupts = Interrupts::catch()?;
    let mut spec = spec(needs, args)?;
    let claimed = Registration::claim(
        LabName::of_this_run(),
        Purpose::Run,
        &needs.subject,
        needs.links,
    );
    let mut registration = claimed?.on_a_lab_kernel();
    let mut made = Made::default();
    if let Some(out) = out {
        made.folder(out)?;
        spec.mounts.push(Mount::writable(out));
        // The last one counts.
        spec.arguments.extend(["--out".into(), out.into()]);
    }
    spec.environment.insert("COLUMNS".into(), columns(output));
    let shared = registration.hold()?.join("guest");
    let _lookout = registration.look_out(&shared)?;
    if let Some(collector) = &needs.collector {
        top::beside(registration.name(), collector)?;
    }
    let mut screen = Screen {
        progress: Progress::new(output),
        json: output.is_json().then(Vec::new),
    };
    screen.progress.doing("booting the lab kernel");
    let guest = Guest::boot(&spec, &shared)?;
    let ended = guest.watch(&mut interrupts, patience(args), &mut screen);
    screen.progress.finish();
    let ended = ended?;
    Ok(Done {
        exit: Exit::Program(ended.code),
        ended,
        json: screen.json.unwrap_or_default(),
    })
}

/// Boots a lab kernel that stays, as the lab `name`, and runs the command that was typed in it, which is to bring the lab up.
pub fn up(
    name: &LabName,
    needs: &Needs,
    args: &VirtualArgs,
    output: Output,
) -> Result<Exit, Failure> {
    let spec = spec(needs, args)?;
    let subject = &needs.subject;
    keeper::up_virtual(name.clone(), subject, needs.links, &spec, patience(args))?;
    let mut command = typed(output);
    command.founding = true;
    let code = keeper::visit(name, command, None);
    if !matches!(code, Ok(0)) {
        // It goes by itself; the name is free once it has gone.
        let _ = keeper::down(name);
    }
    Ok(Exit::Program(code?))
}

/// Runs the command that was typed inside the virtual lab `name`, if it is one.
pub fn enter(name: &LabName, output: Output) -> Result<Option<Exit>, Failure> {
    if !keeper::is_virtual(name)? {
        return Ok(None);
    }
    let code = keeper::visit(name, typed(output), None)?;
    Ok(Some(Exit::Program(code)))
}

/// Runs a program in a host of the virtual lab `name`, if it is one: with this process's input and terminal.
pub fn exec(name: &LabName, pace: PaceChoice) -> Result<Option<Exit>, Failure> {
    if !keeper::is_virtual(name)? {
        return Ok(None);
    }
    // Nothing else of this environment is the program's business.
    let terminal = std::env::var_os("TERM").map(|kind| ("TERM".into(), kind));
    let visit = Visit {
        arguments: std::env::args_os().skip(1).collect(),
        environment: terminal.into_iter().collect(),
        input: Input::Ours,
        pace: match pace {
            PaceChoice::Auto => Pace::Auto,
            PaceChoice::Wall => Pace::Wall,
            PaceChoice::Free => Pace::Free,
        },
        founding: false,
    };
    Ok(Some(Exit::Program(keeper::visit(name, visit, None)?)))
}

/// What the keeper inside the virtual lab `name` says of it.
pub fn detail(name: &LabName, output: Output) -> Result<LabDetail, Failure> {
    let visit = Visit {
        arguments: ["--json", "status", name.as_str()]
            .map(OsString::from)
            .into(),
        ..typed(output)
    };
    let mut printed = Vec::new();
    let code = keeper::visit(name, visit, Some(&mut printed))?;
    let status: Option<LabStatus> = serde_json::from_slice(&printed).ok();
    let detail = status.and_then(|status| status.detail);
    detail.ok_or_else(|| Failure::Other {
        exit: Exit::Program(code),
        message: format!(
            "the lab {name} does not tell what it is: {}",
            String::from_utf8_lossy(&printed).trim()
        ),
        help: None,
    })
}

/// The command that was typed, for inside a lab.
fn typed(output: Output) -> Visit {
    Visit {
        arguments: std::env::args_os().skip(1).collect(),
        environment: vec![("COLUMNS".into(), columns(output))],
        input: Input::Nothing,
        pace: Pace::Free,
        founding: false,
    }
}

/// A kernel for the command that was typed.
fn spec(needs: &Needs, args: &VirtualArgs) -> Result<GuestSpec, Failure> {
    let kernel = LabKernel::find().map_err(|error| Failure::new(Exit::Lacking, &error))?;
    let memory = match args.memory {
        Some(size) => size,
        None => needs.memory.fit()?,
    };
    let mut mounts = Vec::new();
    for path in needs.files.iter().chain(&args.mount) {
        mounts.push(Mount::read_only(absolute(path)?));
    }
    Ok(GuestSpec {
        kernel,
        memory,
        seed: needs.seed,
        arguments: std::env::args_os().skip(1).collect(),
        environment: environment(&args.env)?,
        folder: std::env::current_dir().map_err(|error| Failure::new(Exit::Lacking, &error))?,
        mounts,
        programs: needs.programs,
    })
}

/// How wide the terminal is.
fn columns(output: Output) -> OsString {
    output.width().to_string().into()
}

/// How a guest's time passed, for people.
pub fn summary(ended: &Ended) -> String {
    let Passed {
        virtual_time,
        wall_time,
    } = ended.passed;
    format!(
        "virtual lab: {:.1} virtual seconds in {:.1} s of wall time ({:.1} a second), {} MiB of memory at most; computing took no virtual time",
        virtual_time.as_secs_f64(),
        wall_time.as_secs_f64(),
        ended.passed.speed(),
        ended.peak_memory.bytes().div_ceil(1 << 20)
    )
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(path).map_err(|error| Failure::new(Exit::Usage, &error))?;
    match path.metadata() {
        Ok(_) => Ok(path),
        Err(error) => Err(Failure::new_usage(&format!("{}: {error}", path.display()))),
    }
}

/// The variables that were named.
fn environment(named: &[String]) -> Result<BTreeMap<OsString, OsString>, Failure> {
    let mut environment = BTreeMap::new();
    for variable in named {
        let (name, value) = match variable.split_once('=') {
            Some((name, value)) => (name, value.into()),
            None => {
                let value = std::env::var_os(variable).ok_or_else(|| {
                    Failure::with_help(
                        Exit::Usage,
                        format!("--env {variable}: there is no such variable here"),
                        format!("give it a value: --env {variable}=VALUE"),
                    )
                })?;
                (variable.as_str(), value)
            }
        };
        if name.is_empty() {
            return Err(Failure::new_usage(&format!("--env {variable}: no name")));
        }
        environment.insert(name.into(), value);
    }
    Ok(environment)
}

/// Folders made for what is to come, to be removed again if nothing came into them.
#[derive(Default)]
pub struct Made(Vec<PathBuf>);

impl Made {
    /// Makes `folder` and those above it that are missing.
    pub fn folder(&mut self, folder: &Path) -> Result<(), Failure> {
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|path| !path.exists())
            .collect();
        for path in missing.into_iter().rev() {
            std::fs::create_dir(path).map_err(|error| {
                Failure::new_usage(&format!("cannot make {}: {error}", path.display()))
            })?;
            self.0.push(path.to_owned());
        }
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // Fails for one in which there is something.
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// What a guest does, on this terminal.
struct Screen {
    progress: Progress,
    /// What was printed, where that is JSON.
    json: Option<Vec<u8>>,
}

impl Witness for Screen {
    fn printed(&mut self, stream: Stream, bytes: &[u8]) {
        if let (Stream::Output, Some(json)) = (stream, &mut self.json) {
            json.extend_from_slice(bytes);
            return;
        }
        self.progress.aside(|| match stream {
            Stream::Output => output::print(bytes),
            Stream::Error => drop(std::io::stderr().write_all(bytes)),
        });
    }

    fn progress(&mut self, line: &str) {
        self.progress.replay(line);
    }

    fn time(&mut self, passed: Passed) {
        self.progress.virtual_time(passed);
    }

    fn note(&mut self, text: &str) {
        self.progress.line(text);
    }
}

impl From<GuestError> for Failure {
    fn from(error: GuestError) -> Self {
        let exit = match &error {
            GuestError::Panicked { .. }
            | GuestError::Died { .. }
            | GuestError::CutOff { .. }
            | GuestError::Stalled { .. } => Exit::NotHeld,
            GuestError::Killed => Exit::Interrupted,
            _ => Exit::Lacking,
        };
        Failure::new(exit, &error)
    }
}
