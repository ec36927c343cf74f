//! Cumulative distributions: what charts of them share.

use crate::chart::axis::Axis;
use crate::chart::figure::{Curve, Key};
use crate::series::Series;
use crate::stats;
use crate::theme;

/// The series by the look of their lines.
pub(super) fn line_legend(series: &[&Series<'_>]) -> Vec<(Key, String)> {
    let series = series.iter().enumerate();
    series
        .map(|(index, one)| (Key::line(theme::stroke(index)), one.label.clone()))
        .collect()
}

/// The axis of a cumulative distribution.
pub(super) fn share_axis() -> Axis {
    Axis::linear("cumulative share", 0.0, 1.0)
}

/// A cumulative distribution drawn as the staircase that it is.
pub(super) fn steps(cdf: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut below = 0.0;
    let mut corners = Vec::with_capacity(2 * cdf.len());
    for &(value, share) in cdf {
        corners.extend([(value, below), (value, share)]);
        below = share;
    }
    corners
}

/// An axis over all values, which are milliseconds. It is logarithmic if none is negative and they span more than two decades: then it
/// begins at the first percentile, and what is less lies at its low end.
pub(super) fn range_of(curves: &[Curve], label: &str) -> Axis {
    let values: Vec<f64> = curves
        .iter()
        .flat_map(|curve| curve.runs.iter().flatten())
        .map(|point| point.0)
        .collect();
    let values = stats::sorted(&values);
    let (low, high) = (
        values.first().copied().unwrap_or(0.0),
        values.last().copied().unwrap_or(1.0),
    );
    let positive = &values[values.partition_point(|&value| value <= 0.0)..];
    match stats::percentile(positive, 1.0) {
        Some(first) if low >= 0.0 && high / first > 100.0 => Axis::times(label, first, high),
        _ => {
            let margin = (high - low) * 0.03;
            Axis::linear(format!("{label} (ms)"), low - margin, high + margin)
        }
    }
}
