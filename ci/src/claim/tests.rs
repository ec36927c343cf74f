//! Claims held against results that are made up.

use std::collections::BTreeMap;

use longhaul_reports::folder::ResultFolder;
use longhaul_reports::result::{
    DelaySummary, Entity, LabKind, LinkShares, Outcome, Percentiles, Point, RunResult,
    TelemetryRow, metric,
};
use longhaul_topologies::Document;

use super::*;
use crate::example;

/// A claim that expects `expect`.
fn claim(expect: &str) -> Claim {
    let text = format!(
        "name: made-up\ntitle: t\nclaim: c\nsource: s\nscaling: none\nexperiment: {{}}\nexpect:\n{expect}"
    );
    Claim::of(&Document::from_text("made-up", &text).unwrap()).unwrap()
}

/// A run without telemetry, held against `claim`.
fn judgement(claim: &Claim, result: RunResult) -> Judgement {
    let telemetry = Vec::new();
    Judgement::of(claim, &ResultFolder { result, telemetry })
}

/// Of stacks `slow` and `fast` over `delay` 1ms and 10ms, with the busbw of each, twice.
fn judged(expect: &str, slow: [f64; 2], fast: [f64; 2]) -> Judgement {
    let mut result = example::run(LabKind::Virtual, &[1.0]);
    let template = result.points[0].clone();
    result.points.clear();
    for repeat in 0..2 {
        for (stack, figures) in [("slow", slow), ("fast", fast)] {
            for (delay, busbw) in ["1ms", "10ms"].into_iter().zip(figures) {
                let mut point = template.clone();
                point.stack = stack.to_owned();
                point.settings = [("delay".to_owned(), delay.to_owned())].into();
                point.repeat = repeat;
                point.summaries.truncate(1);
                // The median of both repeats is the figure.
                point.summaries[0].busbw_gbps = busbw * (0.9 + 0.2 * repeat as f64);
                result.points.push(point);
            }
        }
    }
    judgement(&claim(expect), result)
}

fn holds(expect: &str, slow: [f64; 2], fast: [f64; 2]) -> bool {
    let judgement = judged(expect, slow, fast);
    assert_eq!(judgement.findings.len(), 1, "{:?}", judgement.verdict);
    judgement.findings[0].holds
}

#[test]
fn a_ratio_is_held_against_its_bounds() {
    let expect = "- {says: s, measure: busbw, of: {stack: fast, settings: {delay: 10ms}}, over: {stack: slow}, must: {be_at_least: 2, be_at_most: 3}}";
    assert!(holds(expect, [1.0, 1.0], [1.0, 2.5]));
    assert!(!holds(expect, [1.0, 1.0], [1.0, 1.9]));
    assert!(!holds(expect, [1.0, 1.0], [1.0, 3.1]));
}

#[test]
fn a_figure_over_nothing_is_undecided_whatever_the_bounds() {
    let expect = "- {says: s, measure: busbw, of: {stack: fast}, over: {stack: slow}, along: delay, must: {be_at_least: 2, be_at_most: 3}}";
    for (fast, told) in [(0.0, "0 / 0"), (2.5, "2.5 / 0")] {
        let judgement = judged(expect, [1.0, 0.0], [2.5, fast]);
        let why = judgement.verdict.why().unwrap();
        assert!(why.contains(told), "{why}");
        assert!(matches!(judgement.verdict, Verdict::Undecided { .. }));
    }
}

#[test]
fn a_figure_that_is_no_number_is_undecided_and_not_left_out() {
    let mut result = example::run(LabKind::Virtual, &[1.0, 1.0]);
    let row = &mut result.points[1].summaries[0];
    (row.p50_us, row.p99_us) = (0.0, 0.0);
    let claim = claim("- {says: s, measure: time-spread, must: {be_at_most: 2}}");
    let judgement = judgement(&claim, result);
    assert_eq!(
        judgement.verdict.why(),
        Some("time-spread of any point is NaN, which is no figure to judge")
    );
}

#[test]
fn readings_are_medians_over_repeats_along_the_axis() {
    let expect =
        "- {says: s, measure: busbw, of: {stack: fast}, along: delay, must: {be_at_least: 0}}";
    let judgement = judged(expect, [1.0, 1.0], [4.0, 2.0]);
    let readings = &judgement.findings[0].readings;
    let at: Vec<&str> = readings.iter().map(|reading| reading.at.as_str()).collect();
    assert_eq!(at, ["1ms", "10ms"]);
    assert!((readings[0].value - 4.0).abs() < 1e-9 && (readings[1].value - 2.0).abs() < 1e-9);
}

#[test]
fn shapes_are_told_apart() {
    let of = |must: &str| {
        format!(
            "- {{says: s, measure: busbw, of: {{stack: fast}}, along: delay, must: {{{must}}}}}"
        )
    };
    let rising = [1.0, 2.0];
    let falling = [2.0, 1.0];
    let flat = [1.0, 1.04];
    for (must, held) in [
        ("rise_by: 1.5", [true, false, false]),
        ("fall_by: 1.5", [false, true, false]),
        ("vary_by_at_most: 0.05", [false, false, true]),
        ("peak_at: [1ms]", [false, true, false]),
    ] {
        for (figures, held) in [rising, falling, flat].into_iter().zip(held) {
            assert_eq!(
                holds(&of(must), [1.0, 1.0], figures),
                held,
                "{must} {figures:?}"
            );
        }
    }
}

#[test]
fn a_part_that_does_not_hold_makes_it_partly() {
    let one = "- {says: s, measure: busbw, of: {stack: fast, settings: {delay: 1ms}}, must: {be_at_least: 2}}";
    let other = "- {says: s, measure: busbw, of: {stack: fast, settings: {delay: 10ms}}, must: {be_at_least: 2}}";
    let both = format!("{one}\n{other}");
    for (figures, verdict) in [
        ([3.0, 3.0], Verdict::Reproduced),
        ([3.0, 1.0], Verdict::Partly),
        ([1.0, 1.0], Verdict::NotReproduced),
    ] {
        assert_eq!(judged(&both, [1.0, 1.0], figures).verdict, verdict);
    }
}

#[test]
fn what_the_run_does_not_have_or_tell_apart_is_no_verdict() {
    for (expect, why) in [
        (
            "- {says: s, measure: busbw, of: {stack: other}, must: {be_at_least: 1}}",
            "the run has no busbw of other",
        ),
        (
            "- {says: s, measure: busbw, must: {be_at_least: 1}}",
            "the run has several of any point: they differ in delay",
        ),
        (
            "- {says: s, measure: busbw, along: delay, must: {be_at_least: 1}}",
            "the run has several of any point: they differ in the stack",
        ),
    ] {
        let verdict = judged(expect, [1.0, 1.0], [1.0, 1.0]).verdict;
        assert_eq!(
            verdict,
            Verdict::Undecided {
                why: why.to_owned()
            }
        );
    }
}

#[test]
fn what_no_planned_point_has_is_told_at_its_line_with_what_there_is() {
    let point = |stack: &str, delay: &str| PlannedPoint {
        stack: stack.to_owned(),
        settings: [("links.0.delay".to_owned(), delay.to_owned())].into(),
    };
    let points = [
        point("slow", "1ms"),
        point("slow", "10ms"),
        point("fast", "1ms"),
    ];
    let told = |selections: &str, points: &[PlannedPoint]| {
        let expect =
            format!("- {{says: s, measure: busbw, {selections}, must: {{be_at_least: 1}}}}");
        let text = format!(
            "name: made-up\ntitle: t\nclaim: c\nsource: s\nscaling: none\nexperiment: {{}}\nexpect:\n{expect}"
        );
        let document = Document::from_text("made-up", &text).unwrap();
        let checked = Claim::of(&document)
            .unwrap()
            .check_points(&document, points);
        checked.err().map(|error| {
            assert_eq!(error.position.unwrap().0, 8);
            format!("{} [{}]", error.message, error.help.unwrap())
        })
    };
    let fine =
        "of: {stack: fast, settings: {links.0.delay: 1ms}}, over: {stack: slow}, along: stack";
    assert_eq!(told(fine, &points), None);
    for (selections, why) in [
        (
            "of: {stack: fats}",
            "the experiment has no stack `fats` [did you mean `fast`?]",
        ),
        (
            "of: {stack: fast}, over: {stack: x}",
            "the experiment has no stack `x` [there are: `slow`, `fast`]",
        ),
        (
            "of: {settings: {delay: 1ms}}",
            "the sweep has no `delay` [there are: `links.0.delay`]",
        ),
        (
            "of: {settings: {links.0.delay: 7s}}",
            "`links.0.delay` is never 7s in this sweep [there are: `1ms`, `10ms`]",
        ),
        (
            "along: links.0.dely",
            "the sweep has no `links.0.dely` [did you mean `links.0.delay`?]",
        ),
        (
            "of: {stack: slow, settings: {links.0.delay: 10ms}}, over: {stack: fast}",
            "the experiment has no point of fast, links.0.delay 10ms [these never come together: see the stacks' `only`, and what the sweep \
             sets together]",
        ),
    ] {
        assert_eq!(told(selections, &points).as_deref(), Some(why));
    }
    let unswept = PlannedPoint {
        stack: "slow".to_owned(),
        settings: BTreeMap::new(),
    };
    assert_eq!(
        told("along: delay", &[unswept]).as_deref(),
        Some("the sweep has no `delay` [the experiment sweeps over nothing]")
    );
}

#[test]
fn nothing_in_a_claim_or_a_message_is_markup_on_its_page() {
    let expect =
        "- {says: 'a | b', measure: busbw, along: stack, must: {be_at_least: 1, peak_at: ['a|b']}}";
    let mut result = example::run(LabKind::Virtual, &[1.0]);
    result.points[0].stack = "a|b".to_owned();
    let page = judgement(&claim(expect), result.clone()).markdown();
    assert!(page.contains(r"| a \| b | busbw (GB/s) |"), "{page}");
    assert!(page.contains(r"greatest at a\|b"), "{page}");
    assert!(page.contains(r"| a\|b: "), "{page}");
    result.outcome = Outcome::Failed {
        message: "it said:\n## <b>*all* is well".to_owned(),
    };
    let page = judgement(&claim(expect), result).markdown();
    assert!(
        page.contains(r"it said: \#\# &lt;b&gt;\*all\* is well"),
        "{page}"
    );
}

#[test]
fn an_unfaithful_run_proves_nothing() {
    let mut result = example::run(LabKind::Virtual, &[1.0]);
    result.points[0].fidelity.faithful = false;
    result.points[0].fidelity.findings = vec!["the loss was off".to_owned()];
    let expect = "- {says: s, measure: busbw, along: stack, must: {be_at_least: 0}}";
    let judgement = judgement(&claim(expect), result);
    let Verdict::Unfaithful { why } = &judgement.verdict else {
        panic!("{:?}", judgement.verdict);
    };
    assert!(why.contains("the loss was off"), "{why}");
}

#[test]
fn a_claim_that_expects_nothing_is_refused_at_its_line() {
    let refused = |expect: &str| {
        let text = format!(
            "name: made-up\ntitle: t\nclaim: c\nsource: s\nscaling: none\nexperiment: {{}}\nexpect: {expect}"
        );
        Claim::of(&Document::from_text("made-up", &text).unwrap())
            .unwrap_err()
            .to_string()
    };
    assert!(refused("[]").contains("a claim expects something"));
    assert!(refused("[{says: s, measure: busbw, must: {}}]").contains("it expects nothing"));
    let single = "[{says: s, measure: busbw, must: {rise_by: 2}}]";
    assert!(refused(single).contains("along: size"));
}

#[test]
fn a_name_that_leads_elsewhere_is_refused_at_its_line() {
    for name in ["../evil", "/tmp/evil", "a/b", "..", "verdicts.md", ""] {
        let text = format!(
            "title: t\nname: '{name}'\nclaim: c\nsource: s\nscaling: none\nexperiment: {{}}\nexpect: [{{says: s, measure: busbw, must: {{be_at_least: 1}}}}]"
        );
        let error = Claim::of(&Document::from_text("made-up", &text).unwrap()).unwrap_err();
        assert!(error.message.contains("a name is letters"), "{error}");
        assert_eq!(error.position.map(|(line, _)| line), Some(2), "{name}");
    }
}

#[test]
fn every_claim_of_the_catalogue_is_named_as_its_file_and_reads() {
    for (number, entry) in entries() {
        let (claim, _) = open(entry.name).unwrap();
        assert_eq!(claim.name, entry.name);
        assert_eq!(open(&number.to_string()).unwrap().0.name, entry.name);
    }
    let error = open("xgs-allreduce").unwrap_err();
    let help = error.help.unwrap();
    assert!(help.starts_with(
        "did you mean `xgs-all-reduce`? The catalogue has: xgs-all-reduce, deep-buffers, "
    ));
}

#[test]
fn use_of_the_line_and_its_queue_are_read_from_a_point() {
    let mut point = example::run(LabKind::Virtual, &[1.0]).points[0].clone();
    let lane = |link: &str, lane: usize, bytes: u64| {
        serde_json::from_value(serde_json::json!({
            "link": link, "lane": lane, "rate_bps": 500_000_000, "bytes": bytes, "packets": 1,
            "queue_drops": 0, "losses": null, "queue_peak_bytes": 0
        }))
        .unwrap()
    };
    // Two lanes of the busy link, and one of the way back.
    point.channels = vec![lane("a>b", 0, 90), lane("a>b", 1, 80), lane("b>a", 0, 5)];
    let shares = |link: &str, goodput_bps: f64| LinkShares {
        link: link.to_owned(),
        flows: 2,
        jain: 1.0,
        goodput_bps: Some(goodput_bps),
    };
    point.shares = vec![shares("b>a", 1e6), shares("a>b", 970e6)];
    assert_eq!(Measure::Utilisation.read(&point, &[]), [(None, 0.97)]);
    let delays = |from: &str, to: &str, described_us: f64, p99: f64| DelaySummary {
        from: from.to_owned(),
        to: to.to_owned(),
        described_us,
        delay_us: Percentiles {
            count: 1,
            p99,
            ..Percentiles::default()
        },
        settled_us: None,
        pdv_us: 0.0,
        rfc3550_us: 0.0,
        sent: 1,
        lost: 0,
    };
    // A round trip of 20 ms: 2 % of it is 400 µs.
    point.delays = vec![
        delays("a", "b", 10_000.0, 10_200.0),
        delays("b", "a", 10_000.0, 10_000.0),
    ];
    assert_eq!(Measure::StandingQueue.read(&point, &[]), [(None, 0.5)]);
    // Of a short way, 100 µs.
    point.delays = vec![delays("a", "b", 50.0, 200.0), delays("b", "a", 50.0, 50.0)];
    assert_eq!(Measure::StandingQueue.read(&point, &[]), [(None, 1.5)]);
    // Once flows have settled: of probes then, or nothing.
    assert!(Measure::SettledQueue.read(&point, &[]).is_empty());
    point.delays[0].settled_us = Some(Percentiles {
        p99: 75.0,
        ..point.delays[0].delay_us
    });
    assert_eq!(Measure::SettledQueue.read(&point, &[]), [(None, 0.25)]);
}

#[test]
fn how_soon_lanes_are_in_use_is_read_from_their_telemetry() {
    let mut point = example::run(LabKind::Virtual, &[1.0]).points[0].clone();
    // Two lanes of 1 MB/s, and 20 ms there and back.
    point.channels = [0, 1]
        .map(|lane| {
            serde_json::from_value(serde_json::json!({
                "link": "a>b", "lane": lane, "rate_bps": 8_000_000, "bytes": 90, "packets": 1,
                "queue_drops": 0, "losses": null, "queue_peak_bytes": 0
            }))
            .unwrap()
        })
        .into();
    let path = |from: &str, to: &str| DelaySummary {
        from: from.to_owned(),
        to: to.to_owned(),
        described_us: 10_000.0,
        delay_us: Percentiles::default(),
        settled_us: None,
        pdv_us: 0.0,
        rfc3550_us: 0.0,
        sent: 0,
        lost: 0,
    };
    point.delays = vec![path("a", "b"), path("b", "a")];
    point.samples = serde_json::from_value(serde_json::json!([{
        "size_bytes": 1, "count": 1, "placement": "out-of-place", "iteration": 0, "warmup": false,
        "start_s": 1.0, "time_us": 1e6, "wrong": 0
    }]))
    .unwrap();
    let change = |link: &str, time_s: f64| {
        serde_json::from_value(serde_json::json!({
            "time_s": time_s, "link": link, "lane": 1, "direction": "forward", "source": "scheduled",
            "change": "up → down", "late_us": 0.0
        }))
        .unwrap()
    };
    point.timeline = vec![change("a>b", 1.5), change("b>a", 1.7)];
    // Half of each lane from 1.02 s on and all of it from 1.06 s on. Then the second is down, and from 1.55 s on the first is full again.
    let rates: [&[(f64, f64)]; 2] = [
        &[
            (0.0, 0.0),
            (1.02, 5e5),
            (1.06, 1e6),
            (1.5, 0.0),
            (1.55, 1e6),
        ],
        &[(0.0, 0.0), (1.02, 5e5), (1.06, 1e6), (1.5, 0.0)],
    ];
    let mut rows = Vec::new();
    for (lane, rates) in rates.iter().enumerate() {
        let mut carried = 0.0;
        for milliseconds in 0..2000u32 {
            let at = f64::from(milliseconds) / 1e3;
            let mut row = |metric: &str, value: f64| {
                rows.push(TelemetryRow {
                    time_s: at,
                    point: 0,
                    entity: Entity::Channel,
                    name: format!("a>b/{lane}"),
                    metric: metric.to_owned(),
                    value,
                });
            };
            row(metric::BYTES, carried);
            if lane == 1 && [0, 1500].contains(&milliseconds) {
                row(metric::UP, f64::from(u8::from(milliseconds == 0)));
            }
            let rate = rates.iter().rfind(|(from, _)| *from <= at);
            carried += rate.map_or(0.0, |(_, rate)| rate / 1e3);
        }
    }
    let read = |measure: Measure, point: &Point, grain: u32| {
        let is_read =
            |row: &&TelemetryRow| ((row.time_s * 1e3).round() as u32).is_multiple_of(grain);
        let rows: Vec<_> = rows.iter().filter(is_read).collect();
        let figure = measure.read(point, &rows);
        figure
            .first()
            .map(|(_, figure)| (figure * 100.0).round() / 100.0)
    };
    // Windows of 10 ms: a tenth of the one that is 90 % full is at half.
    assert_eq!(read(Measure::StartUp, &point, 1), Some(2.9));
    assert_eq!(read(Measure::Recovery, &point, 1), Some(2.45));
    // Read every 10 ms, it tells nothing.
    assert_eq!(read(Measure::StartUp, &point, 10), None);
    // As long as the workload took, if they were never in use; and what was over before a change has not recovered from it.
    point.samples[0].time_us = 50e3;
    assert_eq!(read(Measure::StartUp, &point, 1), Some(2.5));
    assert_eq!(read(Measure::Recovery, &point, 1), None);
    // What was never out of use is so at once.
    point.samples[0].time_us = 1e6;
    point.timeline.truncate(1);
    point.timeline[0].time_s = 1.07;
    assert_eq!(read(Measure::Recovery, &point, 1), Some(0.0));
}
