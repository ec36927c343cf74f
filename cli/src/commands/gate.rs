//! `gate`: a run held against a baseline.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use longhaul_ci::baseline::Baseline;
use longhaul_ci::gate::{self, GateError, Judgement, Ruling, Tolerances};
use longhaul_ci::history::{self, Entry, HistoryError};
use longhaul_ci::metric::{Metric, Tolerance};
use longhaul_reports::chart::{self, Trend};
use longhaul_reports::file;
use longhaul_reports::folder::ResultFolder;
use serde_json::json;

use crate::args::GateArgs;
use crate::commands::{spare_results, write};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Where CI servers say which commit they are at.
const COMMIT_VARIABLES: [&str; 2] = ["GITHUB_SHA", "CI_COMMIT_SHA"];

/// Judges, writes what was asked for, and exits by the ruling.
pub fn run(args: &GateArgs, output: Output) -> Result<Exit, Failure> {
    // What is wrong with these is so at every commit: a bisection ends.
    let whole = || {
        let written = [&args.junit, &args.markdown, &args.history];
        written
            .into_iter()
            .flatten()
            .try_for_each(|path| spare_results(path))?;
        if let Some(history) = &args.history {
            spare_history(history)?;
        }
        spare_each_other(args)?;
        Ok::<_, Failure>((
            tolerances(&args.tolerance)?,
            Baseline::open(&args.baseline)?,
        ))
    };
    let (tolerances, baseline) = match whole() {
        Err(failure) if args.bisect => {
            output.failure(&failure);
            return Ok(Exit::EndBisection);
        }
        checked => checked?,
    };
    let exit = match judged(args, &baseline, &tolerances, output) {
        Err(failure) if args.bisect => {
            output.failure(&failure);
            Exit::Skip
        }
        exit => exit?,
    };
    Ok(match (exit, args.bisect) {
        (Exit::Usage | Exit::Unfaithful | Exit::Undecided, true) => Exit::Skip,
        (exit, _) => exit,
    })
}

fn judged(
    args: &GateArgs,
    baseline: &Baseline,
    tolerances: &Tolerances,
    output: Output,
) -> Result<Exit, Failure> {
    let folder = ResultFolder::open(&args.result)?;
    let judgement = gate::gate(&folder.result, baseline, tolerances)?;
    // Before anything is written: a file that cannot be keeps nobody from reading what came of it.
    output.text(judgement.text(output.width()));
    if args.github {
        // The runner reads commands from either stream; standard output may be JSON.
        for annotation in judgement.annotations() {
            let _ = writeln!(io::stderr(), "{annotation}");
        }
    }
    let failure = written(args, &judgement, output);
    Ok(output.answered(json!(judgement), exit(&judgement.ruling), failure.as_ref()))
}

/// Writes what was asked for; what cannot be written keeps nothing else from being so.
fn written(args: &GateArgs, judgement: &Judgement, output: Output) -> Option<Failure> {
    let mut trails = BTreeMap::new();
    let history = args.history.as_ref().map_or(Ok(()), |path| {
        let mut entries = history::read(path)?;
        trails = history::trails(&entries, &judgement.run.experiment);
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let entry = Entry::of(judgement, commit(args), now.to_string());
        history::append(path, &entry)?;
        entries.push(entry);
        for chart in draw(&entries, judgement, path)? {
            output.text(format!("trend: {}", chart.display()));
        }
        Ok(())
    });
    let junit = args.junit.as_ref().map_or(Ok(()), |path| {
        let junit = judgement.junit();
        write(
            path,
            &junit.map_err(|error| Failure::new(Exit::Usage, &error))?,
        )
    });
    let markdown = args
        .markdown
        .as_ref()
        .map_or(Ok(()), |path| write(path, &judgement.markdown(&trails)));
    [history, junit, markdown].into_iter().find_map(Result::err)
}

/// Nothing that is written goes over the baseline, nor over another of them.
fn spare_each_other(args: &GateArgs) -> Result<(), Failure> {
    let files = [
        ("--baseline", Some(&args.baseline)),
        ("--junit", args.junit.as_ref()),
        ("--markdown", args.markdown.as_ref()),
        ("--history", args.history.as_ref()),
    ];
    let whole = |path: &PathBuf| {
        path.canonicalize()
            .or_else(|_| std::path::absolute(path))
            .ok()
    };
    let mut earlier = BTreeMap::new();
    for (option, path) in files {
        let Some(path) = path.filter(|path| !file::is_stream(path)) else {
            continue;
        };
        if let Some(other) = earlier.insert(whole(path), option) {
            return Err(Failure::with_help(
                Exit::Usage,
                format!("{option} {}: this is the file of {other}", path.display()),
                "give each a file of its own",
            ));
        }
    }
    Ok(())
}

/// The trend is drawn into pictures that are named for the history.
fn spare_history(history: &Path) -> Result<(), Failure> {
    let ending = history.extension();
    if ending.is_some_and(|ending| ending == "svg" || ending == "png") {
        return Err(Failure::with_help(
            Exit::Usage,
            format!(
                "--history {}: the chart of it would go over it",
                history.display()
            ),
            "let it end in .jsonl: the chart is written beside it, ending in .svg and .png",
        ));
    }
    Ok(())
}

fn exit(ruling: &Ruling) -> Exit {
    match ruling {
        Ruling::Passed => Exit::Fine,
        Ruling::Regressed { .. } | Ruling::Wrong { .. } => Exit::NotHeld,
        Ruling::Undecided { .. } => Exit::Undecided,
        Ruling::Unfaithful { .. } => Exit::Unfaithful,
    }
}

/// Every `METRIC=PERCENT`.
fn tolerances(texts: &[String]) -> Result<Tolerances, Failure> {
    texts.iter().map(|text| tolerance(text)).collect()
}

fn tolerance(text: &str) -> Result<(Metric, Tolerance), Failure> {
    let wrong = |message: &str, help: String| {
        Failure::with_help(Exit::Usage, format!("--tolerance {text}: {message}"), help)
    };
    let example = || "write --tolerance METRIC=PERCENT, as in --tolerance busbw=3".to_owned();
    let (name, percent) = text
        .split_once('=')
        .ok_or_else(|| wrong("no percentage", example()))?;
    let metric = Metric::of_name(name).ok_or_else(|| {
        let names = Metric::ALL.map(Metric::name).join(", ");
        wrong("no such metric", format!("there are {names}"))
    })?;
    let percent = percent.trim_end_matches('%').parse().ok();
    let tolerance = percent
        .and_then(Tolerance::from_percent)
        .ok_or_else(|| wrong("no percentage from 0 to below 100", example()))?;
    Ok((metric, tolerance))
}

/// What the history calls this run.
fn commit(args: &GateArgs) -> String {
    let told = || {
        COMMIT_VARIABLES
            .iter()
            .find_map(|name| std::env::var(name).ok())
    };
    args.commit
        .clone()
        .or_else(told)
        .unwrap_or_else(|| "unnamed".to_owned())
}

/// The judged figures over all entries of this experiment, beside the history.
fn draw(entries: &[Entry], judgement: &Judgement, path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let run = &judgement.run;
    let entries: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.experiment == run.experiment)
        .collect();
    let judged = judgement.rows.iter().filter(|row| row.tolerance.is_some());
    let trend = Trend {
        subject: run.name.clone(),
        commits: entries.iter().map(|entry| entry.commit.clone()).collect(),
        figures: judged
            .map(|row| {
                let name = row.pair.name();
                let values = entries.iter().map(|entry| {
                    let told = entry.ruling.tells().then_some(&entry.figures);
                    told?.get(&name).copied()
                });
                (name.clone(), values.collect())
            })
            .collect(),
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(chart::draw_trend(
        &trend,
        folder.unwrap_or(Path::new(".")),
        &name,
    )?)
}

impl From<GateError> for Failure {
    fn from(error: GateError) -> Self {
        let help = match &error {
            GateError::Unlike(_) => {
                "run the baseline's experiment with its seed in its kind of lab, or save a new baseline with `longhaul baseline save`"
            }
            GateError::Interrupted(_) => "a gate needs a run that came to its end",
        };
        Failure::with_help(Exit::Usage, error.to_string(), help)
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        Failure::new(Exit::Usage, &error)
    }
}
