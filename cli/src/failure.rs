//! Everything that can end a command, its exit code and how it is shown.

use std::error::Error;
use std::io;
use std::path::Path;

use longhaul_reports::file;
use longhaul_topologies::InputError;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, MietteDiagnostic};

use crate::exit::Exit;

/// Why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// A file, a catalogue name or a `--set` is wrong.
    Input(Box<InputError>),
    /// Anything else.
    Other {
        /// The exit code it stands for.
        exit: Exit,
        /// What happened, with its causes.
        message: String,
        /// The way out.
        help: Option<String>,
    },
}

impl Failure {
    /// A failure with the messages of `error` and its causes.
    pub fn new(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        Failure::Other {
            exit,
            message: chain(error),
            help: None,
        }
    }

    /// A command line that is wrong.
    pub fn new_usage(message: &str) -> Self {
        Failure::Other {
            exit: Exit::Usage,
            message: message.to_owned(),
            help: None,
        }
    }

    /// A failure in words, with the way out.
    pub fn with_help(exit: Exit, message: impl Into<String>, help: impl Into<String>) -> Self {
        Failure::Other {
            exit,
            message: message.into(),
            help: Some(help.into()),
        }
    }

    /// A file that cannot be written.
    pub fn unwritten(path: &Path, error: &io::Error) -> Self {
        Failure::Other {
            exit: Exit::Usage,
            message: format!("cannot write {}: {error}", path.display()),
            help: file::way_out(error).map(str::to_owned),
        }
    }

    /// The exit code it stands for.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Input(_) => Exit::Usage,
            Failure::Other { exit, .. } => *exit,
        }
    }

    /// For people, on standard error: `error: message`, the place in the file where there is one, the way out.
    pub fn render(&self) -> String {
        let other;
        let diagnostic: &dyn Diagnostic = match self {
            Failure::Input(error) => error.as_ref(),
            Failure::Other { message, help, .. } => {
                let mut diagnostic = MietteDiagnostic::new(message);
                diagnostic.help.clone_from(help);
                other = diagnostic;
                &other
            }
        };
        let mut theme = GraphicalTheme::default();
        // As clap and most programs mark an error.
        "error:".clone_into(&mut theme.characters.error);
        let mut text = String::new();
        // The terminal breaks lines where it must; a pipe wants them whole.
        match GraphicalReportHandler::new_themed(theme)
            .with_wrap_lines(false)
            .render_report(&mut text, diagnostic)
        {
            Ok(()) => text.trim().to_owned(),
            Err(_) => format!("error: {diagnostic}"),
        }
    }

    /// In plain words, the way out on a line of its own: for where there is no room for a picture.
    pub fn plain(&self) -> String {
        let (message, help) = match self {
            Failure::Input(error) => (&error.message, &error.help),
            Failure::Other { message, help, .. } => (message, help),
        };
        let help = help
            .as_ref()
            .map_or_else(String::new, |help| format!("\n{help}"));
        format!("{message}{help}")
    }

    /// For programs, on standard output.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Failure::Input(error) => serde_json::json!({
                "exit_code": self.exit().code(),
                "message": error.message,
                "help": error.help,
                "document": error.document,
                "line": error.position.map(|(line, _)| line),
                "column": error.position.map(|(_, column)| column),
                "path": error.path.to_string(),
            }),
            Failure::Other { message, help, .. } => serde_json::json!({
                "exit_code": self.exit().code(),
                "message": message,
                "help": help,
            }),
        }
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Failure::Input(Box::new(error))
    }
}

/// `message: cause: cause's cause`, leaving out a cause that its parent already quotes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
