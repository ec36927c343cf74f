//! The judgement for a pull request.

use std::collections::BTreeMap;

use longhaul_reports::markdown::escape;
use longhaul_reports::stats::mean;

use super::{Finding, Judgement, Ruling, change, word};
use crate::comparison::value;

/// Eight heights, from the least value to the greatest.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Values of a sparkline: more do not fit a table's cell.
const MOST: usize = 30;

pub(super) fn markdown(judgement: &Judgement, trails: &BTreeMap<String, Vec<f64>>) -> String {
    let mark = match judgement.ruling {
        Ruling::Passed => "✅",
        Ruling::Regressed { .. } | Ruling::Wrong { .. } => "❌",
        Ruling::Undecided { .. } | Ruling::Unfaithful { .. } => "⚠️",
    };
    let mut text = format!(
        "### {mark} longhaul gate: {}\n\n{}\n\n",
        escape(&judgement.run.name),
        escape(&judgement.sentence())
    );
    text += "| figure | baseline | now | change | finding | trend |\n|---|--:|--:|--:|---|---|\n";
    for row in judgement.telling() {
        let pair = &row.pair;
        let name = pair.name();
        let trail: Vec<f64> = match trails.get(&name) {
            // One value a run.
            Some(earlier) => earlier.iter().copied().chain(mean(&pair.after)).collect(),
            None => pair.before.iter().chain(&pair.after).copied().collect(),
        };
        let strong = matches!(row.finding, Finding::Regressed | Finding::Missing);
        let bold = if strong { "**" } else { "" };
        text += &format!(
            "| {} | {} | {} | {bold}{}{bold} | {} | {} |\n",
            escape(&name),
            value(&pair.before, pair.metric),
            value(&pair.after, pair.metric),
            change(row),
            word(row.finding),
            sparkline(&trail)
        );
    }
    text += &format!(
        "\n{} of {} figures are the same, to the bit.\n",
        judgement.same(),
        judgement.rows.len()
    );
    for note in &judgement.notes {
        text += &format!("- {}\n", escape(note));
    }
    text
}

/// The last values as bars, each as high as it lies between the least and the greatest.
fn sparkline(values: &[f64]) -> String {
    let shown = &values[values.len().saturating_sub(MOST)..];
    let low = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let high = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    shown
        .iter()
        .map(|value| match high > low {
            true => BARS[((value - low) / (high - low) * (BARS.len() - 1) as f64).round() as usize],
            false => BARS[0],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_reach_from_the_least_to_the_greatest() {
        assert_eq!(sparkline(&[0.0, 7.0, 3.0]), "▁█▄");
        assert_eq!(sparkline(&[5.0, 5.0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
    }
}
