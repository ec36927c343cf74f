//! What the connections and queue pairs between ranks carried, and how evenly they shared links.

use maud::{Markup, html};

use crate::format::time;
use crate::html::sparse_table;
use crate::result::{FlowSummary, LinkShares, RunResult};
use crate::series::Series;

/// More lines than this are not read; result.json has all.
const MOST: usize = 60;

/// A line per series; nothing if there were no flows.
pub(super) fn section(result: &RunResult) -> Option<Markup> {
    let mut rows: Vec<Vec<Markup>> = Series::of(result).iter().filter_map(row).collect();
    if rows.is_empty() {
        return None;
    }
    let flows = result.points.iter().flat_map(|point| &point.flows);
    let has_messages = flows.into_iter().any(|flow| flow.messages.is_some());
    let all = rows.len();
    rows.truncate(MOST);
    let head = [
        "series",
        "flows",
        "sent again",
        "least even",
        "Jain's index",
        "messages",
        "p50",
        "p99",
        "late",
    ];
    Some(html! {
        (sparse_table(&head, &rows, 4))
        p.muted {
            "A flow is a TCP connection or a queue pair. "
            @if has_messages {
                "Messages are a queue pair's chunks, from hand-over to delivery, of the queue pair where they took longest; late are those "
                "after their playout. "
            }
            @if all > MOST { "The first " (MOST) " of " (all) " series." }
        }
    })
}

fn row(series: &Series<'_>) -> Option<Vec<Markup>> {
    let flows: Vec<&FlowSummary> = series
        .points
        .iter()
        .flat_map(|point| &point.flows)
        .collect();
    if flows.is_empty() {
        return None;
    }
    let repeated: u64 = flows.iter().map(|flow| flow.retransmits).sum();
    let shares = series.points.iter().flat_map(|point| &point.shares);
    let shares = shares.filter(|shares| shares.flows > 1);
    let least: Option<&LinkShares> = shares.min_by(|a, b| a.jain.total_cmp(&b.jain));
    let told = flows.iter().filter_map(|flow| flow.messages);
    let slowest = told
        .clone()
        .max_by(|a, b| a.latency_us.p99.total_cmp(&b.latency_us.p99));
    let messages: u64 = told.clone().map(|messages| messages.latency_us.count).sum();
    let late: Option<u64> = told.map(|messages| messages.late).sum();
    Some(vec![
        html! { (series.label) },
        html! { (flows.len() / series.points.len()) },
        html! { (repeated) },
        html! { @if let Some(least) = least { (least.link) " (" (least.flows) ")" } },
        html! { @if let Some(least) = least { (format!("{:.3}", least.jain)) } },
        html! { @if slowest.is_some() { (messages) } },
        html! { @if let Some(slowest) = slowest { span.nowrap { (time(slowest.latency_us.p50)) } } },
        html! { @if let Some(slowest) = slowest { span.nowrap { (time(slowest.latency_us.p99)) } } },
        html! { @if slowest.is_some() { @if let Some(late) = late { (late) } } },
    ])
}
