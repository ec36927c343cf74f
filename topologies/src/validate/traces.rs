//! Traces out of files or out of the document itself, each read once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::{Document, DocumentPath, InputError};
use crate::model::{DelayTrace, JitterShape, JitterTable, RateStep, RateTrace, TraceError};
use crate::spec::{DelayPointSpec, JitterSettings, RateStepSpec, RateTraceSpec};
use crate::units::Rate;

/// What the files that a document names say.
pub(super) struct Traces<'a> {
    document: &'a Document,
    rates: Read<RateTrace>,
    delays: Read<DelayTrace>,
    tables: Read<JitterTable>,
    losses: Read<Arc<[bool]>>,
}

/// By kind and name.
type Read<T> = RefCell<BTreeMap<(&'static str, String), T>>;

impl<'a> Traces<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        Traces {
            document,
            rates: Read::default(),
            delays: Read::default(),
            tables: Read::default(),
            losses: Read::default(),
        }
    }

    /// The document that names them.
    pub(super) fn document(&self) -> &'a Document {
        self.document
    }

    /// The rate at `path`.
    pub(super) fn rate(
        &self,
        path: &DocumentPath,
        spec: &RateTraceSpec,
    ) -> Result<RateTrace, InputError> {
        match spec {
            RateTraceSpec {
                csv: Some(file),
                mahimahi: None,
                steps: None,
                period: None,
            } => self.file(
                &self.rates,
                &path.key("csv"),
                ("csv", file.as_str()),
                RateTrace::from_csv,
            ),
            RateTraceSpec {
                csv: None,
                mahimahi: Some(file),
                steps: None,
                period: None,
            } => {
                let key = ("mahimahi", file.as_str());
                self.file(
                    &self.rates,
                    &path.key("mahimahi"),
                    key,
                    RateTrace::from_mahimahi,
                )
            }
            RateTraceSpec {
                csv: None,
                mahimahi: None,
                steps: Some(steps),
                period: Some(period),
            } => {
                let step = |step: &RateStepSpec| RateStep {
                    at: step.at.duration(),
                    bits_per_second: step.rate.map_or(0, Rate::bits_per_second),
                };
                RateTrace::new(steps.iter().map(step).collect(), period.duration())
                    .map_err(|error| self.document.error(&path.key("steps"), error.to_string()))
            }
            _ => Err(self
                .document
                .error(path, "the trace needs just one source")
                .with_help(
                    "write one of `csv: FILE`, `mahimahi: FILE`, and `steps` with their `period`",
                )),
        }
    }

    /// The table or trace among `settings`, if there is one.
    pub(super) fn jitter(
        &self,
        path: &DocumentPath,
        settings: &JitterSettings,
    ) -> Result<Option<JitterShape>, InputError> {
        let JitterSettings {
            distribution,
            table,
            samples,
            trace,
            points,
            ..
        } = settings;
        let told = [
            distribution.is_some(),
            table.is_some(),
            samples.is_some(),
            trace.is_some(),
            points.is_some(),
        ];
        if told.into_iter().filter(|&told| told).count() > 1 {
            return Err(self
                .document
                .error(path, "the jitter has more than one shape")
                .with_help(
                    "keep one of `distribution`, `table`, `samples`, `trace` and `points`",
                ));
        }
        let here =
            |key: &str, error: &TraceError| self.document.error(&path.key(key), error.to_string());
        if let Some(file) = table {
            let key = ("table", file.as_str());
            let table = self.file(
                &self.tables,
                &path.key("table"),
                key,
                JitterTable::from_lines,
            )?;
            return Ok(Some(JitterShape::Table(table)));
        }
        if let Some(samples) = samples {
            let samples = samples.iter().map(|span| span.duration()).collect();
            let table = JitterTable::new(samples).map_err(|error| here("samples", &error))?;
            return Ok(Some(JitterShape::Table(table)));
        }
        if let Some(file) = trace {
            let key = ("trace", file.as_str());
            let trace = self.file(&self.delays, &path.key("trace"), key, DelayTrace::from_csv)?;
            return Ok(Some(JitterShape::Trace(trace)));
        }
        if let Some(points) = points {
            let point = |point: &DelayPointSpec| (point.at.duration(), point.delay.duration());
            let trace = DelayTrace::new(points.iter().map(point).collect())
                .map_err(|error| here("points", &error))?;
            return Ok(Some(JitterShape::Trace(trace)));
        }
        Ok(None)
    }

    /// The fates in the file `trace`, or in `pattern`.
    pub(super) fn loss(
        &self,
        path: &DocumentPath,
        trace: Option<&str>,
        pattern: Option<&str>,
    ) -> Result<Arc<[bool]>, InputError> {
        match (trace, pattern) {
            (Some(file), _) => self.file(&self.losses, &path.key("trace"), ("loss", file), fates),
            (None, pattern) => fates(pattern.unwrap_or_default())
                .map_err(|error| self.document.error(&path.key("pattern"), error.to_string())),
        }
    }

    fn file<T: Clone>(
        &self,
        known: &Read<T>,
        path: &DocumentPath,
        (kind, name): (&'static str, &str),
        read: impl FnOnce(&str) -> Result<T, TraceError>,
    ) -> Result<T, InputError> {
        let key = (kind, name.to_owned());
        if let Some(trace) = known.borrow().get(&key) {
            return Ok(trace.clone());
        }
        let text = self.document.beside(path, name)?;
        let trace = read(&text).map_err(|TraceError { line, message }| {
            let place = line.map_or_else(String::new, |line| format!(", line {line}"));
            let name = name.escape_debug();
            self.document
                .error(path, format!("`{name}`{place}: {message}"))
        })?;
        known.borrow_mut().insert(key, trace.clone());
        Ok(trace)
    }
}

/// Digits, `1` for a lost packet; white space and lines that begin with `#` do not count.
fn fates(text: &str) -> Result<Arc<[bool]>, TraceError> {
    let mut fates = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        for digit in line.chars().filter(|c| !c.is_whitespace()) {
            fates.push(match digit {
                '0' => false,
                '1' => true,
                other => {
                    return Err(TraceError {
                        line: Some(index + 1),
                        message: format!("`{}` is neither 0 nor 1", other.escape_debug()),
                    });
                }
            });
        }
    }
    if fates.is_empty() {
        return Err(TraceError {
            line: None,
            message: "the trace is empty".to_owned(),
        });
    }
    Ok(fates.into())
}
