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
use longhaul_workloads::program::agent;

use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    // Started by `run` inside a host: no command for people, so nothing that help or completions should know.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == "__rank")
    {
        return ExitCode::from(u8::try_from(longhaul_workloads::rank::main()).unwrap_or(1));
    }
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == "__host")
    {
        // The same, on a machine of a physical lab.
        let machine = serde_json::json!(longhaul_workloads::experiment::machine());
        let code = longhaul_emulator::physical::host::main(machine);
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    if agent::is_wanted() {
        return ExitCode::from(u8::try_from(agent::main()).unwrap_or(1));
    }
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == "__guest")
    {
        longhaul_emulator::guest::init::main();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => return output::settle(refused(&refusal)).into(),
    };
    let output = Output::new(cli.json);
    let exit = match commands::run(cli.command, output) {
        Ok(exit) => exit,
        Err(failure) => output.failure(&failure),
    };
    output::settle(exit).into()
}

/// Says what is wrong with the command line, as JSON if that is on it; or prints the help that was asked for.
fn refused(refusal: &clap::Error) -> Exit {
    if !refusal.use_stderr() {
        output::printed(refusal.print());
        return Exit::Fine;
    }
    let json = std::env::args_os()
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json");
    if json {
        let text = refusal.to_string();
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        return Output::new(json).failure(&Failure::new_usage(message));
    }
    let _ = refusal.print();
    Exit::Usage
}
