//! Whether what a claim expects is of points that its experiment has: told before hours are spent on running it.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_topologies::document::DocumentPath;
use longhaul_topologies::{Document, InputError, way_on};

use super::Claim;
use super::expectation::{Place, Selection};

/// A point of an experiment that has not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPoint {
    /// The stack's name.
    pub stack: String,
    /// Swept settings and their values.
    pub settings: BTreeMap<String, String>,
}

impl Claim {
    /// Sees that every expectation is of some of `points`. Sizes are left to the run.
    ///
    /// # Errors
    /// At its place in `document`, the claim's: the first that is of none, and what there is.
    pub fn check_points(
        &self,
        document: &Document,
        points: &[PlannedPoint],
    ) -> Result<(), InputError> {
        let points = Points::of(points);
        let all = DocumentPath::root().key("expect");
        for (index, expectation) in self.expect.iter().enumerate() {
            let at = all.index(index);
            let of = &expectation.of;
            let over = expectation.over.as_ref().map(|over| over.within(of));
            for (key, selection) in [("of", Some(of)), ("over", over.as_ref())] {
                let fault = selection.and_then(|selection| points.fault(selection, &at.key(key)));
                if let Some(fault) = fault {
                    return Err(fault.told(document));
                }
            }
            if let Some(axis) = &expectation.along
                && axis != "size"
                && points.coordinates(axis).is_empty()
            {
                return Err(points.not_swept(axis, at.key("along")).told(document));
            }
        }
        Ok(())
    }
}

struct Points(Vec<Place>);

/// What is wrong, where, and what would be right.
struct Fault {
    at: DocumentPath,
    message: String,
    help: String,
}

impl Points {
    fn of(points: &[PlannedPoint]) -> Self {
        let place = |point: &PlannedPoint| Place {
            stack: point.stack.clone(),
            size: None,
            settings: point.settings.clone(),
        };
        Self(points.iter().map(place).collect())
    }

    /// Why no point is of `selection`, which stands `at` there; `None` if one is.
    fn fault(&self, selection: &Selection, at: &DocumentPath) -> Option<Fault> {
        if let Some(stack) = &selection.stack {
            let stacks = self.coordinates("stack");
            if !stacks.contains(stack) {
                return Some(Fault {
                    at: at.key("stack"),
                    message: format!("the experiment has no stack `{stack}`"),
                    help: way_on(stack, stacks.iter().map(String::as_str)),
                });
            }
        }
        for (name, value) in &selection.settings {
            let at = at.key("settings").key(name);
            let values = self.coordinates(name);
            if values.is_empty() {
                return Some(self.not_swept(name, at));
            }
            if !values.contains(value) {
                return Some(Fault {
                    at,
                    message: format!("`{name}` is never {value} in this sweep"),
                    help: way_on(value, values.iter().map(String::as_str)),
                });
            }
        }
        let is_there = self.0.iter().any(|place| selection.takes(place));
        (!is_there).then(|| Fault {
            at: at.clone(),
            message: format!("the experiment has no point of {selection}"),
            help: "these never come together: see the stacks' `only`, and what the sweep sets together"
                .to_owned(),
        })
    }

    fn not_swept(&self, name: &str, at: DocumentPath) -> Fault {
        let names = self.0.iter().flat_map(|place| place.settings.keys());
        let names: BTreeSet<&str> = names.map(String::as_str).collect();
        Fault {
            at,
            message: format!("the sweep has no `{name}`"),
            help: match names.is_empty() {
                true => "the experiment sweeps over nothing".to_owned(),
                false => way_on(name, names.iter().copied()),
            },
        }
    }

    /// All there are on `axis`, each once, in the order of the points.
    fn coordinates(&self, axis: &str) -> Vec<String> {
        let mut found = Vec::new();
        for at in self.0.iter().filter_map(|place| place.take(axis)) {
            if !found.contains(&at) {
                found.push(at);
            }
        }
        found
    }
}

impl Fault {
    fn told(self, document: &Document) -> InputError {
        document.error(&self.at, self.message).with_help(self.help)
    }
}
