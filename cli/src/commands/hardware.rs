//! `hardware`: NICs found, set with switches to what a file says, put back, and what they count.

mod apply;
mod controllers;
mod counters;
mod list;
mod plan;
mod restore;

use longhaul_emulator::hardware::inventory::{self, Nic};
use longhaul_emulator::hardware::journal::JournalError;
use longhaul_emulator::hardware::nvue::NvueError;
use longhaul_emulator::hardware::place::AccessError;
use longhaul_emulator::hardware::plan::PlanError;
use longhaul_emulator::hardware::sonic::SonicError;
use longhaul_emulator::hardware::switch::SwitchError;
use longhaul_emulator::hardware::tree::Tree;
use longhaul_topologies::hardware::DeviceName;

use crate::args::{HardwareCommand, TreeArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Runs one of the `hardware` commands.
pub fn run(command: &HardwareCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        HardwareCommand::List(args) => list::run(args, output),
        HardwareCommand::Plan(args) => plan::run(args, output),
        HardwareCommand::Apply(args) => apply::run(args, output),
        HardwareCommand::Restore(args) => restore::run(args, output),
        HardwareCommand::Controllers(args) => controllers::run(args, output),
        HardwareCommand::Counters(args) => counters::run(args, output),
    }
}

/// The files that are meant.
fn tree(args: &TreeArgs) -> Result<Tree, Failure> {
    match args.root.is_dir() {
        true => Ok(Tree::at(&args.root)),
        false => Err(Failure::with_help(
            Exit::Usage,
            format!("--root {}: there is no such folder", args.root.display()),
            "name a folder with a copy of a machine's /sys in it, or leave it out",
        )),
    }
}

fn nics(tree: &Tree) -> Vec<Nic> {
    inventory::inventory(tree)
}

/// That called `name`, or all.
fn meant(tree: &Tree, name: Option<&DeviceName>) -> Result<Vec<Nic>, Failure> {
    let mut meant = nics(tree);
    if let Some(name) = name {
        let known: Vec<&str> = meant.iter().flat_map(Nic::names).collect();
        let known = known.join(", ");
        meant.retain(|nic| nic.is_called(name));
        if meant.is_empty() {
            let name = name.to_string();
            return Err(PlanError::NoNic { name, known }.into());
        }
    }
    Ok(meant)
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        Failure::new(exit(&error), &error)
    }
}

/// A login that does not hold is the file's fault, what is missing the machine's; the rest did not hold.
fn exit(error: &AccessError) -> Exit {
    match error {
        AccessError::Missing { .. } | AccessError::Denied { .. } => Exit::Lacking,
        AccessError::Failed { .. } => Exit::NotHeld,
        AccessError::Switch {
            source: SwitchError::Sonic(source),
            ..
        } => match source {
            SonicError::Login { .. }
            | SonicError::Untrusted { .. }
            | SonicError::Rights { .. }
            | SonicError::NoProfile { .. }
            | SonicError::NoMarks { .. } => Exit::Usage,
            SonicError::Unreachable(_) | SonicError::Lacks { .. } | SonicError::NoConfig { .. } => {
                Exit::Lacking
            }
            SonicError::Refused { .. }
            | SonicError::NoCheckpoint { .. }
            | SonicError::TakenBack { .. }
            | SonicError::Unsure { .. } => Exit::NotHeld,
        },
        AccessError::Switch {
            source: SwitchError::Nvue(source),
            ..
        } => match source {
            NvueError::Password { .. }
            | NvueError::Certificates { .. }
            | NvueError::Untrusted { .. }
            | NvueError::Unauthorized { .. }
            | NvueError::Forbidden { .. } => Exit::Usage,
            NvueError::Unreachable { .. } | NvueError::NotFound { .. } | NvueError::Dialect => {
                Exit::Lacking
            }
            NvueError::Conflict { .. }
            | NvueError::Refused { .. }
            | NvueError::Unsure { .. }
            | NvueError::Unexpected { .. } => Exit::NotHeld,
        },
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let exit = match error {
            JournalError::Open { .. } => Exit::Usage,
            JournalError::Busy { .. } | JournalError::Damaged { .. } => Exit::NotHeld,
            JournalError::Homeless | JournalError::File { .. } => Exit::Lacking,
        };
        Failure::new(exit, &error)
    }
}
