//! A figure: title, panels that share a legend, the legend below them where it covers no data.

mod numbers;
mod overlap;
mod panel;
mod text;

use crate::canvas::{Across, Canvas, Frame, Label, Place};
use crate::chart::axis::Axis;
use crate::chart::figure::panel::Header;
pub(crate) use crate::chart::figure::text::shorten;
use crate::chart::figure::text::wrap;
use crate::stats;
use crate::theme::{ALARM, BODY, Colour, INK, MUTED, Marker, SMALL, Stroke, TITLE, text_width};

/// As wide as a page, and as a line of charts in a report.
pub(super) const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 24.0;
/// From one line of a title to the next.
const TITLE_LINE: f64 = 26.0;
/// Room left of a panel for tick labels and the axis label.
const LEFT: f64 = 78.0;
/// Room right of a panel for half a tick label.
const RIGHT: f64 = 8.0;
/// Room below a panel for tick labels, and for the axis label.
const TICKS_BELOW: f64 = 32.0;
const LABEL_BELOW: f64 = 20.0;
const PANEL_GAP: f64 = 14.0;
/// A panel narrower or lower than this shows nothing: that wide are two ticks, that high two lines of them.
const LEAST_PLOT: (f64, f64) = (110.0, 60.0);
/// A panel beside others is at least this wide.
const LEAST_CELL: f64 = 260.0;
/// Length of a line in the legend, and from there to its text.
const KEY: f64 = 30.0;
const KEY_GAP: f64 = 8.0;

/// A picture of one or more panels.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// File name without its ending.
    pub name: String,
    pub title: String,
    pub subtitle: String,
    pub(super) layout: Layout,
    pub(super) panels: Vec<Panel>,
    pub(super) legend: Vec<(Key, String)>,
    /// Why the figure may mislead.
    pub warning: Option<String>,
    /// What the reader should know, such as what was left out.
    pub notes: Vec<String>,
}

/// The room that a picture has, in its own pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Room {
    pub width: f64,
    /// As high as its content if absent.
    pub height: Option<f64>,
}

impl Room {
    /// As wide as a page, as high as its content.
    pub const PAGE: Self = Self {
        width: WIDTH,
        height: None,
    };
}

/// The least room that a picture takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TooSmall {
    pub width: f64,
    pub height: f64,
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
    /// What it is, as in the legend.
    pub name: String,
    pub runs: Vec<Run>,
}

/// A filled outline.
#[derive(Clone, Debug)]
pub(super) struct Area {
    pub outline: Run,
    pub colour: Colour,
    /// 1 hides what is behind.
    pub opacity: f64,
    /// What it is, for who reads the numbers.
    pub part: Part,
    /// Its series; empty where the colour says it.
    pub name: String,
}

/// What an area stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    /// Between the greatest values, in the order of the axis, and back along the least.
    Range,
    /// A value from the axis upwards.
    Bar,
    /// From the first to the third quartile of these.
    Quartiles(Quartiles),
}

/// What a box with its whiskers shows, in the unit of the upright axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quartiles {
    /// How many values it is of.
    pub values: usize,
    /// Where the lower whisker ends.
    pub least: f64,
    pub first: f64,
    pub median: f64,
    pub third: f64,
    /// Where the upper whisker ends.
    pub greatest: f64,
}

impl Quartiles {
    /// Of ascending values; nothing of none.
    pub fn of(sorted: &[f64]) -> Option<Self> {
        let at = |percent| stats::percentile(sorted, percent);
        Some(Self {
            values: sorted.len(),
            least: at(0.0)?,
            first: at(25.0)?,
            median: at(50.0)?,
            third: at(75.0)?,
            greatest: at(100.0)?,
        })
    }
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

/// What is left for the plots of a stack of panels on a figure of `width`.
fn plot_width(width: f64) -> f64 {
    width - 2.0 * MARGIN - LEFT - RIGHT
}

/// Whether the labels of `marks` stand beside each other on a stack of panels over `range` on a figure of `width`.
pub(super) fn marks_fit(marks: &[Mark], range: (f64, f64), width: f64) -> bool {
    let plot = plot_width(width);
    let x = |at: f64| (at - range.0) / (range.1 - range.0) * plot;
    let ends = marks.iter().skip(1).map(|next| x(next.at)).chain([plot]);
    let mut each = marks.iter().zip(ends);
    each.all(|(mark, end)| {
        x(mark.at) + panel::MARK_GAP + text_width(&mark.label, SMALL) < end - panel::MARK_GAP
    })
}

/// Whether a span's name fits into it on a stack of panels over `range` on a figure of `width`.
pub(super) fn span_fits(span: &Span, range: (f64, f64), width: f64) -> bool {
    let plot = plot_width(width);
    text_width(&span.name, SMALL) < (span.to - span.from) / (range.1 - range.0) * plot
}

impl Area {
    /// A bar that stands on the axis over `from`–`to`.
    pub fn bar((from, to): (f64, f64), height: f64, colour: Colour, name: &str) -> Self {
        Self {
            outline: vec![(from, 0.0), (from, height), (to, height), (to, 0.0)],
            colour,
            opacity: 1.0,
            part: Part::Bar,
            name: name.to_owned(),
        }
    }
}

impl Figure {
    /// Lays everything out on a page.
    pub fn draw(&self) -> Canvas {
        self.draw_in(Room::PAGE)
            .expect("a page has room for every figure")
    }

    /// Lays everything out.
    ///
    /// # Errors
    /// If the plots would be too small to show anything.
    pub fn draw_in(&self, room: Room) -> Result<Canvas, TooSmall> {
        let width = room.width;
        let narrowest = (LEFT + RIGHT + LEAST_PLOT.0 + 2.0 * MARGIN).ceil();
        if width < narrowest {
            // As low as it can be where there is that width: text in less has more lines than anybody would read.
            let height = match self.draw_in(Room {
                width: narrowest,
                height: Some(0.0),
            }) {
                Err(least) => least.height,
                Ok(canvas) => canvas.height,
            };
            return Err(TooSmall {
                width: narrowest,
                height,
            });
        }
        let inner = width - 2.0 * MARGIN;
        let fitting = (inner / LEAST_CELL).floor().max(1.0) as usize;
        let columns = match (self.layout, self.panels.len()) {
            (Layout::Stack, _) | (_, 0 | 1) => 1,
            (_, 2 | 4) => 2,
            _ => 3,
        }
        .min(fitting);
        let subtitle = wrap(&self.subtitle, SMALL + 1.0, inner);
        let title = wrap(&self.title, TITLE, inner);
        let below_title = MARGIN + TITLE_LINE * title.len().saturating_sub(1) as f64 + TITLE;
        let top = below_title + 8.0 + subtitle.len() as f64 * 19.0 + 6.0;
        let cell_width = (inner - PANEL_GAP * (columns - 1) as f64) / columns as f64;
        let headers: Vec<Header> = (0..self.panels.len())
            .map(|index| Header::of(&self.panels[index], self.layout, index == 0, cell_width))
            .collect();
        let rows = self.panels.len().div_ceil(columns);
        let last_row = rows.saturating_sub(1);
        let warning = self.warning.iter().map(|warning| (warning, ALARM));
        let notes: Vec<(String, Colour)> = warning
            .chain(self.notes.iter().map(|note| (note, MUTED)))
            .flat_map(|(note, colour)| {
                let lines = wrap(note, SMALL, inner).into_iter();
                lines.map(move |line| (line, colour))
            })
            .collect();
        let (entries, legend_height) = self.flow_legend(inner);
        let around: f64 = headers
            .chunks(columns)
            .enumerate()
            .map(|(row, headers)| row_height(headers, self.layout, row < last_row))
            .sum();
        let rest = top + around + 4.0 + legend_height + 6.0 + below(notes.len());
        let plot_height = match room.height {
            Some(height) => (height - rest) / rows.max(1) as f64,
            None => match (self.layout, self.panels.len(), columns) {
                (Layout::Grid, 1, 1) | (Layout::Stack, 1, _) => width.min(WIDTH) * 0.39,
                (Layout::Stack, 2 | 3, _) => 190.0,
                (Layout::Stack, _, _) => 130.0,
                (Layout::Grid, ..) => 214.0,
            },
        };
        if !self.panels.is_empty() && plot_height < LEAST_PLOT.1 {
            return Err(TooSmall {
                width: narrowest,
                height: (rest + LEAST_PLOT.1 * rows as f64).ceil(),
            });
        }
        let mut row_tops = vec![top];
        for (row, headers) in headers.chunks(columns).enumerate() {
            let around = row_height(headers, self.layout, row < last_row);
            row_tops.push(row_tops[row] + around + plot_height);
        }
        let legend_top = row_tops[row_tops.len() - 1] + 4.0;
        let notes_top = legend_top + legend_height + 6.0;
        let height = room
            .height
            .unwrap_or((notes_top + below(notes.len())).ceil());
        let mut canvas = Canvas::new(width, height);

        for (line, text) in title.iter().enumerate() {
            let y = MARGIN + TITLE / 2.0 + TITLE_LINE * line as f64;
            canvas.label((MARGIN, y), Label::new(text, TITLE, INK, Across::Left));
        }
        for (line, text) in subtitle.iter().enumerate() {
            let y = below_title + 14.0 + line as f64 * 19.0;
            canvas.label(
                (MARGIN, y),
                Label::new(text, SMALL + 1.0, MUTED, Across::Left),
            );
        }
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
        Ok(canvas)
    }

    /// Whether its markers stand at more than one place along the axis.
    pub(super) fn has_several_places(&self) -> bool {
        self.panels.iter().any(|panel| {
            let marked = panel
                .curves
                .iter()
                .filter(|curve| curve.key.marker.is_some());
            let mut places = marked.flat_map(|curve| curve.runs.iter().flatten().map(|p| p.0));
            places
                .next()
                .is_some_and(|first| places.any(|other| other != first))
        })
    }

    /// Where each entry of the legend stands, filling lines of `width`, and the height of all.
    fn flow_legend(&self, width: f64) -> (Vec<Place>, f64) {
        let (mut x, mut y) = (0.0, 12.0);
        let mut places = Vec::new();
        for (_, text) in &self.legend {
            let entry = (KEY + KEY_GAP + text_width(text, BODY) + 24.0).min(width);
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

/// A row of panels without their plots; of a stack only the last has its axis named.
fn row_height(headers: &[Header], layout: Layout, more_below: bool) -> f64 {
    let header = headers.iter().map(Header::height).fold(0.0, f64::max);
    let label = match layout {
        Layout::Stack if more_below => 0.0,
        _ => LABEL_BELOW,
    };
    header + TICKS_BELOW + label
}

/// What as many lines of notes take.
fn below(notes: usize) -> f64 {
    notes as f64 * 18.0 + MARGIN * 0.6
}
