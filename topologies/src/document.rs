//! A YAML document with overrides, and errors that know their line and column.
//!
//! A document is read in two steps: its text into values with their places (within limits of size and nesting,
//! keys unique), then the values, overrides laid over them, into a type. Whatever is wrong, at either step or
//! later, is told by the [`DocumentPath`] of the value; [`Document::error`] turns it into the line and column,
//! or into the `--set` that the value came from.

mod error;
mod overrides;
mod path;
mod redact;
mod source;
mod strict;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use error::{InputError, Setting};
pub use path::DocumentPath;
pub use redact::is_secret;

use crate::suggest::{did_you_mean, list};
use source::{Part, Source};
use strict::Strict;

/// A YAML file (or catalogue entry) and the overrides laid over it; or a part of one (see [`Document::at`]).
#[derive(Clone, Debug)]
pub struct Document {
    source: Arc<Source>,
    /// The whole document's values, overrides included.
    root: Value,
    /// The same without overrides.
    original: Arc<Value>,
    overrides: Vec<Override>,
    /// The file's folder, if it is one.
    folder: Option<PathBuf>,
    /// The part this document stands for.
    here: DocumentPath,
    files: FilesRead,
}

/// The files that documents and what they name were read from, shared by all that are to know of each other.
#[derive(Clone, Debug, Default)]
struct FilesRead(Arc<Mutex<BTreeSet<PathBuf>>>);

impl FilesRead {
    fn add(&self, files: impl IntoIterator<Item = PathBuf>) {
        self.0.lock().expect("nobody panics with it").extend(files);
    }

    fn list(&self) -> Vec<PathBuf> {
        let files = self.0.lock().expect("nobody panics with it");
        files.iter().cloned().collect()
    }
}

/// One place at which a `key=value` of the command line set its value.
#[derive(Clone, Debug)]
struct Override {
    place: DocumentPath,
    setting: Setting,
}

impl Document {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is not a file, or [`Document::from_text`] refuses its text.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let name = path.display().to_string();
        let text = read_text(path, source::MAX_BYTES)
            .map_err(|message| InputError::new(&name, message))?;
        let mut document = Document::from_text(&name, &text)?;
        document.folder = Some(path.parent().unwrap_or(Path::new("")).to_owned());
        document.files.add([path.to_owned()]);
        Ok(document)
    }

    /// Reads the text of `name` as YAML within limits of size and nesting.
    ///
    /// # Errors
    /// If the text is not YAML, too long or too deep.
    pub fn from_text(name: &str, text: &str) -> Result<Self, InputError> {
        let source = Source::read(name, text)?;
        let root = source.value();
        Ok(Document {
            source: Arc::new(source),
            original: Arc::new(root.clone()),
            root,
            overrides: Vec::new(),
            folder: None,
            here: DocumentPath::root(),
            files: FilesRead::default(),
        })
    }

    /// Takes values that were never a text: there is no line for its errors to point at, but what is laid over them.
    pub(crate) fn from_value(name: &str, value: Value) -> Self {
        let source = Source::read(name, "{}").expect("an empty mapping is YAML");
        Document {
            source: Arc::new(source),
            original: Arc::new(value.clone()),
            root: value,
            overrides: Vec::new(),
            folder: None,
            here: DocumentPath::root(),
            files: FilesRead::default(),
        }
    }

    /// The file's path or the catalogue entry's name.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// The whole file's text, as it was read.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// Reads a file that the value at `path` names, relative to this file.
    ///
    /// # Errors
    /// If this document is no file, or the other cannot be read as text.
    pub fn beside(&self, path: &DocumentPath, name: &str) -> Result<String, InputError> {
        let Some(folder) = &self.folder else {
            return Err(self
                .error(path, "only a topology in a file can name another file")
                .with_help("write this topology to a file, or state the values themselves"));
        };
        let file = folder.join(name);
        let text = read_text(&file, MAX_DATA_BYTES)
            .map_err(|message| self.error(path, format!("`{}`: {message}", name.escape_debug())))?;
        self.files.add([file]);
        Ok(text)
    }

    /// The files that this document, its clones and what they name were read from, as they were named.
    pub fn files(&self) -> Vec<PathBuf> {
        self.files.list()
    }

    /// Counts `files`, which something this document names was read from, among its own.
    pub fn adopt_files(&self, files: &[PathBuf]) {
        self.files.add(files.iter().cloned());
    }

    /// Counts the files of `other` among this document's, those that it will read included.
    pub fn adopt(&self, other: &mut Document) {
        self.files.add(other.files.list());
        other.files = self.files.clone();
    }

    /// The values of this document, overrides included.
    pub fn value(&self) -> &Value {
        get(&self.root, &self.here).expect("a part of a document is only made of what is there")
    }

    /// The part of this document at `path`, as a document whose errors still point into the whole; `None` if
    /// there is nothing at `path`.
    pub fn at(&self, path: &DocumentPath) -> Option<Document> {
        let here = self.here.join(path);
        get(&self.root, &here)?;
        Some(Document {
            here,
            ..self.clone()
        })
    }

    /// Sets the value at `key` to `text`, read as a YAML scalar or flow collection. A list's entries are named by
    /// index (`links.0.loss`), by name (`sites.virginia.hosts`, `links.virginia-dublin.rate`), or all at once
    /// (`links.*.rate`). `null` removes a value.
    ///
    /// # Errors
    /// If `text` is empty or not YAML, or `key` leads through a list's entry or a scalar's field that is not there.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), InputError> {
        self.lay(key, text, &Setting::overriding(key, text))
    }

    /// As [`set`](Self::set), for a value that was not given as `--set`: errors point at `setting`.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn lay(&mut self, key: &str, text: &str, setting: &Setting) -> Result<(), InputError> {
        let refused = |message| InputError::new(self.name(), message).at_setting(setting);
        // YAML would take it for `null`: a script's empty variable removed a link's rate.
        if text.trim().is_empty() {
            return Err(refused(
                "there is no value: write one, or `null` to remove what is there".to_owned(),
            ));
        }
        let value = source::read_value(text)
            .map_err(|message| refused(format!("the value is not YAML: {message}")))?;
        let mut root = self.root.clone();
        let part = get_mut(&mut root, &self.here).expect("as in `value`");
        let places = overrides::set(part, key, &value).map_err(refused)?;
        self.root = root;
        self.overrides
            .extend(places.into_iter().map(|place| Override {
                place: self.here.join(&place),
                setting: setting.clone(),
            }));
        Ok(())
    }

    /// The document as `T`; an error points at the value that `T` refused.
    ///
    /// # Errors
    /// If a field is unknown, missing or of the wrong kind.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        if self.value().is_null() {
            return Err(self.error(&DocumentPath::root(), "there is nothing here"));
        }
        serde_path_to_error::deserialize(Strict(self.value())).map_err(|error| self.refusal(&error))
    }

    /// An error about the value at `path` (of this document): `message` says in lower case what is wrong.
    /// [`InputError::with_help`] adds what would be right.
    pub fn error(&self, path: &DocumentPath, message: impl Into<String>) -> InputError {
        self.point(path, Part::Value, message.into())
    }

    /// Whether the value at `path` (of this document), or something around or inside it, came from `--set`.
    pub fn is_overridden(&self, path: &DocumentPath) -> bool {
        let place = self.here.join(path);
        self.overrides
            .iter()
            .any(|set| set.place.contains(&place) || place.contains(&set.place))
    }

    /// What was laid over the value at `place`, if anything: over it or around it; or into it, if it was not there.
    fn source_of(&self, place: &DocumentPath) -> Option<&Override> {
        let is_there = get(&self.original, place).is_some();
        let mut sets = self.overrides.iter().rev();
        let over = sets.clone().find(|set| set.place.contains(place));
        over.or_else(|| sets.find(|set| !is_there && place.contains(&set.place)))
    }

    fn point(&self, path: &DocumentPath, part: Part, message: String) -> InputError {
        let place = self.here.join(path);
        let error = InputError::new(self.name(), message);
        let mut error = match (self.source_of(&place), part) {
            (Some(set), Part::Key) if place.contains(&set.place) => {
                let below = set.place.segments().len() - place.segments().len();
                error.at_key(&set.setting, below)
            }
            (Some(set), _) => error.at_setting(&set.setting),
            (None, part) => self.source.point(error, &place, part),
        };
        error.path = place;
        error
    }

    /// What a type refused, with a suggestion for a misspelt name.
    fn refusal(&self, error: &serde_path_to_error::Error<serde_json::Error>) -> InputError {
        use serde_path_to_error::Segment;
        let segments = error.path().iter();
        let path = segments.fold(DocumentPath::root(), |path, segment| match segment {
            Segment::Seq { index } => path.index(*index),
            Segment::Map { key } => path.key(key),
            // A variant is a key of the document where its value stands behind it.
            Segment::Enum { variant } => match get(self.value(), &path.key(variant)) {
                Some(_) => path.key(variant),
                None => path,
            },
            Segment::Unknown => path,
        });
        let message = error.inner().to_string();
        // serde's own words; a test pins them.
        let Some((wrong, expected)) = message
            .split_once(", expected ")
            .filter(|_| message.starts_with("unknown "))
        else {
            let error = self.point(&path, Part::Value, in_plain_words(&message));
            return match is_unquoted(&message) {
                true => error.with_help("put it in quotes"),
                false => error,
            };
        };
        let part = if wrong.starts_with("unknown field") {
            Part::Key
        } else {
            Part::Value
        };
        let known: Vec<&str> = quoted(expected).collect();
        let mut wrong_name = quoted(wrong);
        let question = wrong_name
            .next()
            .and_then(|name| did_you_mean(name, &known));
        let list = list(known.iter().copied());
        let help = match question {
            Some(question) => format!("{question} There are: {list}"),
            None if known.is_empty() => "nothing may stand here".to_owned(),
            None => format!("there are: {list}"),
        };
        self.point(&path, part, wrong.to_owned()).with_help(help)
    }
}

/// Whether serde says that YAML takes for a number, or for true or false, what is to be text.
fn is_unquoted(message: &str) -> bool {
    let kinds = ["integer ", "floating point ", "boolean "];
    let found = message.strip_prefix("invalid type: ");
    found.is_some_and(|found| kinds.iter().any(|kind| found.starts_with(kind)))
        && message.ends_with(", expected a string")
}

/// serde's message without Rust's names for types.
fn in_plain_words(message: &str) -> String {
    const WORDS: [(&str, &str); 9] = [
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list"),
        ("elements in sequence", "entries in the list"),
        ("expected an array of length", "expected a list of length"),
        ("invalid type: map", "invalid type: mapping"),
        ("invalid type: sequence", "invalid type: list"),
    ];
    let message = match message.split_once(", expected struct ") {
        Some((found, _)) => format!("{found}, expected a mapping"),
        None => message.to_owned(),
    };
    WORDS.iter().fold(shortened(message), |text, (from, to)| {
        text.replace(from, to)
    })
}

/// The message without most of a long text in it: serde quotes all of it, which can be a whole file.
fn shortened(message: String) -> String {
    /// Characters that are enough to know it again.
    const KEPT: usize = 40;
    let quoted = message
        .split_once("string \"")
        .and_then(|(before, rest)| Some((before, rest.rsplit_once("\", expected ")?)));
    match quoted {
        Some((before, (text, expected))) if text.chars().count() > 2 * KEPT => {
            let kept: String = text.chars().take(KEPT).collect();
            format!("{before}string \"{kept}…\", expected {expected}")
        }
        _ => message,
    }
}

/// The names between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn get<'a>(root: &'a Value, path: &DocumentPath) -> Option<&'a Value> {
    path.segments()
        .try_fold(root, |value, segment| match value {
            Value::Array(entries) => entries.get(segment.parse::<usize>().ok()?),
            value => value.get(segment),
        })
}

fn get_mut<'a>(root: &'a mut Value, path: &DocumentPath) -> Option<&'a mut Value> {
    path.segments()
        .try_fold(root, |value, segment| match value {
            Value::Array(entries) => entries.get_mut(segment.parse::<usize>().ok()?),
            value => value.get_mut(segment),
        })
}

/// A trace of an hour, a line for every millisecond.
const MAX_DATA_BYTES: usize = 64 << 20;

/// The text of a file of at most so many bytes.
///
/// # Errors
/// If there is no such file, it is longer, or no text; the message, in lower case, does not name it.
pub fn read_text(path: &Path, most: usize) -> Result<String, String> {
    use std::io::Read;
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("cannot read the file: {error}"),
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err("this is a folder, not a file".to_owned());
    }
    let mut bytes = Vec::new();
    // One byte past the limit, so that a longer file (or an endless one, like a pipe) is refused, not cut.
    file.take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > most {
        return Err(format!(
            "the file is longer than the {most} bytes an input file may have"
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("the file is not text: the byte at offset {at} is not UTF-8")
    })
}

#[cfg(test)]
mod tests;
