//! What programs with a rank on each of some hosts have in common.

use longhaul_reports::result::Workload;

use super::{Refusal, check_hosts};
use crate::collective::Collective;

/// Every one is kept.
const MOST_ITERATIONS: u64 = 1_000_000;

/// Iterations that are measured if nothing else is said, and those before them.
pub(super) fn default_iterations() -> u64 {
    10
}

/// See [`default_iterations`].
pub(super) fn default_warmup() -> u64 {
    2
}

/// The hosts that take part: those of the field `hosts`, else all.
pub(super) fn hosts<'a>(
    named: Option<&'a [String]>,
    all: &'a [String],
) -> Result<&'a [String], Refusal> {
    let chosen = named.unwrap_or(all);
    check_hosts("hosts", chosen, all)?;
    match chosen.len() < 2 {
        true => Err(Refusal::of("hosts", "this takes two hosts")),
        false => Ok(chosen),
    }
}

/// Checks the fields `iterations` and `warmup`.
pub(super) fn check_iterations(iterations: u64, warmup: u64) -> Result<(), Refusal> {
    if !(1..=MOST_ITERATIONS).contains(&iterations) || warmup > MOST_ITERATIONS {
        let message = format!("iterations are 1 to {MOST_ITERATIONS}");
        return Err(Refusal::of("iterations", message));
    }
    Ok(())
}

/// Pairs of ranks are what no library has as a collective.
pub(super) fn no_pairs() -> Refusal {
    Refusal::of(
        "collective",
        "`pairs` is of longhaul's own ranks (a workload with `collective`); a program has `send_recv`",
    )
}

/// A collective of single-precision sums in a result, by a program that uses `library`.
pub(super) fn workload(
    library: &str,
    algorithm: &str,
    collective: Collective,
    hosts: &[String],
) -> Workload {
    Workload::Collective {
        program: Some(library.to_owned()),
        collective: collective.to_string(),
        algorithm: algorithm.to_owned(),
        data_type: "f32".to_owned(),
        op: if collective.reduces() { "sum" } else { "none" }.to_owned(),
        root: if collective.has_root() { 0 } else { -1 },
        ranks: hosts.len(),
        hosts: hosts.to_vec(),
    }
}
