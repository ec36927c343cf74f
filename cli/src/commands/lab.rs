//! `up`, `exec`, `status`, `down`, `clean`: labs in the background.

use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::guest::GuestMemory;
use longhaul_emulator::keeper::{
    self, KeeperError, LabDetail, LabName, LabStatus, Life, VirtualStatus,
};
use longhaul_emulator::lab::LabOptions;
use longhaul_topologies::units::ByteSize;
use serde_json::json;

use crate::args::{DownArgs, ExecArgs, Links, StatusArgs, UpArgs};
use crate::commands::virtual_lab::{self, Needs};
use crate::commands::{link, topologies};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::{Output, count};

/// What a virtual lab has for the programs in its hosts unless it is told otherwise; what they do not touch costs nothing.
const PROGRAMS: ByteSize = ByteSize::from_bytes(1 << 30);

/// Brings a topology up in the background.
pub fn up(args: &UpArgs, output: Output) -> Result<Exit, Failure> {
    let (document, topology) = topologies::open(&args.topology, &args.set)?;
    let name = lab_name(args.name.as_deref().unwrap_or(&topology.name))?;
    if virtual_lab::is_wanted(args.lab)? {
        let needs = Needs {
            subject: topology.name.clone(),
            links: args.links.into(),
            seed: args.seed,
            memory: GuestMemory::of_links(&topology).and_room_for(PROGRAMS),
            files: document.files(),
            programs: true,
            collector: None,
        };
        return virtual_lab::up(&name, &needs, &args.virtual_lab, output);
    }
    let first_host = format!("{}-0", topology.sites[0].name);
    let options = LabOptions {
        engine: args.links.into(),
        seed: args.seed,
        congestion_control: args.congestion_control.clone(),
    };
    let started = keeper::up(name.clone(), topology, &options)?;
    let unnamed = started.unnamed.as_ref().map(ToString::to_string);
    output.either(&json!({ "lab": name, "unnamed": unnamed }), || {
        let mut text = format!("{name} is up: try `longhaul exec --name {name} {first_host} -- bash`, and `longhaul down {name}` when done");
        if let Some(reason) = &unnamed {
            text.push_str(&format!("\n`ip netns` does not show its hosts: {reason}"));
        }
        text
    });
    Ok(Exit::Fine)
}

/// Runs a program inside a host.
pub fn exec(args: &ExecArgs) -> Result<Exit, Failure> {
    let name = named_or_only(args.name.as_deref())?;
    if let Some(exit) = virtual_lab::exec(&name, args.pace)? {
        return Ok(exit);
    }
    let (program, arguments) = args
        .command
        .split_first()
        .expect("clap asks for at least one");
    let code = keeper::exec(&name, &args.host, program, arguments)?;
    Ok(Exit::Program(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// Shows all labs, or one in detail.
pub fn status(args: &StatusArgs, output: Output) -> Result<Exit, Failure> {
    let mut labs = keeper::status()?;
    let Some(name) = &args.name else {
        output.either(&labs, || overview(&labs, output.width()));
        return Ok(Exit::Fine);
    };
    let name = lab_name(name)?;
    let Some(lab) = labs.iter_mut().find(|lab| lab.name == name) else {
        return Err(KeeperError::NoSuchLab { name }.into());
    };
    if lab.virtual_lab.is_some() {
        lab.detail = Some(virtual_lab::detail(&name, output)?);
    }
    let lab = &*lab;
    output.either(lab, || match &lab.detail {
        Some(detail) => format!(
            "{}\n\n{}",
            overview(std::slice::from_ref(lab), output.width()),
            describe(detail, output.width())
        ),
        None => overview(std::slice::from_ref(lab), output.width()),
    });
    Ok(Exit::Fine)
}

/// Takes a lab down.
pub fn down(args: &DownArgs, output: Output) -> Result<Exit, Failure> {
    let name = named_or_only(args.name.as_deref())?;
    keeper::down(&name)?;
    output.either(&json!({ "lab": name }), || format!("{name} is down"));
    Ok(Exit::Fine)
}

/// Removes what killed labs left.
pub fn clean(output: Output) -> Result<Exit, Failure> {
    let cleaned = keeper::clean()?;
    output.either(&cleaned, || {
        if cleaned.labs.is_empty() && cleaned.namespaces.is_empty() {
            return "nothing to clean".to_owned();
        }
        let labs = cleaned
            .labs
            .iter()
            .map(|name| format!("removed what was left of {name}"));
        let namespaces = cleaned
            .namespaces
            .iter()
            .map(|name| format!("removed the name {name} from /run/netns"));
        labs.chain(namespaces).collect::<Vec<_>>().join("\n")
    });
    Ok(Exit::Fine)
}

impl From<Links> for EngineChoice {
    fn from(links: Links) -> Self {
        match links {
            Links::Auto => EngineChoice::Auto,
            Links::Netem => EngineChoice::Netem,
            Links::Relay => EngineChoice::Relay,
        }
    }
}

impl From<KeeperError> for Failure {
    fn from(error: KeeperError) -> Self {
        use longhaul_emulator::sandbox::SandboxError;
        if let Some(failure) = link::refused(&error) {
            return failure;
        }
        match error {
            KeeperError::Sandbox(SandboxError::Refused { reason, help }) => Failure::with_help(
                Exit::Lacking,
                format!("cannot create namespaces: {reason}"),
                help,
            ),
            KeeperError::Sandbox(error) => Failure::new(Exit::Lacking, &error),
            KeeperError::NotUp {
                help: Some(help),
                name,
                message,
            } => Failure::with_help(
                Exit::Lacking,
                format!("the lab {name} did not come up: {message}"),
                help,
            ),
            error => {
                let exit = match (&error, error.program_exit_code()) {
                    (_, Some(code)) => Exit::Program(u8::try_from(code).unwrap_or(u8::MAX)),
                    (KeeperError::NotUp { .. }, None) => Exit::Lacking,
                    (KeeperError::Ended { .. }, None) => Exit::NotHeld,
                    (_, None) => Exit::Usage,
                };
                Failure::new(exit, &error)
            }
        }
    }
}

fn named_or_only(name: Option<&str>) -> Result<LabName, Failure> {
    match name {
        Some(name) => lab_name(name),
        None => Ok(keeper::only_lab()?),
    }
}

pub fn lab_name(name: &str) -> Result<LabName, Failure> {
    name.parse()
        .map_err(|error: keeper::LabNameError| Failure::new(Exit::Usage, &error))
}

fn overview(labs: &[LabStatus], width: usize) -> String {
    if labs.is_empty() {
        return "no lab is up: start one with `longhaul up TOPOLOGY`".to_owned();
    }
    let mut table = Listing::new(&["lab", "kind", "topology", "links", "pid", "since", "state"]);
    for lab in labs {
        let state = match (lab.life, &lab.trouble) {
            (Life::Up, None) => lab.virtual_lab.map_or_else(|| "up".to_owned(), time_inside),
            (Life::Up, Some(trouble)) => format!("up, but {trouble}"),
            (Life::Dead, None) => "killed: `longhaul clean` removes what is left".to_owned(),
            (Life::Dead, Some(reason)) => {
                format!("dead: {reason}; `longhaul clean` removes what is left")
            }
        };
        let record = lab.record.as_ref();
        let engine = lab.detail.as_ref().map(|detail| detail.engine.to_string());
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
            state,
        ]);
    }
    table.render(4..5, width)
}

/// How far a virtual lab's clock is.
fn time_inside(lab: VirtualStatus) -> String {
    let passed = format!("up for {:.3} virtual seconds", lab.virtual_seconds);
    match lab.sessions {
        0 => format!("{passed}; its time stands still"),
        sessions => format!("{passed}; in it: {}", count(sessions, "command")),
    }
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
