//! Tables for a page or a pull request.

use crate::folder::Opened;
use crate::format::{bytes, quantity, rate, sentence, time};
use crate::markdown::escape;
use crate::result::fidelity::Faithfulness;
use crate::result::{Measure, Percentiles, RunResult, Summary};
use crate::series::Series;
use crate::side_by_side;

pub(super) fn text(results: &[Opened]) -> String {
    let mut text = String::new();
    for (opened, name) in results.iter().zip(side_by_side::names(results)) {
        let result = &opened.folder.result;
        text += &format!("## {}\n\n", escape(&name));
        if !result.description.is_empty() {
            text += &format!("{}\n\n", escape(&result.description));
        }
        for remark in &opened.remarks {
            text += &format!("- {}\n", escape(remark));
        }
        text += &format!("{}\n\n", faithful(result));
        text += &summaries(result);
        text += &measures(result);
        text += &delays(result);
        if let Some(details) = &result.run_details {
            text += &format!(
                "`{}`\n\n",
                details.command.replace('`', "'").replace(['\n', '\r'], " ")
            );
        }
    }
    text
}

fn faithful(result: &RunResult) -> String {
    let told = result.faithfulness();
    match told {
        Faithfulness::Unmeasured | Faithfulness::Faithful => sentence(&told.to_string()),
        Faithfulness::Off { .. } => {
            let warning = sentence(&format!("{told}: do not trust these figures"));
            format!("**{warning}**")
        }
    }
}

fn summaries(result: &RunResult) -> String {
    let rows: Vec<[String; 7]> = Series::of(result)
        .iter()
        .flat_map(|series| {
            let label = escape(&series.label);
            let row = move |row: Summary| {
                [
                    label.clone(),
                    bytes(row.size_bytes as f64),
                    row.placement.name().to_owned(),
                    time(row.time_us),
                    rate(row.busbw_gbps * 8e9),
                    time(row.p99_us),
                    row.wrong.to_string(),
                ]
            };
            series.summaries().into_iter().map(row)
        })
        .collect();
    table(
        [
            "series",
            "size",
            "placement",
            "time",
            "busbw",
            "p99",
            "wrong",
        ],
        &rows,
        1,
    )
}

fn measures(result: &RunResult) -> String {
    let rows: Vec<[String; 10]> = Series::of(result)
        .iter()
        .flat_map(|series| {
            let label = escape(&series.label);
            let row = move |(measure, summary): (&Measure, Percentiles)| {
                let cell = |value| escape(&quantity(value, &measure.unit));
                [
                    label.clone(),
                    escape(&measure.name),
                    escape(&measure.host),
                    summary.count.to_string(),
                    cell(summary.mean),
                    cell(summary.min),
                    cell(summary.p50),
                    cell(summary.p95),
                    cell(summary.p99),
                    cell(summary.max),
                ]
            };
            series.measures().into_iter().map(row)
        })
        .collect();
    table(
        [
            "series", "figure", "host", "values", "mean", "least", "p50", "p95", "p99", "greatest",
        ],
        &rows,
        3,
    )
}

fn delays(result: &RunResult) -> String {
    let rows: Vec<[String; 6]> = result
        .points
        .iter()
        .flat_map(|point| {
            point.delays.iter().map(|delay| {
                [
                    format!("{} {}", point.index, escape(&point.stack)),
                    escape(&format!("{} → {}", delay.from, delay.to)),
                    time(delay.described_us),
                    time(delay.delay_us.p50),
                    time(delay.delay_us.p99),
                    time(delay.pdv_us),
                ]
            })
        })
        .collect();
    table(
        ["point", "path", "described", "median", "p99", "PDV"],
        &rows,
        2,
    )
}

/// Figures from the column `figures_from` on stand at the right.
fn table<const N: usize>(head: [&str; N], rows: &[[String; N]], figures_from: usize) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = |index| if index >= figures_from { "---:" } else { "---" }.to_owned();
    let rules: Vec<String> = (0..N).map(rule).collect();
    let mut text = line(&head.map(str::to_owned)) + &line(&rules);
    text.extend(rows.iter().map(|row| line(row)));
    text + "\n"
}
