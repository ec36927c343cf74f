//! What changes on a link while the workload runs: from changes as written to channels as they are from each instant on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::link::{Change, LaneSettings, Reader};
use crate::document::InputError;
use crate::model::{Direction, Lane, ScheduledChange, SiteId};
use crate::spec::{ChangeSpec, ChannelSpec};
use crate::units::TimeSpan;

/// No workload runs longer (`longhaul run` refuses one of two days).
const LATEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Changes × lanes: each is a whole channel in memory.
const MOST: usize = 1_000_000;

/// The schedule of the link that `reader` reads, whose lanes are `base` before anything changes.
pub(super) fn schedule(
    reader: &Reader<'_>,
    lanes: &LaneSettings,
    base: &[Lane],
    ends: [SiteId; 2],
) -> Result<Vec<ScheduledChange>, InputError> {
    let changes = &reader.link.schedule;
    check(reader, lanes.count)?;
    let mut turns: BTreeMap<Duration, Vec<(usize, Turn)>> = BTreeMap::new();
    for (entry, change) in changes.iter().enumerate() {
        let ends = end(change).map(|end| (end, Turn::Ends));
        for (at, turn) in [(begin(change), Turn::Begins)].into_iter().chain(ends) {
            turns.entry(at).or_default().push((entry, turn));
        }
    }
    let mut schedule = Vec::new();
    if turns.is_empty() {
        return Ok(schedule);
    }
    let mut now = base.to_vec();
    let mut in_force = vec![InForce::default(); lanes.count];
    for (at, turns) in turns {
        let mut concerned = BTreeSet::new();
        for (entry, turn) in turns {
            let change = &changes[entry];
            let of = match change.lane {
                Some(lane) => lane..lane + 1,
                None => 0..lanes.count,
            };
            let said = change.channel().said();
            for lane in of {
                in_force[lane].turn(entry, change, said, turn);
                concerned.insert(lane);
            }
        }
        for index in concerned {
            let in_force: Vec<Change<'_>> = (in_force[index].that_count().into_iter())
                .map(|entry| (&changes[entry], reader.path.key("schedule").index(entry)))
                .collect();
            let lane = reader.lane(lanes.of(index), &in_force, ends)?;
            for direction in Direction::BOTH {
                let channel = lane.channel(direction);
                if channel != now[index].channel(direction) {
                    schedule.push(ScheduledChange {
                        at,
                        lane: index,
                        direction,
                        channel: channel.clone(),
                    });
                }
            }
            now[index] = lane;
        }
    }
    Ok(schedule)
}

/// What becomes of a change at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Begins,
    Ends,
}

/// The changes in force on a lane, as entries of the schedule: for each direction and setting those that say it. Of them the last
/// counts; so that of thousands that lie over each other no more are looked at than there are settings.
#[derive(Clone, Default)]
struct InForce([[BTreeSet<usize>; 10]; 2]);

impl InForce {
    fn turn(&mut self, entry: usize, change: &ChangeSpec, said: [bool; 10], turn: Turn) {
        for (direction, settings) in Direction::BOTH.into_iter().zip(&mut self.0) {
            if !change.concerns(direction) {
                continue;
            }
            for (setting, _) in settings.iter_mut().zip(said).filter(|(_, said)| *said) {
                match turn {
                    Turn::Begins => setting.insert(entry),
                    Turn::Ends => setting.remove(&entry),
                };
            }
        }
    }

    /// Those that count for anything, in the schedule's order.
    fn that_count(&self) -> BTreeSet<usize> {
        let settings = self.0.iter().flatten();
        settings
            .filter_map(|entries| entries.last().copied())
            .collect()
    }
}

/// Checks what is not a channel's setting.
fn check(reader: &Reader<'_>, lanes: usize) -> Result<(), InputError> {
    let schedule = reader.path.key("schedule");
    let changes = &reader.link.schedule;
    if changes.len().saturating_mul(2 * lanes) > MOST {
        let message = format!(
            "too many changes: at most {} on {lanes} lanes",
            MOST / (2 * lanes)
        );
        return Err(reader.document.error(&schedule, message));
    }
    for (index, change) in changes.iter().enumerate() {
        let path = schedule.index(index);
        let refuse =
            |key: &str, message: String| Err(reader.document.error(&path.key(key), message));
        if begin(change) > LATEST {
            let latest = TimeSpan::from(LATEST);
            return refuse("at", format!("{} is too late: at most {latest}", change.at));
        }
        if change.lasting.is_some_and(|time| time.duration().is_zero()) {
            return refuse("for", "the change lasts no time".to_owned());
        }
        if end(change).is_some_and(|end| end > LATEST) {
            let (lasting, latest) = (change.lasting.unwrap_or_default(), TimeSpan::from(LATEST));
            return Err(reader
                .document
                .error(
                    &path.key("for"),
                    format!(
                        "{lasting} from {} on is too long: at most until {latest}",
                        change.at
                    ),
                )
                .with_help("leave `for` out if the change lasts to the end"));
        }
        if let Some(lane) = change.lane.filter(|&lane| lane >= lanes) {
            let last = lanes - 1;
            return refuse(
                "lane",
                format!("there is no lane {lane}: they are numbered from 0 to {last}"),
            );
        }
        if change.channel() == ChannelSpec::default() {
            return Err(reader
                .document
                .error(&path, "the change does not say what changes")
                .with_help("write a setting beside `at`, such as `delay: 60ms` or `state: down`"));
        }
    }
    Ok(())
}

fn begin(change: &ChangeSpec) -> Duration {
    change.at.duration()
}

fn end(change: &ChangeSpec) -> Option<Duration> {
    change
        .lasting
        .map(|time| begin(change).saturating_add(time.duration()))
}
