//! How faithful a lab was, as its result says it.

use longhaul_emulator::fidelity::{Fidelity, FidelityCheck};
use longhaul_reports::result::{EngineLateness, FidelityRow, FidelitySection};

/// The fidelity section of a result.
pub(super) fn section(fidelity: &Fidelity, notes: Vec<String>) -> FidelitySection {
    FidelitySection {
        faithful: fidelity.faithful(),
        findings: fidelity.findings.clone(),
        notes,
        checks: fidelity.checks.iter().map(row).collect(),
        lateness: fidelity.lateness.map(|late| EngineLateness {
            releases: late.releases,
            p50_us: late.p50_us,
            p99_us: late.p99_us,
            max_us: late.max_us,
            late: late.late,
            slept_through: late.slept_through,
            preempted: late.preempted,
            major_faults: late.major_faults,
        }),
        engine_drops: fidelity.engine_drops,
        cpu_use: fidelity.cpu_use,
    }
}

/// A check as a row of a result.
pub(super) fn row(check: &FidelityCheck) -> FidelityRow {
    FidelityRow {
        channel: check.channel.clone(),
        quantity: check.quantity.clone(),
        unit: check.unit.clone(),
        asked: check.asked,
        measured: check.measured,
        bound: check.bound,
        within: check.within,
    }
}
