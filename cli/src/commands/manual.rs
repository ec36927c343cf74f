//! `completions` and `man`, made from the same clap types that parse the command line.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Prints a completion script.
pub fn completions<C: CommandFactory>(shell: Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut C::command(), "longhaul", &mut script);
    output::print(&script);
    Exit::Fine
}

/// Prints the manual page, or writes one page per command into `out`.
pub fn man<C: CommandFactory>(out: Option<&Path>) -> Result<Exit, Failure> {
    let io_failure = |error: std::io::Error| Failure::new(Exit::Usage, &error);
    match out {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(io_failure)?;
            clap_mangen::generate_to(C::command(), folder).map_err(io_failure)?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(C::command())
                .render(&mut page)
                .map_err(io_failure)?;
            output::print(&page);
        }
    }
    Ok(Exit::Fine)
}
