//! What one rank does of a trace.

use std::time::Duration;

use longhaul_reports::result::Placement;
use serde::{Deserialize, Serialize};

use super::terms::Terms;
use super::trace::{Activity, Trace};
use crate::collective::{Algorithm, Collective, ReduceOp};
use crate::world::Operation;

/// The nodes that one rank takes part in, in the trace's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// In order; each waits for earlier ones only.
    pub steps: Vec<Step>,
}

/// A node, as far as one rank has to do with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its index in the trace.
    pub node: usize,
    /// What is done.
    pub action: Action,
    /// The steps of this part that come first.
    pub after: Vec<usize>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Computes for so long.
    Compute(Duration),
    /// Communicates, with this rank among `ranks`.
    Communicate {
        /// What, among so many ranks as there are in `ranks`.
        operation: Operation,
        /// Who, in the operation's order.
        ranks: Vec<usize>,
    },
}

impl Trace {
    /// What `rank` does. `seed` seeds the data.
    pub fn part(&self, rank: usize, terms: &Terms, seed: u64) -> Part {
        let mut place = vec![None; self.nodes().len()];
        let mut steps = Vec::new();
        for (index, node) in self.nodes().iter().enumerate() {
            if !node.ranks.contains(&rank) {
                continue;
            }
            // Arrays are reduced where they lie, as frameworks do it.
            let operation = |collective, algorithm, data_type, op, root, size_bytes| Operation {
                collective,
                algorithm,
                data_type,
                op,
                root,
                size_bytes,
                placement: Placement::InPlace,
                seed: seed.wrapping_add(index as u64),
            };
            let communicate = |operation| Action::Communicate {
                operation,
                ranks: node.ranks.clone(),
            };
            let action = match node.activity {
                Activity::Compute { lasts, .. } => Action::Compute(terms.compute.scaled(lasts)),
                Activity::Collective {
                    collective,
                    data_type,
                    op,
                    root,
                    size_bytes,
                } => {
                    let algorithm = terms.algorithm(collective);
                    communicate(operation(
                        collective, algorithm, data_type, op, root, size_bytes,
                    ))
                }
                // Between two ranks, a broadcast is just that.
                Activity::Transfer {
                    data_type,
                    size_bytes,
                } => communicate(operation(
                    Collective::Broadcast,
                    Algorithm::Ring,
                    data_type,
                    ReduceOp::Sum,
                    0,
                    size_bytes,
                )),
            };
            place[index] = Some(steps.len());
            let after = node.after_on(rank).iter();
            steps.push(Step {
                node: index,
                action,
                after: after.filter_map(|&earlier| place[earlier]).collect(),
            });
        }
        Part { steps }
    }
}
