//! `--lab physical`: the same experiment on machines that are there.

use std::path::PathBuf;
use std::sync::Arc;

use longhaul_emulator::keeper::{LabName, Purpose, Registration};
use longhaul_emulator::sandbox::Privilege;
use longhaul_topologies::Inventory;
use longhaul_workloads::experiment::{
    self, CapturePlan, Experiment, LabFacts, RunError, RunOptions,
};

use super::{carry_out, command_line, folder, load};
use crate::args::{Links, RunArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Runs an experiment on the machines of an inventory: nothing is built, so there is no sandbox, and nothing but what is asked of
/// those machines leaves this one.
pub(super) fn run(args: &RunArgs, output: Output) -> Result<Exit, Failure> {
    let (experiment, inventory) = checked(args)?;
    let out = folder(args, &experiment)?;
    experiment::check(&experiment, &out)?;
    let links = args.links.into();
    let name = LabName::of_this_run();
    let mut registration = Registration::claim(name, Purpose::Run, &experiment.name, links)?;
    let (private, desk) = registration.hold_there()?;
    let options = RunOptions {
        out,
        links,
        capture: CapturePlan::new(&[], args.capture_bytes, &experiment)?,
        privilege: Privilege::of_this_process(),
        lab: LabFacts::Physical {
            command: command_line(),
            inventory: Box::new(inventory),
            folder: private,
        },
        executable: PathBuf::from("/proc/self/exe"),
        desk: Some(Arc::new(desk)),
    };
    carry_out(&experiment, &options, args, output)
}

/// The experiment on the machines of its inventory, where it can run.
pub(in crate::commands) fn checked(args: &RunArgs) -> Result<(Experiment, Inventory), Failure> {
    let path = args.inventory.as_deref();
    let inventory = Inventory::read(path.expect("the options were checked"))?;
    refuse_what_cannot_be(args)?;
    let (experiment, _) = load(args, Some(&inventory))?;
    if experiment.runs_programs() {
        return Err(Failure::with_help(
            Exit::Usage,
            RunError::ProgramsThere.to_string(),
            "start the program there by its own launcher, or run this with --lab host or --lab virtual",
        ));
    }
    Ok((experiment, inventory))
}

/// What is an engine's or a kernel's, or needs a desk.
fn refuse_what_cannot_be(args: &RunArgs) -> Result<(), Failure> {
    let unchangeable = "a physical lab's links cannot be changed";
    let refusals = [
        (args.links != Links::Auto, "--links", unchangeable),
        (
            !args.capture.is_empty(),
            "--capture",
            "the packets of a physical lab pass no engine of longhaul's",
        ),
        (
            args.otlp.is_some(),
            "--otlp",
            "the machines of a physical lab are not read for it; the run's telemetry.csv has what they count",
        ),
    ];
    match refusals.iter().find(|(given, ..)| *given) {
        None => Ok(()),
        Some((_, option, reason)) => Err(Failure::with_help(
            Exit::Usage,
            format!("{option}: {reason}"),
            "leave it out, or run with --lab host",
        )),
    }
}
