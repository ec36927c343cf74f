//! From figures to findings, and from findings to the ruling.

use longhaul_reports::result::LabKind;

use super::{Finding, Row, Ruling, Tolerances};
use crate::comparison::{Pair, logarithms};
use crate::metric::{Better, Metric, Tolerance};
use crate::statistics::{greater, holm, pooled_scatter, repeats_needed, shift};

/// How often a gate may fail where nothing is worse, over all of its figures, if repeats are independent. Those of one run are
/// not quite: docs/gate.md has what was measured.
pub const FALSE_ALARM: f64 = 0.01;
/// By what share of its tolerance a figure must be worse beyond doubt. Repeats of one run share its moment, so that a run differs from
/// another by a little without a cause, and many repeats prove even that.
pub const BEYOND_DOUBT: f64 = 0.5;
/// How often a figure that is worse by its tolerance may pass.
pub const MISS: f64 = 0.05;
/// How surely the number of repeats that is asked for decides.
pub const POWER: f64 = 0.9;

/// What stands for nothing and less, where less is better: it lies below any share of a baseline, and tests go by ranks.
const LEAST: f64 = f64::MIN_POSITIVE;

/// What is asked of a figure that scatters.
struct Sampled {
    /// The logarithms of both sides, turned so that more is worse.
    before: Vec<f64>,
    after: Vec<f64>,
    /// The tolerance on the same scale.
    most: f64,
    /// The raw p-value of "it is worse by less than [`BEYOND_DOUBT`] of that".
    p: f64,
}

/// Judges every pair.
pub(super) fn rows(pairs: Vec<Pair>, lab: LabKind, tolerances: &Tolerances) -> Vec<Row> {
    let tolerance = |metric: Metric| {
        let set = tolerances.get(&metric).copied();
        set.or_else(|| metric.tolerance(lab))
    };
    let sampled: Vec<Option<Sampled>> = pairs
        .iter()
        .map(|pair| match lab {
            LabKind::Virtual => None,
            LabKind::Host | LabKind::Physical => Sampled::of(pair, tolerance(pair.metric)?),
        })
        .collect();
    let raw: Vec<f64> = sampled.iter().flatten().map(|sampled| sampled.p).collect();
    let mut adjusted = holm(&raw).into_iter();
    let count = raw.len();
    pairs
        .into_iter()
        .zip(sampled)
        .map(|(pair, sampled)| {
            let tolerance = tolerance(pair.metric);
            let p = sampled.as_ref().and_then(|_| adjusted.next());
            let finding = match (&sampled, p) {
                (Some(_), Some(_)) if pair.is_below_grain() => Finding::Within,
                (Some(sampled), Some(p)) => sampled.finding(p, count),
                _ => exact(&pair, tolerance, lab),
            };
            Row {
                worsening: pair.worsening().filter(|worsening| worsening.is_finite()),
                pair,
                tolerance,
                p,
                finding,
            }
        })
        .collect()
}

/// The ruling that the rows amount to.
pub(super) fn ruling(rows: &[Row]) -> Ruling {
    let bad = |row: &&Row| matches!(row.finding, Finding::Regressed | Finding::Missing);
    let worse = rows.iter().filter(bad).count();
    if worse > 0 {
        return Ruling::Regressed { worse };
    }
    let undecided: Vec<Option<u64>> = rows
        .iter()
        .filter_map(|row| match row.finding {
            Finding::Undecided { repeats } => Some(repeats),
            _ => None,
        })
        .collect();
    match undecided.is_empty() {
        true => Ruling::Passed,
        false => Ruling::Undecided {
            repeats: undecided
                .into_iter()
                .collect::<Option<Vec<_>>>()
                .and_then(|all| all.into_iter().max()),
        },
    }
}

/// Of a figure without scatter, or one that is not judged.
fn exact(pair: &Pair, tolerance: Option<Tolerance>, lab: LabKind) -> Finding {
    if pair.before.is_empty() {
        return Finding::New;
    }
    if pair.after.is_empty() {
        return if tolerance.is_some() {
            Finding::Missing
        } else {
            Finding::NotJudged
        };
    }
    if pair.same() {
        return Finding::Same;
    }
    let (Some(tolerance), Some(worsening)) = (tolerance, pair.worsening()) else {
        return Finding::NotJudged;
    };
    if lab != LabKind::Virtual {
        // By the wall clock: a value of one side is not positive, and no test of ratios applies.
        return match collapsed(pair) {
            true => Finding::Regressed,
            false => Finding::NotJudged,
        };
    }
    // One that is worse by just that is allowed: its binary fraction may be a little more.
    let most = tolerance.share() * (1.0 + 1e-9);
    match worsening {
        worse if worse > most => Finding::Regressed,
        worse if worse < -most => Finding::Improved,
        _ => Finding::Within,
    }
}

/// Whether something of which more is better came to nothing, in one repeat at least: that is worse than any share of the baseline.
fn collapsed(pair: &Pair) -> bool {
    let positive = |values: &[f64]| values.iter().all(|&value| value > 0.0);
    pair.metric.better() == Better::Higher && positive(&pair.before) && !positive(&pair.after)
}

impl Sampled {
    /// Nothing if a side is empty, or no ratio to the baseline tells how much worse it is: a value of the baseline is not positive, or one
    /// of the run where more is better.
    fn of(pair: &Pair, tolerance: Tolerance) -> Option<Self> {
        if pair.before.is_empty() || pair.after.is_empty() {
            return None;
        }
        let (sign, most) = match pair.metric.better() {
            Better::Higher => (-1.0, -(1.0 - tolerance.share()).ln()),
            Better::Lower => (1.0, (1.0 + tolerance.share()).ln()),
        };
        let turned = |logarithms: Vec<f64>| -> Vec<f64> {
            logarithms.into_iter().map(|value| sign * value).collect()
        };
        let before = turned(logarithms(&pair.before)?);
        let after = turned(match pair.metric.better() {
            Better::Higher => logarithms(&pair.after)?,
            Better::Lower => pair
                .after
                .iter()
                .map(|value| value.max(LEAST).ln())
                .collect(),
        });
        let little: Vec<f64> = before
            .iter()
            .map(|value| value + BEYOND_DOUBT * most)
            .collect();
        Some(Self {
            p: greater(&after, &little),
            before,
            after,
            most,
        })
    }

    /// `p` is adjusted for as many as `count` figures.
    fn finding(&self, p: f64, count: usize) -> Finding {
        let around = shift(&self.after, &self.before, MISS).expect("neither side is empty");
        let worse = around.estimate;
        if p <= FALSE_ALARM && worse >= self.most {
            return Finding::Regressed;
        }
        if around.high < self.most {
            return match around.high < -self.most {
                true => Finding::Improved,
                false => Finding::Within,
            };
        }
        // Which test fell short, and by what distance it must tell.
        let (distance, alpha) = match worse >= self.most {
            true => (worse - BEYOND_DOUBT * self.most, FALSE_ALARM / count as f64),
            false => (self.most - worse, MISS),
        };
        let scatter = pooled_scatter(&self.before, &self.after);
        // Of ranks alone there is no normal scatter to go by.
        let scatter = scatter.filter(|_| self.after.iter().all(|&value| value > LEAST.ln()));
        let have = self.before.len().min(self.after.len()) as u64;
        let repeats = scatter
            .and_then(|scatter| repeats_needed(distance, scatter, alpha, POWER))
            // With bad luck there are as many already: the next is the least that can help.
            .map(|repeats| repeats.max(have + 1));
        Finding::Undecided { repeats }
    }
}
