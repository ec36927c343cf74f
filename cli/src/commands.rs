//! One module per command. Each takes its arguments and an [`Output`] and gives an exit code.

mod baseline;
mod child;
mod compare;
mod doctor;
mod experiments;
mod gate;
mod hardware;
mod interrupt;
mod kernel;
mod lab;
mod link;
mod manual;
mod report;
mod reproduce;
mod run;
mod shell;
mod status;
mod subject;
mod sweep;
mod top;
mod topologies;
mod traces;
mod verify;
mod virtual_lab;

use std::path::{Path, PathBuf};

use longhaul_reports::file;
use longhaul_reports::folder::Opened;
use tokio::runtime::Runtime;

use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Runs `command`.
pub fn run(command: Command, output: Output) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::run(&args, output),
        Command::Sweep(args) => sweep::run(&args, output),
        Command::Reproduce(args) => reproduce::run(&args, output),
        Command::Experiments(command) => experiments::run(command, output),
        Command::Up(args) => lab::up(&args, output),
        Command::Exec(args) => lab::exec(&args),
        Command::Link(command) => link::run(&command, output),
        Command::Status(args) => status::run(&args, output),
        Command::Top(args) => top::run(&args, output),
        Command::Verify(args) => verify::run(&args, output),
        Command::Down(args) => lab::down(&args, output),
        Command::Clean => lab::clean(output),
        Command::Baseline(command) => baseline::run(&command, output),
        Command::Gate(args) => gate::run(&args, output),
        Command::Compare(args) => compare::run(&args, output),
        Command::Report(args) => report::run(&args, output),
        Command::Topologies(command) => topologies::run(command, output),
        Command::Kernel(command) => kernel::run(command, output),
        Command::Hardware(command) => hardware::run(&command, output),
        Command::Doctor => doctor::run(output),
        Command::Completions { shell } => Ok(manual::completions::<Cli>(shell, output)),
        Command::Man { out } => manual::man::<Cli>(out.as_deref(), output),
    }
}

/// More than one thread: a second Ctrl-C is heeded even while a command is busy.
fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| Failure::new(Exit::Lacking, &error))
}

/// What is made of a result goes over an older one of its kind, never over what a run measured.
fn spare_results(file: &Path) -> Result<(), Failure> {
    if Opened::is_own_file(file) {
        return Err(Failure::with_help(
            Exit::Usage,
            format!("{} is a name of a run's own files", file.display()),
            "give the file another name",
        ));
    }
    Ok(())
}

/// Writes what was asked for as a whole, over an older one: a CI server asks for the same file every time.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    spare_results(path)?;
    let written = file::replace(path, text.as_bytes());
    written.map_err(|error| Failure::unwritten(path, &error))
}

/// The files that were written, or why there are none.
fn told_apart(files: Result<Vec<PathBuf>, Failure>) -> (Vec<PathBuf>, Option<Failure>) {
    match files {
        Ok(files) => (files, None),
        Err(failure) => (Vec::new(), Some(failure)),
    }
}

/// Splits every `key=value` of `--set`.
fn overrides(settings: &[String]) -> Result<Vec<(&str, &str)>, Failure> {
    settings
        .iter()
        .map(|setting| {
            setting.split_once('=').ok_or_else(|| {
                Failure::with_help(
                    Exit::Usage,
                    format!("--set {setting}: no value"),
                    "write --set KEY=VALUE",
                )
            })
        })
        .collect()
}
