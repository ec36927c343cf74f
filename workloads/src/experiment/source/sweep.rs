//! What a sweep goes through: single fields, and fields that change together.

use longhaul_topologies::document::DocumentPath;
use longhaul_topologies::{Document, InputError};
use serde_json::Value;

use super::super::spec::{ExperimentSpec, StackSpec};
use super::{TOPOLOGY, place};

/// What a sweep goes through, one step after another.
#[derive(Debug)]
pub(super) struct Dimension {
    pub(super) steps: Vec<Vec<Setting>>,
}

/// A field and a value of it.
#[derive(Debug)]
pub(super) struct Setting {
    /// As `--set` would name it.
    pub(super) key: String,
    /// Where the value stands in the file.
    pub(super) place: DocumentPath,
    pub(super) value: Value,
}

impl Dimension {
    /// One field, and the values that stand at `place`.
    fn of_field(key: &str, place: &DocumentPath, values: &[Value]) -> Self {
        let setting = |(index, value): (usize, &Value)| Setting {
            key: key.to_owned(),
            place: place.index(index),
            value: value.clone(),
        };
        let steps = values.iter().enumerate().map(setting);
        Self {
            steps: steps.map(|setting| vec![setting]).collect(),
        }
    }

    /// Whether any step sets a field below `prefix`.
    pub(super) fn reaches(&self, prefix: &str) -> bool {
        let mut settings = self.steps.iter().flatten();
        settings.any(|setting| setting.key.starts_with(prefix))
    }
}

/// The sweep's fields and the lists in the workload, those of the topology first.
pub(super) fn dimensions(
    document: &Document,
    spec: &ExperimentSpec,
) -> Result<Vec<Dimension>, InputError> {
    let mut dimensions = Vec::new();
    for (key, values) in &spec.sweep {
        let at = place(&["sweep", key]);
        let refuse = |message: &str, help: &str| Err(document.error(&at, message).with_help(help));
        let values = match values {
            Value::Array(values) if !values.is_empty() => values,
            _ => {
                return refuse(
                    "a sweep is a list of values",
                    "write for example `[0.1bdp, 1bdp]`",
                );
            }
        };
        if is_swept(key) {
            dimensions.push(Dimension::of_field(key, &at, values));
        } else if !key.contains('.') && values.iter().all(Value::is_object) {
            dimensions.push(together(document, &at, values)?);
        } else {
            return refuse(
                ELSEWHERE,
                "write for example `topology.links.0.loss`; fields that change together are a list of mappings: `pairs: \
                 [{topology.links.0.delay: 1ms, workload.sizes: [1MiB]}]`",
            );
        }
    }
    for field in ["algorithm", "rank_order"] {
        let at = place(&["workload", field]);
        match document.value().pointer(&format!("/workload/{field}")) {
            Some(Value::Array(values)) if values.is_empty() => {
                return Err(document.error(&at, "a list names at least one"));
            }
            Some(Value::Array(values)) => {
                let key = format!("workload.{field}");
                dimensions.push(Dimension::of_field(&key, &at, values));
            }
            _ => {}
        }
    }
    dimensions.sort_by_key(|dimension| !dimension.reaches(TOPOLOGY));
    Ok(dimensions)
}

/// Whether `stack` runs where the sweep's fields are `set` so.
pub(super) fn runs(stack: &StackSpec, set: &[&Setting]) -> bool {
    let is = |key: &String, values: &[Value]| {
        set.iter()
            .any(|setting| setting.key == *key && values.contains(&setting.value))
    };
    stack.only.iter().all(|(key, values)| is(key, values))
}

/// Sees that where a stack runs alone is somewhere.
pub(super) fn check_only(
    document: &Document,
    spec: &ExperimentSpec,
    dimensions: &[Dimension],
) -> Result<(), InputError> {
    let settings = || dimensions.iter().flat_map(|dimension| &dimension.steps);
    for (index, stack) in spec.stacks.iter().enumerate() {
        for (key, values) in &stack.only {
            let at = place(&["stacks", &index.to_string(), "only", key]);
            let swept = settings().flatten().filter(|setting| setting.key == *key);
            let swept: Vec<&Value> = swept.map(|setting| &setting.value).collect();
            if swept.is_empty() {
                let error = document.error(&at, format!("the sweep has no `{key}`"));
                return Err(error.with_help("name a place as `sweep` does"));
            }
            let strange = values.iter().position(|value| !swept.contains(&value));
            if let Some(strange) = strange {
                let message = format!("the sweep has no such `{key}`");
                let error = document.error(&at.index(strange), message);
                return Err(error.with_help("write the value as `sweep` does"));
            }
            if values.is_empty() {
                return Err(document.error(&at, "a list names at least one"));
            }
        }
    }
    Ok(())
}

/// The mappings at `at`, each of fields that are set together.
fn together(
    document: &Document,
    at: &DocumentPath,
    values: &[Value],
) -> Result<Dimension, InputError> {
    let mut steps = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let fields = value.as_object().into_iter().flatten();
        let settings = fields.map(|(key, value)| Setting {
            key: key.clone(),
            place: at.index(index).key(key),
            value: value.clone(),
        });
        let step: Vec<Setting> = settings.collect();
        if let Some(other) = step.iter().find(|setting| !is_swept(&setting.key)) {
            return Err(document.error(&other.place, ELSEWHERE));
        }
        let same_fields = |first: &Vec<Setting>| {
            let keys = first.iter().map(|setting| &setting.key);
            keys.eq(step.iter().map(|setting| &setting.key))
        };
        if step.is_empty() || !steps.first().is_none_or(same_fields) {
            let message = "each of these sets the same fields, at least one, in the same order";
            return Err(document.error(&at.index(index), message));
        }
        steps.push(step);
    }
    Ok(Dimension { steps })
}

/// What is said of a field that a sweep may not set.
const ELSEWHERE: &str =
    "a sweep is over fields of the topology, the workload, the stacks or the probes";

/// Whether a sweep may set that field.
fn is_swept(key: &str) -> bool {
    let sections = [TOPOLOGY, "workload.", "stacks.", "probes."];
    sections.iter().any(|section| key.starts_with(section))
}
