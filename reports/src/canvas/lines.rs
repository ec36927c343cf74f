//! What lines are made of where a backend cannot draw them: dashes, and thick segments.

use crate::canvas::{Place, between, distance};
use crate::theme::Stroke;

/// The drawn pieces of a line.
pub(super) fn dashes(points: &[Place], stroke: Stroke) -> Vec<Vec<Place>> {
    let rhythm = stroke.dash.rhythm();
    if rhythm.is_empty() {
        return vec![points.to_vec()];
    }
    let mut pieces = Vec::new();
    let mut piece: Vec<Place> = points.first().copied().into_iter().collect();
    // Which dash or gap it is, and how much of it is left.
    let (mut step, mut left) = (0, rhythm[0]);
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        let mut length = distance(from, to);
        while length > left {
            let share = left / length;
            from = between(from, to, share);
            length -= left;
            if step % 2 == 0 {
                piece.push(from);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece.push(from);
            }
            step = (step + 1) % rhythm.len();
            left = rhythm[step];
        }
        left -= length;
        if step % 2 == 0 {
            piece.push(to);
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

/// The rectangles that make up a wide line; inside the line they are longer by half its width, so that they join.
pub(super) fn segments(line: &[Place], width: f64) -> impl Iterator<Item = [Place; 4]> {
    let half = width / 2.0;
    let last = line.len().saturating_sub(2);
    line.windows(2)
        .enumerate()
        .filter_map(move |(index, pair)| {
            let (from, to) = (pair[0], pair[1]);
            let length = distance(from, to);
            if length == 0.0 {
                return None;
            }
            let (dx, dy) = (
                (to.0 - from.0) / length * half,
                (to.1 - from.1) / length * half,
            );
            let from = if index == 0 {
                from
            } else {
                (from.0 - dx, from.1 - dy)
            };
            let to = if index == last {
                to
            } else {
                (to.0 + dx, to.1 + dy)
            };
            Some([
                (from.0 - dy, from.1 + dx),
                (to.0 - dy, to.1 + dx),
                (to.0 + dy, to.1 - dx),
                (from.0 + dy, from.1 - dx),
            ])
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::INK;

    #[test]
    fn dashes_cover_their_share_of_a_line() {
        let stroke = Stroke::dashed(INK, 1.0);
        let points = [(0.0, 0.0), (30.0, 0.0), (30.0, 80.0)];
        let length = |piece: &[Place]| {
            piece
                .windows(2)
                .map(|pair| (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1))
                .sum::<f64>()
        };
        // 110 pixels are ten times a dash of 7 and a gap of 4.
        let drawn: f64 = dashes(&points, stroke)
            .iter()
            .map(|piece| length(piece))
            .sum();
        assert!((drawn - 70.0).abs() < 1e-9, "{drawn}");
        assert_eq!(dashes(&points, Stroke::solid(INK, 1.0)), [points.to_vec()]);
    }

    #[test]
    fn segments_of_a_line_stay_within_half_its_width() {
        // A hair-pin, whose outer corner would be far away if its sides were prolonged until they meet.
        let line = [(0.0, 0.0), (100.0, 0.0), (0.0, 1.0)];
        let corners: Vec<Place> = segments(&line, 4.0).flatten().collect();
        assert_eq!(corners.len(), 8);
        assert!(
            corners
                .iter()
                .all(|(x, y)| (-3.0..=102.1).contains(x) && (-3.0..=4.0).contains(y)),
            "{corners:?}"
        );
    }
}
