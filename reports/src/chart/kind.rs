//! One chart, in the size and the colours that a paper or a slide wants.

use std::path::{Path, PathBuf};

use crate::canvas::{Canvas, Paint};
use crate::chart::figure::{Figure, Room, TooSmall, WIDTH};
use crate::chart::{bandwidth, boxes, caveat, delay, flows, measures, speedup, sweep, traffic};
use crate::described;
use crate::file;
use crate::folder::{FolderError, ResultFolder, io_error};
use crate::map;
use crate::theme::{BODY, Theme};

/// What a chart shows. A kind is named as its file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bus bandwidth against size; of one size, by stack.
    Busbw,
    /// Cumulative distributions of iteration times.
    IterationTimeCdf,
    /// Box plots of iteration times.
    IterationTimeBox,
    /// What external programs measured or a replay's steps took, over time.
    Measures,
    /// Box plots of the same.
    MeasuresBox,
    /// Bus bandwidth, what programs measured, and delay against a setting.
    AgainstSetting,
    /// Bus bandwidth over that of a baseline stack, by distance.
    Speedup,
    /// What the links carried over time.
    Throughput,
    /// What stood in the bottleneck queues over time.
    Queue,
    /// One-way delay over time.
    Delay,
    /// Interarrival jitter over time.
    Jitter,
    /// Cumulative distributions of one-way delay.
    DelayCdf,
    /// Cumulative distributions of the changes of one-way delay.
    JitterCdf,
    /// Window, rate and round-trip time of each connection over time.
    Flows,
    /// The links on a map.
    Map,
}

impl Kind {
    /// All, in reading order.
    pub const ALL: [Self; 15] = [
        Self::Busbw,
        Self::IterationTimeCdf,
        Self::IterationTimeBox,
        Self::Measures,
        Self::MeasuresBox,
        Self::AgainstSetting,
        Self::Speedup,
        Self::Throughput,
        Self::Queue,
        Self::Delay,
        Self::Jitter,
        Self::DelayCdf,
        Self::JitterCdf,
        Self::Flows,
        Self::Map,
    ];

    /// Its name, and that of its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Busbw => "busbw-vs-size",
            Self::IterationTimeCdf => "iteration-time-cdf",
            Self::IterationTimeBox => "iteration-time-box",
            Self::Measures => "measures-over-time",
            Self::MeasuresBox => "measures-box",
            Self::AgainstSetting => "against-setting",
            Self::Speedup => "speedup-over-distance",
            Self::Throughput => "throughput-over-time",
            Self::Queue => "queue-over-time",
            Self::Delay => "delay-over-time",
            Self::Jitter => "jitter-over-time",
            Self::DelayCdf => "delay-cdf",
            Self::JitterCdf => "jitter-cdf",
            Self::Flows => "flows-over-time",
            Self::Map => "map",
        }
    }

    /// What a result must have for it.
    fn needs(self) -> &'static str {
        match self {
            Self::Busbw | Self::IterationTimeCdf | Self::IterationTimeBox => {
                "the iterations of a collective"
            }
            Self::Measures | Self::MeasuresBox => {
                "what an external program measured or the steps of a replay took"
            }
            Self::AgainstSetting => {
                "a setting that varies, as in a sweep or in several results; --setting names it"
            }
            Self::Speedup => {
                "a collective by two stacks or more, and the probes that tell distances; --baseline names the stack to compare with"
            }
            Self::Throughput | Self::Queue => "the links' counters in telemetry.csv",
            Self::Delay | Self::Jitter | Self::DelayCdf | Self::JitterCdf => {
                "the probes in telemetry.csv"
            }
            Self::Flows => "connections between sites in telemetry.csv",
            Self::Map => "a topology",
        }
    }

    /// Those that a result has something for.
    fn drawable(folder: &ResultFolder) -> Vec<&'static str> {
        let look = Look::default();
        let is_there = |kind: &&Self| match kind {
            Self::Map => Picture::draw(Self::Map, folder, &look).is_ok(),
            Self::AgainstSetting => sweep::any_varies(&folder.result),
            _ => matches!(kind.figure(folder, WIDTH, &look), Ok(Some(_))),
        };
        let there = Self::ALL.iter().filter(is_there);
        there.map(|kind| kind.name()).collect()
    }

    fn figure(
        self,
        folder: &ResultFolder,
        width: f64,
        look: &Look,
    ) -> Result<Option<Figure>, ChartError> {
        let baseline = look.baseline.as_deref();
        let figure = match self {
            Self::Busbw if bandwidth::sizes(&folder.result) == 1 => sweep::by_stack(folder),
            Self::Busbw => bandwidth::busbw_vs_size(folder),
            Self::IterationTimeCdf => bandwidth::iteration_time_cdf(folder),
            Self::IterationTimeBox => boxes::iteration_time_box(folder),
            Self::Measures => measures::measures_over_time(folder),
            Self::MeasuresBox => measures::measures_box(folder),
            Self::AgainstSetting => sweep::against_setting(folder, look.setting.as_deref())?,
            Self::Speedup => speedup::speedup_over_distance(folder, baseline),
            Self::Throughput => traffic::throughput_over_time(folder, width),
            Self::Queue => traffic::queue_over_time(folder, width),
            Self::Delay => delay::delay_over_time(folder, width),
            Self::Jitter => delay::jitter_over_time(folder, width),
            Self::DelayCdf => delay::delay_cdf(folder),
            Self::JitterCdf => delay::jitter_cdf(folder),
            Self::Flows => flows::flows_over_time(folder, width),
            Self::Map => None,
        };
        Ok(figure.map(|figure| Figure {
            warning: caveat(&folder.result),
            ..figure
        }))
    }
}

/// What kind of file a chart becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines and letters: sharp at any size.
    #[default]
    Svg,
    /// Pixels.
    Png,
}

impl Format {
    /// All of them, with their names, which are the files' endings.
    pub const ALL: [(&'static str, Self); 2] = [("svg", Self::Svg), ("png", Self::Png)];

    /// The ending of a file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
        }
    }
}

/// How a chart is drawn.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Its colours.
    pub theme: Theme,
    /// Width and height in pixels [default: 1000 wide, as high as it needs; of a PNG twice that].
    pub size: Option<(u32, u32)>,
    /// The height of ordinary text in pixels; lines and marks grow with it [default: 15].
    pub font_size: Option<f64>,
    /// In place of the chart's own title.
    pub title: Option<String>,
    /// The stack that others are held against, where a chart does that [default: the first].
    pub baseline: Option<String>,
    /// The setting that a chart is drawn against, where it is [default: the only one that varies].
    pub setting: Option<String>,
}

/// Why there is no chart.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The result lacks what it shows.
    #[error("there is nothing to draw as {kind}: it takes {needs}; of this result there {}", listed(.drawable))]
    Nothing {
        /// The chart's name.
        kind: &'static str,
        /// What is missing.
        needs: &'static str,
        /// The charts that can be drawn.
        drawable: Vec<&'static str>,
    },
    /// Nothing could be seen on it.
    #[error(
        "{kind} has no room on {} × {} pixels: with this text it takes {} × {} at least; a smaller font size takes less",
        asked.0, asked.1, least.0, least.1
    )]
    TooSmall {
        /// The chart's name.
        kind: &'static str,
        /// What was asked for.
        asked: (u32, u32),
        /// What it takes.
        least: (u32, u32),
    },
    /// There is no such stack.
    #[error("no stack is called {baseline}: there are {stacks}")]
    NoSuchStack {
        /// What was asked for.
        baseline: String,
        /// What there is.
        stacks: String,
    },
    /// There is no such setting.
    #[error("no setting that was swept over is called {setting}: {listed}")]
    NoSuchSetting {
        /// What was asked for.
        setting: String,
        /// What there is.
        listed: String,
    },
    /// A setting has one value.
    #[error("{setting} is {value} in every point: {listed}")]
    Unvaried {
        /// What was asked for.
        setting: String,
        /// Its value.
        value: String,
        /// What there is.
        listed: String,
    },
    /// It is not said which setting.
    #[error("more than one setting varies: name one with --setting; {listed}")]
    SeveralSettings {
        /// What there is.
        listed: String,
    },
    /// The result's topology cannot be drawn.
    #[error("the topology of this result cannot be drawn: {0}")]
    Topology(String),
    /// The file system said no.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// A chart that is drawn, with the numbers behind it.
#[derive(Clone, Debug)]
pub struct Picture {
    canvas: Canvas,
    look: Look,
    /// Pixels of a file for one of the canvas.
    scale: f64,
    numbers: String,
}

impl Picture {
    /// Draws a chart.
    ///
    /// # Errors
    /// If the result has nothing to show, or the size is too small to show it.
    pub fn draw(kind: Kind, folder: &ResultFolder, look: &Look) -> Result<Self, ChartError> {
        if let Some(baseline) = &look.baseline {
            let mut points = folder.result.points.iter();
            if points.all(|point| point.stack != *baseline) {
                return Err(no_such_stack(folder, baseline));
            }
        }
        // Text of another size is a canvas of another size, seen from nearer or farther: lines and marks keep in proportion.
        let scale = look.font_size.map_or(1.0, |size| size / BODY);
        let room = Room {
            width: look.size.map_or(WIDTH, |size| f64::from(size.0)) / scale,
            height: look.size.map(|size| f64::from(size.1) / scale),
        };
        let picture = |canvas, numbers| Self {
            canvas,
            look: look.clone(),
            scale,
            numbers,
        };
        let too_small = |width: f64, height: f64| {
            let whole = |size: f64| (size * scale).ceil() as u32;
            let asked = look.size.unwrap_or((whole(room.width), whole(height)));
            ChartError::TooSmall {
                kind: kind.name(),
                asked,
                least: (asked.0.max(whole(width)), asked.1.max(whole(height))),
            }
        };
        if kind == Kind::Map {
            let mut topology = described::topology(&folder.result).map_err(ChartError::Topology)?;
            let numbers = described::links_csv(&topology, &folder.result);
            if let Some(title) = &look.title {
                topology.name.clone_from(title);
            }
            let map = map::picture(&topology, room.width.max(map::LEAST_WIDTH), &[]);
            return match room.height {
                _ if room.width < map.width => Err(too_small(map.width, map.height)),
                Some(height) if height < map.height => Err(too_small(map.width, map.height)),
                Some(height) => Ok(picture(map.centred(height), numbers)),
                None => Ok(picture(map, numbers)),
            };
        }
        let figure = kind.figure(folder, room.width, look)?;
        let mut figure = figure.ok_or_else(|| ChartError::Nothing {
            kind: kind.name(),
            needs: kind.needs(),
            drawable: Kind::drawable(folder),
        })?;
        if let Some(title) = &look.title {
            figure.title.clone_from(title);
        }
        let canvas = figure.draw_in(room);
        let canvas = canvas.map_err(|TooSmall { width, height }| too_small(width, height))?;
        Ok(picture(canvas, figure.to_csv()))
    }

    /// Writes it, and its numbers beside it with the ending `.csv`; both files. Beside a pipe, or `/dev/stdout`, there is no place.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, file: &Path, format: Format) -> Result<Vec<PathBuf>, FolderError> {
        let paint = |dense: Paint| Paint {
            theme: self.look.theme,
            scale: match self.look.size {
                // A size is the file's own.
                Some(_) => self.scale,
                None => self.scale * dense.scale,
            },
        };
        match format {
            Format::Svg => self.canvas.write_svg(file, paint(Paint::SVG))?,
            Format::Png => self.canvas.write_png(file, paint(Paint::PNG))?,
        }
        let mut written = vec![file.to_owned()];
        if !file::is_stream(file) {
            let numbers = file.with_extension("csv");
            file::replace(&numbers, self.numbers.as_bytes())
                .map_err(io_error("write", &numbers))?;
            written.push(numbers);
        }
        Ok(written)
    }
}

/// The charts that there are, after "there".
fn listed(drawable: &[&'static str]) -> String {
    match drawable {
        [] => "is no chart".to_owned(),
        [only] => format!("is {only}"),
        several => format!("are {}", several.join(", ")),
    }
}

fn no_such_stack(folder: &ResultFolder, baseline: &str) -> ChartError {
    let mut stacks: Vec<&str> = Vec::new();
    for point in &folder.result.points {
        if !stacks.contains(&point.stack.as_str()) {
            stacks.push(&point.stack);
        }
    }
    ChartError::NoSuchStack {
        baseline: baseline.to_owned(),
        stacks: stacks.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::example::{self, Shape};

    fn folder() -> ResultFolder {
        let (result, telemetry) = example::run(&Shape::default());
        ResultFolder { result, telemetry }
    }

    #[test]
    fn a_chart_has_the_size_that_was_asked_for_and_its_numbers_beside_it() {
        let out = tempfile::tempdir().unwrap();
        let look = Look {
            theme: Theme::Dark,
            size: Some((700, 500)),
            font_size: Some(12.0),
            title: Some("Mine".to_owned()),
            ..Look::default()
        };
        let picture = Picture::draw(Kind::Busbw, &folder(), &look).unwrap();
        let file = out.path().join("chart.png");
        let written = picture.write(&file, Format::Png).unwrap();
        let [png, numbers] = &written[..] else {
            panic!("{written:?}");
        };
        assert_eq!(image::open(png).unwrap().to_rgb8().dimensions(), (700, 500));
        let paper = image::open(png).unwrap().to_rgb8().get_pixel(0, 0).0;
        assert_eq!(paper, [0x17, 0x19, 0x1c]);
        let file = out.path().join("chart.svg");
        picture.write(&file, Format::Svg).unwrap();
        let svg = fs::read_to_string(file).unwrap();
        assert!(svg.contains(r#"width="700" height="500""#) && svg.contains("Mine"));
        let numbers = fs::read_to_string(numbers).unwrap();
        let row = &folder().result.points[0].summaries[0];
        let line = format!("cubic,line,{},{}", row.size_bytes, row.busbw_gbps * 8e3);
        assert!(numbers.contains(&line), "{line}\n{numbers}");
    }

    /// Data that are not what a chart is made for.
    fn degenerate() -> Vec<(&'static str, ResultFolder)> {
        let changed = |change: &dyn Fn(&mut ResultFolder)| {
            let (result, telemetry) = example::run(&Shape {
                sweep: ("links.0.queue", &["1bdp", "4bdp"]),
                changes: 2,
                seconds: 2.0,
                ..Shape::default()
            });
            let (programs, _) = example::programs();
            let mut folder = ResultFolder { result, telemetry };
            let measures = &programs.points[0].measures;
            for point in &mut folder.result.points {
                point.measures.clone_from(measures);
            }
            change(&mut folder);
            folder
        };
        let all = |to: f64| {
            changed(&move |folder| {
                folder.telemetry.iter_mut().for_each(|row| row.value = to);
                for point in &mut folder.result.points {
                    point.samples.iter_mut().for_each(|one| one.time_us = to);
                    for row in &mut point.summaries {
                        row.busbw_gbps = to;
                    }
                    let values = point.measures.iter_mut().flat_map(|one| &mut one.values);
                    values.for_each(|value| value.value = to);
                    for measure in &mut point.measures {
                        measure.summary.mean = to;
                    }
                    for time in point.bound.iter_mut().flat_map(|bound| &mut bound.times) {
                        time.time_us = to;
                    }
                }
            })
        };
        vec![
            ("zeros", all(0.0)),
            ("ones", all(1.0)),
            ("negative", all(-5.0)),
            ("huge", all(1e300)),
            ("infinite", all(f64::INFINITY)),
            ("no numbers", all(f64::NAN)),
            (
                "one of each",
                changed(&|folder| {
                    folder.result.points.truncate(1);
                    folder.result.points[0].samples.truncate(2);
                    folder.result.points[0].summaries.truncate(1);
                    let mut seen = Vec::new();
                    folder.telemetry.retain(|row| {
                        let of = (row.name.clone(), row.metric.clone());
                        let is_new = !seen.contains(&of);
                        seen.push(of);
                        is_new
                    });
                }),
            ),
            (
                "a moment",
                changed(&|folder| {
                    folder.telemetry.iter_mut().for_each(|row| row.time_s = 3.0);
                    for point in &mut folder.result.points {
                        (point.began_s, point.ended_s) = (3.0, 3.0);
                    }
                }),
            ),
            (
                "nothing",
                changed(&|folder| {
                    folder.telemetry.clear();
                    for point in &mut folder.result.points {
                        (point.samples, point.summaries) = (Vec::new(), Vec::new());
                        point.measures.clear();
                    }
                }),
            ),
        ]
    }

    /// `LONGHAUL_KEEP_CHARTS=DIR` draws all of them there, to be looked at.
    #[test]
    fn whatever_the_data_every_chart_is_drawn_readably_or_refused() {
        let keep = std::env::var_os("LONGHAUL_KEEP_CHARTS").map(PathBuf::from);
        for (name, folder) in degenerate() {
            for kind in Kind::ALL {
                let drawn = Picture::draw(kind, &folder, &Look::default());
                let picture = match drawn {
                    Ok(picture) => picture,
                    Err(ChartError::Nothing { .. }) => continue,
                    Err(error) => panic!("{name}/{}: {error}", kind.name()),
                };
                let told = format!("{name}/{}", kind.name());
                picture.canvas.assert_texts_apart(&told);
                let svg = picture.canvas.to_inline_svg("");
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{told}");
                if let Some(out) = &keep {
                    let file = out.join(format!("{name}-{}.png", kind.name()));
                    picture.write(&file, Format::Png).unwrap();
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_drawn_says_what_it_takes() {
        let error = |kind, look: &Look| {
            let (result, _) = example::run(&Shape::default());
            let telemetry = Vec::new();
            let drawn = Picture::draw(kind, &ResultFolder { result, telemetry }, look);
            drawn.unwrap_err().to_string()
        };
        assert_eq!(
            error(Kind::Delay, &Look::default()),
            "there is nothing to draw as delay-over-time: it takes the probes in telemetry.csv; of this result there are busbw-vs-size, \
             iteration-time-cdf, iteration-time-box, speedup-over-distance, map"
        );
        let tiny = Look {
            size: Some((300, 100)),
            ..Look::default()
        };
        assert!(error(Kind::Busbw, &tiny).contains("no room on 300 × 100 pixels"));
        let unknown = Look {
            baseline: Some("reno".to_owned()),
            ..Look::default()
        };
        assert_eq!(
            error(Kind::Speedup, &unknown),
            "no stack is called reno: there are cubic, bbr"
        );
    }

    #[test]
    fn a_map_has_the_size_that_was_asked_for() {
        let mut folder = folder();
        folder.result.experiment = serde_json::json!({ "topology": "three-continents" });
        let map = |size| {
            let look = Look {
                size: Some(size),
                ..Look::default()
            };
            Picture::draw(Kind::Map, &folder, &look)
        };
        let canvas = map((800, 700)).unwrap().canvas;
        assert_eq!((canvas.width, canvas.height), (800.0, 700.0));
        canvas.assert_texts_apart("map");
        for size in [(800, 100), (10, 700)] {
            assert!(matches!(map(size), Err(ChartError::TooSmall { .. })));
        }
    }

    #[test]
    fn a_least_size_is_one_that_is_enough() {
        let mut folder = folder();
        folder.result.experiment = serde_json::json!({ "topology": "three-continents" });
        let enough = |kind: Kind, asked: (u32, u32)| {
            let mut look = Look {
                size: Some(asked),
                ..Look::default()
            };
            for _ in 0..3 {
                match Picture::draw(kind, &folder, &look) {
                    Err(ChartError::TooSmall { least, .. }) => look.size = Some(least),
                    Err(ChartError::Nothing { .. }) => return false,
                    drawn => return drawn.is_ok(),
                }
            }
            panic!("{kind:?} on {look:?} is still too small");
        };
        for asked in [(1, 1), (200, 100), (30, 2000), (2000, 30)] {
            let drawn = Kind::ALL.iter().filter(|kind| enough(**kind, asked));
            assert!(drawn.count() > 8, "{asked:?}");
        }
    }
}
