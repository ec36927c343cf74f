//! How the points of a run are grouped: those that differ in nothing but the repeat are one series.

pub(crate) mod replay;

use std::collections::{BTreeMap, BTreeSet};

use crate::result::{Bound, Point, RunResult, Sample, Summary, Workload};
use crate::{side_by_side, stats};

/// A stack with its settings, over all repeats.
#[derive(Clone, Debug)]
pub(crate) struct Series<'a> {
    /// `cubic`, or `cubic, algorithm ring` in a sweep; without settings that [follow](SettingNames::follows) others.
    pub label: String,
    /// Its stack.
    pub stack: &'a str,
    /// Its swept settings, by their full names.
    pub settings: &'a BTreeMap<String, String>,
    /// Its repeats, in order; never empty.
    pub points: Vec<&'a Point>,
}

impl<'a> Series<'a> {
    /// Every series of `result`, by first appearance.
    pub fn of(result: &'a RunResult) -> Vec<Self> {
        let names = SettingNames::of(result);
        let mut all: Vec<Self> = Vec::new();
        for point in &result.points {
            let same = |series: &&mut Self| {
                series.stack == point.stack && *series.settings == point.settings
            };
            match all.iter_mut().find(same) {
                Some(series) => series.points.push(point),
                None => all.push(Self {
                    label: names.label(&point.stack, &point.settings, &[]),
                    stack: &point.stack,
                    settings: &point.settings,
                    points: vec![point],
                }),
            }
        }
        all
    }

    /// What all of its points ran.
    pub fn workload(&self) -> &'a Workload {
        &self.points[0].workload
    }

    /// The bound of its points.
    pub fn bound(&self) -> Option<&'a Bound> {
        self.points.iter().find_map(|point| point.bound.as_ref())
    }

    /// Every iteration after warm-up, repeats pooled.
    pub fn samples(&self) -> impl Iterator<Item = &'a Sample> {
        self.points
            .iter()
            .flat_map(|point| &point.samples)
            .filter(|sample| !sample.warmup)
    }

    /// One row per size and placement, repeats pooled.
    pub fn summaries(&self) -> Vec<Summary> {
        if let (
            [_, _, ..],
            Workload::Collective {
                collective, ranks, ..
            },
        ) = (&self.points[..], self.workload())
        {
            let samples: Vec<Sample> = self.samples().cloned().collect();
            // A result that lost its samples still has what they came to in its first repeat.
            match stats::summarise(&samples, collective, *ranks, self.bound()) {
                Ok(pooled) if !pooled.is_empty() => return pooled,
                _ => {}
            }
        }
        self.points[0].summaries.clone()
    }
}

/// How many iterations a size has; the most, where they differ.
pub(crate) fn iterations(summaries: &[Summary]) -> usize {
    let most = summaries.iter().map(|row| row.iterations).max();
    most.unwrap_or(0) as usize
}

/// The swept settings of a run, with names as short as they can be told apart.
#[derive(Clone, Debug)]
pub(crate) struct SettingNames<'a> {
    result: &'a RunResult,
    /// The short name of each full one: `queue` of `links.0.queue`.
    short: BTreeMap<&'a str, &'a str>,
    /// Settings whose value another one's tells, by their full names.
    followers: BTreeSet<&'a str>,
}

impl<'a> SettingNames<'a> {
    pub fn of(result: &'a RunResult) -> Self {
        let all: BTreeSet<&str> = result
            .points
            .iter()
            .flat_map(|point| point.settings.keys().map(String::as_str))
            .collect();
        let last = |name: &'a str| name.rsplit('.').next().unwrap_or(name);
        let alone = |name| all.iter().filter(|other| last(other) == last(name)).count() == 1;
        let short = |&name: &&'a str| (name, if alone(name) { last(name) } else { name });
        // Of two that tell each other, the first leads.
        let follows = |&name: &&'a str| {
            let mut others = all.iter().filter(|&&other| other != name);
            // Whose a point is has to be said, even if its settings told it.
            name != side_by_side::SETTING
                && others.any(|&other| {
                    tells(result, other, name) && (other < name || !tells(result, name, other))
                })
        };
        Self {
            result,
            short: all.iter().map(short).collect(),
            followers: all.iter().copied().filter(follows).collect(),
        }
    }

    /// Whether `setting` has one value for each value of some other: a rate that is lowered as a delay grows. It tells no series apart,
    /// and makes no axis.
    pub fn follows(&self, setting: &str) -> bool {
        self.followers.contains(setting)
    }

    /// Whether each value of one setting tells that of the other, and the other way round.
    pub fn move_together(&self, one: &str, other: &str) -> bool {
        tells(self.result, one, other) && tells(self.result, other, one)
    }

    /// Full and short names, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.short.iter().map(|(&full, &short)| (full, short))
    }

    /// `cubic, queue 1bdp`: a stack with its settings, but for those that follow others and for some.
    pub fn label(
        &self,
        stack: &str,
        settings: &BTreeMap<String, String>,
        without: &[&str],
    ) -> String {
        let settings = settings
            .iter()
            .filter(|(name, _)| !without.contains(&name.as_str()) && !self.follows(name))
            .map(|(name, value)| {
                let name = self.short.get(name.as_str()).copied().unwrap_or(name);
                format!(", {name} {value}")
            });
        stack.to_owned() + &settings.collect::<String>()
    }
}

/// Whether all points with one value of `leader` have one of `setting`, and both vary.
fn tells(result: &RunResult, leader: &str, setting: &str) -> bool {
    let mut told: BTreeMap<Option<&String>, Option<&String>> = BTreeMap::new();
    let is_told = result.points.iter().all(|point| {
        let value = point.settings.get(setting);
        *told.entry(point.settings.get(leader)).or_insert(value) == value
    });
    is_told && told.values().collect::<BTreeSet<_>>().len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};

    #[test]
    fn settings_are_named_as_shortly_as_they_can_be_told_apart() {
        let (mut run, _) = example::run(&Shape::default());
        let settings = |names: &[&str]| {
            let set = |name: &&str| ((*name).to_owned(), "1".to_owned());
            names.iter().map(set).collect::<BTreeMap<_, _>>()
        };
        let labels = |run: &RunResult| -> Vec<String> {
            Series::of(run).into_iter().map(|one| one.label).collect()
        };
        run.points.truncate(1);
        run.points[0].settings = settings(&["links.0.queue", "loss"]);
        assert_eq!(labels(&run), ["cubic, queue 1, loss 1"]);
        run.points[0].settings = settings(&["links.0.queue", "links.1.queue"]);
        assert_eq!(labels(&run), ["cubic, links.0.queue 1, links.1.queue 1"]);
    }

    #[test]
    fn what_moves_with_another_setting_tells_no_series_apart() {
        let (mut run, _) = example::run(&Shape::default());
        let first = run.points[0].clone();
        let point = |values: [&str; 4]| {
            let names = ["delay", "limit", "loss", "rate"];
            let set = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            let mut point = first.clone();
            point.settings = names.into_iter().zip(values).map(set).collect();
            point
        };
        let ways = [
            ["1ms", "1MB", "0%", "1Gbit"],
            ["2ms", "2MB", "0%", "1Gbit"],
            ["4ms", "4MB", "0%", "250Mbit"],
            ["1ms", "1MB", "1%", "1Gbit"],
            ["2ms", "2MB", "1%", "1Gbit"],
        ];
        run.points = ways.into_iter().map(point).collect();
        let names = SettingNames::of(&run);
        let leaders: Vec<&str> = names
            .iter()
            .map(|(full, _)| full)
            .filter(|name| !names.follows(name))
            .collect();
        assert_eq!(leaders, ["delay", "loss"]);
        let labels: Vec<String> = Series::of(&run).into_iter().map(|one| one.label).collect();
        assert_eq!(labels[2], "cubic, delay 4ms, loss 0%");
        assert_eq!(
            names.label("cubic", &run.points[4].settings, &["delay"]),
            "cubic, loss 1%"
        );
    }
}
