//! Claims: an experiment with what it must show, and whether a run of it did.
//!
//! - [`Claim`]: what is claimed, by whom, how it was scaled, the experiment, what is expected of its figures.
//! - [`Measure`]: what is read from a run.
//! - `expectation`: one expectation held against the figures.
//! - `planned`: whether the experiment has what is expected of it, before it runs.
//! - [`Judgement`]: all of them, and the verdict.

mod catalogue;
mod expectation;
mod judgement;
mod measure;
mod planned;
mod ramp;
#[cfg(test)]
mod tests;

use longhaul_topologies::document::DocumentPath;
use longhaul_topologies::{Document, InputError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use catalogue::{entries, open};
pub use expectation::{Expectation, Must, Selection};
pub use judgement::{Finding, Judgement, Reading, Verdict};
pub use measure::Measure;
pub use planned::PlannedPoint;

/// A claim as its file has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// What it is called.
    pub name: String,
    /// One line.
    pub title: String,
    /// What is claimed.
    pub claim: String,
    /// Where that is said.
    pub source: String,
    /// What was made smaller than in the source, and what was kept.
    pub scaling: String,
    /// What is known of why a part of it does not hold here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The experiment, as an experiment file has it.
    pub experiment: Value,
    /// What its figures must be.
    pub expect: Vec<Expectation>,
}

impl Claim {
    /// Reads a claim.
    ///
    /// # Errors
    /// If `document` is not one.
    pub fn of(document: &Document) -> Result<Self, InputError> {
        let claim: Self = document.parse()?;
        if let Some(fault) = fault_of_name(&claim.name) {
            let place = DocumentPath::root().key("name");
            return Err(document.error(&place, fault));
        }
        let place = DocumentPath::root().key("expect");
        if claim.expect.is_empty() {
            return Err(document.error(&place, "a claim expects something"));
        }
        for (index, expectation) in claim.expect.iter().enumerate() {
            let checked = expectation.check();
            checked.map_err(|message| document.error(&place.index(index), message))?;
        }
        Ok(claim)
    }
}

/// What is wrong with `name`, if anything. Its file, its run and what is found stand side by side in one folder and are told apart by
/// endings, so there is no dot in it.
fn fault_of_name(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    (name.is_empty() || !name.chars().all(allowed))
        .then_some("a name is letters, digits, dashes and underscores: results are named for it")
}
