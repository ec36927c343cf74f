//! `report`: runs as a page, as a chart, or as what other programs read.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use longhaul_reports::chart::{ChartError, Format, Kind, Look, Picture};
use longhaul_reports::combine;
use longhaul_reports::export::{Export, write_flent};
use longhaul_reports::file;
use longhaul_reports::folder::Opened;
use longhaul_reports::html::{self, REPORT_FILE};
use longhaul_reports::sweep::Sweep;
use serde_json::json;

use crate::args::{LookArgs, ReportArgs};
use crate::commands::{spare_results, write};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Reads what is whole of every result and writes what was asked for.
pub fn run(args: &ReportArgs, output: Output) -> Result<Exit, Failure> {
    match (args.chart, args.export, &args.to) {
        (Some(_), _, to) => drop(format(&args.look, to.as_deref())?),
        (None, None, Some(to)) => spare_results(to).and_then(|()| page_ending(to))?,
        (None, _, _) => {}
    }
    let paths = named(&args.results, output)?;
    let mut results = Vec::new();
    for path in &paths {
        let opened = Opened::read(path)?;
        for remark in &opened.remarks {
            output.aside(format!("note: {}: {remark}", path.display()));
        }
        results.push(opened);
    }
    let files = match (args.chart, args.export) {
        (Some(kind), _) => chart(kind, &results, args)?,
        (None, Some(export)) => return exported(export, &results, args, output),
        (None, None) => page(&results, &paths, args)?,
    };
    told(&results, &files, output);
    Ok(Exit::Fine)
}

/// `paths` without what sweeps wrote beside their results, which a shell's `SWEEP/*` names, too.
fn named(paths: &[PathBuf], output: Output) -> Result<Vec<&Path>, Failure> {
    let mut named = Vec::new();
    let mut left_out = Vec::new();
    for path in paths {
        match Sweep::wrote(path)? {
            true => left_out.push(path.display().to_string()),
            false => named.push(path.as_path()),
        }
    }
    if named.is_empty() {
        return Err(Failure::with_help(
            Exit::Usage,
            format!("{}: a sweep's, but no result", left_out.join(", ")),
            "name the sweep's folder",
        ));
    }
    if !left_out.is_empty() {
        let files = left_out.join(", ");
        output.aside(format!(
            "note: left out, as the sweep wrote it beside its results: {files}"
        ));
    }
    Ok(named)
}

/// Says what was written, but not of what went down a pipe or to standard output, which is to hold nothing else.
fn told(results: &[Opened], files: &[PathBuf], output: Output) {
    let files: Vec<&PathBuf> = files.iter().filter(|one| !file::is_stream(one)).collect();
    if files.is_empty() && !output.is_json() {
        return;
    }
    let remarks: Vec<&[String]> = results.iter().map(|one| one.remarks.as_slice()).collect();
    output.either(&json!({ "files": files, "remarks": remarks }), || {
        let files: Vec<String> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        files.join("\n")
    });
}

fn page(results: &[Opened], paths: &[&Path], args: &ReportArgs) -> Result<Vec<PathBuf>, Failure> {
    let file = args.to.clone().unwrap_or_else(|| match paths {
        [folder] if folder.is_dir() => folder.join(REPORT_FILE),
        _ => PathBuf::from(REPORT_FILE),
    });
    spare_results(&file)?;
    html::write(results, &file)?;
    Ok(vec![file])
}

/// A browser goes by the ending; and who writes another has forgotten an option. None is that of a pipe or `/dev/stdout`.
fn page_ending(to: &Path) -> Result<(), Failure> {
    let ending = to.extension();
    if ending.is_none_or(|ending| ending == "html" || ending == "htm") {
        return Ok(());
    }
    Err(Failure::with_help(
        Exit::Usage,
        format!(
            "--to {}: a report is a page, and its ending is neither .html nor .htm",
            to.display()
        ),
        "let it end in one of them; --chart KIND draws a chart (.svg, .png), --export FORMAT writes what other programs read",
    ))
}

fn chart(kind: Kind, results: &[Opened], args: &ReportArgs) -> Result<Vec<PathBuf>, Failure> {
    let format = format(&args.look, args.to.as_deref())?;
    let file = args
        .to
        .clone()
        .unwrap_or_else(|| Path::new(kind.name()).with_extension(format.ending()));
    let numbers = file.with_extension("csv");
    if numbers == file {
        return Err(Failure::with_help(
            Exit::Usage,
            format!(
                "--to {}: a chart's numbers would go over its picture",
                file.display()
            ),
            "let it end in .svg or .png: the numbers are written beside it, ending in .csv",
        ));
    }
    spare_results(&file)?;
    spare_results(&numbers)?;
    if kind == Kind::Map && results.len() > 1 {
        return Err(Failure::with_help(
            Exit::Usage,
            "--chart map: several results have several maps",
            "name one result",
        ));
    }
    if args.look.setting.is_some() && kind != Kind::AgainstSetting {
        return Err(Failure::with_help(
            Exit::Usage,
            format!("--chart {}: it is drawn against no setting", kind.name()),
            "take --chart against-setting, or leave out --setting",
        ));
    }
    let look = Look {
        theme: args.look.theme,
        size: args.look.size,
        font_size: args.look.font_size,
        title: args.look.title.clone(),
        baseline: args.look.baseline.clone(),
        setting: args.look.setting.clone(),
    };
    let picture = Picture::draw(kind, &combine(results), &look)?;
    Ok(picture.write(&file, format)?)
}

/// What was asked for, else what the file's name says.
fn format(look: &LookArgs, to: Option<&Path>) -> Result<Format, Failure> {
    let ending = to.and_then(Path::extension).and_then(OsStr::to_str);
    let by_ending = ending.and_then(|ending| {
        let mut all = Format::ALL.iter();
        all.find(|(name, _)| *name == ending)
            .map(|(_, format)| *format)
    });
    match (look.format, by_ending, to) {
        // Who opens it goes by the ending.
        (Some(format), Some(other), Some(to)) if format != other => Err(Failure::with_help(
            Exit::Usage,
            format!(
                "--to {}: its ending is .{}, and --format is {}",
                to.display(),
                other.ending(),
                format.ending()
            ),
            "leave out --format, or let the file end as it says",
        )),
        (Some(format), _, _) | (None, Some(format), _) => Ok(format),
        (None, None, None) => Ok(Format::default()),
        (None, None, Some(to)) => Err(Failure::with_help(
            Exit::Usage,
            format!("--to {}: its ending is neither .svg nor .png", to.display()),
            "let it end in one of them, or say which with --format",
        )),
    }
}

fn exported(
    export: Export,
    results: &[Opened],
    args: &ReportArgs,
    output: Output,
) -> Result<Exit, Failure> {
    if let Some(to) = &args.to {
        spare_results(to)?;
    }
    let Some(text) = export.text(results) else {
        let Some(to) = &args.to else {
            return Err(Failure::with_help(
                Exit::Usage,
                format!("--export {}: that is no text for a terminal", export.name()),
                "name a file with --to",
            ));
        };
        let files = match export {
            Export::Flent => {
                write_flent(results, to).map_err(|error| Failure::new(Exit::Usage, &error))?
            }
            _ => columns(results, to)?,
        };
        told(results, &files, output);
        return Ok(Exit::Fine);
    };
    if text.is_empty() {
        return Err(Failure::with_help(
            Exit::Usage,
            format!(
                "--export {}: what was run here are replays or programs, no collective by size",
                export.name()
            ),
            "take csv, json or markdown: they have what programs measured and what a replay's steps took",
        ));
    }
    match &args.to {
        Some(to) => {
            write(to, &text)?;
            told(results, std::slice::from_ref(to), output);
        }
        None if output.is_json() && export != Export::Json => {
            return Err(Failure::with_help(
                Exit::Usage,
                "--json leaves standard output to JSON",
                "name a file for the export with --to, or take --export json",
            ));
        }
        None => output.json_text(text.as_bytes()),
    }
    Ok(Exit::Fine)
}

#[cfg(feature = "parquet")]
fn columns(results: &[Opened], to: &Path) -> Result<Vec<PathBuf>, Failure> {
    longhaul_reports::export::write_parquet(results, to)
        .map_err(|error| Failure::new(Exit::Usage, &error))
}

#[cfg(not(feature = "parquet"))]
fn columns(_: &[Opened], _: &Path) -> Result<Vec<PathBuf>, Failure> {
    Err(Failure::with_help(
        Exit::Lacking,
        "--export parquet: this longhaul was built without it",
        "build it with `cargo build --release --features parquet`, or take --export csv",
    ))
}

impl From<ChartError> for Failure {
    fn from(error: ChartError) -> Self {
        match error {
            ChartError::Folder(error) => error.into(),
            other => Failure::new(Exit::Usage, &other),
        }
    }
}
