//! YAML text as a tree that remembers where everything stands.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_yaml::{Location, Spanned};

use super::{DocumentPath, InputError};

/// A full mesh of 250 sites, the most there can be, takes some 3 MB.
pub(super) const MAX_BYTES: usize = 8 << 20;
const MAX_NODES: usize = 1_000_000;
/// Nodes that aliases may repeat: a few defaults are shared, not a text multiplied.
const MAX_REPLAYED: usize = 50_000;
/// The formats need six levels; the readers recurse.
pub(super) const MAX_DEPTH: usize = 32;

/// A text and the places of the values in it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: Arc<str>,
    root: Node,
}

/// A value and where it stands.
type Node = Spanned<Data>;

#[derive(Clone, Debug)]
enum Data {
    Scalar(Value),
    List(Vec<Node>),
    Mapping(Vec<(Spanned<String>, Node)>),
}

/// Which part of a mapping's entry an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Key,
    Value,
}

impl Source {
    /// Reads `text` within limits of size and nesting.
    pub(super) fn read(name: &str, text: &str) -> Result<Self, InputError> {
        let text = Arc::from(text);
        let root = match read_yaml(&text) {
            Ok(root) => root,
            Err(problem) => return Err(problem.into_error(name, &text)),
        };
        Ok(Source {
            name: name.to_owned(),
            text,
            root,
        })
    }

    /// The values without their places.
    pub(super) fn value(&self) -> Value {
        self.root.value.to_value()
    }

    /// Points `error` at the `part` of the entry at `path`, or at what there is on the way to it.
    pub(super) fn point(&self, error: InputError, path: &DocumentPath, part: Part) -> InputError {
        let mut node = &self.root;
        let mut location = node.referenced;
        let mut segments = path.segments();
        while let Some(segment) = segments.next() {
            let Some((key, value)) = node.value.entry(segment) else {
                break;
            };
            node = value;
            location = match key {
                Some(key) if segments.len() == 0 && part == Part::Key => key,
                _ => value.referenced,
            };
        }
        point_at(error, &self.text, location)
    }
}

impl Data {
    /// The entry a segment of a path leads to, and where its key stands if it has one.
    fn entry(&self, segment: &str) -> Option<(Option<Location>, &Node)> {
        match self {
            Data::Scalar(_) => None,
            Data::List(entries) => Some((None, entries.get(segment.parse::<usize>().ok()?)?)),
            Data::Mapping(entries) => entries
                .iter()
                .find(|(key, _)| key.value == segment)
                .map(|(key, value)| (Some(key.referenced), value)),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Data::Scalar(value) => value.clone(),
            Data::List(entries) => entries.iter().map(|entry| entry.value.to_value()).collect(),
            Data::Mapping(entries) => entries
                .iter()
                .map(|(key, value)| (key.value.clone(), value.value.to_value()))
                .collect(),
        }
    }
}

/// Reads `text`, without a document around it, as a YAML value.
pub(super) fn read_value(text: &str) -> Result<Value, String> {
    read_yaml(text)
        .map(|node| node.value.to_value())
        .map_err(|problem| problem.message)
}

/// What the YAML reader refused.
struct Problem {
    message: String,
    location: Location,
}

fn read_yaml(text: &str) -> Result<Node, Problem> {
    if text.len() > MAX_BYTES {
        let message = format!(
            "{} bytes are more than the {MAX_BYTES} an input file may have",
            text.len()
        );
        return Err(Problem {
            message,
            location: Location::UNKNOWN,
        });
    }
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
            max_replay_stack_depth: MAX_DEPTH,
        },
        // As YAML 1.2 has it: no `<<`, and `no` is a text.
        merge_keys: serde_yaml::MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_yaml::from_str_with_options(text, options).map_err(|error| Problem {
        location: error.location().unwrap_or(Location::UNKNOWN),
        message: message_of(&error),
    })
}

impl Problem {
    fn into_error(self, name: &str, text: &Arc<str>) -> InputError {
        point_at(InputError::new(name, self.message), text, self.location)
    }
}

/// The reader's message in this project's form: without the position, which the error has, and in lower case.
fn message_of(error: &serde_yaml::Error) -> String {
    let error = error.without_snippet();
    match error {
        serde_yaml::Error::DuplicateMappingKey { key: Some(key), .. } => {
            return format!("the key `{}` is there twice", key.escape_debug());
        }
        serde_yaml::Error::MergeKeyNotAllowed { .. } => {
            return "merge keys (`<<`) are not read: write the fields out".to_owned();
        }
        serde_yaml::Error::UnknownAnchor { .. } => {
            return "there is no anchor of this name before it: put the text in quotes if none is meant".to_owned();
        }
        serde_yaml::Error::Budget { .. } => {
            return "the document is too large, too deeply nested, or repeats too much by aliases"
                .to_owned();
        }
        serde_yaml::Error::MultipleDocuments { .. } => {
            return "a second document begins here: a file holds one".to_owned();
        }
        _ => {}
    }
    let text = error.render_with_formatter(&serde_yaml::UserMessageFormatter);
    let first = text.lines().next().unwrap_or_default();
    let first = first
        .split(" at line ")
        .next()
        .unwrap_or(first)
        .trim_end_matches('.');
    match first.split_at_checked(1) {
        Some((letter, rest)) if !rest.starts_with(char::is_uppercase) => {
            letter.to_lowercase() + rest
        }
        _ if first.is_empty() => "this is not YAML".to_owned(),
        _ => first.to_owned(),
    }
}

/// Points `error` at `location`, no further than to the end of its line; at the start of the text if unknown.
fn point_at(error: InputError, text: &Arc<str>, location: Location) -> InputError {
    let (line, column) = (
        location.line().max(1) as usize,
        location.column().max(1) as usize,
    );
    let span = location.span();
    // The scanner's own errors have no byte offset.
    let offset = span
        .byte_offset()
        .map_or_else(|| offset_of(text, line, column), |offset| offset as usize)
        .min(text.len());
    let rest = text.get(offset..).unwrap_or_default();
    let to_line_end = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let length = span
        .byte_len()
        .map_or(0, |length| (length as usize).min(to_line_end));
    error.at_text(text, (line, column), offset, length)
}

/// Bytes before that line and column, both 1-based and the column in characters.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(line - 1).map(str::len).sum();
    let within = lines.next().unwrap_or_default();
    let in_line = within.char_indices().nth(column - 1);
    before + in_line.map_or(within.trim_end().len(), |(offset, _)| offset)
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Data, E> {
        Ok(Data::Scalar(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Data, E> {
        self.visit_unit()
    }

    fn visit_some<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Scalar(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Scalar(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Data, E> {
        Ok(Data::Scalar(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Data, E> {
        Err(E::custom(format!("the number {value} is too large")))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Data, E> {
        Err(E::custom(format!("the number {value} is too large")))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Data, E> {
        Ok(Data::Scalar(value.into()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Data, E> {
        Ok(Data::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Data, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_element()? {
            entries.push(entry);
        }
        Ok(Data::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Data, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Data::Mapping(entries))
    }
}
