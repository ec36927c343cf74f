//! A catalogue name, a file or a folder, read as a trace.

use std::fs;
use std::path::{Path, PathBuf};

use longhaul_topologies::document::read_text;
use longhaul_topologies::{Document, InputError};

use super::catalogue::CATALOGUE;
use super::chakra;
use super::file::{self, MOST_RANKS};
use super::trace::Trace;

/// A trace as it lies somewhere. How many ranks it has may depend on how many there are.
#[derive(Clone, Debug)]
pub struct TraceSource {
    form: Form,
    /// What it was read from.
    files: Vec<PathBuf>,
}

#[derive(Clone, Debug)]
enum Form {
    /// longhaul's own.
    Own(Document),
    /// Chakra's, the same for every rank.
    ChakraAlike(String, chakra::File),
    /// Chakra's, a file for every rank.
    Chakra(String, Vec<chakra::File>),
}

/// A Chakra trace of many steps has some hundred megabytes, and no more is learnt from them.
const MOST_BYTES: usize = 64 << 20;

impl TraceSource {
    /// Opens `name`: a trace of the catalogue, else a path relative to `folder`: a `.json` file or a folder of them is Chakra's.
    ///
    /// # Errors
    /// If there is no such thing, or it cannot be read as text.
    pub fn open(name: &str, folder: &Path) -> Result<Self, InputError> {
        if let Some(entry) = CATALOGUE.find(name) {
            return Ok(Self {
                form: Form::Own(Document::from_text(entry.name, entry.text)?),
                files: Vec::new(),
            });
        }
        let path = folder.join(name);
        let stem = path.file_stem().unwrap_or_default();
        let title = stem.to_string_lossy().into_owned();
        let form = if path.is_dir() {
            Form::Chakra(title, of_ranks(&path)?)
        } else if !path.exists() {
            return Err(CATALOGUE.unknown(name));
        } else if path.extension().is_some_and(|ending| ending == "json") {
            Form::ChakraAlike(title, read(&path)?)
        } else {
            Form::Own(Document::read(&path)?)
        };
        Ok(Self {
            form,
            files: vec![path],
        })
    }

    /// The file or folder that it was read from; none of the catalogue.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The trace, for as many ranks as there are `hosts` if it leaves that open.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and what would be right.
    pub fn trace(&self, hosts: usize) -> Result<Trace, InputError> {
        match &self.form {
            Form::Own(document) => file::read(document, hosts),
            Form::ChakraAlike(title, file) => chakra::read_alike(title, file, hosts),
            Form::Chakra(title, files) => chakra::read(title, files),
        }
    }
}

fn read(path: &Path) -> Result<chakra::File, InputError> {
    let name = path.display().to_string();
    match read_text(path, MOST_BYTES) {
        Ok(text) => Ok(chakra::File { name, text }),
        Err(message) => Err(InputError::new(name, message)),
    }
}

/// The files `NAME.0.json`, `NAME.1.json`, … of `folder`, in the order of ranks.
fn of_ranks(folder: &Path) -> Result<Vec<chakra::File>, InputError> {
    let refuse = |message: String| {
        let error = InputError::new(folder.display().to_string(), message);
        error.with_help(
            "a folder has one Chakra trace, a file for every rank: `NAME.0.json`, `NAME.1.json`, …",
        )
    };
    let entries =
        fs::read_dir(folder).map_err(|error| refuse(format!("cannot list it: {error}")))?;
    let mut found: Vec<(String, usize, PathBuf)> = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((stem, rank)) = name
            .strip_suffix(".json")
            .and_then(|name| name.rsplit_once('.'))
        else {
            continue;
        };
        if let Ok(rank) = rank.parse::<usize>() {
            found.push((stem.to_owned(), rank, path.clone()));
        }
    }
    found.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let Some((first, ..)) = found.first() else {
        return Err(refuse("there are no files of ranks here".to_owned()));
    };
    if let Some((other, ..)) = found.iter().find(|(stem, ..)| stem != first) {
        return Err(refuse(format!(
            "there are two traces here, `{first}` and `{other}`"
        )));
    }
    if !(2..=MOST_RANKS).contains(&found.len()) {
        return Err(refuse(format!(
            "a trace has 2 to {MOST_RANKS} ranks, and here are {}",
            found.len()
        )));
    }
    if let Some((expected, _)) = found
        .iter()
        .enumerate()
        .find(|(place, (_, rank, _))| place != rank)
    {
        return Err(refuse(format!("there is no `{first}.{expected}.json`")));
    }
    found.iter().map(|(_, _, path)| read(path)).collect()
}
