//! `reproduce`: experiments with what they must show.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use longhaul_ci::claim::{self, Claim, Judgement, PlannedPoint, Verdict};
use longhaul_reports::folder::{RESULT_FILE, ResultFolder, ResultWriter};
use longhaul_reports::result::RunResult;
use longhaul_topologies::Document;
use longhaul_topologies::document::DocumentPath;
use longhaul_workloads::experiment::{self, ExperimentSource};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::args::ReproduceArgs;
use crate::commands::child::{Children, Ended};
use crate::commands::run::{lay, results};
use crate::commands::subject::Subject;
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
    let claims = claims(args)?;
    let mut judgements = Vec::new();
    if let Some(path) = &args.result {
        let folder = ResultFolder::open(path)?;
        for Asked { claim, .. } in &claims {
            is_of(claim, &folder.result, path)?;
        }
        for Asked { claim, .. } in &claims {
            show(&mut judgements, Judgement::of(claim, &folder), output);
        }
        output.json(&json!({ "judgements": judgements }));
        return Ok(exit(&judgements));
    }
    let out = results(args.out.as_deref(), "reproduce")?;
    ResultWriter::check(&out)?;
    for asked in &claims {
        asked.check(args, &out)?;
    }
    std::fs::create_dir_all(&out)
        .map_err(|error| Failure::new_usage(&format!("cannot make {}: {error}", out.display())))?;
    let ended = in_turn(args, &claims, &out, &mut judgements, output);
    let mut found = json!({ "folder": out, "judgements": judgements });
    match ended {
        // With what was found before.
        Err(failure) if output.is_json() => {
            found["error"] = failure.to_json();
            output.json(&found);
            Ok(failure.exit())
        }
        Err(failure) => Err(failure),
        Ok(exit) => {
            output.json(&found);
            if !judgements.is_empty() {
                let summary = summary(&judgements, output.width());
                output.text(format!("{summary}\nresults: {}", out.display()));
            }
            Ok(exit)
        }
    }
}

/// A claim that was asked for.
struct Asked {
    claim: Claim,
    document: Document,
    /// The file that it was read from, absolute; none if it comes with longhaul.
    file: Option<PathBuf>,
}

fn claims(args: &ReproduceArgs) -> Result<Vec<Asked>, Failure> {
    let names: Vec<&str> = match args.all {
        true => claim::entries().map(|(_, entry)| entry.name).collect(),
        false => args.claim.iter().map(String::as_str).collect(),
    };
    let mut claims: Vec<Asked> = Vec::new();
    for name in names {
        let opened = claim::open(name).map_err(|error| Subject::Claim.or_other(name, error.into()));
        let (claim, document) = opened?;
        if claims
            .iter()
            .any(|earlier| earlier.claim.name == claim.name)
        {
            return Err(Failure::with_help(
                Exit::Usage,
                format!("{name}: there are two claims named `{}`", claim.name),
                "name each claim once, and give claims of your own names of their own",
            ));
        }
        let file = document.files().first().map(std::path::absolute);
        let file = file.transpose();
        claims.push(Asked {
            claim,
            document,
            file: file.map_err(|error| Failure::new(Exit::Usage, &error))?,
        });
    }
    Ok(claims)
}

impl Asked {
    /// Says what `run` would find wrong with the experiment, and what of it is expected and not there.
    fn check(&self, args: &ReproduceArgs, out: &Path) -> Result<(), Failure> {
        let as_it_is = self.source();
        let mut source = as_it_is.clone();
        lay(&mut source, &args.set, args.seed)?;
        let experiment = source.load()?;
        // Who runs a part of it, as with `--set stacks=[cubic]`, knows that the rest cannot be judged.
        let whole = as_it_is.load().ok();
        let points = whole.iter().chain([&experiment]);
        let points = points.flat_map(|experiment| &experiment.points);
        let points: Vec<PlannedPoint> = points
            .map(|point| PlannedPoint {
                stack: point.stack.name.clone(),
                settings: point.settings.clone(),
            })
            .collect();
        self.claim.check_points(&self.document, &points)?;
        let folder = out.join(&self.claim.name);
        Ok(experiment::check(&experiment, &folder)?)
    }

    /// The experiment as the claim's file has it.
    fn source(&self) -> ExperimentSource {
        let at = DocumentPath::root().key("experiment");
        let part = self.document.at(&at).expect("every claim has one");
        let folder = self.file.as_deref().and_then(Path::parent);
        ExperimentSource::new(part, folder.unwrap_or(Path::new(".")))
    }
}

/// Says so if `result`, which lies in `folder`, is of another experiment than the claim's: it would have none of the figures, or figures
/// of something else.
fn is_of(claim: &Claim, result: &RunResult, folder: &Path) -> Result<(), Failure> {
    let experiment = claim.experiment["name"].as_str().unwrap_or(&claim.name);
    if result.name == experiment {
        return Ok(());
    }
    Err(Failure::with_help(
        Exit::Usage,
        format!(
            "--result {}: this is a run of the experiment `{}`, and the claim `{}` is about `{experiment}`",
            folder.display(),
            result.name,
            claim.name
        ),
        format!(
            "name a run of `{experiment}`: `longhaul reproduce {}` makes one",
            claim.name
        ),
    ))
}

/// Runs and judges one claim after the other, and writes down what was found.
fn in_turn(
    args: &ReproduceArgs,
    claims: &[Asked],
    out: &Path,
    judgements: &mut Vec<Judgement>,
    output: Output,
) -> Result<Exit, Failure> {
    let mut children = Children::new()?;
    for asked in claims {
        let claim = &asked.claim;
        let name = &claim.name;
        output.aside(format!("{name}: {}", claim.title));
        let copy = out.join(name).with_extension("yaml");
        write(&copy, asked.document.text())?;
        let result = out.join(name);
        // From where it lies: what it names lies beside it.
        let file = asked.file.as_deref().unwrap_or(&copy);
        let (ended, printed) = children
            .run(&mut command(args, file, &result, output))
            .map_err(|error| Failure::new(Exit::Lacking, &error))?;
        let is_there = result.join(RESULT_FILE).is_file();
        if is_there {
            let folder = ResultFolder::open(&result)?;
            show(judgements, Judgement::of(claim, &folder), output);
            record(out, judgements)?;
        } else {
            // There is nothing to it, so that the same command can be typed again.
            let _ = std::fs::remove_file(&copy);
        }
        match ended {
            Ended::Interrupted => return Ok(Exit::Interrupted),
            Ended::Killed(signal) => {
                let help = match signal == Signal::SIGKILL as i32 {
                    true => {
                        "a machine that is short of memory ends processes so, and the kernel's log (`dmesg`) tells; run it again"
                    }
                    false => {
                        "run it again; if it ends so again, that is a defect of longhaul's or of this machine"
                    }
                };
                return Err(Failure::with_help(
                    Exit::NotHeld,
                    format!("{name}: its run was {ended}"),
                    help,
                ));
            }
            // It has said why, with JSON here.
            Ended::Code(_) if !is_there && output.is_json() => {
                return Err(told(name, ended, &printed));
            }
            Ended::Code(_) if !is_there => return Ok(ended.exit()),
            Ended::Code(_) => {}
        }
    }
    Ok(exit(judgements))
}

/// What a run without a result printed as JSON, as this command's failure.
fn told(name: &str, ended: Ended, printed: &[u8]) -> Failure {
    let document: Value = serde_json::from_slice(printed).unwrap_or_default();
    let word = |field: &str| document["error"][field].as_str().map(str::to_owned);
    let message = word("message").unwrap_or_else(|| format!("its run left no result: {ended}"));
    Failure::Other {
        exit: ended.exit(),
        message: format!("{name}: {message}"),
        help: word("help"),
    }
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

/// `run` of a claim's file. Its tables are in its folder; what it says on the way, and what is wrong, is for the user.
fn command(args: &ReproduceArgs, file: &Path, out: &Path, output: Output) -> Command {
    let name = |value: Option<PossibleValue>| {
        value.map_or(String::new(), |value| value.get_name().to_owned())
    };
    let mut command = Command::new("/proc/self/exe");
    command.arg("run").arg(file).arg("--out").arg(out);
    command.args(["--lab", &name(args.lab.to_possible_value())]);
    command.args(["--links", &name(args.links.to_possible_value())]);
    if let Some(seed) = args.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    for setting in &args.set {
        command.args(["--set", setting]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if output.is_json() {
        command.arg("--json").stdout(Stdio::piped());
    }
    command
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
