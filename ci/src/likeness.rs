//! Whether two runs may be compared: the same experiment, the same seed, the same kind of lab.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_reports::result::{LabKernel, LabKind, Machine, RunResult};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Fields of an experiment that change nothing that is measured; the seed is compared by itself.
const NOT_HASHED: [&str; 3] = ["name", "description", "seed"];

/// Hexadecimal digits kept of a digest: 64 bits, enough to tell experiments apart that nobody forges.
const DIGITS: usize = 16;

/// What two runs must have in common, and what explains a difference between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Likeness {
    /// The experiment's name; for people.
    pub name: String,
    /// A digest of the resolved experiment without its name, its description and its seed.
    pub experiment: String,
    /// A digest of each of its parts, so that a difference can be named.
    pub parts: BTreeMap<String, String>,
    /// The seed of everything random.
    pub seed: u64,
    /// Where the kernel and the clock came from.
    pub lab: LabKind,
    /// `netem` or `relay`.
    pub links: String,
    /// The kernel of a virtual lab.
    pub lab_kernel: Option<LabKernel>,
    /// The machine, where computing takes its time; absent in a virtual lab.
    pub machine: Option<Machine>,
    /// The longhaul that ran it.
    pub longhaul_version: String,
}

impl Likeness {
    /// That of a run.
    pub fn of(result: &RunResult) -> Self {
        let parts: BTreeMap<String, String> = result
            .experiment
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !NOT_HASHED.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), digest(&sorted(value).to_string())))
            .collect();
        let whole: String = parts
            .iter()
            .map(|(name, digest)| format!("{name} {digest}\n"))
            .collect();
        let environment = &result.environment;
        Self {
            name: result.name.clone(),
            experiment: digest(&whole),
            parts,
            seed: result.seed,
            lab: environment.lab,
            links: environment.links.clone(),
            lab_kernel: environment.lab_kernel.clone(),
            machine: (environment.lab != LabKind::Virtual).then(|| environment.machine.clone()),
            longhaul_version: result.longhaul_version.clone(),
        }
    }

    /// Why a run cannot be held against this one, each reason with both sides; empty if it can.
    pub fn unlike(&self, run: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.experiment != run.experiment {
            let names: BTreeSet<&String> = self.parts.keys().chain(run.parts.keys()).collect();
            let differing: Vec<&str> = names
                .into_iter()
                .filter(|&name| self.parts.get(name) != run.parts.get(name))
                .map(String::as_str)
                .collect();
            reasons.push(format!(
                "the experiment differs ({} against {}) in: {}",
                self.name,
                run.name,
                differing.join(", ")
            ));
        }
        let mut differ = |what: &str, a: String, b: String| {
            if a != b {
                reasons.push(format!("{what}: {a} against {b}"));
            }
        };
        differ("the seed", self.seed.to_string(), run.seed.to_string());
        differ("the lab", lab(self.lab), lab(run.lab));
        differ("the links", self.links.clone(), run.links.clone());
        reasons
    }

    /// What is no reason not to compare, but may be one for a difference.
    pub fn notes(&self, run: &Self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut differ = |what: &str, a: String, b: String| {
            if a != b {
                notes.push(format!("{what} differs: {a} against {b}"));
            }
        };
        let kernel = |likeness: &Self| {
            let kernel = likeness.lab_kernel.as_ref();
            kernel.map_or_else(String::new, |kernel| {
                format!("{} ({})", kernel.version, kernel.key)
            })
        };
        differ("the lab kernel", kernel(self), kernel(run));
        let machine = |likeness: &Self| {
            let machine = likeness.machine.as_ref();
            machine.map_or_else(String::new, |machine| {
                format!(
                    "{} × {}, kernel {}",
                    machine.cpus, machine.cpu, machine.kernel
                )
            })
        };
        differ("the machine", machine(self), machine(run));
        differ(
            "longhaul's version",
            self.longhaul_version.clone(),
            run.longhaul_version.clone(),
        );
        notes
    }
}

fn lab(kind: LabKind) -> String {
    match kind {
        LabKind::Host => "host",
        LabKind::Virtual => "virtual",
        LabKind::Physical => "physical",
    }
    .to_owned()
}

/// The same document with the keys of every object in order and no descriptions, so that the order of a file's lines and its
/// prose do not count.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, Value> = fields
                .iter()
                .filter(|(name, _)| name.as_str() != "description")
                .map(|(name, value)| (name, sorted(value)))
                .collect();
            fields
                .into_iter()
                .map(|(name, value)| (name.clone(), value))
                .collect()
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

fn digest(text: &str) -> String {
    let bytes = Sha256::digest(text);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits[..DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::example;

    #[test]
    fn prose_and_order_do_not_make_another_experiment() {
        let mut run = example::run(LabKind::Virtual, &[1.0]);
        run.experiment =
            json!({"name": "a", "repeats": 1, "topology": {"description": "x", "b": 1, "a": 2}});
        let first = Likeness::of(&run);
        run.experiment = json!({"topology": {"a": 2, "b": 1}, "repeats": 1, "name": "other"});
        assert_eq!(first.unlike(&Likeness::of(&run)), Vec::<String>::new());
    }

    #[test]
    fn what_differs_is_named() {
        let mut run = example::run(LabKind::Virtual, &[1.0]);
        run.experiment = json!({"repeats": 1, "topology": 1});
        let first = Likeness::of(&run);
        run.experiment = json!({"repeats": 1, "topology": 2});
        run.seed = 9;
        run.environment.lab = LabKind::Host;
        run.environment.links = "relay".to_owned();
        run.longhaul_version = "9.0.0".to_owned();
        let second = Likeness::of(&run);
        assert_eq!(
            first.unlike(&second),
            [
                "the experiment differs (example against example) in: topology",
                "the seed: 1 against 9",
                "the lab: virtual against host",
                "the links: netem against relay",
            ]
        );
        assert!(
            first
                .notes(&second)
                .iter()
                .any(|note| note.contains("version differs: 0.1.0 against 9.0.0"))
        );
    }
}
