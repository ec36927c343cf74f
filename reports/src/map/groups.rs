//! Sites so near each other that their dots touch: buildings of a campus on a map of the world. One block of lines names them all, beside
//! them or, where there is no room, farther away at the end of a thin line.

use crate::canvas::{Across, Frame, Label, Place, distance};
use crate::map::labels::{Placed, Room, padded};
use crate::theme::{BODY, INK, text_width};

/// Dots whose middles are nearer than this touch.
const TOUCHING: f64 = 13.0;

/// From one line of a block to the next: their papers touch.
const LINE: f64 = BODY + 2.0;

/// How far blocks stand from the dots; from the second on, a line leads there.
const AWAY: [f64; 5] = [11.0, 36.0, 66.0, 106.0, 156.0];

/// Where blocks stand around the dots: beside them, above and below, and between these.
const AROUND: [(f64, f64); 8] = [
    (1.0, 0.0),
    (-1.0, 0.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (1.0, -1.0),
    (1.0, 1.0),
    (-1.0, -1.0),
    (-1.0, 1.0),
];

/// A block that has its place.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub lines: Vec<Placed>,
    /// From the dots to the block, where it does not stand right beside them.
    pub leader: Option<(Place, Place)>,
}

/// Which sites are named together: each that touches another of them, from the upper left on; groups by their first site.
pub(super) fn touching(sites: &[Place]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (site, at) in sites.iter().enumerate() {
        let touches = |group: &Vec<usize>| {
            let mut others = group.iter().map(|&other| sites[other]);
            others.any(|other| distance(*at, other) < TOUCHING)
        };
        // It may join groups that were apart.
        let (near, mut apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(touches);
        apart.push(near.into_iter().flatten().chain([site]).collect());
        groups = apart;
    }
    groups.sort_by_key(|group| group.iter().min().copied());
    for group in &mut groups {
        let by_place = |a: &usize, b: &usize| {
            let ((ax, ay), (bx, by)) = (sites[*a], sites[*b]);
            ay.total_cmp(&by).then(ax.total_cmp(&bx))
        };
        group.sort_by(by_place);
    }
    groups
}

/// `texts` below each other where they cover the fewest links and no dot or label; nothing if there is no room.
pub(super) fn block(dots: &[Place], texts: &[String], room: &Room<'_>) -> Option<Block> {
    let around = bounds(dots)?;
    let width = texts.iter().map(|text| text_width(text, BODY));
    let size = (width.fold(0.0, f64::max), LINE * texts.len() as f64);
    let middle = (
        f64::midpoint(around.left, around.right),
        f64::midpoint(around.top, around.bottom),
    );
    let candidates = AWAY.iter().flat_map(|&away| {
        AROUND.map(|side| {
            let frame = beside(around, size, side, away);
            let leads = away > AWAY[0];
            let leader = leads.then(|| (middle, nearest(frame, middle)));
            (frame, side, leader)
        })
    });
    let free = candidates.filter(|(frame, _, leader)| {
        let is_free = room.is_free(&padded(*frame));
        is_free && leader.is_none_or(|(from, to)| room.is_clear(from, to, &around))
    });
    let chosen = free.min_by_key(|(frame, ..)| room.covered(&padded(*frame), None).len());
    chosen.map(|(frame, side, leader)| {
        let (x, across) = match side.0 < 0.0 {
            true => (frame.right, Across::Right),
            false => (frame.left, Across::Left),
        };
        let over_lines = !room.covered(&padded(frame), None).is_empty();
        let lines = texts.iter().enumerate().map(|(line, text)| Placed {
            at: (x, frame.top + (line as f64 + 0.5) * LINE),
            label: Label::new(text, BODY, INK, across),
            over_lines,
        });
        Block {
            lines: lines.collect(),
            leader,
        }
    })
}

/// Around all dots.
fn bounds(dots: &[Place]) -> Option<Frame> {
    let all = |pick: fn(&Place) -> f64| dots.iter().map(pick);
    let (xs, ys) = (all(|dot| dot.0), all(|dot| dot.1));
    Some(Frame {
        left: xs.clone().reduce(f64::min)?,
        top: ys.clone().reduce(f64::min)?,
        right: xs.reduce(f64::max)?,
        bottom: ys.reduce(f64::max)?,
    })
}

/// A frame of that size on one side of another.
fn beside(of: Frame, (width, height): (f64, f64), side: (f64, f64), away: f64) -> Frame {
    let start = |side: f64, low: f64, high: f64, size: f64| match side {
        side if side > 0.0 => high + away,
        side if side < 0.0 => low - away - size,
        _ => f64::midpoint(low, high) - size / 2.0,
    };
    let left = start(side.0, of.left, of.right, width);
    let top = start(side.1, of.top, of.bottom, height);
    Frame {
        left,
        top,
        right: left + width,
        bottom: top + height,
    }
}

/// The place of a frame's edge that is nearest to one outside.
fn nearest(frame: Frame, (x, y): Place) -> Place {
    (
        x.clamp(frame.left, frame.right),
        y.clamp(frame.top, frame.bottom),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Layout;

    #[test]
    fn sites_are_named_together_as_far_as_their_dots_touch() {
        // The third joins the first two, which do not touch each other.
        let sites = [
            (0.0, 9.0),
            (24.0, 9.0),
            (12.0, 8.0),
            (60.0, 9.0),
            (60.0, 3.0),
        ];
        assert_eq!(touching(&sites), [vec![2, 0, 1], vec![4, 3]]);
        assert_eq!(touching(&[(0.0, 0.0), (20.0, 0.0)]), [[0], [1]]);
        // At the same place in the order of the topology.
        assert_eq!(touching(&[(5.0, 5.0); 3]), [[0, 1, 2]]);
        assert!(touching(&[]).is_empty());
    }

    #[test]
    fn where_there_is_no_room_beside_its_dots_a_line_leads_to_a_block_and_passes_no_other() {
        let own = [(200.0, 200.0), (204.0, 200.0)];
        // Dots around them, with a way out to the lower right.
        let ring = [
            (0.0, -30.0),
            (30.0, -30.0),
            (-30.0, 0.0),
            (35.0, 0.0),
            (-30.0, 30.0),
            (0.0, 30.0),
            (-30.0, -30.0),
            (60.0, 20.0),
        ];
        let others = ring.map(|(x, y)| (200.0 + x, 200.0 + y));
        let layout = |sites: &[Place]| Layout {
            frame: Frame {
                left: 0.0,
                top: 0.0,
                right: 400.0,
                bottom: 400.0,
            },
            land: Vec::new(),
            sites: sites.to_vec(),
            paths: Vec::new(),
            note: "",
        };
        let texts = ["east (2 hosts)", "west (2 hosts)"].map(str::to_owned);
        let alone = layout(&own);
        let beside = block(&own, &texts, &Room::of(&alone)).unwrap();
        assert_eq!((beside.lines.len(), beside.leader), (2, None));
        let crowded = layout(&[&own[..], &others].concat());
        let away = block(&own, &texts, &Room::of(&crowded)).unwrap();
        let (from, to) = away.leader.unwrap();
        assert_eq!(from, (202.0, 200.0));
        assert!(to.0 > 202.0 && to.1 > 200.0, "{to:?}");
        for line in &away.lines {
            let frame = line.label.frame(line.at);
            let is_over = |(x, y): &Place| {
                frame.left < *x && *x < frame.right && frame.top < *y && *y < frame.bottom
            };
            assert!(!crowded.sites.iter().any(is_over), "{frame:?}");
        }
        // Where all is taken there is none, and of no dots there is none.
        let dots: Vec<Place> = (0..1600)
            .map(|dot| (f64::from(dot % 40) * 10.0, f64::from(dot / 40) * 10.0))
            .collect();
        assert!(block(&own, &texts, &Room::of(&layout(&dots))).is_none());
        assert!(block(&[], &texts, &Room::of(&alone)).is_none());
    }
}
