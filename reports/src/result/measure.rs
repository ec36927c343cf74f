//! Figures that a program told of itself: throughput, round-trip time, step time, whatever it measures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::result::Percentiles;

/// A figure of one program on one host, with every value it told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measure {
    /// What: `throughput`, `rtt`, `step time`.
    pub name: String,
    /// Its unit: `bit/s`, `us`, `bytes`, `%`, or the program's own.
    pub unit: String,
    /// Which way it gets better.
    pub better: Better,
    /// The host whose program told it, or `a-0>b-0` for what is between two.
    pub host: String,
    /// In the order in which they were told, warm-up left out.
    pub values: Vec<MeasuredValue>,
    /// What they come to.
    pub summary: Percentiles,
}

/// One value of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredValue {
    /// Seconds since the run's start, if the program tells when.
    pub time_s: Option<f64>,
    /// In the figure's unit.
    pub value: f64,
}

/// Which way a figure gets better.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Neither: it is shown and not judged.
    #[default]
    Neither,
}

impl Measure {
    /// With its summary, of these values.
    pub fn new(
        name: &str,
        unit: &str,
        better: Better,
        host: &str,
        values: Vec<MeasuredValue>,
    ) -> Self {
        let plain: Vec<f64> = values.iter().map(|value| value.value).collect();
        Self {
            name: name.to_owned(),
            unit: unit.to_owned(),
            better,
            host: host.to_owned(),
            summary: Percentiles::of(&plain),
            values,
        }
    }
}
