//! What external programs measured, and what the steps of a replay took.

use crate::format::quantity;
use crate::result::{Measure, Percentiles, RunResult, Workload};
use crate::series::{Series, SettingNames};
use crate::stats;
use crate::table::grid::{Align, Grid, fitting, paragraph};
use crate::table::series_columns;

/// How many columns a layout has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Full,
    /// Without the least, p95 and the greatest.
    Brief,
}

/// One row per figure, host and series, repeats pooled, so that what is compared stands together; empty if there is none.
pub(super) fn table(result: &RunResult, width: usize) -> String {
    let series = Series::of(result);
    let mut rows: Vec<Row<'_>> = Vec::new();
    for one in &series {
        for (measure, summary) in one.measures() {
            rows.push((one, measure, summary));
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    // By first appearance, stacks beside each other.
    let mut order: Vec<(&str, &str)> = Vec::new();
    for (_, measure, _) in &rows {
        if !order.contains(&key(measure)) {
            order.push(key(measure));
        }
    }
    rows.sort_by_key(|(_, measure, _)| order.iter().position(|known| *known == key(measure)));
    let names = SettingNames::of(result);
    let layouts = [Detail::Full, Detail::Brief].map(|detail| layout(&names, &rows, detail));
    let title = match rows[0].0.workload() {
        Workload::Replay { .. } => "what a step took",
        Workload::Collective { .. } | Workload::Command { .. } => "what the programs measured",
    };
    paragraph("# ", title, width) + &fitting(width, layouts)
}

type Row<'a> = (&'a Series<'a>, &'a Measure, Percentiles);

fn key(measure: &Measure) -> (&str, &str) {
    (&measure.name, &measure.host)
}

fn layout(names: &SettingNames<'_>, rows: &[Row<'_>], detail: Detail) -> String {
    let mut grid = Grid::default();
    let text = |of: fn(&Measure) -> &str| rows.iter().map(move |row| of(row.1).to_owned());
    grid.column("figure", Align::Left, text(|measure| &measure.name));
    grid.column("host", Align::Left, text(|measure| &measure.host));
    let series: Vec<_> = rows.iter().map(|row| row.0).collect();
    series_columns(&mut grid, names, &series);
    let counts = rows.iter().map(|row| row.2.count.to_string());
    grid.column("values", Align::Right, counts);
    let mut figure = |header: &str, of: fn(&Percentiles) -> f64| {
        let cells = rows
            .iter()
            .map(|(_, measure, summary)| quantity(of(summary), &measure.unit));
        grid.column(header, Align::Right, cells);
    };
    figure("mean", |summary| summary.mean);
    if detail == Detail::Full {
        figure("least", |summary| summary.min);
    }
    figure("p50", |summary| summary.p50);
    if detail == Detail::Full {
        figure("p95", |summary| summary.p95);
    }
    figure("p99", |summary| summary.p99);
    if detail == Detail::Full {
        figure("greatest", |summary| summary.max);
    }
    grid.render()
}

impl<'a> Series<'a> {
    /// Each figure of each host, with what its values come to over all repeats.
    pub(crate) fn measures(&self) -> Vec<(&'a Measure, Percentiles)> {
        let all = || self.points.iter().flat_map(|point| &point.measures);
        let mut found: Vec<(&Measure, Percentiles)> = Vec::new();
        for measure in all() {
            if found.iter().any(|known| key(known.0) == key(measure)) {
                continue;
            }
            let same = all().filter(|other| key(other) == key(measure));
            let values: Vec<f64> = same
                .flat_map(|other| other.values.iter().map(|value| value.value))
                .collect();
            let pooled = match stats::sorted(&values).len() {
                0 => measure.summary,
                _ => Percentiles::of(&values),
            };
            found.push((measure, pooled));
        }
        found
    }
}
