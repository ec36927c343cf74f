//! The engine and the CPU while a workload runs.

use std::fs;

use serde::{Deserialize, Serialize};

use super::{Fidelity, FidelityCheck};
use crate::engine::EngineError;
use crate::lab::Lab;

/// Begun before a workload, finished after it.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    engine_drops: u64,
    cpu: CpuTime,
}

/// Clock ticks of all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CpuTime {
    busy: u64,
    all: u64,
}

impl Watch {
    /// Notes where the counters stand. Blocking as [`Lab::counters`].
    ///
    /// # Errors
    /// If the engine has died.
    pub fn start(lab: &Lab) -> Result<Self, EngineError> {
        // What the engine was late by before is not this workload's.
        let _ = lab.lateness();
        Ok(Self {
            engine_drops: engine_drops(lab)?,
            cpu: CpuTime::now(),
        })
    }

    /// Judges the run since then, with the `checks` made before it.
    ///
    /// # Errors
    /// If the engine has died.
    pub fn finish(self, lab: &Lab, checks: Vec<FidelityCheck>) -> Result<Fidelity, EngineError> {
        let drops = engine_drops(lab)?.saturating_sub(self.engine_drops);
        Ok(Fidelity::new(
            checks,
            lab.lateness(),
            drops,
            CpuTime::now().since(self.cpu),
        ))
    }
}

fn engine_drops(lab: &Lab) -> Result<u64, EngineError> {
    Ok(lab
        .counters()?
        .iter()
        .map(|(_, counters)| counters.engine_drops)
        .sum())
}

/// The first line of /proc/stat (proc_stat(5)): user, nice, system, idle, iowait, irq, softirq, steal. Guest time is part of
/// user time.
fn parse(stat: &str) -> Option<CpuTime> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = fields
        .split_whitespace()
        .take(8)
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    let all = ticks.iter().sum();
    // What runs niced gives way to a lab.
    let [nice, idle, iowait] = [1, 3, 4].map(|field| ticks.get(field).copied());
    Some(CpuTime {
        busy: all - nice? - idle? - iowait?,
        all,
    })
}

impl CpuTime {
    /// Since the machine came up.
    pub(crate) fn now() -> Self {
        parse(&fs::read_to_string("/proc/stat").unwrap_or_default()).unwrap_or_default()
    }

    /// The share of the time since `earlier` that was neither idle nor niced.
    pub(crate) fn since(self, earlier: CpuTime) -> f64 {
        let all = self.all.saturating_sub(earlier.all);
        // iowait may run backwards (proc_stat(5)), and with it the rest.
        let busy = self.busy.saturating_sub(earlier.busy).min(all);
        if all == 0 {
            0.0
        } else {
            busy as f64 / all as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_use_is_the_share_that_was_neither_idle_nor_niced() {
        let before = parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1\n").unwrap();
        let after = parse("cpu  190 700 60 880 60 5 5 0 0 0\n").unwrap();
        assert_eq!(
            before,
            CpuTime {
                busy: 150,
                all: 1000
            }
        );
        assert!((after.since(before) - 110.0 / 900.0).abs() < 1e-12);
        assert_eq!(before.since(before), 0.0);
    }

    #[test]
    fn what_is_no_stat_file_is_no_time() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("cpu  1 2 three"), None);
    }
}
