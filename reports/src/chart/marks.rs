//! Changes of links, as marks on the time axis.

use std::collections::BTreeSet;

use crate::chart::figure::{Mark, marks_fit};
use crate::result::{Point, RunResult, TimelineEntry};

/// Channels that change within this many seconds in the same way are one change.
pub(crate) const AT_ONCE: f64 = 0.05;

/// More marks on a panel than this hide what lies behind them.
const MOST: usize = 60;

/// So many meanings of numbers in a note at most.
const MOST_MEANINGS: usize = 12;

/// The marks of a figure's panels, one below the other.
#[derive(Debug)]
pub(super) struct Marks {
    /// Of each panel.
    pub panels: Vec<Vec<Mark>>,
    /// What numbers mean, and what is left out.
    pub notes: Vec<String>,
    /// Whether any link of a panel changed.
    pub any: bool,
}

/// A pair of sites.
type Sites = (String, String);

impl Marks {
    /// Of panels of those sites, over `time`, on a figure of `width`: what changed on the link between the two, or, where none joins them, on any link.
    pub fn of(result: &RunResult, sites: &[&Sites], time: (f64, f64), width: f64) -> Self {
        let mut panels: Vec<Vec<Mark>> = sites.iter().map(|sites| changes(result, sites)).collect();
        let any = panels.iter().any(|marks| !marks.is_empty());
        let mut notes = Vec::new();
        let left_out: usize = panels
            .iter_mut()
            .filter(|marks| marks.len() > MOST)
            .map(|marks| std::mem::take(marks).len())
            .sum();
        if left_out > 0 {
            notes.push(format!(
                "{left_out} changes of links are not drawn: result.json has them as `timeline`"
            ));
        }
        if !panels.iter().all(|marks| marks_fit(marks, time, width)) {
            notes.push(number(&mut panels));
        }
        Marks { panels, notes, any }
    }
}

/// Puts numbers in the labels' place; what they mean.
fn number(panels: &mut [Vec<Mark>]) -> String {
    let mut meanings: Vec<String> = Vec::new();
    let mut marks: Vec<&mut Mark> = panels.iter_mut().flatten().collect();
    marks.sort_by(|a, b| a.at.total_cmp(&b.at));
    for mark in marks {
        let known = meanings.iter().position(|meaning| *meaning == mark.label);
        let number = known.unwrap_or_else(|| {
            meanings.push(mark.label.clone());
            meanings.len() - 1
        });
        mark.label = (number + 1).to_string();
    }
    let more = meanings.len().saturating_sub(MOST_MEANINGS);
    let mut told: Vec<String> = (meanings.iter().take(MOST_MEANINGS).enumerate())
        .map(|(number, meaning)| format!("{}: {meaning}", number + 1))
        .collect();
    if more > 0 {
        told.push(format!("{more} more are in result.json"));
    }
    format!("changes of links: {}", told.join("; "))
}

/// A panel's marks in the order of time.
fn changes(result: &RunResult, sites: &Sites) -> Vec<Mark> {
    let mut marks = Vec::new();
    for point in &result.points {
        let (a, b) = sites;
        let ways = [format!("{a}>{b}"), format!("{b}>{a}")];
        let joined = |point: &Point| {
            point
                .channels
                .iter()
                .any(|channel| ways.contains(&channel.link))
        };
        let is_meant = |entry: &&TimelineEntry| ways.contains(&entry.link) || !joined(point);
        let mut entries: Vec<&TimelineEntry> = point.timeline.iter().filter(is_meant).collect();
        entries.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
        while let Some(first) = entries.first() {
            let (at, what) = (first.time_s, words(&first.change));
            let alike = |entry: &&TimelineEntry| {
                entry.time_s - at < AT_ONCE && words(&entry.change) == what
            };
            let (together, rest): (Vec<_>, Vec<_>) = entries.iter().copied().partition(alike);
            marks.push(Mark {
                at,
                label: format!("{}{what}", whose(point, &together, &ways)),
            });
            entries = rest;
        }
    }
    marks
}

/// A change in few words: a queue that follows another setting goes without saying.
fn words(change: &str) -> String {
    let parts = || change.split(", ");
    let others: Vec<&str> = parts().filter(|part| !part.starts_with("queue ")).collect();
    match others.is_empty() {
        true => change.to_owned(),
        false => others.join(", "),
    }
}

/// What to say of where it changed: nothing if all lanes did, both ways, of the link that the panel is about.
fn whose(point: &Point, together: &[&TimelineEntry], ways: &[String; 2]) -> String {
    let mut text = String::new();
    let links: BTreeSet<&str> = together.iter().map(|entry| entry.link.as_str()).collect();
    let foreign = links.iter().any(|link| ways.iter().all(|way| way != link));
    if links.len() == 1 || foreign {
        text.push_str(&links.iter().copied().collect::<Vec<_>>().join(" "));
        text.push_str(": ");
    }
    let lanes: BTreeSet<usize> = together.iter().map(|entry| entry.lane).collect();
    let all = point
        .channels
        .iter()
        .filter(|channel| links.contains(channel.link.as_str()));
    let all: BTreeSet<usize> = all.map(|channel| channel.lane).collect();
    if !all.is_empty() && all != lanes {
        let numbers: Vec<String> = lanes.iter().map(ToString::to_string).collect();
        text.push_str(&format!("lane {}: ", numbers.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::figure::WIDTH;
    use crate::example::{self, Shape};

    const TIME: (f64, f64) = (1.5, 7.5);

    fn marks(changes: usize, sites: (&str, &str)) -> Marks {
        let shape = Shape {
            stacks: &["cubic"],
            changes,
            ..Shape::default()
        };
        let (result, _) = example::run(&shape);
        let sites = (sites.0.to_owned(), sites.1.to_owned());
        Marks::of(&result, &[&sites], TIME, WIDTH)
    }

    #[test]
    fn what_changes_both_ways_at_once_is_one_mark() {
        let marks = marks(2, ("dublin", "virginia"));
        let labels: Vec<&str> = marks.panels[0]
            .iter()
            .map(|mark| mark.label.as_str())
            .collect();
        assert_eq!(
            labels,
            ["delay 20ms → 60ms", "virginia>dublin: state up → down"]
        );
        assert!(marks.notes.is_empty());
    }

    #[test]
    fn other_links_have_no_marks() {
        let marks = marks(2, ("dublin", "singapore"));
        assert_eq!((marks.panels, marks.any), (vec![Vec::new()], false));
    }

    #[test]
    fn labels_without_room_become_numbers_and_a_note() {
        let marks = marks(9, ("virginia", "dublin"));
        let labels: Vec<&str> = marks.panels[0]
            .iter()
            .map(|mark| mark.label.as_str())
            .collect();
        assert_eq!(labels, ["1", "2", "1", "2", "1", "2", "1", "2", "3"]);
        assert_eq!(
            marks.notes,
            [
                "changes of links: 1: delay 20ms → 60ms; 2: delay 60ms → 20ms; 3: virginia>dublin: state up → down"
            ]
        );
    }

    #[test]
    fn marks_that_would_hide_the_data_are_left_out_and_the_reader_told() {
        let marks = marks(100, ("virginia", "dublin"));
        assert!(marks.panels[0].is_empty() && marks.any);
        assert!(marks.notes[0].starts_with("100 changes of links are not drawn"));
    }
}
