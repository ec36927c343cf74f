//! Figures that a user names: read from any program's output by a pattern or a JSON pointer.

use longhaul_reports::result::Better;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::program::{Findings, Output, ProgramError, Refusal, Told, When};

/// A figure in the output of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FigureSpec {
    /// What it is: `requests per second`.
    pub name: String,
    /// Its unit; `us`, `bit/s` and `bytes` are shown in the size that suits them.
    #[serde(default)]
    pub unit: String,
    /// A regular expression, looked for in every line; its first group, or the one named `value`, is the figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// A JSON pointer (RFC 6901) into the output, or into each of its lines if those are JSON; a part `*` stands for every member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// What each value is multiplied by, to be in the unit.
    #[serde(default = "one")]
    pub scale: f64,
    /// Which way it gets better, for the gate.
    #[serde(default)]
    pub better: Better,
    /// The hosts whose programs tell it; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
}

fn one() -> f64 {
    1.0
}

/// How a figure is found.
enum Way {
    Pattern(Regex),
    Pointer(Vec<String>),
}

/// Checks that every figure can be looked for, in the output of some of `hosts`.
pub(super) fn check(figures: &[FigureSpec], hosts: &[String]) -> Result<(), Refusal> {
    for (index, figure) in figures.iter().enumerate() {
        let field = |name: &str| format!("figures.{index}{name}");
        if figure.name.is_empty() {
            return Err(Refusal::of(&field(".name"), "a figure has a name"));
        }
        if figures[..index]
            .iter()
            .any(|other| other.name == figure.name)
        {
            let message = format!("there are two figures named `{}`", figure.name);
            return Err(Refusal::of(&field(".name"), message));
        }
        if !figure.scale.is_finite() {
            return Err(Refusal::of(&field(".scale"), "a scale is a finite number"));
        }
        figure
            .way()
            .map_err(|message| Refusal::of(&field(""), message))?;
        if let Some(strange) = figure
            .hosts
            .iter()
            .flatten()
            .find(|host| !hosts.contains(host))
        {
            let message = format!(
                "no program runs on `{strange}`; they run on {}",
                hosts.join(", ")
            );
            return Err(Refusal::of(&field(".hosts"), message));
        }
    }
    Ok(())
}

/// Reads every figure from every output that should have it.
pub(super) fn read(figures: &[FigureSpec], outputs: &[Output]) -> Result<Findings, ProgramError> {
    let mut findings = Findings::default();
    for figure in figures {
        // Checked when the experiment was loaded.
        let Ok(way) = figure.way() else { continue };
        let asked: Vec<&Output> = outputs
            .iter()
            .filter(|output| figure.is_asked_of(&output.host))
            .collect();
        let mut found = 0;
        for output in &asked {
            let values = match &way {
                Way::Pattern(pattern) => by_pattern(pattern, &output.text),
                Way::Pointer(pointer) => by_pointer(pointer, &output.text),
            };
            // Which hosts tell a figure is known only if it is said.
            if values.is_empty() && figure.hosts.is_some() {
                return Err(figure.missing(&output.host));
            }
            if values.is_empty() {
                continue;
            }
            found += 1;
            findings.measures.push(Told {
                name: figure.name.clone(),
                unit: figure.unit.clone(),
                better: figure.better,
                host: output.host.clone(),
                values: values
                    .into_iter()
                    .map(|value| (When::Unknown, value * figure.scale))
                    .collect(),
            });
        }
        if found == 0 {
            let hosts: Vec<&str> = asked.iter().map(|output| output.host.as_str()).collect();
            return Err(figure.missing(&hosts.join(", ")));
        }
    }
    Ok(findings)
}

impl FigureSpec {
    fn way(&self) -> Result<Way, String> {
        match (&self.pattern, &self.json) {
            (Some(pattern), None) => {
                let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
                match pattern.captures_len() {
                    1 => Err("the pattern has no group: put the number in parentheses".to_owned()),
                    _ => Ok(Way::Pattern(pattern)),
                }
            }
            (None, Some(pointer)) => match pointer.strip_prefix('/') {
                Some(parts) => {
                    let parts = parts.split('/');
                    let plain = parts.map(|part| part.replace("~1", "/").replace("~0", "~"));
                    Ok(Way::Pointer(plain.collect()))
                }
                None => Err(
                    "a JSON pointer begins with `/`: `/intervals/*/sum/bits_per_second`".to_owned(),
                ),
            },
            _ => Err("a figure is found by `pattern` or by `json`, one of the two".to_owned()),
        }
    }

    fn is_asked_of(&self, host: &String) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.contains(host))
    }

    fn missing(&self, host: &str) -> ProgramError {
        let way = match (&self.pattern, &self.json) {
            (Some(pattern), _) => format!("the pattern `{pattern}`"),
            (None, pointer) => format!(
                "the JSON pointer `{}`",
                pointer.as_deref().unwrap_or_default()
            ),
        };
        ProgramError::NoFigure {
            name: self.name.clone(),
            host: host.to_owned(),
            way,
        }
    }
}

/// Every number that the pattern's group has.
fn by_pattern(pattern: &Regex, text: &str) -> Vec<f64> {
    let lines = text.lines();
    let captures = lines.flat_map(|line| pattern.captures_iter(line));
    captures
        .filter_map(|found| {
            let group = found.name("value").or_else(|| found.get(1))?;
            group
                .as_str()
                .parse()
                .ok()
                .filter(|value: &f64| value.is_finite())
        })
        .collect()
}

/// Every number at the pointer, of the whole text or of each line that is JSON.
fn by_pointer(pointer: &[String], text: &str) -> Vec<f64> {
    let mut values = Vec::new();
    match serde_json::from_str::<Value>(text) {
        Ok(document) => follow(&document, pointer, &mut values),
        Err(_) => {
            for line in text.lines() {
                if let Ok(document) = serde_json::from_str::<Value>(line) {
                    follow(&document, pointer, &mut values);
                }
            }
        }
    }
    values
}

fn follow(value: &Value, pointer: &[String], values: &mut Vec<f64>) {
    match (pointer, value) {
        ([], value) => values.extend(value.as_f64()),
        ([first, rest @ ..], Value::Array(members)) if first == "*" => {
            for member in members {
                follow(member, rest, values);
            }
        }
        ([first, rest @ ..], Value::Object(members)) if first == "*" => {
            for member in members.values() {
                follow(member, rest, values);
            }
        }
        ([first, rest @ ..], value) => {
            let member = match value {
                Value::Array(members) => first
                    .parse()
                    .ok()
                    .and_then(|index: usize| members.get(index)),
                value => value.get(first),
            };
            if let Some(member) = member {
                follow(member, rest, values);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::tests::{hosts, spec};
    use serde_json::json;

    fn figure(value: Value) -> FigureSpec {
        spec(value)
    }

    fn output(host: &str, text: &str) -> Output {
        Output {
            process: 0,
            host: host.into(),
            text: text.into(),
        }
    }

    fn values(figure: Value, text: &str) -> Vec<f64> {
        let findings = read(&[spec(figure)], &[output("a-0", text)]).unwrap();
        let values = findings.measures.iter().flat_map(|told| &told.values);
        values.map(|(_, value)| *value).collect()
    }

    #[test]
    fn a_pattern_finds_a_number_wherever_it_stands() {
        let text = "step 1: 12.5 ms\nwarning: step\nstep 2: 13 ms, step 3: 1e1 ms\n";
        let found = values(
            json!({"name": "step", "unit": "us", "pattern": "step \\d+: ([\\d.e]+) ms", "scale": 1000}),
            text,
        );
        assert_eq!(found, [12_500.0, 13_000.0, 10_000.0]);
        let named = json!({"name": "x", "pattern": "(step) (?P<value>\\d+)"});
        assert_eq!(values(named, text), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_pointer_finds_numbers_in_a_document_and_in_lines() {
        let document = r#"{"a": [{"b": 1}, {"b": 2.5}, {"c": 3}]}"#;
        assert_eq!(
            values(json!({"name": "b", "json": "/a/*/b"}), document),
            [1.0, 2.5]
        );
        assert_eq!(
            values(json!({"name": "b", "json": "/a/1/b"}), document),
            [2.5]
        );
        let lines = "{\"b/c\": 1}\nnot JSON\n{\"b/c\": 2}\n";
        assert_eq!(
            values(json!({"name": "b", "json": "/b~1c"}), lines),
            [1.0, 2.0]
        );
    }

    #[test]
    fn a_figure_that_is_nowhere_is_an_error_and_one_host_that_should_tell_it_too() {
        let nowhere = figure(json!({"name": "rate", "pattern": "rate=(\\d+)"}));
        let outputs = [output("a-0", "rate=1"), output("b-0", "nothing")];
        assert_eq!(
            read(std::slice::from_ref(&nowhere), &outputs)
                .unwrap()
                .measures
                .len(),
            1
        );
        assert_eq!(
            read(&[nowhere], &outputs[1..]).unwrap_err().to_string(),
            "the figure `rate` is nowhere in what the program on b-0 wrote: the pattern `rate=(\\d+)` finds nothing"
        );
        let of_both =
            figure(json!({"name": "rate", "pattern": "rate=(\\d+)", "hosts": ["a-0", "b-0"]}));
        assert!(read(&[of_both], &outputs).is_err());
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused() {
        let refusal = |value| check(&[figure(value)], &hosts()).unwrap_err().message;
        let refusals = [
            refusal(json!({"name": "a"})),
            refusal(json!({"name": "a", "pattern": "x", "json": "/x"})),
            refusal(json!({"name": "a", "pattern": "x"})),
            refusal(json!({"name": "a", "json": "x"})),
            refusal(json!({"name": "a", "json": "/x", "hosts": ["c-0"]})),
        ];
        insta::assert_snapshot!(refusals.join("\n"), @r"
        a figure is found by `pattern` or by `json`, one of the two
        a figure is found by `pattern` or by `json`, one of the two
        the pattern has no group: put the number in parentheses
        a JSON pointer begins with `/`: `/intervals/*/sum/bits_per_second`
        no program runs on `c-0`; they run on a-0, b-0
        ");
    }
}
