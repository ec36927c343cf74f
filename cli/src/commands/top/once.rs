//! The view as plain text, for pipes and scripts.

use super::view::{Rates, View, bits, bytes};
use crate::listing::Listing;

/// Everything there is to see.
pub fn render(view: &View, width: usize) -> String {
    let mut text = format!("{}: {}\n\n", view.name, view.what);
    if let Some(run) = &view.run {
        text.push_str(&format!(
            "point {} of {}: {}; {} of {} iterations\n\n",
            run.point, run.points, run.title, run.done, run.iterations
        ));
    }
    let mut lanes = Listing::new(&[
        "channel", "state", "rate", "of", "queue", "delay", "marks/s", "drops/s", "lost/s",
    ]);
    for lane in &view.lanes {
        let rate = |rate: fn(&Rates) -> String| lane.rates.as_ref().map_or_else(String::new, rate);
        let limit = lane.limit_bps.map(|limit| bits(limit as f64));
        lanes.row([
            format!("{} > {} lane {}", lane.from, lane.to, lane.lane),
            if lane.is_up { "up" } else { "down" }.to_owned(),
            rate(|rates| bits(rates.bits)),
            limit.unwrap_or_else(|| "unlimited".to_owned()),
            bytes(lane.queue_bytes),
            lane.delay.clone(),
            rate(|rates| format!("{:.1}", rates.marks)),
            rate(|rates| format!("{:.1}", rates.drops)),
            rate(|rates| format!("{:.1}", rates.losses)),
        ]);
    }
    let mut sites = Listing::new(&["site", "hosts", "sends", "receives"]);
    for site in &view.sites {
        sites.row([
            site.name.clone(),
            site.hosts.to_string(),
            site.sends.map_or_else(String::new, bits),
            site.receives.map_or_else(String::new, bits),
        ]);
    }
    text.push_str(&lanes.render(2..9, width));
    text.push_str("\n\n");
    text.push_str(&sites.render(1..4, width));
    if let Some(note) = &view.note {
        text.push_str(&format!("\n\n{note}"));
    }
    text
}
