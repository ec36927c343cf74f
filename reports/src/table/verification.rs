//! What `verify` found, channel by channel.

use crate::format::{plural, quantity};
use crate::table::grid::{Align, Grid, fitting, paragraph};
use crate::verification::{Verification, VerificationRow};

/// How many columns a layout has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Full,
    /// Without the number of samples.
    Brief,
    /// The channel on a line of its own.
    Least,
}

/// The table, the findings and the notes.
pub(super) fn table(found: &Verification, width: usize) -> String {
    let mut text = String::new();
    if !found.rows.is_empty() {
        let details = [Detail::Full, Detail::Brief, Detail::Least];
        text += &fitting(width, details.map(|detail| layout(&found.rows, detail)));
        text += "\n";
    }
    for note in &found.notes {
        text += &paragraph("# note: ", note, width);
    }
    for finding in &found.findings {
        text += &paragraph("#  - ", finding, width);
    }
    text + &paragraph("# ", &verdict(found), width)
}

fn verdict(found: &Verification) -> String {
    let asked = found.rows.iter().filter_map(|row| row.within);
    let (within, all) = asked.fold((0, 0), |(within, all), ok| {
        (within + usize::from(ok), all + 1)
    });
    if all == 0 {
        return format!(
            "{} measured; nothing was asked",
            plural(found.rows.len(), "figure")
        );
    }
    let verdict = if found.faithful {
        "faithful"
    } else {
        "NOT faithful"
    };
    format!("{verdict}: {within} of {} as asked", plural(all, "figure"))
}

fn layout(rows: &[VerificationRow], detail: Detail) -> String {
    // Each line with the channel's name where it begins, so that the eye finds it; an empty one between two.
    let mut lines: Vec<(&str, Option<&VerificationRow>)> = Vec::new();
    for channel in rows.chunk_by(|a, b| a.channel == b.channel) {
        if !lines.is_empty() {
            lines.push(("", None));
        }
        let mut name = channel[0].channel.as_str();
        if detail == Detail::Least {
            lines.push((name, None));
            name = "";
        }
        for row in channel {
            lines.push((std::mem::take(&mut name), Some(row)));
        }
    }
    let column = |cell: &dyn Fn(&VerificationRow) -> String| -> Vec<String> {
        let cells = lines.iter().map(|(_, row)| row.map_or(String::new(), cell));
        cells.collect()
    };
    let names = lines.iter().map(|(name, _)| (*name).to_owned());
    let quantities = column(&|row| row.quantity.clone());
    let mut grid = Grid::default();
    if detail == Detail::Least {
        let indented = names.zip(quantities).map(|(name, quantity)| match &*name {
            "" => format!("  {quantity}"),
            _ => name,
        });
        grid.column("channel", Align::Left, indented);
    } else {
        grid.column("channel", Align::Left, names);
        grid.column("quantity", Align::Left, quantities);
    }
    let figure = |value: f64, row: &VerificationRow| quantity(value, &row.unit);
    grid.column(
        "asked",
        Align::Right,
        column(&|row| match (row.asked, row.bound) {
            (Some(asked), Some(_)) => figure(asked, row),
            (Some(asked), None) => format!("≥ {}", figure(asked, row)),
            (None, _) => "-".to_owned(),
        }),
    );
    grid.column(
        "measured",
        Align::Right,
        column(&|row| figure(row.measured, row)),
    );
    grid.column(
        "allowed ±",
        Align::Right,
        column(&|row| row.bound.map_or("-".to_owned(), |bound| figure(bound, row))),
    );
    if detail == Detail::Full {
        grid.column(
            "samples",
            Align::Right,
            column(&|row| row.samples.to_string()),
        );
    }
    grid.column(
        "verdict",
        Align::Left,
        column(&|row| {
            let verdict = match row.within {
                Some(true) => "ok",
                Some(false) => "OFF",
                None => "-",
            };
            verdict.to_owned()
        }),
    );
    grid.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::table::grid::line_width;

    #[test]
    fn every_channel_is_told_once_and_nothing_passes_the_width() {
        for width in [70, 80, 120] {
            let text = table(&example::verification(), width);
            assert!(line_width(&text) <= width, "{width}:\n{text}");
            assert_eq!(
                text.matches("virginia>dublin lane 0").count(),
                2,
                "once, and in a finding"
            );
        }
    }

    #[test]
    fn asked_measured_bound_and_verdict_stand_beside_each_other() {
        insta::assert_snapshot!(table(&example::verification(), 120));
        insta::assert_snapshot!(table(&example::verification(), 70));
    }

    #[test]
    fn where_nothing_was_asked_nothing_is_judged() {
        let mut found = example::verification();
        found.findings.clear();
        for row in &mut found.rows {
            (row.asked, row.bound, row.within) = (None, None, None);
        }
        let text = table(&found, 120);
        assert!(
            text.ends_with("# 8 figures measured; nothing was asked\n"),
            "{text}"
        );
    }
}
