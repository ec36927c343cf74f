//! What was run, on what, and whether to trust it.

use maud::{Markup, html};

use crate::folder::Opened;
use crate::format::{plural, rate, time};
use crate::html::{table, verdict};
use crate::result::fidelity::Faithfulness;
use crate::result::{Computing, LabKind, Outcome, RunResult, Workload};
use crate::series::Series;
use crate::stats;

/// The first lines of a result.
pub(super) fn headline(opened: &Opened, name: &str) -> Markup {
    let result = &opened.folder.result;
    let findings = result.findings();
    html! {
        header {
            h1 { (name) }
            @if !result.description.is_empty() { p.lead { (result.description) } }
            p.verdicts { (faithful(result)) " " (outcome(result)) " " (right(result)) }
            @if !opened.remarks.is_empty() {
                ul.remarks { @for remark in &opened.remarks { li { (remark) } } }
            }
            @if !findings.is_empty() {
                ul.remarks { @for finding in &findings { li { (finding) } } }
            }
            dl.facts {
                @for (term, fact) in facts(result) { div { dt { (term) } dd { (fact) } } }
            }
            (averages(result))
        }
    }
}

/// The facts of several results, a column each.
pub(super) fn side_by_side(results: &[Opened], names: &[String]) -> Markup {
    let all: Vec<_> = results
        .iter()
        .map(|opened| facts(&opened.folder.result))
        .collect();
    let mut terms: Vec<&'static str> = Vec::new();
    for (term, _) in all.iter().flatten() {
        if !terms.contains(term) {
            terms.push(term);
        }
    }
    let mut rows: Vec<Vec<Markup>> = terms
        .iter()
        .map(|term| {
            let of = |facts: &Vec<(&'static str, String)>| {
                let fact = facts.iter().find(|fact| fact.0 == *term);
                html! { (fact.map_or("", |fact| &fact.1)) }
            };
            std::iter::once(html! { (term) })
                .chain(all.iter().map(of))
                .collect()
        })
        .collect();
    let line = |title: &str, of: &dyn Fn(&RunResult) -> Markup| {
        let each = results.iter().map(|opened| of(&opened.folder.result));
        std::iter::once(html! { (title) }).chain(each).collect()
    };
    rows.push(line("fidelity", &faithful));
    rows.push(line("outcome", &outcome));
    let head: Vec<&str> = std::iter::once("")
        .chain(names.iter().map(String::as_str))
        .collect();
    table(&head, &rows, usize::MAX)
}

fn faithful(result: &RunResult) -> Markup {
    let told = result.faithfulness();
    let text = told.to_string();
    match told {
        Faithfulness::Unmeasured => html! { span.muted { (text) } },
        Faithfulness::Faithful => verdict(true, &text, ""),
        Faithfulness::Off { .. } => verdict(false, "", &text),
    }
}

fn outcome(result: &RunResult) -> Markup {
    match &result.outcome {
        Outcome::Finished => verdict(true, "finished", ""),
        Outcome::Unfinished => verdict(false, "", "did not come to its end"),
        Outcome::Interrupted => verdict(false, "", "interrupted"),
        Outcome::Failed { message } => verdict(false, "", &format!("failed: {message}")),
    }
}

/// Whether all sums were right.
fn right(result: &RunResult) -> Markup {
    let points = || result.points.iter();
    let mut wrongs: Vec<u64> = points()
        .flat_map(|point| point.summaries.iter().map(|row| row.wrong))
        .collect();
    // Steps of a trace are not summed up by size.
    let replays = points().filter(|point| matches!(point.workload, Workload::Replay { .. }));
    wrongs.extend(replays.flat_map(|point| point.samples.iter().map(|sample| sample.wrong)));
    let wrong: u64 = wrongs.iter().sum();
    html! {
        @if !wrongs.is_empty() {
            (verdict(wrong == 0, "all sums right", &format!("{} wrong", plural(wrong as usize, "element"))))
        }
    }
}

fn facts(result: &RunResult) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let topology = &result.experiment["topology"];
    if let Some(name) = topology.as_str().or_else(|| topology["name"].as_str()) {
        facts.push(("topology", name.to_owned()));
    }
    match result.points.first().map(|point| &point.workload) {
        Some(Workload::Collective {
            program,
            collective,
            algorithm,
            data_type,
            ranks,
            ..
        }) => {
            let by = program
                .as_ref()
                .map_or_else(String::new, |program| format!(", by {program}"));
            let ranks = plural(*ranks, "rank");
            let what = format!("{collective} ({algorithm}) of {data_type}, {ranks}{by}");
            facts.push(("workload", what));
        }
        Some(Workload::Replay { trace, ranks, .. }) => {
            let ranks = plural(*ranks, "rank");
            facts.push(("workload", format!("replay of {trace}, {ranks}")));
        }
        Some(Workload::Command { command }) => facts.push(("workload", command.join(" "))),
        None => {}
    }
    let mut stacks: Vec<&str> = Vec::new();
    for point in &result.points {
        if !stacks.contains(&point.stack.as_str()) {
            stacks.push(&point.stack);
        }
    }
    facts.push(("stacks", stacks.join(", ")));
    let environment = &result.environment;
    let lab = match environment.lab {
        LabKind::Host => "host: this machine's kernel, wall-clock time",
        LabKind::Virtual => "virtual: a kernel of its own, virtual time",
        LabKind::Physical => "physical: real hosts and switches",
    };
    facts.push(("lab", lab.to_owned()));
    if environment.computing == Computing::Free {
        facts.push((
            "computing",
            "free: times are the network's alone".to_owned(),
        ));
    }
    facts.push(("links carried by", environment.links.clone()));
    facts.push(("points", result.points.len().to_string()));
    facts.push(("seed", result.seed.to_string()));
    if let Some(details) = &result.run_details {
        // RFC 3339, to the minute: the environment has it in full.
        let minute = details.started.get(..16).unwrap_or(&details.started);
        facts.push(("started", format!("{} UTC", minute.replace('T', " "))));
        if let Some(seconds) = details.wall_seconds {
            let passed = details
                .virtual_lab
                .as_ref()
                .map_or_else(String::new, |lab| {
                    format!(
                        ", in which {} of virtual time passed",
                        time(lab.virtual_seconds * 1e6)
                    )
                });
            facts.push(("took", time(seconds * 1e6) + &passed));
        }
    }
    facts.push(("longhaul", result.longhaul_version.clone()));
    facts
}

/// nccl-tests' one figure for each series, as a bar.
fn averages(result: &RunResult) -> Markup {
    let averages: Vec<(String, f64)> = Series::of(result)
        .iter()
        .filter_map(|one| Some((one.label.clone(), stats::average_busbw(&one.summaries())?)))
        .take(MOST_BARS + 1)
        .collect();
    let most = averages.iter().map(|one| one.1).fold(0.0, f64::max);
    html! {
        @if most > 0.0 && averages.len() <= MOST_BARS {
            dl.bars {
                @for (label, busbw) in &averages {
                    dt { (label) }
                    dd {
                        progress max="1" value=(format!("{:.4}", busbw / most)) aria-hidden="true" {}
                        " " (rate(busbw * 8e9))
                    }
                }
            }
            p.muted { "average bus bandwidth over all sizes, as in nccl-tests" }
        }
    }
}

/// More bars than this are no headline.
const MOST_BARS: usize = 12;
