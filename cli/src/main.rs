//! The longhaul command line: arguments in, tables, progress and exit codes out.
//!
//! - [`args`]: the command line as types.
//! - [`commands`]: one module per command.
//! - [`exit`]: the exit codes.
//! - [`failure`]: everything that can end a command, its exit code and how it is shown.
//! - [`listing`]: plain tables for lists of things.
//! - [`output`]: where text goes: a terminal, a pipe, or JSON.
//! - [`progress`]: a run's events as progress bars or plain lines.

mod args;
mod commands;
mod exit;
mod failure;
mod listing;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let exit = match commands::run(cli.command, output) {
        Ok(exit) => exit,
        Err(failure) => output.failure(&failure),
    };
    exit.into()
}
