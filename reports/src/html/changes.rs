//! What happened to the links while the workload ran, in the order of time.

use maud::{Markup, html};

use crate::chart::AT_ONCE;
use crate::format::time;
use crate::html::table;
use crate::result::{Point, RunResult, Source, TimelineEntry};

/// More lines than this are not read; result.json has all.
const MOST: usize = 200;

/// Every change; nothing if there was none.
pub(super) fn section(result: &RunResult) -> Option<Markup> {
    let mut rows = Vec::new();
    for point in &result.points {
        rows.extend(
            together(point)
                .into_iter()
                .map(|entries| row(point, &entries)),
        );
    }
    if rows.is_empty() {
        return None;
    }
    let all = rows.len();
    rows.truncate(MOST);
    let head = ["series", "when", "where", "what", "by", "late by"];
    Some(html! {
        (table(&head, &rows, usize::MAX))
        @if all > MOST { p.muted { "The first " (MOST) " of " (all) " changes; result.json has all as " code { "timeline" } "." } }
    })
}

/// A point's changes, those that happened at once and alike in one.
fn together(point: &Point) -> Vec<Vec<&TimelineEntry>> {
    let mut entries: Vec<&TimelineEntry> = point.timeline.iter().collect();
    entries.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
    let mut all: Vec<Vec<&TimelineEntry>> = Vec::new();
    for entry in entries {
        let alike = |first: &&TimelineEntry| {
            entry.time_s - first.time_s < AT_ONCE
                && first.change == entry.change
                && first.source == entry.source
        };
        match all.iter_mut().rev().take(8).find(|group| alike(&group[0])) {
            Some(group) => group.push(entry),
            None => all.push(vec![entry]),
        }
    }
    all
}

fn row(point: &Point, entries: &[&TimelineEntry]) -> Vec<Markup> {
    let first = entries[0];
    let began = point.schedule_began_s.unwrap_or(point.began_s);
    let late = entries
        .iter()
        .map(|entry| entry.late_us)
        .fold(0.0, f64::max);
    let places: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} lane {}", entry.link, entry.lane))
        .collect();
    let is_fault = first.change.contains("→ down");
    vec![
        html! { (point.stack) @for (name, value) in &point.settings { ", " (name) " " (value) } " (point " (point.index) ")" },
        html! { span.nowrap { (format!("{:.3} s", first.time_s - began)) } },
        html! { (places.join(", ")) },
        html! { @if is_fault { span.bad { "✗ " (first.change) } } @else { (first.change) } },
        html! { @match first.source { Source::Scheduled => "schedule", Source::Manual => "hand" } },
        html! { @match first.source { Source::Scheduled => span.nowrap { (time(late)) }, Source::Manual => "" } },
    ]
}
