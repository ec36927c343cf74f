//! A run held against all that a claim expects.

use longhaul_reports::folder::ResultFolder;
use longhaul_reports::markdown::escape;
use longhaul_reports::result::RunResult;
use serde::{Deserialize, Serialize};

use super::Claim;
use super::measure::{Measure, Run};
use crate::listing::Listing;
use crate::verdict;

/// Whether a claim was seen here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// All that is expected was seen.
    Reproduced,
    /// Some of it.
    Partly,
    /// None of it.
    NotReproduced,
    /// The run's links were not as described: it says nothing.
    Unfaithful {
        /// What was off.
        why: String,
    },
    /// The run failed, or has not the figures.
    Undecided {
        /// Why.
        why: String,
    },
}

impl Verdict {
    /// For people.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::Partly => "partly reproduced",
            Self::NotReproduced => "not reproduced",
            Self::Unfaithful { .. } => "undecided: the lab was not faithful",
            Self::Undecided { .. } => "undecided",
        }
    }

    /// Why it says nothing, if so.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Unfaithful { why } | Self::Undecided { why } => Some(why),
            Self::Reproduced | Self::Partly | Self::NotReproduced => None,
        }
    }
}

/// A figure along an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Where on the axis; empty for a single figure.
    pub at: String,
    /// The median over repeats.
    pub value: f64,
}

/// One expectation and what was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The expectation in words.
    pub says: String,
    /// What was read.
    pub measure: Measure,
    /// Whether the readings are ratios of it.
    pub ratio: bool,
    /// What the readings go along.
    pub along: Option<String>,
    /// What was seen.
    pub readings: Vec<Reading>,
    /// What they had to be.
    pub must: String,
    /// Whether they are.
    pub holds: bool,
}

/// A claim held against a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The claim's name.
    pub claim: String,
    /// Its title.
    pub title: String,
    /// Where it is made.
    pub source: String,
    /// What was made smaller.
    pub scaling: String,
    /// What is known of why a part does not hold.
    pub reason: Option<String>,
    /// Whether it was seen.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Each expectation.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// Holds what is in `folder` against `claim`.
    pub fn of(claim: &Claim, folder: &ResultFolder) -> Self {
        let (result, run) = (&folder.result, Run::of(folder));
        let judged: Result<Vec<Finding>, _> = claim
            .expect
            .iter()
            .map(|expectation| expectation.judge(&run))
            .collect();
        let (verdict, findings) = match (undecided(result), judged) {
            (Some(verdict), judged) => (verdict, judged.unwrap_or_default()),
            (None, Ok(findings)) => (verdict_of(&findings), findings),
            (None, Err(unanswered)) => {
                let why = unanswered.to_string();
                (Verdict::Undecided { why }, Vec::new())
            }
        };
        Self {
            claim: claim.name.clone(),
            title: claim.title.clone(),
            source: claim.source.clone(),
            scaling: claim.scaling.clone(),
            reason: claim.reason.clone(),
            verdict,
            findings,
        }
    }

    /// Why it could not be judged, and why it is not seen whole, if it is not.
    fn remarks(&self) -> impl Iterator<Item = &str> {
        let open = self.verdict != Verdict::Reproduced;
        let reason = self.reason.as_deref().filter(|_| open);
        self.verdict.why().into_iter().chain(reason)
    }

    /// For a terminal.
    pub fn text(&self, width: usize) -> String {
        let mut table = Listing::new(width);
        table.header(["expected", "figure", "must be", "seen", "holds"]);
        for finding in &self.findings {
            table.row([
                finding.says.clone(),
                finding.figure(),
                finding.must.clone(),
                finding.seen(),
                if finding.holds { "yes" } else { "no" }.to_owned(),
            ]);
        }
        let mut text = format!("# {}: {}\n", self.claim, self.title);
        if !self.findings.is_empty() {
            text += &table.render(0..0);
        }
        text += &format!("# source: {}\n# scaling: {}\n", self.source, self.scaling);
        for remark in self.remarks() {
            text += &format!("# {remark}\n");
        }
        text + &format!("{}: {}\n", self.claim, self.verdict.words())
    }

    /// For a page.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "## {}: {}\n\n**{}** ([the run]({}/report.html))\n\n| expected | figure | must be | seen | holds |\n|---|---|---|---|---|\n",
            escape(&self.claim),
            escape(&self.title),
            self.verdict.words(),
            self.claim,
        );
        for finding in &self.findings {
            text += &format!(
                "| {} | {} | {} | {} | {} |\n",
                escape(&finding.says),
                finding.figure(),
                escape(&finding.must),
                escape(&finding.seen()),
                if finding.holds { "yes" } else { "no" },
            );
        }
        text += &format!(
            "\nSource: {}\n\nScaling: {}\n",
            escape(&self.source),
            escape(&self.scaling)
        );
        for remark in self.remarks() {
            text += &format!("\n{}\n", escape(remark));
        }
        text
    }
}

impl Finding {
    /// `busbw, ratio`, with its unit.
    fn figure(&self) -> String {
        match (self.ratio, self.measure.unit()) {
            (true, _) => format!("{} (ratio)", self.measure.name()),
            (false, "") => self.measure.name(),
            (false, unit) => format!("{} ({unit})", self.measure.name()),
        }
    }

    /// The readings, each with its place.
    fn seen(&self) -> String {
        let readings = self.readings.iter().map(|reading| {
            let value = figure(reading.value);
            match reading.at.as_str() {
                "" => value,
                at => format!("{at}: {value}"),
            }
        });
        readings.collect::<Vec<_>>().join("; ")
    }
}

/// With four digits that mean something.
fn figure(value: f64) -> String {
    let digits = 3 - value.abs().max(1e-9).log10().floor() as i32;
    let text = format!("{value:.*}", digits.clamp(0, 6) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The verdict on a run that says nothing, if it is one.
fn undecided(result: &RunResult) -> Option<Verdict> {
    let why = match verdict::judge(result) {
        verdict::Verdict::Passed => return None,
        verdict::Verdict::Unfaithful { findings } => {
            let off = findings.first().map_or("see its fidelity", String::as_str);
            let why = format!("the run's links were not as described: {off}");
            return Some(Verdict::Unfaithful { why });
        }
        verdict::Verdict::Interrupted => "the run was interrupted".to_owned(),
        verdict::Verdict::Failed { message } => format!("the run failed: {message}"),
        verdict::Verdict::WrongResults { elements } => {
            format!("{elements} elements of the run's results are wrong")
        }
    };
    Some(Verdict::Undecided { why })
}

fn verdict_of(findings: &[Finding]) -> Verdict {
    match findings.iter().filter(|finding| finding.holds).count() {
        0 => Verdict::NotReproduced,
        all if all == findings.len() => Verdict::Reproduced,
        _ => Verdict::Partly,
    }
}
