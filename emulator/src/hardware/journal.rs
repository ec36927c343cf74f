//! What was written, kept before it is: a crash at any point leaves on disk what has to be put back.
//!
//! One JSON document a line. `open.jsonl` is the one of what is set now; when all is put back it is kept under the time it began, as a log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::place::{Place, Value};
use super::plan::Kept;
use super::tree::Tree;

const OPEN: &str = "open.jsonl";

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The first.
    Began {
        /// Of longhaul.
        version: String,
    },
    /// About to be written.
    Write(Box<Write>),
    /// Somebody who finds it half-done has to know this.
    Note {
        /// Of which write.
        number: usize,
        /// What.
        text: String,
    },
    /// Written, and it reads back so.
    Wrote {
        /// Which.
        number: usize,
    },
    /// Not written, or it does not read back so.
    Failed {
        /// Which.
        number: usize,
        /// Why.
        reason: String,
    },
    /// The old value is there again.
    Restored {
        /// Which.
        number: usize,
    },
    /// The new value is to stay.
    Kept {
        /// Which.
        number: usize,
    },
}

/// A line with its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    at: Timestamp,
    #[serde(flatten)]
    entry: Entry,
}

/// A write, as it is kept before it is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// Counted from 1.
    pub number: usize,
    /// Where.
    pub place: Place,
    /// What is there before.
    pub old: Value,
    /// What is there after.
    pub new: Value,
    /// What is changed along with it.
    pub also: Vec<Kept>,
}

/// A write that may have to be put back.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Which.
    pub write: Write,
    /// Whether it was seen to be there.
    pub is_sure: bool,
}

/// The journal of what is set now.
#[derive(Debug)]
pub struct Journal {
    file: Flock<File>,
    path: PathBuf,
    began: Timestamp,
    /// The first line that cannot be read, and why.
    damage: Option<(usize, String)>,
}

/// Why there is no journal to write to, or to read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// What an earlier `apply` set is still set.
    #[error(
        "{} says that what was applied before is still set: `longhaul hardware restore` puts the old values back, `longhaul hardware \
         restore --keep` lets the new ones stay for good",
        path.display()
    )]
    Open {
        /// Which journal.
        path: PathBuf,
    },
    /// Another process is at it.
    #[error("another longhaul is applying or restoring right now: it holds {}", path.display())]
    Busy {
        /// Which journal.
        path: PathBuf,
    },
    /// A line is none of longhaul's.
    #[error(
        "{}:{line} cannot be read ({reason}): if it says what was written, that has to be put back by hand; `longhaul hardware restore --keep` \
         closes the journal then",
        path.display()
    )]
    Damaged {
        /// Which journal.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// There is nowhere to keep one.
    #[error("there is no folder for the journal: this user has no HOME; name one with --journals")]
    Homeless,
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What it answers.
        source: io::Error,
    },
}

/// Where journals are kept if nothing else is said: below /var/lib for root, whose alone NICs are, else with the user's other state (XDG
/// Base Directory Specification). A copy of a machine's files has its own.
///
/// # Errors
/// If the user has no home.
pub fn folder(tree: &Tree) -> Result<PathBuf, JournalError> {
    const SYSTEM: &str = "/var/lib/longhaul/hardware";
    if !tree.is_this_machine() || nix::unistd::geteuid().is_root() {
        return Ok(tree.below(SYSTEM));
    }
    let absolute = |name| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/state")))
        .map(|state| state.join("longhaul/hardware"))
        .ok_or(JournalError::Homeless)
}

impl Journal {
    /// Begins one in `folder`, which is made.
    ///
    /// # Errors
    /// If there is one already: its values have to be put back first.
    pub fn begin(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(OPEN);
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        let created = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = created.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => JournalError::Open { path: path.clone() },
            _ => failed(&path, error),
        })?;
        let mut journal = Journal {
            file: lock(file, &path)?,
            path,
            began: Timestamp::now(),
            damage: None,
        };
        // The name has to outlive a crash, too.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failed(folder, error))?;
        let began = journal.append(Entry::Began {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        if let Err(error) = began {
            // One in which there is no room for anything would keep the next from beginning.
            let _ = fs::remove_file(&journal.path);
            return Err(error);
        }
        Ok(journal)
    }

    /// Refuses if there is one in `folder`, and makes none.
    ///
    /// # Errors
    /// [`JournalError::Open`].
    pub fn must_be_closed(folder: &Path) -> Result<(), JournalError> {
        let path = folder.join(OPEN);
        match path.exists() {
            true => Err(JournalError::Open { path }),
            false => Ok(()),
        }
    }

    /// Opens the one in `folder`, with what it says is to be put back, in the order in which it was written; `None` if there is none.
    ///
    /// Lines that cannot be read are left out; see [`check`](Self::check).
    ///
    /// # Errors
    /// If another process is at it, or it cannot be read.
    pub fn open(folder: &Path) -> Result<Option<(Self, Vec<Written>)>, JournalError> {
        let path = folder.join(OPEN);
        let opened = OpenOptions::new().read(true).append(true).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path, error)),
        };
        let mut file = lock(file, &path)?;
        // What a crash cuts off may be no text.
        let mut text = Vec::new();
        file.read_to_end(&mut text)
            .map_err(|error| failed(&path, error))?;
        // A line is on disk whole before anything is written: one that is cut off was never acted on.
        let end = text.iter().rposition(|&byte| byte == b'\n');
        let whole = end.map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64)
                .and_then(|()| file.seek(SeekFrom::End(0)))
                .map_err(|error| failed(&path, error))?;
        }
        let (mut began, mut damage) = (None, None);
        let mut writes: Vec<Written> = Vec::new();
        let lines = text[..whole].split_inclusive(|&byte| byte == b'\n');
        for (index, line) in lines.enumerate() {
            let Line { at, entry } = match serde_json::from_slice(line) {
                Ok(line) => line,
                // The others are to be put back all the same.
                Err(error) => {
                    damage.get_or_insert((index + 1, error.to_string()));
                    continue;
                }
            };
            began.get_or_insert(at);
            match entry {
                Entry::Began { .. } | Entry::Note { .. } | Entry::Failed { .. } => {}
                Entry::Write(write) => writes.push(Written {
                    write: *write,
                    is_sure: false,
                }),
                Entry::Wrote { number } => {
                    let mut writes = writes.iter_mut();
                    if let Some(written) = writes.find(|one| one.write.number == number) {
                        written.is_sure = true;
                    }
                }
                Entry::Restored { number } | Entry::Kept { number } => {
                    writes.retain(|one| one.write.number != number);
                }
            }
        }
        let journal = Journal {
            file,
            path,
            began: began.unwrap_or_else(Timestamp::now),
            damage,
        };
        Ok(Some((journal, writes)))
    }

    /// Adds a line and waits until it is on disk.
    ///
    /// # Errors
    /// If the file system refuses; then there is nothing of the line, which would be one with the next.
    pub fn append(&mut self, entry: Entry) -> Result<(), JournalError> {
        let line = Line {
            at: Timestamp::now(),
            entry,
        };
        let mut text = serde_json::to_string(&line).expect("our own types serialise");
        text.push('\n');
        let whole = self.file.metadata();
        let whole = whole.map_err(|error| failed(&self.path, error))?.len();
        let added = self.file.write_all(text.as_bytes());
        added.and_then(|()| self.file.sync_data()).map_err(|error| {
            // As far as that goes: the file system has refused once.
            let _ = self.file.set_len(whole);
            failed(&self.path, error)
        })
    }

    /// The first line that cannot be read. What it says is not among what is to be put back.
    ///
    /// # Errors
    /// [`JournalError::Damaged`].
    pub fn check(&self) -> Result<(), JournalError> {
        match &self.damage {
            None => Ok(()),
            Some((line, reason)) => Err(JournalError::Damaged {
                path: self.path.clone(),
                line: *line,
                reason: reason.clone(),
            }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps it as a log: nothing is to be put back any more.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn close(self) -> Result<PathBuf, JournalError> {
        let stamp = self.began.strftime("%Y%m%dT%H%M%S%.6fZ");
        let kept = self.path.with_file_name(format!("{stamp}.jsonl"));
        fs::rename(&self.path, &kept).map_err(|error| failed(&kept, error))?;
        Ok(kept)
    }
}

fn lock(file: File, path: &Path) -> Result<Flock<File>, JournalError> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        nix::errno::Errno::EWOULDBLOCK => JournalError::Busy { path: path.into() },
        _ => failed(path, error.into()),
    })
}

fn failed(path: &Path, source: io::Error) -> JournalError {
    JournalError::File {
        path: path.to_owned(),
        source,
    }
}
