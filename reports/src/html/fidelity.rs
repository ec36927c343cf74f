//! The links held against their description.

use maud::{Markup, html};

use crate::format::{plural, quantity};
use crate::html::{table, verdict};
use crate::result::{FidelityRow, RunResult};

/// More checks than this are folded away, but for those that were off.
const ALL_UP_TO: usize = 24;

/// Every check is in result.json; a page shows so many at most.
const MOST: usize = 1000;

/// Verdict, engine, checks and notes.
pub(super) fn section(result: &RunResult) -> Option<Markup> {
    if result.points.is_empty() {
        return None;
    }
    let checks = result.checks();
    let (good, off): (Vec<_>, Vec<_>) = checks.iter().copied().partition(|(_, check)| check.within);
    let mut notes: Vec<&str> = Vec::new();
    for note in result.points.iter().flat_map(|point| &point.fidelity.notes) {
        if !notes.contains(&note.as_str()) {
            notes.push(note);
        }
    }
    let say = format!(
        "{} of {} as described",
        good.len(),
        plural(checks.len(), "figure")
    );
    Some(html! {
        p { (verdict(off.is_empty(), &say, &say)) " "
            @if off.is_empty() && result.points.iter().any(|point| !point.fidelity.faithful) {
                span.bad { "✗ what else was off stands at the top" } " "
            }
            span.muted { (result.engine().join(" · ")) } }
        @if !off.is_empty() { (rows(&off)) }
        @if good.len() <= ALL_UP_TO {
            @if !good.is_empty() { (rows(&good)) }
        } @else {
            details {
                summary { "The " (good.len()) " figures that were as described" }
                (rows(&good))
            }
        }
        @if !notes.is_empty() { ul { @for note in &notes { li { (note) } } } }
    })
}

fn rows(checks: &[(usize, &FidelityRow)]) -> Markup {
    let row = |(point, check): &(usize, &FidelityRow)| {
        let value = |value| html! { span.nowrap { (quantity(value, &check.unit)) } };
        vec![
            html! { (point) },
            html! { (check.channel) },
            html! { (check.quantity) },
            value(check.asked),
            value(check.measured),
            value(check.bound),
            html! { (verdict(check.within, "ok", "off")) },
        ]
    };
    let shown: Vec<Vec<Markup>> = checks.iter().take(MOST).map(row).collect();
    let head = [
        "point",
        "channel",
        "quantity",
        "described",
        "measured",
        "allowed ±",
        "",
    ];
    html! {
        (table(&head, &shown, 3))
        @if checks.len() > MOST { p.muted { "The first " (MOST) " of " (checks.len()) "; result.json has all." } }
    }
}
