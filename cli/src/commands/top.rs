//! `top`: a lab or run while it lives, on a terminal, as a web page, for Prometheus and for OpenTelemetry.
//!
//! - [`source`]: where readings come from and changes go to. [`watch`]: the thread that reads.
//! - [`view`]: rates and history out of readings; [`keys`]: what keys do; [`draw`]: the picture. Pure.
//! - [`screen`]: the terminal. [`mod@once`]: the same as plain text.
//! - [`serve`]: for others; [`web`]: the page, its events, `/metrics`; [`guard`]: who may ask for what; [`otlp`]: pushed to a collector.

mod draw;
mod guard;
mod keys;
mod once;
mod otlp;
mod screen;
mod serve;
mod source;
mod view;
mod watch;
mod web;

use std::io::IsTerminal;
use std::time::Duration;

use longhaul_emulator::keeper::{self, LabName};
use serde_json::json;

use crate::args::TopArgs;
use crate::commands::{link, virtual_lab};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use source::{Source, Trouble};
use view::View;

pub use otlp::{Collector, beside};

/// Readings closer than this would measure themselves.
const SHORTEST: Duration = Duration::from_millis(100);
/// Rates over longer than this are no live view.
const LONGEST: Duration = Duration::from_secs(600);

/// Watches a lab.
pub fn run(args: &TopArgs, output: Output) -> Result<Exit, Failure> {
    let period = args.interval.duration();
    if !(SHORTEST..=LONGEST).contains(&period) {
        return Err(Failure::with_help(
            Exit::Usage,
            format!("--interval {}: out of bounds", args.interval),
            "write a time from 100ms to 10min",
        ));
    }
    let collector = args.otlp.as_deref().map(Collector::parse).transpose()?;
    let token = args.token.as_deref().map(guard::token).transpose()?;
    let address = args.web.map(guard::loopback).transpose()?;
    let name = link::named_or_only(args.name.as_deref())?;
    if output.is_json() && address.is_none() && collector.is_none() {
        return reading(&name, output);
    }
    let source = Source::open(name)?;
    let failed = |error: std::io::Error| Failure::new(Exit::Lacking, &error);
    if args.once {
        return once(&source, period, output);
    }
    if address.is_some() || collector.is_some() {
        let serving = serve::Serving {
            source,
            period,
            address,
            token,
            collector,
        };
        return serve::serve(&serving, output);
    }
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(Failure::with_help(
            Exit::Usage,
            "top needs a terminal to draw on",
            "add --once for one view as text, --json for one reading, or --web for a page in a browser",
        ));
    }
    screen::show(&source, period, output).map_err(failed)
}

/// One reading as JSON; what a virtual lab is asked for from outside.
fn reading(name: &LabName, output: Output) -> Result<Exit, Failure> {
    if let Some(exit) = virtual_lab::enter(name, output)? {
        return Ok(exit);
    }
    let reading = keeper::reading(name)?;
    output.json(&json!({ "lab": name, "reading": reading }));
    Ok(Exit::Fine)
}

/// One view: of two readings, as one has no rate in it.
fn once(source: &Source, period: Duration, output: Output) -> Result<Exit, Failure> {
    let mut view = View::new(source.name().as_str(), source.what());
    let read = |view: &mut View| match source.read() {
        Ok(reading) => {
            view.take(reading);
            Ok(())
        }
        Err(Trouble::Gone(why) | Trouble::NotNow(why)) => Err(Failure::new_usage(&why)),
    };
    read(&mut view)?;
    std::thread::sleep(period);
    read(&mut view)?;
    output.text(once::render(&view, output.width()));
    Ok(Exit::Fine)
}
