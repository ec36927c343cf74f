//! The one-way delays of every channel that `verify` measured, beside those of a channel exactly as asked for.

use crate::chart::axis::Axis;
use crate::chart::distribution::share_axis;
use crate::chart::figure::{Curve, Figure, Key, Layout, Panel, Run};
use crate::theme::{self, ALARM, MUTED, Stroke};
use crate::verification::{ChannelDelays, Verification};

/// More channels than this are too many small panels; those that are furthest off are shown.
const MOST_PANELS: usize = 12;

/// A panel is at least this wide, in milliseconds, so that a machine's wake-ups do not fill it: four times what a delay may be
/// off for them.
const LEAST_SPAN_MS: f64 = 1.0;

/// What the lines are called.
const MEASURED: &str = "measured";
const PREDICTED: &str = "what the described jitter gives";
const ASKED: &str = "asked (mean)";

/// The shares of delays between which a panel reaches: what is beyond lies at its edge.
const SHOWN: (f64, f64) = (0.005, 0.99);

/// One panel per channel: cumulative distributions, and the asked delay as an upright line.
pub(super) fn figure(found: &Verification) -> Option<Figure> {
    let mut channels: Vec<&ChannelDelays> = found
        .delays
        .iter()
        .filter(|channel| !channel.measured_us.is_empty())
        .collect();
    if channels.is_empty() {
        return None;
    }
    let mut notes = Vec::new();
    if channels.len() > MOST_PANELS {
        notes.push(format!(
            "the {MOST_PANELS} of {} channels whose delay is furthest from what was asked",
            channels.len()
        ));
        channels.sort_by(|a, b| off(b).total_cmp(&off(a)));
        channels.truncate(MOST_PANELS);
    }
    let predicted = channels.iter().any(|channel| varies(&channel.predicted_us));
    let asked = channels.iter().any(|channel| channel.asked_us.is_some());
    let measured_key = Key::line(theme::stroke(0));
    let mut legend = vec![(measured_key, MEASURED.to_owned())];
    if predicted {
        legend.push((predicted_key(), PREDICTED.to_owned()));
    }
    if asked {
        legend.push((asked_key(), ASKED.to_owned()));
    }
    let mut subtitle = vec![found.subject.clone()];
    subtitle.extend(found.links.as_ref().map(|links| format!("links {links}")));
    subtitle.push(format!("{:.1} s of probes per channel", found.duration_s));
    Some(Figure {
        name: "verify-delay".to_owned(),
        title: "One-way delay of every channel against what was asked".to_owned(),
        subtitle: subtitle.join(" · "),
        layout: Layout::Grid,
        panels: channels
            .into_iter()
            .map(|channel| panel(channel, found))
            .collect(),
        legend,
        warning: (!found.faithful).then(|| {
            let off = found.rows.iter().filter(|row| row.within == Some(false));
            format!(
                "not faithful: {} of the measured figures were off",
                off.count()
            )
        }),
        notes,
    })
}

fn panel(channel: &ChannelDelays, found: &Verification) -> Panel {
    let off = found.rows.iter().any(|row| {
        row.channel == channel.channel
            && row.within == Some(false)
            && ["one-way delay", "jitter", "jitter's shape"].contains(&row.quantity.as_str())
    });
    let x = axis(channel);
    let asked = channel.asked_us.map(|asked| asked / 1e3);
    let mut curves = vec![];
    if let Some(asked) = asked {
        curves.push(Curve {
            key: asked_key(),
            name: ASKED.to_owned(),
            runs: vec![vec![(asked, 0.0), (asked, 1.0)]],
        });
    }
    if varies(&channel.predicted_us) {
        curves.push(Curve {
            key: predicted_key(),
            name: PREDICTED.to_owned(),
            runs: vec![inside(&channel.predicted_us, &x)],
        });
    }
    let colour = if off { ALARM } else { theme::stroke(0).colour };
    curves.push(Curve {
        key: Key::line(Stroke::solid(colour, 2.0)),
        name: MEASURED.to_owned(),
        runs: vec![inside(&channel.measured_us, &x)],
    });
    let verdict = if off { ": OFF" } else { "" };
    Panel {
        title: format!("{}{verdict}", channel.channel),
        keys: Vec::new(),
        x,
        y: share_axis(),
        areas: Vec::new(),
        curves,
        spans: Vec::new(),
        marks: Vec::new(),
    }
}

/// Around what was asked and what most probes showed.
fn axis(channel: &ChannelDelays) -> Axis {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut reach = |value: f64| (low, high) = (low.min(value), high.max(value));
    for quantiles in [&channel.measured_us, &channel.predicted_us] {
        if let Some(last) = quantiles.len().checked_sub(1) {
            let at = |share: f64| quantiles[(share * last as f64).round() as usize] / 1e3;
            reach(at(SHOWN.0));
            reach(at(SHOWN.1));
        }
    }
    if let Some(asked) = channel.asked_us {
        reach(asked / 1e3);
    }
    let room = ((LEAST_SPAN_MS - (high - low)) / 2.0).max((high - low) * 0.05);
    Axis::linear("one-way delay (ms)", (low - room).max(0.0), high + room)
}

/// A cumulative distribution from quantiles at even places, as far as `axis` reaches.
fn inside(quantiles: &[f64], axis: &Axis) -> Run {
    let last = quantiles.len().saturating_sub(1).max(1) as f64;
    let points = quantiles.iter().enumerate();
    let points = points.map(|(index, value)| (value / 1e3, index as f64 / last));
    let mut run: Run = points
        .filter(|(value, _)| (axis.low()..=axis.high()).contains(value))
        .collect();
    // A distribution that ends on the panel goes on to its edges.
    if let (Some(first), Some(end)) = (run.first().copied(), run.last().copied()) {
        if first.1 == 0.0 {
            run.insert(0, (axis.low(), 0.0));
        }
        run.push((axis.high(), end.1));
    }
    run
}

/// How far the median lies from the prediction's, or from what was asked, as a share of it.
fn off(channel: &ChannelDelays) -> f64 {
    let median = |quantiles: &[f64]| quantiles.get(quantiles.len() / 2).copied();
    let should = median(&channel.predicted_us).or(channel.asked_us);
    match (median(&channel.measured_us), should) {
        (Some(is), Some(should)) => (is - should).abs() / should.max(1.0),
        _ => 0.0,
    }
}

/// Whether a prediction is more than one value.
fn varies(predicted: &[f64]) -> bool {
    predicted.first() < predicted.last()
}

fn asked_key() -> Key {
    Key::line(theme::BOUND)
}

fn predicted_key() -> Key {
    Key::line(Stroke {
        colour: MUTED,
        width: 2.5,
        ..theme::OTHER_BOUND
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn every_channel_has_a_panel_and_texts_stay_apart() {
        let mut found = example::verification();
        for number in [1, 2, 3, 6, 12, 20] {
            let one = found.delays[0].clone();
            found.delays = (0..number)
                .map(|lane| ChannelDelays {
                    channel: format!("johannesburg>sao-paulo lane {lane}"),
                    ..one.clone()
                })
                .collect();
            let figure = figure(&found).unwrap();
            assert_eq!(figure.panels.len(), number.min(MOST_PANELS));
            figure
                .draw()
                .assert_texts_apart(&format!("{number} channels"));
        }
    }

    #[test]
    fn a_channel_that_is_off_says_so() {
        let figure = figure(&example::verification()).unwrap();
        let titles: Vec<&str> = figure.panels.iter().map(|panel| &*panel.title).collect();
        assert_eq!(
            titles,
            ["virginia>dublin lane 0: OFF", "dublin>virginia lane 0"]
        );
        assert!(figure.warning.is_some());
    }

    #[test]
    fn without_delays_there_is_no_chart() {
        assert!(figure(&Verification::default()).is_none());
    }
}
