//! One-way delay and its variation between sites.

use crate::result::{DelaySummary, RunResult};
use crate::series::Series;
use crate::table::grid::{Align, Grid, fitting, paragraph};

/// One table per series that has delays, one row per pair of sites and repeat.
pub(super) fn tables(result: &RunResult, width: usize) -> String {
    let tables: Vec<String> = Series::of(result)
        .iter()
        .filter(|series| series.points.iter().any(|point| !point.delays.is_empty()))
        .map(|series| {
            let heading = format!(
                "{}: one-way delay between sites during the workload, milliseconds",
                series.label
            );
            let layouts = [true, false].map(|full| table(series, full));
            paragraph("# ", &heading, width) + &fitting(width, layouts)
        })
        .collect();
    tables.join("\n")
}

fn table(series: &Series<'_>, full: bool) -> String {
    let rows: Vec<(usize, &DelaySummary)> = series
        .points
        .iter()
        .flat_map(|point| point.delays.iter().map(|delay| (point.repeat, delay)))
        .collect();
    let mut grid = Grid::default();
    if series.points.len() > 1 {
        grid.column(
            "repeat",
            Align::Right,
            rows.iter().map(|(repeat, _)| repeat.to_string()),
        );
    }
    grid.column(
        "path",
        Align::Left,
        rows.iter()
            .map(|(_, row)| format!("{}>{}", row.from, row.to)),
    );
    let mut millis = |header: &str, value: fn(&DelaySummary) -> f64| {
        // A path that no probe crossed has no delay.
        let cell = |row: &DelaySummary| match row.delay_us.count {
            0 => "-".to_owned(),
            _ => format!("{:.3}", value(row) / 1e3),
        };
        grid.column(header, Align::Right, rows.iter().map(|(_, row)| cell(row)));
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
        grid.column("lost", Align::Right, rows.iter().map(|(_, row)| lost(row)));
    } else {
        grid.column(
            "lost %",
            Align::Right,
            rows.iter().map(|(_, row)| format!("{:.2}", share(row))),
        );
    }
    grid.render()
}
