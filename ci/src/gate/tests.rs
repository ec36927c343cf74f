//! What a gate rules on runs whose truth is known.

use longhaul_reports::result::Outcome;

use super::*;
use crate::example::run;
use crate::figures::Figure;

/// Repeats that scatter by about a percent.
const QUIET: [f64; 10] = [
    100.0, 101.2, 99.1, 100.4, 98.9, 100.9, 99.6, 100.2, 99.8, 101.0,
];

fn slower(times: &[f64], factor: f64) -> Vec<f64> {
    // Another order of scatter, as another run has.
    times
        .iter()
        .rev()
        .enumerate()
        .map(|(i, time)| time * factor + 0.01 * i as f64)
        .collect()
}

fn gated(lab: LabKind, before: &[f64], after: &[f64]) -> Judgement {
    let baseline = Baseline::of(&run(lab, before)).unwrap();
    let mut result = run(lab, after);
    // The number of repeats is part of the experiment; here it is not what is tested.
    result.experiment = run(lab, before).experiment;
    gate(&result, &baseline, &Tolerances::new()).unwrap()
}

fn busbw(judgement: &Judgement) -> Finding {
    let row = judgement
        .rows
        .iter()
        .find(|row| row.pair.metric == Metric::Busbw);
    row.unwrap().finding
}

#[test]
fn the_same_bits_pass_as_such() {
    let judgement = gated(LabKind::Virtual, &[100.0], &[100.0]);
    assert_eq!(judgement.ruling, Ruling::Passed);
    assert_eq!(
        judgement.sentence(),
        "passed: all 5 figures are the baseline's, to the bit"
    );
}

#[test]
fn by_the_wall_clock_the_same_bits_are_counted_and_shown_as_such_too() {
    let judgement = gated(LabKind::Host, &QUIET, &QUIET);
    assert_eq!(busbw(&judgement), Finding::Within);
    assert_eq!(
        judgement.sentence(),
        "passed: all 5 figures are the baseline's, to the bit"
    );
    let text = judgement.text(120);
    assert!(text.contains("# 5 of 5 figures are the same"), "{text}");
    assert!(text.contains("  =  ") && !text.contains("0 %  "), "{text}");
    let page = judgement.markdown(&BTreeMap::new());
    assert!(page.contains("5 of 5 figures are the same"), "{page}");
    // Other bits, and no difference in the median.
    let mut other = QUIET;
    other.reverse();
    let text = gated(LabKind::Host, &QUIET, &other).text(120);
    assert!(text.contains(" 0 %  ") && !text.contains("e0 %"), "{text}");
}

#[test]
fn in_a_virtual_lab_every_difference_has_a_size() {
    for (time, finding) in [
        (100.5, Finding::Within),
        (105.0, Finding::Regressed),
        (99.9, Finding::Within),
        (90.0, Finding::Improved),
    ] {
        let judgement = gated(LabKind::Virtual, &[100.0], &[time]);
        assert_eq!(busbw(&judgement), finding, "{time}");
        assert_eq!(
            judgement.ruling == Ruling::Passed,
            finding != Finding::Regressed,
            "{time}"
        );
    }
}

#[test]
fn by_the_wall_clock_scatter_passes_and_a_tenth_does_not() {
    let same = gated(LabKind::Host, &QUIET, &slower(&QUIET, 1.0));
    assert_eq!(
        (busbw(&same), &same.ruling),
        (Finding::Within, &Ruling::Passed)
    );
    let tenth = gated(LabKind::Host, &QUIET, &slower(&QUIET, 1.1));
    assert_eq!(busbw(&tenth), Finding::Regressed);
    let better = gated(LabKind::Host, &QUIET, &slower(&QUIET, 0.9));
    assert_eq!(
        (busbw(&better), &better.ruling),
        (Finding::Improved, &Ruling::Passed)
    );
}

/// [`QUIET`] with a last repeat of no bandwidth.
fn stalled() -> RunResult {
    let mut stalled = run(LabKind::Host, &QUIET);
    stalled.points.last_mut().unwrap().summaries[0].busbw_gbps = 0.0;
    stalled
}

#[test]
fn by_the_wall_clock_a_bandwidth_that_comes_to_nothing_is_a_regression() {
    let baseline = Baseline::of(&run(LabKind::Host, &QUIET)).unwrap();
    let judgement = gate(&stalled(), &baseline, &Tolerances::new()).unwrap();
    assert_eq!(busbw(&judgement), Finding::Regressed);
    assert_eq!(judgement.ruling, Ruling::Regressed { worse: 1 });
}

#[test]
fn by_the_wall_clock_a_cost_that_comes_to_nothing_is_no_worse() {
    let cost = |values: &[f64]| Figure {
        series: "cubic".to_owned(),
        of: "retransmits of a-0 (packets)".to_owned(),
        metric: Metric::Cost,
        values: values.to_vec(),
    };
    let ruled = |before: &[f64], after: &[f64]| {
        let pairs = pairs(&[cost(before)], &[cost(after)], LabKind::Host);
        let (_, rows) = rule_on(pairs, LabKind::Host, &Tolerances::new());
        rows[0].finding
    };
    assert_eq!(ruled(&QUIET, &[0.0; 10]), Finding::Improved);
    let mut once = QUIET;
    once[3] = 0.0;
    assert_eq!(ruled(&QUIET, &once), Finding::Within);
    // One repeat without says nothing of the others.
    let mut worse = QUIET.map(|value| value * 2.0);
    worse[3] = 0.0;
    assert_eq!(ruled(&QUIET, &worse), Finding::Regressed);
    assert_eq!(
        ruled(&[3.0, 5.0], &[0.0, 7.0]),
        Finding::Undecided { repeats: None }
    );
}

#[test]
fn what_the_baseline_has_no_share_of_is_not_judged_and_not_counted_as_judged() {
    let baseline = Baseline::of(&stalled()).unwrap();
    let judgement = gate(&run(LabKind::Host, &QUIET), &baseline, &Tolerances::new()).unwrap();
    assert_eq!(busbw(&judgement), Finding::NotJudged);
    // The duration is the other figure that has a tolerance.
    assert!(
        judgement.sentence().contains("none of 1 judged figures"),
        "{}",
        judgement.sentence()
    );
    let text = judgement.text(120);
    assert!(text.contains("# 1 are not judged"), "{text}");
    assert!(text.contains("not judged\n"), "{text}");
    let junit = judgement.junit().unwrap();
    assert!(junit.contains("<skipped message=\"not judged\""), "{junit}");
}

#[test]
fn few_repeats_cannot_tell_and_say_how_many_can() {
    let judgement = gated(LabKind::Host, &QUIET[..2], &slower(&QUIET[..2], 1.1));
    let Ruling::Undecided {
        repeats: Some(repeats),
    } = judgement.ruling
    else {
        panic!("{:?}", judgement.ruling);
    };
    // So many do decide.
    assert!((3..=10).contains(&repeats), "{repeats}");
    let alone = gated(LabKind::Host, &[100.0], &[101.0]);
    assert_eq!(alone.ruling, Ruling::Undecided { repeats: None });
}

#[test]
fn an_unfaithful_run_neither_passes_nor_fails() {
    let baseline = Baseline::of(&run(LabKind::Host, &QUIET)).unwrap();
    for factor in [1.0, 2.0] {
        let mut result = run(LabKind::Host, &slower(&QUIET, factor));
        result.points[0].fidelity.faithful = false;
        result.points[0].fidelity.findings = vec!["late".to_owned()];
        let judgement = gate(&result, &baseline, &Tolerances::new()).unwrap();
        assert!(matches!(judgement.ruling, Ruling::Unfaithful { .. }));
        assert_eq!(busbw(&judgement), Finding::NotJudged);
        assert!(!judgement.markdown(&BTreeMap::new()).contains("**"));
    }
}

/// What is found of one figure.
fn found(lab: LabKind, metric: Metric, before: &[f64], after: &[f64]) -> Row {
    let figure = |values: &[f64]| Figure {
        series: "cubic".to_owned(),
        of: "signal (dBm)".to_owned(),
        metric,
        values: values.to_vec(),
    };
    let pairs = pairs(&[figure(before)], &[figure(after)], lab);
    let (_, mut rows) = rule_on(pairs, lab, &Tolerances::new());
    rows.remove(0)
}

#[test]
fn figures_below_nothing_are_better_and_worse_the_same_way() {
    let of = |metric, before, after| {
        let row = found(LabKind::Virtual, metric, &[before], &[after]);
        (row.finding, change(&row))
    };
    let told = |finding, change: &str| (finding, change.to_owned());
    assert_eq!(
        of(Metric::Cost, -10.0, -20.0),
        told(Finding::Improved, "-100 %")
    );
    assert_eq!(
        of(Metric::Cost, -20.0, -10.0),
        told(Finding::Regressed, "+50 %")
    );
    assert_eq!(
        of(Metric::Gain, -10.0, -5.0),
        told(Finding::Improved, "+50 %")
    );
    assert_eq!(
        of(Metric::Gain, -10.0, 5.0),
        told(Finding::Improved, "+150 %")
    );
    assert_eq!(
        of(Metric::Gain, 5.0, -5.0),
        told(Finding::Regressed, "-200 %")
    );
}

#[test]
fn what_is_worse_by_just_its_tolerance_is_within_it() {
    let of = |after| found(LabKind::Virtual, Metric::Busbw, &[100.0], &[after]).finding;
    assert_eq!((of(99.0), of(98.99)), (Finding::Within, Finding::Regressed));
}

#[test]
fn below_a_microsecond_no_time_is_worse_in_any_lab() {
    let before = QUIET.map(|value| value / 20.0);
    let by = |more: f64| {
        let after = before.map(|value| value + more);
        found(LabKind::Host, Metric::Delay, &before, &after).finding
    };
    assert_eq!((by(0.9), by(1.1)), (Finding::Within, Finding::Regressed));
}

#[test]
fn what_failed_is_wrong_and_what_was_interrupted_says_nothing() {
    let baseline = Baseline::of(&run(LabKind::Virtual, &[1.0])).unwrap();
    let mut result = run(LabKind::Virtual, &[1.0]);
    result.outcome = Outcome::Failed {
        message: "no route".to_owned(),
    };
    let judgement = gate(&result, &baseline, &Tolerances::new()).unwrap();
    assert!(matches!(judgement.ruling, Ruling::Wrong { .. }));
    for outcome in [Outcome::Interrupted, Outcome::Unfinished] {
        result.outcome = outcome;
        let refused = gate(&result, &baseline, &Tolerances::new());
        assert!(matches!(refused, Err(GateError::Interrupted(_))));
    }
}

#[test]
fn a_figure_that_vanished_is_a_regression() {
    let baseline = Baseline::of(&run(LabKind::Virtual, &[1.0])).unwrap();
    let mut result = run(LabKind::Virtual, &[1.0]);
    result.points[0].summaries.clear();
    let judgement = gate(&result, &baseline, &Tolerances::new()).unwrap();
    assert_eq!(busbw(&judgement), Finding::Missing);
    assert_eq!(judgement.ruling, Ruling::Regressed { worse: 1 });
}

#[test]
fn a_tolerance_that_is_set_replaces_the_metric_s_own() {
    let baseline = Baseline::of(&run(LabKind::Virtual, &[100.0])).unwrap();
    let result = run(LabKind::Virtual, &[105.0]);
    let tolerances = Tolerances::from([(Metric::Busbw, Tolerance::from_percent(10.0).unwrap())]);
    let judgement = gate(&result, &baseline, &tolerances).unwrap();
    assert_eq!(judgement.ruling, Ruling::Passed);
    // Time is not judged unless asked for.
    let tolerances = Tolerances::from([
        (Metric::Busbw, Tolerance::from_percent(10.0).unwrap()),
        (Metric::Time, Tolerance::from_percent(1.0).unwrap()),
    ]);
    let judgement = gate(&result, &baseline, &tolerances).unwrap();
    assert_eq!(judgement.ruling, Ruling::Regressed { worse: 1 });
}

#[test]
fn every_form_tells_the_regression() {
    let judgement = gated(LabKind::Virtual, &[100.0], &[105.0]);
    insta::assert_snapshot!(judgement.text(120));
    insta::assert_snapshot!(judgement.markdown(&BTreeMap::new()));
    insta::assert_snapshot!(judgement.annotations().join("\n"));
    let junit = judgement.junit().unwrap();
    assert!(
        junit.contains("tests=\"3\"") && junit.contains("failures=\"1\""),
        "{junit}"
    );
    assert!(junit.contains("busbw"), "{junit}");
}
