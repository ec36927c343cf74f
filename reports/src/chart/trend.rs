//! Figures over commits: how far each moved from its first value, so that figures of any unit and size share an axis.

use std::fs;
use std::path::{Path, PathBuf};

use crate::chart::axis::{Axis, Spread};
use crate::chart::figure::{Curve, Figure, Layout, Panel, Run};
use crate::chart::{marked_key, write_both};
use crate::folder::{FolderError, io_error};

/// More lines than this are a tangle; those that moved most are shown.
const MOST_LINES: usize = 8;

/// More names of commits than this do not fit below the axis.
const MOST_NAMES: usize = 10;

/// Characters of a commit's name that are shown, as git's own short form.
const SHORT: usize = 7;

/// Room at either end of the axis, as a share of its length.
const ROOM: f64 = 0.04;

/// What is drawn.
#[derive(Clone, Debug)]
pub struct Trend {
    /// What was run.
    pub subject: String,
    /// Names of commits, oldest first.
    pub commits: Vec<String>,
    /// Each figure's name and its value at each commit, where there is one.
    pub figures: Vec<(String, Vec<Option<f64>>)>,
}

/// Draws a trend into the folder `out` (made if missing) as `NAME.svg` and `NAME.png`; nothing if fewer than two commits have figures.
///
/// # Errors
/// If a file cannot be written.
pub fn draw_trend(trend: &Trend, out: &Path, name: &str) -> Result<Vec<PathBuf>, FolderError> {
    let Some(figure) = figure(trend, name) else {
        return Ok(Vec::new());
    };
    fs::create_dir_all(out).map_err(io_error("make the folder", out))?;
    write_both(&figure, out)
}

fn figure(trend: &Trend, name: &str) -> Option<Figure> {
    let mut lines: Vec<(&String, Run)> = trend
        .figures
        .iter()
        .map(|(name, values)| (name, changes(values)))
        .filter(|(_, run)| run.len() > 1)
        .collect();
    if lines.is_empty() {
        return None;
    }
    let all = lines.len();
    lines.sort_by(|a, b| reach(&b.1).total_cmp(&reach(&a.1)));
    lines.truncate(MOST_LINES);
    let points = || lines.iter().flat_map(|(_, run)| run);
    let low = points().map(|point| point.1).fold(0.0, f64::min);
    let high = points().map(|point| point.1).fold(0.0, f64::max);
    let margin = (high - low) * 0.08;
    let panel = Panel {
        title: String::new(),
        keys: Vec::new(),
        x: axis(&trend.commits),
        y: Axis::linear("change from the first, %", low - margin, high + margin),
        areas: Vec::new(),
        curves: lines
            .iter()
            .enumerate()
            .map(|(index, (name, run))| Curve {
                key: marked_key(index),
                name: (*name).clone(),
                runs: vec![run.clone()],
            })
            .collect(),
        spans: Vec::new(),
        marks: Vec::new(),
    };
    Some(Figure {
        name: name.to_owned(),
        title: "Figures over commits".to_owned(),
        subtitle: format!("{} · {} commits", trend.subject, trend.commits.len()),
        layout: Layout::Grid,
        panels: vec![panel],
        legend: lines
            .iter()
            .enumerate()
            .map(|(index, (name, _))| (marked_key(index), (*name).clone()))
            .collect(),
        warning: None,
        notes: (all > lines.len())
            .then(|| format!("the {} of {all} figures that moved most", lines.len()))
            .into_iter()
            .collect(),
    })
}

/// Percent from the first value that is not 0, by the commit's index; what was before that is a change of no share.
fn changes(values: &[Option<f64>]) -> Run {
    let known = values.iter().enumerate();
    let known = known.filter_map(|(index, value)| Some((index as f64, (*value)?)));
    let mut known = known.skip_while(|(_, value)| *value == 0.0).peekable();
    let Some(&(_, first)) = known.peek() else {
        return Vec::new();
    };
    let change = |value: f64| (value - first) / first.abs() * 100.0;
    known.map(|(index, value)| (index, change(value))).collect()
}

/// How far a line goes from its beginning.
fn reach(run: &Run) -> f64 {
    run.iter().map(|point| point.1.abs()).fold(0.0, f64::max)
}

/// The commits, some of them by name, the last always.
fn axis(commits: &[String]) -> Axis {
    let last = commits.len().saturating_sub(1);
    let step = commits.len().div_ceil(MOST_NAMES).max(1);
    let named = |&index: &usize| (last - index).is_multiple_of(step);
    let short = |index: usize| commits[index].chars().take(SHORT).collect::<String>();
    let end = |index: &usize| *index == 0 || *index == last;
    let names = (0..commits.len())
        .filter(|index| named(index) || end(index))
        .map(|index| match named(&index) {
            true => (index as f64, short(index)),
            // The axis begins at the first, named or not.
            false => (index as f64, String::new()),
        })
        .collect();
    Axis::named("commit", Spread::Even, names, ROOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_begin_at_the_first_value_that_is_not_nothing() {
        let of = |values: &[f64]| {
            let values: Vec<_> = values.iter().copied().map(Some).collect();
            changes(&values)
        };
        assert_eq!(
            of(&[0.0, 4.0, 2.0, 0.0]),
            [(1.0, 0.0), (2.0, -50.0), (3.0, -100.0)]
        );
        assert_eq!(of(&[-10.0, -5.0]), [(0.0, 0.0), (1.0, 50.0)]);
        assert_eq!(of(&[0.0, 0.0]), []);
        assert_eq!(
            changes(&[None, Some(2.0), None, Some(3.0)]),
            [(1.0, 0.0), (3.0, 50.0)]
        );
    }

    fn trend(commits: usize, figures: usize) -> Trend {
        Trend {
            subject: "quickstart".to_owned(),
            commits: (0..commits).map(|i| format!("{i:07x}aaaaaa")).collect(),
            figures: (0..figures)
                .map(|figure| {
                    let value = |i: usize| 100.0 + (figure * i) as f64;
                    let values = (0..commits).map(|i| (i % 5 != 3).then(|| value(i)));
                    (
                        format!("cubic · {figure} in-place · busbw"),
                        values.collect(),
                    )
                })
                .collect(),
        }
    }

    #[test]
    fn texts_stand_apart_however_many_commits_and_figures() {
        for (commits, figures) in [(2, 1), (9, 3), (40, 12), (365, 30)] {
            let figure = figure(&trend(commits, figures), "trend").unwrap();
            assert_eq!(figure.legend.len(), figures.min(MOST_LINES));
            figure
                .draw()
                .assert_texts_apart(&format!("{commits} commits, {figures} figures"));
        }
    }

    #[test]
    fn of_many_figures_those_that_moved_most_are_shown() {
        let figure = figure(&trend(5, 12), "trend").unwrap();
        assert!(figure.legend[0].1.contains("· 11 "), "{:?}", figure.legend);
        assert_eq!(figure.notes, ["the 8 of 12 figures that moved most"]);
    }

    #[test]
    fn one_commit_is_no_trend() {
        assert!(figure(&trend(1, 3), "trend").is_none());
        assert!(figure(&trend(0, 3), "trend").is_none());
    }
}
