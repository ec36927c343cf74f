//! Iteration times as box plots, series beside each other.

use crate::chart::axis::{Axis, Spread};
use crate::chart::bandwidth::{largest_sizes, placement, times_ms};
use crate::chart::figure::{Area, Curve, Figure, Key, Layout, Panel, Part, Quartiles, Run};
use crate::chart::many;
use crate::chart::subject;
use crate::folder::ResultFolder;
use crate::format;
use crate::series::Series;
use crate::stats;
use crate::theme::{self, INK, MUTED, SMALL, Stroke, text_width};

/// A panel has room for so many boxes with their names.
pub(super) const MOST_BOXES: usize = 12;

/// Pixels that the names of all series have on the narrowest panel; wider ones give way to numbers.
const NAMES_FIT: f64 = 200.0;

/// The axis of a collective's times.
const ITERATION_TIME: &str = "time of an iteration (ms)";

/// What the lines on boxes are called.
const MEDIAN: &str = "median";
const WHISKER: &str = "least to greatest";

/// Half the width of a box, and of a whisker's end, as shares of the room of a name.
const HALF_BOX: f64 = 0.3;
const HALF_END: f64 = 0.12;

/// One panel per size, one box per series.
pub(super) fn iteration_time_box(folder: &ResultFolder) -> Option<Figure> {
    let mut all = Series::of(&folder.result);
    let placement = placement(&all)?;
    // What ran nothing of this has no box.
    all.retain(|one| one.samples().any(|sample| sample.placement == placement));
    let (sizes, mut notes) = largest_sizes(&all, placement)?;
    let medians: Vec<f64> = all
        .iter()
        .map(|one| {
            let times = times_ms(one, placement, sizes[sizes.len() - 1]);
            stats::percentile(&stats::sorted(&times), 50.0).unwrap_or(0.0)
        })
        .collect();
    let (chosen, note) = many::choose(&medians, MOST_BOXES, "series");
    notes.extend(note);
    let series: Vec<&Series<'_>> = chosen.iter().map(|&index| &all[index]).collect();
    let are_numbered = are_numbered(series.iter().map(|one| one.label.as_str()));
    let panels = sizes.iter().map(|&size| {
        let times = series.iter().enumerate().map(|(index, one)| {
            let times = times_ms(one, placement, size);
            (index, one.label.as_str(), stats::sorted(&times))
        });
        let times = times.collect::<Vec<_>>();
        let title = format::bytes(size as f64);
        panel(&times, are_numbered, title, ITERATION_TIME)
    });
    let legend = legend(are_numbered, series.iter().map(|one| one.label.as_str()));
    Some(Figure {
        name: "iteration-time-box".to_owned(),
        title: "How iteration times are spread".to_owned(),
        subtitle: format!(
            "{} · {} · boxes from the first to the third quartile, warm-up left out",
            subject(&folder.result),
            placement.name()
        ),
        layout: Layout::Grid,
        warning: None,
        panels: panels.collect(),
        legend,
        notes,
    })
}

/// Whether so many and long names have to give way to numbers.
pub(super) fn are_numbered<'a>(names: impl Iterator<Item = &'a str> + Clone) -> bool {
    let widest = names.clone().map(|name| text_width(name, SMALL));
    widest.fold(0.0, f64::max) * names.count() as f64 > NAMES_FIT
}

/// What boxes are, and whose each is if it has a number.
pub(super) fn legend<'a>(
    are_numbered: bool,
    names: impl Iterator<Item = &'a str>,
) -> Vec<(Key, String)> {
    let mut legend = Vec::new();
    if are_numbered {
        let numbered = names.enumerate().map(|(index, name)| {
            let key = Key::bar(theme::stroke(index).colour);
            (key, format!("{} {name}", index + 1))
        });
        legend.extend(numbered);
    }
    legend.push((median_key(), MEDIAN.to_owned()));
    legend.push((whisker_key(), WHISKER.to_owned()));
    legend
}

/// Boxes beside each other, over an axis of that name: each by its name or by its number, and with its place in the legend.
pub(super) fn panel(
    series: &[(usize, &str, Vec<f64>)],
    are_numbered: bool,
    title: String,
    label: &str,
) -> Panel {
    let (mut areas, mut medians, mut whiskers) = (Vec::new(), Vec::<Run>::new(), Vec::<Run>::new());
    for (place, (index, name, sorted)) in series.iter().enumerate() {
        let at = place as f64;
        let Some(figures) = Quartiles::of(sorted) else {
            continue;
        };
        let Quartiles {
            least,
            first,
            median,
            third,
            greatest,
            ..
        } = figures;
        areas.push(Area {
            outline: vec![
                (at - HALF_BOX, first),
                (at - HALF_BOX, third),
                (at + HALF_BOX, third),
                (at + HALF_BOX, first),
            ],
            colour: theme::stroke(*index).colour,
            opacity: 0.55,
            part: Part::Quartiles(figures),
            name: (*name).to_owned(),
        });
        medians.push(vec![(at - HALF_BOX, median), (at + HALF_BOX, median)]);
        for (from, to) in [(least, first), (third, greatest)] {
            whiskers.push(vec![(at, from), (at, to)]);
        }
        for end in [least, greatest] {
            whiskers.push(vec![(at - HALF_END, end), (at + HALF_END, end)]);
        }
    }
    let values = || series.iter().flat_map(|(_, _, sorted)| sorted).copied();
    let (low, high) = (
        values().fold(f64::INFINITY, f64::min),
        values().fold(0.0, f64::max),
    );
    let y = if low > 0.0 && high / low > 30.0 && label == ITERATION_TIME {
        // Its ticks name their units themselves.
        Axis::times("time of an iteration", low / 1.1, high * 1.1)
    } else {
        Axis::around_zero(label, values())
    };
    let names = series.iter().enumerate();
    let names = names.map(|(place, (index, name, _))| {
        let name = match are_numbered {
            true => (index + 1).to_string(),
            false => (*name).to_owned(),
        };
        (place as f64, name)
    });
    let room = 0.5 / (series.len() as f64 - 1.0).max(1.0);
    Panel {
        title,
        keys: Vec::new(),
        x: Axis::named("", Spread::Even, names.collect(), room),
        y,
        areas,
        curves: vec![
            Curve {
                key: whisker_key(),
                name: WHISKER.to_owned(),
                runs: whiskers,
            },
            Curve {
                key: median_key(),
                name: MEDIAN.to_owned(),
                runs: medians,
            },
        ],
        spans: Vec::new(),
        marks: Vec::new(),
    }
}

fn median_key() -> Key {
    Key::line(Stroke::solid(INK, 2.4))
}

fn whisker_key() -> Key {
    Key::line(Stroke::solid(MUTED, 1.2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};

    #[test]
    fn a_box_stands_at_its_quartiles_and_whiskers_reach_the_extremes() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        let panel = panel(
            &[(0, "cubic", sorted)],
            false,
            String::new(),
            ITERATION_TIME,
        );
        let corners: Vec<f64> = panel.areas[0].outline.iter().map(|c| c.1).collect();
        assert_eq!(corners, [25.0, 75.0, 75.0, 25.0]);
        let ends: Vec<f64> = panel.curves[0].runs.iter().flatten().map(|p| p.1).collect();
        assert_eq!(ends.iter().copied().fold(f64::MAX, f64::min), 1.0);
        assert_eq!(ends.iter().copied().fold(f64::MIN, f64::max), 100.0);
        assert_eq!(panel.curves[1].runs[0][0].1, 50.0);
    }

    #[test]
    fn texts_stand_apart() {
        let (result, telemetry) = example::run(&Shape::default());
        let figure = iteration_time_box(&ResultFolder { result, telemetry }).unwrap();
        assert_eq!(figure.panels.len(), 4);
        figure.draw().assert_texts_apart("boxes");
    }
    #[test]
    fn the_numbers_of_boxes_are_their_figures_in_a_unit() {
        let ascending: Vec<f64> = (1..=100).map(f64::from).collect();
        let figure = |panels| Figure {
            name: String::new(),
            title: String::new(),
            subtitle: String::new(),
            layout: Layout::Grid,
            warning: None,
            panels,
            legend: Vec::new(),
            notes: Vec::new(),
        };
        let of = |title: &str, label: &str, told: &[(usize, &str, Vec<f64>)]| {
            panel(told, false, title.to_owned(), label)
        };
        // One value is all of its own figures; of none there is no box.
        let told = [
            (0, "cubic", ascending.clone()),
            (1, "bbr, \"a\"", vec![7.5]),
            (2, "none", vec![]),
        ];
        let times = figure(vec![of("1 MiB", ITERATION_TIME, &told)]);
        insta::assert_snapshot!(times.to_csv(), @r#"
        panel,series,values,least (ms),first quartile (ms),median (ms),third quartile (ms),greatest (ms)
        1 MiB,cubic,100,1,25,50,75,100
        1 MiB,"bbr, ""a""",1,7.5,7.5,7.5,7.5,7.5
        "#);
        // Ticks that name units are in milliseconds all the same.
        let far = [(0, "cubic", vec![1.0, 200.0])];
        let times = figure(vec![of("1 MiB", ITERATION_TIME, &far)]);
        assert!(
            times.to_csv().contains(",median (ms),"),
            "{}",
            times.to_csv()
        );
        let mixed = figure(vec![
            of("rtt", "rtt (ms)", &told[1..]),
            of("retries", "retries", &told[1..]),
        ]);
        insta::assert_snapshot!(mixed.to_csv(), @r#"
        panel,series,values,unit,least,first quartile,median,third quartile,greatest
        rtt,"bbr, ""a""",1,ms,7.5,7.5,7.5,7.5,7.5
        retries,"bbr, ""a""",1,,7.5,7.5,7.5,7.5,7.5
        "#);
        let plain = figure(vec![of("retries", "retries", &told[1..])]);
        assert!(plain.to_csv().starts_with("panel,series,values,least,"));
        let none = figure(vec![of("rtt", "rtt (ms)", &told[2..])]);
        assert_eq!(none.to_csv(), "panel,series,part,x,y,axes\n");
    }
}
