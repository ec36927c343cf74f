//! One expectation: which figures, and what they must be.

use std::collections::BTreeMap;
use std::fmt;

use longhaul_topologies::units::ByteSize;
use serde::{Deserialize, Serialize};

use super::judgement::{Finding, Reading};
use super::measure::{Measure, Run};

/// Something that a run's figures must show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// In words.
    pub says: String,
    /// What is read.
    pub measure: Measure,
    /// Of which points.
    #[serde(default)]
    pub of: Selection,
    /// Those are divided by these: what is absent here is as in `of`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Selection>,
    /// What goes along the figures: `size`, `stack`, or a swept setting; a single figure if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub along: Option<String>,
    /// What they must be.
    pub must: Must,
}

/// Which points of a run; all that agree with what is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The stack's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// The array's size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// Swept settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// What figures must be; all that is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Must {
    /// Each of them at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub be_at_least: Option<f64>,
    /// Each of them at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub be_at_most: Option<f64>,
    /// The last is at least so many times the first, and none is more than 3 % below the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rise_by: Option<f64>,
    /// The first is at least so many times the last, and none is more than 3 % above the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fall_by: Option<f64>,
    /// The greatest is at most this share above the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vary_by_at_most: Option<f64>,
    /// The greatest is one of these, as the axis names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peak_at: Vec<String>,
}

/// How far a rising figure may fall back from one step to the next.
const SLACK: f64 = 0.03;

/// Why an expectation cannot be held against a run: its figures are not there, or not told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("the run has no {measure} of {selection}")]
    Missing { measure: String, selection: String },
    #[error("the run has several of {selection}: they differ in {differing}")]
    Several {
        selection: String,
        differing: String,
    },
    #[error("{measure} of {selection} is {value}, which is no figure to judge")]
    NoNumber {
        measure: String,
        selection: String,
        value: String,
    },
}

/// Where a figure stands in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) stack: String,
    pub(super) size: Option<u64>,
    pub(super) settings: BTreeMap<String, String>,
}

impl Expectation {
    /// Whether it can be held against anything; if not, why.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.must == Must::default() {
            return Err("it expects nothing: write for example `must: {be_at_least: 1}`".into());
        }
        let series = self.must.rise_by.is_some()
            || self.must.fall_by.is_some()
            || self.must.vary_by_at_most.is_some()
            || !self.must.peak_at.is_empty();
        if series && self.along.is_none() {
            return Err(
                "one figure neither rises nor varies: write what it goes `along`, for example `along: size`"
                    .into(),
            );
        }
        Ok(())
    }

    /// Holds it against a run.
    pub(super) fn judge(&self, run: &Run<'_>) -> Result<Finding, Unanswered> {
        let mut readings = self.readings(run, &self.of)?;
        if let Some(over) = &self.over {
            let below = self.readings(run, &over.within(&self.of))?;
            for reading in &mut readings {
                let divisor = below.iter().find(|below| below.at == reading.at);
                let divisor = divisor.ok_or_else(|| self.missing(over))?;
                let quotient = reading.value / divisor.value;
                // Nothing over nothing would be within any bounds.
                if !quotient.is_finite() {
                    let value = format!("{} / {}", reading.value, divisor.value);
                    return Err(self.no_number(format!("{} over {over}", self.of), value));
                }
                reading.value = quotient;
            }
        }
        let holds = self.must.hold(&readings);
        Ok(Finding {
            says: self.says.clone(),
            measure: self.measure,
            ratio: self.over.is_some(),
            along: self.along.clone(),
            readings,
            must: self.must.to_string(),
            holds,
        })
    }

    /// The medians over repeats, in the run's order, one for each place along the axis.
    fn readings(&self, run: &Run<'_>, selection: &Selection) -> Result<Vec<Reading>, Unanswered> {
        let mut found: Vec<(String, Place, Vec<f64>)> = Vec::new();
        for (point, rows) in run.points() {
            for (size, value) in self.measure.read(point, rows) {
                let place = Place {
                    stack: point.stack.clone(),
                    size,
                    settings: point.settings.clone(),
                };
                if !selection.takes(&place) {
                    continue;
                }
                if !value.is_finite() {
                    return Err(self.no_number(selection.to_string(), value.to_string()));
                }
                let at = match self.along.as_deref() {
                    Some(axis) => match place.take(axis) {
                        Some(at) => at,
                        None => continue,
                    },
                    None => String::new(),
                };
                match found.iter_mut().find(|(known, _, _)| *known == at) {
                    Some((_, known, values)) if known.is_like(&place, self.along.as_deref()) => {
                        values.push(value);
                    }
                    Some((_, known, _)) => {
                        return Err(Unanswered::Several {
                            selection: selection.to_string(),
                            differing: known.difference(&place),
                        });
                    }
                    None => found.push((at, place, vec![value])),
                }
            }
        }
        if found.is_empty() {
            return Err(self.missing(selection));
        }
        let readings = found.into_iter().map(|(at, _, mut values)| Reading {
            at,
            value: median(&mut values),
        });
        Ok(readings.collect())
    }

    fn missing(&self, selection: &Selection) -> Unanswered {
        Unanswered::Missing {
            measure: self.measure.name(),
            selection: selection.to_string(),
        }
    }

    fn no_number(&self, selection: String, value: String) -> Unanswered {
        Unanswered::NoNumber {
            measure: self.measure.name(),
            selection,
            value,
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

impl Selection {
    /// This, with what is absent as in `other`.
    pub(super) fn within(&self, other: &Self) -> Self {
        let mut settings = other.settings.clone();
        settings.extend(self.settings.clone());
        Self {
            stack: self.stack.clone().or_else(|| other.stack.clone()),
            size: self.size.or(other.size),
            settings,
        }
    }

    pub(super) fn takes(&self, place: &Place) -> bool {
        self.stack
            .as_ref()
            .is_none_or(|stack| *stack == place.stack)
            && self
                .size
                .is_none_or(|size| place.size.is_none_or(|found| found == size.bytes()))
            && self
                .settings
                .iter()
                .all(|(name, value)| place.settings.get(name) == Some(value))
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stack = self.stack.iter().cloned();
        let size = self.size.iter().map(ToString::to_string);
        let settings = self.settings.iter();
        let settings = settings.map(|(name, value)| format!("{name} {value}"));
        let all: Vec<String> = stack.chain(size).chain(settings).collect();
        match all.is_empty() {
            true => f.write_str("any point"),
            false => f.write_str(&all.join(", ")),
        }
    }
}

impl Place {
    /// Its coordinate on `axis`.
    pub(super) fn take(&self, axis: &str) -> Option<String> {
        match axis {
            "size" => self.size.map(|size| ByteSize::from_bytes(size).to_string()),
            "stack" => Some(self.stack.clone()),
            setting => self.settings.get(setting).cloned(),
        }
    }

    /// Whether it differs from `other` on `axis` at most.
    fn is_like(&self, other: &Self, axis: Option<&str>) -> bool {
        let on = |name: &str| axis == Some(name);
        (on("stack") || self.stack == other.stack)
            && (on("size") || self.size == other.size)
            && self
                .settings
                .iter()
                .all(|(name, value)| on(name) || other.settings.get(name) == Some(value))
    }

    fn difference(&self, other: &Self) -> String {
        if self.stack != other.stack {
            return "the stack".to_owned();
        }
        let differs = |name: &&String| self.settings.get(*name) != other.settings.get(*name);
        match self.settings.keys().find(differs) {
            Some(name) => name.clone(),
            None => "the size".to_owned(),
        }
    }
}

impl Must {
    fn hold(&self, readings: &[Reading]) -> bool {
        let values = || readings.iter().map(|reading| reading.value);
        let least = values().fold(f64::INFINITY, f64::min);
        let greatest = values().fold(f64::NEG_INFINITY, f64::max);
        let (Some(first), Some(last)) = (values().next(), values().next_back()) else {
            return false;
        };
        let steps = || values().zip(values().skip(1));
        self.be_at_least.is_none_or(|bound| least >= bound)
            && self.be_at_most.is_none_or(|bound| greatest <= bound)
            && self.rise_by.is_none_or(|factor| {
                last >= first * factor && steps().all(|(a, b)| b >= a * (1.0 - SLACK))
            })
            && self.fall_by.is_none_or(|factor| {
                first >= last * factor && steps().all(|(a, b)| b <= a * (1.0 + SLACK))
            })
            && self
                .vary_by_at_most
                .is_none_or(|share| greatest <= least * (1.0 + share))
            && (self.peak_at.is_empty()
                || readings
                    .iter()
                    .any(|reading| reading.value == greatest && self.peak_at.contains(&reading.at)))
    }
}

impl fmt::Display for Must {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Vec::new();
        match (self.be_at_least, self.be_at_most) {
            (Some(least), Some(most)) => all.push(format!("{least} to {most}")),
            (Some(least), None) => all.push(format!("at least {least}")),
            (None, Some(most)) => all.push(format!("at most {most}")),
            (None, None) => {}
        }
        all.extend(self.rise_by.map(|factor| format!("rises ×{factor}")));
        all.extend(self.fall_by.map(|factor| format!("falls ×{factor}")));
        all.extend(
            self.vary_by_at_most
                .map(|share| format!("within {} %", share * 100.0)),
        );
        if !self.peak_at.is_empty() {
            all.push(format!("greatest at {}", self.peak_at.join(" or ")));
        }
        f.write_str(&all.join(", "))
    }
}
