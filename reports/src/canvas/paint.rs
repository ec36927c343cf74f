//! A canvas written as SVG and as PNG from the same drawing code.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::codecs::png::PngEncoder;
use image::{ColorType, ImageEncoder};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, ShapeStyle};

use crate::canvas::lines::{dashes, segments};
use crate::canvas::{Across, Canvas, Direction, Place, Shape};
use crate::file;
use crate::folder::{FolderError, io_error};
use crate::theme::{self, PAPER, Theme};

/// Backends place shapes on whole pixels; an SVG is drawn this much larger and scaled down by its view box.
const SVG_SCALE: f64 = 8.0;

/// PNGs of no stated size have this many pixels per pixel of the canvas, for dense screens and print.
const PNG_SCALE: f64 = 2.0;

/// So many pixels at least are drawn, along each side, for one of the canvas, and those of the PNG are their means: the backend does not
/// smooth thick lines, and rounds them to whole pixels.
const LEAST_DRAWN: f64 = 4.0;

/// For one pixel of a PNG no more than this are drawn along each side: small text makes a canvas large, and memory grows with the square.
const MOST_DRAWN: f64 = 4.0;

/// The bitmap backend sets text this share of its size higher than the SVG backend does.
const BITMAP_TEXT_SHIFT: f64 = 0.12;

/// How a canvas becomes a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Paint {
    pub theme: Theme,
    /// Pixels of the file for one of the canvas.
    pub scale: f64,
}

impl Paint {
    /// An SVG as large as the canvas.
    pub const SVG: Self = Self {
        theme: Theme::Light,
        scale: 1.0,
    };
    /// A PNG for dense screens.
    pub const PNG: Self = Self {
        theme: Theme::Light,
        scale: PNG_SCALE,
    };
}

/// What is painted on, as far as the backends differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Svg,
    Bitmap,
}

impl Canvas {
    /// The picture as SVG, its font inside.
    pub fn to_svg(&self, paint: Paint) -> String {
        let size = (
            (self.width * SVG_SCALE).round() as u32,
            (self.height * SVG_SCALE).round() as u32,
        );
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            self.paint(&area, SVG_SCALE, Target::Svg, paint.theme)
                .expect("writing into a string does not fail");
        }
        // The backend's first tag gives the size as drawn: the view box keeps that, the picture gets its own.
        let drawn = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
        let shown = format!(
            "width=\"{}\" height=\"{}\"",
            whole(self.width * paint.scale),
            whole(self.height * paint.scale)
        );
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
    pub fn write_svg(&self, path: &Path, paint: Paint) -> Result<(), FolderError> {
        file::replace(path, self.to_svg(paint).as_bytes()).map_err(io_error("write", path))
    }

    /// Writes the picture as PNG; refused where its font lacks a letter.
    pub fn write_png(&self, path: &Path, paint: Paint) -> Result<(), FolderError> {
        let lacking = self.lacking();
        if !lacking.is_empty() {
            return Err(FolderError::NoLetters {
                path: path.to_owned(),
                letters: lacking.into_iter().collect(),
            });
        }
        file::replace(path, &self.to_png(paint)).map_err(io_error("write", path))
    }

    /// Letters of its texts that the font lacks, each once.
    fn lacking(&self) -> BTreeSet<char> {
        let texts = self.shapes.iter().filter_map(|shape| match shape {
            Shape::Label { label, .. } => Some(&label.text),
            Shape::Line { .. } | Shape::Area { .. } | Shape::Dot { .. } => None,
        });
        let letters = texts.flat_map(|text| text.chars());
        letters.filter(|letter| theme::lacks(*letter)).collect()
    }

    /// The picture as PNG.
    fn to_png(&self, paint: Paint) -> Vec<u8> {
        let size = (
            whole(self.width * paint.scale) as u32,
            whole(self.height * paint.scale) as u32,
        );
        let oversampling = oversampling(paint.scale);
        let (width, height) = (size.0 * oversampling, size.1 * oversampling);
        let mut drawn = vec![0; width as usize * height as usize * 3];
        {
            let area = BitMapBackend::with_buffer(&mut drawn, (width, height)).into_drawing_area();
            let scale = paint.scale * f64::from(oversampling);
            self.paint(&area, scale, Target::Bitmap, paint.theme)
                .expect("drawing into memory does not fail");
        }
        let (smooth, size) = shrink(&drawn, (width, height), oversampling);
        let mut png = Vec::new();
        PngEncoder::new(&mut png)
            .write_image(&smooth, size.0, size.1, ColorType::Rgb8)
            .expect("memory takes all");
        png
    }

    fn paint<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        scale: f64,
        target: Target,
        theme: Theme,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let place = |(x, y): Place| ((x * scale).round() as i32, (y * scale).round() as i32);
        area.fill(&theme.shade(PAPER))?;
        for shape in &self.shapes {
            match shape {
                Shape::Line { points, stroke, .. } => {
                    let stroke = theme.line(*stroke);
                    let style = ShapeStyle {
                        color: stroke.colour.to_rgba(),
                        filled: false,
                        stroke_width: (stroke.width * scale).round() as u32,
                    };
                    for piece in dashes(points, stroke) {
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
                Shape::Area {
                    points,
                    colour,
                    opacity,
                    ..
                } => {
                    area.draw(&Polygon::new(
                        points.iter().copied().map(place).collect::<Vec<_>>(),
                        theme.shade(*colour).mix(*opacity).filled(),
                    ))?;
                }
                Shape::Dot { at, radius, colour } => {
                    area.draw(&Circle::new(
                        place(*at),
                        radius * scale,
                        theme.shade(*colour).filled(),
                    ))?;
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
                        .color(&theme.shade(label.colour))
                        .pos(Pos::new(across, VPos::Center));
                    area.draw(&Text::new(label.text.as_str(), place(at), style))?;
                }
            }
        }
        area.present()
    }
}

/// How many pixels are drawn along each side for one of a PNG at that scale.
fn oversampling(scale: f64) -> u32 {
    (LEAST_DRAWN / scale).ceil().min(MOST_DRAWN) as u32
}

/// A size in whole pixels: what scaling leaves of a fraction is none of the picture's.
fn whole(size: f64) -> f64 {
    (size - 1e-6).ceil()
}

/// Means of `by` by `by` pixels of three bytes; `by` divides both sides.
fn shrink(pixels: &[u8], (width, height): (u32, u32), by: u32) -> (Vec<u8>, (u32, u32)) {
    let size = (width / by, height / by);
    let (across, group) = (size.0 as usize * 3, by as usize * 3);
    let mut sums = vec![0; across * size.1 as usize];
    for (y, line) in pixels.chunks_exact(width as usize * 3).enumerate() {
        let sums = &mut sums[y / by as usize * across..];
        for (at, value) in line.iter().enumerate() {
            sums[at / group * 3 + at % 3] += u32::from(*value);
        }
    }
    let means = sums.into_iter().map(|sum| (sum / (by * by)) as u8);
    (means.collect(), size)
}

/// Fails unless `file` is an SVG of `canvas` with all its texts and the font.
#[cfg(test)]
pub(crate) fn assert_svg(file: &Path, canvas: &Canvas) {
    let text = std::fs::read_to_string(file).unwrap();
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
    let scale = PNG_SCALE;
    assert_eq!(
        image.dimensions(),
        (
            (canvas.width * scale) as u32,
            (canvas.height * scale) as u32
        )
    );
    // Of every fourth row, as that takes time.
    let pixels = || image.rows().step_by(4).flatten();
    let painted = pixels().filter(|pixel| pixel.0 != [255; 3]).count();
    assert!(
        painted as f64 > 0.002 * pixels().count() as f64,
        "{} is blank",
        file.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::INK;

    #[test]
    fn a_picture_that_cannot_be_written_names_its_file_and_why() {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("chart.png");
        std::fs::create_dir(&folder).unwrap();
        let mut canvas = Canvas::new(20.0, 20.0);
        canvas.dot((10.0, 10.0), 4.0, INK);
        for (path, why) in [
            (
                out.path().join("none/chart.png"),
                "No such file or directory",
            ),
            (folder, "Is a directory"),
        ] {
            for error in [
                canvas.write_png(&path, Paint::PNG).unwrap_err(),
                canvas.write_svg(&path, Paint::SVG).unwrap_err(),
            ] {
                let told = format!("cannot write {}: {why}", path.display());
                assert!(error.to_string().starts_with(&told), "{error}");
            }
        }
        // Whatever it is called.
        let path = out.path().join("chart");
        canvas.write_png(&path, Paint::PNG).unwrap();
        let read = std::fs::read(&path).unwrap();
        assert!(image::load_from_memory(&read).is_ok());
    }

    #[test]
    fn a_png_of_letters_that_its_font_lacks_is_refused_and_an_svg_has_them() {
        let out = tempfile::tempdir().unwrap();
        let mut canvas = Canvas::new(200.0, 20.0);
        let label = |text| crate::canvas::Label::new(text, 12.0, INK, Across::Left);
        canvas.label((2.0, 10.0), label("Tōkyō 東京"));
        let [png, svg] =
            ["png", "svg"].map(|ending| out.path().join("chart").with_extension(ending));
        let error = canvas.write_png(&png, Paint::PNG).unwrap_err().to_string();
        let told = "chart.png: the font of PNGs has no 京東; draw it as .svg";
        assert!(error.contains(told), "{error}");
        assert!(!png.exists());
        canvas.write_svg(&svg, Paint::SVG).unwrap();
        assert!(std::fs::read_to_string(svg).unwrap().contains("東京"));
    }

    #[test]
    fn small_text_takes_no_more_memory_than_text_of_the_usual_size() {
        let drawn = [2.0, 1.0, 4.0 / 15.0, 0.01].map(oversampling);
        assert_eq!(drawn, [2, 4, 4, 4]);
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
