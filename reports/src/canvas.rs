//! A picture as a list of shapes in pixels.

mod inline;
mod lines;
mod paint;

pub(crate) use paint::Paint;
#[cfg(test)]
pub(crate) use paint::{assert_png, assert_svg};

use crate::theme::{self, Colour, Marker, Stroke};

/// A place on the canvas: pixels right and down of the upper left corner.
pub(crate) type Place = (f64, f64);

/// How far two places are from each other.
pub(crate) fn distance(from: Place, to: Place) -> f64 {
    (to.0 - from.0).hypot(to.1 - from.1)
}

/// The place at this share, 0 to 1, of the way from one to another.
pub(crate) fn between(from: Place, to: Place, share: f64) -> Place {
    (
        from.0 + (to.0 - from.0) * share,
        from.1 + (to.1 - from.1) * share,
    )
}

/// Shapes, in the order they are painted.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    pub width: f64,
    pub height: f64,
    shapes: Vec<Shape>,
    plots: Vec<Plot>,
}

/// A part of the canvas whose places stand for values, so that a reader can ask for them.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub frame: Frame,
    pub x: Scale,
    pub y: Scale,
}

/// What the places along one side of a plot stand for.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub label: String,
    pub low: f64,
    pub high: f64,
    /// Equal ratios are equally far apart, not equal differences.
    pub is_log: bool,
    /// What the values are counted in, where the label does not say; may be empty.
    pub unit: &'static str,
    /// Values that are called by a name.
    pub names: Vec<(f64, String)>,
}

#[derive(Clone, Debug)]
enum Shape {
    Line {
        points: Vec<Place>,
        stroke: Stroke,
        /// What it stands for, if anything.
        trace: Option<Trace>,
    },
    Area {
        points: Vec<Place>,
        colour: Colour,
        /// 1 hides what is behind.
        opacity: f64,
        /// What a reader is told who asks; empty for what stands for nothing.
        tip: String,
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

/// What a line stands for.
#[derive(Clone, Debug, PartialEq)]
enum Trace {
    /// Values of the plot of that index, as a series of that name.
    Values(usize, String),
    /// A thing, and what a reader is told who asks.
    Thing(String),
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
            plots: Vec::new(),
        }
    }

    /// The same in the middle of a canvas as high as `height`, which must not be lower. For pictures without plots.
    pub fn centred(mut self, height: f64) -> Self {
        let down = (height - self.height) / 2.0;
        let shift = |place: &mut Place| place.1 += down;
        for shape in &mut self.shapes {
            match shape {
                Shape::Line { points, .. } | Shape::Area { points, .. } => {
                    points.iter_mut().for_each(shift);
                }
                Shape::Dot { at, .. } | Shape::Label { at, .. } => shift(at),
            }
        }
        self.height = height;
        self
    }

    pub fn line(&mut self, points: Vec<Place>, stroke: Stroke) {
        self.shapes.push(Shape::Line {
            points,
            stroke,
            trace: None,
        });
    }

    /// Says what places stand for; the curves that follow are of this plot.
    pub fn plot(&mut self, plot: Plot) {
        self.plots.push(plot);
    }

    /// A line whose points stand for values of the last plot.
    pub fn curve(&mut self, points: Vec<Place>, stroke: Stroke, name: &str) {
        let plot = self.plots.len().checked_sub(1);
        let trace = plot.map(|plot| Trace::Values(plot, name.to_owned()));
        self.shapes.push(Shape::Line {
            points,
            stroke,
            trace,
        });
    }

    /// A line that tells `tip` to who asks.
    pub fn told_line(&mut self, points: Vec<Place>, stroke: Stroke, tip: String) {
        self.shapes.push(Shape::Line {
            points,
            stroke,
            trace: Some(Trace::Thing(tip)),
        });
    }

    /// Fills an outline; opacity 1 hides what is behind.
    pub fn area(&mut self, points: Vec<Place>, colour: Colour, opacity: f64) {
        self.told_area(points, colour, opacity, String::new());
    }

    /// An area that tells `tip` to who asks.
    pub fn told_area(&mut self, points: Vec<Place>, colour: Colour, opacity: f64, tip: String) {
        self.shapes.push(Shape::Area {
            points,
            colour,
            opacity,
            tip,
        });
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
            1.0,
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
                1.0,
            ),
            Marker::Triangle => {
                self.area(around(&[(0.0, -5.0), (4.6, 3.4), (-4.6, 3.4)]), colour, 1.0);
            }
            Marker::Diamond => self.area(
                around(&[(0.0, -5.2), (5.2, 0.0), (0.0, 5.2), (-5.2, 0.0)]),
                colour,
                1.0,
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

    /// Every text lies inside the picture and over no other; how many there are.
    #[cfg(test)]
    pub fn assert_texts_apart(&self, name: &str) -> usize {
        let whole = Frame {
            left: 0.0,
            top: 0.0,
            right: self.width,
            bottom: self.height,
        };
        let labels: Vec<_> = self.labels().collect();
        for (index, (text, frame)) in labels.iter().enumerate() {
            assert!(whole.contains(frame), "{name}: {text:?} leaves the picture");
            for (other, other_frame) in &labels[index + 1..] {
                assert!(
                    !frame.overlaps(other_frame),
                    "{name}: {text:?} over {other:?}"
                );
            }
        }
        labels.len()
    }
}
