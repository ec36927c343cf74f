//! Verdicts on results, for continuous integration.
//!
//! - [`verdict`]: whether a run may pass: it ended, its sums are right, its links were faithful.
//! - [`determinism`]: whether two runs gave the same bytes, and where not.
//! - [`figures`]: the figures of a run, one value per repeat.
//! - [`metric`]: what figures there are, which way is better, how much worse is a regression.
//! - [`likeness`]: whether two runs may be compared.
//! - [`baseline`]: the figures that later runs are held against, as a file.
//! - [`statistics`]: tests of whether repeats differ, and how many a test needs.
//! - [`comparison`]: two sets of figures side by side.
//! - [`gate`]: a run held against a baseline, its verdict, and its forms: table, JUnit, Markdown, annotations.
//! - [`claim`]: an experiment with what it must show, and whether a run of it did.
//! - [`history`]: figures over commits.
//! - `listing`: the look of tables.
//! - `markdown`: text that is not to be taken for markup.

pub mod baseline;
pub mod claim;
pub mod comparison;
pub mod determinism;
#[cfg(test)]
mod example;
pub mod figures;
pub mod gate;
pub mod history;
pub mod likeness;
mod listing;
pub mod metric;
pub mod statistics;
pub mod verdict;
