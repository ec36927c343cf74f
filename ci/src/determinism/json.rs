//! `result.json`, without what may differ.
//!
//! It is compared as it is written, so that another order of fields or another spelling of a number counts. Only where it differs
//! is it taken apart, to say where.

use std::ops::Range;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::bytes;
use super::tally::{Place, Tally};

/// Where the sections that may differ stand: by their names in version 2 and later, then in version 1.
#[derive(Deserialize)]
struct MayDiffer<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    run_details: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    command: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    started: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    finished: Option<&'a RawValue>,
}

/// The names of the fields of [`MayDiffer`].
const MAY_DIFFER: [&str; 4] = ["run_details", "command", "started", "finished"];

/// A field that is null is there all the same: it may be so in one of two results.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Compares two whole files.
pub(super) fn compare(a: &[u8], b: &[u8], tally: &mut Tally) {
    let (Some(rest_of_a), Some(rest_of_b)) = (rest(a), rest(b)) else {
        // One is no result, so there is nothing to leave out.
        spelling(a, b, tally);
        return;
    };
    if rest_of_a == rest_of_b {
        return;
    }
    if let (Ok(mut a), Ok(mut b)) = (serde_json::from_slice(a), serde_json::from_slice(b)) {
        for value in [&mut a, &mut b] {
            leave_out(value);
        }
        values(&mut String::new(), Some(&a), Some(&b), tally);
    }
    if tally.is_empty() {
        spelling(&rest_of_a.concat(), &rest_of_b.concat(), tally);
    }
}

/// The same values in other words: the first lines that differ.
fn spelling(a: &[u8], b: &[u8], tally: &mut Tally) {
    bytes::lines(&mut &*a, &mut &*b, tally).expect("memory can always be read");
}

/// What is left of a result without its sections that may differ; `None` if it is no JSON object.
fn rest(text: &[u8]) -> Option<Vec<&[u8]>> {
    let MayDiffer {
        run_details,
        command,
        started,
        finished,
    } = serde_json::from_slice(text).ok()?;
    let place = |raw: &RawValue| -> Range<usize> {
        let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
        start..start + raw.get().len()
    };
    let fields = [run_details, command, started, finished];
    let mut left_out: Vec<Range<usize>> = fields.into_iter().flatten().map(place).collect();
    left_out.sort_by_key(|range| range.start);
    let mut pieces = Vec::new();
    let mut from = 0;
    for range in left_out {
        pieces.push(&text[from..range.start]);
        from = range.end;
    }
    pieces.push(&text[from..]);
    Some(pieces)
}

fn leave_out(result: &mut Value) {
    if let Some(fields) = result.as_object_mut() {
        for name in MAY_DIFFER {
            fields.shift_remove(name);
        }
    }
}

/// Tells every leaf that differs; `path` is that of the two, and is given back as it was.
fn values(path: &mut String, a: Option<&Value>, b: Option<&Value>, tally: &mut Tally) {
    if a == b {
        return;
    }
    let length = path.len();
    match (a, b) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let only_in_b = b.keys().filter(|name| !a.contains_key(*name));
            for name in a.keys().chain(only_in_b) {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                values(path, a.get(name), b.get(name), tally);
                path.truncate(length);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                path.push_str(&format!("[{index}]"));
                values(path, a.get(index), b.get(index), tally);
                path.truncate(length);
            }
        }
        _ => tally.found(
            Place::Value { path: path.clone() },
            a.map(told),
            b.map(told),
        ),
    }
}

/// A value as JSON; of a whole object or array, how much there is.
fn told(value: &Value) -> String {
    match value {
        Value::Object(fields) => format!("an object of {}", fields.len()),
        Value::Array(values) => format!("an array of {}", values.len()),
        leaf => bytes::shortened(&leaf.to_string()),
    }
}
