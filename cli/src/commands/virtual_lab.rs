//! `--lab virtual`: the same command inside a lab kernel of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::guest::{
    Ended, Guest, GuestError, GuestMemory, GuestSpec, Interrupts, Mount, Passed, Stream, Witness,
};
use longhaul_emulator::keeper::{LabName, Purpose, Registration};

use crate::args::{LabKind, VirtualArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
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
    /// The folder that it writes to, absolute; and whether the command line names it.
    pub out: Option<(PathBuf, bool)>,
    /// Whether it runs programs of this machine.
    pub programs: bool,
}

/// Whether the command that was typed is to go on inside a lab kernel: asked for, and not there yet.
pub fn is_wanted(lab: LabKind) -> Result<bool, Failure> {
    match lab {
        LabKind::Host => Ok(false),
        LabKind::Virtual => Ok(!longhaul_emulator::guest::init::is_guest()),
        LabKind::Physical => Err(Failure::with_help(
            Exit::Lacking,
            "physical labs are not in this version of longhaul",
            "leave --lab out: the host lab runs on this machine's kernel",
        )),
    }
}

/// Runs the command that was typed inside a lab kernel, and shows what it prints; its exit code.
pub fn run(needs: Needs, args: &VirtualArgs, output: Output) -> Result<(Exit, Ended), Failure> {
    let kernel = kernel()?;
    let memory = match args.memory {
        Some(size) => size,
        None => needs.memory.fit()?,
    };
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut mounts = Vec::new();
    for path in needs.files.iter().chain(&args.mount) {
        mounts.push(Mount::read_only(absolute(path)?));
    }
    let claimed = Registration::claim(
        LabName::of_this_run(),
        Purpose::Run,
        &needs.subject,
        needs.links,
    );
    let mut registration = claimed?;
    let mut made = Made::default();
    if let Some((out, is_named)) = &needs.out {
        made.folder(out)?;
        mounts.push(Mount::writable(out));
        if !is_named {
            arguments.extend(["--out".into(), out.into()]);
        }
    }
    let spec = GuestSpec {
        kernel,
        memory,
        seed: needs.seed,
        arguments,
        environment: environment(&args.env, output)?,
        folder: std::env::current_dir().map_err(|error| Failure::new(Exit::Lacking, &error))?,
        mounts,
        programs: needs.programs,
    };
    // Before anything has threads: they all have to leave the signals to it.
    let interrupts = Interrupts::catch()?;
    let folder = registration.hold()?;
    let mut screen = Screen(Progress::new(output));
    screen.0.doing("booting the lab kernel");
    let guest = Guest::boot(&spec, &folder.join("guest"))?;
    let ended = guest.watch(&interrupts, args.patience.duration(), &mut screen);
    screen.0.finish();
    let ended = ended?;
    Ok((Exit::Program(ended.code), ended))
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

fn kernel() -> Result<PathBuf, Failure> {
    std::env::var_os("LONGHAUL_KERNEL")
        .map(PathBuf::from)
        .ok_or_else(|| {
            Failure::with_help(
                Exit::Lacking,
                "there is no lab kernel yet",
                "make it once with `longhaul kernel build`",
            )
        })
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(path).map_err(|error| Failure::new(Exit::Usage, &error))?;
    match path.metadata() {
        Ok(_) => Ok(path),
        Err(error) => Err(Failure::new_usage(&format!("{}: {error}", path.display()))),
    }
}

/// The variables that were named, and how wide the terminal is.
fn environment(named: &[String], output: Output) -> Result<BTreeMap<OsString, OsString>, Failure> {
    let mut environment = BTreeMap::from([("COLUMNS".into(), output.width().to_string().into())]);
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

/// Folders made for a guest, to be removed again if it left nothing in them.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Makes `folder` and those above it that are missing.
    fn folder(&mut self, folder: &Path) -> Result<(), Failure> {
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
struct Screen(Progress);

impl Witness for Screen {
    fn printed(&mut self, stream: Stream, bytes: &[u8]) {
        self.0.aside(|| {
            let _ = match stream {
                Stream::Output => std::io::stdout().write_all(bytes),
                Stream::Error => std::io::stderr().write_all(bytes),
            };
        });
    }

    fn progress(&mut self, line: &str) {
        self.0.replay(line);
    }

    fn time(&mut self, passed: Passed) {
        self.0.virtual_time(passed);
    }

    fn note(&mut self, text: &str) {
        self.0.line(text);
    }
}

impl From<GuestError> for Failure {
    fn from(error: GuestError) -> Self {
        let exit = match &error {
            GuestError::Panicked { .. } | GuestError::Died { .. } | GuestError::Stalled { .. } => {
                Exit::NotHeld
            }
            GuestError::Killed => Exit::Interrupted,
            _ => Exit::Lacking,
        };
        Failure::new(exit, &error)
    }
}
