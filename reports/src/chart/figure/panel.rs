//! One panel: its header, its axes, and what lies between them.

use crate::canvas::{Across, Canvas, Direction, Frame, Label, Place, Plot};
use crate::chart::figure::overlap::{self, Line};
use crate::chart::figure::text::{shorten, shorten_label};
use crate::chart::figure::{Area, Curve, KEY, KEY_GAP, LEFT, Layout, Panel, Part, RIGHT};
use crate::format::{plural, significant};
use crate::theme::{self, BODY, GRID, INK, MUTED, SMALL, Stroke};

/// What stands above a panel's frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// A line for each key, where they have no room beside each other.
    key_lines: usize,
    title: f64,
    spans: f64,
    marks: f64,
}

/// From one line of keys to the next.
const KEY_LINE: f64 = 20.0;

/// What a key takes with its text and the room to the next.
fn key_width(text: &str) -> f64 {
    KEY + KEY_GAP + theme::text_width(text, BODY) + 24.0
}

/// Between the lines that part spans.
const LEAST_SPAN: f64 = 4.0;

/// Room on either side of a mark's label.
pub(super) const MARK_GAP: f64 = 3.0;

impl Header {
    /// On a cell of `width`. Of a stack only the first panel names the spans.
    pub fn of(panel: &Panel, layout: Layout, first: bool, width: f64) -> Self {
        let titled = !panel.title.is_empty() || !panel.keys.is_empty();
        let keys = panel.keys.iter().map(|(_, text)| key_width(text));
        let key_lines = match keys.sum::<f64>() > width - LEFT - RIGHT {
            true => panel.keys.len(),
            false => 1,
        };
        let named = panel.spans.len() > 1 && (layout == Layout::Grid || first);
        Self {
            key_lines,
            title: if titled {
                24.0 + KEY_LINE * (key_lines - 1) as f64
            } else {
                4.0
            },
            spans: if named { 18.0 } else { 0.0 },
            marks: if panel.marks.iter().any(|mark| !mark.label.is_empty()) {
                18.0
            } else {
                0.0
            },
        }
    }

    pub fn height(&self) -> f64 {
        self.title + self.spans + self.marks
    }
}

impl Panel {
    /// Draws between the edges of `frame`, with labels around it.
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        frame: Frame,
        header: &Header,
        x_label: Option<&String>,
    ) {
        self.draw_title(canvas, frame, header);
        self.draw_axes(canvas, frame);
        if self.spans.len() > 1 {
            self.draw_spans(canvas, frame, header);
        }
        let middle = (frame.left + frame.right) / 2.0;
        if let Some(label) = x_label {
            canvas.label(
                (middle, frame.bottom + 36.0),
                Label::new(label, SMALL, INK, Across::Middle),
            );
        }
        // A little longer than the axis, but not into what stands above it.
        let room = frame.bottom - frame.top + 20.0;
        let upright = Label {
            direction: Direction::Up,
            ..Label::new(
                shorten_label(&self.y.label, SMALL, room),
                SMALL,
                INK,
                Across::Middle,
            )
        };
        canvas.label(
            (frame.left - LEFT + 12.0, (frame.top + frame.bottom) / 2.0),
            upright,
        );
        canvas.plot(Plot {
            frame,
            x: self.x.scale(),
            y: self.y.scale(),
        });
        self.draw_data(canvas, frame);
        self.draw_marks(canvas, frame);
    }

    fn draw_title(&self, canvas: &mut Canvas, frame: Frame, header: &Header) {
        let mut y = frame.top - header.height() + BODY / 2.0;
        let left = frame.left - LEFT + 10.0;
        if !self.title.is_empty() {
            let title = shorten(&self.title, BODY, frame.right - left);
            canvas.label((left, y), Label::new(title, BODY, INK, Across::Left));
        }
        let mut x = frame.left;
        for (key, text) in &self.keys {
            key.draw(canvas, (x, y), text, frame.right - x);
            match header.key_lines {
                1 => x += key_width(text),
                _ => y += KEY_LINE,
            }
        }
    }

    fn draw_axes(&self, canvas: &mut Canvas, frame: Frame) {
        let grid = Stroke::solid(GRID, 1.0);
        for (value, text) in self.y.ticks(((frame.bottom - frame.top) / 30.0) as usize) {
            let (_, y) = self.place(frame, (self.x.low(), value));
            canvas.line(vec![(frame.left, y), (frame.right, y)], grid);
            let text = shorten(&text, SMALL, LEFT - 7.0 - 20.0);
            canvas.label(
                (frame.left - 7.0, y),
                Label::new(text, SMALL, MUTED, Across::Right),
            );
        }
        let mut free_from = f64::NEG_INFINITY;
        let ticks = self.x.ticks(((frame.right - frame.left) / 55.0) as usize);
        let room = (frame.right - frame.left) / ticks.len().max(1) as f64;
        for (value, text) in ticks {
            let (x, _) = self.place(frame, (value, self.y.low()));
            canvas.line(vec![(x, frame.top), (x, frame.bottom)], grid);
            let text = shorten(&text, SMALL, room.max(50.0) - 6.0);
            let label = Label::new(text, SMALL, MUTED, Across::Middle);
            let at = (x, frame.bottom + 14.0);
            if label.frame(at).left > free_from {
                free_from = label.frame(at).right + 6.0;
                canvas.label(at, label);
            }
        }
        canvas.line(
            vec![
                (frame.left, frame.top),
                (frame.left, frame.bottom),
                (frame.right, frame.bottom),
            ],
            Stroke::solid(MUTED, 1.0),
        );
    }

    /// Separates the spans and, if asked, names those that are wide enough for their name.
    fn draw_spans(&self, canvas: &mut Canvas, frame: Frame, header: &Header) {
        let named = header.spans > 0.0;
        let x = |value| self.place(frame, (value, self.y.low())).0;
        let mut free_from = f64::NEG_INFINITY;
        for span in &self.spans {
            let (from, to) = (x(span.from), x(span.to));
            let overhang = if named { 4.0 + header.marks } else { 0.0 };
            // Lines closer than this would be a surface.
            if from >= free_from {
                canvas.line(
                    vec![(from, frame.top - overhang), (from, frame.bottom)],
                    Stroke::dashed(MUTED, 0.7),
                );
                free_from = from + LEAST_SPAN;
            }
            if named && theme::text_width(&span.name, SMALL) < to - from {
                let name = Label::new(&span.name, SMALL, MUTED, Across::Left);
                canvas.label((from + 2.0, frame.top - header.marks - 10.0), name);
            }
        }
    }

    /// Above the data; labels where they are over no other.
    fn draw_marks(&self, canvas: &mut Canvas, frame: Frame) {
        let mut free_from = f64::NEG_INFINITY;
        for mark in &self.marks {
            let (x, _) = self.place(frame, (mark.at, self.y.low()));
            canvas.line(
                vec![(x, frame.top - 4.0), (x, frame.bottom)],
                Stroke::solid(INK, 0.8),
            );
            let label = Label::new(&mark.label, SMALL, INK, Across::Left);
            let width = theme::text_width(&mark.label, SMALL);
            // The last ones may have to stand on the other side of their line.
            let left = (x + MARK_GAP).min(frame.right - width);
            if !mark.label.is_empty() && left > free_from && left + width > x {
                canvas.label((left, frame.top - 11.0), label);
                free_from = left + width + MARK_GAP;
            }
        }
    }

    fn draw_data(&self, canvas: &mut Canvas, frame: Frame) {
        let is_number = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
        for area in &self.areas {
            if !area.outline.iter().all(is_number) {
                continue;
            }
            let outline = area.outline.iter();
            let outline = outline.map(|&point| self.place(frame, point)).collect();
            canvas.told_area(outline, area.colour, area.opacity, self.tip(area));
        }
        // What is no number is a gap.
        let runs = |curve: &Curve| -> Vec<Vec<Place>> {
            let runs = curve.runs.iter();
            runs.flat_map(|run| run.split(|point| !is_number(point)))
                .map(|run| run.iter().map(|&point| self.place(frame, point)))
                .map(|places| thin(&places.collect::<Vec<_>>()))
                .collect()
        };
        let lines: Vec<Line> = self
            .curves
            .iter()
            .map(|curve| Line {
                runs: runs(curve),
                stroke: curve.key.stroke,
            })
            .collect();
        let hidden = overlap::hidden(&lines);
        for (index, (curve, line)) in self.curves.iter().zip(&lines).enumerate() {
            // A run of one value is a dot.
            let mut lone = Vec::new();
            for points in &line.runs {
                match points[..] {
                    [] => {}
                    [only] if curve.key.marker.is_none() => lone.push(only),
                    _ => canvas.curve(points.clone(), line.stroke, &curve.name),
                }
            }
            for place in thin(&lone) {
                canvas.dot(place, 2.0, line.stroke.colour);
            }
            for piece in hidden.iter().filter(|piece| piece.above == index) {
                let Stroke { colour, width, .. } = lines[piece.line].stroke;
                canvas.line(piece.points.clone(), Stroke::solid(colour, width));
            }
        }
        // Markers above all lines, so that none is hidden.
        for curve in &self.curves {
            for &point in curve.runs.iter().flatten().filter(|point| is_number(point)) {
                if let Some(marker) = curve.key.marker {
                    canvas.marker(self.place(frame, point), marker, curve.key.stroke.colour);
                }
            }
        }
    }

    /// What an area tells who points at it; a range is told by the curve in it.
    fn tip(&self, area: &Area) -> String {
        let heights = || area.outline.iter().map(|corner| corner.1);
        let (low, high) = (
            heights().fold(f64::INFINITY, f64::min),
            heights().fold(f64::NEG_INFINITY, f64::max),
        );
        let value = match area.part {
            Part::Range => return String::new(),
            // It may hang from the axis.
            Part::Bar => significant(if high > 0.0 { high } else { low }),
            Part::Quartiles(of) => format!(
                "half from {} to {}, all from {} to {}, median {}, of {}",
                significant(of.first),
                significant(of.third),
                significant(of.least),
                significant(of.greatest),
                significant(of.median),
                plural(of.values, "value")
            ),
        };
        let places = area.outline.iter().map(|corner| corner.0);
        let middle = places.sum::<f64>() / area.outline.len().max(1) as f64;
        let at = self.x.nearest(middle).unwrap_or_default();
        let mut named = vec![at.as_str(), area.name.as_str()];
        named.retain(|part| !part.is_empty());
        named.dedup();
        format!("{}: {value} · {}", named.join(", "), self.y.label)
    }

    fn place(&self, frame: Frame, (x, y): (f64, f64)) -> Place {
        (
            frame.left + self.x.position(x) * (frame.right - frame.left),
            frame.bottom - self.y.position(y) * (frame.bottom - frame.top),
        )
    }
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
}
