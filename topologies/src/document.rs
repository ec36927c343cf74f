//! A YAML document with overrides, and errors that know their line and column.
//!
//! A document is read in two steps: its text into values with their places (within limits of size and nesting,
//! keys unique), then the values, overrides laid over them, into a type. Whatever is wrong, at either step or
//! later, is told by the [`DocumentPath`] of the value; [`Document::error`] turns it into the line and column,
//! or into the `--set` that the value came from.

mod error;
mod overrides;
mod path;
mod source;
mod strict;

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use error::InputError;
pub use path::DocumentPath;

use source::{Part, Source};
use strict::Strict;

/// A YAML file (or catalogue entry) and the overrides laid over it; or a part of one (see [`Document::at`]).
#[derive(Clone, Debug)]
pub struct Document {
    source: Arc<Source>,
    /// The whole document's values, overrides included.
    root: Value,
    overrides: Vec<Override>,
    /// The part this document stands for.
    here: DocumentPath,
}

/// One place at which a `--set key=value` set its value.
#[derive(Clone, Debug)]
struct Override {
    place: DocumentPath,
    key: String,
    value: String,
}

impl Document {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is not a file, or [`Document::from_text`] refuses its text.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let name = path.display().to_string();
        let text = read_file(path).map_err(|message| InputError::new(&name, message))?;
        Document::from_text(&name, &text)
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
            root,
            overrides: Vec::new(),
            here: DocumentPath::root(),
        })
    }

    /// The file's path or the catalogue entry's name.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// The whole file's text, as it was read.
    pub fn text(&self) -> &str {
        &self.source.text
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
    /// If `text` is not YAML, or `key` leads through a list's entry or a scalar's field that is not there.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), InputError> {
        let refused = |message| {
            let error = InputError::new(self.name(), message);
            error.at_setting(key, text)
        };
        let value = source::read_value(text)
            .map_err(|message| refused(format!("the value is not YAML: {message}")))?;
        let mut root = self.root.clone();
        let part = get_mut(&mut root, &self.here).expect("as in `value`");
        let places = overrides::set(part, key, &value).map_err(refused)?;
        self.root = root;
        self.overrides
            .extend(places.into_iter().map(|place| Override {
                place: self.here.join(&place),
                key: key.to_owned(),
                value: text.to_owned(),
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

    fn point(&self, path: &DocumentPath, part: Part, message: String) -> InputError {
        let place = self.here.join(path);
        let mut error = InputError::new(self.name(), message);
        match self
            .overrides
            .iter()
            .rev()
            .find(|set| set.place.contains(&place))
        {
            Some(set) => error = error.at_setting(&set.key, &set.value),
            None => error = self.source.point(error, &place, part),
        }
        error.path = place;
        error
    }

    /// What a type refused, with a suggestion for a misspelt name.
    fn refusal(&self, error: &serde_path_to_error::Error<serde_json::Error>) -> InputError {
        use serde_path_to_error::Segment;
        let path: DocumentPath = error
            .path()
            .iter()
            .filter_map(|segment| match segment {
                Segment::Seq { index } => Some(index.to_string()),
                Segment::Map { key } => Some(key.clone()),
                Segment::Enum { .. } | Segment::Unknown => None,
            })
            .collect();
        let message = error.inner().to_string();
        // serde's own words; a test pins them.
        let Some((wrong, expected)) = message
            .split_once(", expected ")
            .filter(|_| message.starts_with("unknown "))
        else {
            return self.point(&path, Part::Value, in_plain_words(&message));
        };
        let part = if wrong.starts_with("unknown field") {
            Part::Key
        } else {
            Part::Value
        };
        let known: Vec<&str> = quoted(expected).collect();
        let suggestion = quoted(wrong)
            .next()
            .and_then(|name| crate::suggest::closest(name, &known));
        let list = known
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let help = match suggestion {
            Some(name) => format!("did you mean `{name}`? There are: {list}"),
            None if known.is_empty() => "nothing may stand here".to_owned(),
            None => format!("there are: {list}"),
        };
        self.point(&path, part, wrong.to_owned()).with_help(help)
    }
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
    WORDS.iter().fold(message.to_owned(), |text, (from, to)| {
        text.replace(from, to)
    })
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

fn read_file(path: &Path) -> Result<String, String> {
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
    file.take(source::MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > source::MAX_BYTES {
        return Err(format!(
            "the file is longer than the {} bytes an input file may have",
            source::MAX_BYTES
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("the file is not text: the byte at offset {at} is not UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::units::Probability;

    const TEXT: &str = "\
name: two
sites:
  - name: virginia
    hosts: 2
  - name: dublin
links:
  - between: [virginia, dublin]
    loss: 0.1%
";

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Whole {
        name: String,
        #[serde(default)]
        sites: Vec<BTreeMap<String, Value>>,
        #[serde(default)]
        links: Vec<Link>,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Link {
        between: [String; 2],
        loss: Option<Probability>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        Normal,
        Uniform,
    }

    fn document() -> Document {
        Document::from_text("two.yaml", TEXT).unwrap()
    }

    fn place(segments: &[&str]) -> DocumentPath {
        segments.iter().map(|&segment| segment.to_owned()).collect()
    }

    #[test]
    fn a_wrong_value_is_told_by_line_and_column() {
        let text = TEXT.replace("0.1%", "120%");
        let error = Document::from_text("two.yaml", &text)
            .unwrap()
            .parse::<Whole>()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "two.yaml:8:11: `120%` is too large: at most 100%, which is certain"
        );
        assert_eq!(error.path, place(&["links", "0", "loss"]));
        let label = miette::Diagnostic::labels(&error).unwrap().next().unwrap();
        assert_eq!(&text[label.offset()..][..label.len()], "120%");
    }

    #[test]
    fn an_unknown_field_is_told_at_its_key_with_the_closest_name() {
        let text = TEXT.replace("loss:", "los:");
        let error = Document::from_text("two.yaml", &text)
            .unwrap()
            .parse::<Whole>()
            .unwrap_err();
        assert_eq!(error.to_string(), "two.yaml:8:5: unknown field `los`");
        assert_eq!(
            error.help.as_deref(),
            Some("did you mean `loss`? There are: `between`, `loss`")
        );
    }

    #[test]
    fn an_unknown_variant_is_told_at_its_value() {
        let text = format!("{TEXT}kind: norml\n");
        let error = Document::from_text("two.yaml", &text)
            .unwrap()
            .parse::<Whole>()
            .unwrap_err();
        assert_eq!(error.to_string(), "two.yaml:9:7: unknown variant `norml`");
        assert_eq!(
            error.help.as_deref(),
            Some("did you mean `normal`? There are: `normal`, `uniform`")
        );
    }

    #[test]
    fn a_missing_field_is_told_at_the_mapping_that_lacks_it() {
        let text = TEXT.replace("between: [virginia, dublin]\n    ", "");
        let error = Document::from_text("two.yaml", &text)
            .unwrap()
            .parse::<Whole>()
            .unwrap_err();
        assert_eq!(error.to_string(), "two.yaml:7:5: missing field `between`");
    }

    #[test]
    fn an_override_wins_and_is_named_when_it_is_wrong() {
        let mut document = document();
        document.set("links.0.loss", "1%").unwrap();
        assert_eq!(
            document.parse::<Whole>().unwrap().links[0].loss,
            Probability::new(0.01)
        );
        document.set("links.virginia-dublin.loss", "120%").unwrap();
        let error = document.parse::<Whole>().unwrap_err();
        assert_eq!(error.position, None);
        assert_eq!(error.setting(), Some("links.virginia-dublin.loss=120%"));
        assert_eq!(
            error.to_string(),
            "two.yaml with --set links.virginia-dublin.loss=120%: `120%` is too large: at most 100%, which is certain"
        );
    }

    #[test]
    fn list_entries_are_set_by_index_by_name_and_all_at_once() {
        let mut document = document();
        document.set("sites.dublin.hosts", "3").unwrap();
        document.set("sites.1.place", "Dublin, Ireland").unwrap();
        document.set("links.dublin-virginia.loss", "null").unwrap();
        assert_eq!(document.value()["sites"][1]["hosts"], 3);
        assert_eq!(document.value()["sites"][1]["place"], "Dublin, Ireland");
        assert!(document.value()["links"][0]["loss"].is_null());
        document.set("sites.*.hosts", "7").unwrap();
        assert_eq!(
            (
                &document.value()["sites"][0]["hosts"],
                &document.value()["sites"][1]["hosts"]
            ),
            (&7.into(), &7.into())
        );
        document.set("defaults.hosts", "[1, 2]").unwrap();
        assert_eq!(document.value()["defaults"]["hosts"][1], 2);
    }

    #[test]
    fn an_override_of_what_is_not_there_is_refused_and_changes_nothing() {
        for (key, message) in [
            (
                "links.1.loss",
                "`links` has no entry 1: its entries are 0 to 0",
            ),
            (
                "links.*.loss.deep",
                "`links.0.loss` is \"0.1%\": there is no `deep` in it",
            ),
            (
                "sites.virgina.hosts",
                "`sites` has no entry `virgina`: did you mean `virginia`?",
            ),
            (
                "links..loss",
                "`links..loss` is not a place in the file: write for example `links.0.loss`",
            ),
        ] {
            let mut document = document();
            let error = document.set(key, "1%").unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("two.yaml with --set {key}=1%: {message}")
            );
            assert_eq!(document.value(), &self::document().root);
        }
    }

    #[test]
    fn a_part_points_into_the_whole() {
        let text = "topology:\n  name: two\n  links:\n    - between: [a, b]\n      loss: 120%\n";
        let mut whole = Document::from_text("experiment.yaml", text).unwrap();
        whole.set("topology.links.0.between", "[a, c]").unwrap();
        let mut part = whole.at(&place(&["topology"])).unwrap();
        let error = part.parse::<Whole>().unwrap_err();
        assert_eq!(error.position, Some((5, 13)));
        assert_eq!(error.path, place(&["topology", "links", "0", "loss"]));
        part.set("links.0.loss", "1%").unwrap();
        assert_eq!(part.parse::<Whole>().unwrap().links[0].between, ["a", "c"]);
        assert!(part.is_overridden(&place(&["links", "0", "between"])));
        assert!(whole.at(&place(&["topologies"])).is_none());
    }

    #[test]
    fn yaml_errors_have_positions() {
        for (text, position) in [
            ("a: [1, 2\nb: 3\n", Some((2, 2))),
            ("a: 1\na: 2\n", Some((2, 1))),
            ("a: 1\n---\nb: 2\n", Some((3, 1))),
            ("a: *nowhere\n", Some((1, 4))),
        ] {
            let error = Document::from_text("bad.yaml", text).unwrap_err();
            assert_eq!(error.position, position, "{error}");
        }
    }

    #[test]
    fn limits_hold() {
        let deep = "[".repeat(40) + &"]".repeat(40);
        let laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned()
            + &('b'..='h')
                .map(|name| {
                    let before = char::from(name as u8 - 1);
                    format!(
                        "{name}: &{name} [{}]\n",
                        vec![format!("*{before}"); 10].join(", ")
                    )
                })
                .collect::<String>();
        let long = format!("a: \"{}\"", "x".repeat(source::MAX_BYTES));
        for text in [deep, laughs, long] {
            assert!(
                Document::from_text("bad.yaml", &text)
                    .unwrap_err()
                    .position
                    .is_some()
            );
        }
    }

    #[test]
    fn unreadable_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| Document::read(path).unwrap_err().message;
        assert_eq!(
            message(&folder.path().join("none.yaml")),
            "there is no such file"
        );
        assert_eq!(message(folder.path()), "this is a folder, not a file");
        let file = folder.path().join("latin1.yaml");
        std::fs::write(&file, b"name: caf\xe9").unwrap();
        assert_eq!(
            message(&file),
            "the file is not text: the byte at offset 9 is not UTF-8"
        );
        std::fs::write(&file, "x".repeat(source::MAX_BYTES + 1)).unwrap();
        assert_eq!(
            message(&file),
            "the file is longer than the 8388608 bytes an input file may have"
        );
    }
}
