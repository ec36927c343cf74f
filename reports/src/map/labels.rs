//! Where the names of sites and links stand so that none covers another.

use std::time::Duration;

use longhaul_topologies::Topology;
use longhaul_topologies::model::{Direction, Link, Site};

use crate::canvas::{Across, Frame, Label, Place};
use crate::chart::shorten;
use crate::format::{plural, rate, time};
use crate::map::Layout;
use crate::theme::{BODY, INK, SMALL, text_width};

/// On a narrower map sites have their bare names.
const COMPACT: f64 = 600.0;

/// The longest name of a site on the map, as a share of its width.
const LONGEST: f64 = 0.35;

/// Labels with their places, and the sites and links that had no room for all of theirs.
#[derive(Clone, Debug)]
pub(super) struct Annotations {
    pub placed: Vec<Placed>,
    pub unplaced: Vec<String>,
}

/// A label that has its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub at: Place,
    pub label: Label,
    /// Whether it covers a line, and needs paper behind it to be read.
    pub over_lines: bool,
}

/// Places greedily: sites first, then links, each where it covers the fewest lines and no dot or label.
pub(super) fn place(topology: &Topology, layout: &Layout) -> Annotations {
    let mut taken: Vec<Frame> = layout
        .sites
        .iter()
        .map(|&(x, y)| around((x, y), 7.0))
        .collect();
    let mut annotations = Annotations {
        placed: Vec::new(),
        unplaced: Vec::new(),
    };
    for (site, &at) in topology.sites.iter().zip(&layout.sites) {
        let width = layout.frame.right - layout.frame.left;
        let is_compact = width < COMPACT;
        let full = match is_compact {
            true => site.name.clone(),
            false => site_text(site),
        };
        let places = [
            ((11.0, 0.0), Across::Left),
            ((-11.0, 0.0), Across::Right),
            ((0.0, -18.0), Across::Middle),
            ((0.0, 19.0), Across::Middle),
            ((9.0, -16.0), Across::Left),
            ((9.0, 17.0), Across::Left),
            ((-9.0, -16.0), Across::Right),
            ((-9.0, 17.0), Across::Right),
            ((0.0, -38.0), Across::Middle),
            ((0.0, 39.0), Across::Middle),
        ];
        // A long name would take the room of others; the list below the map has it.
        let most = width * LONGEST;
        let texts = [full.clone(), shorten(&site.name, BODY, most)];
        let fitting = texts.iter().filter(|text| text_width(text, BODY) <= most);
        let chosen = fitting
            .filter_map(|text| {
                let label = |across| Label::new(text, BODY, INK, across);
                let candidates =
                    places.map(|((dx, dy), across)| ((at.0 + dx, at.1 + dy), label(across)));
                best(candidates.into_iter(), &taken, layout, None)
            })
            .next();
        let is_told = (chosen.as_ref()).is_some_and(|placed| placed.label.text == full);
        if !is_told {
            annotations.unplaced.push(match &site.place {
                Some(_) if !is_compact => format!("{}: {full}", site.name),
                _ => full,
            });
        }
        if let Some(chosen) = chosen {
            taken.push(padded(chosen.label.frame(chosen.at)));
            annotations.placed.push(chosen);
        }
    }
    for (index, link) in topology.links.iter().enumerate() {
        let points: Vec<Place> = layout.paths[index].iter().flatten().copied().collect();
        let text = link_text(link);
        // From the middle outwards, on the line and a little beside it.
        let shares = [0.5, 0.42, 0.58, 0.35, 0.65, 0.28, 0.72, 0.2, 0.8];
        let candidates = [0.0, -16.0, 16.0].into_iter().flat_map(|aside| {
            let (points, text) = (&points, &text);
            shares.into_iter().map(move |share| {
                let (x, y) = points[((points.len() - 1) as f64 * share).round() as usize];
                ((x, y + aside), Label::new(text, SMALL, INK, Across::Middle))
            })
        });
        if let Some(chosen) = best(candidates, &taken, layout, Some(index)) {
            taken.push(padded(chosen.label.frame(chosen.at)));
            annotations.placed.push(chosen);
        } else {
            let (a, b) = (&topology.site(link.a).name, &topology.site(link.b).name);
            annotations.unplaced.push(format!("{a} – {b}: {text}"));
        }
    }
    annotations
}

/// The area of a label with a little paper around it.
pub(super) fn padded(frame: Frame) -> Frame {
    Frame {
        left: frame.left - 3.0,
        top: frame.top - 1.0,
        right: frame.right + 3.0,
        bottom: frame.bottom + 1.0,
    }
}

/// The candidate that covers the fewest lines other than its own, the first of equals; none if all cover a label.
fn best(
    candidates: impl Iterator<Item = (Place, Label)>,
    taken: &[Frame],
    layout: &Layout,
    own: Option<usize>,
) -> Option<Placed> {
    let covers = |frame: &Frame, pieces: &Vec<Vec<Place>>| {
        pieces
            .iter()
            .flat_map(|piece| piece.windows(2))
            .any(|pair| crosses(frame, pair[0], pair[1]))
    };
    candidates
        .map(|(at, label)| (padded(label.frame(at)), at, label))
        .filter(|(frame, ..)| {
            layout.frame.contains(frame) && taken.iter().all(|other| !other.overlaps(frame))
        })
        .map(|(frame, at, label)| {
            let covered: Vec<usize> = (0..layout.paths.len())
                .filter(|&link| covers(&frame, &layout.paths[link]))
                .collect();
            let others = covered.iter().filter(|&&link| Some(link) != own).count();
            (
                others,
                Placed {
                    at,
                    label,
                    over_lines: !covered.is_empty(),
                },
            )
        })
        .min_by_key(|(others, _)| *others)
        .map(|(_, placed)| placed)
}

/// Whether a short line touches the frame, told by its ends and what lies between them at every two pixels.
fn crosses(frame: &Frame, from: Place, to: Place) -> bool {
    let steps = ((to.0 - from.0).hypot(to.1 - from.1) / 2.0).ceil().max(1.0);
    (0..=steps as usize)
        .map(|step| step as f64 / steps)
        .any(|share| {
            let (x, y) = (
                from.0 + (to.0 - from.0) * share,
                from.1 + (to.1 - from.1) * share,
            );
            frame.left <= x && x <= frame.right && frame.top <= y && y <= frame.bottom
        })
}

fn around((x, y): Place, radius: f64) -> Frame {
    Frame {
        left: x - radius,
        top: y - radius,
        right: x + radius,
        bottom: y + radius,
    }
}

/// `Dublin, Ireland (4 hosts)`.
fn site_text(site: &Site) -> String {
    format!(
        "{} ({})",
        site.place.as_ref().unwrap_or(&site.name),
        plural(site.hosts, "host")
    )
}

/// `2 × 500 Mbit/s, 80 ms`; each direction's rate where they differ.
fn link_text(link: &Link) -> String {
    let of = |direction| {
        let limit = link.least_rate(direction);
        limit.map_or("unlimited".to_owned(), |limit| {
            rate(limit.bits_per_second() as f64)
        })
    };
    let [forward, reverse] = Direction::BOTH.map(of);
    let rates = if forward == reverse {
        forward
    } else {
        format!("{forward} ⁄ {reverse}")
    };
    let lanes = if link.lanes.len() > 1 {
        format!("{} × ", link.lanes.len())
    } else {
        String::new()
    };
    let round_trip: Duration = Direction::BOTH
        .map(|direction| link.channel(direction).delay)
        .into_iter()
        .sum();
    format!("{lanes}{rates}, {}", time(round_trip.as_secs_f64() * 1e6))
}
