//! The file format as serde types; its JSON Schema is generated from them.
//!
//! These types say what may be written; [`crate::validate`] says what it means. A setting of a link's channel can
//! stand in `defaults`, in the link, and in the link's `forward` or `reverse`: the innermost counts.

mod either;
mod from_model;
mod queue;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Direction, JitterDistribution, LaneState, PacketOrder, Spread};
use crate::units::serial::as_string;
use crate::units::{Probability, Rate, TimeSpan, UnitError};

pub use queue::*;

/// The JSON Schema of a topology file.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(TopologySpec)
}

/// Defines a struct that has, beside its own fields, those of every channel. (`#[serde(flatten)]` would lose both
/// the check for unknown fields and the places of errors.)
macro_rules! with_channel_settings {
    ($(#[$attribute:meta])* pub struct $name:ident { $($own:tt)* }) => {
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        $(#[$attribute])*
        pub struct $name {
            $($own)*
            /// Whether it carries anything; `up` if absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub state: Option<LaneState>,
            /// The rate of each lane, counted in Ethernet frames without preamble and FCS; unlimited if absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub rate: Option<RateSpec>,
            /// The one-way propagation delay, or `fibre` to compute it from the sites' coordinates.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub delay: Option<DelaySpec>,
            /// With `delay: fibre`, how much longer the cable is than the great circle; 1.3 if absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(range(min = 1.0, max = 20.0))]
            pub route_factor: Option<f64>,
            /// How much the delay varies; not at all if absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub jitter: Option<JitterSpec>,
            /// Which packets are lost on the way; none if absent. Queue drops come on top.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub loss: Option<LossSpec>,
            /// The chance that a packet arrives twice; none if absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub duplication: Option<Probability>,
            /// The chance that a packet arrives with a flipped bit; none if absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub corruption: Option<Probability>,
            /// Which packets are overtaken; none if absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub reordering: Option<ReorderingSpec>,
            /// How much the queue before the lane holds (1bdp if absent), and what it does beside.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub queue: Option<QueueSpec>,
        }

        impl $name {
            /// The settings of a channel among the fields.
            pub(crate) fn channel(&self) -> ChannelSpec {
                ChannelSpec {
                    state: self.state,
                    rate: self.rate.clone(),
                    delay: self.delay,
                    route_factor: self.route_factor,
                    jitter: self.jitter.clone(),
                    loss: self.loss.clone(),
                    duplication: self.duplication,
                    corruption: self.corruption,
                    reordering: self.reordering,
                    queue: self.queue.clone(),
                }
            }
        }
    };
}

/// A topology: data centres and the WAN links between them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a topology: a mapping with `sites` and `links`"
)]
#[schemars(title = "longhaul topology")]
pub struct TopologySpec {
    /// The topology's name: lower-case letters, digits and dashes, beginning with a letter. The file's name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// One line of what it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The largest IP packet on every interface, in bytes; 1500 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1280, max = 9000))]
    pub mtu: Option<u32>,
    /// What holds for every site and link that does not say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<Defaults>,
    /// The data centres.
    #[schemars(length(min = 1, max = 250))]
    pub sites: Vec<SiteSpec>,
    /// The WAN links between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkSpec>,
}

with_channel_settings! {
    /// What holds for every site and link that does not say otherwise.
    #[serde(deny_unknown_fields, expecting = "a mapping of settings of sites and links")]
    pub struct Defaults {
        /// Hosts of each site.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1, max = 4094))]
        pub hosts: Option<usize>,
        /// The network inside each site.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub fabric: Option<FabricSpec>,
        /// Lanes of each link.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        pub lanes: Option<usize>,
        /// How packets are spread over the lanes of each link.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub spread: Option<Spread>,
    }
}

/// A data centre.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a site: a mapping with `name`")]
pub struct SiteSpec {
    /// Its name: lower-case letters, digits and dashes, beginning with a letter, at most 20 characters.
    #[schemars(
        length(min = 1, max = 20),
        regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub name: String,
    /// What people call the place: `Ashburn, Virginia`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Degrees north of the equator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -90.0, max = 90.0))]
    pub latitude: Option<f64>,
    /// Degrees east of Greenwich.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -180.0, max = 180.0))]
    pub longitude: Option<f64>,
    /// How many hosts it has; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4094))]
    pub hosts: Option<usize>,
    /// The network inside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fabric: Option<FabricSpec>,
}

/// The network inside a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a fabric: a mapping with `rate`")]
pub struct FabricSpec {
    /// The rate of each host's port, each direction; unlimited if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

with_channel_settings! {
    /// A WAN link. It needs one of `delay` and `rtt`, here or in the defaults.
    #[serde(deny_unknown_fields, expecting = "a link: a mapping with `between` and settings")]
    pub struct LinkSpec {
        /// The names of the two sites; `forward` leads from the first to the second.
        pub between: [String; 2],
        /// Parallel lanes, each with all the settings; 1 if absent. Or a list of what is different on each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub lanes: Option<LanesSpec>,
        /// How packets are spread over the lanes; `flow-hash` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub spread: Option<Spread>,
        /// What changes while the workload runs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub schedule: Vec<ChangeSpec>,
        /// The round-trip propagation delay: half of it each way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub rtt: Option<TimeSpan>,
        /// What differs from the first site to the second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub forward: Option<ChannelSpec>,
        /// What differs from the second site to the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reverse: Option<ChannelSpec>,
    }
}

with_channel_settings! {
    /// One direction of a link.
    #[serde(deny_unknown_fields, expecting = "a mapping of settings of one direction")]
    pub struct ChannelSpec {}
}

impl ChannelSpec {
    /// Which of the settings it says, in one order.
    pub(crate) fn said(&self) -> [bool; 10] {
        let ChannelSpec {
            state,
            rate,
            delay,
            route_factor,
            jitter,
            loss,
            duplication,
            corruption,
            reordering,
            queue,
        } = self;
        [
            state.is_some(),
            rate.is_some(),
            delay.is_some(),
            route_factor.is_some(),
            jitter.is_some(),
            loss.is_some(),
            duplication.is_some(),
            corruption.is_some(),
            reordering.is_some(),
            queue.is_some(),
        ]
    }
}

/// The lanes of a link.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum LanesSpec {
    /// So many, all alike.
    Count(#[schemars(range(min = 1))] usize),
    /// What is different on each.
    Each(#[schemars(length(min = 1))] Vec<LaneSpec>),
}

with_channel_settings! {
    /// What is different on one lane.
    #[serde(deny_unknown_fields, expecting = "a mapping of settings of one lane")]
    pub struct LaneSpec {
        /// What differs from the first site to the second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub forward: Option<ChannelSpec>,
        /// What differs from the second site to the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reverse: Option<ChannelSpec>,
    }
}

with_channel_settings! {
    /// What changes while the workload runs.
    #[serde(deny_unknown_fields, expecting = "a change: a mapping with `at` and settings")]
    pub struct ChangeSpec {
        /// When, since the workload began; in a lab that is up, since it came up.
        pub at: TimeSpan,
        /// For how long; to the end if absent.
        #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
        pub lasting: Option<TimeSpan>,
        /// Which lane, from 0; all if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub lane: Option<usize>,
        /// Which direction; both if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub direction: Option<DirectionSpec>,
    }
}

impl ChangeSpec {
    /// Whether it is one of `direction`.
    pub(crate) fn concerns(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|only| match only {
            DirectionSpec::Forward => direction == Direction::Forward,
            DirectionSpec::Reverse => direction == Direction::Reverse,
        })
    }
}

/// A direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionSpec {
    /// From the first site of `between` to the second.
    Forward,
    /// From the second to the first.
    Reverse,
}

/// A rate, `unlimited`, or how it changes with time.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RateSpec {
    /// One rate, or none.
    Word(RateWord),
    /// A trace.
    Trace(RateTraceSpec),
}

/// A rate, or the word for none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateWord {
    /// Nothing queues.
    Unlimited,
    /// This rate.
    Constant(Rate),
}

impl FromStr for RateWord {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text.trim() {
            "unlimited" => Ok(RateWord::Unlimited),
            rate => rate.parse().map(RateWord::Constant),
        }
    }
}

impl fmt::Display for RateWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RateWord::Unlimited => f.pad("unlimited"),
            RateWord::Constant(rate) => rate.fmt(f),
        }
    }
}

as_string!(RateWord, schema: {
    "type": "string",
    "description": "A rate: a number and bit, kbit, Mbit, Gbit or Tbit; or `unlimited`.",
    "pattern": r"^\s*(unlimited|(\d+\.?\d*|\.\d+)\s*[kKmMgGtT]?[iI]?[bB][iI][tT])\s*$",
    "examples": ["500Mbit", "unlimited"],
}, bare: "a rate such as `500Mbit`, or `unlimited`");

/// A rate that changes with time, over and over: one of the three.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping with `csv`, `mahimahi` or `steps`"
)]
pub struct RateTraceSpec {
    /// A file of `time,rate` lines, relative to this file; a rate holds until the next line's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<String>,
    /// A file in mahimahi's format, relative to this file: the milliseconds at which a packet may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mahimahi: Option<String>,
    /// The rates themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<RateStepSpec>>,
    /// With `steps`, when they begin again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<TimeSpan>,
}

/// From `at` on, this rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a step: a mapping with `at` and `rate`"
)]
pub struct RateStepSpec {
    /// Since the trace's beginning; the first is at 0s.
    pub at: TimeSpan,
    /// Nothing passes if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// Packets that are overtaken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `chance` and `depth`")]
pub struct ReorderingSpec {
    /// The chance of each packet to be overtaken.
    pub chance: Probability,
    /// By how many of those behind it; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub depth: Option<u32>,
}

/// A one-way delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DelaySpec {
    /// Great-circle distance × route factor ÷ the speed of light in fibre.
    Fibre,
    /// As long as this.
    OneWay(TimeSpan),
}

impl FromStr for DelaySpec {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text.trim() {
            "fibre" | "fiber" => Ok(DelaySpec::Fibre),
            time => time.parse().map(DelaySpec::OneWay),
        }
    }
}

impl fmt::Display for DelaySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DelaySpec::Fibre => f.pad("fibre"),
            DelaySpec::OneWay(time) => time.fmt(f),
        }
    }
}

as_string!(DelaySpec, schema: {
    "type": "string",
    "description": "A one-way delay: a number and s, ms, us, ns or min; or `fibre` for great-circle distance × route factor ÷ the speed of light in fibre.",
    "pattern": r"^\s*(fib(re|er)|(\d+\.?\d*|\.\d+)\s*([mMuUnNµμ]?[sS]([eE][cC][sS]?)?|[mM][iI][nN][sS]?))\s*$",
    "examples": ["fibre", "40ms"],
}, bare: "a delay such as `40ms`, or `fibre`");

/// Variation of the delay: how much (normally distributed, order preserved), or all of it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum JitterSpec {
    /// The standard deviation of a normal distribution.
    Deviation(TimeSpan),
    /// Deviation, shape and order.
    Full(JitterSettings),
}

/// Variation of the delay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JitterSettings {
    /// The standard deviation, for every shape; a table's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<TimeSpan>,
    /// The shape; `normal` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<JitterDistribution>,
    /// Instead of a known shape, a file of measured delays, one a line, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The same, the delays themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Vec<TimeSpan>>,
    /// Instead of draws, a file of `time,delay` lines, relative to this file: what is added to `delay`, over and over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The same, the points themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<Vec<DelayPointSpec>>,
    /// Whether packets keep their order; `preserved` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<PacketOrder>,
}

/// A point of a trace of delays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a point: a mapping with `at` and `delay`"
)]
pub struct DelayPointSpec {
    /// Since the trace's beginning; the first is at 0s, the last is its length.
    pub at: TimeSpan,
    /// What is added to the delay.
    pub delay: TimeSpan,
}

/// Which packets are lost: each with one chance, or by a model.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum LossSpec {
    /// Each with this chance, whatever happened to the others.
    Independent(Probability),
    /// By a model.
    Model(LossModel),
}

/// A loss model: one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping with `gilbert_elliott`, `four_state`, `packets`, `trace` or `pattern`"
)]
pub struct LossModel {
    /// Two states, a good and a bad one, each with its own loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gilbert_elliott: Option<GilbertElliott>,
    /// netem's four states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub four_state: Option<FourState>,
    /// Just these packets, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<Vec<u64>>,
    /// A file of `0` (arrives) and `1` (lost), one for each packet, relative to this file, over and over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The same, the digits themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// The Gilbert–Elliott model: bursts of loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping with `to_bad` and `to_good`"
)]
pub struct GilbertElliott {
    /// Chance per packet to go from the good state to the bad one.
    pub to_bad: Probability,
    /// Chance per packet to go back.
    pub to_good: Probability,
    /// Loss in the bad state; 100% if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_in_bad: Option<Probability>,
    /// Loss in the good state; 0% if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_in_good: Option<Probability>,
}

/// netem's four states: 1 received, 2 received within a burst, 3 lost within a burst, 4 lost alone. Chances per packet, with
/// the names and defaults of tc-netem(8).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `p13`")]
pub struct FourState {
    /// From received to a burst of loss.
    pub p13: Probability,
    /// From a burst's loss to received; 100% − p13 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p31: Option<Probability>,
    /// From a burst's loss to received within the burst; 0% if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p32: Option<Probability>,
    /// From received within a burst back to its loss; 100% if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p23: Option<Probability>,
    /// From received to lost alone; 0% if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p14: Option<Probability>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;
    use crate::document::Document;
    use crate::validate;

    /// Written anew by `UPDATE_SCHEMA=1 cargo test -p longhaul-topologies schema`.
    #[test]
    fn the_schema_in_the_repository_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json");
        let current = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &current).unwrap();
        }
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            stored == current,
            "topologies/schema.json is out of date: run this test with UPDATE_SCHEMA=1"
        );
    }

    #[test]
    fn the_schema_accepts_the_catalogue_as_it_is_and_written_out_in_full() {
        let schema = jsonschema::draft202012::new(schema().as_value()).unwrap();
        for entry in catalogue::entries() {
            let document = catalogue::open(entry.name).unwrap();
            let full = TopologySpec::from(&validate::topology(&document).unwrap());
            for value in [document.value(), &serde_json::to_value(full).unwrap()] {
                let faults: Vec<_> = schema
                    .iter_errors(value)
                    .map(|fault| fault.to_string())
                    .collect();
                assert!(faults.is_empty(), "{}: {faults:?}", entry.name);
            }
        }
    }

    #[test]
    fn the_schema_refuses_what_the_reader_does() {
        let schema = jsonschema::draft202012::new(schema().as_value()).unwrap();
        for (text, right) in [
            ("{sites: [{name: a}]}", true),
            (
                "{sites: [{name: a, fabric: {rate: 1Gbit}}], defaults: {jitter: {deviation: 1 ms}}}",
                true,
            ),
            (
                "{sites: [{name: a}], defaults: {delay: fiber, queue: 10 packets, loss: .5 %, rate: 1.5Kibit}}",
                true,
            ),
            ("{sites: []}", false),
            ("{sites: [{name: A}]}", false),
            ("{sites: [{name: a, hosts: 0}]}", false),
            ("{sites: [{name: a, fabric: [1Gbit]}]}", false),
            ("{sites: [{name: a, fabric: {rate: 5}}]}", false),
            ("{sites: [{name: a}], defaults: {rtt: 1ms}}", false),
            ("{sites: [{name: a}], defaults: {delay: 40}}", false),
            ("{sites: [{name: a}], defaults: {rate: 5Mb}}", false),
            ("{sites: [{name: a}], defaults: {loss: 0.1}}", false),
            ("{sites: [{name: a}], defaults: {queue: 10}}", false),
            ("{sites: [{name: a}], mtu: 1000}", false),
        ] {
            let document = Document::from_text("lab", text).unwrap();
            assert_eq!(schema.is_valid(document.value()), right, "schema: {text}");
            assert_eq!(
                validate::topology(&document).is_ok(),
                right,
                "reader: {text}"
            );
        }
    }

    #[test]
    fn what_is_read_is_what_is_written() {
        for entry in catalogue::entries() {
            let spec: TopologySpec = catalogue::open(entry.name).unwrap().parse().unwrap();
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(
                Document::from_text("written", &text)
                    .unwrap()
                    .parse::<TopologySpec>()
                    .unwrap(),
                spec
            );
        }
    }

    #[test]
    fn fibre_is_spelt_either_way() {
        assert_eq!("fiber".parse(), Ok(DelaySpec::Fibre));
        assert_eq!("fibre".parse(), Ok(DelaySpec::Fibre));
    }
}
