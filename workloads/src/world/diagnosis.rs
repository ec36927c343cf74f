//! Which rank is the cause, when several complain about each other. Pure.
//!
//! When one rank stops, its neighbours starve, then theirs: soon all complain. A rank whose process has ended is reported
//! as such before this is asked. Otherwise the cause is the rank that no longer says it is at work, or, if all do, the
//! one whose absence was noticed first.

use std::io;
use std::time::Duration;

use super::WorldError;
use super::protocol::HEARTBEAT;

/// How long after the first complaint others are waited for: long enough for a process that ended to be noticed, and
/// for a rank's silence to show.
pub(super) const SETTLING: Duration = Duration::from_secs(1);

/// A rank that has said nothing for so long is not merely late, on a machine that is busy.
const SILENCE: Duration = HEARTBEAT.saturating_mul(4);

/// A rank's complaint about another.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) by: usize,
    pub(super) about: usize,
    pub(super) message: String,
    pub(super) waited: Duration,
}

/// What a rank has done about the current request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standing {
    Answered,
    /// It has not answered, and said nothing at all for so long.
    Quiet(Duration),
}

/// The cause behind `reports`, of which there is at least one.
pub(super) fn cause(hosts: &[String], standing: &[Standing], reports: &[Report]) -> WorldError {
    if let Some(error) = given_up(hosts, standing, reports, SILENCE) {
        return error;
    }
    let first = reports
        .iter()
        .max_by_key(|report| report.waited)
        .expect("a complaint made it ask");
    let Report {
        by, about, message, ..
    } = first;
    WorldError::Silent {
        rank: *about,
        host: hosts[*about].clone(),
        waiting: format!("rank {by} on {}: {message}", hosts[*by]),
    }
}

/// The rank that has been quiet for longest, if for more than `patience`. One that has complained is done talking.
pub(super) fn given_up(
    hosts: &[String],
    standing: &[Standing],
    reports: &[Report],
    patience: Duration,
) -> Option<WorldError> {
    let complained = |rank: usize| reports.iter().any(|report| report.by == rank);
    let quiet = standing
        .iter()
        .enumerate()
        .filter_map(|(rank, standing)| match standing {
            Standing::Quiet(quiet) if *quiet > patience.max(SILENCE) && !complained(rank) => {
                Some((*quiet, rank))
            }
            Standing::Quiet(_) | Standing::Answered => None,
        });
    let (quiet, rank) = quiet.max()?;
    let mut waiting = format!(
        "nothing on its control connection for {:.1} s",
        quiet.as_secs_f64()
    );
    if let Some(report) = reports.iter().find(|report| report.about == rank) {
        waiting = format!(
            "{waiting}; rank {} on {}: {}",
            report.by, hosts[report.by], report.message
        );
    }
    Some(WorldError::Silent {
        rank,
        host: hosts[rank].clone(),
        waiting,
    })
}

/// A step that the system refused to a rank.
pub(super) fn system(
    rank: usize,
    host: &str,
    step: &str,
    errno: Option<i32>,
    message: String,
) -> WorldError {
    let source = errno.map_or_else(|| io::Error::other(message), io::Error::from_raw_os_error);
    WorldError::System {
        step: format!("{step} for rank {rank} on {host}"),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Vec<String> {
        (0..4).map(|rank| format!("host-{rank}")).collect()
    }

    fn report(by: usize, about: usize, waited_ms: u64) -> Report {
        Report {
            by,
            about,
            message: format!("nothing from rank {about}"),
            waited: Duration::from_millis(waited_ms),
        }
    }

    fn silent(error: WorldError) -> (usize, String) {
        match error {
            WorldError::Silent { rank, waiting, .. } => (rank, waiting),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_rank_that_no_longer_speaks_is_the_cause_whoever_complains_of_whom() {
        let standing = [0, 0, 9, 0].map(|seconds| Standing::Quiet(Duration::from_secs(seconds)));
        let reports = [report(0, 3, 5000), report(1, 0, 5001), report(3, 2, 4990)];
        let (rank, waiting) = silent(cause(&hosts(), &standing, &reports));
        assert_eq!(rank, 2);
        assert!(
            waiting.contains("rank 3 on host-3: nothing from rank 2"),
            "{waiting}"
        );
    }

    #[test]
    fn if_all_speak_it_is_the_one_missed_first() {
        let standing = [Standing::Quiet(Duration::from_millis(10)); 4];
        let reports = [report(0, 3, 5000), report(2, 1, 5200), report(3, 2, 5100)];
        assert_eq!(silent(cause(&hosts(), &standing, &reports)).0, 1);
    }

    #[test]
    fn a_rank_that_complained_is_not_blamed_for_being_quiet_afterwards() {
        let standing = [Standing::Quiet(Duration::from_secs(60)); 4];
        let reports: Vec<Report> = (0..4)
            .map(|rank| report(rank, (rank + 1) % 4, 1000))
            .collect();
        assert!(given_up(&hosts(), &standing, &reports, Duration::from_secs(5)).is_none());
    }

    #[test]
    fn a_rank_within_its_patience_is_waited_for() {
        let standing = [Standing::Quiet(Duration::from_secs(4)), Standing::Answered];
        assert!(given_up(&hosts(), &standing, &[], Duration::from_secs(5)).is_none());
        assert!(given_up(&hosts(), &standing, &[], Duration::from_secs(3)).is_some());
    }
}
