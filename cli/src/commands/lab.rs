//! `up`, `exec`, `down`, `clean`: labs in the background.

use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::guest::{self, GuestMemory};
use longhaul_emulator::keeper::{self, KeeperError, LabName};
use longhaul_emulator::lab::LabOptions;
use longhaul_topologies::units::ByteSize;
use serde_json::json;

use crate::args::{BuiltLab, DownArgs, ExecArgs, Links, PaceChoice, UpArgs};
use crate::commands::virtual_lab::{self, Needs};
use crate::commands::{link, topologies};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// What a virtual lab has for the programs in its hosts unless it is told otherwise; what they do not touch costs nothing.
const PROGRAMS: ByteSize = ByteSize::from_bytes(1 << 30);

/// Brings a topology up in the background.
pub fn up(args: &UpArgs, output: Output) -> Result<Exit, Failure> {
    if args.lab != BuiltLab::Virtual {
        virtual_lab::refuse_options(&args.virtual_lab, "add --lab virtual, or leave it out")?;
    }
    let (document, topology) = topologies::open(&args.topology, &args.set)?;
    let name = match &args.name {
        Some(name) => lab_name(name)?,
        None => topology
            .name
            .parse()
            .map_err(|error: keeper::LabNameError| {
                let help =
                    "the lab would be called as its topology is: choose a name with `--name`";
                Failure::with_help(Exit::Usage, error.to_string(), help)
            })?,
    };
    if virtual_lab::is_wanted(args.lab) {
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
    // Inside a virtual lab the pace is its keeper's business, outside.
    if args.pace != PaceChoice::Auto && !guest::init::is_guest() {
        return Err(Failure::with_help(
            Exit::Usage,
            format!("--pace: {name} is no virtual lab: its time is that of the clock on the wall"),
            "leave it out",
        ));
    }
    let (program, arguments) = args
        .command
        .split_first()
        .expect("clap asks for at least one");
    let code = keeper::exec(&name, &args.host, program, arguments)?;
    Ok(Exit::Program(u8::try_from(code).unwrap_or(u8::MAX)))
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
            KeeperError::Unresponsive { ref name, .. } => Failure::with_help(
                Exit::Lacking,
                error.to_string(),
                format!("`longhaul down {name}` ends it, whether it answers or not"),
            ),
            error => {
                let exit = match (&error, error.program_exit_code()) {
                    (_, Some(code)) => Exit::Program(u8::try_from(code).unwrap_or(u8::MAX)),
                    (KeeperError::Ended { .. }, None) => Exit::NotHeld,
                    // What was typed is right, and this machine does not do it.
                    (
                        KeeperError::NotUp { .. }
                        | KeeperError::Enter { .. }
                        | KeeperError::Lab { .. }
                        | KeeperError::Path { .. },
                        None,
                    ) => Exit::Lacking,
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
