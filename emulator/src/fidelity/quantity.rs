//! What is measured of a channel, and what comes of it.

use std::fmt;

use serde::Serialize;

use super::FidelityCheck;

/// A quantity of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// That nothing arrives, of a lane that is down.
    Arrivals,
    /// One-way delay.
    Delay,
    /// Standard deviation of the delay.
    Jitter,
    /// Kolmogorov–Smirnov distance of the delays from those of the described shape.
    Shape,
    /// Packets that arrive after one sent later.
    Reordered,
    /// By how many they were overtaken (RFC 4737 section 4.2.1).
    Extent,
    /// Packets that do not arrive.
    Loss,
    /// Packets that arrive more than once.
    Duplication,
    /// Packets that arrive with a flipped bit.
    Corruption,
    /// Layer-2 rate.
    Rate,
    /// What the bottleneck queue holds.
    Queue,
    /// Packets marked "congestion experienced" behind a full queue.
    Marks,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Quantity::Arrivals => "arrivals",
            Quantity::Delay => "one-way delay",
            Quantity::Jitter => "jitter",
            Quantity::Shape => "jitter's shape",
            Quantity::Reordered => "reordered",
            Quantity::Extent => "extent",
            Quantity::Loss => "loss",
            Quantity::Duplication => "duplication",
            Quantity::Corruption => "corruption",
            Quantity::Rate => "rate",
            Quantity::Queue => "queue",
            Quantity::Marks => "marks",
        })
    }
}

/// One quantity of one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// `virginia>dublin lane 0`.
    pub channel: String,
    /// Which quantity.
    pub quantity: Quantity,
    /// Unit of the figures: `us`, `bit/s`, `bytes`, `packets`, `%`, or none.
    pub unit: &'static str,
    /// What was measured.
    pub measured: f64,
    /// What was asked for; absent where nothing was.
    pub asked: Option<Requirement>,
    /// Samples behind the figure.
    pub samples: u64,
}

/// What a quantity has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requirement {
    /// The figure that was asked for.
    pub value: f64,
    /// How far off it may be.
    pub bound: Bound,
    /// The measured figure keeps to that.
    pub within: bool,
}

/// How far off a figure may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// So much either way, in the figure's unit.
    Within(f64),
    /// It may not be below.
    AtLeast,
}

impl fmt::Display for Measurement {
    /// `virginia>dublin lane 0: one-way delay 40123.0 us`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (channel, quantity) = (&self.channel, self.quantity);
        match self.unit {
            "bit/s" => write!(f, "{channel}: {quantity} {:.1} Mbit/s", self.measured / 1e6),
            unit => {
                let text = format!("{channel}: {quantity} {:.1} {unit}", self.measured);
                f.write_str(text.trim_end())
            }
        }
    }
}

impl Measurement {
    /// Something was asked for, and it was measured otherwise.
    pub fn is_off(&self) -> bool {
        self.asked.is_some_and(|asked| !asked.within)
    }

    /// As a run's check before its workload; `None` if nothing was asked for.
    pub(crate) fn check(&self) -> Option<FidelityCheck> {
        let asked = self.asked?;
        Some(FidelityCheck {
            channel: self.channel.clone(),
            quantity: self.quantity.to_string(),
            unit: self.unit.to_owned(),
            asked: asked.value,
            measured: self.measured,
            bound: match asked.bound {
                Bound::Within(bound) => bound,
                Bound::AtLeast => 0.0,
            },
            within: asked.within,
            samples: self.samples,
        })
    }
}
