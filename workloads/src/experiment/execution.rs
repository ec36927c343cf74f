//! A run by the wall clock: what its result tells beside what follows from the seed.

use std::time::{Duration, Instant};

use longhaul_reports::result::{RunDetails, VirtualLab};
use longhaul_topologies::units::ByteSize;

use super::environment::machine;

/// A run under way. In a host lab the runner holds it, in a virtual one the process outside, which is the only one with a wall clock.
#[derive(Clone, Debug)]
pub struct Execution {
    command: String,
    started: jiff::Timestamp,
    /// The same on a clock that nobody sets.
    since: Instant,
}

impl Execution {
    /// The run begins, by the command that repeats it.
    pub fn begin(command: String) -> Self {
        Self {
            command,
            started: jiff::Timestamp::now(),
            since: Instant::now(),
        }
    }

    /// What is known before its end.
    pub fn under_way(&self) -> RunDetails {
        RunDetails {
            command: self.command.clone(),
            started: self.started.to_string(),
            finished: None,
            wall_seconds: None,
            virtual_lab: None,
        }
    }

    /// It has ended.
    pub fn ended(&self) -> RunDetails {
        RunDetails {
            finished: Some(jiff::Timestamp::now().to_string()),
            wall_seconds: Some(self.since.elapsed().as_secs_f64()),
            ..self.under_way()
        }
    }

    /// It has ended, in a virtual lab on this machine: `lasted` on the lab's own clock, with at most `peak_memory` held by its kernel's
    /// process. For [`ResultFolder::complete`](longhaul_reports::folder::ResultFolder::complete).
    pub fn ended_virtual(&self, lasted: Duration, peak_memory: ByteSize) -> RunDetails {
        let wall = self.since.elapsed().as_secs_f64();
        RunDetails {
            wall_seconds: Some(wall),
            virtual_lab: Some(VirtualLab {
                virtual_seconds: lasted.as_secs_f64(),
                virtual_seconds_per_wall_second: lasted.as_secs_f64() / wall.max(f64::MIN_POSITIVE),
                peak_memory_bytes: peak_memory.bytes(),
                machine: machine(),
            }),
            ..self.ended()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_under_way_has_no_end_and_one_that_ended_has_both() {
        let run = Execution::begin("longhaul run quickstart".to_owned());
        let before = run.under_way();
        assert_eq!((before.finished, before.wall_seconds), (None, None));
        let after = run.ended();
        let instant = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
        assert_eq!(after.command, "longhaul run quickstart");
        assert!(instant(&after.finished.unwrap()) >= instant(&after.started));
        assert!(after.wall_seconds.unwrap() >= 0.0 && after.virtual_lab.is_none());
    }

    #[test]
    fn a_virtual_lab_is_told_by_its_pace_and_its_machine() {
        let run = Execution::begin(String::new());
        let details = run.ended_virtual(Duration::from_secs(90), ByteSize::from_bytes(1 << 20));
        let lab = details.virtual_lab.unwrap();
        let pace = lab.virtual_seconds_per_wall_second * details.wall_seconds.unwrap();
        assert!((pace - 90.0).abs() < 1e-6, "{pace}");
        assert_eq!(
            (lab.virtual_seconds, lab.peak_memory_bytes),
            (90.0, 1 << 20)
        );
        assert!(!lab.machine.kernel.is_empty());
    }
}
