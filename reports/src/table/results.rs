//! Times and bandwidths per size.

use std::collections::BTreeSet;

use crate::format::{bandwidth_decimals, bytes, decimals_for, plural, rate};
use crate::result::{Placement, RunResult, Summary, Workload};
use crate::series::replay::CARRIED;
use crate::series::{Series, SettingNames, iterations};
use crate::stats;
use crate::table::grid::{Align, Grid, fitting, line_width, paragraph};
use crate::table::series_columns;

/// How many columns a layout has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// All.
    Full,
    /// Without count, type, redop, root (the heading has them) and p95.
    Brief,
}

/// One table per series, with nccl-tests' footer.
pub(super) fn tables(result: &RunResult, width: usize) -> String {
    let tables: Vec<String> = Series::of(result)
        .iter()
        .map(|series| table(series, width))
        .collect();
    tables.join("\n")
}

/// Bus bandwidth of all series, one below the other and one column per size, each beside its ratio to the first;
/// sizes that do not fit into `width` follow in a further table.
pub(super) fn comparison(result: &RunResult, width: usize) -> String {
    let names = SettingNames::of(result);
    let all: Vec<(Series<'_>, Vec<Summary>)> = Series::of(result)
        .into_iter()
        .map(|series| {
            let rows = series.summaries();
            (series, rows)
        })
        .collect();
    if all.len() < 2 {
        return String::new();
    }
    let mut tables = Vec::new();
    for placement in [Placement::OutOfPlace, Placement::InPlace] {
        let rows = all
            .iter()
            .flat_map(|(_, rows)| rows)
            .filter(|row| row.placement == placement);
        let sizes: Vec<u64> = BTreeSet::from_iter(rows.map(|row| row.size_bytes))
            .into_iter()
            .collect();
        let mut rest = &sizes[..];
        while !rest.is_empty() {
            let layouts = (1..=rest.len())
                .rev()
                .map(|count| (count, by_size(&names, &all, &rest[..count], placement)));
            let fits = |layout: &(usize, String)| layout.0 == 1 || line_width(&layout.1) <= width;
            let Some((count, table)) = layouts.into_iter().find(fits) else {
                break;
            };
            let heading = format!(
                "bus bandwidth (GB/s), {}, with its ratio to the first",
                placement.name()
            );
            tables.push(paragraph("# ", &heading, width) + &table);
            rest = &rest[count..];
        }
    }
    tables.join("\n")
}

/// One comparison table of some sizes.
fn by_size(
    names: &SettingNames<'_>,
    all: &[(Series<'_>, Vec<Summary>)],
    sizes: &[u64],
    placement: Placement,
) -> String {
    let mut grid = Grid::default();
    let series: Vec<_> = all.iter().map(|(series, _)| series).collect();
    series_columns(&mut grid, names, &series);
    for &size in sizes {
        let row = |rows: &[Summary]| {
            rows.iter()
                .find(|row| row.size_bytes == size && row.placement == placement)
                .map(|row| row.busbw_gbps)
        };
        let values: Vec<Option<f64>> = all.iter().map(|(_, rows)| row(rows)).collect();
        let decimals = shared_decimals(values.iter().copied().flatten());
        let cell =
            |value: &Option<f64>| value.map_or("-".into(), |value| format!("{value:.decimals$}"));
        grid.column(&bytes(size as f64), Align::Right, values.iter().map(cell));
        let ratio = |value: &Option<f64>| Some((*value)? / values[0]?);
        let cell = |value| ratio(value).map_or("-".into(), |ratio| format!("×{ratio:.2}"));
        grid.column("", Align::Right, values.iter().map(cell));
    }
    grid.render()
}

fn table(series: &Series<'_>, width: usize) -> String {
    let Workload::Collective {
        program,
        collective,
        algorithm,
        data_type,
        op,
        root,
        ranks,
        ..
    } = series.workload()
    else {
        return match series.workload() {
            Workload::Replay { description, .. } => replay(series, description, width),
            _ => commands(series, width),
        };
    };
    let summaries = series.summaries();
    let iterations = iterations(&summaries);
    let mut heading = format!(
        "{}: {collective} ({algorithm}), {data_type}, {op}, {ranks} ranks",
        series.label
    );
    if let Some(program) = program {
        heading += &format!(", by {program}");
    }
    if *root >= 0 {
        heading += &format!(", root {root}");
    }
    heading += &format!(", {} per size", plural(iterations, "iteration"));
    if series.points.len() > 1 {
        heading += &format!(" over {} repeats", series.points.len());
    }
    let mut text = paragraph("# ", &heading, width);
    if summaries.is_empty() {
        return text + "# nothing was measured\n";
    }

    let placements: Vec<(Placement, Vec<&Summary>)> = [Placement::OutOfPlace, Placement::InPlace]
        .map(|placement| {
            (
                placement,
                summaries
                    .iter()
                    .filter(|row| row.placement == placement)
                    .collect(),
            )
        })
        .into_iter()
        .filter(|(_, rows): &(_, Vec<_>)| !rows.is_empty())
        .collect();
    let constant = [data_type.clone(), op.clone(), root.to_string()];
    let stacked = |detail| {
        let tables = placements.iter().map(|one| {
            let table = layout(std::slice::from_ref(one), &constant, detail);
            format!(
                " {}
{table}",
                one.0.name()
            )
        });
        tables.collect::<Vec<_>>().join("\n")
    };
    let mut layouts = vec![stacked(Detail::Full), stacked(Detail::Brief)];
    // Side by side only where both placements ran the same sizes.
    let sizes = |rows: &[&Summary]| rows.iter().map(|row| row.size_bytes).collect::<Vec<_>>();
    if placements
        .windows(2)
        .all(|pair| sizes(&pair[0].1) == sizes(&pair[1].1))
    {
        layouts.insert(0, layout(&placements, &constant, Detail::Full));
    }
    text += &fitting(width, layouts);
    text + &footer(series, &summaries, width)
}

/// The columns of the given placements side by side.
fn layout(
    placements: &[(Placement, Vec<&Summary>)],
    constant: &[String; 3],
    detail: Detail,
) -> String {
    let all = || placements.iter().flat_map(|(_, rows)| rows.iter().copied());
    let longest = all().map(|row| row.p99_us).fold(0.0, f64::max);
    let time_decimals = if longest >= 1e5 { 0 } else { 1 };
    let decimals = shared_decimals(all().flat_map(|row| [row.algbw_gbps, row.busbw_gbps]));
    let micros = |value: f64| format!("{value:.time_decimals$}");
    let gbps = |value: f64| format!("{value:.decimals$}");

    let mut grid = Grid::default();
    let first = &placements[0].1;
    grid.column(
        "size\n(B)",
        Align::Right,
        first.iter().map(|row| row.size_bytes.to_string()),
    );
    if detail == Detail::Full {
        grid.column(
            "count\n(elements)",
            Align::Right,
            first.iter().map(|row| row.count.to_string()),
        );
        for (header, value) in ["type", "redop", "root"].into_iter().zip(constant) {
            grid.column(
                &format!("{header}\n "),
                Align::Right,
                first.iter().map(|_| value.clone()),
            );
        }
    }
    for (placement, rows) in placements {
        let mut measure = |header: &str, cell: &dyn Fn(&Summary) -> String| {
            grid.column(header, Align::Right, rows.iter().map(|row| cell(row)));
        };
        // Above a lone placement stands its name already.
        let group = if placements.len() > 1 {
            format!("{}\n", placement.name())
        } else {
            String::new()
        };
        measure(&format!("{group}time\n(µs)"), &|row| micros(row.time_us));
        measure("algbw\n(GB/s)", &|row| gbps(row.algbw_gbps));
        measure("busbw\n(GB/s)", &|row| gbps(row.busbw_gbps));
        measure("#wrong\n ", &|row| row.wrong.to_string());
        measure("p50\n(µs)", &|row| micros(row.p50_us));
        if detail == Detail::Full {
            measure("p95\n(µs)", &|row| micros(row.p95_us));
        }
        measure("p99\n(µs)", &|row| micros(row.p99_us));
        if rows.iter().any(|row| row.bound_share.is_some()) {
            measure("bound\n(%)", &|row| {
                row.bound_share
                    .map_or("-".into(), |share| format!("{:.1}", share * 100.0))
            });
        }
    }
    grid.render()
}

/// What a step of a trace carries; what it took is among the figures.
fn replay(series: &Series<'_>, description: &str, width: usize) -> String {
    let heading = format!("{}: {}", series.label, series.replay_heading());
    let mut text = paragraph("# ", &heading, width) + &paragraph("# ", description, width);
    let rows = series.carried();
    let mut grid = Grid::default();
    for (column, name) in CARRIED.into_iter().enumerate() {
        let align = match column {
            0 | 3 => Align::Left,
            _ => Align::Right,
        };
        grid.column(name, align, rows.iter().map(|row| row[column].clone()));
    }
    text += &grid.render();
    text + &out_of_bounds(series.wrong())
}

/// nccl-tests' verdict on the data.
fn out_of_bounds(wrong: u64) -> String {
    let verdict = if wrong == 0 { "OK" } else { "FAILED" };
    format!("# Out of bounds values : {wrong} {verdict}\n")
}

/// nccl-tests' closing lines, and the bound.
fn footer(series: &Series<'_>, summaries: &[Summary], width: usize) -> String {
    let mut text = out_of_bounds(summaries.iter().map(|row| row.wrong).sum());
    if let Some(average) = stats::average_busbw(summaries) {
        let decimals = decimals_for(average, 4);
        text += &format!(
            "# Avg bus bandwidth    : {average:.decimals$} GB/s ({})\n",
            rate(average * 8e9)
        );
    }
    if let Some(bound) = series.bound() {
        let reason = format!(
            "{} of bus bandwidth: {}",
            rate(bound.busbw_bps),
            bound.reason
        );
        text += &paragraph("# Bound                : ", &reason, width);
    }
    text
}

/// How the programs of a series ended.
fn commands(series: &Series<'_>, width: usize) -> String {
    let Workload::Command { command } = series.workload() else {
        return String::new();
    };
    let mut grid = Grid::default();
    let outcomes = || {
        series
            .points
            .iter()
            .flat_map(|point| point.commands.iter().map(|outcome| (point.repeat, outcome)))
    };
    if series.points.len() > 1 {
        grid.column(
            "repeat",
            Align::Right,
            outcomes().map(|(repeat, _)| repeat.to_string()),
        );
    }
    grid.column(
        "host",
        Align::Left,
        outcomes().map(|(_, outcome)| outcome.host.clone()),
    );
    grid.column(
        "exit code",
        Align::Right,
        outcomes().map(|(_, outcome)| outcome.exit_code.to_string()),
    );
    grid.column(
        "output",
        Align::Left,
        outcomes().map(|(_, outcome)| outcome.log.clone()),
    );
    paragraph(
        "# ",
        &format!("{}: {}", series.label, command.join(" ")),
        width,
    ) + &grid.render()
}

/// Decimals that suit the least of all bandwidths.
fn shared_decimals(values: impl Iterator<Item = f64>) -> usize {
    let least = values
        .filter(|&value| value > 0.0)
        .fold(f64::INFINITY, f64::min);
    bandwidth_decimals(least)
}
