//! `reproduce`: experiments with what they must show.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use clap::ValueEnum;
use longhaul_ci::claim::{self, Claim, Judgement, Verdict};
use longhaul_reports::folder::{RESULT_FILE, ResultFolder, ResultWriter};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::args::ReproduceArgs;
use crate::commands::interrupt::interrupted;
use crate::commands::write;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::Output;

/// What was found, in the folder for results.
const VERDICTS: &str = "verdicts";

/// Runs each claim's experiment and judges it; everything a file can have wrong is said before anything is run.
pub fn run(args: &ReproduceArgs, output: Output) -> Result<Exit, Failure> {
    if args.list {
        return list(output);
    }
    let names: Vec<&str> = match args.all {
        true => claim::entries().map(|(_, entry)| entry.name).collect(),
        false => args.claim.iter().map(String::as_str).collect(),
    };
    let claims: Vec<(Claim, String)> = names
        .into_iter()
        .map(claim::open)
        .collect::<Result<_, _>>()?;
    let mut judgements = Vec::new();
    if let Some(result) = &args.result {
        let result = ResultFolder::open(result)?.result;
        for (claim, _) in &claims {
            show(&mut judgements, Judgement::of(claim, &result), output);
        }
        output.json(&json!({ "judgements": judgements }));
        return Ok(exit(&judgements));
    }
    let out = folder(args)?;
    for (claim, text) in &claims {
        let file = out.join(&claim.name).with_extension("yaml");
        write(&file, text)?;
        let result = out.join(&claim.name);
        output.aside(format!("{}: {}", claim.name, claim.title));
        let code = execute(args, &file, &result)?;
        if !result.join(RESULT_FILE).is_file() {
            // It has said why.
            return Ok(Exit::Program(code));
        }
        let result = ResultFolder::open(&result)?.result;
        show(&mut judgements, Judgement::of(claim, &result), output);
        record(&out, &judgements)?;
        if code == Exit::Interrupted.code() {
            return Ok(Exit::Interrupted);
        }
    }
    output.either(&json!({ "folder": out, "judgements": judgements }), || {
        summary(&judgements, output.width()) + &format!("\nresults: {}", out.display())
    });
    Ok(exit(&judgements))
}

/// Every claim that comes with longhaul.
fn list(output: Output) -> Result<Exit, Failure> {
    let claims: Vec<(u32, Claim)> = claim::entries()
        .map(|(number, entry)| Ok((number, claim::open(entry.name)?.0)))
        .collect::<Result<_, Failure>>()?;
    let rows: Vec<_> = claims
        .iter()
        .map(|(number, claim)| json!({ "number": number, "claim": claim }))
        .collect();
    output.either(&rows, || {
        let mut table = Listing::new(&["NUMBER", "CLAIM", "WHAT IT SAYS"]);
        for (number, claim) in &claims {
            table.row([number.to_string(), claim.name.clone(), claim.title.clone()]);
        }
        table.render(0..1, output.width())
    });
    Ok(Exit::Fine)
}

/// `run` of a claim's file, as a process of its own: a lab takes its process over. Answers its exit code.
fn execute(args: &ReproduceArgs, file: &Path, out: &Path) -> Result<u8, Failure> {
    let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map_or(String::new(), |value| value.get_name().to_owned())
    };
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command.arg("run").arg(file).arg("--out").arg(out);
    command.args(["--lab", &name(&|| args.lab.to_possible_value())]);
    command.args(["--links", &name(&|| args.links.to_possible_value())]);
    if let Some(seed) = args.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    for setting in &args.set {
        command.args(["--set", setting]);
    }
    // Its tables are in its folder; what it says on the way, and what is wrong, is for the user.
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Lacking, &error))?;
    let status = runtime.block_on(async {
        let interrupt = interrupted()?;
        let mut child = command.spawn()?;
        tokio::select! {
            status = child.wait() => status,
            () = interrupt => {
                // It may have had the same signal from the terminal, and does not mind.
                if let Some(id) = child.id() {
                    let _ = kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM);
                }
                child.wait().await
            }
        }
    });
    let status: ExitStatus = status.map_err(|error| Failure::new(Exit::Lacking, &error))?;
    Ok(match status.code() {
        Some(code) => u8::try_from(code).unwrap_or(u8::MAX),
        None => Exit::Interrupted.code(),
    })
}

/// Shows a judgement, and keeps it.
fn show(judgements: &mut Vec<Judgement>, judgement: Judgement, output: Output) {
    output.text(judgement.text(output.width()));
    judgements.push(judgement);
}

/// Writes down what was found so far.
fn record(out: &Path, judgements: &[Judgement]) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(judgements).expect("judgements are plain data");
    write(&out.join(VERDICTS).with_extension("json"), &(json + "\n"))?;
    let pages: Vec<String> = judgements.iter().map(Judgement::markdown).collect();
    write(&out.join(VERDICTS).with_extension("md"), &pages.join("\n"))
}

fn summary(judgements: &[Judgement], width: usize) -> String {
    let mut table = Listing::new(&["CLAIM", "VERDICT", "WHAT IT SAYS"]);
    for judgement in judgements {
        table.row([
            judgement.claim.clone(),
            judgement.verdict.words().to_owned(),
            judgement.title.clone(),
        ]);
    }
    table.render(0..0, width)
}

/// The folder for the results, made.
fn folder(args: &ReproduceArgs) -> Result<PathBuf, Failure> {
    let folder = args.out.clone().unwrap_or_else(|| {
        let now = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
        Path::new("longhaul-results").join(format!("reproduce-{now}"))
    });
    let folder = std::path::absolute(folder).map_err(|error| Failure::new(Exit::Usage, &error))?;
    ResultWriter::check(&folder)?;
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::new_usage(&format!("{}: {error}", folder.display())))?;
    Ok(folder)
}

fn exit(judgements: &[Judgement]) -> Exit {
    let unfaithful = |one: &Judgement| matches!(one.verdict, Verdict::Unfaithful { .. });
    if judgements.iter().any(unfaithful) {
        return Exit::Unfaithful;
    }
    let held = |judgement: &Judgement| judgement.verdict == Verdict::Reproduced;
    match judgements.iter().all(held) {
        true => Exit::Fine,
        false => Exit::NotHeld,
    }
}
