//! nccl-tests' columns, and bus bandwidth side by side.

use std::collections::BTreeSet;

use maud::{Markup, html};

use crate::chart;
use crate::format::{bandwidth_decimals, bytes, plural, quantity, rate};
use crate::html::{table, verdict};
use crate::result::{Percentiles, RunResult, Summary, Workload};
use crate::series::replay::CARRIED;
use crate::series::{Series, iterations};
use crate::stats;

/// More tables than this are not read; result.json has all.
const MOST_TABLES: usize = 40;

/// A table per series, and their comparison.
pub(super) fn section(result: &RunResult) -> Option<Markup> {
    let all = Series::of(result);
    if all.is_empty() {
        return None;
    }
    Some(html! {
        @if let Some(comparison) = comparison(result) { (comparison) }
        @for series in all.iter().take(MOST_TABLES) {
            @match series.workload() {
                Workload::Collective { .. } => (collective(series)),
                Workload::Replay { description, .. } => (replay(series, description)),
                Workload::Command { command } => (commands(series, command)),
            }
            (measures(series))
        }
        @if all.len() > MOST_TABLES {
            p.muted { "The first " (MOST_TABLES) " of " (all.len()) " series; result.json has all." }
        }
    })
}

fn collective(series: &Series<'_>) -> Markup {
    let summaries = series.summaries();
    let iterations = iterations(&summaries);
    let wrong: u64 = summaries.iter().map(|row| row.wrong).sum();
    let rows: Vec<Vec<Markup>> = summaries.iter().map(row).collect();
    let head = [
        "size",
        "",
        "time (µs)",
        "algbw (GB/s)",
        "busbw (GB/s)",
        "#wrong",
        "p50 (µs)",
        "p95 (µs)",
        "p99 (µs)",
        "of the bound",
    ];
    html! {
        h3 { (series.label) }
        @if summaries.is_empty() {
            p.muted { "Nothing was measured." }
        } @else {
            p.muted {
                (plural(iterations, "iteration")) " per size"
                @if series.points.len() > 1 { " over " (series.points.len()) " repeats" }
                @if let Some(average) = stats::average_busbw(&summaries) {
                    " · average bus bandwidth " b { (rate(average * 8e9)) }
                }
                " · " (verdict(wrong == 0, "all right", &format!("{wrong} wrong")))
            }
            (table(&head, &rows, 2))
        }
        @if let Some(bound) = series.bound() {
            p.muted { "Bound: " (rate(bound.busbw_bps)) " of bus bandwidth: " (bound.reason) "." }
        }
    }
}

fn row(row: &Summary) -> Vec<Markup> {
    let micros = |value: f64| {
        let decimals = if value >= 1e5 { 0 } else { 1 };
        html! { (format!("{value:.decimals$}")) }
    };
    let gbps = |value: f64| {
        let decimals = bandwidth_decimals(value);
        html! { (format!("{value:.decimals$}")) }
    };
    vec![
        html! { span.nowrap { (bytes(row.size_bytes as f64)) } },
        html! { span.nowrap { (row.placement.name()) } },
        micros(row.time_us),
        gbps(row.algbw_gbps),
        gbps(row.busbw_gbps),
        html! { (row.wrong) },
        micros(row.p50_us),
        micros(row.p95_us),
        micros(row.p99_us),
        html! { @if let Some(share) = row.bound_share { (format!("{:.1} %", share * 100.0)) } },
    ]
}

fn replay(series: &Series<'_>, description: &str) -> Markup {
    let cells = |row: [String; 5]| row.map(|cell| html! { span.nowrap { (cell) } }).to_vec();
    let rows: Vec<Vec<Markup>> = series.carried().into_iter().map(cells).collect();
    let wrong = series.wrong();
    html! {
        h3 { (series.label) }
        p.muted {
            (series.replay_heading()) " · "
            (verdict(wrong == 0, "all right", &format!("{wrong} wrong")))
        }
        p.muted { (description) }
        (table(&CARRIED, &rows, 2))
    }
}

fn commands(series: &Series<'_>, command: &[String]) -> Markup {
    let outcomes = series.points.iter().flat_map(|point| {
        let outcomes = point.commands.iter();
        outcomes.map(|outcome| {
            vec![
                html! { (point.repeat) },
                html! { (outcome.host) },
                html! { (verdict(outcome.exit_code == 0, "0", &outcome.exit_code.to_string())) },
                html! { (outcome.log) },
            ]
        })
    });
    let rows: Vec<Vec<Markup>> = outcomes.collect();
    html! {
        h3 { (series.label) }
        p { code { (command.join(" ")) } }
        (table(&["repeat", "host", "exit code", "output"], &rows, usize::MAX))
    }
}

/// What the programs of a series measured; nothing if they did not.
fn measures(series: &Series<'_>) -> Markup {
    let all = series.measures();
    let rows: Vec<Vec<Markup>> = all
        .iter()
        .map(|(measure, summary)| {
            let cell = |value| html! { span.nowrap { (quantity(value, &measure.unit)) } };
            let Percentiles {
                mean,
                min,
                p50,
                p95,
                p99,
                max,
                ..
            } = *summary;
            let mut row = vec![
                html! { (measure.name) },
                html! { (measure.host) },
                html! { (summary.count) },
            ];
            row.extend([mean, min, p50, p95, p99, max].map(cell));
            row
        })
        .collect();
    let head = [
        "figure", "host", "values", "mean", "least", "p50", "p95", "p99", "greatest",
    ];
    html! { @if !rows.is_empty() { (table(&head, &rows, 2)) } }
}

/// Bus bandwidth of every series by size, with its ratio to the first; nothing if there is nothing to compare.
pub(super) fn comparison(result: &RunResult) -> Option<Markup> {
    let all: Vec<(Series<'_>, Vec<Summary>)> = Series::of(result)
        .into_iter()
        .map(|series| {
            let summaries = series.summaries();
            (series, summaries)
        })
        .filter(|(_, summaries)| !summaries.is_empty())
        .collect();
    if all.len() < 2 {
        return None;
    }
    let placement = chart::placement(&Series::of(result))?;
    let sizes: BTreeSet<u64> = all
        .iter()
        .flat_map(|(_, rows)| rows)
        .filter(|row| row.placement == placement)
        .map(|row| row.size_bytes)
        .collect();
    let busbw = |rows: &[Summary], size: u64| {
        let mut rows = rows.iter();
        rows.find(|row| row.size_bytes == size && row.placement == placement)
            .map(|row| row.busbw_gbps)
    };
    let line = |(series, rows): &(Series<'_>, Vec<Summary>)| {
        let mut cells = vec![html! { (series.label) }];
        cells.extend(sizes.iter().map(|&size| {
            let (own, first) = (busbw(rows, size), busbw(&all[0].1, size));
            html! {
                @if let Some(own) = own {
                    span.nowrap { (rate(own * 8e9)) }
                    @if let Some(first) = first.filter(|first| *first > 0.0) {
                        " " small { (format!("×{:.2}", own / first)) }
                    }
                }
            }
        }));
        cells
    };
    let table_rows: Vec<Vec<Markup>> = all.iter().take(MOST_TABLES).map(line).collect();
    let sizes: Vec<String> = sizes.iter().map(|&size| bytes(size as f64)).collect();
    let head: Vec<&str> = std::iter::once("series")
        .chain(sizes.iter().map(String::as_str))
        .collect();
    Some(html! {
        (table(&head, &table_rows, 1))
        p.muted {
            "Bus bandwidth of the mean time, " (placement.name()) ", with its ratio to the first line."
            @if all.len() > MOST_TABLES { " The first " (MOST_TABLES) " of " (all.len()) " series." }
        }
    })
}
