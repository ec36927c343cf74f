//! A series of replayed traces in words and cells.

use crate::format::{bytes, plural, time};
use crate::result::{Carried, Workload};
use crate::series::Series;

/// The columns of [`Series::carried`].
pub(crate) const CARRIED: [&str; 5] = ["a step's", "count", "bytes", "algorithm", "time together"];

impl Series<'_> {
    /// `replay of gpt-data-parallel, 4 ranks, computing as traced, 5 steps`; empty if it is none.
    pub(crate) fn replay_heading(&self) -> String {
        let Workload::Replay {
            trace,
            compute,
            ranks,
            ..
        } = self.workload()
        else {
            return String::new();
        };
        let (ranks, steps) = (
            plural(*ranks, "rank"),
            plural(self.samples().count(), "step"),
        );
        format!("replay of {trace}, {ranks}, computing {compute}, {steps}")
    }

    /// What a step carries, a row for each kind; none if it is no replay.
    pub(crate) fn carried(&self) -> Vec<[String; 5]> {
        let Workload::Replay { carries, .. } = self.workload() else {
            return Vec::new();
        };
        let measures = self.measures();
        let row = |carried: &Carried| {
            let name = format!("{} time", carried.kind);
            let measured = measures.iter().find(|(measure, _)| measure.name == name);
            [
                carried.kind.clone(),
                carried.count.to_string(),
                bytes(carried.bytes as f64),
                carried.algorithm.clone().unwrap_or_else(|| "-".to_owned()),
                measured.map_or_else(|| "-".to_owned(), |(_, summary)| time(summary.mean)),
            ]
        };
        carries.iter().map(row).collect()
    }

    /// Elements that were wrong in all iterations after warm-up.
    pub(crate) fn wrong(&self) -> u64 {
        self.samples().map(|sample| sample.wrong).sum()
    }
}
