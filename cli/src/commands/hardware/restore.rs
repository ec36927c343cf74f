//! `hardware restore`: what was applied, put back, or kept for good.

use longhaul_emulator::hardware::journal::{Entry, Journal, Written};
use longhaul_emulator::hardware::machine::Machine;
use longhaul_emulator::hardware::restore::{Over, Return, ReturnState, look, restore};
use serde_json::json;

use super::apply::journals;
use super::tree;
use crate::args::HardwareRestoreArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::{Output, count};

/// Puts everything back, shows what would be, or lets it stay.
pub fn run(args: &HardwareRestoreArgs, output: Output) -> Result<Exit, Failure> {
    let folder = journals(&args.journal, &args.tree)?;
    let Some((mut journal, writes)) = Journal::open(&folder)? else {
        output.either(&json!({ "restored": [], "log": null }), || {
            format!(
                "nothing to put back: {} has no open journal",
                folder.display()
            )
        });
        return Ok(Exit::Fine);
    };
    if args.keep {
        return keep(journal, &writes, args.dry_run, output);
    }
    let mut machine = Machine::new(tree(&args.tree)?, args.journal.patience.duration());
    if args.dry_run {
        let returns = look(&writes, &mut machine);
        output.either(&json!({ "restored": returns, "log": null }), || {
            table(&returns, output.width())
        });
        journal.check()?;
        return Ok(Exit::Fine);
    }
    let over = match args.force {
        true => Over::Write,
        false => Over::Refuse,
    };
    let (returns, unlogged) = restore(&writes, over, &mut machine, &mut journal);
    let failure = failure(&returns)
        .or_else(|| unlogged.map(Failure::from))
        .or_else(|| journal.check().err().map(Failure::from));
    let log = match &failure {
        None => Some(journal.close()?),
        Some(_) => None,
    };
    let mut document = json!({ "restored": returns, "log": log });
    if let Some(failure) = failure {
        if output.is_json() {
            document["error"] = failure.to_json();
            output.json(&document);
            return Ok(failure.exit());
        }
        output.text(table(&returns, output.width()));
        return Err(failure);
    }
    output.either(&document, || {
        let log = log.unwrap_or_default();
        let summary = format!(
            "the old values are there again; the log is {}",
            log.display()
        );
        match returns.is_empty() {
            true => summary,
            false => format!("{}\n\n{summary}", table(&returns, output.width())),
        }
    });
    Ok(Exit::Fine)
}

/// Why not all is back.
fn failure(returns: &[Return]) -> Option<Failure> {
    let of = |is: fn(&ReturnState) -> bool| returns.iter().filter(|one| is(&one.state)).count();
    let moved = of(|state| *state == ReturnState::Moved);
    let failed = of(|state| matches!(state, ReturnState::Failed(_)));
    if moved > 0 {
        let message = format!(
            "somebody else has since set {}; nothing was put back",
            count(moved, "place")
        );
        let help = "look at them above; --force writes over them, --keep lets all stay as it is";
        return Some(Failure::with_help(Exit::NotHeld, message, help));
    }
    (failed > 0).then(|| {
        let message = format!("{} could not be put back", count(failed, "place"));
        let help =
            "the others are; mend what is said above and run it again, or give it up with --keep: the journal is still open";
        Failure::with_help(Exit::NotHeld, message, help)
    })
}

fn keep(
    mut journal: Journal,
    writes: &[Written],
    is_dry: bool,
    output: Output,
) -> Result<Exit, Failure> {
    let kept = count(writes.len(), "write");
    if is_dry {
        output.either(&json!({ "kept": writes.len(), "log": null }), || {
            format!("{kept} would stay for good")
        });
        return Ok(Exit::Fine);
    }
    for written in writes {
        let number = written.write.number;
        journal.append(Entry::Kept { number })?;
    }
    let log = journal.close()?;
    output.either(&json!({ "kept": writes.len(), "log": log }), || {
        format!(
            "{kept} stay for good; the old values are in {}",
            log.display()
        )
    });
    Ok(Exit::Fine)
}

fn table(returns: &[Return], width: usize) -> String {
    if returns.is_empty() {
        return "nothing was written".to_owned();
    }
    let mut table = Listing::new(&["place", "is", "was", "state"]);
    for one in returns {
        let found = one.found.as_ref();
        table.row([
            one.place.to_string(),
            found.map_or_else(|| "-".to_owned(), ToString::to_string),
            one.old.to_string(),
            words(&one.state),
        ]);
    }
    table.render(0..0, width)
}

fn words(state: &ReturnState) -> String {
    match state {
        ReturnState::ThereAlready => "as it was already".to_owned(),
        ReturnState::ToWrite => "to be put back".to_owned(),
        ReturnState::Moved => "set by somebody else since".to_owned(),
        ReturnState::Restored => "put back".to_owned(),
        ReturnState::Failed(reason) => reason.clone(),
    }
}
