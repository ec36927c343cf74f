//! The numbers behind a figure, as CSV: a line per value. Of what is drawn none is left out.

use crate::chart::figure::{Area, Figure, Panel, Part};

/// The columns.
const COLUMNS: [&str; 6] = ["panel", "series", "part", "x", "y", "axes"];

impl Figure {
    /// Every value that the figure shows, and for whole stretches of a curve those that its line cannot tell apart.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut row = |fields: [&str; 6]| {
            let written = writer.write_record(fields);
            written.expect("writing into memory does not fail");
        };
        row(COLUMNS);
        for panel in &self.panels {
            let title = match panel.title.is_empty() {
                true => panel.keys.first().map_or("", |(_, name)| name),
                false => &panel.title,
            };
            let axes = format!("{} / {}", panel.x.label, panel.y.label);
            for curve in &panel.curves {
                for (x, y) in curve.runs.iter().flatten() {
                    let x = panel.x.text(*x).unwrap_or_else(|| x.to_string());
                    row([title, &curve.name, "line", &x, &y.to_string(), &axes]);
                }
            }
            for area in &panel.areas {
                for (part, x, y) in values(area) {
                    let x = middle_text(panel, area, x);
                    row([title, &area.name, part, &x, &y.to_string(), &axes]);
                }
            }
        }
        let bytes = writer.into_inner().expect("memory takes all");
        String::from_utf8(bytes).expect("texts are UTF-8")
    }
}

/// What an area says, by what its outline is.
fn values(area: &Area) -> Vec<(&'static str, f64, f64)> {
    let half = area.outline.len() / 2;
    let (first, second) = area.outline.split_at(half);
    match area.part {
        Part::Range => {
            let greatest = first.iter().map(|(x, y)| ("greatest", *x, *y));
            let least = second.iter().rev().map(|(x, y)| ("least", *x, *y));
            greatest.chain(least).collect()
        }
        Part::Bar => area
            .outline
            .get(1)
            .map_or_else(Vec::new, |corner| vec![("bar", middle(area), corner.1)]),
        Part::Quartiles => {
            let heights = || area.outline.iter().map(|corner| corner.1);
            let (low, high) = (
                heights().fold(f64::INFINITY, f64::min),
                heights().fold(f64::NEG_INFINITY, f64::max),
            );
            vec![
                ("first quartile", middle(area), low),
                ("third quartile", middle(area), high),
            ]
        }
    }
}

/// The middle of an area along the axis.
fn middle(area: &Area) -> f64 {
    let places = || area.outline.iter().map(|corner| corner.0);
    let (low, high) = (
        places().fold(f64::INFINITY, f64::min),
        places().fold(f64::NEG_INFINITY, f64::max),
    );
    (low + high) / 2.0
}

/// The name of the value that an area stands at, where values have names.
fn middle_text(panel: &Panel, area: &Area, x: f64) -> String {
    match area.part {
        Part::Range => x.to_string(),
        Part::Bar | Part::Quartiles => panel.x.nearest(x).unwrap_or_else(|| x.to_string()),
    }
}
