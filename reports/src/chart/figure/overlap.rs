//! Lines that lie on each other: the one drawn last would hide the others. Each hidden one is drawn again above in short pieces, in turn
//! with those that it shares its way with, so that the colours of all alternate.
//!
//! Everything here is in pixels. A line is hidden where no more than half its width shows beside a later one, and that over a stretch long
//! enough to be missed: where lines only cross, nothing is drawn again.

use std::collections::HashMap;

use crate::canvas::{Place, between, distance};
use crate::theme::{Dash, Stroke};

/// How long a piece is: shorter ones are dots, longer ones might not come in turn on a short stretch.
const PIECE: f64 = 6.0;

/// A stretch of less is no line that anybody would miss: two pieces of each of two lines.
const LEAST_STRETCH: f64 = 4.0 * PIECE;

/// So finely lines are compared.
const STEP: f64 = 1.0;

/// Segments longer than any picture lead out of it.
const LONGEST: f64 = 20_000.0;

/// Of lines longer than this together, which are a surface, none is looked for: time and memory grow with their length.
const MOST_LENGTH: f64 = 1e6;

/// The side of a square of the index by place.
const CELL: f64 = 4.0;

/// A line as it is drawn: runs of connected points.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub runs: Vec<Vec<Place>>,
    pub stroke: Stroke,
}

impl Line {
    /// What is beneath a line of another rhythm is seen through its gaps.
    fn covers(&self, lower: &Self) -> bool {
        self.stroke.dash == Dash::Solid || self.stroke.dash == lower.stroke.dash
    }

    /// So near are the middles of lines beneath that show no more than half.
    fn reach(&self) -> f64 {
        self.stroke.width / 2.0
    }
}

/// A part of a hidden line that is drawn again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    /// The line, by its index.
    pub line: usize,
    /// The last of those that hide it: the piece belongs right above.
    pub above: usize,
    pub points: Vec<Place>,
}

/// What to draw again of `lines`, which are drawn in their order.
pub(super) fn hidden(lines: &[Line]) -> Vec<Piece> {
    let runs = lines.iter().flat_map(|line| &line.runs);
    let length: f64 = runs
        .flat_map(|run| segments(run))
        .map(|one| one.length())
        .sum();
    if lines.len() < 2 || length > MOST_LENGTH {
        return Vec::new();
    }
    let places = Places::of(lines);
    let mut pieces = Vec::new();
    for (line, one) in lines.iter().enumerate() {
        for run in &one.runs {
            let steps: Vec<Step> = segments(run)
                .flat_map(Segment::steps)
                .map(|ends| Step {
                    ends,
                    company: places.company(line, middle(ends)),
                })
                .collect();
            let is_hidden = |step: &Step| step.company.is_some();
            for stretch in steps.chunk_by(|a, b| is_hidden(a) == is_hidden(b)) {
                let length: f64 = stretch
                    .iter()
                    .map(|step| distance(step.ends.0, step.ends.1))
                    .sum();
                if length >= LEAST_STRETCH {
                    pieces.extend(in_turn(line, stretch));
                }
            }
        }
    }
    pieces
}

/// The pieces of a hidden stretch where its line has its turn; none of one that is seen.
fn in_turn(line: usize, stretch: &[Step]) -> impl Iterator<Item = Piece> {
    let turn = |step: &Step| step.company.filter(|company| company.is_own_turn);
    let above = move |step: &Step| turn(step).map(|company| company.top);
    let chunks = stretch.chunk_by(move |a, b| above(a) == above(b));
    chunks.filter_map(move |steps| {
        Some(Piece {
            line,
            above: above(&steps[0])?,
            points: joined(steps),
        })
    })
}

/// Steps as one line, with a point wherever it bends.
fn joined(steps: &[Step]) -> Vec<Place> {
    let mut points = vec![steps[0].ends.0];
    for (index, step) in steps.iter().enumerate() {
        let goes_on = steps.get(index + 1).is_some_and(|next| {
            let (from, to) = (direction(step.ends), direction(next.ends));
            (from.0 - to.0).abs() + (from.1 - to.1).abs() < 1e-9
        });
        if !goes_on {
            points.push(step.ends.1);
        }
    }
    points
}

/// A short part of a line.
#[derive(Clone, Copy, Debug)]
struct Step {
    ends: (Place, Place),
    /// Nothing where it is seen.
    company: Option<Company>,
}

/// What a hidden line shares its way with.
#[derive(Clone, Copy, Debug)]
struct Company {
    /// The one on top, by its index.
    top: usize,
    is_own_turn: bool,
}

/// Part of a line between two of its points.
#[derive(Clone, Copy, Debug)]
struct Segment {
    from: Place,
    to: Place,
    /// How far along its run it begins.
    begins: f64,
}

impl Segment {
    fn length(&self) -> f64 {
        distance(self.from, self.to)
    }

    fn steps(self) -> impl Iterator<Item = (Place, Place)> {
        let count = (self.length() / STEP).ceil();
        let at = move |step: f64| between(self.from, self.to, step / count);
        (0..count as usize).map(move |step| (at(step as f64), at((step + 1) as f64)))
    }

    /// How far its nearest point is from `place`, and how far along the run that lies.
    fn nearest(&self, place: Place) -> (f64, f64) {
        let (dx, dy) = (self.to.0 - self.from.0, self.to.1 - self.from.1);
        let along = (place.0 - self.from.0) * dx + (place.1 - self.from.1) * dy;
        let share = (along / (dx * dx + dy * dy)).clamp(0.0, 1.0);
        let nearest = between(self.from, self.to, share);
        let along = self.begins + share * self.length();
        (distance(place, nearest), along)
    }
}

/// The segments of a run that have a length that can be drawn.
fn segments(run: &[Place]) -> impl Iterator<Item = Segment> {
    let mut begins = 0.0;
    let segments = run.windows(2).map(move |pair| {
        let segment = Segment {
            from: pair[0],
            to: pair[1],
            begins,
        };
        begins += segment.length();
        segment
    });
    segments.filter(|segment| segment.length() > 0.0 && segment.length() < LONGEST)
}

/// Which segments of which lines pass by a place.
struct Places<'a> {
    lines: &'a [Line],
    /// In the order of the lines.
    segments: Vec<(usize, Segment)>,
    /// By cell, those that pass by it, ascending.
    near: HashMap<(i64, i64), Vec<u32>>,
}

impl<'a> Places<'a> {
    fn of(lines: &'a [Line]) -> Self {
        let reach = lines.iter().map(Line::reach).fold(0.0, f64::max) + STEP;
        let all = lines.iter().enumerate().flat_map(|(index, line)| {
            let segments = line.runs.iter().flat_map(|run| segments(run));
            segments.map(move |segment| (index, segment))
        });
        let segments: Vec<(usize, Segment)> = all.collect();
        let mut near: HashMap<_, Vec<u32>> = HashMap::new();
        for ((_, segment), number) in segments.iter().zip(0..) {
            let mut last = None;
            for (x, y) in segment.steps().map(middle) {
                let corners = (cell((x - reach, y - reach)), cell((x + reach, y + reach)));
                if last.replace(corners) == Some(corners) {
                    continue;
                }
                for across in corners.0.0..=corners.1.0 {
                    for down in corners.0.1..=corners.1.1 {
                        let there = near.entry((across, down)).or_default();
                        if there.last() != Some(&number) {
                            there.push(number);
                        }
                    }
                }
            }
        }
        Self {
            lines,
            segments,
            near,
        }
    }

    /// With which others `line` lies at a place of its own, if one of them hides it.
    fn company(&self, line: usize, place: Place) -> Option<Company> {
        let own = &self.lines[line];
        let there = self.near.get(&cell(place))?;
        let segment = |number: &u32| &self.segments[*number as usize];
        let (mut lower, mut later) = (0, 0);
        // The one on top, and how far along it the place is: all count their turns along that one.
        let mut top = (line, 0.0);
        for same in there.chunk_by(|a, b| segment(a).0 == segment(b).0) {
            let index = segment(&same[0]).0;
            let other = &self.lines[index];
            let (upper, under) = if index < line {
                (own, other)
            } else {
                (other, own)
            };
            if index == line || !upper.covers(under) {
                continue;
            }
            let nearest = same.iter().map(|number| segment(number).1.nearest(place));
            let nearest = nearest.min_by(|a, b| a.0.total_cmp(&b.0));
            match nearest {
                Some((away, _)) if away > upper.reach() => {}
                Some(_) if index < line => lower += 1,
                Some((_, along)) => {
                    later += 1;
                    top = (index, along);
                }
                None => {}
            }
        }
        (later > 0).then(|| Company {
            top: top.0,
            is_own_turn: (top.1 / PIECE) as usize % (lower + 1 + later) == lower,
        })
    }
}

fn cell((x, y): Place) -> (i64, i64) {
    ((x / CELL).floor() as i64, (y / CELL).floor() as i64)
}

fn middle((from, to): (Place, Place)) -> Place {
    (f64::midpoint(from.0, to.0), f64::midpoint(from.1, to.1))
}

fn direction((from, to): (Place, Place)) -> Place {
    let length = distance(from, to).max(f64::MIN_POSITIVE);
    ((to.0 - from.0) / length, (to.1 - from.1) / length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::{self, stroke};

    fn line(points: &[Place]) -> Line {
        lines(&[points])
    }

    fn lines(runs: &[&[Place]]) -> Line {
        Line {
            runs: runs.iter().map(|run| run.to_vec()).collect(),
            stroke: stroke(0),
        }
    }

    /// How much is drawn again of a line.
    fn length(pieces: &[Piece], line: usize) -> f64 {
        let own = pieces.iter().filter(|piece| piece.line == line);
        own.flat_map(|piece| piece.points.windows(2))
            .map(|pair| distance(pair[0], pair[1]))
            .sum()
    }

    /// Stairs, as of a throughput.
    const STAIRS: [Place; 6] = [
        (0.0, 50.0),
        (60.0, 50.0),
        (60.0, 20.0),
        (120.0, 20.0),
        (120.0, 50.0),
        (180.0, 50.0),
    ];

    #[test]
    fn of_two_lines_on_each_other_the_lower_is_drawn_again_over_half_the_way() {
        let pieces = hidden(&[line(&STAIRS), line(&STAIRS)]);
        assert!(
            pieces
                .iter()
                .all(|piece| (piece.line, piece.above) == (0, 1))
        );
        let drawn = length(&pieces, 0);
        // 240 pixels along the way.
        assert!((drawn - 120.0).abs() <= PIECE, "{drawn}");
        // No piece is longer than its turn, and none leaves the line.
        assert!(
            pieces
                .iter()
                .all(|piece| length(std::slice::from_ref(piece), 0) < PIECE + STEP)
        );
        let on_it = |(x, y): &Place| {
            let near = segments(&STAIRS).map(|segment| segment.nearest((*x, *y)).0);
            near.fold(f64::MAX, f64::min) < 1e-9
        };
        assert!(pieces.iter().flat_map(|piece| &piece.points).all(on_it));
    }

    #[test]
    fn of_three_lines_on_each_other_each_has_a_third_of_the_way_of_its_own() {
        let points = [(0.0, 10.0), (360.0, 10.0)];
        let pieces = hidden(&[line(&points), line(&points), line(&points)]);
        for below in [0, 1] {
            let drawn = length(&pieces, below);
            assert!((drawn - 120.0).abs() <= PIECE, "{below}: {drawn}");
        }
        let reaches = |piece: &Piece| {
            let ends = || piece.points.iter().map(|point| point.0);
            (ends().fold(f64::MAX, f64::min), ends().fold(0.0, f64::max))
        };
        for one in pieces.iter().filter(|piece| piece.line == 0) {
            for other in pieces.iter().filter(|piece| piece.line == 1) {
                let (one, other) = (reaches(one), reaches(other));
                assert!(one.1 <= other.0 + 1e-9 || other.1 <= one.0 + 1e-9);
            }
        }
    }

    #[test]
    fn lines_that_only_cross_or_run_side_by_side_are_left_alone() {
        let rising = line(&[(0.0, 100.0), (200.0, 0.0)]);
        let falling = line(&[(0.0, 0.0), (200.0, 100.0)]);
        let beside = line(&[(0.0, 101.5), (200.0, 1.5)]);
        assert_eq!(hidden(&[rising.clone(), falling]), []);
        assert_eq!(hidden(&[rising, beside]), []);
        assert_eq!(hidden(&[line(&STAIRS)]), []);
        assert_eq!(hidden(&[]), []);
    }

    #[test]
    fn only_the_part_that_is_hidden_is_drawn_again() {
        // The later line leaves half-way.
        let lower = line(&[(0.0, 10.0), (300.0, 10.0)]);
        let upper = line(&[(0.0, 10.3), (150.0, 10.3), (150.0, 90.0), (300.0, 90.0)]);
        let pieces = hidden(&[lower, upper]);
        let drawn = length(&pieces, 0);
        assert!((drawn - 75.0).abs() <= PIECE, "{drawn}");
        let right = pieces.iter().flat_map(|piece| &piece.points);
        assert!(
            right
                .clone()
                .all(|point| point.0 < 152.0 && point.1 == 10.0)
        );
        // Where there are no data, nothing is drawn: the gap is wider than a turn.
        let [one, other] = [
            &[(0.0, 10.0), (80.0, 10.0)],
            &[(120.0, 10.0), (200.0, 10.0)],
        ];
        let parted = lines(&[one, other]);
        let pieces = hidden(&[parted.clone(), parted]);
        assert!(!pieces.is_empty());
        let mut points = pieces.iter().flat_map(|piece| &piece.points);
        assert!(points.all(|point| point.0 <= 80.0 || point.0 >= 120.0));
    }

    #[test]
    fn a_line_beneath_one_of_gaps_is_seen_and_beneath_one_of_its_own_rhythm_is_not() {
        let points = [(0.0, 10.0), (200.0, 10.0)];
        let of = |stroke| Line {
            stroke,
            ..line(&points)
        };
        assert_eq!(hidden(&[of(stroke(0)), of(theme::BOUND)]), []);
        let dashed = [7, 8].map(stroke);
        assert!(!hidden(&dashed.map(of)).is_empty());
        // A bound above both leaves them as they are, and its place on top.
        let pieces = hidden(&[of(stroke(0)), of(stroke(1)), of(theme::BOUND)]);
        assert!(!pieces.is_empty() && pieces.iter().all(|piece| piece.above == 1));
    }

    #[test]
    fn whatever_leads_out_of_the_picture_or_has_no_length_ends() {
        let odd = line(&[
            (0.0, 10.0),
            (0.0, 10.0),
            (0.0, 1e300),
            (50.0, 10.0),
            (90.0, 10.0),
        ]);
        let pieces = hidden(&[odd.clone(), odd]);
        assert!(length(&pieces, 0) < 40.0);
        assert_eq!(hidden(&[line(&[]), line(&[(1.0, 1.0)])]), []);
        // Up and down over the whole picture in every column.
        let tooth = |x: i32| (f64::from(x) / 4.0, if x % 2 == 0 { 0.0 } else { 400.0 });
        let dense = line(&(0..3200).map(tooth).collect::<Vec<_>>());
        assert_eq!(hidden(&[dense.clone(), dense]), []);
    }
}
