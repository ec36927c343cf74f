//! Verdicts on results, for continuous integration.
//!
//! - [`verdict`]: whether a run may pass: it ended, its sums are right, its links were faithful.
//! - [`determinism`]: whether two runs gave the same bytes, and where not.
//!
//! Baselines, comparison of results and their JUnit and Markdown forms are to come; see the CHANGELOG.

pub mod determinism;
pub mod verdict;
