//! A picture as a list of shapes in pixels, written as SVG and as PNG from the same drawing code.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, ShapeStyle};

use crate::folder::{FolderError, io_error};
use crate::theme::{self, Colour, Dash, Marker, PAPER, Stroke};

/// Backends place shapes on whole pixels; an SVG is drawn this much larger and scaled down by its view box.
const SVG_SCALE: f64 = 8.0;

/// PNGs have this many pixels per pixel of the canvas, for dense screens and print.
const PNG_SCALE: u32 = 2;

/// Each pixel of a PNG is the mean of this many by this many drawn ones: the backend does not smooth thick lines.
const PNG_OVERSAMPLING: u32 = 2;

/// The bitmap backend sets text this share of its size higher than the SVG backend does.
const BITMAP_TEXT_SHIFT: f64 = 0.12;

/// What is painted on, as far as the backends differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Svg,
    Bitmap,
}

/// A place on the canvas: pixels right and down of the upper left corner.
pub(crate) type Place = (f64, f64);

/// Shapes, in the order they are painted.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    pub width: f64,
    pub height: f64,
    shapes: Vec<Shape>,
}

#[derive(Clone, Debug)]
enum Shape {
    Line {
        points: Vec<Place>,
        stroke: Stroke,
    },
    Area {
        points: Vec<Place>,
        colour: Colour,
    },
    Dot {
        at: Place,
        radius: f64,
        colour: Colour,
    },
    Label {
        at: Place,
        label: Label,
    },
}

/// Text on one line.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub text: String,
    pub size: f64,
    pub colour: Colour,
    pub across: Across,
    pub direction: Direction,
}

/// Which end of the text is at its place; its vertical middle always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Across {
    Left,
    Middle,
    Right,
}

/// Which way text runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Right,
    Up,
}

/// A rectangle on the canvas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Frame {
    /// Whether the two share any area.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    /// Whether `other` lies inside.
    pub fn contains(&self, other: &Self) -> bool {
        self.left <= other.left
            && self.top <= other.top
            && other.right <= self.right
            && other.bottom <= self.bottom
    }
}

impl Label {
    pub fn new(text: impl Into<String>, size: f64, colour: Colour, across: Across) -> Self {
        Self {
            text: text.into(),
            size,
            colour,
            across,
            direction: Direction::Right,
        }
    }

    /// The area it covers when it stands at `at`.
    pub fn frame(&self, at: Place) -> Frame {
        let (width, height) = (theme::text_width(&self.text, self.size), self.size);
        let before = match self.across {
            Across::Left => 0.0,
            Across::Middle => width / 2.0,
            Across::Right => width,
        };
        match self.direction {
            Direction::Right => Frame {
                left: at.0 - before,
                top: at.1 - height / 2.0,
                right: at.0 - before + width,
                bottom: at.1 + height / 2.0,
            },
            Direction::Up => Frame {
                left: at.0 - height / 2.0,
                top: at.1 + before - width,
                right: at.0 + height / 2.0,
                bottom: at.1 + before,
            },
        }
    }
}

impl Canvas {
    pub fn new(width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            shapes: Vec::new(),
        }
    }

    pub fn line(&mut self, points: Vec<Place>, stroke: Stroke) {
        self.shapes.push(Shape::Line { points, stroke });
    }

    pub fn area(&mut self, points: Vec<Place>, colour: Colour) {
        self.shapes.push(Shape::Area { points, colour });
    }

    pub fn rectangle(&mut self, frame: Frame, colour: Colour) {
        let Frame {
            left,
            top,
            right,
            bottom,
        } = frame;
        self.area(
            vec![(left, top), (right, top), (right, bottom), (left, bottom)],
            colour,
        );
    }

    pub fn dot(&mut self, at: Place, radius: f64, colour: Colour) {
        self.shapes.push(Shape::Dot { at, radius, colour });
    }

    pub fn label(&mut self, at: Place, label: Label) {
        self.shapes.push(Shape::Label { at, label });
    }

    pub fn marker(&mut self, (x, y): Place, marker: Marker, colour: Colour) {
        let around = |corners: &[Place]| {
            corners
                .iter()
                .map(|(dx, dy)| (x + dx, y + dy))
                .collect::<Vec<_>>()
        };
        match marker {
            Marker::Circle => self.dot((x, y), 4.0, colour),
            Marker::Square => self.area(
                around(&[(-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)]),
                colour,
            ),
            Marker::Triangle => self.area(around(&[(0.0, -5.0), (4.6, 3.4), (-4.6, 3.4)]), colour),
            Marker::Diamond => self.area(
                around(&[(0.0, -5.2), (5.2, 0.0), (0.0, 5.2), (-5.2, 0.0)]),
                colour,
            ),
            Marker::Cross => {
                for corners in [[(-3.8, -3.8), (3.8, 3.8)], [(-3.8, 3.8), (3.8, -3.8)]] {
                    self.line(around(&corners), Stroke::solid(colour, 2.0));
                }
            }
        }
    }

    /// The areas of all texts.
    #[cfg(test)]
    pub fn labels(&self) -> impl Iterator<Item = (&str, Frame)> {
        self.shapes.iter().filter_map(|shape| match shape {
            Shape::Label { at, label } => Some((label.text.as_str(), label.frame(*at))),
            _ => None,
        })
    }

    /// The picture as SVG, its font inside.
    pub fn to_svg(&self) -> String {
        let size = self.scaled_size(SVG_SCALE);
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            self.paint(&area, SVG_SCALE, Target::Svg)
                .expect("writing into a string does not fail");
        }
        // The backend's first tag gives the size as drawn: the view box keeps that, the picture gets its own.
        let drawn = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
        let shown = format!("width=\"{}\" height=\"{}\"", self.width, self.height);
        let style = format!(
            "<style>@font-face{{font-family:\"{}\";src:url(data:font/ttf;base64,{})}}</style>",
            theme::FONT_FACE,
            BASE64_STANDARD.encode(theme::FONT)
        );
        let svg = svg.replacen(&drawn, &shown, 1);
        match svg
            .find("<svg")
            .and_then(|tag| svg[tag..].find('>').map(|end| tag + end + 1))
        {
            Some(body) => format!("{}\n{style}{}", &svg[..body], &svg[body..]),
            None => svg,
        }
    }

    /// Writes the picture as SVG.
    pub fn write_svg(&self, file: &Path) -> Result<(), FolderError> {
        fs::write(file, self.to_svg()).map_err(io_error("write", file))
    }

    /// Writes the picture as PNG.
    pub fn write_png(&self, file: &Path) -> Result<(), FolderError> {
        let failed = |error: &dyn std::fmt::Display| {
            io_error("write", file)(io::Error::other(error.to_string()))
        };
        let scale = PNG_SCALE * PNG_OVERSAMPLING;
        let (width, height) = self.scaled_size(f64::from(scale));
        let mut drawn = vec![0; (width * height * 3) as usize];
        {
            let area = BitMapBackend::with_buffer(&mut drawn, (width, height)).into_drawing_area();
            self.paint(&area, f64::from(scale), Target::Bitmap)
                .map_err(|error| failed(&error))?;
        }
        let (smooth, size) = shrink(&drawn, (width, height), PNG_OVERSAMPLING);
        let mut backend = BitMapBackend::new(file, size);
        backend
            .blit_bitmap((0, 0), size, &smooth)
            .map_err(|error| failed(&error))?;
        backend.present().map_err(|error| failed(&error))
    }

    fn scaled_size(&self, scale: f64) -> (u32, u32) {
        (
            (self.width * scale).round() as u32,
            (self.height * scale).round() as u32,
        )
    }

    fn paint<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        scale: f64,
        target: Target,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let place = |(x, y): Place| ((x * scale).round() as i32, (y * scale).round() as i32);
        area.fill(&PAPER)?;
        for shape in &self.shapes {
            match shape {
                Shape::Line { points, stroke } => {
                    let style = ShapeStyle {
                        color: stroke.colour.to_rgba(),
                        filled: false,
                        stroke_width: (stroke.width * scale).round() as u32,
                    };
                    for piece in dashes(points, *stroke) {
                        match target {
                            Target::Svg => {
                                let places: Vec<_> = piece.into_iter().map(place).collect();
                                area.draw(&PathElement::new(places, style))?;
                            }
                            // The bitmap backend joins the segments of a wide path in endless points.
                            Target::Bitmap => {
                                for corners in segments(&piece, stroke.width) {
                                    let places: Vec<_> = corners.into_iter().map(place).collect();
                                    area.draw(&Polygon::new(places, stroke.colour.filled()))?;
                                }
                            }
                        }
                    }
                }
                Shape::Area { points, colour } => {
                    area.draw(&Polygon::new(
                        points.iter().copied().map(place).collect::<Vec<_>>(),
                        colour.filled(),
                    ))?;
                }
                Shape::Dot { at, radius, colour } => {
                    area.draw(&Circle::new(place(*at), radius * scale, colour.filled()))?;
                }
                Shape::Label { at, label } => {
                    let across = match label.across {
                        Across::Left => HPos::Left,
                        Across::Middle => HPos::Center,
                        Across::Right => HPos::Right,
                    };
                    let turn = match label.direction {
                        Direction::Right => FontTransform::None,
                        Direction::Up => FontTransform::Rotate270,
                    };
                    let shift = match target {
                        Target::Svg => 0.0,
                        Target::Bitmap => label.size * BITMAP_TEXT_SHIFT,
                    };
                    let at = match label.direction {
                        Direction::Right => (at.0, at.1 + shift),
                        Direction::Up => (at.0 + shift, at.1),
                    };
                    let font = theme::font(label.size * scale).transform(turn);
                    let style = font
                        .color(&label.colour)
                        .pos(Pos::new(across, VPos::Center));
                    area.draw(&Text::new(label.text.as_str(), place(at), style))?;
                }
            }
        }
        area.present()
    }
}

/// The drawn pieces of a line.
fn dashes(points: &[Place], stroke: Stroke) -> Vec<Vec<Place>> {
    let (on, off) = match stroke.dash {
        Dash::Solid => return vec![points.to_vec()],
        Dash::Dashed => (7.0, 4.0),
        Dash::Dotted => (2.0, 3.0),
    };
    let mut pieces = Vec::new();
    let mut piece: Vec<Place> = points.first().copied().into_iter().collect();
    // How much of the current dash or gap is left.
    let (mut drawing, mut left) = (true, on);
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        let mut length = (to.0 - from.0).hypot(to.1 - from.1);
        while length > left {
            let share = left / length;
            from = (
                from.0 + (to.0 - from.0) * share,
                from.1 + (to.1 - from.1) * share,
            );
            length -= left;
            if drawing {
                piece.push(from);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece.push(from);
            }
            drawing = !drawing;
            left = if drawing { on } else { off };
        }
        left -= length;
        if drawing {
            piece.push(to);
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

/// The rectangles that make up a wide line; inside the line they are longer by half its width, so that they join.
fn segments(line: &[Place], width: f64) -> impl Iterator<Item = [Place; 4]> {
    let half = width / 2.0;
    let last = line.len().saturating_sub(2);
    line.windows(2)
        .enumerate()
        .filter_map(move |(index, pair)| {
            let (from, to) = (pair[0], pair[1]);
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length == 0.0 {
                return None;
            }
            let (dx, dy) = (
                (to.0 - from.0) / length * half,
                (to.1 - from.1) / length * half,
            );
            let from = if index == 0 {
                from
            } else {
                (from.0 - dx, from.1 - dy)
            };
            let to = if index == last {
                to
            } else {
                (to.0 + dx, to.1 + dy)
            };
            Some([
                (from.0 - dy, from.1 + dx),
                (to.0 - dy, to.1 + dx),
                (to.0 + dy, to.1 - dx),
                (from.0 + dy, from.1 - dx),
            ])
        })
}

/// Means of `by` by `by` pixels of three bytes.
fn shrink(pixels: &[u8], (width, height): (u32, u32), by: u32) -> (Vec<u8>, (u32, u32)) {
    let size = (width / by, height / by);
    let mut small = Vec::with_capacity((size.0 * size.1 * 3) as usize);
    for y in 0..size.1 {
        for x in 0..size.0 {
            for channel in 0..3 {
                let of = |dx, dy| {
                    u32::from(
                        pixels[(((y * by + dy) * width + x * by + dx) * 3 + channel) as usize],
                    )
                };
                let sum: u32 = (0..by)
                    .flat_map(|dy| (0..by).map(move |dx| (dx, dy)))
                    .map(|(dx, dy)| of(dx, dy))
                    .sum();
                small.push((sum / (by * by)) as u8);
            }
        }
    }
    (small, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_a_line() {
        let stroke = Stroke::dashed(theme::INK, 1.0);
        let points = [(0.0, 0.0), (30.0, 0.0), (30.0, 80.0)];
        let length = |piece: &[Place]| {
            piece
                .windows(2)
                .map(|pair| (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1))
                .sum::<f64>()
        };
        // 110 pixels are ten times a dash of 7 and a gap of 4.
        let drawn: f64 = dashes(&points, stroke)
            .iter()
            .map(|piece| length(piece))
            .sum();
        assert!((drawn - 70.0).abs() < 1e-9, "{drawn}");
        assert_eq!(
            dashes(&points, Stroke::solid(theme::INK, 1.0)),
            [points.to_vec()]
        );
    }

    #[test]
    fn segments_of_a_line_stay_within_half_its_width() {
        // A hair-pin, whose outer corner would be far away if its sides were prolonged until they meet.
        let line = [(0.0, 0.0), (100.0, 0.0), (0.0, 1.0)];
        let corners: Vec<Place> = segments(&line, 4.0).flatten().collect();
        assert_eq!(corners.len(), 8);
        assert!(
            corners
                .iter()
                .all(|(x, y)| (-3.0..=102.1).contains(x) && (-3.0..=4.0).contains(y)),
            "{corners:?}"
        );
    }

    #[test]
    fn shrinking_takes_means() {
        let pixels: Vec<u8> = [0, 40, 80, 120]
            .into_iter()
            .flat_map(|grey| [grey; 3])
            .collect();
        assert_eq!(shrink(&pixels, (2, 2), 2), (vec![60; 3], (1, 1)));
    }
}

/// Fails unless `file` is an SVG of `canvas` with all its texts and the font.
#[cfg(test)]
pub(crate) fn assert_svg(file: &Path, canvas: &Canvas) {
    let text = fs::read_to_string(file).unwrap();
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    let document = roxmltree::Document::parse_with_options(&text, options).unwrap();
    let root = document.root_element();
    assert_eq!(
        root.attribute("width"),
        Some(canvas.width.to_string().as_str())
    );
    let has = |tag: &str, content: &str| {
        document.descendants().any(|node| {
            node.has_tag_name((root.tag_name().namespace().unwrap(), tag))
                && node.text().is_some_and(|text| {
                    text.trim() == content || (tag == "style" && text.contains(content))
                })
        })
    };
    assert!(has("style", "@font-face"));
    for (label, _) in canvas.labels() {
        assert!(has("text", label), "{}: no text {label:?}", file.display());
    }
}

/// Fails unless `file` is a PNG of `canvas` that shows more than paper.
#[cfg(test)]
pub(crate) fn assert_png(file: &Path, canvas: &Canvas) {
    let image = image::open(file).unwrap().to_rgb8();
    let scale = f64::from(PNG_SCALE);
    assert_eq!(
        image.dimensions(),
        (
            (canvas.width * scale) as u32,
            (canvas.height * scale) as u32
        )
    );
    let painted = image.pixels().filter(|pixel| pixel.0 != [255; 3]).count();
    assert!(
        painted as f64 > 0.002 * image.pixels().len() as f64,
        "{} is blank",
        file.display()
    );
}
