//! Where the names of sites and links stand so that none covers another.

use std::time::Duration;

use longhaul_topologies::Topology;
use longhaul_topologies::model::{Direction, Link, Site};

use crate::canvas::{Across, Frame, Label, Place, between, distance};
use crate::chart::shorten;
use crate::format::{plural, rate, time};
use crate::map::{Layout, groups};
use crate::theme::{BODY, INK, SMALL, text_width};

/// On a narrower map sites have their bare names.
const COMPACT: f64 = 600.0;

/// The longest name of a site on the map, as a share of its width.
const LONGEST: f64 = 0.35;

/// A dot with a little paper around it.
const DOT: f64 = 7.0;

/// Labels with their places, and the sites and links that had no room for all of theirs.
#[derive(Clone, Debug, Default)]
pub(super) struct Annotations {
    pub placed: Vec<Placed>,
    /// From dots to labels that stand away from them.
    pub leaders: Vec<(Place, Place)>,
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

/// What is left of the map.
pub(super) struct Room<'a> {
    layout: &'a Layout,
    taken: Vec<Frame>,
}

/// Places greedily: sites first, those named together before others, then links, each where it covers the fewest lines and no dot or label.
pub(super) fn place(topology: &Topology, layout: &Layout) -> Annotations {
    let mut room = Room::of(layout);
    let mut annotations = Annotations::default();
    let (alone, together): (Vec<_>, Vec<_>) = groups::touching(&layout.sites)
        .into_iter()
        .partition(|group| group.len() == 1);
    for group in together {
        place_group(topology, &group, &mut room, &mut annotations);
    }
    for site in alone.into_iter().flatten() {
        place_site(topology, site, &mut room, &mut annotations);
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
        if let Some(chosen) = room.best(candidates, Some(index)) {
            room.take(&chosen);
            annotations.placed.push(chosen);
        } else {
            let (a, b) = (&topology.site(link.a).name, &topology.site(link.b).name);
            annotations.unplaced.push(format!("{a} – {b}: {text}"));
        }
    }
    annotations
}

fn place_site(topology: &Topology, site: usize, room: &mut Room<'_>, into: &mut Annotations) {
    let at = room.layout.sites[site];
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
    let full = site_text(topology, site, room.is_compact());
    let texts = room.fitting(&full, &topology.sites[site].name);
    let chosen = texts.iter().find_map(|text| {
        let label = |across| Label::new(text, BODY, INK, across);
        let candidates = places.map(|((dx, dy), across)| ((at.0 + dx, at.1 + dy), label(across)));
        room.best(candidates.into_iter(), None)
    });
    if (chosen.as_ref()).is_none_or(|placed| placed.label.text != full) {
        let told = listed(topology, site, room.is_compact());
        into.unplaced.push(told);
    }
    if let Some(chosen) = chosen {
        room.take(&chosen);
        into.placed.push(chosen);
    }
}

/// A line for each, below what their place is called if it is the same for all; where there is no room, how many there are.
fn place_group(topology: &Topology, group: &[usize], room: &mut Room<'_>, into: &mut Annotations) {
    let dots: Vec<Place> = group.iter().map(|&site| room.layout.sites[site]).collect();
    let place = |site: usize| topology.sites[site].place.as_ref();
    let common =
        place(group[0]).filter(|first| group.iter().all(|&site| place(site) == Some(first)));
    let heading = common.filter(|_| !room.is_compact());
    let (mut texts, mut cut) = (Vec::new(), Vec::new());
    if let Some(heading) = heading {
        texts.push(shorten(heading, BODY, room.longest()));
    }
    for &site in group {
        let name = &topology.sites[site].name;
        let full = match heading {
            Some(_) => with_hosts(name, &topology.sites[site]),
            None => site_text(topology, site, room.is_compact()),
        };
        let text = room.fitting(&full, name).into_iter().next();
        let text = text.unwrap_or_default();
        if text != full {
            cut.push(site);
        }
        texts.push(text);
    }
    let whole = groups::block(&dots, &texts, room);
    let block = whole.or_else(|| {
        cut = group.to_vec();
        let told = format!("{}, told below", plural(group.len(), "site"));
        groups::block(&dots, &[told], room)
    });
    let told = cut
        .iter()
        .map(|&site| listed(topology, site, room.is_compact()));
    into.unplaced.extend(told);
    for line in block.iter().flat_map(|block| &block.lines) {
        room.take(line);
        into.placed.push(line.clone());
    }
    if let Some(leader) = block.and_then(|block| block.leader) {
        room.take_line(leader);
        into.leaders.push(leader);
    }
}

impl<'a> Room<'a> {
    /// All but the sites' dots.
    pub fn of(layout: &'a Layout) -> Self {
        let dots = layout.sites.iter().map(|&at| around(at, DOT));
        Self {
            layout,
            taken: dots.collect(),
        }
    }

    fn width(&self) -> f64 {
        self.layout.frame.right - self.layout.frame.left
    }

    /// Sites have their bare names.
    fn is_compact(&self) -> bool {
        self.width() < COMPACT
    }

    /// A long name would take the room of others; the list below the map has it.
    fn longest(&self) -> f64 {
        self.width() * LONGEST
    }

    /// What may stand on the map, best first: the whole if it is not too long, and the name, cut if it is.
    fn fitting(&self, full: &str, name: &str) -> Vec<String> {
        let mut texts = vec![full.to_owned(), shorten(name, BODY, self.longest())];
        texts.retain(|text| text_width(text, BODY) <= self.longest());
        texts
    }

    /// Whether nothing that may not be covered is there.
    pub fn is_free(&self, frame: &Frame) -> bool {
        let is_inside = self.layout.frame.contains(frame);
        is_inside && self.taken.iter().all(|other| !other.overlaps(frame))
    }

    /// Whether a line from inside `own` passes nothing else.
    pub fn is_clear(&self, from: Place, to: Place, own: &Frame) -> bool {
        let mut others = self.taken.iter().filter(|other| !is_within(other, own));
        others.all(|other| !crosses(other, from, to))
    }

    /// The links that a frame covers, but for one of them.
    pub fn covered(&self, frame: &Frame, own: Option<usize>) -> Vec<usize> {
        let covers = |link: &usize| {
            let mut pieces = self.layout.paths[*link].iter();
            pieces.any(|piece| {
                let mut pairs = piece.windows(2);
                pairs.any(|pair| crosses(frame, pair[0], pair[1]))
            })
        };
        let links = (0..self.layout.paths.len()).filter(|&link| Some(link) != own);
        links.filter(covers).collect()
    }

    /// The candidate that covers the fewest lines other than its own, the first of equals; none if all cover a label.
    fn best(
        &self,
        candidates: impl Iterator<Item = (Place, Label)>,
        own: Option<usize>,
    ) -> Option<Placed> {
        candidates
            .map(|(at, label)| (padded(label.frame(at)), at, label))
            .filter(|(frame, ..)| self.is_free(frame))
            .map(|(frame, at, label)| {
                let others = self.covered(&frame, own).len();
                let over_lines = others > 0 || !self.covered(&frame, None).is_empty();
                let placed = Placed {
                    at,
                    label,
                    over_lines,
                };
                (others, placed)
            })
            .min_by_key(|(others, _)| *others)
            .map(|(_, placed)| placed)
    }

    fn take(&mut self, placed: &Placed) {
        self.taken.push(padded(placed.label.frame(placed.at)));
    }

    fn take_line(&mut self, (from, to): (Place, Place)) {
        let steps = along(from, to).map(|at| around(at, 1.0));
        self.taken.extend(steps);
    }
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

/// Whether a line touches the frame, told by its ends and what lies between them at every two pixels.
fn crosses(frame: &Frame, from: Place, to: Place) -> bool {
    along(from, to)
        .any(|(x, y)| frame.left <= x && x <= frame.right && frame.top <= y && y <= frame.bottom)
}

/// The ends of a line, and what lies between them at every two pixels.
fn along(from: Place, to: Place) -> impl Iterator<Item = Place> {
    let steps = (distance(from, to) / 2.0).ceil().max(1.0);
    (0..=steps as usize).map(move |step| between(from, to, step as f64 / steps))
}

/// Whether the middle of `inner` lies in `outer`, or on its edge.
fn is_within(inner: &Frame, outer: &Frame) -> bool {
    let (x, y) = (
        f64::midpoint(inner.left, inner.right),
        f64::midpoint(inner.top, inner.bottom),
    );
    outer.left <= x && x <= outer.right && outer.top <= y && y <= outer.bottom
}

fn around((x, y): Place, radius: f64) -> Frame {
    Frame {
        left: x - radius,
        top: y - radius,
        right: x + radius,
        bottom: y + radius,
    }
}

/// `Dublin, Ireland (4 hosts)`, with its name where others are of that place too; or its bare name.
fn site_text(topology: &Topology, site: usize, is_compact: bool) -> String {
    let own = &topology.sites[site];
    let Some(place) = own.place.as_ref().filter(|_| !is_compact) else {
        return match is_compact {
            true => own.name.clone(),
            false => with_hosts(&own.name, own),
        };
    };
    let same = |other: &&Site| other.place.as_ref() == Some(place);
    match topology.sites.iter().filter(same).count() {
        0 | 1 => with_hosts(place, own),
        _ => with_hosts(&format!("{}, {place}", own.name), own),
    }
}

fn with_hosts(text: &str, site: &Site) -> String {
    format!("{text} ({})", plural(site.hosts, "host"))
}

/// What the list below the map tells of a site.
fn listed(topology: &Topology, site: usize, is_compact: bool) -> String {
    let own = &topology.sites[site];
    match (&own.place, is_compact) {
        (Some(place), false) => format!("{}: {}", own.name, with_hosts(place, own)),
        (_, true) => own.name.clone(),
        (None, false) => with_hosts(&own.name, own),
    }
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
