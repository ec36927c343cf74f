//! `sweep`: an experiment in parts, each a `run` of some of its points, by Slurm or here. longhaul schedules nothing itself: it writes a
//! script, hands it over, and [reads what comes](longhaul_reports::sweep).

mod script;

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser;
use longhaul_reports::sweep::{SCRIPT_FILE, Sweep};
use serde_json::json;

use crate::args::{self, Cli, Launcher, RunArgs, SweepArgs};
use crate::commands::child::{Children, Ended};
use crate::commands::run::{check_options, load, physical, results};
use crate::commands::shell::{command_line, quoted};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, count};

/// Runs `command`: what is wrong with the experiment or the parts' options is said before any part begins.
pub fn run(args: &SweepArgs, output: Output) -> Result<Exit, Failure> {
    let options = &args.slurm;
    let slurm_is_asked = options.partition.is_some()
        || options.time.is_some()
        || options.cpus.is_some()
        || !options.sbatch.is_empty();
    if args.launcher == Launcher::Local && slurm_is_asked {
        return Err(Failure::with_help(
            Exit::Usage,
            "--launcher local: --partition, --time, --cpus and --sbatch are for Slurm",
            "leave them out, or take --launcher slurm",
        ));
    }
    let words = run_words(args);
    let run = run_args(&words)?;
    check_options(&run)?;
    let experiment = match run.lab.built() {
        Some(_) => load(&run, None)?.0,
        None => physical::checked(&run)?.0,
    };
    let folder = results(args.out.as_deref(), &experiment.name)?;
    let sweep = Sweep {
        name: experiment.name.clone(),
        command: command_line(),
        points: experiment.points.len(),
        points_per_part: args.points_per_job.get(),
    };
    let directives = match args.launcher {
        Launcher::Slurm => script::directives(&sweep, &folder, options)?,
        Launcher::Local => Vec::new(),
    };
    let lacking = |error: std::io::Error| Failure::new(Exit::Lacking, &error);
    let longhaul = std::env::current_exe().map_err(lacking)?;
    let here = std::env::current_dir().map_err(lacking)?;
    let place = script::Place {
        longhaul: utf8(&longhaul)?,
        here: utf8(&here)?,
        folder: utf8(&folder)?,
    };
    let script = script::script(&sweep, &place, &directives, &words);
    if args.dry_run {
        output.either(&json!({ "folder": folder, "script": script }), || {
            script.trim_end().to_owned()
        });
        return Ok(Exit::Fine);
    }
    sweep.create(&folder, &script)?;
    match args.launcher {
        Launcher::Slurm => submit(&sweep, &folder, output),
        Launcher::Local => in_turn(&sweep, &folder, output),
    }
}

/// The experiment and its options as `longhaul run` takes them.
fn run_words(args: &SweepArgs) -> Vec<String> {
    let settings = args.set.iter().map(|setting| format!("--set={setting}"));
    std::iter::once(args.experiment.clone())
        .chain(settings)
        .chain(args.run.iter().cloned())
        .collect()
}

/// The same as types, so that what is wrong is said here and not by every job.
fn run_args(words: &[String]) -> Result<RunArgs, Failure> {
    let command = ["longhaul", "run"].into_iter();
    let parsed = Cli::try_parse_from(command.chain(words.iter().map(String::as_str)));
    let refused = |message: &str| {
        Failure::with_help(
            Exit::Usage,
            format!("every part would be refused: {message}"),
            "after -- stand options of `longhaul run` (`longhaul run --help`)",
        )
    };
    match parsed {
        Ok(Cli {
            command: args::Command::Run(run),
            ..
        }) if run.out.is_none() && run.points.is_none() => Ok(run),
        Ok(_) => Err(refused(
            "--out and --points are what a sweep gives to each part",
        )),
        Err(error) => {
            let text = error.to_string();
            let message = text.lines().next().unwrap_or_default();
            Err(refused(message.strip_prefix("error: ").unwrap_or(message)))
        }
    }
}

/// A path in a script.
fn utf8(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| {
        Failure::with_help(
            Exit::Usage,
            format!(
                "{}: the name is no UTF-8, which a script is",
                path.display()
            ),
            "take another folder",
        )
    })
}

/// Hands the script to sbatch, and is done.
fn submit(sweep: &Sweep, folder: &Path, output: Output) -> Result<Exit, Failure> {
    let told = Command::new("sbatch")
        .arg("--parsable")
        .arg(folder.join(SCRIPT_FILE))
        .stdin(Stdio::null())
        .output();
    let failure = match told {
        Ok(told) if told.status.success() => {
            // `JOB`, or `JOB;CLUSTER` (sbatch(1), --parsable).
            let text = String::from_utf8_lossy(&told.stdout);
            let job = text.trim().split(';').next().unwrap_or_default();
            let parts = sweep.parts().count();
            output.either(
                &json!({ "folder": folder, "launcher": "slurm", "job": job, "parts": parts }),
                || {
                    format!(
                        "job {job}: {} of {}\n{}",
                        count(parts, "part"),
                        sweep.name,
                        afterwards(folder)
                    )
                },
            );
            return Ok(Exit::Fine);
        }
        Ok(told) => Failure::with_help(
            Exit::Lacking,
            format!("sbatch says: {}", told_by_sbatch(&told.stderr)),
            "`sinfo` shows whether the cluster answers and what its partitions are; --dry-run shows what sbatch was given",
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => Failure::with_help(
            Exit::Lacking,
            "there is no sbatch here",
            "type this where jobs are submitted (Debian: install slurm-client), or take --launcher local",
        ),
        Err(error) => Failure::new(Exit::Lacking, &error),
    };
    // Nothing was begun, so the same command may be typed again.
    Sweep::discard(folder)?;
    Err(failure)
}

/// What it says on standard error, in one line.
fn told_by_sbatch(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(|line| {
        let line = line.trim();
        line.strip_prefix("sbatch: error: ").unwrap_or(line)
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// Runs part after part here. Those that fail do not keep the others from being run; the first failure is the exit code.
fn in_turn(sweep: &Sweep, folder: &Path, output: Output) -> Result<Exit, Failure> {
    let lacking = |error: std::io::Error| Failure::new(Exit::Lacking, &error);
    let parts = sweep.parts().count();
    let mut children = Children::new()?;
    let mut all = Vec::new();
    for number in 0..parts {
        let log = folder.join(format!("{number}.log"));
        let log = File::create(&log).map_err(|error| Failure::Other {
            exit: Exit::Lacking,
            message: format!("cannot write {}: {error}", log.display()),
            help: None,
        })?;
        let mut part = tokio::process::Command::new("sh");
        part.arg(folder.join(SCRIPT_FILE))
            .arg(number.to_string())
            .env_remove("SLURM_ARRAY_TASK_ID")
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(lacking)?)
            .stderr(log);
        let (ended, _) = children.run(&mut part).map_err(lacking)?;
        all.push(ended);
        output.text(format!("part {number} of {parts}: {ended}"));
        if ended == Ended::Interrupted {
            break;
        }
    }
    let codes: Vec<u8> = all.iter().map(|ended| ended.code()).collect();
    output.either(
        &json!({ "folder": folder, "launcher": "local", "parts": parts, "exit_codes": codes }),
        || afterwards(folder),
    );
    let interrupted = all.iter().find(|&&ended| ended == Ended::Interrupted);
    let failed = interrupted.or_else(|| all.iter().find(|&&ended| ended != Ended::Code(0)));
    Ok(failed.map_or(Exit::Fine, |ended| ended.exit()))
}

/// Where things lie, for people.
fn afterwards(folder: &Path) -> String {
    let typed = quoted(&folder.to_string_lossy());
    format!(
        "results: {}\n`longhaul report {typed}` makes one report of them",
        folder.display()
    )
}
