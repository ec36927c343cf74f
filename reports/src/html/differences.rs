//! What the experiments of several results differ in, setting by setting.

use maud::{Markup, html};

use crate::folder::Opened;
use crate::format::plural;
use crate::html::table;
use crate::side_by_side::differing;

/// More lines than this are two experiments that have little in common.
const MOST: usize = 30;

/// A line per setting that is not the same in all results; nothing if there is none.
pub(super) fn section(results: &[Opened], names: &[String]) -> Option<Markup> {
    let differing = differing(results);
    if differing.is_empty() {
        return None;
    }
    let row = |(place, values): &(String, Vec<Option<String>>)| {
        let values = values.iter();
        std::iter::once(html! { code { (place) } })
            .chain(values.map(|value| html! { (value.as_deref().unwrap_or("–")) }))
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
