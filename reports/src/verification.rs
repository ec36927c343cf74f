//! What `verify` found: the links of a lab, measured in full against their description.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// What was measured: a topology, a lab, or two namespaces.
    pub subject: String,
    /// Which engine carried the links, if longhaul knows.
    pub links: Option<String>,
    /// Seconds of probing.
    pub duration_s: f64,
    /// Nothing was off.
    pub faithful: bool,
    /// What was off, and by how much.
    pub findings: Vec<String>,
    /// What could not be measured and why, and what else is worth knowing.
    pub notes: Vec<String>,
    /// Every figure.
    pub rows: Vec<VerificationRow>,
    /// The one-way delays of every channel.
    pub delays: Vec<ChannelDelays>,
}

/// One quantity of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerificationRow {
    /// `virginia>dublin lane 0`.
    pub channel: String,
    /// `one-way delay`, `jitter`, `jitter's shape` (a Kolmogorov–Smirnov distance), `reordered`, `extent`, `loss`, `duplication`,
    /// `corruption`, `rate`, `queue`, `marks`, `arrivals`.
    pub quantity: String,
    /// `us`, `bit/s`, `bytes`, `packets`, `%`, or empty.
    pub unit: String,
    /// What was asked for; absent where nothing was.
    pub asked: Option<f64>,
    /// What was measured.
    pub measured: f64,
    /// Allowed distance either way; absent where `asked` is the least allowed.
    pub bound: Option<f64>,
    /// Within the bound; absent where nothing was asked for.
    pub within: Option<bool>,
    /// Samples behind the figure.
    pub samples: u64,
}

/// The one-way delays of a channel, as quantiles at even places from the least to the greatest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelDelays {
    /// `virginia>dublin lane 0`.
    pub channel: String,
    /// What was asked for, in microseconds; absent where nothing was.
    pub asked_us: Option<f64>,
    /// Microseconds.
    pub measured_us: Vec<f64>,
    /// The same of a channel that is exactly as asked for; empty where nothing was.
    pub predicted_us: Vec<f64>,
}

/// How many quantiles tell a distribution: every half percent.
const PLACES: usize = 201;

/// Quantiles at even places of values in rising order.
pub fn quantiles(sorted: &[f64]) -> Vec<f64> {
    let Some(last) = sorted.len().checked_sub(1) else {
        return Vec::new();
    };
    let place = |index: usize| sorted[(index * last + (PLACES - 1) / 2) / (PLACES - 1)];
    (0..PLACES).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_reach_from_the_least_to_the_greatest() {
        let values: Vec<f64> = (0..=1000).map(f64::from).collect();
        let quantiles = quantiles(&values);
        assert_eq!(
            (quantiles[0], quantiles[100], quantiles[200]),
            (0.0, 500.0, 1000.0)
        );
        assert_eq!(super::quantiles(&[7.0]), vec![7.0; PLACES]);
        assert!(super::quantiles(&[]).is_empty());
    }
}
