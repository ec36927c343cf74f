//! How long programs may take.

use std::time::Duration;

use longhaul_topologies::units::TimeSpan;

use super::Refusal;

/// Longer is a slip in a unit.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// What they have unless told.
pub(super) fn ten_minutes() -> TimeSpan {
    TimeSpan::from_duration(Duration::from_secs(600))
}

/// Checks the field `timeout`.
pub(super) fn check(timeout: TimeSpan) -> Result<(), Refusal> {
    match timeout.duration() > LONGEST {
        true => Err(Refusal::of("timeout", "a timeout is at most 7 days")),
        false => Ok(()),
    }
}
