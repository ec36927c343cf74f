//! The font, the colours and the sizes that charts and maps share.

use std::sync::LazyLock;

pub(crate) use plotters::style::RGBColor as Colour;
use plotters::style::{FontStyle, FontTransform, IntoFont, register_font};

/// DejaVu Sans, so that pictures look the same where no font is installed; licence in `assets/`.
pub(crate) const FONT: &[u8] = include_bytes!("../assets/dejavu-sans.ttf");

/// How pictures name their font: the embedded one, then one of the same widths, then any.
const FONT_FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

/// The name of the embedded font in an SVG's style sheet.
pub(crate) const FONT_FACE: &str = "DejaVu Sans";

pub(crate) const INK: Colour = Colour(0x22, 0x22, 0x22);
pub(crate) const MUTED: Colour = Colour(0x66, 0x66, 0x66);
pub(crate) const ALARM: Colour = Colour(0xb8, 0x32, 0x00);
pub(crate) const GRID: Colour = Colour(0xe4, 0xe4, 0xe4);
pub(crate) const PAPER: Colour = Colour(0xff, 0xff, 0xff);
pub(crate) const SEA: Colour = Colour(0xf4, 0xf7, 0xfa);
pub(crate) const LAND: Colour = Colour(0xdc, 0xdf, 0xd8);

/// Colours that colour-blind readers can tell apart (Okabe and Ito 2008, "Color Universal Design"), without the
/// yellow, which vanishes on white, and with the black last.
const PALETTE: [Colour; 7] = [
    Colour(0x00, 0x72, 0xb2),
    Colour(0xd5, 0x5e, 0x00),
    Colour(0x00, 0x9e, 0x73),
    Colour(0xcc, 0x79, 0xa7),
    Colour(0xe6, 0x9f, 0x00),
    Colour(0x56, 0xb4, 0xe9),
    Colour(0x00, 0x00, 0x00),
];

/// Text sizes, in pixels.
pub(crate) const TITLE: f64 = 21.0;
pub(crate) const BODY: f64 = 15.0;
pub(crate) const SMALL: f64 = 13.0;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stroke {
    pub colour: Colour,
    pub width: f64,
    pub dash: Dash,
}

/// The rhythm of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dash {
    Solid,
    Dashed,
    Dotted,
}

/// The shape of a data point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
}

impl Stroke {
    pub const fn solid(colour: Colour, width: f64) -> Self {
        Self {
            colour,
            width,
            dash: Dash::Solid,
        }
    }

    pub const fn dashed(colour: Colour, width: f64) -> Self {
        Self {
            colour,
            width,
            dash: Dash::Dashed,
        }
    }
}

/// The line of the series of that index: colours first, then the rhythm changes.
pub(crate) fn stroke(series: usize) -> Stroke {
    let dash = [Dash::Solid, Dash::Dashed, Dash::Dotted][series / PALETTE.len() % 3];
    Stroke {
        colour: PALETTE[series % PALETTE.len()],
        width: 2.0,
        dash,
    }
}

/// The data points of the series of that index.
pub(crate) fn marker(series: usize) -> Marker {
    [
        Marker::Circle,
        Marker::Square,
        Marker::Triangle,
        Marker::Diamond,
        Marker::Cross,
    ][series % 5]
}

/// The embedded font at a size.
pub(crate) fn font(size: f64) -> plotters::style::FontDesc<'static> {
    static REGISTERED: LazyLock<()> = LazyLock::new(|| {
        let registered = register_font(FONT_FAMILY, FontStyle::Normal, FONT);
        assert!(registered.is_ok(), "the embedded font is a font");
    });
    LazyLock::force(&REGISTERED);
    (FONT_FAMILY, size)
        .into_font()
        .transform(FontTransform::None)
}

/// How wide `text` is at a size, in pixels.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    // Measured large, because the answer is in whole pixels.
    let (width, _) = font(size * 10.0)
        .box_size(text)
        .expect("the embedded font measures any text");
    f64::from(width) / 10.0
}
