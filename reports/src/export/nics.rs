//! What NICs counted, as lines.

use super::rows::{lines, settings};
use crate::folder::Opened;
use crate::side_by_side;

const COLUMNS: [&str; 13] = [
    "result", "point", "stack", "settings", "repeat", "seconds", "host", "nic", "port", "counter",
    "metric", "unit", "growth",
];

pub(super) fn csv(results: &[Opened]) -> String {
    let mut rows = Vec::new();
    for (opened, name) in results.iter().zip(side_by_side::names(results)) {
        for point in &opened.folder.result.points {
            for one in &point.nics {
                rows.push([
                    name.clone(),
                    point.index.to_string(),
                    point.stack.clone(),
                    settings(point),
                    point.repeat.to_string(),
                    (point.ended_s - point.began_s).to_string(),
                    one.host.clone(),
                    one.nic.clone(),
                    one.port.map_or_else(String::new, |port| port.to_string()),
                    one.counter.clone(),
                    one.metric.clone(),
                    one.unit.clone(),
                    one.growth.to_string(),
                ]);
            }
        }
    }
    lines(COLUMNS, &rows)
}
