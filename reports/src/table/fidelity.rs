//! The links held against their description.

use crate::format::{plural, quantity};
use crate::result::fidelity::{self, Faithfulness};
use crate::result::{Computing, Environment, FidelityRow, Point, RunResult};
use crate::table::grid::{Align, Grid, fitting, paragraph};

/// With more checks than this, only the worst of each quantity is shown.
const ALL_UP_TO: usize = 24;

/// How many columns a layout has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Full,
    /// Without the point and the distance.
    Brief,
    /// Without the allowed distance too.
    Least,
}

impl Detail {
    const ALL: [Self; 3] = [Self::Full, Self::Brief, Self::Least];
}

/// The verdict, the findings, what kind of time it was, the checks and the notes.
pub(super) fn table(result: &RunResult, width: usize) -> String {
    verdict(result, width)
        + &clock(&result.environment, width)
        + &checks(result, width)
        + &notes(&result.points, width)
}

/// That times hold no computing, where they do not: nobody expects it.
fn clock(environment: &Environment, width: usize) -> String {
    match environment.computing {
        Computing::Real => String::new(),
        Computing::Free => {
            let kernel = environment.lab_kernel.as_ref();
            let kernel = kernel.map_or_else(String::new, |kernel| {
                format!(" on lab kernel {} ({})", kernel.version, kernel.key)
            });
            let text =
                format!("virtual{kernel}: computing is free, so times are the network's alone");
            paragraph("# Time: ", &text, width)
        }
    }
}

fn checks(result: &RunResult, width: usize) -> String {
    let checks = result.checks();
    if checks.is_empty() {
        return String::new();
    }
    let shown = if checks.len() > ALL_UP_TO {
        fidelity::worst(checks.iter().copied())
    } else {
        checks.clone()
    };
    let mut text = fitting(width, Detail::ALL.map(|detail| layout(&shown, detail)));
    if shown.len() < checks.len() {
        let left_out = checks.len() - shown.len();
        text += &paragraph(
            "# ",
            &format!("the worst check of each quantity; {left_out} others are in result.json"),
            width,
        );
    }
    text
}

fn verdict(result: &RunResult, width: usize) -> String {
    let points = &result.points;
    let told = result.faithfulness();
    let summary = match told {
        Faithfulness::Unmeasured => told.to_string(),
        Faithfulness::Faithful => format!("faithful in {}", plural(points.len(), "point")),
        Faithfulness::Off { .. } => told.to_string().replacen("not", "NOT", 1),
    };
    let mut text = paragraph("# Fidelity: ", &summary, width);
    for finding in result.findings() {
        text += &paragraph("#   - ", &finding, width);
    }
    text + &paragraph("# ", &result.engine().join("; "), width)
}

/// A note of every point is told without their numbers.
fn notes(points: &[Point], width: usize) -> String {
    let line = |(note, found_in): (&str, Vec<String>)| {
        let text = if found_in.len() == points.len() {
            note.to_owned()
        } else {
            format!("{note} (point {})", found_in.join(", "))
        };
        paragraph("# note: ", &text, width)
    };
    fidelity::by_text(points, |point| &point.fidelity.notes)
        .into_iter()
        .map(line)
        .collect()
}

fn layout(checks: &[(usize, &FidelityRow)], detail: Detail) -> String {
    let mut grid = Grid::default();
    let column = |cell: &dyn Fn(&FidelityRow) -> String| {
        checks.iter().map(|(_, row)| cell(row)).collect::<Vec<_>>()
    };
    if detail == Detail::Full {
        grid.column(
            "point",
            Align::Right,
            checks.iter().map(|(point, _)| point.to_string()),
        );
    }
    grid.column("channel", Align::Left, column(&|row| row.channel.clone()));
    grid.column("quantity", Align::Left, column(&|row| row.quantity.clone()));
    grid.column(
        "asked",
        Align::Right,
        column(&|row| quantity(row.asked, &row.unit)),
    );
    grid.column(
        "measured",
        Align::Right,
        column(&|row| quantity(row.measured, &row.unit)),
    );
    if detail == Detail::Full {
        grid.column(
            "off by",
            Align::Right,
            column(&|row| quantity(row.measured - row.asked, &row.unit)),
        );
    }
    if detail != Detail::Least {
        grid.column(
            "allowed ±",
            Align::Right,
            column(&|row| quantity(row.bound, &row.unit)),
        );
    }
    grid.column(
        "verdict",
        Align::Left,
        column(&|row| if row.within { "ok" } else { "OFF" }.to_owned()),
    );
    grid.render()
}
