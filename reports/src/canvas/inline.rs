//! A canvas as SVG inside a page: colours are the page's variables, so that they follow its theme; the font is the page's; and places
//! say what they stand for, so that the page's script can tell a reader.

use std::fmt::Write;

use crate::canvas::{Across, Canvas, Direction, Place, Plot, Scale, Shape, Trace};
use crate::theme::{self, Colour};

/// Sizes of text are from the highest to the lowest stroke of the font, as the other backends take them; a style sheet means its em
/// (plotters-svg divides by the same).
const SIZE_PER_EM: f64 = 1.24;

/// How wide a line is for a finger.
const BROAD: u32 = 16;

impl Canvas {
    /// The picture as an `svg` element; `title` is what a screen reader says.
    pub fn to_inline_svg(&self, title: &str) -> String {
        let mut svg = format!(
            r#"<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><g fill="none" stroke-linejoin="round">"#,
            number(self.width),
            number(self.height),
            escaped(title)
        );
        for shapes in self.shapes.chunk_by(alike) {
            draw(&mut svg, shapes).expect("writing into a string does not fail");
        }
        svg.push_str("</g>");
        for plot in &self.plots {
            hearing(&mut svg, plot).expect("writing into a string does not fail");
        }
        svg.push_str("</svg>");
        svg
    }
}

/// Whether two shapes, one after the other, can be one element: thousands of them would each say the same.
fn alike(a: &Shape, b: &Shape) -> bool {
    match (a, b) {
        (
            Shape::Line { stroke, trace, .. },
            Shape::Line {
                stroke: other_stroke,
                trace: other_trace,
                ..
            },
        ) => {
            let is_thing = matches!(trace, Some(Trace::Thing(_)));
            stroke == other_stroke && trace == other_trace && !is_thing
        }
        (
            Shape::Area {
                colour,
                opacity,
                tip,
                ..
            },
            Shape::Area {
                colour: other_colour,
                opacity: other_opacity,
                tip: other_tip,
                ..
            },
        ) => {
            let look = (colour, opacity) == (other_colour, other_opacity);
            look && tip.is_empty() && other_tip.is_empty()
        }
        (
            Shape::Dot { radius, colour, .. },
            Shape::Dot {
                radius: other_radius,
                colour: other_colour,
                ..
            },
        ) => (radius, colour) == (other_radius, other_colour),
        _ => false,
    }
}

/// Draws shapes that are [`alike`] as one element.
fn draw(svg: &mut String, shapes: &[Shape]) -> std::fmt::Result {
    match &shapes[0] {
        Shape::Line { stroke, trace, .. } => {
            let rhythm: Vec<String> = stroke
                .dash
                .rhythm()
                .iter()
                .map(|one| number(*one))
                .collect();
            let dash = match rhythm.is_empty() {
                true => String::new(),
                false => format!(r#" stroke-dasharray="{}""#, rhythm.join(" ")),
            };
            let (colour, width, path) =
                (paint(stroke.colour), number(stroke.width), path(shapes, ""));
            write!(
                svg,
                r#"<path stroke="{colour}" stroke-width="{width}"{dash}"#
            )?;
            match trace {
                None => write!(svg, r#" d="{path}"/>"#),
                Some(Trace::Values(plot, name)) => {
                    let name = escaped(name);
                    write!(
                        svg,
                        r#" data-plot="{plot}" data-name="{name}" d="{path}"/>"#
                    )
                }
                // A thin line is hard to point at: over it lies a broad one that cannot be seen.
                Some(Trace::Thing(tip)) => {
                    let tip = escaped(tip);
                    write!(
                        svg,
                        r#" d="{path}"/><path stroke="transparent" stroke-width="{BROAD}" pointer-events="stroke" data-tip="{tip}" d="{path}"/>"#
                    )
                }
            }
        }
        Shape::Area {
            colour,
            opacity,
            tip,
            ..
        } => {
            write!(svg, r#"<path fill="{}""#, paint(*colour))?;
            if *opacity < 1.0 {
                write!(svg, r#" fill-opacity="{}""#, number(*opacity))?;
            }
            if !tip.is_empty() {
                write!(svg, r#" data-tip="{}""#, escaped(tip))?;
            }
            write!(svg, r#" d="{}"/>"#, path(shapes, "z"))
        }
        // A line without length and with round ends.
        Shape::Dot { radius, colour, .. } => write!(
            svg,
            r#"<path stroke="{}" stroke-width="{}" stroke-linecap="round" d="{}"/>"#,
            paint(*colour),
            number(2.0 * radius),
            path(shapes, "h0")
        ),
        Shape::Label { at, label } => {
            let anchor = match label.across {
                Across::Left => "start",
                Across::Middle => "middle",
                Across::Right => "end",
            };
            let (x, y) = (number(at.0), number(at.1));
            let turn = match label.direction {
                Direction::Right => String::new(),
                Direction::Up => format!(r#" transform="rotate(-90 {x} {y})""#),
            };
            write!(
                svg,
                r#"<text x="{x}" y="{y}" dy=".35em" fill="{}" font-size="{}" text-anchor="{anchor}"{turn}>{}</text>"#,
                paint(label.colour),
                number(label.size / SIZE_PER_EM),
                escaped(&label.text)
            )
        }
    }
}

/// Over all, what takes the pointer and knows what places stand for.
fn hearing(svg: &mut String, plot: &Plot) -> std::fmt::Result {
    let scale = |scale: &Scale| {
        let kind = if scale.is_log { "log" } else { "even" };
        let names = scale.names.iter();
        let names = names.map(|(value, name)| format!("|{value}|{}", name.replace('|', "/")));
        escaped(&format!(
            "{kind}|{}|{}|{}|{}{}",
            scale.low,
            scale.high,
            scale.label.replace('|', "/"),
            scale.unit,
            names.collect::<String>()
        ))
    };
    let frame = plot.frame;
    write!(
        svg,
        r#"<rect class="plot" x="{}" y="{}" width="{}" height="{}" fill="transparent" data-x="{}" data-y="{}"/>"#,
        number(frame.left),
        number(frame.top),
        number(frame.right - frame.left),
        number(frame.bottom - frame.top),
        scale(&plot.x),
        scale(&plot.y)
    )
}

/// A hundredth of a pixel is finer than any eye, and reads values back to four digits.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".to_owned(),
        short => short.to_owned(),
    }
}

/// The outlines of shapes, one after the other, each with an end.
fn path(shapes: &[Shape], end: &str) -> String {
    let mut path = String::new();
    for shape in shapes {
        let points: &[Place] = match shape {
            Shape::Line { points, .. } | Shape::Area { points, .. } => points,
            Shape::Dot { at, .. } => std::slice::from_ref(at),
            Shape::Label { .. } => &[],
        };
        for (index, (x, y)) in points.iter().enumerate() {
            path.push(if index == 0 { 'M' } else { ' ' });
            path += &number(*x);
            path.push(',');
            path += &number(*y);
        }
        path += end;
    }
    path
}

/// A colour as the page's variable for it.
fn paint(colour: Colour) -> String {
    match theme::variable(colour) {
        Some(name) => format!("var(--{name})"),
        None => format!("rgb({} {} {})", colour.0, colour.1, colour.2),
    }
}

/// Text inside an element or a quoted attribute; control characters, most of which XML cannot hold, become replacement characters.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::{Frame, Label};
    use crate::theme::{INK, SMALL, Stroke};

    fn canvas() -> Canvas {
        let mut canvas = Canvas::new(100.0, 50.0);
        let scale = |label: &str| Scale {
            label: label.to_owned(),
            low: 0.0,
            high: 2.0,
            is_log: false,
            unit: "ms",
            names: Vec::new(),
        };
        canvas.plot(Plot {
            frame: Frame {
                left: 10.0,
                top: 5.0,
                right: 90.0,
                bottom: 45.0,
            },
            x: scale("size"),
            y: scale("\"<rate>\""),
        });
        let stroke = Stroke::dashed(theme::stroke(0).colour, 2.0);
        canvas.curve(vec![(10.0, 45.0), (90.004, 5.0)], stroke, "a<b & 'c'");
        canvas.label(
            (1.0, 2.0),
            Label::new(
                "</text><script>alert(1)</script>\u{1}",
                SMALL,
                INK,
                Across::Left,
            ),
        );
        canvas
    }

    #[test]
    fn what_looks_alike_is_one_element() {
        let mut canvas = canvas();
        let before = canvas.to_inline_svg("").matches("<path").count();
        for step in 0..1000 {
            let at = (f64::from(step), 10.0);
            canvas.curve(vec![at, (at.0, 20.0)], Stroke::solid(INK, 1.0), "runs");
        }
        for step in 0..1000 {
            canvas.dot((f64::from(step), 10.0), 2.0, INK);
        }
        let svg = canvas.to_inline_svg("");
        assert_eq!(svg.matches("<path").count(), before + 2);
        assert!(svg.contains("M998,10 998,20M999,10 999,20"));
        assert!(svg.contains("M998,10h0M999,10h0"));
    }

    #[test]
    fn an_inline_picture_is_well_formed_and_holds_texts_as_text() {
        let svg = canvas().to_inline_svg("a \"title\"");
        let document = roxmltree::Document::parse(&svg).unwrap();
        let find = |tag: &str| {
            document
                .descendants()
                .find(|node| node.has_tag_name(tag))
                .unwrap()
        };
        assert_eq!(
            document.root_element().attribute("aria-label"),
            Some("a \"title\"")
        );
        assert_eq!(
            find("text").text(),
            Some("</text><script>alert(1)</script>\u{fffd}")
        );
        let line = find("path");
        assert_eq!(line.attribute("data-name"), Some("a<b & 'c'"));
        assert_eq!(line.attribute("stroke"), Some("var(--s0)"));
        assert_eq!(line.attribute("d"), Some("M10,45 90,5"));
        assert_eq!(
            find("rect").attribute("data-y"),
            Some("even|0|2|\"<rate>\"|ms")
        );
    }
}
