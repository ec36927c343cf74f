//! Charts as SVG and PNG, fonts embedded.
//!
//! A series is a stack with its settings, repeats pooled. Every value shown is computed from the files of the
//! result; what a chart leaves out, it says.
//!
//! [`draw_all`] is what a run keeps; [`Kind`] and [`Look`] are for who wants one chart, for a paper or a slide.

mod axis;
mod bandwidth;
mod boxes;
mod delay;
mod distribution;
mod figure;
mod flows;
mod kind;
mod many;
mod marks;
mod measures;
mod over_time;
mod speedup;
mod sweep;
mod traffic;
mod trend;
mod unit;
mod verification;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub use kind::{ChartError, Format, Kind, Look, Picture};
pub use trend::{Trend, draw_trend};

use crate::canvas::Paint;
pub(crate) use crate::chart::bandwidth::placement;
use crate::chart::figure::Key;
use crate::chart::figure::WIDTH;
pub(crate) use crate::chart::figure::{Figure, Room, shorten};
pub(crate) use crate::chart::marks::AT_ONCE;
pub(crate) use crate::chart::over_time::time_range;
use crate::folder::{FolderError, ResultFolder, io_error};
use crate::format::plural;
use crate::result::fidelity::Faithfulness;
use crate::result::{Computing, Point, RunResult, Workload};
use crate::side_by_side::is_combined;
use crate::theme;
use crate::verification::Verification;

/// Draws every chart that `folder` has data for into `out` (made if missing), each as SVG, and as PNG unless the font lacks letters of its
/// texts; returns the files in the order a reader wants them.
///
/// # Errors
/// If a file cannot be written.
pub fn draw_all(folder: &ResultFolder, out: &Path) -> Result<Vec<PathBuf>, FolderError> {
    fs::create_dir_all(out).map_err(io_error("make the folder", out))?;
    let mut files = Vec::new();
    for figure in figures(folder, WIDTH) {
        files.extend(write_both(&figure, out)?);
    }
    Ok(files)
}

/// Draws the delays that `verify` measured into the folder `out` (made if missing), as SVG and PNG; nothing if there are none.
///
/// # Errors
/// If a file cannot be written.
pub fn draw_verification(found: &Verification, out: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let Some(figure) = verification::figure(found) else {
        return Ok(Vec::new());
    };
    fs::create_dir_all(out).map_err(io_error("make the folder", out))?;
    write_both(&figure, out)
}

/// As SVG, and as PNG if its font has all letters.
fn write_both(figure: &Figure, out: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let canvas = figure.draw();
    let [svg, png] = ["svg", "png"].map(|ending| out.join(format!("{}.{ending}", figure.name)));
    canvas.write_svg(&svg, Paint::SVG)?;
    match canvas.write_png(&png, Paint::PNG) {
        Ok(()) => Ok(vec![svg, png]),
        Err(FolderError::NoLetters { .. }) => Ok(vec![svg]),
        Err(error) => Err(error),
    }
}

/// Every chart of a run's folder that there is data for, in reading order, to be drawn in `width`.
pub(crate) fn figures(folder: &ResultFolder, width: f64) -> Vec<Figure> {
    let mut all = sweep::against_settings(folder);
    match bandwidth::sizes(&folder.result) {
        0 => {}
        1 if all.is_empty() => all.extend(sweep::by_stack(folder)),
        // A sweep's chart tells more than a column of dots over one size.
        1 => {}
        _ => all
            .splice(0..0, bandwidth::busbw_vs_size(folder))
            .for_each(drop),
    }
    let others = [
        measures::measures_over_time(folder),
        measures::measures_box(folder),
        bandwidth::iteration_time_cdf(folder),
        traffic::throughput_over_time(folder, width),
        traffic::queue_over_time(folder, width),
        delay::delay_over_time(folder, width),
        delay::jitter_over_time(folder, width),
        delay::delay_cdf(folder),
        delay::jitter_cdf(folder),
    ];
    all.extend(others.into_iter().flatten());
    warned(&folder.result, all.into_iter())
}

/// Figures that say if the run was not faithful.
fn warned(result: &RunResult, figures: impl Iterator<Item = Figure>) -> Vec<Figure> {
    let warning = caveat(result);
    let warned = |mut figure: Figure| {
        figure.warning.clone_from(&warning);
        figure
    };
    figures.map(warned).collect()
}

/// The charts of a report that a run's folder has not, in reading order.
pub(crate) fn further_figures(folder: &ResultFolder, width: f64) -> Vec<Figure> {
    let all = [
        boxes::iteration_time_box(folder),
        speedup::speedup_over_distance(folder, None).filter(Figure::has_several_places),
        flows::flows_over_time(folder, width),
    ];
    warned(&folder.result, all.into_iter().flatten())
}

/// The charts that hold several results against each other.
pub(crate) fn comparing_figures(folder: &ResultFolder) -> Vec<Figure> {
    let busbw = match bandwidth::sizes(&folder.result) {
        0 => None,
        1 => sweep::by_stack(folder),
        _ => bandwidth::busbw_vs_size(folder),
    };
    let all = [
        busbw,
        measures::measures_box(folder),
        boxes::iteration_time_box(folder),
        bandwidth::iteration_time_cdf(folder),
        speedup::speedup_over_distance(folder, None).filter(Figure::has_several_places),
        delay::delay_cdf(folder),
        delay::jitter_cdf(folder),
    ];
    warned(&folder.result, all.into_iter().flatten())
}

/// `quickstart · topology metro · all_reduce of f32 · 6 ranks …`: what was run, for subtitles. It says of all what all have in common, and of
/// several results what they differ in.
fn subject(result: &RunResult) -> String {
    let mut parts = vec![result.name.clone()];
    // The experiment file's own words for the topology; a topology written out in full has a name of its own. One that is swept over is
    // told by the series.
    let topology = &result.experiment["topology"];
    let is_swept = |point: &Point| point.settings.contains_key("topology");
    if let Some(name) = topology.as_str().or_else(|| topology["name"].as_str())
        && !result.points.iter().any(is_swept)
    {
        parts.push(format!("topology {name}"));
    }
    let (mut programs, mut workloads) = (Vec::new(), Vec::new());
    let mut ranks = BTreeSet::new();
    for point in &result.points {
        let workload = match &point.workload {
            Workload::Collective {
                program,
                collective,
                data_type,
                ranks: number,
                ..
            } => {
                ranks.insert(*number);
                let program = program.clone().unwrap_or_default();
                if !programs.contains(&program) {
                    programs.push(program);
                }
                format!("{collective} of {data_type}")
            }
            Workload::Replay {
                trace,
                ranks: number,
                ..
            } => {
                ranks.insert(*number);
                format!("replay of {trace}")
            }
            Workload::Command { command } => command.join(" "),
        };
        if !workloads.contains(&workload) {
            workloads.push(workload);
        }
    }
    programs.retain(|program| !program.is_empty());
    parts.extend([programs, workloads].iter().filter_map(|words| few(words)));
    match (ranks.first(), ranks.last()) {
        (Some(least), Some(most)) if least < most => parts.push(format!("{least} to {most} ranks")),
        (Some(ranks), _) => parts.push(plural(*ranks, "rank")),
        _ => {}
    }
    if !result.environment.links.is_empty() {
        parts.push(format!("links {}", result.environment.links));
    }
    if result.environment.computing == Computing::Free {
        parts.push("virtual time, computing free".to_owned());
    }
    if is_combined(result) && !result.description.is_empty() {
        parts.push(result.description.clone());
    }
    parts.join(" · ")
}

/// The first two, and how many others there are; nothing of nothing.
fn few(words: &[String]) -> Option<String> {
    match words {
        [] => None,
        [one, two] => Some(format!("{one} and {two}")),
        [one] => Some(one.clone()),
        [one, others @ ..] => Some(format!("{one} and {} others", others.len())),
    }
}

/// The look of the series of that index, on charts of few points.
fn marked_key(index: usize) -> Key {
    Key {
        stroke: theme::stroke(index),
        marker: Some(theme::marker(index)),
    }
}

/// Under every chart of a run whose links were not as described.
fn caveat(result: &RunResult) -> Option<String> {
    match result.faithfulness() {
        Faithfulness::Unmeasured | Faithfulness::Faithful => None,
        told @ Faithfulness::Off { .. } => Some(format!(
            "{told}: do not trust these figures (result.json, `fidelity`, says why)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};
    use crate::folder::Opened;

    const SITES: &[&str] = &["virginia", "dublin", "singapore"];
    const MANY_SITES: &[&str] = &[
        "virginia",
        "dublin",
        "singapore",
        "sydney",
        "sao-paulo",
        "johannesburg",
        "tokyo",
    ];

    fn folder(shape: &Shape) -> ResultFolder {
        let (result, telemetry) = example::run(shape);
        ResultFolder { result, telemetry }
    }

    /// Every shape of data that charts must stay readable for.
    fn shapes() -> Vec<(&'static str, Shape)> {
        let few = Shape {
            sites: SITES,
            ..Shape::default()
        };
        let mib = &[16 << 20];
        vec![
            (
                "one-stack-one-size",
                Shape {
                    stacks: &["cubic"],
                    sizes: mib,
                    seconds: 3.0,
                    ..few.clone()
                },
            ),
            ("two-stacks-four-sizes", few.clone()),
            (
                "two-stacks-three-repeats",
                Shape {
                    repeats: 3,
                    seconds: 4.0,
                    ..few.clone()
                },
            ),
            (
                "twelve-series",
                Shape {
                    stacks: &["cubic", "bbr", "reno", "dctcp"],
                    sweep: ("algorithm", &["ring", "tree", "hierarchical"]),
                    sizes: &[
                        64 << 10,
                        256 << 10,
                        1 << 20,
                        4 << 20,
                        16 << 20,
                        64 << 20,
                        256 << 20,
                    ],
                    ..few.clone()
                },
            ),
            (
                "queue-sweep",
                Shape {
                    sweep: ("links.0.queue", &["4bdp", "0.1bdp", "1bdp"]),
                    sizes: mib,
                    seconds: 4.0,
                    ..few.clone()
                },
            ),
            (
                "twenty-links",
                Shape {
                    sites: MANY_SITES,
                    ..few.clone()
                },
            ),
            (
                "five-minutes",
                Shape {
                    seconds: 150.0,
                    ..few.clone()
                },
            ),
            (
                "changing-links",
                Shape {
                    stacks: &["cubic"],
                    sizes: mib,
                    changes: 4,
                    ..few.clone()
                },
            ),
            (
                "links-that-change-often",
                Shape {
                    sizes: mib,
                    changes: 9,
                    ..few.clone()
                },
            ),
            (
                "no-telemetry",
                Shape {
                    seconds: 0.0,
                    ..few
                },
            ),
        ]
    }

    #[test]
    fn every_text_lies_inside_the_picture_and_over_no_other() {
        for (shape, data) in shapes() {
            for figure in figures(&folder(&data), WIDTH) {
                let canvas = figure.draw();
                let labels = canvas.assert_texts_apart(&format!("{shape}/{}", figure.name));
                assert!(labels > 8, "{shape}/{} has hardly any text", figure.name);
            }
        }
    }

    #[test]
    fn texts_stand_apart_in_reports_and_on_phones_too() {
        for width in [380.0, 880.0] {
            let room = Room {
                width,
                height: None,
            };
            for (shape, data) in shapes() {
                let folder = folder(&data);
                let further = further_figures(&folder, width);
                for figure in figures(&folder, width).iter().chain(&further) {
                    let canvas = figure.draw_in(room).unwrap();
                    canvas.assert_texts_apart(&format!("{shape}/{} {width}", figure.name));
                }
            }
        }
    }

    #[test]
    fn of_a_thousand_series_some_are_drawn_and_the_reader_is_told() {
        let (mut result, telemetry) = example::run(&Shape {
            stacks: &["cubic"],
            seconds: 0.0,
            ..Shape::default()
        });
        let point = result.points[0].clone();
        result.points = (0..1000)
            .map(|index| {
                let mut point = point.clone();
                point.index = index;
                point.stack = format!("stack-{index}");
                for row in &mut point.summaries {
                    row.busbw_gbps *= 1.0 + (index * 7919 % 1009) as f64;
                }
                point
            })
            .collect();
        let busbw = |point: &Point| point.summaries[0].busbw_gbps;
        let least = result
            .points
            .iter()
            .min_by(|a, b| busbw(a).total_cmp(&busbw(b)));
        let greatest = result
            .points
            .iter()
            .max_by(|a, b| busbw(a).total_cmp(&busbw(b)));
        let extremes = [least, greatest].map(|point| point.unwrap().stack.clone());
        let folder = ResultFolder { result, telemetry };
        let figure = bandwidth::busbw_vs_size(&folder).unwrap();
        for extreme in &extremes {
            assert!(
                figure.legend.iter().any(|(_, name)| name == extreme),
                "{extreme}"
            );
        }
        assert!(figure.legend.len() < 40, "{} entries", figure.legend.len());
        assert!(
            figure
                .notes
                .iter()
                .any(|note| note.starts_with("21 of 1000 series"))
        );
        figure.draw().assert_texts_apart("a thousand series");
    }

    #[test]
    fn charts_come_in_reading_order_and_only_with_data() {
        let names = |shape: &Shape| {
            figures(&folder(shape), WIDTH)
                .iter()
                .map(|figure| figure.name.clone())
                .collect::<Vec<_>>()
        };
        let all = [
            "busbw-vs-size",
            "iteration-time-cdf",
            "throughput-over-time",
            "queue-over-time",
            "delay-over-time",
            "jitter-over-time",
            "delay-cdf",
            "jitter-cdf",
        ];
        assert_eq!(names(&Shape::default()), all);
        assert_eq!(
            names(&Shape {
                seconds: 0.0,
                ..Shape::default()
            }),
            all[..2]
        );
        assert!(
            names(&Shape {
                stacks: &[],
                ..Shape::default()
            })
            .is_empty()
        );
    }

    #[test]
    fn of_one_size_the_sweep_or_the_stacks_are_compared() {
        let first = |sweep| {
            let shape = Shape {
                sweep,
                sizes: &[1 << 20],
                seconds: 1.0,
                ..Shape::default()
            };
            figures(&folder(&shape), WIDTH)[0].title.clone()
        };
        assert_eq!(
            first(("links.0.queue", &["1bdp", "4bdp"])),
            "Bus bandwidth and delay against queue"
        );
        assert_eq!(
            first(("links.0.queue", &[])),
            "Bus bandwidth and delay by stack"
        );
    }

    #[test]
    fn a_subtitle_says_of_all_only_what_all_have_in_common() {
        let shape = Shape {
            seconds: 1.0,
            ..Shape::default()
        };
        let (mut result, _) = example::run(&shape);
        assert_eq!(
            subject(&result),
            "quickstart · topology three-continents · all_reduce of f32 · 6 ranks · links relay"
        );
        let Workload::Collective {
            collective, ranks, ..
        } = &mut result.points[1].workload
        else {
            panic!("no collective")
        };
        (*collective, *ranks) = ("all_gather".to_owned(), 4);
        for point in &mut result.points {
            point
                .settings
                .insert("topology".to_owned(), "metro".to_owned());
        }
        assert_eq!(
            subject(&result),
            "quickstart · all_reduce of f32 and all_gather of f32 · 4 to 6 ranks · links relay"
        );
        let results = [1, 2].map(|seed| {
            let (mut result, telemetry) = example::run(&shape);
            result.seed = seed;
            Opened::from(ResultFolder { result, telemetry })
        });
        let combined = crate::combine(&results);
        let told = subject(&combined.result);
        assert!(
            told.starts_with("quickstart #1, quickstart #2 · topology "),
            "{told}"
        );
        assert!(told.ends_with(" · results differ in seed (1, 2)"), "{told}");
        for figure in comparing_figures(&combined) {
            assert!(figure.subtitle.contains("seed (1, 2)"), "{}", figure.name);
        }
        let axes = |folder: &ResultFolder| -> Vec<String> {
            let figures = figures(folder, WIDTH).into_iter();
            let over_time = ["throughput-over-time", "delay-over-time"];
            let figures = figures.filter(|one| over_time.contains(&one.name.as_str()));
            figures.map(|one| one.panels[0].x.label.clone()).collect()
        };
        assert_eq!(
            axes(&results[0].folder),
            ["time since the run's start (s)"; 2]
        );
        assert_eq!(axes(&combined), ["time (s), one result after the other"; 2]);
    }

    #[test]
    fn every_chart_of_an_unfaithful_run_says_so() {
        let mut folder = folder(&Shape::default());
        assert!(
            figures(&folder, WIDTH)
                .iter()
                .all(|figure| figure.warning.is_none())
        );
        folder.result.points[1].fidelity.faithful = false;
        let warned = |figure: &Figure| {
            let drawn = figure.draw();
            drawn
                .labels()
                .any(|(text, _)| text.starts_with("not faithful in 1 of 2 points"))
        };
        assert!(figures(&folder, WIDTH).iter().all(warned));
    }

    #[test]
    fn every_chart_of_a_virtual_lab_says_that_computing_was_free() {
        let mut folder = folder(&Shape::default());
        folder.result.environment = example::virtual_environment();
        for figure in figures(&folder, WIDTH) {
            let drawn = figure.draw();
            drawn.assert_texts_apart(&figure.name);
            assert!(
                drawn
                    .labels()
                    .any(|(text, _)| text.contains("virtual time, computing free")),
                "{}",
                figure.name
            );
        }
    }

    #[test]
    fn a_chart_with_letters_that_the_font_lacks_is_drawn_as_svg_alone() {
        let out = tempfile::tempdir().unwrap();
        let mut folder = folder(&Shape {
            seconds: 0.0,
            ..Shape::default()
        });
        folder.result.name = "東京".to_owned();
        let files = draw_all(&folder, out.path()).unwrap();
        let endings = files.iter().map(|file| file.extension().unwrap().to_str());
        assert!(files.len() > 1 && endings.into_iter().all(|ending| ending == Some("svg")));
    }

    /// Draws some shapes; `LONGHAUL_KEEP_CHARTS=DIR` draws all of them there, to be looked at.
    #[test]
    fn files_are_well_formed_svg_and_png_with_something_on_it() {
        let keep = std::env::var_os("LONGHAUL_KEEP_CHARTS").map(PathBuf::from);
        let temporary = tempfile::tempdir().unwrap();
        let drawn = if keep.is_some() { usize::MAX } else { 1 };
        for (shape, data) in shapes().into_iter().take(drawn) {
            let out = keep.as_deref().unwrap_or(temporary.path()).join(shape);
            let folder = folder(&data);
            let files = draw_all(&folder, &out).unwrap();
            assert_eq!(files.len(), 2 * figures(&folder, WIDTH).len());
            for (pair, figure) in files.chunks(2).zip(figures(&folder, WIDTH)) {
                let canvas = figure.draw();
                crate::canvas::assert_svg(&pair[0], &canvas);
                crate::canvas::assert_png(&pair[1], &canvas);
            }
        }
    }
}
