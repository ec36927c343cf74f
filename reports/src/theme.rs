//! The font, the colours and the sizes that charts and maps share.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId};
pub(crate) use plotters::style::RGBColor as Colour;
use plotters::style::{FontStyle, FontTransform, IntoFont, register_font};
use unicode_width::UnicodeWidthChar;

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

/// What a picture is for. Drawing code speaks the light theme's colours; the others are put in their place when it is painted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Dark on white.
    #[default]
    Light,
    /// Light on near-black, for slides.
    Dark,
    /// For paper without colour: darker, and series that only their colour told apart differ in the rhythm of their lines.
    Print,
}

/// Every colour that pictures use: its name in a style sheet, then light, dark, and for print.
const SHADES: [(&str, Colour, Colour, Colour); 14] = [
    ("ink", INK, Colour(0xe6, 0xe6, 0xe6), Colour(0, 0, 0)),
    (
        "muted",
        MUTED,
        Colour(0xa8, 0xa8, 0xa8),
        Colour(0x40, 0x40, 0x40),
    ),
    (
        "alarm",
        ALARM,
        Colour(0xff, 0x8a, 0x5c),
        Colour(0x80, 0x20, 0x00),
    ),
    (
        "grid",
        GRID,
        Colour(0x38, 0x3b, 0x40),
        Colour(0xd0, 0xd0, 0xd0),
    ),
    (
        "paper",
        PAPER,
        Colour(0x17, 0x19, 0x1c),
        Colour(0xff, 0xff, 0xff),
    ),
    (
        "sea",
        SEA,
        Colour(0x1d, 0x22, 0x28),
        Colour(0xff, 0xff, 0xff),
    ),
    (
        "land",
        LAND,
        Colour(0x35, 0x3a, 0x36),
        Colour(0xe8, 0xe8, 0xe8),
    ),
    (
        "s0",
        PALETTE[0],
        Colour(0x4a, 0xa8, 0xe8),
        Colour(0x00, 0x4a, 0x78),
    ),
    (
        "s1",
        PALETTE[1],
        Colour(0xf0, 0x85, 0x3c),
        Colour(0xb0, 0x4a, 0x00),
    ),
    (
        "s2",
        PALETTE[2],
        Colour(0x2f, 0xc0, 0x98),
        Colour(0x00, 0x70, 0x50),
    ),
    (
        "s3",
        PALETTE[3],
        Colour(0xdc, 0x95, 0xbc),
        Colour(0x96, 0x48, 0x74),
    ),
    (
        "s4",
        PALETTE[4],
        Colour(0xf0, 0xb8, 0x40),
        Colour(0xa8, 0x70, 0x00),
    ),
    (
        "s5",
        PALETTE[5],
        Colour(0x8c, 0xcc, 0xf2),
        Colour(0x2c, 0x7c, 0xb0),
    ),
    ("s6", PALETTE[6], Colour(0xff, 0xff, 0xff), Colour(0, 0, 0)),
];

impl Theme {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 3] = [
        ("light", Self::Light),
        ("dark", Self::Dark),
        ("print", Self::Print),
    ];

    /// This theme's shade of a colour of the light one.
    pub(crate) fn shade(self, colour: Colour) -> Colour {
        let shade = SHADES.iter().find(|shade| shade.1 == colour);
        match (self, shade) {
            (Self::Light, _) | (_, None) => colour,
            (Self::Dark, Some(shade)) => shade.2,
            (Self::Print, Some(shade)) => shade.3,
        }
    }

    /// A line as this theme draws it.
    pub(crate) fn line(self, line: Stroke) -> Stroke {
        let series = PALETTE.iter().position(|colour| *colour == line.colour);
        // Blocks of colour are lines as well.
        let series = series.filter(|_| self == Self::Print && line.width < 5.0);
        let dash = series.and_then(|series| {
            // From each rhythm on, so that a colour has no rhythm twice.
            [DASHES, BOUND_DASHES].iter().find_map(|dashes| {
                let own = dashes.iter().position(|dash| *dash == line.dash)?;
                Some(dashes[(series + own) % dashes.len()])
            })
        });
        Stroke {
            colour: self.shade(line.colour),
            dash: dash.unwrap_or(line.dash),
            ..line
        }
    }

    /// The shades as variables of a style sheet: `--ink:#222222;…`.
    pub(crate) fn variables(self) -> String {
        let shades = SHADES.iter();
        let variable = |shade: &(&str, Colour, Colour, Colour)| {
            let Colour(red, green, blue) = self.shade(shade.1);
            format!("--{}:#{red:02x}{green:02x}{blue:02x};", shade.0)
        };
        shades.map(variable).collect()
    }
}

/// The variable of [`Theme::variables`] that holds a colour of the light theme.
pub(crate) fn variable(colour: Colour) -> Option<&'static str> {
    let shade = SHADES.iter().find(|shade| shade.1 == colour);
    shade.map(|shade| shade.0)
}

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
    // Of bounds and the like.
    OneDot,
    TwoDots,
    LongShort,
    Long,
}

impl Dash {
    /// Pixels that are drawn and left out, in turn; nothing if all are drawn.
    pub fn rhythm(self) -> &'static [f64] {
        match self {
            Self::Solid => &[],
            Self::Dashed => &[7.0, 4.0],
            Self::Dotted => &[2.0, 3.0],
            Self::OneDot => &[9.0, 3.0, 2.0, 3.0],
            Self::TwoDots => &[9.0, 3.0, 2.0, 3.0, 2.0, 3.0],
            Self::LongShort => &[12.0, 3.0, 5.0, 3.0],
            Self::Long => &[15.0, 5.0],
        }
    }
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

/// The rhythms of series, in their own order.
const DASHES: [Dash; 3] = [Dash::Solid, Dash::Dashed, Dash::Dotted];

/// The rhythms of their bounds.
const BOUND_DASHES: [Dash; 3] = [Dash::OneDot, Dash::TwoDots, Dash::LongShort];

/// What is not measured, but asked, promised or computed: a bound, a described value. No series has its rhythm.
pub(crate) const BOUND: Stroke = Stroke {
    colour: INK,
    width: 1.5,
    dash: Dash::OneDot,
};

/// A bound of another kind beside [`BOUND`] or [`bound`].
pub(crate) const OTHER_BOUND: Stroke = Stroke {
    dash: Dash::Long,
    ..BOUND
};

/// The bound of the series of that index, where each has its own: the colours of the series, in other rhythms.
pub(crate) fn bound(series: usize) -> Stroke {
    Stroke {
        colour: PALETTE[series % PALETTE.len()],
        dash: BOUND_DASHES[series / PALETTE.len() % BOUND_DASHES.len()],
        ..BOUND
    }
}

/// As many series have lines that differ.
pub(crate) const STROKES: usize = PALETTE.len() * DASHES.len();

/// The line of the series of that index: colours first, then the rhythm changes.
pub(crate) fn stroke(series: usize) -> Stroke {
    let dash = DASHES[series / PALETTE.len() % DASHES.len()];
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

/// Whether the embedded font has no such letter. A PNG cannot show it; the readers of an SVG have other fonts.
pub(crate) fn lacks(letter: char) -> bool {
    static FACE: LazyLock<FontRef<'static>> =
        LazyLock::new(|| FontRef::try_from_slice(FONT).expect("the embedded font is a font"));
    FACE.glyph_id(letter) == GlyphId(0)
}

/// How wide letters of other fonts are at most, as shares of their height, by how many cells they take on a terminal: accents, most scripts,
/// and those of East Asia.
const FOREIGN: [f64; 3] = [0.0, 0.75, 1.05];

/// How wide `text` is at a size, in pixels; letters that the font lacks are taken to be as wide as they may be.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let (foreign, own): (String, String) = text.chars().partition(|letter| lacks(*letter));
    let foreign = foreign
        .chars()
        .map(|letter| FOREIGN[letter.width().unwrap_or(0).min(2)]);
    // Measured large, because the answer is in whole pixels.
    let (width, _) = font(size * 10.0)
        .box_size(&own)
        .expect("the embedded font measures any text");
    f64::from(width) / 10.0 + foreign.sum::<f64>() * size
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast as WCAG 2.2 defines it ("contrast ratio").
    fn contrast(a: Colour, b: Colour) -> f64 {
        let luminance = |Colour(red, green, blue): Colour| {
            let linear = |channel: u8| {
                let share = f64::from(channel) / 255.0;
                if share <= 0.040_45 {
                    share / 12.92
                } else {
                    ((share + 0.055) / 1.055).powf(2.4)
                }
            };
            0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_in_every_theme() {
        for (name, theme) in Theme::ALL {
            let paper = theme.shade(PAPER);
            for colour in [INK, MUTED, ALARM] {
                let contrast = contrast(theme.shade(colour), paper);
                // WCAG 2.2, success criterion 1.4.3.
                assert!(contrast >= 4.5, "{name} {colour:?}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn the_font_has_latin_and_greek_and_of_other_letters_the_width_is_known() {
        let lacked = |text: &str| text.chars().filter(|letter| lacks(*letter)).count();
        assert_eq!(lacked("São Paulo → Łódź, 40 µs · Ω ≥ 1 “…” – ×"), 0);
        assert_eq!((lacked("東京"), lacked("Москва"), lacked("🌍")), (2, 6, 1));
        assert!(text_width("東京", 10.0) >= 20.0);
        assert!(text_width("Москва", 10.0) >= 40.0);
        let sum = text_width("Tokyo ", 10.0) + text_width("東京", 10.0);
        assert!((text_width("Tokyo 東京", 10.0) - sum).abs() < 1.0);
    }

    #[test]
    fn lines_of_series_differ_in_every_theme() {
        for (name, theme) in Theme::ALL {
            let lines: Vec<Stroke> = (0..STROKES).map(|i| theme.line(stroke(i))).collect();
            for (index, line) in lines.iter().enumerate() {
                let first = lines.iter().position(|other| other == line);
                assert_eq!(first, Some(index), "{name}");
            }
        }
    }

    #[test]
    fn bounds_look_like_no_series_and_like_no_other_bound_in_every_theme() {
        for (name, theme) in Theme::ALL {
            let series: Vec<Dash> = (0..STROKES).map(|i| theme.line(stroke(i)).dash).collect();
            // A lone bound has none of the others beside it.
            let all = (0..STROKES).map(bound).chain([OTHER_BOUND]);
            let bounds: Vec<Stroke> = all.map(|line| theme.line(line)).collect();
            for (index, bound) in bounds.iter().enumerate() {
                // Whatever the colour: who does not see it goes by the rhythm.
                assert!(!series.contains(&bound.dash), "{name} {bound:?}");
                let first = bounds.iter().position(|other| other == bound);
                assert_eq!(first, Some(index), "{name}");
            }
            assert!(!series.contains(&theme.line(BOUND).dash), "{name}");
        }
        let dashes: Vec<Dash> = (0..3).map(|i| Theme::Print.line(bound(i)).dash).collect();
        assert_eq!(dashes, BOUND_DASHES);
    }

    #[test]
    fn on_paper_series_differ_in_more_than_colour() {
        let lines: Vec<Dash> = (0..3).map(|i| Theme::Print.line(stroke(i)).dash).collect();
        assert_eq!(lines, [Dash::Solid, Dash::Dashed, Dash::Dotted]);
        assert_eq!(Theme::Light.line(stroke(1)), stroke(1));
    }
}
