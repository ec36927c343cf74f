//! Results: reports, charts, comparisons, baselines, gates.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use longhaul_reports::Theme;
use longhaul_reports::chart::{Format, Kind};
use longhaul_reports::export::Export;

use super::names;

#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Write the figures of a faithful run into a file for git, a figure a line
    Save(BaselineSaveArgs),
}

#[derive(Debug, Args)]
pub struct BaselineSaveArgs {
    /// The folder that `longhaul run` wrote
    pub result: PathBuf,

    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,

    /// Replace an older file
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct GateArgs {
    /// The folder that `longhaul run` wrote
    pub result: PathBuf,

    /// A file of `longhaul baseline save`
    #[arg(long, value_name = "FILE")]
    pub baseline: PathBuf,

    /// How much worse a metric may be, over its own tolerance; judges a metric that is not judged otherwise: `busbw=3`, `time-p99=20`
    #[arg(long, value_name = "METRIC=PERCENT")]
    pub tolerance: Vec<String>,

    /// Write a JUnit file for the CI server
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Write the judgement as Markdown, for a pull request
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,

    /// Print annotations for GitHub, on standard error
    #[arg(long)]
    pub github: bool,

    /// Append the figures to a file of JSON lines, and draw how they went beside it (.svg, .png)
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,

    /// What is judged, for the history [default: GITHUB_SHA or CI_COMMIT_SHA, where a CI server sets it]
    #[arg(long, value_name = "ID", requires = "history")]
    pub commit: Option<String>,

    /// Exit as `git bisect run` wants it: 125 where this commit cannot be judged
    #[arg(long)]
    pub bisect: bool,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The folder that `longhaul run` wrote
    pub first: PathBuf,

    /// Another; ratios are of this to the first
    pub second: PathBuf,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folders that `longhaul run` or `longhaul sweep` wrote, also of runs that were cut short; several stand side by side
    #[arg(required = true, value_name = "RESULT")]
    pub results: Vec<PathBuf>,

    /// The file to write [default: report.html in the folder of a lone result, else here; a chart goes into KIND.svg here, an export to
    /// standard output]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,

    /// Draw one chart, and write the numbers behind it beside it as CSV
    #[arg(long, value_name = "KIND", value_parser = names(Kind::ALL.map(|kind| (kind.name(), kind))))]
    pub chart: Option<Kind>,

    /// Write what other programs read
    #[arg(long, value_name = "FORMAT", conflicts_with = "chart", value_parser = names(Export::ALL))]
    pub export: Option<Export>,

    #[command(flatten)]
    pub look: LookArgs,
}

/// How a chart looks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Charts")]
pub struct LookArgs {
    /// The kind of file [default: by the ending of --to, else svg]
    #[arg(long, requires = "chart", value_parser = names(Format::ALL))]
    pub format: Option<Format>,

    /// Width and height in pixels, as in 1200x675 [default: 1000 wide, as high as it needs; twice that in a png]
    #[arg(long, requires = "chart", value_name = "WxH", value_parser = size)]
    pub size: Option<(u32, u32)>,

    /// Its colours
    #[arg(long, requires = "chart", default_value = "light", value_parser = names(Theme::ALL))]
    pub theme: Theme,

    /// The height of its ordinary text in pixels, from 4 to 100; lines and marks grow with it [default: 15]
    #[arg(long, requires = "chart", value_name = "N", value_parser = font_size)]
    pub font_size: Option<f64>,

    /// A title in place of its own
    #[arg(long, requires = "chart", value_name = "TEXT")]
    pub title: Option<String>,

    /// The stack that speedup-over-distance holds the others against [default: the first]
    #[arg(long, requires = "chart", value_name = "STACK")]
    pub baseline: Option<String>,

    /// The setting that against-setting draws against [default: the only one that varies]
    #[arg(long, requires = "chart", value_name = "NAME")]
    pub setting: Option<String>,
}

/// `1200x675`.
fn size(text: &str) -> Result<(u32, u32), String> {
    // A PNG of more pixels would take gigabytes while it is drawn; an SVG is sharp at any size.
    const MOST: u32 = 4096;
    let (width, height) = text
        .split_once(['x', '×'])
        .ok_or("write a width and a height with an x between them, as in 1200x675")?;
    let side = |text: &str| match text.parse() {
        Ok(side @ 1..=MOST) => Ok(side),
        _ => Err(format!("`{text}` is no number of pixels from 1 to {MOST}")),
    };
    Ok((side(width)?, side(height)?))
}

/// A height of text that can be read and drawn.
fn font_size(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|size| (4.0..=100.0).contains(size))
        .ok_or_else(|| "write a number of pixels from 4 to 100".to_owned())
}
