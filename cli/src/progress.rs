//! A run's events as a progress bar on a terminal, or as plain lines in a pipe; on standard error either way.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use longhaul_reports::result::{FidelityRow, Placement, Point, Sample, TimelineEntry};
use longhaul_topologies::Topology;
use longhaul_workloads::experiment::{Event, Observer, PointPlan};

use crate::output::{Output, count};

/// While there is nothing to count.
const WAITING: &str = "{spinner} {elapsed:>4} {wide_msg}";
/// While iterations are counted.
const COUNTING: &str = "{spinner} {elapsed:>4} {bar:30} {pos}/{len} {wide_msg}";

/// Shows a run.
#[derive(Debug)]
pub struct Progress {
    sink: Sink,
    checks: Checks,
    /// The size and placement whose iterations run, as last told.
    told: Option<(u64, Placement)>,
    /// Changes of links in this point so far.
    changes: usize,
}

/// So many changes of links are told in a point; a schedule may have thousands.
const MOST_CHANGES: usize = 20;

#[derive(Debug)]
enum Sink {
    /// JSON is asked for: standard output is not ours, and nobody watches.
    Silent,
    Lines,
    Bar(ProgressBar),
}

/// The link measurement so far.
#[derive(Debug, Default)]
struct Checks {
    made: usize,
    within: usize,
}

impl Progress {
    /// As `output` has it.
    pub fn new(output: Output) -> Self {
        let sink = if output.is_json() {
            Sink::Silent
        } else if output.is_terminal() {
            let bar = ProgressBar::new_spinner().with_style(style(WAITING));
            bar.enable_steady_tick(Duration::from_millis(100));
            Sink::Bar(bar)
        } else {
            Sink::Lines
        };
        Progress {
            sink,
            checks: Checks::default(),
            told: None,
            changes: 0,
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Sink::Bar(bar) = &self.sink {
            bar.finish_and_clear();
        }
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        match &self.sink {
            Sink::Silent => {}
            Sink::Lines => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
            Sink::Bar(bar) => bar.println(text),
        }
    }

    /// What is going on now, for as long as it takes.
    pub fn doing(&self, text: &str) {
        match &self.sink {
            Sink::Bar(bar) => {
                bar.set_style(style(WAITING));
                bar.set_message(text.to_owned());
            }
            Sink::Silent | Sink::Lines => self.line(text),
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
        if let Sink::Bar(bar) = &self.sink {
            bar.set_message(format!("measured {}: {}", row.channel, row.quantity));
        }
    }

    fn point_starts(&mut self, index: usize, of: usize, plan: &PointPlan, iterations: u64) {
        if self.checks.made > 0 {
            let Checks { made, within } = std::mem::take(&mut self.checks);
            self.line(&format!(
                "links measured: {within} of {made} figures as described"
            ));
        }
        self.told = None;
        self.changes = 0;
        let title = title(&plan.stack.name, &plan.settings, plan.repeat);
        self.doing(&format!("[{}/{of}] {title}", index + 1));
        if let Sink::Bar(bar) = &self.sink
            && iterations > 0
        {
            bar.set_length(iterations);
            bar.set_position(0);
            bar.set_style(style(COUNTING));
        }
    }

    fn iteration_done(&mut self, sample: &Sample) {
        if let Sink::Bar(bar) = &self.sink {
            bar.inc(1);
        }
        let now = (sample.size_bytes, sample.placement);
        if matches!(self.sink, Sink::Lines) && self.told != Some(now) {
            let size = longhaul_topologies::units::ByteSize::from_bytes(sample.size_bytes);
            let placement = match sample.placement {
                Placement::OutOfPlace => "out of place",
                Placement::InPlace => "in place",
            };
            self.line(&format!("      {size} {placement}"));
        }
        self.told = Some(now);
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

    fn point_done(&self, point: &Point) {
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
                self.line(&format!("{} to run{at_least}", count(points, "point")));
            }
            Event::LabComesUp { topology } => self.lab_comes_up(topology),
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

/// What a template says is ours, not a user's.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well-formed")
}

/// `cubic algorithm=ring repeat 2`.
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
        title.push_str(&format!(" repeat {}", repeat + 1));
    }
    title
}
