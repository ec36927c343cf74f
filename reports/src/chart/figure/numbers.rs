//! The numbers behind a figure, as CSV: a line per value, or per box. Of what is drawn none is left out.

use crate::chart::figure::text::split_unit;
use crate::chart::figure::{Area, Figure, Panel, Part, Quartiles};

/// The columns where there are no boxes.
const COLUMNS: [&str; 6] = ["panel", "series", "part", "x", "y", "axes"];

/// The columns of boxes, before their unit and behind it.
const WHOSE: [&str; 3] = ["panel", "series", "values"];
const OF_BOX: [&str; 5] = [
    "least",
    "first quartile",
    "median",
    "third quartile",
    "greatest",
];

impl Figure {
    /// Every value that the figure shows, and for whole stretches of a curve those that its line cannot tell apart. Of boxes what each is
    /// drawn from, not where its lines are.
    pub fn to_csv(&self) -> String {
        let mut boxes = Vec::new();
        for panel in &self.panels {
            boxes.extend(panel.areas.iter().filter_map(|area| match area.part {
                Part::Quartiles(of) => Some(Boxed { panel, area, of }),
                Part::Range | Part::Bar => None,
            }));
        }
        let rows = match boxes.is_empty() {
            true => self.values(),
            false => of_boxes(&boxes),
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in rows {
            let written = writer.write_record(row);
            written.expect("writing into memory does not fail");
        }
        let bytes = writer.into_inner().expect("memory takes all");
        String::from_utf8(bytes).expect("texts are UTF-8")
    }

    fn values(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let mut row = |fields: [&str; 6]| rows.push(fields.map(str::to_owned).to_vec());
        row(COLUMNS);
        for panel in &self.panels {
            let title = title(panel);
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
        rows
    }
}

fn title(panel: &Panel) -> &str {
    match panel.title.is_empty() {
        true => panel.keys.first().map_or("", |(_, name)| name),
        false => &panel.title,
    }
}

/// A box on its panel.
struct Boxed<'a> {
    panel: &'a Panel,
    area: &'a Area,
    of: Quartiles,
}

/// A line per box. The head says the unit where all are in the same; else a column does.
fn of_boxes(boxes: &[Boxed<'_>]) -> Vec<Vec<String>> {
    let units: Vec<&str> = boxes.iter().map(|one| unit(one.panel)).collect();
    let common = units.iter().all(|unit| *unit == units[0]);
    let common = common.then_some(units[0]);
    let mut head = WHOSE.map(str::to_owned).to_vec();
    match common {
        None => {
            head.push("unit".to_owned());
            head.extend(OF_BOX.map(str::to_owned));
        }
        Some("") => head.extend(OF_BOX.map(str::to_owned)),
        Some(unit) => head.extend(OF_BOX.map(|name| format!("{name} ({unit})"))),
    }
    let mut rows = vec![head];
    for (Boxed { panel, area, of }, unit) in boxes.iter().zip(&units) {
        let mut row = vec![title(panel).to_owned(), area.name.clone()];
        row.push(of.values.to_string());
        row.extend(common.is_none().then(|| (*unit).to_owned()));
        let figures = [of.least, of.first, of.median, of.third, of.greatest];
        row.extend(figures.map(|figure| figure.to_string()));
        rows.push(row);
    }
    rows
}

/// What a panel's upright axis is in; empty for a plain number.
fn unit(panel: &Panel) -> &str {
    let (_, of_label) = split_unit(&panel.y.label);
    let of_label = of_label.strip_prefix(" (").unwrap_or_default();
    match panel.y.unit() {
        "" => of_label.strip_suffix(')').unwrap_or_default(),
        of_ticks => of_ticks,
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
        // They have lines of their own.
        Part::Quartiles(_) => Vec::new(),
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
        Part::Bar | Part::Quartiles(_) => panel.x.nearest(x).unwrap_or_else(|| x.to_string()),
    }
}
