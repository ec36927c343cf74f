//! Files embedded in the binary, found by name: topologies here, experiments, traces and claims in crates above.

use std::path::Path;

use crate::document::{Document, InputError};
use crate::suggest::did_you_mean;

/// An embedded file.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name a user types.
    pub name: &'static str,
    /// Its YAML.
    pub text: &'static str,
}

/// The files of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue {
    /// What each of them is: `topology`.
    kind: &'static str,
    entries: &'static [Entry],
}

/// The [`Catalogue`] of a kind of file: the folder, relative to the source file that asks, and the names without `.yaml`.
#[macro_export]
macro_rules! embedded {
    ($kind:literal in $folder:literal: $($name:literal),* $(,)?) => {
        $crate::embedded::Catalogue::new(
            $kind,
            &[$($crate::embedded::Entry { name: $name, text: include_str!(concat!($folder, "/", $name, ".yaml")) }),*],
        )
    };
}

impl Catalogue {
    /// Of files that are each a `kind`; see [`embedded!`](crate::embedded!).
    pub const fn new(kind: &'static str, entries: &'static [Entry]) -> Self {
        Self { kind, entries }
    }

    /// All of them, in the catalogue's order.
    pub const fn entries(&self) -> &'static [Entry] {
        self.entries
    }

    /// The one of that name.
    pub fn find(&self, name: &str) -> Option<Entry> {
        let mut entries = self.entries.iter().copied();
        entries.find(|entry| entry.name == name)
    }

    /// Opens the entry of that name, else a file by its path (`./campus` is a file, `campus` the catalogue's); a name that is neither
    /// gets an error that lists the closest name and all.
    ///
    /// # Errors
    /// If there is no such entry or file, or it is not YAML.
    pub fn open(&self, name_or_path: &str) -> Result<Document, InputError> {
        if let Some(entry) = self.find(name_or_path) {
            return Document::from_text(entry.name, entry.text);
        }
        let path = Path::new(name_or_path);
        let is_meant_as_path = path.components().count() != 1 || path.extension().is_some();
        match is_meant_as_path || path.exists() {
            true => Document::read(path),
            false => Err(self.unknown(name_or_path)),
        }
    }

    /// The error for a name that is neither in the catalogue nor a file's.
    pub fn unknown(&self, name: &str) -> InputError {
        let kind = self.kind;
        let message = format!("there is no such {kind} in the catalogue, and no such file");
        let names: Vec<&str> = self.entries.iter().map(|entry| entry.name).collect();
        let list = names.join(", ");
        InputError::new(name, message).with_help(match did_you_mean(name, names) {
            Some(question) => format!("{question} The catalogue has: {list}"),
            None => format!("the catalogue has: {list}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PETS: Catalogue = Catalogue::new(
        "pet",
        &[
            Entry {
                name: "canary",
                text: "legs: 2",
            },
            Entry {
                name: "tortoise",
                text: "legs: 4",
            },
        ],
    );

    #[test]
    fn a_name_is_the_catalogues_before_it_is_a_file() {
        assert_eq!(PETS.open("canary").unwrap().text(), "legs: 2");
        for path in ["./canary", "canary.yaml", "nowhere/canary"] {
            let error = PETS.open(path).unwrap_err();
            assert_eq!(error.message, "there is no such file", "{path}");
        }
    }

    #[test]
    fn a_name_that_is_not_there_gets_the_closest_one_and_all() {
        let refused = |name: &str| PETS.open(name).unwrap_err();
        assert_eq!(
            refused("cannary").to_string(),
            "cannary: there is no such pet in the catalogue, and no such file"
        );
        assert_eq!(
            refused("cannary").help.unwrap(),
            "did you mean `canary`? The catalogue has: canary, tortoise"
        );
        assert_eq!(
            refused("x").help.unwrap(),
            "the catalogue has: canary, tortoise"
        );
    }
}
