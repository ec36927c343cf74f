//! Results one after the other on one time axis, each with the zero of its own.

use std::collections::BTreeMap;

use crate::folder::ResultFolder;
use crate::result::Point;

/// Seconds between the end of one result and the beginning of the next.
const PAUSE_S: f64 = 1.0;

/// What is put one after the other.
#[derive(Debug)]
pub(crate) struct TimeAxis {
    pub(crate) whole: ResultFolder,
    /// Where the next one begins.
    next_s: f64,
}

impl TimeAxis {
    /// Begins with `first`, but for its points and its telemetry.
    pub(crate) fn new(first: &ResultFolder) -> Self {
        let mut result = first.result.clone();
        result.points.clear();
        Self {
            whole: ResultFolder {
                result,
                telemetry: Vec::new(),
            },
            next_s: 0.0,
        }
    }

    /// Appends the points of `folder`, each as `change` leaves it, who may also number it anew, and what was observed in them.
    pub(crate) fn append(&mut self, folder: &ResultFolder, mut change: impl FnMut(&mut Point)) {
        let ResultFolder { result, telemetry } = folder;
        let times = || {
            let points = result.points.iter().flat_map(|p| [p.began_s, p.ended_s]);
            points.chain(telemetry.iter().map(|row| row.time_s))
        };
        let Some(start) = times().reduce(f64::min) else {
            return;
        };
        let shift = self.next_s - start;
        self.next_s = times().fold(start, f64::max) + shift + PAUSE_S;
        let mut numbers = BTreeMap::new();
        for point in &result.points {
            let mut moved = point.clone();
            moved.shift(shift);
            change(&mut moved);
            numbers.insert(point.index, moved.index);
            self.whole.result.points.push(moved);
        }
        let moved = telemetry.iter().filter_map(|row| {
            let mut row = row.clone();
            row.point = *numbers.get(&row.point)?;
            row.time_s += shift;
            Some(row)
        });
        self.whole.telemetry.extend(moved);
    }
}
