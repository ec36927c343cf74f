//! What was off, in words: by how much and what to do.

use super::super::{Fidelity, FidelityCheck};
use crate::engine::{LATE, Lateness};

/// More than a hundredth of the packets out of bound ([`LATE`]) is too many.
const LATENESS_P99_US: f64 = LATE.as_micros() as f64;
/// A median lateness is a delay that the description does not have.
const LATENESS_P50_US: f64 = 500.0;
/// Above it the ranks, the stack and the engine wait for a CPU, and it bounds the figures in place of the links.
const CPU_SATURATED: f64 = 0.97;

/// What was off, by how much and what to do.
pub(in super::super) fn findings(fidelity: &Fidelity) -> Vec<String> {
    let mut findings: Vec<String> = fidelity
        .checks
        .iter()
        .filter(|check| !check.within)
        .map(off)
        .collect();
    if fidelity.engine_drops > 0 {
        findings.push(format!(
            "the link engine lost {} packets that the description does not lose; give the run more CPU, or lower the rates",
            fidelity.engine_drops
        ));
    }
    if let Some(lateness) = fidelity.lateness
        && (lateness.p99_us > LATENESS_P99_US || lateness.p50_us > LATENESS_P50_US)
    {
        findings.push(format!(
            "the link engine released packets late: by {:.0} µs in the median and {:.0} µs at the 99th percentile \
             (allowed: {LATENESS_P50_US} and {LATENESS_P99_US}): {}",
            lateness.p50_us,
            lateness.p99_us,
            cause(&lateness)
        ));
    }
    findings.extend(saturated(fidelity, "the CPU"));
    findings
}

/// The same where nothing was made that could be off: the description is, or something else is on the way.
pub(in super::super) fn findings_between_machines(fidelity: &Fidelity) -> Vec<String> {
    let off = |check: &FidelityCheck| {
        format!(
            "{}: correct the inventory, or look for what else is on the way",
            distance(check)
        )
    };
    let checks = fidelity.checks.iter();
    let mut findings: Vec<String> = checks.filter(|check| !check.within).map(off).collect();
    findings.extend(saturated(fidelity, "the CPU of a machine"));
    findings
}

fn saturated(fidelity: &Fidelity, whose: &str) -> Option<String> {
    (fidelity.cpu_use > CPU_SATURATED).then(|| {
        format!(
            "{whose} was {:.0} % in use, so that it may have bounded the figures; use fewer ranks, lower rates or more cores",
            fidelity.cpu_use * 100.0
        )
    })
}

/// Why an engine was late, and what to do.
fn cause(lateness: &Lateness) -> &'static str {
    if lateness.major_faults > 0 {
        "its thread waited for memory that had been swapped out; give the machine more memory, or the links smaller queues"
    } else if lateness.slept_through >= 0.5 {
        "its thread was not woken in time; allow longhaul real-time priority, stop other work on this machine, or use one whose \
         processors are its own"
    } else if lateness.preempted > 0 {
        "its thread was taken off its processor; allow longhaul real-time priority, or stop other work on this machine"
    } else {
        "its thread had more to carry than a processor can; lower the rates, or use fewer ranks"
    }
}

fn off(check: &FidelityCheck) -> String {
    let remedy = match check.quantity.as_str() {
        "rate" | "queue" => "lower the rate, or use an engine and a machine that can carry it",
        "loss" | "reordered" | "arrivals" => {
            "look for another load or shaper on this machine, and try the other link engine"
        }
        _ => "stop other work on this machine, or raise the delay until the noise does not matter",
    };
    format!("{}: {remedy}", distance(check))
}

/// How far a figure is from what was asked.
pub(in super::super) fn distance(check: &FidelityCheck) -> String {
    let FidelityCheck {
        channel,
        quantity,
        unit,
        asked,
        measured,
        bound,
        ..
    } = check;
    match unit.as_str() {
        "bit/s" => format!(
            "{quantity} of {channel} is {:.1} Mbit/s instead of {:.1} (±{:.1})",
            measured / 1e6,
            asked / 1e6,
            bound / 1e6
        ),
        "bytes" => format!(
            "{quantity} of {channel} is {measured:.0} bytes instead of {asked:.0} (±{bound:.0})"
        ),
        "" => format!(
            "{quantity} of {channel} is {measured:.3} away from that asked for (allowed: {bound:.3})"
        ),
        unit => format!(
            "{quantity} of {channel} is {measured:.3} {unit} instead of {asked:.3} (±{bound:.3})"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_engine_is_told_with_its_cause() {
        let because = |change: fn(&mut Lateness)| {
            let mut lateness = Lateness::default();
            change(&mut lateness);
            cause(&lateness)
        };
        assert!(because(|it| it.major_faults = 1).contains("memory"));
        assert!(because(|it| it.slept_through = 0.9).contains("not woken"));
        assert!(because(|it| (it.slept_through, it.preempted) = (0.1, 9)).contains("taken off"));
        assert!(because(|it| it.slept_through = 0.1).contains("more to carry"));
    }
}
