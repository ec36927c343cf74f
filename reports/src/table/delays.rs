//! One-way delay and its variation between sites.

use crate::result::{DelaySummary, RunResult};
use crate::series::{Series, SettingNames};
use crate::table::grid::{Align, Grid, fitting, line_width, paragraph};
use crate::table::series_columns;

/// How many columns a layout has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Full,
    /// Without the least, p95 and the most.
    Brief,
}

/// One row per series, repeat and pair of sites: all in one table where it fits, else one table per series.
pub(super) fn tables(result: &RunResult, width: usize) -> String {
    let names = SettingNames::of(result);
    let all: Vec<Series<'_>> = Series::of(result)
        .into_iter()
        .filter(|series| series.points.iter().any(|point| !point.delays.is_empty()))
        .collect();
    let what = "one-way delay between sites during the workload, milliseconds";
    if all.len() > 1 {
        let together =
            [Detail::Full, Detail::Brief].map(|detail| table(&all, Some(&names), detail));
        let fits = |table: &String| line_width(table) <= width;
        if let Some(table) = together.into_iter().find(fits) {
            return paragraph("# ", what, width) + &table;
        }
    }
    let tables = all.iter().map(|series| {
        let layouts = [Detail::Full, Detail::Brief];
        let layouts = layouts.map(|detail| table(std::slice::from_ref(series), None, detail));
        let heading = format!("{}: {what}", series.label);
        paragraph("# ", &heading, width) + &fitting(width, layouts)
    });
    tables.collect::<Vec<_>>().join("\n")
}

/// The rows of the series, with the columns that tell them apart if their names are given.
fn table(all: &[Series<'_>], names: Option<&SettingNames<'_>>, detail: Detail) -> String {
    let full = detail == Detail::Full;
    let mut rows: Vec<(&Series<'_>, usize, &DelaySummary)> = Vec::new();
    for series in all {
        for point in &series.points {
            rows.extend(
                point
                    .delays
                    .iter()
                    .map(|delay| (series, point.repeat, delay)),
            );
        }
    }
    let mut grid = Grid::default();
    if let Some(names) = names {
        series_columns(&mut grid, names, rows.iter().map(|row| row.0));
    }
    if all.iter().any(|series| series.points.len() > 1) {
        let repeats = rows.iter().map(|row| row.1.to_string());
        grid.column("repeat", Align::Right, repeats);
    }
    let rows: Vec<&DelaySummary> = rows.into_iter().map(|row| row.2).collect();
    let paths = rows.iter().map(|row| format!("{}>{}", row.from, row.to));
    grid.column("path", Align::Left, paths);
    let mut millis = |header: &str, value: fn(&DelaySummary) -> f64| {
        // A path that no probe crossed has no delay.
        let cell = |row: &DelaySummary| match row.delay_us.count {
            0 => "-".to_owned(),
            _ => format!("{:.3}", value(row) / 1e3),
        };
        grid.column(header, Align::Right, rows.iter().map(|row| cell(row)));
    };
    millis("asked", |row| row.described_us);
    if full {
        millis("least", |row| row.delay_us.min);
    }
    millis("p50", |row| row.delay_us.p50);
    if full {
        millis("p95", |row| row.delay_us.p95);
    }
    millis("p99", |row| row.delay_us.p99);
    if full {
        millis("most", |row| row.delay_us.max);
    }
    millis("PDV", |row| row.pdv_us);
    millis("RFC 3550", |row| row.rfc3550_us);
    let share = |row: &DelaySummary| 100.0 * row.lost as f64 / row.sent.max(1) as f64;
    if full {
        let lost =
            |row: &DelaySummary| format!("{} of {} ({:.2} %)", row.lost, row.sent, share(row));
        grid.column("lost", Align::Right, rows.iter().map(|row| lost(row)));
    } else {
        grid.column(
            "lost %",
            Align::Right,
            rows.iter().map(|row| format!("{:.2}", share(row))),
        );
    }
    grid.render()
}
