//! Which of too many series are drawn, and that the reader is told.

use crate::theme;

/// More lines than this on a panel are a tangle, and some of them would look alike.
pub(super) const MOST: usize = theme::STROKES;

/// Of as many as there are values, which to draw: the least, the greatest, and evenly between them by rank, in the order of the values
/// as they came; and what to tell the reader, if that is not all.
pub(super) fn choose(values: &[f64], most: usize, what: &str) -> (Vec<usize>, Option<String>) {
    if values.len() <= most {
        return ((0..values.len()).collect(), None);
    }
    let mut ranked: Vec<usize> = (0..values.len()).collect();
    ranked.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let last = ranked.len() - 1;
    let gaps = most.max(2) - 1;
    let mut chosen: Vec<usize> = (0..=gaps).map(|step| ranked[step * last / gaps]).collect();
    chosen.sort_unstable();
    let note = format!(
        "{} of {} {what}: the least, the greatest and evenly between by rank",
        chosen.len(),
        values.len()
    );
    (chosen, Some(note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_thousands_the_extremes_are_always_among_the_drawn() {
        let values: Vec<f64> = (0..5000_u32)
            .map(|i| f64::from(i.wrapping_mul(7919) % 5003))
            .collect();
        let (chosen, note) = choose(&values, MOST, "series");
        let drawn: Vec<f64> = chosen.iter().map(|&index| values[index]).collect();
        let least = |values: &[f64]| values.iter().copied().fold(f64::MAX, f64::min);
        let greatest = |values: &[f64]| values.iter().copied().fold(f64::MIN, f64::max);
        assert_eq!(
            (least(&drawn), greatest(&drawn)),
            (least(&values), greatest(&values))
        );
        assert_eq!(chosen.len(), MOST);
        assert!(note.unwrap().starts_with("21 of 5000 series"));
    }

    #[test]
    fn few_are_all_drawn_and_nothing_is_said() {
        assert_eq!(choose(&[3.0, 1.0], MOST, "series"), (vec![0, 1], None));
    }
}
