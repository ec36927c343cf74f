//! `completions` and `man`, made from the same clap types that parse the command line.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Prints a completion script.
pub fn completions<C: CommandFactory>(shell: Shell, output: Output) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut C::command(), "longhaul", &mut script);
    print("script", &script, output);
    Exit::Fine
}

/// Prints the manual page, or writes one page per command into `out`.
pub fn man<C: CommandFactory>(out: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    match out {
        Some(folder) => {
            let failed = |error: std::io::Error| {
                let message = format!("cannot write pages into {}: {error}", folder.display());
                Failure::with_help(
                    Exit::Usage,
                    message,
                    "name a folder that you may write into",
                )
            };
            std::fs::create_dir_all(folder).map_err(failed)?;
            clap_mangen::generate_to(C::command(), folder).map_err(failed)?;
            output.json(&json!({ "folder": folder }));
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(C::command())
                .render(&mut page)
                .map_err(|error| Failure::new(Exit::Usage, &error))?;
            print("page", &page, output);
        }
    }
    Ok(Exit::Fine)
}

/// As it is, or the value of a field.
fn print(field: &str, text: &[u8], output: Output) {
    match output.is_json() {
        true => output.json(&json!({ field: String::from_utf8_lossy(text) })),
        false => output::print(text),
    }
}
