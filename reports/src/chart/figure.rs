//! A figure: title, panels that share a legend, the legend below them where it covers no data.

use crate::canvas::{Across, Canvas, Direction, Frame, Label, Place};
use crate::chart::axis::Axis;
use crate::theme::{self, BODY, GRID, INK, MUTED, Marker, SMALL, Stroke, TITLE};

const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 24.0;
/// Room left of a panel for tick labels and the axis label, and below it.
const LEFT: f64 = 78.0;
const BELOW: f64 = 52.0;
const PANEL_GAP: f64 = 14.0;

/// A picture of one or more panels.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// File name without its ending.
    pub name: &'static str,
    pub title: String,
    pub subtitle: String,
    pub panels: Vec<Panel>,
    pub legend: Vec<(Key, String)>,
    /// What the reader must know, such as what was left out.
    pub notes: Vec<String>,
}

/// Axes and what is drawn between them.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub curves: Vec<Curve>,
    /// Spans of the x axis that have a name, separated by upright lines.
    pub spans: Vec<Span>,
}

/// A named part of the x axis.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub from: f64,
    pub to: f64,
    pub name: String,
}

/// Connected points; between runs there is no data.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub key: Key,
    pub runs: Vec<Vec<(f64, f64)>>,
}

/// How a curve looks, on the panel and in the legend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Key {
    pub stroke: Stroke,
    pub marker: Option<Marker>,
}

impl Key {
    /// A line without markers.
    pub fn line(stroke: Stroke) -> Self {
        Self {
            stroke,
            marker: None,
        }
    }
}

impl Figure {
    /// Lays everything out.
    pub fn draw(&self) -> Canvas {
        let columns = match self.panels.len() {
            0 | 1 => 1,
            2..=4 => 2,
            _ => 3,
        };
        let inner = WIDTH - 2.0 * MARGIN;
        let subtitle = wrap(&self.subtitle, SMALL + 1.0, inner);
        let top = MARGIN + TITLE + 8.0 + subtitle.len() as f64 * 19.0 + 6.0;
        let rows = self.panels.len().div_ceil(columns);
        let cell_height = if columns == 1 { 470.0 } else { 290.0 };
        let legend_top = top + rows as f64 * cell_height + 4.0;
        let (entries, legend_height) = self.flow_legend(inner);
        let notes: Vec<String> = self
            .notes
            .iter()
            .flat_map(|note| wrap(note, SMALL, inner))
            .collect();
        let notes_top = legend_top + legend_height + 6.0;
        let mut canvas = Canvas::new(
            WIDTH,
            (notes_top + notes.len() as f64 * 18.0 + MARGIN * 0.6).ceil(),
        );

        canvas.label(
            (MARGIN, MARGIN + TITLE / 2.0),
            Label::new(&self.title, TITLE, INK, Across::Left),
        );
        for (line, text) in subtitle.iter().enumerate() {
            let y = MARGIN + TITLE + 14.0 + line as f64 * 19.0;
            canvas.label(
                (MARGIN, y),
                Label::new(text, SMALL + 1.0, MUTED, Across::Left),
            );
        }
        let cell_width = (inner - PANEL_GAP * (columns - 1) as f64) / columns as f64;
        for (index, panel) in self.panels.iter().enumerate() {
            let left = MARGIN + (index % columns) as f64 * (cell_width + PANEL_GAP);
            let top = top + (index / columns) as f64 * cell_height;
            let header = if panel.title.is_empty() { 4.0 } else { 24.0 }
                + if panel.spans.len() > 1 { 18.0 } else { 0.0 };
            let frame = Frame {
                left: left + LEFT,
                top: top + header,
                right: left + cell_width - 8.0,
                bottom: top + cell_height - BELOW - 8.0,
            };
            panel.draw(&mut canvas, frame, top);
        }
        for ((key, text), at) in self.legend.iter().zip(entries) {
            draw_key(&mut canvas, (MARGIN + at.0, legend_top + at.1), *key, text);
        }
        for (line, text) in notes.iter().enumerate() {
            let y = notes_top + 9.0 + line as f64 * 18.0;
            canvas.label((MARGIN, y), Label::new(text, SMALL, MUTED, Across::Left));
        }
        canvas
    }

    /// Where each entry of the legend stands, filling lines of `width`, and the height of all.
    fn flow_legend(&self, width: f64) -> (Vec<Place>, f64) {
        let (mut x, mut y) = (0.0, 12.0);
        let mut places = Vec::new();
        for (_, text) in &self.legend {
            let entry = 38.0 + theme::text_width(text, BODY) + 24.0;
            if x > 0.0 && x + entry > width {
                (x, y) = (0.0, y + 24.0);
            }
            places.push((x, y));
            x += entry;
        }
        (
            places,
            if self.legend.is_empty() {
                0.0
            } else {
                y + 12.0
            },
        )
    }
}

impl Panel {
    /// Draws between the edges of `frame`, with labels around it and the title at `top`.
    fn draw(&self, canvas: &mut Canvas, frame: Frame, top: f64) {
        let (width, height) = (frame.right - frame.left, frame.bottom - frame.top);
        let place = |(x, y): (f64, f64)| {
            (
                frame.left + self.x.position(x) * width,
                frame.bottom - self.y.position(y) * height,
            )
        };
        if !self.title.is_empty() {
            let title = shorten(&self.title, BODY, frame.right - frame.left + LEFT - 10.0);
            canvas.label(
                (frame.left - LEFT + 10.0, top + BODY / 2.0),
                Label::new(title, BODY, INK, Across::Left),
            );
        }
        for (value, text) in self.y.ticks((height / 30.0) as usize) {
            let (_, y) = place((self.x.low(), value));
            canvas.line(
                vec![(frame.left, y), (frame.right, y)],
                Stroke::solid(GRID, 1.0),
            );
            canvas.label(
                (frame.left - 7.0, y),
                Label::new(text, SMALL, MUTED, Across::Right),
            );
        }
        let mut free_from = f64::NEG_INFINITY;
        for (value, text) in self.x.ticks((width / 55.0) as usize) {
            let (x, _) = place((value, self.y.low()));
            canvas.line(
                vec![(x, frame.top), (x, frame.bottom)],
                Stroke::solid(GRID, 1.0),
            );
            let label = Label::new(text, SMALL, MUTED, Across::Middle);
            let at = (x, frame.bottom + 14.0);
            if label.frame(at).left > free_from {
                free_from = label.frame(at).right + 6.0;
                canvas.label(at, label);
            }
        }
        self.draw_spans(canvas, frame);
        canvas.line(
            vec![
                (frame.left, frame.top),
                (frame.left, frame.bottom),
                (frame.right, frame.bottom),
            ],
            Stroke::solid(MUTED, 1.0),
        );
        let middle = (frame.left + frame.right) / 2.0;
        canvas.label(
            (middle, frame.bottom + 36.0),
            Label::new(&self.x.label, SMALL, INK, Across::Middle),
        );
        let upright = Label {
            direction: Direction::Up,
            ..Label::new(&self.y.label, SMALL, INK, Across::Middle)
        };
        canvas.label(
            (frame.left - LEFT + 12.0, (frame.top + frame.bottom) / 2.0),
            upright,
        );

        for curve in &self.curves {
            for run in &curve.runs {
                let points = thin(&run.iter().map(|&point| place(point)).collect::<Vec<_>>());
                match points[..] {
                    [] => {}
                    [only] if curve.key.marker.is_none() => {
                        canvas.dot(only, 2.0, curve.key.stroke.colour)
                    }
                    _ => canvas.line(points, curve.key.stroke),
                }
            }
        }
        // Markers above all lines, so that none is hidden.
        for curve in &self.curves {
            for &point in curve.runs.iter().flatten() {
                if let Some(marker) = curve.key.marker {
                    canvas.marker(place(point), marker, curve.key.stroke.colour);
                }
            }
        }
    }

    /// Separates the spans and names those that are wide enough for their name.
    fn draw_spans(&self, canvas: &mut Canvas, frame: Frame) {
        if self.spans.len() < 2 {
            return;
        }
        let x = |value| frame.left + self.x.position(value) * (frame.right - frame.left);
        for span in &self.spans {
            canvas.line(
                vec![
                    (x(span.from), frame.top - 4.0),
                    (x(span.from), frame.bottom),
                ],
                Stroke::dashed(MUTED, 0.7),
            );
            let (from, to) = (x(span.from), x(span.to));
            if theme::text_width(&span.name, SMALL) < to - from {
                let name = Label::new(&span.name, SMALL, MUTED, Across::Left);
                canvas.label((from + 2.0, frame.top - 10.0), name);
            }
        }
    }
}

fn draw_key(canvas: &mut Canvas, (x, y): Place, key: Key, text: &str) {
    canvas.line(vec![(x, y), (x + 30.0, y)], key.stroke);
    if let Some(marker) = key.marker {
        canvas.marker((x + 15.0, y), marker, key.stroke.colour);
    }
    let text = shorten(text, BODY, WIDTH - 2.0 * MARGIN - 38.0);
    canvas.label((x + 38.0, y), Label::new(text, BODY, INK, Across::Left));
}

/// Of each column of pixels the first, the least, the greatest and the last point: what is drawn looks the same.
fn thin(points: &[Place]) -> Vec<Place> {
    let mut thinned = Vec::new();
    for column in points.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        if column.len() <= 4 {
            thinned.extend_from_slice(column);
            continue;
        }
        let by_height = |a: &usize, b: &usize| column[*a].1.total_cmp(&column[*b].1);
        let least = (0..column.len()).min_by(by_height).unwrap_or(0);
        let greatest = (0..column.len()).max_by(by_height).unwrap_or(0);
        let mut kept = vec![0, least, greatest, column.len() - 1];
        kept.sort_unstable();
        kept.dedup();
        thinned.extend(kept.into_iter().map(|index| column[index]));
    }
    thinned
}

/// The text, cut to fit `width` with an ellipsis.
fn shorten(text: &str, size: f64, width: f64) -> String {
    if theme::text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut short: Vec<char> = text.chars().collect();
    while short.pop().is_some() {
        let candidate = short.iter().collect::<String>() + "…";
        if theme::text_width(&candidate, size) <= width {
            return candidate;
        }
    }
    String::new()
}

/// Lines of at most `width`, broken between words.
fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if theme::text_width(&format!("{line} {word}"), size) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(shorten(word, size, width)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_extremes_of_every_column() {
        let points: Vec<Place> = (0..5000)
            .map(|i| (f64::from(i) / 100.0, f64::from(i * 7919 % 1009)))
            .collect();
        let thinned = thin(&points);
        assert!(thinned.len() <= 50 * 4);
        for column in 0..50 {
            let of = |points: &[Place]| {
                let heights: Vec<f64> = points
                    .iter()
                    .filter(|point| point.0.floor() == f64::from(column))
                    .map(|point| point.1)
                    .collect();
                (
                    heights.iter().copied().fold(f64::MAX, f64::min),
                    heights.iter().copied().fold(f64::MIN, f64::max),
                )
            };
            assert_eq!(of(&thinned), of(&points), "column {column}");
        }
    }

    #[test]
    fn texts_are_cut_to_their_room() {
        let text = "a rather long name of a series with many settings";
        assert!(theme::text_width(&shorten(text, BODY, 120.0), BODY) <= 120.0);
        assert!(
            wrap(text, BODY, 120.0)
                .iter()
                .all(|line| theme::text_width(line, BODY) <= 120.0)
        );
        assert_eq!(wrap(text, BODY, 120.0).join(" "), text);
    }
}
