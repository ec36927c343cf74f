//! The map, and each link's description beside what it measured.

use maud::{Markup, html};

use crate::described::{self, Way};
use crate::folder::ResultFolder;
use crate::format::{bytes, time};
use crate::html::charts::{NARROW, WIDE, twice};
use crate::html::table;
use crate::map;

/// The map and a line per direction of each link; of a result whose topology cannot be read, why.
pub(super) fn section(folder: &ResultFolder) -> Option<Markup> {
    let result = &folder.result;
    let topology = match described::topology(result) {
        Ok(topology) => topology,
        Err(why) if result.points.is_empty() => {
            return Some(html! { p.muted { "No map: " (why) "." } });
        }
        Err(why) => {
            return Some(
                html! { p.muted { "No map: " (why) ". What the links measured is told under Fidelity." } },
            );
        }
    };
    let ways = described::ways(&topology, result);
    let tips: Vec<String> = ways
        .iter()
        .map(|both| both.each_ref().map(tip).join("\n"))
        .collect();
    let title = format!("map of {}", topology.name);
    let draw = |width| map::picture(&topology, width, &tips).to_inline_svg(&title);
    let rows: Vec<Vec<Markup>> = ways.iter().flatten().map(row).collect();
    let head = [
        "link",
        "described",
        "measured before",
        "delay under load: median, p99",
        "carried",
        "dropped, marked",
    ];
    Some(html! {
        (twice(&draw(WIDE), &draw(NARROW)))
        (table(&head, &rows, usize::MAX))
        @if result.points.iter().any(|point| !point.settings.is_empty()) {
            p.muted { "Described before what is swept. Measured: of all points, what strained its bound most." }
        }
    })
}

fn row(way: &Way) -> Vec<Markup> {
    let measured = way.measured.iter().map(|one| {
        html! {
            span.nowrap { (one.quantity) " " b { (one.value) } " " @if one.within { span.good { "✓" } } @else { span.bad { "✗ off" } } } " "
        }
    });
    vec![
        html! { (way.from) " → " (way.to) },
        html! { (way.asked) },
        html! { @for one in measured { (one) } },
        html! { @if let Some((median, p99)) = way.loaded_us { span.nowrap { (time(median)) ", " (time(p99)) } } },
        html! { span.nowrap { (bytes(way.bytes as f64)) } },
        html! { @if way.losses.is_empty() { span.muted { "none" } } @else { (way.losses) } },
    ]
}

/// What the map tells who points at a link.
fn tip(way: &Way) -> String {
    let measured = way.measured.iter();
    let measured = measured.map(|one| {
        let off = if one.within { "" } else { " OFF" };
        format!("{} {}{off}", one.quantity, one.value)
    });
    let mut lines = vec![
        format!("{} → {}", way.from, way.to),
        format!("described: {}", way.asked),
    ];
    let measured: Vec<String> = measured.collect();
    if !measured.is_empty() {
        lines.push(format!("measured: {}", measured.join(", ")));
    }
    lines.join("\n")
}
