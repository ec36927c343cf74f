//! How often the gate is wrong: synthetic regressions of known size on noise that was recorded.
//!
//! `data/noise.json` holds what real runs of one unchanged program gave. A regression of r is put onto a run by dividing its
//! bandwidths by 1 + r, as a program does that takes so much longer; the links' delays stay. The gate's rule is then asked, and its
//! answers are counted. Two ways to get two runs that differ in nothing:
//!
//! - *runs*: every ordered pair of the recorded runs, each with its moment on a shared machine.
//! - *drawn*: both sides drawn from all recorded repeats (a bootstrap), so that there are as many pairs as it takes.
//!
//! The fast tests assert bounds; `cargo test -p longhaul-ci --test calibration -- --ignored --nocapture` prints the table in
//! docs/gate.md.

use std::collections::BTreeMap;

use longhaul_ci::comparison::pairs;
use longhaul_ci::figures::Figure;
use longhaul_ci::gate::{Ruling, Tolerances, rule_on};
use longhaul_ci::metric::Metric;
use longhaul_reports::result::LabKind;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

/// Synthetic regressions, as shares.
const REGRESSIONS: [f64; 6] = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2];

/// What a pair of runs came to, counted.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    passed: u32,
    regressed: u32,
    undecided: u32,
}

#[derive(Deserialize)]
struct Recording {
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    faithful: bool,
    figures: Vec<Figure>,
}

impl Tally {
    fn add(&mut self, ruling: &Ruling) {
        match ruling {
            Ruling::Passed => self.passed += 1,
            Ruling::Regressed { .. } => self.regressed += 1,
            Ruling::Undecided { .. } => self.undecided += 1,
            other => panic!("{other:?}"),
        }
    }

    fn share(&self, count: u32) -> f64 {
        f64::from(count) / f64::from(self.passed + self.regressed + self.undecided)
    }
}

fn recording() -> Vec<Run> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/noise.json");
    let text = std::fs::read_to_string(path).unwrap();
    let recording: Recording = serde_json::from_str(&text).unwrap();
    recording.runs
}

/// The same figures from a program that is slower by this share.
fn slowed(figures: &[Figure], regression: f64) -> Vec<Figure> {
    let slow = |figure: &Figure| {
        let factor = match figure.metric {
            Metric::Busbw => 1.0 / (1.0 + regression),
            _ => 1.0,
        };
        Figure {
            values: figure.values.iter().map(|value| value * factor).collect(),
            ..figure.clone()
        }
    };
    figures.iter().map(slow).collect()
}

/// The ruling of the gate's own rule.
fn ruling(before: &[Figure], after: &[Figure], lab: LabKind) -> Ruling {
    rule_on(pairs(before, after, lab), lab, &Tolerances::new()).0
}

/// Every ordered pair of runs.
fn by_runs(runs: &[&Run], regression: f64) -> Tally {
    let mut tally = Tally::default();
    for (i, before) in runs.iter().enumerate() {
        for (j, after) in runs.iter().enumerate() {
            if i != j {
                let after = slowed(&after.figures, regression);
                tally.add(&ruling(&before.figures, &after, LabKind::Host));
            }
        }
    }
    tally
}

/// Pairs of so many repeats each, drawn from all.
fn drawn(runs: &[&Run], repeats: usize, regression: f64, trials: u32) -> Tally {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut pool: BTreeMap<(String, String), Figure> = BTreeMap::new();
    for figure in runs.iter().flat_map(|run| &run.figures) {
        let key = (figure.of.clone(), figure.metric.name().to_owned());
        let empty = || Figure {
            values: Vec::new(),
            ..figure.clone()
        };
        let pooled = pool.entry(key).or_insert_with(empty);
        pooled.values.extend(&figure.values);
    }
    let pool: Vec<Figure> = pool.into_values().collect();
    let mut draw = || -> Vec<Figure> {
        // A repeat's figures belong together: the same repeats of every figure.
        let picked: Vec<usize> = (0..repeats)
            .map(|_| random.random_range(0..pool[0].values.len()))
            .collect();
        let of = |figure: &Figure| Figure {
            values: picked.iter().map(|&index| figure.values[index]).collect(),
            ..figure.clone()
        };
        pool.iter().map(of).collect()
    };
    let mut tally = Tally::default();
    for _ in 0..trials {
        let (before, after) = (draw(), slowed(&draw(), regression));
        tally.add(&ruling(&before, &after, LabKind::Host));
    }
    tally
}

/// Exact figures: one value, the first of each run.
fn exact(runs: &[&Run], regression: f64) -> Tally {
    let mut tally = Tally::default();
    for run in runs {
        let first: Vec<Figure> = run
            .figures
            .iter()
            .map(|figure| Figure {
                values: figure.values[..1].to_vec(),
                ..figure.clone()
            })
            .collect();
        let after = slowed(&first, regression);
        tally.add(&ruling(&first, &after, LabKind::Virtual));
    }
    tally
}

#[test]
fn exact_figures_never_alarm_falsely_and_never_miss_a_twentieth() {
    let runs = recording();
    let runs: Vec<&Run> = runs.iter().collect();
    let (none, twentieth) = (exact(&runs, 0.0), exact(&runs, 0.05));
    assert_eq!((none.regressed, none.undecided), (0, 0));
    assert_eq!((twentieth.passed, twentieth.undecided), (0, 0));
}

#[test]
fn by_the_wall_clock_a_tenth_is_caught_and_false_alarms_are_rare() {
    let runs = recording();
    let faithful: Vec<&Run> = runs.iter().filter(|run| run.faithful).collect();
    assert!(faithful.len() >= 8, "{} runs", faithful.len());
    let (none, tenth) = (by_runs(&faithful, 0.0), by_runs(&faithful, 0.1));
    // Repeats of one run share its moment: a test of any difference at all has 5 of 156 here (docs/gate.md).
    assert!(none.share(none.regressed) <= 0.01, "{none:?}");
    assert!(tenth.share(tenth.regressed) >= 0.99, "{tenth:?}");
    assert_eq!(tenth.passed, 0, "{tenth:?}");
    let (none, tenth) = (
        drawn(&faithful, 10, 0.0, 200),
        drawn(&faithful, 10, 0.1, 200),
    );
    assert!(none.share(none.regressed) <= 0.01, "{none:?}");
    assert!(tenth.share(tenth.regressed) >= 0.99, "{tenth:?}");
}

#[test]
#[ignore = "prints the table of docs/gate.md: minutes"]
fn the_table() {
    let runs = recording();
    let all: Vec<&Run> = runs.iter().collect();
    let faithful: Vec<&Run> = runs.iter().filter(|run| run.faithful).collect();
    let row = |name: &str, regression: f64, tally: Tally| {
        let percent = |count| 100.0 * tally.share(count);
        println!(
            "| {name} | {} % | {:.2} % | {:.2} % | {:.2} % | {} |",
            regression * 100.0,
            percent(tally.passed),
            percent(tally.undecided),
            percent(tally.regressed),
            tally.passed + tally.undecided + tally.regressed
        );
    };
    println!(
        "| pairs | slower by | passed | can't tell | regressed | of |\n|---|--:|--:|--:|--:|--:|"
    );
    for regression in REGRESSIONS {
        row("exact figures", regression, exact(&all, regression));
    }
    for (name, runs) in [
        ("faithful runs", &faithful),
        ("all runs, loaded ones too", &all),
    ] {
        for regression in REGRESSIONS {
            row(name, regression, by_runs(runs, regression));
        }
    }
    for repeats in [5, 10, 20] {
        for regression in REGRESSIONS {
            let name = format!("drawn, {repeats} repeats");
            row(&name, regression, drawn(&all, repeats, regression, 2000));
        }
    }
}
