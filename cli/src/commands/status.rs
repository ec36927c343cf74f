//! `status`: the labs and runs of this user, and how far they are.

use longhaul_emulator::keeper::{
    self, KeeperError, LabDetail, LabStatus, Life, Place, Purpose, RunStatus, VirtualStatus,
};
use serde::Serialize;

use crate::args::StatusArgs;
use crate::commands::lab::lab_name;
use crate::commands::virtual_lab;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::{Output, count};

/// A lab or run.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    lab: LabStatus,
    /// How far a run is that lives, once it has told.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Course>,
}

/// How far a run is.
#[derive(Debug, PartialEq, Serialize)]
struct Course {
    /// The point that is under way, from 1; 0 before the first.
    point: usize,
    points: usize,
    /// Iterations of this point, warm-up included; 0 of programs.
    iterations: u64,
    /// Those of this point that are done.
    done: u64,
}

/// Shows all labs, or one in detail.
pub fn run(args: &StatusArgs, output: Output) -> Result<Exit, Failure> {
    let labs = keeper::status()?;
    let Some(name) = &args.name else {
        let labs: Vec<Shown> = labs.into_iter().map(Shown::of).collect();
        output.either(&labs, || overview(&labs, output.width()));
        return Ok(Exit::Fine);
    };
    let name = lab_name(name)?;
    let Some(mut lab) = labs.into_iter().find(|lab| lab.name == name) else {
        return Err(KeeperError::NoSuchLab { name }.into());
    };
    if lab.virtual_lab.is_some() {
        lab.detail = Some(virtual_lab::detail(&name, output)?);
    }
    let shown = Shown::of(lab);
    output.either(&shown, || {
        let overview = overview(std::slice::from_ref(&shown), output.width());
        match &shown.lab.detail {
            Some(detail) => format!("{overview}\n\n{}", describe(detail, output.width())),
            None => overview,
        }
    });
    Ok(Exit::Fine)
}

impl Shown {
    fn of(mut lab: LabStatus) -> Self {
        let record = lab.record.as_ref().filter(|_| lab.life == Life::Up);
        let run = record.filter(|record| record.purpose == Purpose::Run);
        // A run that has not told yet, or has just ended, is none the worse for it.
        let told = run.and_then(|record| Some((record.lab, keeper::reading(&lab.name).ok()?)));
        let mut course = None;
        if let Some((place, reading)) = told {
            course = reading.run.as_ref().map(Course::of);
            if place == Place::Virtual {
                lab.virtual_lab = Some(VirtualStatus {
                    virtual_seconds: reading.at_s,
                    sessions: 1,
                });
            }
        }
        Self { lab, run: course }
    }

    /// In words.
    fn state(&self) -> String {
        let lab = &self.lab;
        match (lab.life, &lab.trouble) {
            (Life::Up, Some(trouble)) => format!("up, but {trouble}"),
            (Life::Dead, None) => "killed: `longhaul clean` removes what is left".to_owned(),
            (Life::Dead, Some(reason)) => {
                format!("dead: {reason}; `longhaul clean` removes what is left")
            }
            (Life::Up, None) => match (lab.virtual_lab, &self.run) {
                (None, None) => "up".to_owned(),
                (None, Some(run)) => format!("up; {}", run.text()),
                (Some(lab), None) => time_inside(lab),
                (Some(lab), Some(run)) => format!("{}; {}", passed(lab), run.text()),
            },
        }
    }
}

impl Course {
    fn of(run: &RunStatus) -> Self {
        Self {
            point: run.point,
            points: run.points,
            iterations: run.iterations,
            done: run.done,
        }
    }

    fn text(&self) -> String {
        let Self {
            point,
            points,
            iterations,
            done,
        } = self;
        match (point, iterations) {
            (0, _) => format!("none of {} begun", count(*points, "point")),
            (_, 0) => format!("point {point} of {points}"),
            _ => format!("point {point} of {points}, {done} of {iterations} iterations"),
        }
    }
}

fn overview(labs: &[Shown], width: usize) -> String {
    if labs.is_empty() {
        return "no lab is up: start one with `longhaul up TOPOLOGY`".to_owned();
    }
    let mut table = Listing::new(&["lab", "kind", "topology", "links", "pid", "since", "state"]);
    for shown in labs {
        let lab = &shown.lab;
        let record = lab.record.as_ref();
        let engine = lab.detail.as_ref().map(|detail| detail.engine.to_string());
        // A virtual lab would have to be entered to tell: what was asked for stands here.
        let asked = || serde_json::to_value(lab.virtual_lab.and(record)?.engine).ok();
        let engine = engine.or_else(|| Some(asked()?.as_str()?.to_owned()));
        table.row([
            lab.name.to_string(),
            record
                .map(|record| record.lab.to_string())
                .unwrap_or_default(),
            record
                .map(|record| record.subject.clone())
                .unwrap_or_default(),
            engine.unwrap_or_default(),
            record
                .map(|record| record.pid.to_string())
                .unwrap_or_default(),
            record
                .map(|record| since(record.started))
                .unwrap_or_default(),
            shown.state(),
        ]);
    }
    table.render(4..5, width)
}

/// How far a virtual lab's clock is.
fn time_inside(lab: VirtualStatus) -> String {
    match lab.sessions {
        0 => format!("{}; its time stands still", passed(lab)),
        sessions => format!("{}; in it: {}", passed(lab), count(sessions, "command")),
    }
}

fn passed(lab: VirtualStatus) -> String {
    format!("up for {:.3} virtual seconds", lab.virtual_seconds)
}

/// Seconds since 1970 in the user's time zone.
fn since(started: u64) -> String {
    let started = i64::try_from(started)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    started.map_or_else(String::new, |started| {
        started
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%F %T")
            .to_string()
    })
}

/// The hosts and channels of a lab that is up.
fn describe(detail: &LabDetail, width: usize) -> String {
    let mut nodes = Listing::new(&["host", "site", "IPv4", "IPv6"]);
    for node in &detail.nodes {
        nodes.row([
            node.name.clone(),
            node.site.clone(),
            node.ipv4.to_string(),
            node.ipv6
                .map_or_else(|| "none".to_owned(), |address| address.to_string()),
        ]);
    }
    let mut channels = Listing::new(&[
        "channel",
        "state",
        "rate",
        "one way",
        "queue",
        "packets",
        "bytes",
        "queue drops",
        "lost",
        "queued",
    ]);
    for channel in &detail.channels {
        let counters = &channel.counters;
        channels.row([
            format!("{} > {} lane {}", channel.from, channel.to, channel.lane),
            match channel.differs {
                None => channel.state.to_string(),
                // `link show` says what.
                Some(_) => format!("{}, changed", channel.state),
            },
            channel
                .rate
                .map_or_else(|| "unlimited".to_owned(), |rate| rate.to_string()),
            channel.delay.to_string(),
            channel.queue.to_string(),
            counters.packets.to_string(),
            counters.bytes.to_string(),
            counters.queue_drops.to_string(),
            counters
                .losses
                .map_or_else(|| "?".to_owned(), |losses| losses.to_string()),
            counters.queue_bytes.to_string(),
        ]);
    }
    let mut text = format!(
        "{}\n\n{}",
        nodes.render(0..0, width),
        channels.render(5..10, width)
    );
    if let Some(reason) = &detail.schedule_failed {
        text.push_str(&format!("\n\nthe schedule has ended early: {reason}"));
    }
    text
}
