//! A figure: title, panels that share a legend, the legend below them where it covers no data.

mod panel;
mod text;

use crate::canvas::{Across, Canvas, Frame, Label, Place};
use crate::chart::axis::Axis;
use crate::chart::figure::panel::Header;
use crate::chart::figure::text::{shorten, wrap};
use crate::theme::{ALARM, BODY, Colour, INK, MUTED, Marker, SMALL, Stroke, TITLE, text_width};

const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 24.0;
/// Room left of a panel for tick labels and the axis label.
const LEFT: f64 = 78.0;
/// Room right of a panel for half a tick label.
const RIGHT: f64 = 8.0;
/// Room below a panel for tick labels, and for the axis label.
const TICKS_BELOW: f64 = 32.0;
const LABEL_BELOW: f64 = 20.0;
const PANEL_GAP: f64 = 14.0;
/// Length of a line in the legend, and from there to its text.
const KEY: f64 = 30.0;
const KEY_GAP: f64 = 8.0;

/// A picture of one or more panels.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// File name without its ending.
    pub name: String,
    pub title: String,
    pub subtitle: String,
    pub layout: Layout,
    pub panels: Vec<Panel>,
    pub legend: Vec<(Key, String)>,
    /// Why the figure may mislead.
    pub warning: Option<String>,
    /// What the reader should know, such as what was left out.
    pub notes: Vec<String>,
}

/// How panels are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Up to three in a row.
    Grid,
    /// One below the other over the same x axis, which is named and parted once.
    Stack,
}

/// Axes and what is drawn between them.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub title: String,
    /// What its curves are, if they differ from panel to panel; in the title's place.
    pub keys: Vec<(Key, String)>,
    pub x: Axis,
    pub y: Axis,
    /// Behind the curves, in this order.
    pub areas: Vec<Area>,
    /// From the lowest to the topmost.
    pub curves: Vec<Curve>,
    /// Spans of the x axis that have a name, separated by upright lines.
    pub spans: Vec<Span>,
    /// Instants at which something happened, in the order of the axis.
    pub marks: Vec<Mark>,
}

/// An instant on the x axis: an upright line with a few words above the frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    pub at: f64,
    /// None is written if empty.
    pub label: String,
}

/// A named part of the x axis.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub from: f64,
    pub to: f64,
    pub name: String,
}

/// Connected points, in the units of the axes.
pub(super) type Run = Vec<(f64, f64)>;

/// Connected points; between runs there is no data.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub key: Key,
    pub runs: Vec<Run>,
}

/// A filled outline.
#[derive(Clone, Debug)]
pub(super) struct Area {
    pub outline: Run,
    pub colour: Colour,
    /// 1 hides what is behind.
    pub opacity: f64,
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

    /// A block of colour, for bars.
    pub fn bar(colour: Colour) -> Self {
        Self::line(Stroke::solid(colour, 10.0))
    }

    /// Draws it with its text, cut to fit `width`.
    fn draw(self, canvas: &mut Canvas, (x, y): Place, text: &str, width: f64) {
        canvas.line(vec![(x, y), (x + KEY, y)], self.stroke);
        if let Some(marker) = self.marker {
            canvas.marker((x + KEY / 2.0, y), marker, self.stroke.colour);
        }
        let text = shorten(text, BODY, width - KEY - KEY_GAP);
        canvas.label(
            (x + KEY + KEY_GAP, y),
            Label::new(text, BODY, INK, Across::Left),
        );
    }
}

/// Whether the labels of `marks` stand beside each other on a stack of panels over `range`.
pub(super) fn marks_fit(marks: &[Mark], range: (f64, f64)) -> bool {
    let plot = WIDTH - 2.0 * MARGIN - LEFT - RIGHT;
    let x = |at: f64| (at - range.0) / (range.1 - range.0) * plot;
    let ends = marks.iter().skip(1).map(|next| x(next.at)).chain([plot]);
    let mut each = marks.iter().zip(ends);
    each.all(|(mark, end)| {
        x(mark.at) + panel::MARK_GAP + text_width(&mark.label, SMALL) < end - panel::MARK_GAP
    })
}

/// Whether a span's name fits into it on a stack of panels over `range`.
pub(super) fn span_fits(span: &Span, range: (f64, f64)) -> bool {
    let plot = WIDTH - 2.0 * MARGIN - LEFT - RIGHT;
    text_width(&span.name, SMALL) < (span.to - span.from) / (range.1 - range.0) * plot
}

impl Area {
    /// A bar that stands on the axis over `from`–`to`.
    pub fn bar((from, to): (f64, f64), height: f64, colour: Colour) -> Self {
        Self {
            outline: vec![(from, 0.0), (from, height), (to, height), (to, 0.0)],
            colour,
            opacity: 1.0,
        }
    }
}

impl Figure {
    /// Lays everything out.
    pub fn draw(&self) -> Canvas {
        let columns = match (self.layout, self.panels.len()) {
            (Layout::Stack, _) | (_, 0 | 1) => 1,
            (_, 2 | 4) => 2,
            _ => 3,
        };
        let inner = WIDTH - 2.0 * MARGIN;
        let subtitle = wrap(&self.subtitle, SMALL + 1.0, inner);
        let top = MARGIN + TITLE + 8.0 + subtitle.len() as f64 * 19.0 + 6.0;
        let plot_height = match (self.layout, self.panels.len(), columns) {
            (Layout::Grid, _, 1) | (Layout::Stack, 1, _) => 390.0,
            (Layout::Stack, 2 | 3, _) => 190.0,
            (Layout::Stack, _, _) => 130.0,
            (Layout::Grid, ..) => 214.0,
        };
        let headers: Vec<Header> = (0..self.panels.len())
            .map(|index| Header::of(&self.panels[index], self.layout, index == 0))
            .collect();
        let last_row = self.panels.len().div_ceil(columns).saturating_sub(1);
        let mut row_tops = vec![top];
        for (row, headers) in headers.chunks(columns).enumerate() {
            let header = headers.iter().map(Header::height).fold(0.0, f64::max);
            let label = match self.layout {
                Layout::Stack if row < last_row => 0.0,
                _ => LABEL_BELOW,
            };
            row_tops.push(row_tops[row] + header + plot_height + TICKS_BELOW + label);
        }
        let legend_top = row_tops[row_tops.len() - 1] + 4.0;
        let (entries, legend_height) = self.flow_legend(inner);
        let warning = self.warning.iter().map(|warning| (warning, ALARM));
        let notes: Vec<(String, Colour)> = warning
            .chain(self.notes.iter().map(|note| (note, MUTED)))
            .flat_map(|(note, colour)| {
                let lines = wrap(note, SMALL, inner).into_iter();
                lines.map(move |line| (line, colour))
            })
            .collect();
        let notes_top = legend_top + legend_height + 6.0;
        let mut canvas = Canvas::new(
            WIDTH,
            (notes_top + notes.len() as f64 * 18.0 + MARGIN * 0.6).ceil(),
        );

        let title = shorten(&self.title, TITLE, inner);
        canvas.label(
            (MARGIN, MARGIN + TITLE / 2.0),
            Label::new(title, TITLE, INK, Across::Left),
        );
        for (line, text) in subtitle.iter().enumerate() {
            let y = MARGIN + TITLE + 14.0 + line as f64 * 19.0;
            canvas.label(
                (MARGIN, y),
                Label::new(text, SMALL + 1.0, MUTED, Across::Left),
            );
        }
        let cell_width = (inner - PANEL_GAP * (columns - 1) as f64) / columns as f64;
        for (index, (panel, header)) in self.panels.iter().zip(headers).enumerate() {
            let (row, column) = (index / columns, index % columns);
            let left = MARGIN + column as f64 * (cell_width + PANEL_GAP);
            let frame_top = row_tops[row] + header.height();
            let frame = Frame {
                left: left + LEFT,
                top: frame_top,
                right: left + cell_width - RIGHT,
                bottom: frame_top + plot_height,
            };
            let x_label = self.layout == Layout::Grid || row == last_row;
            panel.draw(
                &mut canvas,
                frame,
                &header,
                x_label.then_some(&panel.x.label),
            );
        }
        for ((key, text), at) in self.legend.iter().zip(entries) {
            key.draw(&mut canvas, (MARGIN + at.0, legend_top + at.1), text, inner);
        }
        for (line, (text, colour)) in notes.into_iter().enumerate() {
            let y = notes_top + 9.0 + line as f64 * 18.0;
            canvas.label((MARGIN, y), Label::new(text, SMALL, colour, Across::Left));
        }
        canvas
    }

    /// Where each entry of the legend stands, filling lines of `width`, and the height of all.
    fn flow_legend(&self, width: f64) -> (Vec<Place>, f64) {
        let (mut x, mut y) = (0.0, 12.0);
        let mut places = Vec::new();
        for (_, text) in &self.legend {
            let entry = KEY + KEY_GAP + text_width(text, BODY) + 24.0;
            if x > 0.0 && x + entry > width {
                (x, y) = (0.0, y + 24.0);
            }
            places.push((x, y));
            x += entry;
        }
        match places.is_empty() {
            true => (places, 0.0),
            false => (places, y + 12.0),
        }
    }
}
