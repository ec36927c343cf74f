//! What nccl-tests prints (src/common.cu, `BenchTime` and `TestMain`), a block per series, repeats pooled.
//!
//! Columns are nccl-tests' own, in its order and width; bandwidths have more decimals where two would tell less than three digits, as
//! long links carry little of a gigabyte per second. A column is wider where a figure is.

use std::fmt::Write;

use crate::folder::Opened;
use crate::format::{bandwidth_decimals, plural};
use crate::result::{Placement, Summary, Workload};
use crate::series::{Series, iterations};
use crate::side_by_side;
use crate::stats;

/// Empty if nothing is of a collective.
pub(super) fn text(results: &[Opened]) -> String {
    let mut points = results.iter().flat_map(|one| &one.folder.result.points);
    if !points.any(|point| matches!(point.workload, Workload::Collective { .. })) {
        return String::new();
    }
    let mut text = String::new();
    for (opened, name) in results.iter().zip(side_by_side::names(results)) {
        for series in Series::of(&opened.folder.result) {
            block(&mut text, &name, &series).expect("writing into a string does not fail");
        }
    }
    text
}

fn block(text: &mut String, name: &str, series: &Series<'_>) -> std::fmt::Result {
    let Workload::Collective {
        collective,
        data_type,
        op,
        root,
        ranks,
        ..
    } = series.workload()
    else {
        let label = &series.label;
        return writeln!(
            text,
            "# {name}: {label}: left out: a replay or a program, no collective by size\n#\n"
        );
    };
    let summaries = series.summaries();
    let widths = Widths::of(&summaries);
    let iterations = iterations(&summaries);
    writeln!(
        text,
        "# {name}: {}, {collective}, {}, {}",
        series.label,
        plural(*ranks, "rank"),
        plural(iterations, "iteration")
    )?;
    writeln!(text, "#")?;
    let wider = widths.beyond_usual();
    writeln!(
        text,
        "# {:>10}  {:>12}  {:>8}  {:>6}  {:>6}{:>out$}{:>in_$}{:after$}",
        "",
        "",
        "",
        "",
        "",
        "out-of-place",
        "in-place",
        "",
        out = 23 + wider,
        in_ = 31 + 2 * wider,
        after = 10 + wider
    )?;
    let Widths {
        time: t,
        bandwidth: b,
    } = widths;
    let columns = |text: &mut String, left: [&str; 5], right: [&str; 4]| {
        let [size, count, kind, op, root] = left;
        write!(
            text,
            "# {size:>10}  {count:>12}  {kind:>8}  {op:>6}  {root:>6}"
        )?;
        for _ in 0..2 {
            let [time, algbw, busbw, wrong] = right;
            write!(text, "  {time:>t$}  {algbw:>b$}  {busbw:>b$} {wrong:>6}")?;
        }
        writeln!(text)
    };
    columns(
        text,
        ["size", "count", "type", "redop", "root"],
        ["time", "algbw", "busbw", "#wrong"],
    )?;
    columns(
        text,
        ["(B)", "(elements)", "", "", ""],
        ["(us)", "(GB/s)", "(GB/s)", ""],
    )?;
    let mut sizes: Vec<(u64, u64)> = summaries
        .iter()
        .map(|row| (row.size_bytes, row.count))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    for (size, count) in sizes {
        let kind = type_name(data_type);
        write!(
            text,
            "{size:>12}  {count:>12}  {kind:>8}  {op:>6}  {root:>6}"
        )?;
        for placement in [Placement::OutOfPlace, Placement::InPlace] {
            let mut rows = summaries.iter();
            let found = rows.find(|row| row.size_bytes == size && row.placement == placement);
            let [time, algbw, busbw, wrong] = match found {
                Some(row) => figures(row),
                // As nccl-tests says it of what it does not check.
                None => ["N/A"; 4].map(str::to_owned),
            };
            write!(text, "  {time:>t$}  {algbw:>b$}  {busbw:>b$}  {wrong:>5}")?;
        }
        writeln!(text)?;
    }
    let wrong: u64 = summaries.iter().map(|row| row.wrong).sum();
    let verdict = if wrong == 0 { "OK" } else { "FAILED" };
    writeln!(text, "# Out of bounds values : {wrong} {verdict}")?;
    let average = stats::average_busbw(&summaries).unwrap_or(0.0);
    writeln!(text, "# Avg bus bandwidth    : {average:.6} ")?;
    writeln!(text, "#\n")
}

/// How wide the columns of a block are.
#[derive(Clone, Copy)]
struct Widths {
    time: usize,
    bandwidth: usize,
}

impl Widths {
    /// nccl-tests' own.
    const USUAL: Self = Self {
        time: 7,
        bandwidth: 6,
    };

    fn of(summaries: &[Summary]) -> Self {
        let mut widths = Self::USUAL;
        for row in summaries {
            let [time, algbw, busbw, _] = figures(row).map(|text| text.len());
            widths.time = widths.time.max(time);
            widths.bandwidth = widths.bandwidth.max(algbw).max(busbw);
        }
        widths
    }

    /// How far a placement's columns go beyond nccl-tests' on either side of their middle.
    fn beyond_usual(self) -> usize {
        let wider = self.time - Self::USUAL.time + 2 * (self.bandwidth - Self::USUAL.bandwidth);
        wider.div_ceil(2)
    }
}

/// Time, bandwidth of the algorithm and of the bus, wrong elements.
fn figures(row: &Summary) -> [String; 4] {
    let time = match row.time_us {
        time if time >= 10_000.0 => format!("{time:.0}"),
        time if time >= 100.0 => format!("{time:.1}"),
        time => format!("{time:.2}"),
    };
    let gbps = |value: f64| format!("{value:.0$}", bandwidth_decimals(value));
    [
        time,
        gbps(row.algbw_gbps),
        gbps(row.busbw_gbps),
        row.wrong.to_string(),
    ]
}

/// nccl-tests' names (`test_typenames`); others as they are.
fn type_name(data_type: &str) -> &str {
    match data_type {
        "f32" => "float",
        "f64" => "double",
        "bf16" => "bfloat16",
        "i32" => "int32",
        "i64" => "int64",
        other => other,
    }
}
