//! Sites on a circle, links straight.

use std::f64::consts::{PI, TAU};

use longhaul_topologies::Topology;

use crate::canvas::Frame;
use crate::map::{Layout, MARGIN};

/// Between the sites at the sides and the edges.
const NAMES: f64 = 60.0;

pub(super) fn layout(topology: &Topology, width: f64, top: f64) -> Layout {
    let count = topology.sites.len();
    let (radius, height) = if count == 2 {
        (160.0, 160.0)
    } else {
        (230.0, 550.0)
    };
    let frame = Frame {
        left: MARGIN,
        top,
        right: width - MARGIN,
        bottom: top + height,
    };
    let middle = (
        (frame.left + frame.right) / 2.0,
        (frame.top + frame.bottom) / 2.0,
    );
    // Two sites lie side by side; more begin at the top. An ellipse leaves room for names left and right, but on a phone.
    let across = f64::min(1.4 * radius, (frame.right - frame.left) / 2.0 - NAMES);
    let start = if count == 2 { PI } else { -PI / 2.0 };
    let sites: Vec<_> = (0..count)
        .map(|site| start + TAU * site as f64 / count as f64)
        .map(|angle| {
            (
                middle.0 + across * angle.cos(),
                middle.1 + radius * angle.sin(),
            )
        })
        .collect();
    // Several links between the same sites fan out.
    let fan = |link: usize| {
        let ends = |link: usize| {
            let (a, b) = (topology.links[link].a.0, topology.links[link].b.0);
            (a.min(b), a.max(b))
        };
        let twins: Vec<usize> = (0..topology.links.len())
            .filter(|&other| ends(other) == ends(link))
            .collect();
        let place = twins.iter().position(|&twin| twin == link).unwrap_or(0);
        40.0 * (place as f64 - (twins.len() - 1) as f64 / 2.0)
    };
    let paths = topology.links.iter().enumerate().map(|(index, link)| {
        let (low, high) = (link.a.0.min(link.b.0), link.a.0.max(link.b.0));
        let (from, to) = (sites[low], sites[high]);
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy).max(1.0);
        let bow = fan(index);
        let piece = (0..=32)
            .map(|step| f64::from(step) / 32.0)
            .map(|share| (share, bow * (PI * share).sin()))
            .map(|(share, aside)| {
                (
                    from.0 + dx * share - dy / length * aside,
                    from.1 + dy * share + dx / length * aside,
                )
            })
            .collect();
        vec![piece]
    });
    let paths = paths.collect();
    Layout {
        frame,
        land: Vec::new(),
        sites,
        paths,
        note: "a graph: places and lengths have no meaning",
    }
}
