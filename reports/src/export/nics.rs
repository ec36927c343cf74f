//! What NICs counted, as lines.

use super::rows::lines;
use crate::folder::Opened;
use crate::result::NicCounter;

const COLUMNS: [&str; 8] = [
    "seconds", "host", "nic", "port", "counter", "metric", "unit", "growth",
];

pub(super) fn csv(results: &[Opened]) -> String {
    lines(&COLUMNS, results, |point| {
        let of_counter = |one: &NicCounter| {
            vec![
                (point.ended_s - point.began_s).to_string(),
                one.host.clone(),
                one.nic.clone(),
                one.port.map_or_else(String::new, |port| port.to_string()),
                one.counter.clone(),
                one.metric.clone(),
                one.unit.clone(),
                one.growth.to_string(),
            ]
        };
        point.nics.iter().map(of_counter).collect()
    })
}
