//! What both sides know of a session: a command that is run in a guest that stays, for somebody outside.
//!
//! ```text
//! sessions/N/          by the host, all at once; removed by it when it has seen the end
//!   session.json       the SessionSpec
//!   to/SEQ-WHAT        from the host: a word each; the guest removes what it has dealt with
//!   stdout, stderr     from the guest, appended to as the command prints
//!   ended              from the guest, last: an End
//! ```
//! The host writes and looks only while the guest's clock stands still, so what the guest finds, and when, does not depend
//! on how fast the host is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often, in virtual time, the guest looks for sessions and for what they are told.
pub(super) const TICK: Duration = Duration::from_millis(50);
/// The same while somebody types.
pub(super) const TYPING_TICK: Duration = Duration::from_millis(10);

/// A command to be run in a guest that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// What this executable is to be called with inside.
    pub arguments: Vec<OsString>,
    /// Variables beside those of the guest; pairs, since keys of JSON are text.
    pub environment: Vec<(OsString, OsString)>,
    /// The working folder, where there is one of that name inside.
    pub folder: PathBuf,
    /// The terminal that it gets; none: three pipes.
    pub terminal: Option<Window>,
    /// How fast time passes meanwhile.
    pub pace: Pace,
    /// Whether it makes the guest what it is: no other is let in before, and the guest ends if it fails.
    pub founding: bool,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// How fast a guest's time passes. What a session sees is the same at each pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// As fast as the machine can once the session's input has ended; as the clock on the wall while somebody may type.
    Auto,
    /// As the clock on the wall, or slower if the machine cannot.
    Wall,
    /// As fast as the machine can.
    Free,
}

/// What a guest is told of a session, as the name of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The file's bytes are input.
    Input,
    /// There is no more of it.
    End,
    /// The command gets a signal.
    Signal(i32),
    /// Its terminal has another size.
    Window(Window),
}

impl Word {
    /// The file's name, for the word after `sequence` others.
    pub(super) fn file_name(self, sequence: u64) -> String {
        match self {
            Word::Input => format!("{sequence}-input"),
            Word::End => format!("{sequence}-end"),
            Word::Signal(signal) => format!("{sequence}-signal-{signal}"),
            Word::Window(Window { rows, columns }) => format!("{sequence}-window-{rows}-{columns}"),
        }
    }

    /// The word of a file of that name, and how many came before it.
    pub(super) fn of_file_name(name: &str) -> Option<(u64, Self)> {
        let mut parts = name.split('-');
        let sequence = parts.next()?.parse().ok()?;
        let word = match parts.next()? {
            "input" => Word::Input,
            "end" => Word::End,
            "signal" => Word::Signal(parts.next()?.parse().ok()?),
            "window" => Word::Window(Window {
                rows: parts.next()?.parse().ok()?,
                columns: parts.next()?.parse().ok()?,
            }),
            _ => return None,
        };
        parts.next().is_none().then_some((sequence, word))
    }
}

/// Where everything lies in a session's folder.
#[derive(Clone, Debug)]
pub(super) struct SessionFolder(pub PathBuf);

impl SessionFolder {
    /// The [`SessionSpec`].
    pub(super) fn spec(&self) -> PathBuf {
        self.0.join("session.json")
    }

    /// What the session is told: a file for each [`Word`].
    pub(super) fn words(&self) -> PathBuf {
        self.0.join("to")
    }

    /// What its command prints.
    pub(super) fn stdout(&self) -> PathBuf {
        self.0.join("stdout")
    }

    /// And complains.
    pub(super) fn stderr(&self) -> PathBuf {
        self.0.join("stderr")
    }

    /// How it ended.
    pub(super) fn ended(&self) -> PathBuf {
        self.0.join("ended")
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_survives_as_the_name_of_a_file() {
        let window = Window {
            rows: 24,
            columns: 80,
        };
        for word in [
            Word::Input,
            Word::End,
            Word::Signal(2),
            Word::Window(window),
        ] {
            assert_eq!(
                Word::of_file_name(&word.file_name(17)),
                Some((17, word)),
                "{word:?}"
            );
        }
        for bad in ["", "x-input", "1-", "1-signal", "1-window-2", "1-input-2"] {
            assert_eq!(Word::of_file_name(bad), None, "{bad}");
        }
    }
}
