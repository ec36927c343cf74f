//! Every chart as inline SVG, drawn for a page and for a phone; the style sheet shows the one that suits.

use maud::{Markup, PreEscaped, html};

use crate::chart::{self, Figure, Room};
use crate::folder::ResultFolder;

/// How wide a picture for a page is drawn: somewhat narrower than it is shown, so that its text is easily read.
pub(super) const WIDE: f64 = 880.0;

/// How wide a picture for phones is drawn: about as wide as their screens, so that its text keeps its size.
pub(super) const NARROW: f64 = 380.0;

/// Every chart of a result.
pub(super) fn section(folder: &ResultFolder) -> Option<Markup> {
    let all = |width| {
        let mut figures = chart::figures(folder, width);
        figures.extend(chart::further_figures(folder, width));
        figures
    };
    drawn(&all(WIDE), &all(NARROW))
}

/// The charts that hold several results against each other.
pub(super) fn comparing(folder: &ResultFolder) -> Option<Markup> {
    let figures = chart::comparing_figures(folder);
    drawn(&figures, &figures)
}

fn drawn(wide: &[Figure], narrow: &[Figure]) -> Option<Markup> {
    let draw = |figure: &Figure, width| {
        let room = Room {
            width,
            height: None,
        };
        let canvas = figure.draw_in(room);
        canvas.map_or_else(
            |_| String::new(),
            |canvas| canvas.to_inline_svg(&figure.title),
        )
    };
    (!wide.is_empty()).then(|| {
        html! {
            @for (wide, narrow) in wide.iter().zip(narrow) {
                (twice(&draw(wide, WIDE), &draw(narrow, NARROW)))
            }
        }
    })
}

/// A picture for a page and the same for a phone.
pub(super) fn twice(wide: &str, narrow: &str) -> Markup {
    html! {
        figure {
            div.wide { (PreEscaped(wide)) }
            div.narrow { (PreEscaped(narrow)) }
        }
    }
}
