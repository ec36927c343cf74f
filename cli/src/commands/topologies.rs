//! `topologies list|show|check|draw|export|schema`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use longhaul_emulator::plan::LabPlan;
use longhaul_reports::map;
use longhaul_topologies::export::left_out;
use longhaul_topologies::model::{
    Channel, DelaySource, Direction, Lane, Link, Loss, QueueLimit, Topology,
};
use longhaul_topologies::{Document, catalogue, spec, validate};
use serde_json::json;

use crate::args::{ExportArgs, TopologiesCommand};
use crate::commands::subject::Subject;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::{Output, count};

/// Runs `command`.
pub fn run(command: TopologiesCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        TopologiesCommand::List => list(output),
        TopologiesCommand::Show { topology, yaml } => show(&topology, yaml, output),
        TopologiesCommand::Check { topologies } => check(&topologies, output),
        TopologiesCommand::Draw { topology, out } => draw(&topology, out, output),
        TopologiesCommand::Export(args) => export(&args, output),
        TopologiesCommand::Schema => {
            output.either(&spec::schema(), || {
                serde_json::to_string_pretty(&spec::schema()).expect("a schema serialises")
            });
            Ok(Exit::Fine)
        }
    }
}

/// Opens a catalogue name or a file, lays `overrides` (`key=value`) over it and checks it.
pub fn open(name_or_path: &str, overrides: &[String]) -> Result<(Document, Topology), Failure> {
    let open = || {
        let mut document = catalogue::open(name_or_path)?;
        for (key, value) in crate::commands::overrides(overrides)? {
            document.set(key, value)?;
        }
        let topology = validate::topology(&document)?;
        Ok((document, topology))
    };
    open().map_err(|failure| Subject::Topology.or_other(name_or_path, failure))
}

fn list(output: Output) -> Result<Exit, Failure> {
    let topologies = catalogue::entries()
        .iter()
        .map(|entry| open(entry.name, &[]).map(|(_, topology)| topology))
        .collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<_> = topologies.iter().map(overview).collect();
    output.either(&rows, || {
        let mut table = Listing::new(&[
            "topology",
            "sites",
            "hosts",
            "links",
            "longest RTT",
            "what it is for",
        ]);
        for topology in &topologies {
            table.row([
                topology.name.clone(),
                topology.sites.len().to_string(),
                hosts(topology).to_string(),
                topology.links.len().to_string(),
                time(longest_rtt(topology)),
                topology.description.clone(),
            ]);
        }
        table.render(1..5, output.width())
    });
    Ok(Exit::Fine)
}

fn show(name_or_path: &str, yaml: bool, output: Output) -> Result<Exit, Failure> {
    let (document, topology) = open(name_or_path, &[])?;
    if yaml {
        output.either(&json!({ "yaml": document.text() }), || {
            document.text().trim_end().to_owned()
        });
        return Ok(Exit::Fine);
    }
    let mut details = overview(&topology);
    details["links"] = topology
        .links
        .iter()
        .map(|link| link_details(&topology, link))
        .collect();
    output.either(&details, || describe(&topology, output.width()));
    Ok(Exit::Fine)
}

fn check(names: &[String], output: Output) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    let mut verdicts = Vec::new();
    for name in names {
        match open(name, &[]) {
            Ok((_, topology)) => {
                let summary = format!(
                    "{name}: fine ({}, {}, {})",
                    count(topology.sites.len(), "site"),
                    count(hosts(&topology), "host"),
                    count(topology.links.len(), "link")
                );
                output.text(summary);
                verdicts.push(json!({ "topology": name, "error": null }));
            }
            Err(failure) => {
                if !output.is_json() {
                    output.failure(&failure);
                }
                verdicts.push(json!({ "topology": name, "error": failure.to_json() }));
                exit = failure.exit();
            }
        }
    }
    output.json(&verdicts);
    Ok(exit)
}

fn draw(name_or_path: &str, out: Option<PathBuf>, output: Output) -> Result<Exit, Failure> {
    let (_, topology) = open(name_or_path, &[])?;
    let file = out.unwrap_or_else(|| Path::new(&topology.name).with_extension("svg"));
    map::draw(&topology, &file)?;
    output.either(&json!({ "file": file }), || file.display().to_string());
    Ok(Exit::Fine)
}

/// What does not come along is said on standard error, and in the file.
fn export(args: &ExportArgs, output: Output) -> Result<Exit, Failure> {
    let (_, topology) = open(&args.topology, &args.set)?;
    let left_out = left_out(&topology);
    let layout = LabPlan::new(topology.clone()).layout();
    let text = args.format.text(&topology, &layout, &args.image);
    for what in &left_out {
        output.aside(format!("note: not carried over: {what}"));
    }
    match &args.out {
        Some(file) => {
            crate::commands::write(file, &text)?;
            output.either(&json!({ "file": file, "left_out": left_out }), || {
                file.display().to_string()
            });
        }
        None => output.either(&json!({ "text": text, "left_out": left_out }), || {
            text.trim_end().to_owned()
        }),
    }
    Ok(Exit::Fine)
}

fn overview(topology: &Topology) -> serde_json::Value {
    json!({
        "name": topology.name,
        "description": topology.description,
        "sites": topology.sites.iter().map(|site| json!({ "name": site.name, "place": site.place, "hosts": site.hosts })).collect::<Vec<_>>(),
        "links": topology.links.len(),
        "hosts": hosts(topology),
        "longest_rtt_ms": longest_rtt(topology).as_secs_f64() * 1e3,
    })
}

fn link_details(topology: &Topology, link: &Link) -> serde_json::Value {
    let channel = |channel: &Channel| {
        json!({
            "rate_bps": channel.rate.map(longhaul_topologies::units::Rate::bits_per_second),
            "delay_us": channel.delay.as_secs_f64() * 1e6,
            "jitter_us": channel.jitter.as_ref().map(|jitter| jitter.deviation.as_secs_f64() * 1e6),
            "loss": loss(&channel.loss),
            "queue": queue(channel),
        })
    };
    json!({
        "a": topology.site(link.a).name,
        "b": topology.site(link.b).name,
        "spread": link.spread,
        "lanes": link.lanes.iter().map(|lane| json!({
            "forward": channel(&lane.forward),
            "reverse": channel(&lane.reverse),
        })).collect::<Vec<_>>(),
        "changes": link.schedule.len(),
    })
}

/// Sites and links with every figure resolved.
fn describe(topology: &Topology, width: usize) -> String {
    let mut sites = Listing::new(&[
        "site",
        "place",
        "latitude",
        "longitude",
        "hosts",
        "host ports",
    ]);
    for site in &topology.sites {
        let degrees = |pick: fn(&longhaul_topologies::geography::Coordinates) -> f64| {
            site.coordinates
                .as_ref()
                .map_or_else(String::new, |at| format!("{:.2}", pick(at)))
        };
        sites.row([
            site.name.clone(),
            site.place.clone().unwrap_or_default(),
            degrees(|at| at.latitude),
            degrees(|at| at.longitude),
            site.hosts.to_string(),
            site.fabric
                .rate
                .map_or_else(|| "unlimited".to_owned(), |rate| rate.to_string()),
        ]);
    }
    let mut links = Listing::new(&[
        "channel", "lanes", "rate", "one way", "from", "jitter", "queue", "loss",
    ]);
    for link in &topology.links {
        let (a, b) = (&topology.site(link.a).name, &topology.site(link.b).name);
        // Lanes that are alike share their rows.
        let alike = |lane: &&Lane| **lane == link.lanes[0];
        let together = link.lanes.iter().all(|lane| alike(&lane));
        let rows = if together { 1 } else { link.lanes.len() };
        let rows = (0..rows).flat_map(|lane| Direction::BOTH.map(|direction| (lane, direction)));
        for (lane, direction) in rows {
            let channel = link.lanes[lane].channel(direction);
            let name = match direction {
                Direction::Forward => format!("{a} > {b}"),
                Direction::Reverse => format!("{b} > {a}"),
            };
            let lanes = if together {
                link.lanes.len().to_string()
            } else {
                format!("no. {lane}")
            };
            links.row([
                name,
                lanes,
                channel
                    .rate
                    .map_or_else(|| "unlimited".to_owned(), |rate| rate.to_string()),
                time(channel.delay),
                source(&channel.delay_source),
                channel
                    .jitter
                    .as_ref()
                    .map_or_else(|| "none".to_owned(), |jitter| time(jitter.deviation)),
                queue(channel),
                loss(&channel.loss),
            ]);
        }
    }
    format!(
        "{}: {}\n\n{}\n\n{}",
        topology.name,
        topology.description,
        sites.render(2..6, width),
        links.render(1..4, width)
    )
}

fn hosts(topology: &Topology) -> usize {
    topology.sites.iter().map(|site| site.hosts).sum()
}

fn longest_rtt(topology: &Topology) -> Duration {
    topology
        .links
        .iter()
        .map(|link| link.channel(Direction::Forward).delay + link.channel(Direction::Reverse).delay)
        .max()
        .unwrap_or_default()
}

fn time(time: Duration) -> String {
    match time.as_secs_f64() * 1e3 {
        milliseconds if milliseconds >= 10.0 => format!("{milliseconds:.1} ms"),
        milliseconds if milliseconds >= 1.0 => format!("{milliseconds:.2} ms"),
        milliseconds => format!("{:.1} µs", milliseconds * 1e3),
    }
}

fn source(source: &DelaySource) -> String {
    match source {
        DelaySource::OneWay => "stated".to_owned(),
        DelaySource::HalfRtt => "half the RTT".to_owned(),
        DelaySource::Fibre {
            distance_km,
            route_factor,
        } => format!("{distance_km:.0} km × {route_factor}"),
    }
}

fn loss(loss: &Loss) -> String {
    match loss {
        Loss::None => "none".to_owned(),
        Loss::Independent(probability) => probability.to_string(),
        Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_in_bad,
            ..
        } => {
            format!("bursts: {loss_in_bad} in the bad state, entered {to_bad}, left {to_good}")
        }
        Loss::FourState(states) => {
            format!(
                "four states, {:.3}% in the mean",
                states.mean_loss() * 100.0
            )
        }
        Loss::Packets(packets) => format!("{} listed packets", packets.len()),
        Loss::Trace(fates) => format!("a trace of {} packets", fates.len()),
    }
}

fn queue(channel: &Channel) -> String {
    match channel.queue_limit {
        None => "none".to_owned(),
        Some(QueueLimit::Bytes(bytes)) => format!("{} ({bytes})", channel.queue),
        Some(QueueLimit::Packets(packets)) => format!("{packets} packets"),
    }
}
