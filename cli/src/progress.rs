//! A run's events as a progress bar on a terminal, or as plain lines in a pipe; on standard error either way.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use longhaul_emulator::guest::{self, Passed};
use longhaul_reports::result::{FidelityRow, Placement, Point, Sample, TimelineEntry};
use longhaul_topologies::Topology;
use longhaul_workloads::experiment::points::WorkloadPlan;
use longhaul_workloads::experiment::{Event, Observer, PointPlan};
use serde::{Deserialize, Serialize};

use crate::output::{Output, count};

/// While there is nothing to count.
const WAITING: &str = "{spinner} {elapsed:>4} {prefix}{wide_msg}";
/// While iterations are counted; of 80 columns enough are left for what runs.
const COUNTING: &str = "{spinner} {elapsed:>4} {bar:10} {pos}/{len} {prefix}{wide_msg}";
/// How often a pipe is told how virtual time passes.
const TELLING: Duration = Duration::from_secs(10);

/// Something to show. What a run inside a virtual lab tells its host, too: a line of JSON each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// So many points are to be run.
    Points(usize),
    /// A line that stays.
    Line(String),
    /// What is going on now, for as long as it takes.
    Doing(String),
    /// What is worth a glance on a terminal, and no line in a pipe.
    Glance(String),
    /// What a pipe wants to read and a terminal's bar shows without words.
    Detail(String),
    /// A point begins, of so many iterations; none of programs.
    Point {
        /// Which it is.
        title: String,
        /// How many will be told.
        iterations: u64,
    },
    /// One of them is done.
    Iteration,
}

/// Shows a run.
#[derive(Debug)]
pub struct Progress {
    sink: Sink,
    checks: Checks,
    /// Whether iterations are steps of a trace.
    replays: bool,
    /// The size and placement whose iterations run, as last told.
    told: Option<(u64, Placement)>,
    /// Changes of links in this point so far.
    changes: usize,
    course: Course,
}

/// So many changes of links are told in a point; a schedule may have thousands.
const MOST_CHANGES: usize = 20;

#[derive(Debug)]
enum Sink {
    /// JSON is asked for: standard output is not ours, and nobody watches.
    Silent,
    Lines,
    Bar(ProgressBar),
    /// Inside a virtual lab: the host shows it.
    Host(File),
}

/// The link measurement so far.
#[derive(Debug, Default)]
struct Checks {
    made: usize,
    within: usize,
}

/// How much of a run is done.
#[derive(Debug, Default)]
struct Course {
    points: usize,
    /// Begun, the one that is being run included.
    begun: usize,
    iterations: u64,
    done: u64,
    /// When the first point began.
    since: Option<Instant>,
    /// When virtual time was last told to a pipe.
    told: Option<Instant>,
}

impl Course {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Points(points) => self.points = *points,
            Step::Point { iterations, .. } => {
                self.since.get_or_insert_with(Instant::now);
                self.begun += 1;
                (self.iterations, self.done) = (*iterations, 0);
            }
            Step::Iteration => self.done += 1,
            _ => {}
        }
    }

    /// How long the rest may take, if it goes on as it went so far.
    fn left(&self) -> Option<Duration> {
        let of_this = match self.iterations {
            0 => 0.0,
            all => (self.done as f64 / all as f64).min(1.0),
        };
        let done = (self.begun.checked_sub(1)? as f64 + of_this) / self.points.max(1) as f64;
        let so_far = self.since?.elapsed();
        (done > 0.0).then(|| so_far.mul_f64((1.0 - done).max(0.0) / done))
    }
}

impl Progress {
    /// As `output` has it.
    pub fn new(output: Output) -> Self {
        let host = || {
            let path = guest::init::progress_file()?;
            OpenOptions::new().append(true).open(path).ok()
        };
        let sink = if output.is_json() {
            Sink::Silent
        } else if let Some(file) = host() {
            Sink::Host(file)
        } else if output.is_terminal() {
            Sink::Bar(spinner(WAITING))
        } else {
            Sink::Lines
        };
        Progress {
            sink,
            checks: Checks::default(),
            replays: false,
            told: None,
            changes: 0,
            course: Course::default(),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Sink::Bar(bar) = &self.sink {
            bar.finish_and_clear();
        }
    }

    /// A line that stays.
    pub fn line(&mut self, text: &str) {
        self.show(&Step::Line(text.to_owned()));
    }

    /// What is going on now, for as long as it takes.
    pub fn doing(&mut self, text: &str) {
        self.show(&Step::Doing(text.to_owned()));
    }

    /// Shows what a run inside a virtual lab told in a line.
    pub fn replay(&mut self, line: &str) {
        match serde_json::from_str(line) {
            Ok(step) => self.show(&step),
            // It is better shown than lost.
            Err(_) => self.line(line),
        }
    }

    /// Writes to the terminal without tearing the bar apart.
    pub fn aside(&self, write: impl FnOnce()) {
        match &self.sink {
            Sink::Bar(bar) => bar.suspend(write),
            _ => write(),
        }
    }

    /// Shows how virtual time passes.
    pub fn virtual_time(&mut self, passed: Passed) {
        let seconds = passed.virtual_time.as_secs_f64();
        let left = self.course.left();
        let left = |about: &str| {
            left.map_or_else(String::new, |left| {
                format!(", {about}{} s to go", left.as_secs())
            })
        };
        match &self.sink {
            Sink::Bar(bar) => bar.set_prefix(format!("[{seconds:.0} virtual s{}] ", left(""))),
            Sink::Lines => {
                let told = *self.course.told.get_or_insert_with(Instant::now);
                if told.elapsed() >= TELLING {
                    self.course.told = Some(Instant::now());
                    self.line(&format!(
                        "      {seconds:.1} virtual s, {:.1} a second{}",
                        passed.speed(),
                        left("about ")
                    ));
                }
            }
            Sink::Silent | Sink::Host(_) => {}
        }
    }

    fn show(&mut self, step: &Step) {
        self.course.take(step);
        match &mut self.sink {
            Sink::Silent => {}
            Sink::Lines => print(step),
            Sink::Bar(bar) => draw(bar, step),
            Sink::Host(file) => {
                let line = serde_json::to_string(step).expect("steps are plain");
                // A host that does not hear of it has the result in the end.
                let _ = file.write_all(format!("{line}\n").as_bytes());
            }
        }
    }

    fn lab_comes_up(&mut self, topology: &Topology) {
        let hosts: usize = topology.sites.iter().map(|site| site.hosts).sum();
        self.checks = Checks::default();
        self.doing(&format!(
            "bringing up {}: {}, {}, {}",
            topology.name,
            count(topology.sites.len(), "site"),
            count(hosts, "host"),
            count(topology.links.len(), "link")
        ));
    }

    fn link_checked(&mut self, row: &FidelityRow) {
        self.checks.made += 1;
        if row.within {
            self.checks.within += 1;
        }
        self.show(&Step::Glance(format!(
            "measured {}: {}",
            row.channel, row.quantity
        )));
    }

    fn point_starts(&mut self, index: usize, of: usize, plan: &PointPlan, iterations: u64) {
        if self.checks.made > 0 {
            let Checks { made, within } = std::mem::take(&mut self.checks);
            self.line(&format!(
                "links measured: {within} of {made} figures as described"
            ));
        }
        self.replays = matches!(plan.workload, WorkloadPlan::Replay(_));
        self.told = None;
        self.changes = 0;
        let title = title(&plan.stack.name, &plan.settings, plan.repeat);
        self.show(&Step::Point {
            title: format!("[{}/{of}] {title}", index + 1),
            iterations,
        });
    }

    fn iteration_done(&mut self, sample: &Sample) {
        let now = (sample.size_bytes, sample.placement);
        if self.told != Some(now) {
            let size = longhaul_topologies::units::ByteSize::from_bytes(sample.size_bytes);
            let detail = match sample.placement {
                _ if self.replays => format!("steps of {size}"),
                Placement::OutOfPlace => format!("{size} out of place"),
                Placement::InPlace => format!("{size} in place"),
            };
            self.show(&Step::Detail(format!("      {detail}")));
        }
        self.told = Some(now);
        self.show(&Step::Iteration);
    }

    fn link_changed(&mut self, entry: &TimelineEntry) {
        self.changes += 1;
        if self.changes <= MOST_CHANGES {
            let TimelineEntry {
                time_s,
                link,
                lane,
                change,
                ..
            } = entry;
            self.line(&format!(
                "      {time_s:.1} s: {link} lane {lane}: {change}"
            ));
        } else if self.changes == MOST_CHANGES + 1 {
            self.line("      further changes of links are in result.json");
        }
    }

    fn point_done(&mut self, point: &Point) {
        let title = title(&point.stack, &point.settings, point.repeat);
        let took = point.ended_s - point.began_s;
        let best = point
            .summaries
            .iter()
            .map(|summary| summary.busbw_gbps)
            .fold(f64::NAN, f64::max);
        let bandwidth = if best.is_nan() {
            String::new()
        } else {
            format!(", up to {:.1} Mbit/s bus bandwidth", best * 8e3)
        };
        self.line(&format!("{title}: done in {took:.1} s{bandwidth}"));
    }
}

/// In a pipe.
fn print(step: &Step) {
    let text = match step {
        Step::Line(text) | Step::Doing(text) | Step::Detail(text) => text,
        Step::Point { title, .. } => title,
        Step::Points(_) | Step::Glance(_) | Step::Iteration => return,
    };
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// On a terminal.
fn draw(bar: &ProgressBar, step: &Step) {
    match step {
        Step::Line(text) => bar.println(text),
        Step::Doing(text) => {
            bar.set_style(style(WAITING));
            bar.set_message(text.clone());
        }
        Step::Glance(text) => bar.set_message(text.clone()),
        Step::Point { title, iterations } => {
            bar.set_message(title.clone());
            if *iterations > 0 {
                bar.set_length(*iterations);
                bar.set_position(0);
                bar.set_style(style(COUNTING));
            } else {
                bar.set_style(style(WAITING));
            }
        }
        Step::Iteration => bar.inc(1),
        Step::Points(_) | Step::Detail(_) => {}
    }
}

impl Observer for Progress {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::RunStarts { points, at_least } => {
                let at_least = at_least
                    .map(|time| time.as_secs_f64())
                    .filter(|seconds| *seconds >= 1.0)
                    .map_or_else(String::new, |seconds| {
                        format!(", {seconds:.0} s at the very least")
                    });
                self.show(&Step::Points(points));
                self.line(&format!("{} to run{at_least}", count(points, "point")));
            }
            Event::LabComesUp { topology } => self.lab_comes_up(topology),
            Event::MachinesAreReached { hosts } => {
                self.doing(&format!("reaching {hosts} machines"));
            }
            Event::MachinesAnswer { hosts, took } => {
                self.line(&format!(
                    "{hosts} machines answer, after {:.2} s",
                    took.as_secs_f64()
                ));
                self.doing("measuring the ways between them");
            }
            Event::LabIsUp { engine, took } => {
                self.line(&format!(
                    "up in {:.2} s, links carried by {engine}",
                    took.as_secs_f64()
                ));
                self.doing("measuring the links against their description");
            }
            Event::LinkChecked(row) => self.link_checked(row),
            Event::PointStarts {
                index,
                of,
                plan,
                iterations,
            } => self.point_starts(index, of, plan, iterations),
            Event::IterationDone { sample, .. } => self.iteration_done(sample),
            Event::LinkChanged(entry) => self.link_changed(entry),
            Event::Note(text) => self.line(&format!("note: {text}")),
            Event::Finding { text, .. } => self.line(&format!("not faithful: {text}")),
            Event::PointDone(point) => self.point_done(point),
            _ => {}
        }
    }
}

/// A bar that turns while there is nothing to count.
pub fn spinner(template: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_style(style(template));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// What a template says is ours, not a user's.
pub fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well-formed")
}

/// `cubic algorithm=ring repeat 1`.
fn title(
    stack: &str,
    settings: &std::collections::BTreeMap<String, String>,
    repeat: usize,
) -> String {
    let mut title = stack.to_owned();
    for (key, value) in settings {
        title.push_str(&format!(" {key}={value}"));
    }
    if repeat > 0 {
        title.push_str(&format!(" repeat {repeat}"));
    }
    title
}
