//! Verdicts on results, for continuous integration.
