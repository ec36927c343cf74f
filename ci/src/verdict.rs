//! Whether a run may pass.

use longhaul_reports::result::{Outcome, RunResult};
use serde::{Deserialize, Serialize};

/// What a run amounts to. The first that applies, in the order below: an unfaithful run says nothing about its
/// workload's speed, but a wrong sum is wrong on any link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The user ended it.
    Interrupted,
    /// It did not come to its end.
    Failed {
        /// Why.
        message: String,
    },
    /// Some results were wrong.
    WrongResults {
        /// Wrong elements, over all iterations.
        elements: u64,
    },
    /// Some links were not what was asked for.
    Unfaithful {
        /// What was off, each with the point it was seen in.
        findings: Vec<String>,
    },
    /// All of it held.
    Passed,
}

/// Judges a run.
pub fn judge(result: &RunResult) -> Verdict {
    match &result.outcome {
        Outcome::Interrupted => return Verdict::Interrupted,
        Outcome::Failed { message } => {
            return Verdict::Failed {
                message: message.clone(),
            };
        }
        Outcome::Unfinished => {
            return Verdict::Failed {
                message: "the run was cut short: it never wrote its end".to_owned(),
            };
        }
        Outcome::Finished => {}
    }
    let elements = result
        .points
        .iter()
        .flat_map(|point| &point.samples)
        .map(|sample| sample.wrong)
        .sum();
    if elements > 0 {
        return Verdict::WrongResults { elements };
    }
    let findings: Vec<String> = result
        .points
        .iter()
        .flat_map(|point| {
            point
                .fidelity
                .findings
                .iter()
                .map(move |finding| format!("{}: {finding}", point.stack))
        })
        .collect();
    if result.points.iter().any(|point| !point.fidelity.faithful) {
        return Verdict::Unfaithful { findings };
    }
    Verdict::Passed
}

#[cfg(test)]
mod tests {
    use longhaul_reports::result::{
        Computing, Environment, FidelitySection, LabKind, Machine, Placement, Point, Sample,
        Workload,
    };

    use super::*;

    fn run(outcome: Outcome, wrong: u64, findings: &[&str]) -> RunResult {
        let sample = Sample {
            size_bytes: 1024,
            count: 256,
            placement: Placement::InPlace,
            iteration: 0,
            warmup: false,
            start_s: 0.0,
            time_us: 10.0,
            wrong,
        };
        let point = Point {
            index: 0,
            stack: "cubic".to_owned(),
            settings: std::collections::BTreeMap::new(),
            repeat: 0,
            began_s: 0.0,
            ended_s: 1.0,
            schedule_began_s: None,
            timeline: Vec::new(),
            flows: Vec::new(),
            shares: Vec::new(),
            nics: Vec::new(),
            captures: Vec::new(),
            fidelity: FidelitySection {
                faithful: findings.is_empty(),
                findings: findings.iter().map(|&finding| finding.to_owned()).collect(),
                ..FidelitySection::default()
            },
            workload: Workload::Command {
                command: vec!["true".to_owned()],
            },
            bound: None,
            samples: vec![sample],
            summaries: vec![],
            delays: vec![],
            channels: vec![],
            commands: vec![],
            measures: vec![],
        };
        RunResult {
            schema_version: longhaul_reports::result::SCHEMA_VERSION,
            longhaul_version: "0.1.0".to_owned(),
            name: "test".to_owned(),
            description: String::new(),
            run_details: None,
            outcome,
            seed: 1,
            experiment: serde_json::Value::Null,
            environment: Environment {
                lab: LabKind::Host,
                computing: Computing::Real,
                lab_kernel: None,
                links: "relay".to_owned(),
                privilege: "root".to_owned(),
                machine: Machine::default(),
                programs: std::collections::BTreeMap::new(),
                hosts: std::collections::BTreeMap::new(),
            },
            part: None,
            points: vec![point],
        }
    }

    #[test]
    fn a_finished_faithful_run_with_right_sums_passes() {
        assert_eq!(judge(&run(Outcome::Finished, 0, &[])), Verdict::Passed);
    }

    #[test]
    fn wrong_sums_outweigh_unfaithful_links() {
        assert_eq!(
            judge(&run(Outcome::Finished, 3, &["late"])),
            Verdict::WrongResults { elements: 3 }
        );
    }

    #[test]
    fn an_unfaithful_run_never_passes_and_names_the_stack() {
        let verdict = judge(&run(Outcome::Finished, 0, &["a>b lane 0: late"]));
        assert_eq!(
            verdict,
            Verdict::Unfaithful {
                findings: vec!["cubic: a>b lane 0: late".to_owned()]
            }
        );
    }

    #[test]
    fn a_run_that_never_wrote_its_end_failed() {
        assert!(matches!(
            judge(&run(Outcome::Unfinished, 0, &[])),
            Verdict::Failed { .. }
        ));
        assert_eq!(
            judge(&run(Outcome::Interrupted, 0, &[])),
            Verdict::Interrupted
        );
    }
}
