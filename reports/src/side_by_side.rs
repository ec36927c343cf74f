//! Several results as one, so that every chart that compares series compares those of different results.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::folder::{Opened, ResultFolder};
use crate::format::plural;
use crate::result::{Computing, LabKind, Outcome, RunResult};
use crate::timeaxis::TimeAxis;

/// The setting that says which result a point is of.
pub(crate) const SETTING: &str = "result";

/// More settings than this that differ are counted, not told.
const MOST_SETTINGS: usize = 3;

/// More values of one thing, or names of results, are counted.
const MOST_TOLD: usize = 4;

/// Tell nothing of what was run.
const NAMES: [&str; 2] = ["name", "description"];

/// The settings of an experiment by where they stand, as `topology.links.0.delay`.
type Settings = BTreeMap<String, String>;

/// What each result is called: its experiment's name, numbered where several have the same. Never where it lies: that is the reader's
/// own affair.
pub(crate) fn names(results: &[Opened]) -> Vec<String> {
    let name = |opened: &Opened| opened.folder.result.name.clone();
    let names = results.iter().enumerate().map(|(index, opened)| {
        let alike = |other: &&Opened| name(other) == name(opened);
        let (all, before) = (
            results.iter().filter(alike).count(),
            results[..index].iter().filter(alike).count(),
        );
        match all {
            1 => name(opened),
            _ => format!("{} #{}", name(opened), before + 1),
        }
    });
    names.collect()
}

/// Whether a result was [combined](combine) of several.
pub(crate) fn is_combined(result: &RunResult) -> bool {
    let mut points = result.points.iter();
    points.any(|point| point.settings.contains_key(SETTING))
}

/// The settings that are not the same in all experiments: where each stands, and its value in each result.
pub(crate) fn differing(results: &[Opened]) -> Vec<(String, Vec<Option<String>>)> {
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
    let values = |place: &String| {
        let values = all.iter().map(|settings| settings.get(place).cloned());
        values.collect::<Vec<_>>()
    };
    let told = places
        .into_iter()
        .map(|place| (place.clone(), values(place)));
    told.filter(|(_, values)| values.iter().any(|value| *value != values[0]))
        .collect()
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

/// `results differ in lab (host, virtual), seed (1, 2)`: what a reader has to know who holds them against each other; empty if they differ in
/// nothing. Stacks are left to the names of the series, where those say it.
fn differences(results: &[Opened]) -> String {
    let each = |of: &dyn Fn(&RunResult) -> Option<String>| -> Vec<Option<String>> {
        let all = results.iter().map(|opened| of(&opened.folder.result));
        all.collect()
    };
    let topology = |result: &RunResult| {
        let topology = &result.experiment["topology"];
        let name = topology.as_str().or_else(|| topology["name"].as_str());
        name.map(str::to_owned)
    };
    let stacks = |result: &RunResult| {
        let stacks = result.experiment["stacks"].as_array();
        let names = stacks.into_iter().flatten().map(|stack| &stack["name"]);
        Some(names.map(Value::to_string).collect::<Vec<_>>().join(" "))
    };
    let machine = |result: &RunResult| {
        let of = &result.environment.machine;
        let (cpu, cpus, kernel) = (&of.cpu, plural(of.cpus, "CPU"), &of.kernel);
        // A virtual lab's is made up.
        (result.environment.lab != LabKind::Virtual)
            .then(|| format!("{cpu}, {cpus}, Linux {kernel}"))
    };
    let topologies = each(&topology);
    let differ = |values: &[Option<String>]| values.iter().any(|value| *value != values[0]);
    let other_topologies = differ(&topologies);
    let other_stacks = differ(&each(&stacks));
    let settings: Vec<(String, Vec<Option<String>>)> = differing(results)
        .into_iter()
        .filter(|(place, _)| {
            let is_of = |group: &str| place.split('.').next() == Some(group);
            // Told by other words.
            !(is_of("seed")
                || other_topologies && is_of("topology")
                || other_stacks && is_of("stacks"))
        })
        .collect();
    let more = settings.len().saturating_sub(MOST_SETTINGS);
    let told = [
        ("topology".to_owned(), topologies),
        (
            "lab".to_owned(),
            each(&|result| {
                let lab = match result.environment.lab {
                    LabKind::Host => "host",
                    LabKind::Virtual => "virtual",
                    LabKind::Physical => "physical",
                };
                Some(lab.to_owned())
            }),
        ),
        (
            "links".to_owned(),
            each(&|result| Some(result.environment.links.clone())),
        ),
        ("machine".to_owned(), each(&machine)),
        (
            "longhaul".to_owned(),
            each(&|result| Some(result.longhaul_version.clone())),
        ),
        (
            "seed".to_owned(),
            each(&|result| Some(result.seed.to_string())),
        ),
    ];
    let told = told
        .into_iter()
        .chain(settings.into_iter().take(MOST_SETTINGS));
    let mut told: Vec<String> = told
        .filter(|(_, values)| differ(values))
        .filter_map(|(what, values)| {
            let mut distinct: Vec<String> = Vec::new();
            for value in values.into_iter().flatten() {
                if !distinct.contains(&value) {
                    distinct.push(value);
                }
            }
            let between = match distinct.iter().any(|value| value.contains(',')) {
                true => "; ",
                false => ", ",
            };
            // What only some have is no difference of its own: a machine beside a virtual lab.
            (what != "machine" || distinct.len() > 1)
                .then(|| format!("{what} ({})", few(&distinct, between)))
        })
        .collect();
    match more {
        0 => {}
        1 => told.push("1 more setting".to_owned()),
        more => told.push(format!("{more} more settings")),
    }
    match told.is_empty() {
        true => String::new(),
        false => format!("results differ in {}", told.join(", ")),
    }
}

/// The first of them, and how many more there are.
fn few(all: &[String], between: &str) -> String {
    let more = all.len().saturating_sub(MOST_TOLD);
    let told = all[..all.len() - more].join(between);
    match more {
        0 => told,
        more => format!("{told}{between}and {more} more"),
    }
}

/// All points one after the other, each with its result as a setting; a lone result is as it was. What is said of all is what they have in
/// common, and the description is what they differ in.
///
/// # Panics
/// If there is no result.
pub fn combine(results: &[Opened]) -> ResultFolder {
    let (first, rest) = results.split_first().expect("at least one result");
    if rest.is_empty() {
        return first.folder.clone();
    }
    let names = names(results);
    let mut axis = TimeAxis::new(&first.folder);
    axis.whole.result.name = few(&names, ", ");
    axis.whole.result.description = differences(results);
    let result = &mut axis.whole.result;
    for other in rest.iter().map(|opened| &opened.folder.result) {
        if other.experiment["topology"] != result.experiment["topology"] {
            result.experiment = Value::Null;
        }
        if other.environment.links != result.environment.links {
            result.environment.links.clear();
        }
        if other.environment.computing != result.environment.computing {
            result.environment.computing = Computing::Real;
        }
        if other.outcome != Outcome::Finished {
            result.outcome = other.outcome.clone();
        }
    }
    let mut index = 0;
    for (opened, name) in results.iter().zip(names) {
        axis.append(&opened.folder, |point| {
            point.index = index;
            index += 1;
            point.settings.insert(SETTING.to_owned(), name.clone());
        });
    }
    axis.whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};
    use crate::series::Series;

    fn opened(stacks: &'static [&'static str]) -> Opened {
        let (result, telemetry) = example::run(&Shape {
            stacks,
            seconds: 1.0,
            ..Shape::default()
        });
        Opened::from(ResultFolder { result, telemetry })
    }

    #[test]
    fn results_become_series_that_say_whose_they_are() {
        let all = combine(&[opened(&["cubic", "bbr"]), opened(&["cubic"])]);
        let labels: Vec<String> = Series::of(&all.result)
            .into_iter()
            .map(|s| s.label)
            .collect();
        assert_eq!(
            labels,
            [
                "cubic, result quickstart #1",
                "bbr, result quickstart #1",
                "cubic, result quickstart #2"
            ]
        );
        let last = &all.result.points[2];
        assert!(last.began_s > all.result.points[1].ended_s);
        let own: Vec<_> = all.telemetry.iter().filter(|row| row.point == 2).collect();
        assert!(!own.is_empty());
        assert!(
            own.iter()
                .all(|row| (last.began_s..=last.ended_s).contains(&row.time_s))
        );
    }

    #[test]
    fn what_results_differ_in_is_told_and_what_is_said_of_all_is_common() {
        let differing = |change: &dyn Fn(&mut RunResult)| {
            let mut other = opened(&["cubic", "bbr"]);
            change(&mut other.folder.result);
            combine(&[opened(&["cubic", "bbr"]), other]).result
        };
        assert_eq!(differing(&|_| {}).description, "");

        let labs = differing(&|result| result.environment = example::virtual_environment());
        assert_eq!(labs.description, "results differ in lab (host, virtual)");
        assert_eq!(labs.environment.computing, Computing::Real);

        let told = differing(&|result| {
            result.seed = 7;
            result.environment.links = "netem".to_owned();
            result.experiment = serde_json::json!({ "topology": "metro", "repeats": 3 });
        });
        assert_eq!(
            told.description,
            "results differ in topology (three-continents, metro), links (relay, netem), seed (1, 7), repeats (3)"
        );
        assert!(told.environment.links.is_empty() && told.experiment.is_null());

        let many = differing(&|result| {
            for number in 0..5 {
                result.experiment[number.to_string()] = number.into();
            }
        });
        assert!(
            many.description.ends_with("2 (2), 2 more settings"),
            "{}",
            many.description
        );
    }

    #[test]
    fn a_lone_result_stays_as_it_is() {
        let one = opened(&["cubic"]);
        assert_eq!(
            combine(std::slice::from_ref(&one)).result,
            one.folder.result
        );
    }
}
