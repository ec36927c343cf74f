//! What longhaul's own programs of other people's libraries (`programs/`) report: a JSON object a line, a file a rank.

use longhaul_reports::result::{Better, Placement};
use serde::Deserialize;

use crate::collective::{Collective, DataType};
use crate::program::{Findings, Iteration, Refusal, Told, When, ranks};

/// A line.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// What runs.
    Version {
        /// Its name.
        name: String,
        /// As it tells it.
        version: String,
    },
    /// An iteration of a collective.
    Iteration {
        /// Bytes of the whole array.
        size: u64,
        /// Its elements.
        count: u64,
        /// Where the output went.
        placement: Placement,
        /// From 0.
        iteration: u64,
        /// Whether it does not count.
        warmup: bool,
        /// Nanoseconds on CLOCK_MONOTONIC at which all ranks were to start.
        start_ns: u64,
        /// At which this one ended.
        end_ns: u64,
        /// Its wrong elements.
        wrong: u64,
    },
    /// A value of a figure.
    Value {
        /// Which figure.
        name: String,
        /// Its unit.
        unit: String,
        /// Which way it gets better.
        better: Better,
        /// Nanoseconds on CLOCK_MONOTONIC.
        at_ns: u64,
        /// In the unit.
        value: f64,
    },
}

/// What a rank reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its host.
    pub host: String,
    /// In order.
    pub lines: Vec<Line>,
}

impl Report {
    /// Every line must be one: nothing else writes to the file.
    pub fn parse(host: &str, text: &str) -> Result<Self, String> {
        let lines = text.lines().enumerate().map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))
        });
        Ok(Self {
            host: host.to_owned(),
            lines: lines.collect::<Result<_, _>>()?,
        })
    }
}

/// What all ranks together found: an iteration lasts from the common start to the last rank's end.
pub fn join(reports: &[Report]) -> Result<Findings, String> {
    let mut findings = Findings::default();
    for (rank, report) in reports.iter().enumerate() {
        let mut told = 0;
        for line in &report.lines {
            match line {
                Line::Version { name, version } => {
                    findings.versions.insert(name.clone(), version.clone());
                }
                Line::Value {
                    name,
                    unit,
                    better,
                    at_ns,
                    value,
                } => {
                    let value = (When::Monotonic(*at_ns), *value);
                    let mut known = findings.measures.iter_mut();
                    match known.find(|known| known.name == *name && known.host == report.host) {
                        Some(known) => known.values.push(value),
                        None => findings.measures.push(Told {
                            name: name.clone(),
                            unit: unit.clone(),
                            better: *better,
                            host: report.host.clone(),
                            values: vec![value],
                        }),
                    }
                }
                Line::Iteration {
                    size,
                    count,
                    placement,
                    iteration,
                    warmup,
                    start_ns,
                    end_ns,
                    wrong,
                } => {
                    let Some(lasted) = end_ns.checked_sub(*start_ns) else {
                        return Err(format!(
                            "iteration {iteration} of {size} B ended before it began"
                        ));
                    };
                    let one = Iteration {
                        size_bytes: *size,
                        count: *count,
                        placement: *placement,
                        number: *iteration,
                        warmup: *warmup,
                        start_ns: Some(*start_ns),
                        time_us: lasted as f64 / 1e3,
                        wrong: *wrong,
                    };
                    if rank == 0 {
                        findings.iterations.push(one);
                    } else {
                        let known = findings.iterations.get_mut(told);
                        let known = known.ok_or("it has iterations that rank 0 has not")?;
                        let same = Iteration {
                            time_us: known.time_us,
                            wrong: known.wrong,
                            ..one
                        };
                        if same != *known {
                            return Err(format!(
                                "its iteration {iteration} of {size} B is not rank 0's"
                            ));
                        }
                        known.time_us = known.time_us.max(one.time_us);
                        known.wrong += one.wrong;
                    }
                    told += 1;
                }
            }
        }
        if told != findings.iterations.len() {
            return Err(format!(
                "{told} iterations, and rank 0 has {}",
                findings.iterations.len()
            ));
        }
    }
    Ok(findings)
}

/// The elements of each size of a collective over so many ranks; all of them are single-precision numbers.
pub fn counts(collective: Collective, sizes: &[u64], members: usize) -> Result<Vec<u64>, Refusal> {
    if collective == Collective::Pairs {
        return Err(ranks::no_pairs());
    }
    let count = |&size: &u64| collective.count(DataType::F32, size, members);
    let counts: Result<Vec<u64>, _> = sizes.iter().map(count).collect();
    counts.map_err(|error| Refusal::of("sizes", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(host: &str, ends: &[u64]) -> Report {
        let lines: Vec<String> = ends
            .iter()
            .enumerate()
            .map(|(index, end)| {
                format!(
                    r#"{{"kind": "iteration", "size": 4096, "count": 1024, "placement": "in-place", "iteration": {index}, "warmup": false, "start_ns": 1000, "end_ns": {end}, "wrong": 1}}"#
                )
            })
            .collect();
        Report::parse(host, &lines.join("\n")).unwrap()
    }

    #[test]
    fn an_iteration_lasts_until_its_last_rank_has_ended() {
        let found = join(&[report("a-0", &[5000, 9000]), report("b-0", &[7000, 2000])]).unwrap();
        let times: Vec<(f64, u64)> = found
            .iterations
            .iter()
            .map(|one| (one.time_us, one.wrong))
            .collect();
        assert_eq!(times, [(6.0, 2), (8.0, 2)]);
    }

    #[test]
    fn ranks_that_did_not_do_the_same_are_refused() {
        let short = join(&[report("a-0", &[5000, 9000]), report("b-0", &[7000])]);
        assert_eq!(short.unwrap_err(), "1 iterations, and rank 0 has 2");
        let long = join(&[report("a-0", &[5000]), report("b-0", &[7000, 9000])]);
        assert_eq!(long.unwrap_err(), "it has iterations that rank 0 has not");
        assert!(
            join(&[report("a-0", &[900])])
                .unwrap_err()
                .contains("ended before it began")
        );
    }

    #[test]
    fn a_line_with_more_or_less_than_is_known_is_refused() {
        let error = |text| Report::parse("a-0", text).unwrap_err();
        assert!(error("hello").starts_with("line 1: "));
        assert!(error(r#"{"kind": "version", "name": "x"}"#).contains("version"));
        assert!(
            error(r#"{"kind": "version", "name": "x", "version": "1", "more": 1}"#)
                .contains("more")
        );
    }

    #[test]
    fn values_of_a_figure_are_gathered_per_host() {
        let text = r#"{"kind": "value", "name": "step time", "unit": "us", "better": "lower", "at_ns": 5, "value": 2.5}"#;
        let report = Report::parse("a-0", &format!("{text}\n{text}")).unwrap();
        let found = join(&[report]).unwrap();
        assert_eq!(found.measures[0].values, [(When::Monotonic(5), 2.5); 2]);
    }
}
