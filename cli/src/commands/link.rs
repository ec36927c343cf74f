//! `link set`, `link show`: the links of a lab that is up, or of a run, as they are.

use longhaul_emulator::keeper::{self, AdjustedChannel, KeeperError, LabName, LinkStatus};
use longhaul_topologies::adjust::{Adjustment, Named};
use longhaul_topologies::model::Direction;
use serde_json::json;

use crate::args::{LinkCommand, LinkDirection, LinkSetArgs, LinkShowArgs};
use crate::commands::lab::lab_name;
use crate::commands::virtual_lab;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::Output;

/// Sets a link, or shows links.
pub fn run(command: &LinkCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        LinkCommand::Set(args) => set(args, output),
        LinkCommand::Show(args) => show(args, output),
    }
}

fn set(args: &LinkSetArgs, output: Output) -> Result<Exit, Failure> {
    let settings = args.settings.iter().map(|setting| split(setting));
    let adjustment = Adjustment {
        link: Named {
            from: args.from.clone(),
            to: args.to.clone(),
        },
        lane: args.lane,
        direction: args.direction.map(Direction::from),
        settings: settings.collect::<Result<_, _>>()?,
    };
    let name = named_or_only(args.name.as_deref())?;
    if let Some(exit) = virtual_lab::enter(&name, output)? {
        return Ok(exit);
    }
    let changes = keeper::adjust(&name, &adjustment).map_err(unchanged)?;
    output.either(&json!({ "lab": name, "changes": changes }), || {
        sentences(&changes)
    });
    Ok(Exit::Fine)
}

fn show(args: &LinkShowArgs, output: Output) -> Result<Exit, Failure> {
    let link = args.from.as_ref().zip(args.to.as_ref());
    let link = link.map(|(from, to)| Named {
        from: from.clone(),
        to: to.clone(),
    });
    let name = named_or_only(args.name.as_deref())?;
    if let Some(exit) = virtual_lab::enter(&name, output)? {
        return Ok(exit);
    }
    let links = keeper::links(&name, link.as_ref())?;
    output.either(&json!({ "lab": name, "links": links }), || {
        table(&links, output.width())
    });
    Ok(Exit::Fine)
}

/// A setting as it is typed.
pub fn split(setting: &str) -> Result<(String, String), Failure> {
    match setting.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Failure::with_help(
            Exit::Usage,
            format!("{setting}: no value"),
            "write KEY=VALUE, as in delay=60ms",
        )),
    }
}

/// A line for each channel that changed.
pub fn sentences(changes: &[AdjustedChannel]) -> String {
    if changes.is_empty() {
        return "nothing to change: the link is that way already".to_owned();
    }
    let lines = changes.iter().map(|changed| {
        let AdjustedChannel {
            from,
            to,
            lane,
            change,
        } = changed;
        format!("{from} > {to} lane {lane}: {change}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn table(links: &[LinkStatus], width: usize) -> String {
    let mut table = Listing::new(&["channel", "now", "changed since it came up"]);
    for link in links {
        table.row([
            format!("{} > {} lane {}", link.from, link.to, link.lane),
            link.now.clone(),
            link.differs.clone().unwrap_or_default(),
        ]);
    }
    table.render(0..0, width)
}

/// The lab whose links are meant.
pub fn named_or_only(name: Option<&str>) -> Result<LabName, Failure> {
    match name {
        Some(name) => lab_name(name),
        None => Ok(keeper::only_with_links()?),
    }
}

impl From<LinkDirection> for Direction {
    fn from(direction: LinkDirection) -> Self {
        match direction {
            LinkDirection::Forward => Direction::Forward,
            LinkDirection::Reverse => Direction::Reverse,
        }
    }
}

/// A link engine that cannot do what was asked.
fn unchanged(error: KeeperError) -> Failure {
    match error {
        KeeperError::Refused {
            refusal: keeper::Refusal::Engine(reason),
            ..
        } => Failure::with_help(
            Exit::Lacking,
            reason,
            "nothing has changed; where the kernel carries the links, a lab brought up with `--links relay` takes whatever a topology can say",
        ),
        error => error.into(),
    }
}

/// What a lab refused, as an error of the command line that it was.
pub fn refused(error: &KeeperError) -> Option<Failure> {
    let KeeperError::Refused { refusal, .. } = error else {
        return None;
    };
    Some(match (refusal.input(), refusal) {
        (Some(input), _) => input.into(),
        (None, keeper::Refusal::Engine(reason)) => Failure::Other {
            exit: Exit::Lacking,
            message: reason.clone(),
            help: None,
        },
        (None, _) => Failure::new(Exit::Usage, error),
    })
}
