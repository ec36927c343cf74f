//! Two sets of figures side by side: each with its ratio, and how sure that is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use longhaul_reports::result::LabKind;
use longhaul_reports::stats::mean;
use serde::{Deserialize, Serialize};

use crate::figures::Figure;
use crate::listing::Listing;
use crate::metric::{Better, Metric};
use crate::statistics;

/// What a confidence interval of a ratio leaves out on either side; both together make it one of 95 %.
const TAIL: f64 = 0.025;

/// One figure of two runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The stack with its settings.
    pub series: String,
    /// What it is of.
    pub of: String,
    /// What was measured.
    pub metric: Metric,
    /// The values of the first run, one per repeat; empty if it has none.
    pub before: Vec<f64>,
    /// Those of the second.
    pub after: Vec<f64>,
    /// Second over first; absent if there is none.
    pub ratio: Option<Ratio>,
}

/// How many times the first the second is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Of the means in a virtual lab; elsewhere the median of the ratios of all pairs (Hodges and Lehmann).
    pub estimate: f64,
    /// The 95 % confidence interval; absent in a virtual lab, where figures are exact, and where there are too few repeats for one.
    pub interval: Option<(f64, f64)>,
}

impl Pair {
    /// `cubic · 1048576 in-place · busbw`.
    pub fn name(&self) -> String {
        format!("{} · {} · {}", self.series, self.of, self.metric.name())
    }

    /// Whether both sides have the same bits.
    pub fn same(&self) -> bool {
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        bits(&self.before) == bits(&self.after)
    }

    /// How much worse the second is, as a share of the first: 0.05 if a bandwidth fell to 95 % or a time grew to 105 %; negative if
    /// it is better. Infinite if something came of nothing.
    pub fn worsening(&self) -> Option<f64> {
        let (before, after) = (mean(&self.before)?, mean(&self.after)?);
        let growth = match self.growth() {
            _ if before == after || self.is_below_grain() => 0.0,
            Some(growth) => growth,
            None => (after - before).signum() * f64::INFINITY,
        };
        Some(match self.metric.better() {
            Better::Higher => -growth,
            Better::Lower => growth,
        })
    }

    /// Whether the two differ by less than counts at all.
    pub(crate) fn is_below_grain(&self) -> bool {
        let grain = self.metric.grain();
        let means = mean(&self.before).zip(mean(&self.after));
        grain > 0.0 && means.is_some_and(|(before, after)| (after - before).abs() <= grain)
    }

    /// How much greater the second is, as a share of the first, which may be negative; `None` if there is no ratio.
    pub(crate) fn growth(&self) -> Option<f64> {
        Some((self.ratio?.estimate - 1.0) * mean(&self.before)?.signum())
    }

    /// The confidence interval of the ratio, for a table.
    pub(crate) fn interval(&self) -> String {
        match self.ratio.and_then(|ratio| ratio.interval) {
            Some((low, high)) => format!("×{low:.3}–{high:.3}"),
            None => "—".to_owned(),
        }
    }
}

/// Every figure that either run has, in the order of the figures.
pub fn pairs(before: &[Figure], after: &[Figure], lab: LabKind) -> Vec<Pair> {
    let index = |figures| -> BTreeMap<_, &Figure> {
        let figures: &[Figure] = figures;
        figures
            .iter()
            .map(|figure| (figure.key(), figure))
            .collect()
    };
    let (first, second) = (index(before), index(after));
    let mut told = BTreeSet::new();
    before
        .iter()
        .chain(after)
        .filter(|figure| told.insert(figure.key()))
        .map(|figure| {
            let values = |side: &BTreeMap<_, &Figure>| {
                side.get(&figure.key())
                    .map_or_else(Vec::new, |figure| figure.values.clone())
            };
            let (before, after) = (values(&first), values(&second));
            Pair {
                series: figure.series.clone(),
                of: figure.of.clone(),
                metric: figure.metric,
                ratio: ratio(&before, &after, lab),
                before,
                after,
            }
        })
        .collect()
}

/// The columns of figures in tables of pairs, which stand right.
pub(crate) const FIGURES: Range<usize> = 3..6;

/// For people: every figure, its two means and their ratio.
pub fn text(pairs: &[Pair], width: usize) -> String {
    let mut table = Listing::new(width);
    table.header([
        "stack",
        "of",
        "figure",
        "first",
        "second",
        "ratio",
        "95 % interval",
    ]);
    for pair in pairs {
        let ratio = match pair.ratio {
            _ if pair.same() => "=".to_owned(),
            Some(ratio) => format!("×{:.4}", ratio.estimate),
            None => "—".to_owned(),
        };
        table.row([
            pair.series.clone(),
            pair.of.clone(),
            pair.metric.name().to_owned(),
            value(&pair.before, pair.metric),
            value(&pair.after, pair.metric),
            ratio,
            pair.interval(),
        ]);
    }
    table.render(FIGURES)
}

/// The mean of some values of a metric, with five significant digits and its unit; of counts as a whole number.
pub(crate) fn value(values: &[f64], metric: Metric) -> String {
    let Some(mean) = mean(values) else {
        return "—".to_owned();
    };
    let decimals = match mean == 0.0 || metric.is_count() {
        true => 0,
        false => (4 - mean.abs().log10().floor() as i32).clamp(0, 9) as usize,
    };
    let text = format!("{mean:.decimals$} {}", metric.unit());
    text.trim_end().to_owned()
}

fn ratio(before: &[f64], after: &[f64], lab: LabKind) -> Option<Ratio> {
    if lab == LabKind::Virtual {
        let estimate = mean(after)? / mean(before)?;
        return estimate.is_finite().then_some(Ratio {
            estimate,
            interval: None,
        });
    }
    // A ratio is a difference of logarithms.
    let shift = statistics::shift(&logarithms(after)?, &logarithms(before)?, TAIL)?;
    let interval = (shift.low.exp(), shift.high.exp());
    Some(Ratio {
        estimate: shift.estimate.exp(),
        interval: shift.low.is_finite().then_some(interval),
    })
}

/// Of positive values; nothing if some is not.
pub(crate) fn logarithms(values: &[f64]) -> Option<Vec<f64>> {
    values
        .iter()
        .map(|&value| (value > 0.0).then(|| value.ln()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(metric: Metric, before: &[f64], after: &[f64], lab: LabKind) -> Pair {
        let figure = |values: &[f64]| Figure {
            series: "cubic".to_owned(),
            of: "all".to_owned(),
            metric,
            values: values.to_vec(),
        };
        pairs(&[figure(before)], &[figure(after)], lab).remove(0)
    }

    #[test]
    fn less_bandwidth_and_more_time_are_worse() {
        let worsening = |metric, after| {
            let pair = pair(metric, &[100.0], &[after], LabKind::Virtual);
            (pair.worsening().unwrap() * 100.0).round()
        };
        assert_eq!(worsening(Metric::Busbw, 95.0), 5.0);
        assert_eq!(worsening(Metric::Busbw, 105.0), -5.0);
        assert_eq!(worsening(Metric::Time, 105.0), 5.0);
        // A microsecond is the links' grain.
        assert_eq!(worsening(Metric::Pdv, 100.9), 0.0);
    }

    #[test]
    fn something_out_of_nothing_is_infinitely_worse() {
        let pair = pair(Metric::ProbesLost, &[0.0], &[3.0], LabKind::Virtual);
        assert_eq!((pair.ratio, pair.worsening()), (None, Some(f64::INFINITY)));
    }

    #[test]
    fn intervals_need_repeats() {
        let few = pair(Metric::Time, &[1.0, 1.1], &[1.0, 1.2], LabKind::Host);
        assert_eq!(few.ratio.unwrap().interval, None);
        let times = [1.0, 1.01, 1.02, 1.03, 1.04, 1.05];
        let slower = times.map(|time| time * 1.1);
        let (low, high) = pair(Metric::Time, &times, &slower, LabKind::Host)
            .ratio
            .unwrap()
            .interval
            .unwrap();
        assert!(low < 1.1 && 1.1 < high && high < 1.2, "{low} {high}");
    }

    #[test]
    fn what_programs_measured_has_its_digits_and_counts_are_whole() {
        assert_eq!(value(&[0.97], Metric::Gain), "0.97000");
        assert_eq!(value(&[0.68], Metric::Cost), "0.68000");
        assert_eq!(value(&[3.0, 4.0], Metric::Drops), "4");
        assert_eq!(value(&[0.0], Metric::Gain), "0");
    }

    #[test]
    fn the_same_bits_are_the_same_and_zeros_have_signs() {
        assert!(pair(Metric::Time, &[0.1], &[0.1], LabKind::Virtual).same());
        assert!(!pair(Metric::Time, &[0.1 + 0.2], &[0.3], LabKind::Virtual).same());
    }
}
