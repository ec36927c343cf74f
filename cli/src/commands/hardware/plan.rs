//! `hardware plan`: what `apply` would change.

use std::path::{Path, absolute};
use std::time::Duration;

use longhaul_emulator::hardware::machine::Machine;
use longhaul_emulator::hardware::plan::{self, Plan, PlanError};
use longhaul_topologies::Document;
use longhaul_topologies::hardware::{self, Login, Settings, Trust};

use super::{nics, tree};
use crate::args::HardwareFileArgs;
use crate::commands::overrides;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::{Output, count};

/// Shows the plan.
pub fn run(args: &HardwareFileArgs, output: Output) -> Result<Exit, Failure> {
    // Nothing is applied, so nothing is waited for.
    let (plan, _) = make(args, Duration::ZERO, output)?;
    output.either(&plan, || describe(&plan, output.width()));
    Ok(Exit::Fine)
}

/// The plan, and the machine that it is about. A switch may take as long as `patience` to apply its part.
pub fn make(
    args: &HardwareFileArgs,
    patience: Duration,
    output: Output,
) -> Result<(Plan, Machine), Failure> {
    let settings = settings(args)?;
    warn(&settings, output);
    let tree = tree(&args.tree)?;
    let nics = nics(&tree);
    let mut machine = Machine::new(tree, patience);
    let plan = plan::plan(&settings, &nics, &mut machine)?;
    Ok((plan, machine))
}

fn settings(args: &HardwareFileArgs) -> Result<Settings, Failure> {
    let mut document = Document::read(&args.file)?;
    for (key, value) in overrides(&args.set)? {
        document.set(key, value)?;
    }
    let folder = args.file.parent().unwrap_or(Path::new(""));
    // A journal has to find the files from anywhere.
    let folder = absolute(Path::new(".").join(folder))
        .map_err(|error| Failure::new(Exit::Lacking, &error))?;
    Ok(hardware::settings(&document, &folder)?)
}

fn warn(settings: &Settings, output: Output) {
    for switch in &settings.switches {
        if let Login::Nvue(login) = switch.login()
            && login.certificate == Trust::Anybody
            && login.url.is_secure()
        {
            output.aside(format!(
                "warning: {} is believed to be {} unchecked: whoever answers there learns the password",
                login.url, switch.name
            ));
        }
    }
}

/// The plan as a table.
pub fn describe(plan: &Plan, width: usize) -> String {
    if plan.steps.is_empty() {
        let nothing = "nothing to change: all is set as the file says".to_owned();
        return nothing + &waiting(plan);
    }
    let mut table = Listing::new(&[
        "what",
        "setting",
        "is",
        "will be",
        "by",
        "what it does to traffic",
    ]);
    for step in &plan.steps {
        for change in &step.changes {
            table.row([
                step.subject.clone(),
                change.setting.clone(),
                change.old.clone(),
                change.new.clone(),
                step.place.how().to_owned(),
                step.risk.words().to_owned(),
            ]);
        }
    }
    let changes = plan.steps.iter().map(|step| step.changes.len()).sum();
    let writes = count(plan.steps.len(), "write");
    let summary = format!("{} in {writes}", count(changes, "change"));
    format!(
        "{}\n\n{summary}{}",
        table.render(0..0, width),
        waiting(plan)
    )
}

/// A line for each setting that is there and does not count yet.
fn waiting(plan: &Plan) -> String {
    let lines = plan.waiting.iter().map(|change| {
        format!(
            "\n{} waits for a reset of the firmware: it runs with {}, and will with {}",
            change.setting, change.old, change.new
        )
    });
    lines.collect()
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Access(error) => error.into(),
            PlanError::NoNic { .. } => Failure::with_help(
                Exit::Usage,
                error.to_string(),
                "`longhaul hardware list` shows them",
            ),
            PlanError::NoneInFirmware { .. } => Failure::with_help(
                Exit::Usage,
                error.to_string(),
                "`longhaul hardware controllers` shows them",
            ),
            PlanError::Same { .. }
            | PlanError::NoPart { .. }
            | PlanError::NotTaken { .. }
            | PlanError::NotStamped { .. }
            | PlanError::TooLarge { .. } => Failure::new(Exit::Usage, &error),
        }
    }
}
