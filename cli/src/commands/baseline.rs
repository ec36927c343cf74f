//! `baseline save`: the figures of a run as a file for git.

use longhaul_ci::baseline::{Baseline, BaselineError, Older};
use longhaul_ci::verdict::Verdict;
use longhaul_reports::file;
use longhaul_reports::folder::ResultFolder;
use serde_json::json;

use crate::args::{BaselineCommand, BaselineSaveArgs};
use crate::commands::spare_results;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, count};

/// Runs a subcommand.
pub fn run(command: &BaselineCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        BaselineCommand::Save(args) => save(args, output),
    }
}

fn save(args: &BaselineSaveArgs, output: Output) -> Result<Exit, Failure> {
    spare_results(&args.to)?;
    let folder = ResultFolder::open(&args.result)?;
    let baseline = Baseline::of(&folder.result)?;
    let older = match args.force {
        true => Older::Replace,
        false => Older::Keep,
    };
    baseline.save(&args.to, older)?;
    output.either(
        &json!({ "file": args.to, "figures": baseline.figures.len(), "run": baseline.run }),
        || {
            format!(
                "{} of {} in {}: commit it, and hold later runs against it with `longhaul gate`",
                count(baseline.figures.len(), "figure"),
                baseline.run.name,
                args.to.display()
            )
        },
    );
    Ok(Exit::Fine)
}

impl From<BaselineError> for Failure {
    fn from(error: BaselineError) -> Self {
        let exit = match &error {
            BaselineError::NotPassed(Verdict::Unfaithful { .. }) => Exit::Unfaithful,
            BaselineError::NotPassed(_) | BaselineError::Empty => Exit::NotHeld,
            _ => Exit::Usage,
        };
        match &error {
            BaselineError::Io { action: "read", .. } => Failure::with_help(
                exit,
                error.to_string(),
                "a baseline is a file: `longhaul baseline save RESULT --to FILE` makes one",
            ),
            BaselineError::Io { source, .. } => match file::way_out(source) {
                Some(help) => Failure::with_help(exit, error.to_string(), help),
                None => Failure::new(exit, &error),
            },
            _ => Failure::new(exit, &error),
        }
    }
}
