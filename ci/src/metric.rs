//! The figures that a gate knows: their units, which way is better, and how much worse is a regression.

use std::fmt;

use longhaul_reports::result::LabKind;
use serde::{Deserialize, Serialize};

/// A kind of figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Bus bandwidth of the mean time, 1e9 bytes per second.
    Busbw,
    /// Algorithm bandwidth of the mean time, 1e9 bytes per second.
    Algbw,
    /// Mean time of an iteration, microseconds.
    Time,
    /// 99th percentile of the iterations' times, microseconds.
    TimeP99,
    /// Seconds that a point's external programs took.
    Duration,
    /// Mean of a figure that a program measured and of which more is better, in its own unit.
    Gain,
    /// Median of a figure that a program measured and of which less is better, in its own unit.
    Cost,
    /// Median one-way delay during the workload, microseconds.
    Delay,
    /// 99th percentile of the one-way delay, microseconds.
    DelayP99,
    /// Packet delay variation (RFC 5481 section 4.2), microseconds.
    Pdv,
    /// Interarrival jitter (RFC 3550 section 6.4.1) at the end, microseconds.
    Jitter,
    /// Probes that never arrived.
    ProbesLost,
    /// Packets that a queue refused or dropped early.
    Drops,
    /// Packets marked "congestion experienced".
    Marks,
}

/// Which way a figure gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// How much worse a figure may be, as a share of the baseline's: 0.05 lets 100 become 95 or 105.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tolerance(f64);

impl Tolerance {
    /// A percentage from 0 up to, not including, 100: a bandwidth that fell by all of it would be none.
    pub fn from_percent(percent: f64) -> Option<Self> {
        (0.0..100.0)
            .contains(&percent)
            .then_some(Self(percent / 100.0))
    }

    /// The share of the baseline's figure.
    pub fn share(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Tolerance {
    /// As a percentage, without the digits that binary fractions add.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", (self.0 * 1e6).round() / 1e4)
    }
}

impl Metric {
    /// All, in the order tables have.
    pub const ALL: [Self; 14] = [
        Self::Busbw,
        Self::Algbw,
        Self::Time,
        Self::TimeP99,
        Self::Duration,
        Self::Gain,
        Self::Cost,
        Self::Delay,
        Self::DelayP99,
        Self::Pdv,
        Self::Jitter,
        Self::ProbesLost,
        Self::Drops,
        Self::Marks,
    ];

    /// As options and files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Busbw => "busbw",
            Self::Algbw => "algbw",
            Self::Time => "time",
            Self::TimeP99 => "time-p99",
            Self::Duration => "duration",
            Self::Gain => "gain",
            Self::Cost => "cost",
            Self::Delay => "delay",
            Self::DelayP99 => "delay-p99",
            Self::Pdv => "pdv",
            Self::Jitter => "jitter",
            Self::ProbesLost => "probes-lost",
            Self::Drops => "drops",
            Self::Marks => "marks",
        }
    }

    /// The metric of a [`name`](Self::name).
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// The unit of its figures; empty for counts, and for what programs measured, which has its own.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Busbw | Self::Algbw => "GB/s",
            Self::Time
            | Self::TimeP99
            | Self::Delay
            | Self::DelayP99
            | Self::Pdv
            | Self::Jitter => "us",
            Self::Duration => "s",
            Self::Gain | Self::Cost | Self::ProbesLost | Self::Drops | Self::Marks => "",
        }
    }

    /// Whether its figures are whole numbers of things.
    pub(crate) fn is_count(self) -> bool {
        matches!(self, Self::ProbesLost | Self::Drops | Self::Marks)
    }

    /// Which way it gets better.
    pub fn better(self) -> Better {
        match self {
            Self::Busbw | Self::Algbw | Self::Gain => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// How much worse is no regression, unless the user says otherwise; nothing if the metric is shown and not judged: it follows
    /// from another (time from bandwidth), is a cause rather than an effect (drops), or scatters too much on the kind of lab to be
    /// judged by a handful of repeats (the tail of delays by the wall clock).
    pub fn tolerance(self, lab: LabKind) -> Option<Tolerance> {
        let exact = lab == LabKind::Virtual;
        match self {
            Self::Busbw | Self::Duration | Self::Gain | Self::Cost | Self::Delay => {
                Some(Tolerance(if exact { 0.01 } else { 0.05 }))
            }
            Self::Pdv if exact => Some(Tolerance(0.1)),
            Self::ProbesLost if exact => Some(Tolerance(0.1)),
            _ => None,
        }
    }

    /// Differences up to this are none, whatever share of the baseline's figure they are: a microsecond, the link engines' own grain.
    pub(crate) fn grain(self) -> f64 {
        match self.unit() {
            "us" => 1.0,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_files() {
        for metric in Metric::ALL {
            assert_eq!(
                serde_json::to_value(metric).unwrap(),
                serde_json::json!(metric.name())
            );
            assert_eq!(Metric::of_name(metric.name()), Some(metric));
        }
        assert_eq!(Metric::of_name("speed"), None);
    }

    #[test]
    fn tolerances_are_shares_below_all() {
        assert_eq!(
            Tolerance::from_percent(5.0).map(Tolerance::share),
            Some(0.05)
        );
        let shown = Tolerance::from_percent(7.0).map(|tolerance| tolerance.to_string());
        assert_eq!(shown.as_deref(), Some("7 %"));
        for wrong in [-1.0, 100.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Tolerance::from_percent(wrong), None, "{wrong}");
        }
    }
}
