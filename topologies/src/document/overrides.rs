//! Values laid over a document's own (`--set key=value`).

use serde_json::{Map, Value};

use super::DocumentPath;
use super::source::MAX_DEPTH;
use crate::suggest::did_you_mean;

/// Sets the value at `key` (`links.0.loss`, `sites.virginia.hosts`, `links.*.rate`) inside `root` to `new` and
/// returns the places it was set at. Mappings that are missing on the way are made, so that a default can be
/// overridden that the file does not mention; a misspelt one is found when the document is parsed.
pub(super) fn set(root: &mut Value, key: &str, new: &Value) -> Result<Vec<DocumentPath>, String> {
    let segments: Vec<&str> = key.split('.').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err(format!(
            "`{key}` is not a place in the file: write for example `links.0.loss`"
        ));
    }
    if segments.len() > MAX_DEPTH {
        return Err(format!(
            "a key of {} parts is too deep: at most {MAX_DEPTH}",
            segments.len()
        ));
    }
    let mut places = Vec::new();
    descend(root, &DocumentPath::root(), &segments, new, &mut places)?;
    Ok(places)
}

fn descend(
    value: &mut Value,
    here: &DocumentPath,
    segments: &[&str],
    new: &Value,
    places: &mut Vec<DocumentPath>,
) -> Result<(), String> {
    let Some((&segment, rest)) = segments.split_first() else {
        *value = new.clone();
        places.push(here.clone());
        return Ok(());
    };
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(entries) => {
            let entry = entries.entry(segment).or_insert(Value::Null);
            descend(entry, &here.key(segment), rest, new, places)
        }
        Value::Array(entries) if segment == "*" => {
            for (index, entry) in entries.iter_mut().enumerate() {
                descend(entry, &here.index(index), rest, new, places)?;
            }
            Ok(())
        }
        Value::Array(entries) => {
            let index = find(entries, here, segment)?;
            descend(&mut entries[index], &here.index(index), rest, new, places)
        }
        scalar => Err(format!(
            "`{here}` is {scalar}: there is no `{segment}` in it"
        )),
    }
}

/// The entry of a list that `segment` means: by index, by `name`, or by the two ends of `between`.
fn find(entries: &[Value], list: &DocumentPath, segment: &str) -> Result<usize, String> {
    if let Ok(index) = segment.parse::<usize>() {
        return match entries.len() {
            0 => Err(format!("`{list}` is empty: there is no entry {index}")),
            count if index >= count => Err(format!(
                "`{list}` has no entry {index}: its entries are 0 to {}",
                count - 1
            )),
            _ => Ok(index),
        };
    }
    let named: Vec<usize> = (0..entries.len())
        .filter(|&index| names(&entries[index]).iter().any(|name| name == segment))
        .collect();
    match named[..] {
        [index] => Ok(index),
        [] => {
            let known = entries
                .iter()
                .filter_map(|entry| names(entry).into_iter().next());
            let question = did_you_mean(segment, known);
            let way_on = question
                .as_deref()
                .unwrap_or("use its name, its number from 0, or `*` for all");
            Err(format!("`{list}` has no entry `{segment}`: {way_on}"))
        }
        [first, second, ..] => Err(format!(
            "`{segment}` could be entry {first} or {second} of `{list}`: use the number"
        )),
    }
}

/// What an entry of a list can be called: its `name`, or `a-b` and `b-a` for a link between `a` and `b`.
fn names(entry: &Value) -> Vec<String> {
    if let Some(name) = entry.get("name").and_then(Value::as_str) {
        return vec![name.to_owned()];
    }
    match entry
        .get("between")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([Value::String(a), Value::String(b)]) => vec![format!("{a}-{b}"), format!("{b}-{a}")],
        _ => Vec::new(),
    }
}
