//! Results as schema version 1 had them, made into version 2.
//!
//! Version 1 knew host labs only, had the command and the wall clock's instants at its top level, and the machine's fields among those
//! of the environment.

use serde_json::{Map, Value, json};

/// The fields of the environment that became the machine's.
const OF_THE_MACHINE: [&str; 6] = [
    "kernel",
    "architecture",
    "distribution",
    "cpu",
    "cpus",
    "memory_bytes",
];

/// Rewrites a result. A field that is missing stays so: to read the outcome says which.
pub(crate) fn upgrade(result: &mut Value) {
    let Some(fields) = result.as_object_mut() else {
        return;
    };
    let mut details = moved(fields, &["command", "started", "finished"]);
    details.insert("wall_seconds".to_owned(), Value::Null);
    details.insert("virtual_lab".to_owned(), Value::Null);
    fields.insert("run_details".to_owned(), Value::Object(details));
    if let Some(environment) = fields.get_mut("environment").and_then(Value::as_object_mut) {
        let machine = moved(environment, &OF_THE_MACHINE);
        environment.insert("machine".to_owned(), Value::Object(machine));
        environment.insert("computing".to_owned(), json!("real"));
        environment.insert("lab_kernel".to_owned(), Value::Null);
    }
    fields.insert("schema_version".to_owned(), json!(2));
}

/// Takes the named fields out.
fn moved(fields: &mut Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let taken = names
        .iter()
        .filter_map(|&name| Some((name.to_owned(), fields.remove(name)?)));
    taken.collect()
}
