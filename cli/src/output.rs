//! Where text goes: a terminal, a pipe, or JSON.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use longhaul_emulator::guest;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;

/// How this command talks. A reader that goes away (`| head`) ends nothing: what a command does matters more than who listens. What could
/// not be written for another reason (a full disk) is told at the end, by [`settle`].
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

impl Output {
    /// Text, or JSON alone on standard output.
    pub fn new(json: bool) -> Self {
        Output {
            format: if json { Format::Json } else { Format::Text },
        }
    }

    /// Whether standard output carries JSON alone.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Whether progress bars make sense: they go to standard error.
    pub fn is_terminal(self) -> bool {
        self.format == Format::Text && io::stderr().is_terminal()
    }

    /// Columns of the terminal; of a wide page where there is none.
    pub fn width(self) -> usize {
        const PAGE: usize = 120;
        // Inside a virtual lab there is no terminal; its host says how wide its own is.
        let told = || std::env::var("COLUMNS").ok()?.parse().ok();
        match terminal_size::terminal_size() {
            Some((width, _)) => usize::from(width.0),
            None => told().filter(|_| guest::init::is_guest()).unwrap_or(PAGE),
        }
    }

    /// Prints text for people; nothing in JSON.
    pub fn text(self, text: impl std::fmt::Display) {
        if self.format == Format::Text {
            line(&text.to_string());
        }
    }

    /// Says on standard error what is no part of the answer; nothing with JSON.
    pub fn aside(self, text: impl std::fmt::Display) {
        if self.format == Format::Text {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Prints a document; nothing in text.
    pub fn json(self, value: &impl Serialize) {
        if self.format == Format::Json {
            line(&serde_json::to_string_pretty(value).expect("our own types serialise"));
        }
    }

    /// Passes on what another longhaul printed as JSON.
    pub fn json_text(self, text: &[u8]) {
        print(text);
    }

    /// Prints one of the two.
    pub fn either(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        match self.format {
            Format::Json => self.json(value),
            Format::Text => self.text(text()),
        }
    }

    /// Ends a command whose answer is known, and told to people already; what failed since goes beside it. The exit code is that of the
    /// answer, and of the failure only where the answer was fine.
    pub fn answered(
        self,
        mut answer: serde_json::Value,
        exit: Exit,
        failure: Option<&Failure>,
    ) -> Exit {
        if let Some(failure) = failure {
            answer["error"] = failure.to_json();
            self.aside(failure.render());
        }
        self.json(&answer);
        failure.map_or(exit, |failure| exit.unless_fine(failure.exit()))
    }

    /// Says what ended the command and gives its exit code.
    pub fn failure(self, failure: &Failure) -> Exit {
        match self.format {
            Format::Json => self.json(&serde_json::json!({ "error": failure.to_json() })),
            Format::Text => {
                let _ = writeln!(io::stderr(), "{}", failure.render());
            }
        }
        failure.exit()
    }
}

/// `1 link`, `3 links`.
pub fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Why standard output is not whole.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output.
pub fn print(bytes: &[u8]) {
    let mut output = io::stdout();
    printed(output.write_all(bytes).and_then(|()| output.flush()));
}

/// Takes note of whether standard output took what was written to it.
pub fn printed(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error);
    }
}

/// How the command ended, if its answer was written; says so if it was not.
pub fn settle(exit: Exit) -> Exit {
    let Some(error) = LOST.get() else {
        return exit;
    };
    let message = format!("cannot write all of the answer to standard output: {error}");
    let _ = writeln!(io::stderr(), "{}", Failure::new_usage(&message).render());
    exit.unless_fine(Exit::Usage)
}

fn line(text: &str) {
    print(format!("{text}\n").as_bytes());
}
