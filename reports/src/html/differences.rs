//! What the experiments of several results differ in, setting by setting.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use serde_json::Value;

use crate::folder::Opened;
use crate::format::plural;
use crate::html::table;

/// More lines than this are two experiments that have little in common.
const MOST: usize = 30;

/// Tell nothing of what was run.
const NAMES: [&str; 2] = ["name", "description"];

/// The settings by where they stand, as `topology.links.0.delay`.
type Settings = BTreeMap<String, String>;

/// A line per setting that is not the same in all results; nothing if there is none.
pub(super) fn section(results: &[Opened], names: &[String]) -> Option<Markup> {
    let all: Vec<Settings> = results
        .iter()
        .map(|opened| {
            let mut settings = Settings::new();
            lay_flat(&opened.folder.result.experiment, "", &mut settings);
            settings.retain(|place, _| !NAMES.contains(&place.as_str()));
            settings
        })
        .collect();
    let places: BTreeSet<&String> = all.iter().flat_map(Settings::keys).collect();
    let differs = |place: &&&String| {
        let mut values = all.iter().map(|settings| settings.get(**place));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    let differing: Vec<&String> = places.iter().filter(differs).copied().collect();
    if differing.is_empty() {
        return None;
    }
    let row = |place: &&String| {
        let values = all.iter().map(|settings| settings.get(*place));
        std::iter::once(html! { code { (place) } })
            .chain(values.map(|value| html! { (value.map_or("–", String::as_str)) }))
            .collect()
    };
    let rows: Vec<Vec<Markup>> = differing.iter().take(MOST).map(row).collect();
    let names = names.iter().map(String::as_str);
    let head: Vec<&str> = std::iter::once("setting").chain(names).collect();
    Some(html! {
        (table(&head, &rows, usize::MAX))
        @if differing.len() > MOST {
            p.muted { "The first " (MOST) " of " (plural(differing.len(), "setting")) " that differ." }
        }
    })
}

/// Every value that holds no others.
fn lay_flat(value: &Value, place: &str, settings: &mut Settings) {
    let below = |key: &dyn std::fmt::Display| match place {
        "" => key.to_string(),
        place => format!("{place}.{key}"),
    };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                lay_flat(value, &below(key), settings);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                lay_flat(value, &below(&index), settings);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            settings.insert(place.to_owned(), text.clone());
        }
        other => {
            settings.insert(place.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::example::{self, Shape};
    use crate::folder::ResultFolder;

    fn told(experiments: [Value; 2]) -> Option<String> {
        let opened = experiments.map(|experiment| {
            let (mut result, telemetry) = example::run(&Shape::default());
            result.experiment = experiment;
            Opened::from(ResultFolder { result, telemetry })
        });
        let names = ["one", "two"].map(str::to_owned);
        section(&opened, &names).map(Markup::into_string)
    }

    #[test]
    fn settings_that_differ_are_told_with_their_place_and_both_values() {
        let text = told([
            json!({"name": "a", "topology": {"links": [{"delay": "40ms", "rate": "1Gbit"}]}}),
            json!({"name": "b", "topology": {"links": [{"delay": "60ms", "rate": "1Gbit", "loss": 0.1}]}}),
        ])
        .unwrap();
        for expected in [
            "topology.links.0.delay",
            "40ms",
            "60ms",
            "links.0.loss",
            "–",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!text.contains("rate") && !text.contains("name"), "{text}");
    }

    #[test]
    fn of_the_same_experiment_there_is_nothing_to_tell() {
        let same = json!({"stacks": ["cubic"], "seed": 1});
        assert_eq!(told([same.clone(), same]), None);
    }
}
