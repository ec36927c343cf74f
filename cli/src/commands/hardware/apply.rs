//! `hardware apply`: the plan carried out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use longhaul_emulator::hardware::apply::{Applied, StepState, Stopped, apply};
use longhaul_emulator::hardware::journal::{self, Journal};
use longhaul_emulator::hardware::plan::{Plan, Risk, Step};
use serde_json::{Value, json};

use super::{exit, plan, tree};
use crate::args::{HardwareApplyArgs, JournalArgs, TreeArgs};
use crate::commands::interrupt::interrupted;
use crate::commands::runtime;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, count};

/// What is left to the user, as it takes the link and all other users of the NIC down.
const RESET: &str = "\nwhat is set in the firmware counts once it is reset, which longhaul does not do: `mlxfwreset` or `mstfwreset`, or the power \
                     off and on; `hardware plan` tells what still waits for it";

/// Applies what the file says, or shows it.
pub fn run(args: &HardwareApplyArgs, output: Output) -> Result<Exit, Failure> {
    if args.dry_run {
        return plan::run(&args.file, output);
    }
    let folder = journals(&args.journal, &args.file.tree)?;
    // Before anything is read: what is set now is not what was there once.
    Journal::must_be_closed(&folder)?;
    let patience = args.journal.patience.duration();
    let (plan, mut machine) = plan::make(&args.file, patience, output)?;
    if plan.steps.is_empty() {
        output.either(&report(&plan, None, None), || {
            plan::describe(&plan, output.width())
        });
        return Ok(Exit::Fine);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let _watching = watch(stop.clone(), output)?;
    let mut journal = Journal::begin(&folder)?;
    let applied = apply(&plan, &mut machine, &mut journal, &stop, &mut |step| {
        output.text(lines(step, "✓"));
    });
    let path = journal.path().to_owned();
    // Without a write there is nothing to put back, and the next `apply` need not ask for it.
    let is_untouched =
        (0..plan.steps.len()).all(|index| applied.state(index) == StepState::NotTried);
    let kept = match is_untouched {
        true => {
            journal.close()?;
            None
        }
        false => Some(path),
    };
    finish(&plan, &applied, kept.as_deref(), output)
}

fn finish(
    plan: &Plan,
    applied: &Applied,
    journal: Option<&Path>,
    output: Output,
) -> Result<Exit, Failure> {
    let Some(stopped) = &applied.stopped else {
        let kept = journal.map_or_else(String::new, |path| {
            format!(
                "; the old values are in {}, and `longhaul hardware restore` puts them back",
                path.display()
            )
        });
        output.either(&report(plan, Some(applied), journal), || {
            let reset = match plan.steps.iter().any(|step| step.risk == Risk::AtReset) {
                true => RESET,
                false => "",
            };
            format!("{} applied{kept}{reset}", count(plan.steps.len(), "write"))
        });
        return Ok(Exit::Fine);
    };
    for (index, step) in plan.steps.iter().enumerate() {
        match applied.state(index) {
            StepState::Done => {}
            StepState::Failed => output.text(lines(step, "?")),
            StepState::NotTried => output.text(lines(step, "-")),
        }
    }
    let failure = failure(stopped, plan, applied, journal.is_some());
    if output.is_json() {
        let mut document = report(plan, Some(applied), journal);
        document["error"] = failure.to_json();
        output.json(&document);
        return Ok(failure.exit());
    }
    Err(failure)
}

/// Why it stopped, what of it is set, and the way out.
fn failure(stopped: &Stopped, plan: &Plan, applied: &Applied, is_kept: bool) -> Failure {
    let exit = match stopped {
        Stopped::Access(error) => exit(error),
        Stopped::Journal(_) | Stopped::Unlogged(_) => Exit::Lacking,
        Stopped::Moved { .. } | Stopped::NotKept { .. } => Exit::NotHeld,
        Stopped::Interrupted => Exit::Interrupted,
    };
    let count = |state| {
        (0..plan.steps.len())
            .filter(|&index| applied.state(index) == state)
            .count()
    };
    let (done, failed) = (count(StepState::Done), count(StepState::Failed));
    let sure = match failed {
        0 => "",
        _ => ", 1 is not sure",
    };
    let total = plan.steps.len();
    let message = format!("{stopped}; of {total} writes {done} are done{sure}");
    let help = match is_kept {
        true => "`longhaul hardware restore` puts the old values back",
        false => "nothing was changed",
    };
    Failure::with_help(exit, message, help)
}

/// What became of each step.
fn report(plan: &Plan, applied: Option<&Applied>, journal: Option<&Path>) -> Value {
    let steps = plan.steps.iter().enumerate().map(|(index, step)| {
        let state = applied.map(|applied| applied.state(index));
        let mut step = json!(step);
        step["state"] = json!(state);
        step
    });
    json!({ "steps": steps.collect::<Vec<_>>(), "journal": journal })
}

fn lines(step: &Step, mark: &str) -> String {
    let lines = step.changes.iter().map(|change| {
        let subject = &step.subject;
        format!(
            "{mark} {subject} {}: {} → {}",
            change.setting, change.old, change.new
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Where old values are kept.
pub fn journals(args: &JournalArgs, of: &TreeArgs) -> Result<PathBuf, Failure> {
    match &args.journals {
        Some(folder) => Ok(folder.clone()),
        None => Ok(journal::folder(&tree(of)?)?),
    }
}

/// Sets `stop` on the first Ctrl-C: a write that has begun is brought to its end.
fn watch(stop: Arc<AtomicBool>, output: Output) -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = runtime()?;
    let interrupt = {
        let _inside = runtime.enter();
        interrupted().map_err(|error| Failure::new(Exit::Lacking, &error))?
    };
    runtime.spawn(async move {
        interrupt.await;
        stop.store(true, Ordering::Relaxed);
        output.aside("ending after the write under way; again to end at once");
    });
    Ok(runtime)
}
