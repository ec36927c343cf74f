//! The gate: a run held against a baseline, figure by figure, and the verdict.
//!
//! In a virtual lab the same code gives the same bits, so any difference is the code's; it is shown, and a regression if it is worse
//! by more than the metric's tolerance. Elsewhere figures scatter, and of each judged one two questions are asked:
//!
//! - Is it worse, by [`BEYOND_DOUBT`] of the tolerance? The one-sided Mann–Whitney test on repeats, Holm-corrected over all figures so that
//!   the gate as a whole cries wolf in at most [`FALSE_ALARM`] of the runs as far as repeats are independent (docs/gate.md has what was
//!   measured); and the estimate must be at least the tolerance, so that no trifle fails a build.
//! - Is it shown to be no worse than the tolerance? The upper end of the interval around the estimate lies below it. To pass, every
//!   figure must be, so that needs no correction (an intersection–union test).
//!
//! If neither: undecided, with the number of repeats that would decide by the power of the test that fell short.
//!
//! - `text`, `junit`, `markdown`, `github`: the judgement for a terminal, CI servers, a pull request, GitHub's annotations.

mod github;
mod junit;
mod markdown;
mod rule;
mod text;

use std::collections::BTreeMap;

use longhaul_reports::result::{LabKind, Outcome, RunResult};
use serde::{Deserialize, Serialize};

use crate::baseline::{Baseline, reason};
use crate::comparison::{Pair, pairs};
use crate::figures;
use crate::likeness::Likeness;
use crate::metric::{Metric, Tolerance};
use crate::verdict::{Verdict, judge};

pub use rule::{BEYOND_DOUBT, FALSE_ALARM, MISS, POWER};

/// Tolerances that the user set, over [`Metric::tolerance`].
pub type Tolerances = BTreeMap<Metric, Tolerance>;

/// What a gate came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Pass, fail, or neither.
    pub ruling: Ruling,
    /// What was run, where.
    pub run: Likeness,
    /// Every figure.
    pub rows: Vec<Row>,
    /// What is no fault but may explain a difference.
    pub notes: Vec<String>,
}

/// The verdict of a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ruling", rename_all = "kebab-case")]
pub enum Ruling {
    /// No figure is worse than its tolerance allows.
    Passed,
    /// Some are.
    Regressed {
        /// How many.
        worse: usize,
    },
    /// The run itself did not hold: wrong results, or it failed.
    Wrong {
        /// In what way.
        reason: String,
    },
    /// Too few repeats for the scatter there is.
    Undecided {
        /// How many repeats decide all figures, in the baseline and in the run; absent if that cannot be told from so few.
        repeats: Option<u64>,
    },
    /// The links were not as described: such a run neither passes nor fails.
    Unfaithful {
        /// What was off.
        reason: String,
    },
}

impl Ruling {
    /// Whether the run's figures say anything: its lab was faithful and its results were right.
    pub fn tells(&self) -> bool {
        !matches!(self, Self::Unfaithful { .. } | Self::Wrong { .. })
    }
}

/// One figure with what it comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Both sides.
    #[serde(flatten)]
    pub pair: Pair,
    /// How much worse is allowed; absent if it is shown and not judged.
    pub tolerance: Option<Tolerance>,
    /// How much worse it is, as a share; negative if better; absent if it has no finite size.
    pub worsening: Option<f64>,
    /// The Holm-adjusted p-value of "it is worse by less than half its tolerance"; absent in a virtual lab and where not judged.
    pub p: Option<f64>,
    /// What that means.
    pub finding: Finding,
}

/// What came of one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// The same bits.
    Same,
    /// Another value, worse by no more than the tolerance.
    Within,
    /// Better by more than the tolerance.
    Improved,
    /// Worse by more than the tolerance.
    Regressed,
    /// Too few repeats to tell.
    Undecided {
        /// How many would do, in the baseline and in the run; absent if that cannot be told.
        repeats: Option<u64>,
    },
    /// Another value of a metric that is not judged; or, by the wall clock, of a figure of which the baseline has a value that is not
    /// above 0, so that there is no share of it.
    NotJudged,
    /// The baseline has it, the run has not.
    Missing,
    /// The run has it, the baseline has not.
    New,
}

/// Why a run cannot be held against a baseline.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Only like is held against like.
    #[error("the result is not like the baseline: {}", .0.join("; "))]
    Unlike(Vec<String>),
    /// It says nothing.
    #[error("the result cannot be judged: {0}")]
    Interrupted(String),
}

/// Holds `result` against `baseline`.
///
/// # Errors
/// If the two are unlike, or the run was interrupted or killed.
pub fn gate(
    result: &RunResult,
    baseline: &Baseline,
    tolerances: &Tolerances,
) -> Result<Judgement, GateError> {
    let run = Likeness::of(result);
    let unlike = baseline.run.unlike(&run);
    if !unlike.is_empty() {
        return Err(GateError::Unlike(unlike));
    }
    let verdict = judge(result);
    // Killed by whatever, a machine short of memory as well: no fault of what was measured, as far as one can tell.
    if matches!(result.outcome, Outcome::Interrupted | Outcome::Unfinished) {
        return Err(GateError::Interrupted(reason(&verdict)));
    }
    let pairs = pairs(&baseline.figures, &figures::of(result), run.lab);
    let (ruled, mut rows) = rule_on(pairs, run.lab, tolerances);
    if verdict != Verdict::Passed {
        // Its figures are shown, and say nothing.
        for row in &mut rows {
            row.finding = Finding::NotJudged;
        }
    }
    let ruling = match verdict {
        Verdict::Unfaithful { .. } => Ruling::Unfaithful {
            reason: reason(&verdict),
        },
        Verdict::Failed { .. } | Verdict::WrongResults { .. } => Ruling::Wrong {
            reason: reason(&verdict),
        },
        Verdict::Interrupted | Verdict::Passed => ruled,
    };
    Ok(Judgement {
        ruling,
        notes: baseline.run.notes(&run),
        run,
        rows,
    })
}

/// The rule alone, on pairs of figures from like runs: what [`gate`] rules on a run that held, and each figure's row.
pub fn rule_on(pairs: Vec<Pair>, lab: LabKind, tolerances: &Tolerances) -> (Ruling, Vec<Row>) {
    let rows = rule::rows(pairs, lab, tolerances);
    (rule::ruling(&rows), rows)
}

impl Row {
    /// Whether it had a say in the ruling.
    fn is_judged(&self) -> bool {
        self.tolerance.is_some() && !matches!(self.finding, Finding::NotJudged | Finding::New)
    }

    /// Whether it has a tolerance that nothing could be held against.
    fn is_left_out(&self) -> bool {
        self.tolerance.is_some() && self.finding == Finding::NotJudged
    }
}

impl Judgement {
    /// The rows that a reader must see: those that moved or cannot be told; if none did, the speeds.
    fn telling(&self) -> Vec<&Row> {
        let moved = |row: &&Row| {
            let silent = matches!(
                row.finding,
                Finding::Same | Finding::NotJudged | Finding::New
            );
            !silent || row.is_left_out()
        };
        let rows: Vec<&Row> = self.rows.iter().filter(moved).collect();
        if rows.is_empty() {
            let speed = |row: &&Row| matches!(row.pair.metric, Metric::Busbw | Metric::Duration);
            return self.rows.iter().filter(speed).collect();
        }
        rows
    }

    /// How many figures have the baseline's bits, however they were judged: by the wall clock those are tested like all others.
    fn same(&self) -> usize {
        self.rows.iter().filter(|row| row.pair.same()).count()
    }

    /// The verdict in a sentence.
    pub fn sentence(&self) -> String {
        let count = |finding| {
            self.rows
                .iter()
                .filter(|row| row.finding == finding)
                .count()
        };
        match &self.ruling {
            Ruling::Passed if self.same() == self.rows.len() => {
                format!("passed: all {} figures are the baseline's, to the bit", self.rows.len())
            }
            Ruling::Passed => {
                let judged = self.rows.iter().filter(|row| row.is_judged());
                let mut text = format!(
                    "passed: none of {} judged figures is worse than its tolerance allows",
                    judged.count()
                );
                match count(Finding::Improved) {
                    0 => {}
                    better => text += &format!("; {better} better"),
                }
                text
            }
            Ruling::Regressed { worse } => {
                let plural = if *worse == 1 { "figure is" } else { "figures are" };
                format!("REGRESSED: {worse} {plural} worse than the tolerance allows")
            }
            Ruling::Wrong { reason } => format!("FAILED: {reason}"),
            Ruling::Undecided { repeats: Some(repeats) } => format!(
                "can't tell: it takes {repeats} repeats, in the baseline and in the run, to decide at this scatter"
            ),
            Ruling::Undecided { repeats: None } => {
                "can't tell: there are too few repeats to know the scatter; start with 10 in the baseline and in the run"
                    .to_owned()
            }
            Ruling::Unfaithful { reason } => format!("not judged: {reason}"),
        }
    }

    /// For a terminal or a log of at most `width` columns: a table and the verdict.
    pub fn text(&self, width: usize) -> String {
        text::text(self, width)
    }

    /// As a JUnit file: a test case per judged figure.
    ///
    /// # Errors
    /// If it cannot be made into XML.
    pub fn junit(&self) -> Result<String, quick_junit::SerializeError> {
        junit::junit(self)
    }

    /// For a pull request; `trails` are earlier values of figures by their names, oldest first, for sparklines.
    pub fn markdown(&self, trails: &BTreeMap<String, Vec<f64>>) -> String {
        markdown::markdown(self, trails)
    }

    /// GitHub's workflow commands, a line each.
    pub fn annotations(&self) -> Vec<String> {
        github::annotations(self)
    }

    /// Whether figures are exact.
    fn is_exact(&self) -> bool {
        self.run.lab == LabKind::Virtual
    }
}

/// `-5.2 %`, from the second side's view; `=` if the same, `new` out of nothing.
fn change(row: &Row) -> String {
    match row.pair.growth() {
        _ if row.pair.same() => "=".to_owned(),
        Some(growth) => percent(growth),
        None => "—".to_owned(),
    }
}

/// With a sign and as many digits as tell it from 0.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = match percent.abs() {
        p if p >= 10.0 => 0,
        p if p >= 1.0 => 1,
        p if p >= 0.01 => 2,
        0.0 => return "0 %".to_owned(),
        _ => return format!("{percent:+.0e} %"),
    };
    format!("{percent:+.decimals$} %")
}

/// The finding in a word or two.
fn word(finding: Finding) -> String {
    match finding {
        Finding::Same => "same".to_owned(),
        Finding::Within => "within".to_owned(),
        Finding::Improved => "better".to_owned(),
        Finding::Regressed => "REGRESSED".to_owned(),
        Finding::Undecided { repeats: Some(n) } => format!("can't tell: needs {n} repeats"),
        Finding::Undecided { repeats: None } => "can't tell: too few repeats".to_owned(),
        Finding::NotJudged => "not judged".to_owned(),
        Finding::Missing => "MISSING".to_owned(),
        Finding::New => "new".to_owned(),
    }
}

#[cfg(test)]
mod tests;
